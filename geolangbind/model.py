"""The model as users hold it: towers, tokenizer, statistics. Load it, encode images of any sensor, encode text, save it."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from geolangbind import checkpoint
from geolangbind.card import model_card
from geolangbind.errors import CheckpointError, DataError, SensorError
from geolangbind.models.encoder import VisionConfig, VisionEncoder
from geolangbind.models.routes import routes_from_json
from geolangbind.models.text import TextConfig
from geolangbind.models.two_tower import TwoTower
from geolangbind.physical import image_batch, physical_image
from geolangbind.sensors import ChannelSet
from geolangbind.statistics import Statistics
from geolangbind.tokenizer import TextTokenizer, tokenizer_from_json, words_of


@dataclass
class GeoLangBind:
    """An image-text model for many sensors.

    Attributes:
        towers: both towers (a torch module).
        tokenizer: None only for random models whose tokenizer was not fetched.
        statistics: how each physical kind is normalised.
        trained_sensors: sensors seen in training.
        trained_words: words the text tower has seen; empty when it was pretrained on the web.
        gsd_m: ground sampling distances seen in training, in metres.
        parents: models this one comes from.
        provenance: how it was made.
        heads: MaKA projectors by tensor name, kept for continued training.
    """

    towers: TwoTower
    tokenizer: TextTokenizer | None
    statistics: Statistics
    trained_sensors: tuple[str, ...] = ()
    trained_words: frozenset[str] = frozenset()
    gsd_m: tuple[float, ...] = ()
    parents: list[dict[str, Any]] = field(default_factory=list)
    provenance: dict[str, Any] = field(default_factory=dict)
    heads: dict[str, Tensor] = field(default_factory=dict)

    @property
    def vision(self) -> VisionEncoder:
        """The image tower; call it with normalised images and wavelengths."""
        return self.towers.vision

    def eval(self) -> Self:
        """Switch both towers to inference."""
        self.towers.eval()
        return self

    @torch.no_grad()
    def encode_image(
        self,
        image: Tensor | NDArray[Any],
        *,
        sensor: str | None = None,
        bands: Sequence[str] | None = None,
        unit: str | None = None,
        gsd_m: float | None = None,
        valid: Tensor | NDArray[np.bool_] | None = None,
        wavelengths_um: Sequence[float] | Tensor | None = None,
    ) -> Tensor:
        """Encode images to unit vectors.

        Args:
            image: (C, H, W) or (B, C, H, W), in `unit`; with `wavelengths_um` instead of a sensor, already normalised.
            sensor: name or YAML file of the sensor.
            bands: band names in the image's order. Needed unless the image has exactly one band and so has the sensor.
            unit: what the values mean, after any scale and offset; see `geolangbind.sensors.Unit`.
            gsd_m: metres per pixel, to warn when it is far from what the model was trained on.
            valid: (H, W) or (B, H, W) bool, False where there is no data.
            wavelengths_um: one per channel, for models that know wavelengths only.

        Returns:
            (B, D) float32 unit vectors.

        Raises:
            SensorError: sensor, bands or wavelengths are missing or wrong.
            UnitError: the unit is missing, unknown or one the model was never taught.
            DataError: the pixels cannot be used.
        """
        if sensor is None:
            pixels, mask = image_batch(image, valid)
            return self.encode_channels(pixels, ChannelSet(_floats(wavelengths_um)), mask)
        seen = physical_image(image, sensor=sensor, bands=bands, unit=unit, valid=valid)
        return self.encode_physical(seen.image, seen.channels, seen.sensor, seen.bands, seen.valid, gsd_m)

    @torch.no_grad()
    def encode_physical(
        self,
        image: Tensor,
        channels: ChannelSet,
        sensor: str,
        bands: Sequence[str],
        valid: Tensor | None = None,
        gsd_m: float | None = None,
    ) -> Tensor:
        """Encode (B, C, H, W) float32 images in canonical units, as `read_raster` and `Batch` hold them; see `encode_image`."""
        return self.encode_channels(self.normalize_physical(image, channels, sensor, bands, valid, gsd_m), channels, valid)

    def normalize_physical(
        self,
        image: Tensor,
        channels: ChannelSet,
        sensor: str,
        bands: Sequence[str],
        valid: Tensor | None = None,
        gsd_m: float | None = None,
    ) -> Tensor:
        """Normalise images as `encode_physical` does, for towers that are used in another way."""
        if len(channels) != image.shape[1]:
            raise SensorError(f"image has {image.shape[1]} channels but {len(channels)} bands were named; name one per channel")
        if gsd_m and self.gsd_m and not min(self.gsd_m) / 4 <= gsd_m <= max(self.gsd_m) * 4:
            warnings.warn(f"{gsd_m:g} m pixels; the model was trained on {min(self.gsd_m):g}-{max(self.gsd_m):g} m", stacklevel=4)
        return self.statistics.normalize(image, channels, sensor, bands, valid)[0]

    @torch.no_grad()
    def encode_channels(self, image: Tensor, channels: ChannelSet, valid: Tensor | None = None) -> Tensor:
        """Encode normalised (B, C, H, W) images to (B, D) unit vectors."""
        device = self.towers.logit_bias.device
        return self.towers.image_vectors(image.to(device), channels, None if valid is None else valid.to(device))[0]

    @torch.no_grad()
    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """Encode B texts to (B, D) float32 unit vectors.

        Raises:
            CheckpointError: the model has no tokenizer; says where one was looked for.
            DataError: `texts` is one string; its letters would be taken for texts.
        """
        if isinstance(texts, str):
            raise DataError("encode_text takes a list of texts, not one string; write encode_text([text])")
        if self.tokenizer is None:
            told = self.provenance.get("tokenizer_missing", "load it from a folder that holds tokenizer.json")
            raise CheckpointError(f"this model has no tokenizer and cannot read text: {told}")
        return self.towers.text_vectors(self.tokenizer(texts).to(self.towers.logit_bias.device))

    def unknown_words(self, texts: Sequence[str]) -> list[str]:
        """Words of `texts` that a text tower trained from scratch never saw; empty for one pretrained on the web."""
        if not self.trained_words:
            return []
        return sorted({word for text in texts for word in words_of(text)} - self.trained_words)

    def config(self) -> dict[str, Any]:
        """Everything `config.json` says."""
        vision = dataclasses.asdict(self.vision.config)
        if not vision["routes"]:  # as before there were any: models that do not differ shall not look different to a merge
            del vision["routes"]
        convention = {
            "convention": "native-1" if vision.pop("kinds") else "wavelengths-only",
            "mean_over_channels": vision.pop("mean_over_channels"),
        }
        return {
            "architecture": {"vision": vision, "text": dataclasses.asdict(self.towers.text_config)},
            "channel_code": convention,
            "statistics": self.statistics.to_json(),
            "preprocessing": {"image_size": vision["image_size"], "gsd_m": list(self.gsd_m)},
            "tokenizer": self.tokenizer.settings() if self.tokenizer else None,
            "trained_sensors": sorted(self.trained_sensors),
            "trained_words": sorted(self.trained_words),
            "parents": self.parents,
            "provenance": self.provenance,
        }

    def save(self, folder: str | Path, *, dtype: torch.dtype = torch.float32, heads: bool = True) -> Path:
        """Write a model folder; replaces one that exists. Without a tokenizer, the copy reads no text either.

        Args:
            folder: to write.
            dtype: of the stored weights; they are float32 again when loaded.
            heads: keep the MaKA projectors, which only training needs.

        Returns:
            The folder.
        """
        tensors = {**self.towers.state_dict(), **(self.heads if heads else {})}
        tensors = {name: tensor.to(dtype) for name, tensor in tensors.items()}
        config = self.config()
        tokenizer_json = self.tokenizer.to_json() if self.tokenizer else None
        checkpoint.write_model(Path(folder), tensors, config, tokenizer_json, model_card(config))
        return Path(folder)


def load_folder(path: str | Path) -> GeoLangBind:
    """Load a model folder of ours, or the model of a run folder, in inference mode. `geolangbind.load` reads other layouts too.

    Raises:
        CheckpointError: there is none, or its weights do not fit its configuration; every mismatch is listed.
    """
    folder = checkpoint.find_model(path)
    config = checkpoint.read_config(folder)
    try:
        with torch.device("meta"):  # no random numbers drawn only to be overwritten
            towers = TwoTower(*architecture(config))
        tokenizer = None
        if config["tokenizer"] is not None:
            tokenizer = tokenizer_from_json((folder / checkpoint.TOKENIZER).read_text(encoding="utf-8"), config["tokenizer"])
        statistics = Statistics.from_json(config["statistics"])
        told = [config[key] for key in ("trained_sensors", "trained_words", "parents", "provenance")]
        gsd_m = tuple(config["preprocessing"]["gsd_m"])
    except OSError as error:
        raise CheckpointError(f"model folder is incomplete: {error}") from None
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise CheckpointError(f"{folder} is incomplete or damaged: {error!r}") from None
    there = {name: tensor for name, tensor in checkpoint.describe_tensors(folder).items() if not name.startswith("maka.")}
    heads: dict[str, Tensor] = {}
    fill(towers, there, _apart(checkpoint.iterate_tensors(folder), heads), f"weights of {folder} and its config.json")
    return GeoLangBind(towers, tokenizer, statistics, tuple(told[0]), frozenset(told[1]), gsd_m, told[2], told[3], heads).eval()


def architecture(config: Mapping[str, Any]) -> tuple[VisionConfig, TextConfig]:
    """Read the architecture of both towers from the content of config.json.

    Raises:
        KeyError, TypeError, ValueError: entries are missing, unknown or malformed.
        CheckpointError: the kernel generators' routes cannot be followed.
    """
    code, told = config["channel_code"], config["architecture"]
    flags = {"kinds": code["convention"] == "native-1", "mean_over_channels": code["mean_over_channels"]}
    nested = {"stem": tuple(told["vision"]["stem"]), "routes": routes_from_json(told["vision"].get("routes", ()))}
    return VisionConfig(**{**told["vision"], **nested}, **flags), TextConfig(**told["text"])


def fill(module: nn.Module, there: Mapping[str, Tensor], weights: Iterable[tuple[str, Tensor]], where: str, *, strict: bool = True) -> None:
    """Give a module built on the meta device its weights, in float32.

    Args:
        module: changed in place.
        there: what there is, by name; only shapes count.
        weights: the same tensors one by one, any float dtype.
        where: what they are, for messages.
        strict: refuse when they are not exactly the module's; False fills the rest at random and warns.

    Raises:
        CheckpointError: they do not fit; a table lists every missing, unexpected or mis-shaped tensor.
    """
    expected = module.state_dict()
    table = checkpoint.mismatch_table(expected, there)
    if table and strict:
        raise CheckpointError(f"{where} do not fit, {table}")
    # copied into fresh memory: mapped tensors lie unaligned, which costs time and changes the last bit of products
    state = module.to_empty(device="cpu").state_dict()
    if table:
        warnings.warn(f"{where} do not fit, what is missing stays at random; {table}", stacklevel=3)
        for name, value in state.items():
            _initialise(name, value)
    for name, tensor in weights:
        if name in state and state[name].shape == tensor.shape:
            state[name].copy_(tensor)


def _apart(tensors: Iterable[tuple[str, Tensor]], heads: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Pass tensors on, but put MaKA projectors into `heads`."""
    for name, tensor in tensors:
        if name.startswith("maka."):
            heads[name] = tensor.clone()
        else:
            yield name, tensor


def _initialise(name: str, value: Tensor) -> None:
    if value.ndim >= 2:
        nn.init.trunc_normal_(value, std=0.02)
    else:  # scales of norms are one, biases zero; SigLIP starts at logit scale 10 and bias -10
        value.fill_({"logit_scale": math.log(10.0), "logit_bias": -10.0}.get(name, float(name.endswith("weight"))))


def _floats(wavelengths_um: Sequence[float] | Tensor | None) -> tuple[float, ...]:
    if wavelengths_um is None:
        raise SensorError(
            "say what the channels are: sensor=, bands= and unit=, or wavelengths_um= for an image that is normalised already"
        )
    return tuple(float(value) for value in wavelengths_um)
