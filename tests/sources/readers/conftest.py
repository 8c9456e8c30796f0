"""What the readers' tests share: cards in a line, and the builders of tests/sources/layouts."""

import importlib.util
import sys
from pathlib import Path

import pytest

from geolangbind.sources.card import Card, Place, View
from geolangbind.sources.readers import READERS

LAYOUTS = Path(__file__).resolve().parents[1] / "layouts"


@pytest.fixture(scope="session")
def layouts():
    """`layouts("torchgeo").eurosat(root)`."""

    def load(name):
        spec = importlib.util.spec_from_file_location(f"layouts_{name}", LAYOUTS / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module  # its classes get pickled
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture
def listing(tmp_path):
    """`listing("coco", "annotations/*.json", sensor="naip", bands=(...), card={...}, **options)`: the records by place."""

    def read(reader, spec, *, sensor="aerial-rgb", bands=None, card=None, root=tmp_path, **options):
        place = Place(reader, spec, options)
        view = View("rgb", sensor, (place,), bands=bands)
        whole = Card("x", "x", ("train",), "x", "x", "x", {"rgb": view}, **(card or {}))
        records = READERS[reader](root, place, whole, view)
        assert len({record.place for record in records}) == len(records)
        return {record.place: record for record in records}

    return read
