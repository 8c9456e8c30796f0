"""From paths to a merged model: prepare a plan, then carry it out."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from merge_weights.card import card, parents, provenance, recorded
from merge_weights.chain import PathLike, Step, make_steps
from merge_weights.config import CONFIG_NAME, FORMAT_VERSION, TOKENIZER_NAME, Config, read_tokenizer, unite
from merge_weights.errors import MergeError
from merge_weights.inputs import INDEX_NAME, WEIGHTS_NAME, check_out, open_sources
from merge_weights.plan import Method, MissingRule, Plan, make_plan
from merge_weights.write import OutFile, lay_out, staged, write_bytes, write_weights

Progress = Callable[[int, int], None]
"""Told (bytes done, bytes in all)."""

_NO_HASH = "0" * 64


@dataclass(frozen=True)
class Options:
    """What else a merge may be told.

    Attributes:
        keep_heads: keep MaKA projectors.
        missing: "copy" lets inputs lack tensors.
        skip: patterns of tensors that stay as in the base.
        overwrite: replace an existing merged model.
        shard_bytes: tensor bytes per output file; None for one file.
        sync: flush the output to the disk before it gets its name.
    """

    keep_heads: bool = False
    missing: MissingRule = "refuse"
    skip: tuple[str, ...] = ()
    overwrite: bool = False
    shard_bytes: int | None = None
    sync: bool = True


@dataclass(frozen=True)
class Checked:
    """A plan found possible, with what the output folder will hold beside the weights (None when the inputs are single files)."""

    plan: Plan
    out: Path
    config: Config | None
    tokenizer: bytes | None
    options: Options


def check(plan: Plan, out: PathLike, options: Options) -> Checked:
    """Check everything that can be known before the values are read.

    Raises:
        MergeError: the output place, the configurations, the tokenizers or the tensors do not allow the merge.
    """
    place = Path(out)
    check_out(place, plan.sources, options.overwrite)
    in_folders = plan.sources[0].folder is not None
    if options.shard_bytes is not None and not in_folders:
        raise MergeError("shards need a folder: merge model folders, or leave out --shard-size")
    config = unite(plan.sources, keep_heads=options.keep_heads) if in_folders else None
    if plan.routes:
        if config is None:
            raise MergeError("routes are a matter of config.json: merge model folders, or choose another policy for the generator")
        config["architecture"]["vision"]["routes"] = [[route.name, list(route.kinds)] for route in plan.routes]
    tokenizer = read_tokenizer(plan.sources)
    plan.check()
    return Checked(plan, place, config, tokenizer, options)


def carry_out(checked: Checked, command: str, progress: Progress | None = None) -> None:
    """Write the merged model under its final name, whole or not at all.

    Args:
        checked: what to do.
        command: how to repeat it; recorded.
        progress: told how far it is.

    Raises:
        MergeError: NaN or Inf in an input, or reading or writing failed.
    """
    plan, options = checked.plan, checked.options
    total = sum(source.weights.nbytes for source in plan.sources) + sum(entry.info.nbytes for entry in plan.written())
    advance = _counter(total, progress)
    call = recorded(plan, options.keep_heads, options.skip)
    common = _common_metadata(plan)

    def metadata(hashes: Sequence[str]) -> dict[str, str]:
        told = {"format_version": FORMAT_VERSION, "parents": parents(plan, hashes), "merge": call}
        return {**common, "geolangbind": json.dumps(told)}

    unknown = metadata([_NO_HASH] * len(plan.sources))
    with staged(checked.out, options.sync) as partial:
        if checked.config is None:
            layout = lay_out(plan, partial.name, unknown, None)
            write_weights(partial.parent, layout, plan, metadata, advance, options.sync)
            return
        partial.mkdir()
        layout = lay_out(plan, WEIGHTS_NAME, unknown, options.shard_bytes)
        hashes = write_weights(partial, layout, plan, metadata, advance, options.sync)
        if len(layout) > 1:
            write_bytes(partial / INDEX_NAME, _index(layout), options.sync)
        listed, how = parents(plan, hashes), {**provenance(plan, command), "merge": call}
        config = {**checked.config, "parents": listed, "provenance": how}
        write_bytes(partial / CONFIG_NAME, (json.dumps(config, indent=2, ensure_ascii=False) + "\n").encode(), options.sync)
        if checked.tokenizer is not None:
            write_bytes(partial / TOKENIZER_NAME, checked.tokenizer, options.sync)
        write_bytes(partial / "README.md", card(listed, how, config).encode(), options.sync)


def _counter(total: int, progress: Progress | None) -> Callable[[int], None]:
    """Count bytes of several threads and pass the sum on."""
    lock, done = threading.Lock(), 0

    def advance(count: int) -> None:
        nonlocal done
        with lock:
            done += count
            if progress is not None:
                progress(done, total)

    return advance


def _common_metadata(plan: Plan) -> dict[str, str]:
    """What all inputs say of themselves alike, such as the names of tied tensors (safetensors' save_model) and the framework."""
    first, *others = (source.weights.metadata for source in plan.sources)
    return {key: value for key, value in first.items() if key != "geolangbind" and all(other.get(key) == value for other in others)}


def _index(layout: Sequence[OutFile]) -> bytes:
    """The index of a sharded output, as transformers and the safetensors tools read it."""
    places = {entry.key: file.name for file in layout for entry in file.entries}
    size = sum(entry.info.nbytes for file in layout for entry in file.entries)
    return (json.dumps({"metadata": {"total_size": size}, "weight_map": places}, indent=1) + "\n").encode()


def merge(
    base: PathLike,
    steps: Sequence[Step | tuple[PathLike, float]],
    out: PathLike,
    *,
    parts: Mapping[str, Sequence[float]] | None = None,
    method: str = "progressive",
    density: float = 1.0,
    seed: int = 0,
    keep_heads: bool = False,
    missing: MissingRule = "refuse",
    skip: Sequence[str] = (),
    routes: Sequence[str] = (),
    overwrite: bool = False,
    shard_bytes: int | None = None,
    sync: bool = True,
    command: str | None = None,
) -> Plan:
    """Merge models; by default theta_0 = base; theta_i = theta_(i-1) + m_i (step_i - theta_(i-1)); write theta_n.

    Args:
        base: run folder, model folder or `.safetensors` file. All inputs must be of one sort.
        steps: (path, coefficient) in order, or `Step`s. The paper: [(rgb, 0.9), (others, 0.5)].
        out: the model folder (or `.safetensors` file) to write.
        parts: per part of the model (`chain.PARTS`) one coefficient for each step, e.g. {"generator": [0.9, 1.0]}.
        method: "progressive" (the chain above) or a key of `methods.METHODS`.
        density: share of each task vector that TIES and DARE keep.
        seed: of DARE's random choice.
        keep_heads: keep MaKA projectors.
        missing: "copy" lets inputs lack tensors, see the README.
        skip: tensors whose name matches one of these patterns stay as in the base.
        routes: names of steps that keep their own kernel generator (`routes.KINDS`); the last step's serves all other images.
        overwrite: replace an existing merged model at `out`.
        shard_bytes: split the output into files of so many tensor bytes, with an index.
        sync: flush the output to the disk before it gets its name.
        command: how to repeat this, recorded in the output.

    Returns:
        The plan that was carried out.

    Raises:
        MergeError: the inputs do not fit together or hold NaN or Inf, or `out` cannot be written. Nothing is left behind then.
    """
    chain, options = make_steps(steps, parts), Options(keep_heads, missing, tuple(skip), overwrite, shard_bytes, sync)
    how = Method(method, density, seed)
    plan = make_plan(open_sources(base, chain), chain, keep_heads=keep_heads, missing=missing, skip=skip, method=how, routes=routes)
    checked = check(plan, out, options)
    carry_out(checked, command or f"merge_weights.merge({str(base)!r}, steps={[(str(s.source), s.coefficient) for s in chain]})")
    return plan
