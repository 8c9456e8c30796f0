"""Files of MMEB rows, JSON lines or parquet, to pairs folders and back."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geolangbind.errors import DataError, GeoLangBindError, SettingsError
from geolangbind.instruct.mmeb import read_row, write_row
from geolangbind.instruct.row import AnyRow, Row
from geolangbind.instruct.rows import Pairs, StoredImage, plain_name, write_pairs
from geolangbind.instruct.segments_json import relative
from geolangbind.interleaved.segments import Image

_ROWS_READ = 1000


@dataclass(frozen=True)
class Exported:
    """What came of an export.

    Attributes:
        rows: written.
        left_out: how many rows the format cannot hold, by reason.
        shortened: rows that lost further negatives or right candidates.
    """

    rows: int
    left_out: Mapping[str, int]
    shortened: int


def import_mmeb(file: Path, out: Path, images: Path | None = None, sensor: str | None = None, name: str | None = None) -> Pairs:
    """Turn a file of rows to train on, or for evaluation, into a pairs folder of one source.

    Args:
        file: `.jsonl`, or `.parquet`, which takes pyarrow.
        out: folder to write.
        images: where paths begin; by default the file's folder.
        sensor: of all images, where the files do not say.
        name: of the source; by default the file's.

    Raises:
        DataError: a row that cannot be read, named by its line; a file that is none.
        SettingsError: no pyarrow, or another kind of file.
    """
    name = name or plain_name(file.stem)
    root = file.parent if images is None else images

    def rows() -> Iterator[AnyRow]:
        for number, raw in enumerate(_read(file), 1):
            try:
                yield read_row(raw, str(number), lambda path: Image(root / path, sensor))
            except GeoLangBindError as error:
                raise DataError(f"{file}:{number}: {error}") from None

    return write_pairs(out, {}, {name: (rows(), {"kind": "mmeb", "file": file.name})})


def export_mmeb(pairs: Pairs, out: Path, source: str | None = None) -> Exported:
    """Write one source as rows of MMEB; pictures in shards become PNG files in `images/` beside the file.

    Args:
        pairs: an opened folder.
        out: `.jsonl`, or `.parquet`, which takes pyarrow.
        source: which; may be left out if there is one only.

    Raises:
        SettingsError: no pyarrow, another kind of file, or no single source meant.
        DataError: `out` exists, or the format can hold none of the rows.
    """
    if source is None and len(pairs.sources) > 1:
        raise SettingsError(f"{pairs.folder} has several sources; name one of {', '.join(pairs.sources)}")
    source = source or next(iter(pairs.sources))
    if source not in pairs.sources:
        raise SettingsError(f"{pairs.folder} has no source '{source}'; it has {', '.join(pairs.sources)}")
    if out.exists():
        raise DataError(f"{out} exists already; choose another name")
    out.parent.mkdir(parents=True, exist_ok=True)
    pictures, left_out, written, shortened = _Pictures(pairs, out.parent), Counter[str](), [], 0
    for row in pairs.sources[source]:
        try:
            written.append(write_row(row, pictures.of))
        except GeoLangBindError as error:
            left_out[str(error)] += 1
        else:
            shortened += len(row.negatives) > 1 if isinstance(row, Row) else len(row.relevant) > 1
    if not written:
        raise DataError(f"MMEB's format can hold no row of source '{source}': {left_out.most_common(1)[0][0]}")
    _write(out, written)
    return Exported(len(written), dict(left_out.most_common()), shortened)


class _Pictures:
    """Paths and sizes of images; those in shards are written as PNG files when they are first met."""

    def __init__(self, pairs: Pairs, folder: Path) -> None:
        self.pairs, self.folder = pairs, folder
        self.known: dict[StoredImage | str, tuple[str, int, int]] = {}

    def of(self, image: Image) -> tuple[str, int, int]:
        source = image.source if isinstance(image.source, StoredImage) else str(image.source)
        if source not in self.known:
            self.known[source] = self._stored(source) if isinstance(source, StoredImage) else self._file(source)
        return self.known[source]

    def _stored(self, stored: StoredImage) -> tuple[str, int, int]:
        from PIL import Image as Pillow

        stream, number = self.pairs.locate(stored)
        channels, height, width = stream.shape
        if stream.shards[0].layout.dtype != "uint8" or channels not in (1, 3):
            raise DataError(f"images of {stream.sensor} are no 8-bit pictures of 1 or 3 channels")
        path = self.folder / "images" / stored.shards / f"{stored.key}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = stream.read(number).image
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            Pillow.fromarray(pixels[0] if channels == 1 else pixels.transpose(1, 2, 0)).save(temporary, "PNG")
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        return relative(path, self.folder), height, width

    def _file(self, source: str) -> tuple[str, int, int]:
        from PIL import Image as Pillow

        try:
            with Pillow.open(source) as file:
                width, height = file.size
        except OSError:  # only rows with boxes need the size
            width = height = 0
        return relative(source, self.folder), height, width


def _read(file: Path) -> Iterator[dict[str, Any]]:
    if _is_parquet(file):
        pyarrow = _pyarrow()
        try:
            for batch in pyarrow.parquet.ParquetFile(file).iter_batches(_ROWS_READ):
                yield from batch.to_pylist()
        except (OSError, ValueError) as error:
            raise DataError(f"{file} is no readable parquet file: {error}") from None
        return
    try:
        with file.open("rb") as lines:
            yield from (_object(line, f"{file}:{number}") for number, line in enumerate(lines, 1))
    except OSError as error:
        raise DataError(f"{file}: {error.strerror}") from None


def _object(line: bytes, where: str) -> dict[str, Any]:
    try:
        raw = json.loads(line)
    except ValueError as error:
        raise DataError(f"{where}: no JSON ({error})") from None
    if not isinstance(raw, dict):
        raise DataError(f"{where}: a row is a JSON object, got {raw!r:.60}")
    return raw


def _write(out: Path, rows: list[dict[str, Any]]) -> None:
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        if _is_parquet(out):
            pyarrow = _pyarrow()
            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), temporary)
        else:
            temporary.write_text("".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows), "utf-8")
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)


def _is_parquet(file: Path) -> bool:
    if file.suffix not in (".parquet", ".jsonl"):
        raise SettingsError(f"{file}: rows of MMEB are read from and written to .jsonl or .parquet files")
    return file.suffix == ".parquet"


def _pyarrow() -> Any:  # noqa: ANN401 - an optional package without types
    from importlib import import_module

    try:
        import_module("pyarrow.parquet")
        return import_module("pyarrow")
    except ImportError:
        raise SettingsError("parquet files need pyarrow: pip install 'geolangbind[parquet]'") from None
