"""Where a suite's samples come from: drawn, built or found, once for all runs."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

from geolangbind.data.index import INDEX_NAME
from geolangbind.data.shards import ShardSet
from geolangbind.errors import DataError, SettingsError
from geolangbind.evaluate.suite import Source
from geolangbind.planet.groups import PLANET_VERSION
from geolangbind.planet.write import write_planet
from geolangbind.sources.build import Options, build
from geolangbind.sources.card import Card


class NotThereError(DataError):
    """A data set of a suite is not on this machine, or not in a form that its card knows."""


def open_source(source: Source, kept: Path) -> ShardSet:
    """Open the samples of a suite's entry.

    Args:
        source: what the suite says.
        kept: folder for shards that are drawn or built; they are reused, after a look at what they say they are.

    Raises:
        NotThereError: a card's files are not under the root, or no shards can be built of them.
        DataError: shards are missing or damaged, or what is kept is something else.
        SettingsError: the planet cannot be drawn so.
    """
    if source.planet is not None:
        return _planet(dict(source.planet), kept)
    if source.card is not None:
        return _card(source, source.card, kept)
    return ShardSet.open(str(source.shards))


def _planet(wanted: dict[str, object], kept: Path) -> ShardSet:
    count, seed, split = int(str(wanted["scenes"])), int(str(wanted["seed"])), str(wanted["split"])
    folder = kept / f"planet-v{PLANET_VERSION}-{split}-{seed}-{count}"
    if not (folder / INDEX_NAME).exists():
        kept.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=kept, prefix=".planet-", ignore_cleanup_errors=True) as part:
            drawn = Path(part) / "planet"
            write_planet(drawn, count, seed, split=split)
            if not folder.exists():  # another run may have been faster; its scenes are the same
                drawn.rename(folder)
    shards = ShardSet.open(folder)
    expected = {"planet_version": PLANET_VERSION, "seed": seed, "split": split, "count": count}
    if {key: shards.index.provenance.get(key) for key in expected} != expected:
        raise DataError(f"{folder} does not hold {count} scenes of split {split} of planet {seed}; remove it, and it is drawn again")
    return shards


def _card(source: Source, card: Card, kept: Path) -> ShardSet:
    if source.root is None:
        raise NotThereError(f"{card.name}: say where data sets lie, suite.root=DIR")
    place = source.root / source.folder
    if (place / INDEX_NAME).exists():
        return ShardSet.open(place)
    if not place.is_dir():
        raise NotThereError(f"{card.name}: no folder {place}")
    told = json.dumps([card.sha256, str(place.resolve()), source.split, source.limit])
    out = kept / f"{card.name}-{sha256(told.encode()).hexdigest()[:12]}"
    try:
        # looks at every source file's size and date again: what has changed is built anew
        build(card, place, out, Options(split=source.split, limit=source.limit))
    except (SettingsError, DataError) as error:
        raise NotThereError(f"{card.name}: {error}") from None
    return ShardSet.open(out)
