"""The language backbone: a transformers base model (no vocabulary head) behind one call, and where its weights come from.

Kinds: `tiny`, a small Qwen3 of random weights that is trained whole; `text`, any decoder of text (Qwen3-0.6B and its class), in the LLaVA
layout; `qwen2-vl`, the language part of Qwen2-VL (arXiv 2409.12191), whose image tokens may take rows and columns as positions.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from geolangbind.checkpoint import WEIGHTS, file_sha256
from geolangbind.errors import CheckpointError, SettingsError
from geolangbind.interleaved.prompts import Slot
from geolangbind.weights.hub import fetch
from geolangbind.weights.source import HUB

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

    from geolangbind.interleaved.lora import LoraSettings

_MODEL_TYPES = {"tiny": "qwen3", "qwen2-vl": "qwen2_vl"}
_POSITIONS = {"tiny": ("1d",), "text": ("1d",), "qwen2-vl": ("mrope", "1d")}
_TINY = {"hidden_size": 192, "num_hidden_layers": 4, "num_attention_heads": 4}
_ARGUMENTS = ("inputs_embeds", "attention_mask", "position_ids")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Backbone:
    """Which language model, as `config.json` keeps it. Made by `describe_backbone`.

    Attributes:
        kind: "tiny", "text" or "qwen2-vl".
        config: its configuration in transformers' words, `model_type` among them.
        source: folder or hub address of its base weights; None where they were drawn at random.
        sha256: identity of the base weights, see `base_sha256`; empty where they were drawn at random.
        positions: "1d", tokens counted one after the other; or "mrope", image tokens by row and column.
        dtype: of the weights, "float32" or "bfloat16".
    """

    kind: str
    config: Mapping[str, Any]
    source: str | None = None
    sha256: str = ""
    positions: str = "1d"
    dtype: str = "float32"

    def __post_init__(self) -> None:
        if self.kind not in _POSITIONS:
            raise SettingsError(f"unknown backbone '{self.kind}'; known are {', '.join(_POSITIONS)}")
        if self.positions not in _POSITIONS[self.kind]:
            raise SettingsError(f"a {self.kind} backbone takes positions {' or '.join(_POSITIONS[self.kind])}, not '{self.positions}'")
        if self.dtype not in DTYPES:
            raise SettingsError(f"a backbone's dtype is {' or '.join(DTYPES)}, not '{self.dtype}'")

    @property
    def hidden(self) -> int:
        """Width of its tokens."""
        return int(self._of_text("hidden_size"))

    @property
    def vocab_size(self) -> int:
        """Token ids it has embeddings for."""
        return int(self._of_text("vocab_size"))

    def _of_text(self, name: str) -> Any:  # noqa: ANN401 - any value of a configuration
        return self.config.get("text_config", self.config)[name]

    def to_json(self) -> dict[str, Any]:
        """Plain values, for `config.json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild from `to_json`.

        Raises:
            CheckpointError: entries are missing, unknown or impossible.
        """
        try:
            return cls(**data)
        except (TypeError, SettingsError) as error:
            raise CheckpointError(f"the backbone in config.json is damaged: {error}") from None


def describe_backbone(
    kind: str,
    source: str | Path | None = None,
    config: Mapping[str, Any] | None = None,
    *,
    positions: str | None = None,
    dtype: str = "float32",
) -> Backbone:
    """Say which language model to build.

    Args:
        kind: see `Backbone`.
        source: folder with config.json and safetensors weights, or `hf-hub:owner/name[@revision]`; None for random weights.
        config: for random weights, in transformers' words; `vocab_size` at least, and `model_type` for kind "text".
        positions: see `Backbone`; by default "mrope" for qwen2-vl and "1d" for the others.
        dtype: see `Backbone`.

    Raises:
        SettingsError: an unknown kind or configuration value, a model that is no decoder of text, transformers is not installed.
        CheckpointError: no weights at `source`.
    """
    if kind not in _POSITIONS:
        raise SettingsError(f"unknown backbone '{kind}'; known are {', '.join(_POSITIONS)}")
    if source is not None and (config or kind == "tiny"):
        raise SettingsError(
            "a backbone has a source or a config: weights come with their own configuration, and a tiny one is always random"
        )
    if source is None:
        folder, found = None, _drawn_config(kind, dict(config or {}))
    else:
        folder = _folder(source)
        found = _read_config(folder)
    expected = _MODEL_TYPES.get(kind, found.model_type)
    if found.model_type != expected or (kind == "text" and hasattr(found, "vision_config")):
        raise SettingsError(f"{source or 'the config'} is a {found.model_type}, not a backbone of kind '{kind}'")
    digest = "" if folder is None else base_sha256(folder)
    return Backbone(kind, _plain(found), None if source is None else str(source), digest, positions or _POSITIONS[kind][0], dtype)


def base_sha256(folder: Path) -> str:
    """Identity of base weights: the SHA-256 of model.safetensors, or of the list of its shards' SHA-256.

    Raises:
        CheckpointError: there are no safetensors weights.
    """
    if (folder / WEIGHTS).is_file():
        return file_sha256(folder / WEIGHTS)
    shards = sorted(folder.glob("model-*-of-*.safetensors"))
    if not shards:
        raise CheckpointError(f"{folder} holds no {WEIGHTS}, whole or in shards; other formats can run code, convert them to safetensors")
    return sha256("".join(f"{file_sha256(shard)} {shard.name}\n" for shard in shards).encode()).hexdigest()


def build_backbone(spec: Backbone, base: str | Path | None = None, *, empty: bool = False) -> LanguageBackbone:
    """Build a language model in inference mode.

    Args:
        spec: which.
        base: where its base weights are now, if not at `spec.source`.
        empty: leave the weights undefined; for a caller that fills all of them.

    Raises:
        CheckpointError: the base weights are not there, not those of `spec`, or do not fit its configuration.
        SettingsError: the model would ignore positions, or transformers is not installed.
    """
    modeling = _transformers()
    from transformers.initialization import no_init_weights

    config, dtype = _config(spec.config), DTYPES[spec.dtype]
    if empty:
        with no_init_weights():
            model = modeling.AutoModel.from_config(config, dtype=dtype)
    elif spec.source is None:
        model = modeling.AutoModel.from_config(config, dtype=dtype)
    else:
        model = _load(_folder(base or spec.source), spec, config)
    if missing := set(_ARGUMENTS) - inspect.signature(model.forward).parameters.keys():  # it would take them and not use them
        raise SettingsError(f"a {config.model_type} takes no {', '.join(sorted(missing))} and cannot be a backbone")
    if spec.kind == "qwen2-vl":
        model.visual = None  # images come from our tower
    return LanguageBackbone(spec, model).eval()


class LanguageBackbone(nn.Module):
    """A language model that takes embeddings, of whatever kind, and returns states.

    Attributes:
        spec: which.
        lora: how it is adapted, set by `lora.add_lora`; None if it is not.
        model: of transformers, without a vision tower.
    """

    def __init__(self, spec: Backbone, model: nn.Module) -> None:
        super().__init__()
        self.spec = spec
        self.lora: LoraSettings | None = None
        self.model: Any = model

    def embed_tokens(self, ids: Tensor) -> Tensor:
        """Embed (B, L) token ids as (B, L, hidden)."""
        embedded: Tensor = self.model.get_input_embeddings()(ids)
        return embedded

    def forward(self, embeds: Tensor, mask: Tensor, slots: Tensor, grids: Sequence[tuple[int, int]]) -> Tensor:
        """Run the model over sequences that may be padded on either side.

        Args:
            embeds: (B, L, hidden).
            mask: (B, L) bool, True for tokens.
            slots: (B, L), see `prompts.Slot`.
            grids: (rows, columns) of the tokens of each image, in reading order over the batch.

        Returns:
            (B, L, hidden) states of the last layer, after its norm; undefined where the mask is False.
        """
        if self.spec.positions == "mrope":
            positions = self._rows_and_columns(mask.cpu(), slots.cpu(), grids).to(embeds.device)
        else:
            positions = (mask.long().cumsum(1) - 1).clamp_min(0)
        language = self.model.language_model if self.spec.kind == "qwen2-vl" else self.model
        # a cache would only serve generation
        output = language(inputs_embeds=embeds.to(self.model.dtype), attention_mask=mask.long(), position_ids=positions, use_cache=False)
        states: Tensor = output.last_hidden_state
        return states

    def branches(self, prefix: Tensor, owner: Tensor, embeds: Tensor, mask: Tensor) -> Tensor:
        """Run sequences that begin alike: each beginning once, then what follows each, with the beginning's keys and values in view.

        The states are those of `forward` on the whole sequences, but for rounding; gradients flow through the beginnings too.

        Args:
            prefix: (U, P, hidden) the different beginnings, without padding.
            owner: (B,) int64, which of them each sequence begins with.
            embeds: (B, S, hidden) what follows.
            mask: (B, S) bool, True for tokens; padding on the right.

        Returns:
            (B, S, hidden) states of what follows.
        """
        from transformers import DynamicCache

        begun = DynamicCache(config=self.model.config)
        self.model(inputs_embeds=prefix.to(self.model.dtype), past_key_values=begun, use_cache=True)
        begun.batch_select_indices(owner)
        whole = torch.cat([mask.new_ones(len(mask), prefix.shape[1]), mask], dim=1)
        places = torch.arange(prefix.shape[1], whole.shape[1], device=mask.device).expand(len(mask), -1)
        output = self.model(
            inputs_embeds=embeds.to(self.model.dtype), attention_mask=whole.long(), position_ids=places, past_key_values=begun, use_cache=True
        )
        states: Tensor = output.last_hidden_state
        return states

    def _rows_and_columns(self, mask: Tensor, slots: Tensor, grids: Sequence[tuple[int, int]]) -> Tensor:
        """Qwen2-VL's own (3, B, L) positions, handed to its language part: the whole model would use those of an earlier call."""
        merge = self.model.config.vision_config.spatial_merge_size  # it counts patches before merging
        sizes = torch.tensor([(1, rows * merge, columns * merge) for rows, columns in grids], dtype=torch.int64).reshape(-1, 3)
        kinds = (slots == Slot.IMAGE).long()
        positions: Tensor = self.model.get_rope_index(slots, kinds, image_grid_thw=sizes, attention_mask=mask)[0]
        return positions


def _transformers() -> Any:  # noqa: ANN401 - a module
    try:
        import transformers
    except ImportError:
        raise SettingsError("language backbones need transformers and peft: pip install 'geolangbind[interleaved]'") from None
    return transformers


def _folder(source: str | Path) -> Path:
    folder = fetch(str(source)) if str(source).startswith(HUB) else Path(source)
    if not (folder / "config.json").is_file():
        raise CheckpointError(f"no backbone at '{source}': {folder / 'config.json'} does not exist; give a folder or {HUB}owner/name")
    return folder


def _read_config(folder: Path) -> PreTrainedConfig:
    try:
        return _transformers().AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"cannot read {folder / 'config.json'}: {_line(error)}") from None


def _drawn_config(kind: str, given: dict[str, Any]) -> PreTrainedConfig:
    """The configuration of random weights; transformers would keep a misspelt entry and not use it."""
    if kind == "tiny":
        given = {**_TINY, **given}
        given = {
            "head_dim": given["hidden_size"] // given["num_attention_heads"],
            "num_key_value_heads": given["num_attention_heads"],
            "intermediate_size": given["hidden_size"] * 8 // 3,
            **given,
        }
    given = {"model_type": _MODEL_TYPES.get(kind), **given}
    if given["model_type"] is None or "vocab_size" not in given.get("text_config", given):
        entries = "vocab_size and model_type" if kind == "text" else "vocab_size"
        raise SettingsError(f"a {kind} backbone of random weights needs config with {entries} at least; or give a source")
    _refuse_unknown(given, _config({"model_type": given["model_type"]}).to_dict())
    return _config(given)


def _refuse_unknown(given: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    for name, value in given.items():
        if name not in known:
            raise SettingsError(f"unknown entry '{name}' in the backbone's config; transformers would not use it")
        if name.endswith("_config") and isinstance(value, Mapping):
            _refuse_unknown(value, known[name])


def _config(values: Mapping[str, Any]) -> PreTrainedConfig:
    from huggingface_hub.errors import StrictDataclassError

    values = dict(values)
    try:
        return _transformers().AutoConfig.for_model(values.pop("model_type"), **values)
    except (StrictDataclassError, ValueError, KeyError, TypeError) as error:
        raise SettingsError(f"the backbone's config cannot be used: {_line(error)}") from None


def _plain(config: PreTrainedConfig) -> dict[str, Any]:
    """What makes the model, without what transformers notes of every model (its version, label names, ...)."""
    common = _transformers().PreTrainedConfig().to_dict().keys() - {"model_type"}

    def strip(values: Mapping[str, Any]) -> dict[str, Any]:
        kept = {name: value for name, value in values.items() if name not in common}
        return {name: strip(value) if name.endswith("_config") and isinstance(value, Mapping) else value for name, value in kept.items()}

    return strip(config.to_dict())


def _load(folder: Path, spec: Backbone, config: PreTrainedConfig) -> Any:  # noqa: ANN401 - a transformers model
    if base_sha256(folder) != spec.sha256:
        raise CheckpointError(
            f"the weights in {folder} are not those that this model was built on (their SHA-256 is not {spec.sha256[:12]}...); "
            f"give the right base, it was {spec.source}"
        )
    try:
        model, told = _transformers().AutoModel.from_pretrained(
            folder,
            config=config,
            dtype=DTYPES[spec.dtype],
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
        )
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"cannot load {folder}: {_line(error)}") from None
    if absent := sorted(told["missing_keys"]):
        raise CheckpointError(f"{folder} lacks {len(absent)} tensors of a {config.model_type}: {', '.join(absent[:5])}")
    return model


def _line(error: Exception) -> str:
    """What a failure of a library says, in one line."""
    return " ".join(str(error).split())[:300] or type(error).__name__
