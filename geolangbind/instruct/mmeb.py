"""Rows of MMEB and VLM2Vec (arXiv 2410.05160) to rows of ours, and back. Importable without torch.

Rows to train on hold `qry, qry_image_path, pos_text, pos_image_path, neg_text, neg_image_path`; rows for evaluation `qry_inst, qry_text,
qry_img_path, tgt_inst, tgt_text, tgt_img_path`, the last two lists with the right answer first. A text marks the place of its one image;
where an evaluation row marks it in the instruction, or not at all, the image comes first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from geolangbind.errors import DataError
from geolangbind.instruct.row import AnyRow, RankingRow, Row
from geolangbind.instruct.segments_json import Sequence
from geolangbind.interleaved.segments import Date, GeoBox, GeoPoint, Image, PixelBox, Segment, Text
from geolangbind.interleaved.serialize import write_box, write_date, write_geobox, write_point

PLACEHOLDER = "<|image_1|>"
_ANY_PLACEHOLDER = "<|image_"
_TRAINING = ("qry", "qry_image_path", "pos_text", "pos_image_path", "neg_text", "neg_image_path")
_EVALUATION = ("qry_inst", "qry_text", "qry_img_path", "tgt_inst", "tgt_text", "tgt_img_path")

OpenImage = Callable[[str], Image]
"""From the path in a row to the image."""
Picture = Callable[[Image], tuple[str, int, int]]
"""From an image to its path in a row, its height and its width; zeros where nobody can tell."""


def read_row(raw: Mapping[str, Any], name: str, open_image: OpenImage) -> AnyRow:
    """Read a row: one for evaluation if it has `tgt_text`, else one to train on. Fields that are absent or null count as empty.

    Args:
        raw: fields of the row; others than those of its kind are refused.
        name: id to give it.
        open_image: what to make of a path.

    Raises:
        DataError: an unknown field, one of the wrong type, a text and path that do not fit together, or nothing to embed.
    """
    fields = _EVALUATION if "tgt_text" in raw else _TRAINING
    if unknown := sorted(set(raw) - set(fields)):
        raise DataError(f"unknown field '{unknown[0]}'; fields are {', '.join(fields)}")
    if fields is _TRAINING:
        text = {name: _text(name, raw.get(name)) for name in fields}
        negative = text["neg_text"] or text["neg_image_path"]
        return Row(
            id=name,
            instruction="",  # VLM2Vec writes it into the query
            query=_sequence(text["qry"], text["qry_image_path"], open_image, marked=True),
            target=_sequence(text["pos_text"], text["pos_image_path"], open_image, marked=True),
            negatives=(_sequence(text["neg_text"], text["neg_image_path"], open_image, marked=True),) if negative else (),
        )
    texts, paths = (_texts(name, raw.get(name)) for name in ("tgt_text", "tgt_img_path"))
    if len(texts) != len(paths):
        raise DataError(f"tgt_text has {len(texts)} candidates, tgt_img_path {len(paths)}")
    return RankingRow(
        id=name,
        instruction=_unmarked(_text("qry_inst", raw.get("qry_inst"))),
        query=_sequence(_text("qry_text", raw.get("qry_text")), _text("qry_img_path", raw.get("qry_img_path")), open_image),
        candidates=tuple(_sequence(text, path, open_image) for text, path in zip(texts, paths, strict=True)),
        relevant=(0,),
        candidate_instruction=_unmarked(_text("tgt_inst", raw.get("tgt_inst"))),
    )


def write_row(row: AnyRow, picture: Picture) -> dict[str, Any]:
    """Return a row in the format; boxes, places and days become text as our serializer writes it.

    The instruction stands behind an image that comes first, as VLM2Vec has it. Of negatives the first is kept, of several right
    candidates too: the format holds one.

    Raises:
        DataError: a sequence of several images, or words that hold the mark of an image.
    """
    if isinstance(row, Row):
        query, query_path = _written(row.instruction, row.query, picture)
        target, target_path = _written(row.target_instruction, row.target, picture)
        negative = _written(row.target_instruction, row.negatives[0], picture) if row.negatives else ("", "")
        return dict(zip(_TRAINING, (query, query_path, target, target_path, *negative), strict=True))
    kept = [row.relevant[0], *(number for number in range(len(row.candidates)) if number not in row.relevant)]
    candidates = [row.candidates[number] for number in kept]
    texts, paths = zip(*(_marked(row.candidate_instruction, candidate, picture) for candidate in candidates), strict=True)
    query, query_path = _marked(row.instruction, row.query, picture)
    instruction = _marking(row.instruction, [row.query])
    return dict(
        zip(
            _EVALUATION,
            (instruction, query, query_path, _marking(row.candidate_instruction, candidates), list(texts), list(paths)),
            strict=True,
        )
    )


def _sequence(text: str, path: str, open_image: OpenImage, marked: bool = False) -> Sequence:
    """Cut a text at the mark of its image; without `marked` an image that has no mark comes first."""
    marks = text.count(_ANY_PLACEHOLDER)
    if marks > 1 or (marks and PLACEHOLDER not in text):
        raise DataError(f"'{text:.60}' marks more than one image; a row of this format has one path for it")
    if not path and marks:
        raise DataError(f"'{text:.60}' marks an image, but its path is empty")
    if path and marked and not marks:
        raise DataError(f"'{text:.60}' has an image, but no {PLACEHOLDER} that says where")
    before, _, after = text.partition(PLACEHOLDER) if marks else ("", "", text)
    parts: list[Segment] = [Text(before)] if before else []
    if path:
        parts.append(open_image(path))
    if after:
        parts.append(Text(after))
    if not parts:
        raise DataError("a text and its image's path are both empty")
    return tuple(parts)


def _written(instruction: str, sequence: Sequence, picture: Picture) -> tuple[str, str]:
    """Text with the mark of its image, and path, with the instruction before the words."""
    text, path = _text_and_path(sequence, picture)
    if not instruction:
        return text, path
    if not text.startswith(PLACEHOLDER):
        return f"{instruction}\n{text}", path
    rest = text.removeprefix(PLACEHOLDER)
    return f"{PLACEHOLDER}\n{instruction}" + (f"\n{rest.lstrip()}" if rest else ""), path


def _marked(instruction: str, sequence: Sequence, picture: Picture) -> tuple[str, str]:
    """Text and path; an image that comes first is marked in the instruction, if there is one."""
    text, path = _text_and_path(sequence, picture)
    return (text.removeprefix(PLACEHOLDER) if instruction else text), path


def _marking(instruction: str, sequences: list[Sequence]) -> str:
    first = instruction and any(isinstance(sequence[0], Image) for sequence in sequences)
    return f"{PLACEHOLDER}\n{instruction}" if first else instruction


def _unmarked(instruction: str) -> str:
    return instruction.replace(PLACEHOLDER, "").strip() if PLACEHOLDER in instruction else instruction


def _text_and_path(sequence: Sequence, picture: Picture) -> tuple[str, str]:
    images = [segment for segment in sequence if isinstance(segment, Image)]
    if len(images) > 1:
        raise DataError("more than one image in a sequence")
    path, height, width = picture(images[0]) if images else ("", 0, 0)
    text = ""
    for segment in sequence:
        words = PLACEHOLDER if isinstance(segment, Image) else _words(segment, height, width)
        # what our renderer parts by tokens needs a blank; a mark parts by itself, so that rows of theirs stay as they are
        bare = text and words and not (text[-1].isspace() or words[0].isspace() or text.endswith(PLACEHOLDER) or words == PLACEHOLDER)
        text += f" {words}" if bare else words
    return text, path


def _words(segment: Segment, height: int, width: int) -> str:
    match segment:
        case PixelBox() if not height * width:
            raise DataError("a box in an image whose size cannot be read")
        case PixelBox():
            return write_box(segment, height, width)
        case GeoPoint():
            return write_point(segment)
        case GeoBox():
            return write_geobox(segment)
        case Date():
            return write_date(segment)
        case Text() if _ANY_PLACEHOLDER in segment.text:
            raise DataError(f"words that hold {_ANY_PLACEHOLDER}...|>, the mark of an image")
        case Text():
            return segment.text
    raise DataError(f"{segment!r:.60} has no text form")


def _text(name: str, value: object) -> str:
    if not isinstance(value, str | None):
        raise DataError(f"'{name}' is text, got {value!r:.60}")
    return value or ""


def _texts(name: str, value: object) -> list[str]:
    if not isinstance(value, list) or not value:
        raise DataError(f"'{name}' is a list of at least one text, got {value!r:.60}")
    return [_text(name, item) for item in value]
