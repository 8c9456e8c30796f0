"""`geolangbind shards build`: a card and a folder of public data in, verified shards out. Parallel, resumable, idempotent."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from geolangbind.captions import JoinedCaptions
from geolangbind.data.index import INDEX_NAME, Index, ShardRecord, load_index
from geolangbind.data.write import write_index
from geolangbind.errors import DataError, SettingsError
from geolangbind.sensors import add_sensor, get_sensor
from geolangbind.sources.blocks import JOURNAL, Done, Finding, forget_others, load_done, own_sensor, write_block
from geolangbind.sources.card import Card, View
from geolangbind.sources.plan import Block, Plan, make_plan

Progress = Callable[[int], None]
"""Told how many more records are done."""


@dataclass(frozen=True)
class Options:
    """What a build may be told beyond the card.

    Attributes:
        views: which views; all that are found if empty.
        split: only this split.
        limit: only so many records of each view, evenly spread.
        captions: JSON lines of captions made elsewhere, joined by sample key.
        said: fields of `View` that the user says for all views: sensor, bands, unit, scale, offset, nodata, gsd_m, fit, size_px, encoding.
        records_per_shard: records of one block.
        workers: processes.
        overwrite: replace shards of another build in the folder.
    """

    views: tuple[str, ...] = ()
    split: str | None = None
    limit: int | None = None
    captions: Path | None = None
    said: Mapping[str, Any] | None = None
    records_per_shard: int = 1000
    workers: int = 2
    overwrite: bool = False


@dataclass(frozen=True)
class Report:
    """What a build did.

    Attributes:
        card: name of the source.
        out: folder of the shards.
        fingerprint: identity of the shards, see `Index.fingerprint`.
        samples: by view and split, how many are in the shards.
        expected: by split, how many the card expects; None where nobody knows.
        written: blocks written now; the others were there.
        blocks: all blocks.
        places: by view, the reader and pattern that found its files.
        missing: views whose files were not there.
        skipped: records that gave no sample, with reasons.
        doubtful: samples that are in the shards, but whose values can hardly be in the unit that the card states.
        wordless: samples with neither caption nor label, which contrastive training cannot use.
        unjoined: lines of captions made elsewhere whose key no sample has.
    """

    card: str
    out: Path
    fingerprint: str
    samples: Mapping[str, Mapping[str, int]]
    expected: Mapping[str, int | None]
    written: int
    blocks: int
    places: Mapping[str, str]
    missing: tuple[str, ...]
    skipped: tuple[Finding, ...]
    doubtful: tuple[Finding, ...]
    wordless: int
    unjoined: int

    @property
    def ok(self) -> bool:
        """Whether nothing was skipped."""
        return not self.skipped

    @property
    def count(self) -> int:
        """Number of samples."""
        return sum(sum(by_split.values()) for by_split in self.samples.values())

    def to_json(self) -> dict[str, Any]:
        """Plain values, in the order of the class."""
        told = {name: getattr(self, name) for name in self.__dataclass_fields__}
        findings = {name: [asdict(entry) for entry in getattr(self, name)] for name in ("skipped", "doubtful")}
        return {**told, "out": str(self.out), "ok": self.ok, "count": self.count, **findings}


def build(
    card: Card,
    root: Path,
    out: Path,
    options: Options = Options(),
    progress: Callable[[Plan], Progress] | None = None,
) -> Report:
    """Turn a source into shards with an index.

    Blocks that an earlier run finished are kept as long as card, options and source files are the same; so an interrupted build goes on
    where it stopped, and a finished one does nothing.

    Args:
        card: what the source holds.
        root: where its files lie.
        out: folder for the shards.
        options: see `Options`.
        progress: given the plan, returns what is told of every record done.

    Returns:
        The report; records that could not be used are in it, not raised.

    Raises:
        SettingsError: unusable options, or the source's files are not under the root.
        DataError: `out` holds shards of something else, nothing could be built, or a table of the source is wrong.
    """
    _check(options)
    card = _with_said(card, options.said or {})
    others = "" if options.captions is None else _hash(options.captions)
    others += "".join(own_sensor(view) or "" for view in card.views.values())
    plan = make_plan(
        card, root, views=options.views, split=options.split, limit=options.limit, records_per_shard=options.records_per_shard,
        seasoning=others,
    )  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    _check_out(card, out, options)
    (out / JOURNAL).mkdir(exist_ok=True)
    found = {block.name: done for block in plan.blocks if (done := load_done(block, out)) is not None}
    told = progress(plan) if progress else lambda _: None
    told(sum(len(block.records) for block in plan.blocks if block.name in found))
    missing = [block for block in plan.blocks if block.name not in found]
    for block, done in _write(missing, card, out, options):
        found[block.name] = done
        told(len(block.records))
    return _finish(plan, out, [found[block.name] for block in plan.blocks], len(missing), options)


def _write(blocks: Sequence[Block], card: Card, out: Path, options: Options) -> Iterable[tuple[Block, Done]]:
    if options.workers == 1 or len(blocks) == 1:
        yield from ((block, write_block(block, card, out, options.captions)) for block in blocks)
        return
    # not forked from here, where a fork would copy whatever threads and GDAL handles there are, but from a server that only imports
    context = multiprocessing.get_context("forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn")
    context.set_forkserver_preload([write_block.__module__])
    with ProcessPoolExecutor(min(options.workers, max(len(blocks), 1)), mp_context=context) as pool:
        waiting = {pool.submit(write_block, block, card, out, options.captions): block for block in blocks}
        try:
            for future in as_completed(waiting):
                yield waiting[future], future.result()
        except BrokenProcessPool:
            raise DataError(
                f"{out}: a worker process was killed (out of memory?); run the same command again with fewer --workers"
            ) from None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _finish(plan: Plan, out: Path, blocks: Sequence[Done], written: int, options: Options) -> Report:
    card = plan.card
    skipped = tuple(entry for done in blocks for entry in done.skipped)
    shards = [shard for done in blocks for shard in done.shards]
    if not shards:
        first = Counter(entry.why for entry in skipped).most_common(1)
        told = f"the commonest reason: {first[0][0]}" if first else "it holds nothing"
        raise DataError(f"none of the {plan.count} samples of {card.name} under {plan.root} could be used; {told}")
    labels = "classes" if "multi_label" in card.tasks else "scene_class"
    provenance = {
        "card": card.name, "card_sha256": card.sha256, "source": card.source, "revision": card.revision, "licence": card.licence,
        "classes": {labels: {name: list(words) for name, words in card.classes.items()}} if card.classes else {},
        "mask_classes": {str(value): name for value, name in card.mask_classes.items()}, "contamination": list(card.contamination),
        "prompts": list(card.prompts), "read": plan.places, "own_sensors": _own_sensors(plan), "part": _part(options),
    }  # fmt: skip
    index = write_index(out, _with_features(shards, out), {name: value for name, value in provenance.items() if value}, "overwrite")
    forget_others(out, card.name, {done.block for done in blocks}, index)
    samples: dict[str, Counter[str]] = {}
    for block, done in zip(plan.blocks, blocks, strict=True):
        count = sum(len(shard.keys) for shard in done.shards)
        samples.setdefault(block.view.name, Counter())[block.records[0].split or "all"] += count
    return Report(
        card=card.name,
        out=out,
        fingerprint=index.fingerprint,
        samples={view: dict(counts) for view, counts in samples.items()},
        expected=card.splits,
        written=written,
        blocks=len(blocks),
        places=plan.places,
        missing=plan.missing,
        skipped=skipped,
        doubtful=tuple(entry for done in blocks for entry in done.doubtful),
        wordless=sum(done.wordless for done in blocks),
        unjoined=0 if options.captions is None else _unjoined(options.captions, index),
    )


def _unjoined(captions: Path, index: Index) -> int:
    joined = JoinedCaptions(captions)
    for shard in index.shards:
        for key in shard.keys:
            joined.get(key)
    return joined.unused()


def _part(options: Options) -> dict[str, Any]:
    """What was asked of the source, where it was not all of it."""
    asked = {"views": sorted(options.views), "split": options.split, "limit": options.limit}
    return {name: value for name, value in asked.items() if value}


def _own_sensors(plan: Plan) -> dict[str, str]:
    found = (own_sensor(view) for name, view in plan.card.views.items() if name in plan.places)
    return {add_sensor(text).name: text for text in found if text is not None}


def _with_features(shards: Sequence[ShardRecord], out: Path) -> list[ShardRecord]:
    """Teacher features computed since an earlier build stay with the shards that have not changed."""
    if not (out / INDEX_NAME).exists():
        return list(shards)
    before = {shard.sha256: shard.features for shard in load_index(out).shards}
    return [replace(shard, features=before.get(shard.sha256, {})) for shard in shards]


def _check(options: Options) -> None:
    for name, value in (("workers", options.workers), ("records-per-shard", options.records_per_shard), ("limit", options.limit or 1)):
        if value < 1:
            raise SettingsError(f"--{name} must be at least 1, got {value}")


def _with_said(card: Card, said: Mapping[str, Any]) -> Card:
    """The card with what the user says put into every view; it is another card then, and hashes as one."""
    given = {name: value for name, value in said.items() if value is not None}
    if not given:
        return card
    views: dict[str, View] = {name: replace(view, **given) for name, view in card.views.items()}
    if "bands" in given:
        chosen = {name: get_sensor(view.sensor).select(bands=list(given["bands"])) for name, view in views.items()}
        views = {name: replace(view, bands=tuple(band.name for band in chosen[name])) for name, view in views.items()}
    return replace(card, views=views, sha256=sha256(f"{card.sha256} {sorted(given.items())}".encode()).hexdigest())


def _check_out(card: Card, out: Path, options: Options) -> None:
    """Refuse to replace shards of another source, or of another part of this one."""
    if options.overwrite or not (out / INDEX_NAME).exists():
        return
    before = load_index(out).provenance
    source, part = before.get("card"), before.get("part", {})
    if source != card.name:
        whose = f"shards of {source}" if source else "shards of another kind"
    elif part != _part(options):
        whose = f"{', '.join(f'{name} {value}' for name, value in part.items()) or 'all'} of {card.name}, which is not what was asked for"
    else:
        return
    raise DataError(f"{out} holds {whose}; choose another --out, or say --overwrite to replace them")


def _hash(path: Path) -> str:
    try:
        return sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise SettingsError(f"--captions {path}: cannot be read ({error.strerror})") from None
