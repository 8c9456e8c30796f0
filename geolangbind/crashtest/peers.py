"""Other people's models as embedders, and the words that name them on the command line.

A peer is one function from a batch to vectors, so an adapter is about twenty lines: take from the batch what the model reads, bring it to
the size and scale it was trained on, and raise a GeoLangBindError for what it cannot see. See docs/crash-test.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from geolangbind.checkpoint import file_sha256, mismatch_table
from geolangbind.data.batch import Batch
from geolangbind.errors import CheckpointError, SensorError, SettingsError, UnitError
from geolangbind.evaluate.embedder import Embedder, Ours, Patches
from geolangbind.sensors.channels import RGB_UM
from geolangbind.views import rgb_view
from geolangbind.weights.conventions import published_statistics
from geolangbind.weights.read import read_weights

_NEAR_UM = 0.06
_RESNET_BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
_RADAR_WAVELENGTH = 5.405
_SEED = 0


@dataclass(frozen=True, eq=False)
class Peer:
    """A frozen image model of somebody else.

    Attributes:
        name: as the reports call it; says where weights are random.
        sha256: of the weights file; of the name where there is none.
        forward: a batch to (B, D) vectors of any length.
        assumed: what its authors do not say and the adapter had to choose.
        scale: see `Embedder`; the crash test reads no text, so none.
    """

    name: str
    sha256: str
    forward: Callable[[Batch], Tensor]
    assumed: str
    scale: float = 1.0

    @torch.no_grad()
    def images(self, batch: Batch) -> Tensor:
        """See `Embedder`."""
        return F.normalize(self.forward(batch).float(), dim=1).cpu()

    def texts(self, sentences: Sequence[str]) -> Tensor:
        """See `Embedder`: the crash test reads no text.

        Raises:
            SettingsError: always.
        """
        raise SettingsError(
            f"{self.name} takes part in the crash test with its image tower only; {len(sentences)} sentences cannot be read"
        )

    def patches(self, batch: Batch) -> Patches:
        """See `Embedder`: the crash test looks at no patches.

        Raises:
            SettingsError: always.
        """
        raise SettingsError(f"{self.name} takes part in the crash test with one vector per image; {batch.sensor} gets no patches")


def open_embedder(source: str) -> Embedder:
    """Open a model by the words of `--model`.

    Args:
        source: `open_clip:NAME`, `open_clip:NAME:PRETRAINED` (a tag of open_clip's or a file), `torchgeo:NAME` or `torchgeo:NAME:FILE`
            (`dofa_base`, ..., see `TORCHGEO`), else a geolangbind model as `geolangbind.load` takes it. A peer without weights is
            random: a control.

    Raises:
        SettingsError: the peer is unknown.
        CheckpointError: the weights are absent, damaged or of another architecture.
    """
    library, _, rest = source.partition(":")
    name, _, weights = rest.partition(":")
    match library:
        case "open_clip":
            return _open_clip(name, weights)
        case "torchgeo":
            return _torchgeo(name, weights)
    return Ours.open(source)


def _open_clip(name: str, weights: str) -> Peer:
    import open_clip

    if name not in open_clip.list_models():
        raise SettingsError(f"open_clip has no model '{name}'; `python -c 'import open_clip; print(open_clip.list_models())'` lists them")
    try:
        model = _random(lambda: open_clip.create_model(name, pretrained=weights or None))
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise CheckpointError(f"open_clip:{name}: weights '{weights}' cannot be loaded ({error}); give a file that is there") from None
    told = open_clip.get_model_preprocess_cfg(model)
    size = (told["size"],) * 2 if isinstance(told["size"], int) else tuple(told["size"])
    mean, std = (torch.tensor(told[key]).view(1, 3, 1, 1) for key in ("mean", "std"))

    def forward(batch: Batch) -> Tensor:
        kinds, wavelengths = batch.channels.kinds or (), batch.channels.wavelengths_um
        light = [wavelength for kind, wavelength in zip(kinds, wavelengths, strict=True) if kind.startswith(("reflectance", "display"))]
        if any(min((abs(wavelength - wanted) for wavelength in light), default=1.0) > _NEAR_UM for wanted in RGB_UM):
            raise SensorError(
                f"open_clip:{name} cannot see {batch.sensor}: it takes red, green and blue light, got {', '.join(batch.bands[:8])}"
            )
        view = F.interpolate(rgb_view(batch.image, batch.channels, batch.valid), size, mode="bicubic", antialias=True).clamp(0, 1)
        vectors: Tensor = model.encode_image((view - mean) / std)
        return vectors

    assumed = "reflectance 0 to 0.3 is shown as black to white; no-data masks are not read"
    return Peer(_called("open_clip", name, weights), _identity("open_clip", name, weights), forward, assumed)


def _dofa(name: str, size: str, weights: str) -> Peer:
    import torchgeo.models

    # positions of a file's weights fit its 224 px; random weights are taken at the planet's size, which costs a twelfth
    side = 224 if weights else 64
    model = _filled(_random(lambda: getattr(torchgeo.models, f"dofa_{size}_patch16_224")(img_size=side, num_classes=0)), name, weights)
    statistics = published_statistics(kinds=False)

    def forward(batch: Batch) -> Tensor:
        if any(wavelength == 0 and not frequency for wavelength, frequency in _waves(batch)):
            raise SensorError(f"torchgeo:{name} cannot see {batch.sensor}: it knows channels by wavelength, and {batch.bands[0]} has none")
        if strange := set(batch.channels.kinds or ()) - set(statistics.kinds):
            raise UnitError(f"torchgeo:{name} cannot see {batch.sensor}: no scale is known for {', '.join(sorted(strange))}")
        image, _ = statistics.normalize(batch.image, batch.channels, batch.sensor, batch.bands, batch.valid)
        view = F.interpolate(image, (side, side), mode="bilinear", antialias=True)
        vectors: Tensor = model(view, [wavelength or _RADAR_WAVELENGTH for wavelength, _ in _waves(batch)])
        return vectors

    assumed = (
        "the scale of its inputs is not published with the weights: reflectance 0 to 0.3 and backscatter -25 to 0 dB (cross-polarised "
        "-32 to -7) become -1 to 1, other units are refused; C-band radar is given as wavelength "
        f"{_RADAR_WAVELENGTH}, its frequency in GHz, as the authors' examples do; images are resized to {side} px; no-data masks are "
        "not read"
    )
    return Peer(_called("torchgeo", name, weights), _identity("torchgeo", name, weights), forward, assumed)


def _resnet(name: str, depth: str, weights: str) -> Peer:
    import torchgeo.models

    channels = len(_RESNET_BANDS)
    net = _random(lambda: getattr(torchgeo.models, f"resnet{depth}")(weights=None, in_chans=channels, num_classes=0))
    model = _filled(net, name, weights)

    def forward(batch: Batch) -> Tensor:
        places = {band: number for number, band in enumerate(batch.bands)}
        if missing := [band for band in _RESNET_BANDS if band not in places]:
            lacks = ", ".join(missing[:3]) + ", ..." * (len(missing) > 3)
            raise SensorError(f"torchgeo:{name} cannot see {batch.sensor}: it wants the 13 bands of Sentinel-2 L1C, and {lacks} lack")
        vectors: Tensor = model(batch.image[:, [places[band] for band in _RESNET_BANDS]])
        return vectors

    return Peer(
        _called("torchgeo", name, weights), _identity("torchgeo", name, weights), forward,
        "reflectance as it is (stored numbers / 10000), the scale of torchgeo's SSL4EO-S12 weights; no-data masks are not read",
    )  # fmt: skip


TORCHGEO: Mapping[str, tuple[Callable[[str, str, str], Peer], str]] = {
    **{f"dofa_{size}": (_dofa, size) for size in ("small", "base", "large")},
    **{f"resnet{depth}_s2": (_resnet, depth) for depth in ("18", "50")},
}
"""torchgeo's models by the name after `torchgeo:`; the ResNets are the baseline with fixed bands, which refuses all others."""


def _torchgeo(name: str, weights: str) -> Peer:
    if name not in TORCHGEO:
        raise SettingsError(f"torchgeo:{name} has no adapter; there are {', '.join(TORCHGEO)}")
    build, variant = TORCHGEO[name]
    return build(name, variant, weights)


def _waves(batch: Batch) -> list[tuple[float, float]]:
    channels = batch.channels
    return list(zip(channels.wavelengths_um, channels.frequencies_ghz or (0.0,) * len(channels), strict=True))


def _random(build: Callable[[], Any]) -> Any:  # noqa: ANN401 - both libraries are untyped
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        return build().eval().requires_grad_(False)


def _filled(model: Any, name: str, weights: str) -> Any:  # noqa: ANN401
    if not weights:
        return model
    if not Path(weights).is_file():
        raise CheckpointError(f"torchgeo:{name}: no weights file '{weights}'")
    heads = ("head.", "fc.", "mask_token", "decoder", "projector")  # classifiers and what only pretraining needs
    state = {key: value for key, value in read_weights(Path(weights)).items() if not key.startswith(heads)}
    if table := mismatch_table(model.state_dict(), state):
        raise CheckpointError(f"torchgeo:{name}: {weights} does not fit, {table}")
    model.load_state_dict(state)
    return model


def _called(library: str, name: str, weights: str) -> str:
    return f"{library}:{name}:{weights}" if weights else f"{library}:{name} (random weights)"


def _identity(library: str, name: str, weights: str) -> str:
    if weights and Path(weights).is_file():
        return file_sha256(Path(weights))
    return hashlib.sha256(f"{library}:{name}:{weights}:{_SEED}".encode()).hexdigest()
