"""From paths to a merged model: prepare a plan, then carry it out."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from merge_weights.card import card, parents, provenance
from merge_weights.chain import PathLike, Step, make_steps
from merge_weights.config import CONFIG_NAME, FORMAT_VERSION, TOKENIZER_NAME, Config, read_tokenizer, unite
from merge_weights.inputs import WEIGHTS_NAME, check_out, open_sources
from merge_weights.plan import MissingRule, Plan, make_plan
from merge_weights.tensors import open_files, sha256_of
from merge_weights.write import staged, write_bytes, write_weights

Progress = Callable[[int, int], None]
"""Told (bytes done, bytes in all)."""


@dataclass(frozen=True)
class Checked:
    """A plan found possible, with what the output folder will hold beside the weights (None when the inputs are single files)."""

    plan: Plan
    out: Path
    config: Config | None
    tokenizer: bytes | None


def check(plan: Plan, out: PathLike, *, keep_heads: bool = False, overwrite: bool = False) -> Checked:
    """Check everything that can be known before the values are read.

    Raises:
        MergeError: the output place, the configurations, the tokenizers or the tensors do not allow the merge.
    """
    place = Path(out)
    check_out(place, plan.sources, overwrite)
    in_folders = plan.sources[0].folder is not None
    config = unite(plan.sources, keep_heads=keep_heads) if in_folders else None
    tokenizer = read_tokenizer(plan.sources)
    plan.check()
    return Checked(plan, place, config, tokenizer)


def carry_out(checked: Checked, command: str, progress: Progress | None = None) -> None:
    """Write the merged model under its final name, whole or not at all.

    Args:
        checked: what to do.
        command: how to repeat it; recorded.
        progress: told how far it is.

    Raises:
        MergeError: NaN or Inf in an input, or reading or writing failed.
    """
    plan = checked.plan
    total = sum(source.weights.nbytes for source in plan.sources) + sum(entry.info.nbytes for entry in plan.written())
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        if progress is not None:
            progress(done, total)

    with open_files([source.weights.path for source in plan.sources]) as files:
        hashes = [sha256_of(file, source.weights.nbytes, advance) for file, source in zip(files, plan.sources, strict=True)]
    listed, how = parents(plan, hashes), provenance(plan, command)
    metadata = {"geolangbind": json.dumps({"format_version": FORMAT_VERSION, "parents": listed})}
    with staged(checked.out) as partial:
        if checked.config is None:
            write_weights(partial, plan, metadata, advance)
            return
        partial.mkdir()
        write_weights(partial / WEIGHTS_NAME, plan, metadata, advance)
        config = {**checked.config, "parents": listed, "provenance": how}
        write_bytes(partial / CONFIG_NAME, (json.dumps(config, indent=2, ensure_ascii=False) + "\n").encode())
        if checked.tokenizer is not None:
            write_bytes(partial / TOKENIZER_NAME, checked.tokenizer)
        write_bytes(partial / "README.md", card(listed, how, config).encode())


def merge(
    base: PathLike,
    steps: Sequence[Step | tuple[PathLike, float]],
    out: PathLike,
    *,
    parts: Mapping[str, Sequence[float]] | None = None,
    keep_heads: bool = False,
    missing: MissingRule = "refuse",
    overwrite: bool = False,
    command: str | None = None,
) -> Plan:
    """Merge models: theta_0 = base; theta_i = theta_(i-1) + m_i (step_i - theta_(i-1)); write theta_n.

    Args:
        base: run folder, model folder or `.safetensors` file. All inputs must be of one sort.
        steps: (path, coefficient) in order, or `Step`s. The paper: [(rgb, 0.9), (others, 0.5)].
        out: the model folder (or `.safetensors` file) to write.
        parts: per part of the model (`chain.PARTS`) one coefficient for each step, e.g. {"generator": [0.9, 1.0]}.
        keep_heads: keep MaKA projectors.
        missing: "copy" lets inputs lack tensors, see the README.
        overwrite: replace an existing merged model at `out`.
        command: how to repeat this, recorded in the output.

    Returns:
        The plan that was carried out.

    Raises:
        MergeError: the inputs do not fit together or hold NaN or Inf, or `out` cannot be written. Nothing is left behind then.
    """
    chain = make_steps(steps, parts)
    plan = make_plan(open_sources(base, chain), chain, keep_heads=keep_heads, missing=missing)
    checked = check(plan, out, keep_heads=keep_heads, overwrite=overwrite)
    carry_out(checked, command or f"merge_weights.merge({str(base)!r}, steps={[(str(s.source), s.coefficient) for s in chain]})")
    return plan
