"""Fixtures that several test folders use."""

import ipaddress
import socket
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import from_origin

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session", autouse=True)
def _only_loopback():
    """No test reaches beyond this machine: Python's sockets refuse, and subprocesses are told that the model hub is offline."""
    patch = pytest.MonkeyPatch()
    for name in ("connect", "connect_ex", "sendto"):
        patch.setattr(socket.socket, name, _guarded(getattr(socket.socket, name)))
    look_up = socket.getaddrinfo

    def look_up_here(host, *arguments, **options):
        if host and _address(host) is None and _text(host) not in ("localhost", socket.gethostname()):
            _refuse(host)  # looking the name up would already ask another machine
        return look_up(host, *arguments, **options)

    patch.setattr(socket, "getaddrinfo", look_up_here)
    patch.setenv("HF_HUB_OFFLINE", "1")
    yield
    patch.undo()


def _guarded(method):
    def call(self, *arguments):
        if self.family in (socket.AF_INET, socket.AF_INET6):
            host = arguments[-1][0]
            address = _address(host)
            if not (_text(host) == "localhost" if address is None else address.is_loopback):
                _refuse(host)
        return method(self, *arguments)

    return call


def _text(host):
    return host.decode() if isinstance(host, bytes) else host


def _address(host):
    try:
        return ipaddress.ip_address(_text(host).split("%")[0])
    except ValueError:
        return None


def _refuse(host):
    raise RuntimeError(f"a test tried to reach {_text(host)}; tests may use this machine's loopback only (127.0.0.1, ::1)")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real rasters and notes beside the repository; tests that need it are skipped where it is absent."""
    folder = REPOSITORY.parent / "shared"
    if not folder.is_dir():
        pytest.skip("needs the shared data folder beside the repository")
    return folder


@pytest.fixture(scope="session")
def tif():
    """Write a small raster: `tif(path, pixels, names=[...], tags={...}, ...)` returns the path."""
    return _write_raster


@pytest.fixture(scope="session")
def picture():
    """Write a JPEG or PNG without coordinates: `picture(path, pixels, "PNG")` returns the path."""

    def write(path: Path, pixels, driver: str) -> Path:
        return _write_raster(path, pixels, driver=driver, crs=None, transform=None)

    return write


def _write_raster(
    path: Path, pixels, *, names=None, crs="EPSG:32631", pixel=10.0, tags=None, band_tags=None, units=None, scaling=None, **profile
):
    pixels = np.asarray(pixels)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        profile = {"driver": "GTiff", "dtype": pixels.dtype, "crs": crs, "transform": from_origin(600000, 5000000, pixel, pixel), **profile}
        with rasterio.open(path, "w", count=len(pixels), height=pixels.shape[1], width=pixels.shape[2], **profile) as file:
            file.write(pixels)
            file.update_tags(**(tags or {}))
            for index, name in enumerate(names or [], start=1):
                file.set_band_description(index, name)
            for index, values in enumerate(band_tags or [], start=1):
                file.update_tags(index, **values)
            if units:
                file.units = units
            if scaling:
                file.scales, file.offsets = scaling
    return path


@pytest.fixture
def typed(monkeypatch, capsys):
    """`typed("sensors", "show", "x")`: exit code, stdout, stderr of the installed command `geolangbind`."""
    from geolangbind import cli

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["geolangbind", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        told = capsys.readouterr()
        return caught.value.code, told.out, told.err

    return run


@pytest.fixture
def typed_flat(typed):
    """`typed` with every run of white space as one blank, however wide the terminal."""

    def run(*arguments):
        code, *told = typed(*arguments)
        return code, *(" ".join(text.split()) for text in told)

    return run
