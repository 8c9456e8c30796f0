"""All pictures that need a model, in one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from geolangbind.data.batch import Batch, collate
from geolangbind.data.shards import Stream
from geolangbind.evaluate.embedder import Embedder
from geolangbind.evaluate.encoded import Encoded, encode_streams
from geolangbind.evaluate.pictures.alignment import draw_alignment, make_cloud
from geolangbind.evaluate.pictures.heatmap import draw_heatmaps


def draw_pictures(
    out: Path,
    embedder: Embedder,
    streams: Mapping[str, Sequence[Stream]],
    words: Sequence[str],
    *,
    before: Embedder | None = None,
    encoded: Mapping[str, Encoded] | None = None,
    label: str = "scene_class",
    place: str = "scene_index",
    about: str | None = None,
) -> list[Path]:
    """Draw the alignment of modalities and feature heatmaps into `out/pictures`, for `report.write_report` to show.

    Args:
        out: results folder.
        embedder: the model.
        streams: by modality.
        words: sentences for the heatmaps, a column each; three or four are readable.
        before: the model before its training, drawn beside.
        encoded: the streams as `embedder` sees them, where they were encoded for other tasks.
        label: the samples' label that is the class.
        place: the samples' label that names the place; where it is missing, nothing is said of places.
        about: class of the place to draw heatmaps of: words are best seen in images that show them. Without it, or where no place that
            all modalities have is of this class, the first that they have.

    Returns:
        The pictures.

    Raises:
        GeoLangBindError: the model cannot see these images, has no texts or no patches; or samples have no class.
    """
    mine = encoded or {modality: encode_streams(embedder, own) for modality, own in streams.items()}
    clouds = [make_cloud(embedder, mine, label, place)]
    if before is not None:
        theirs = {modality: encode_streams(before, own) for modality, own in streams.items()}
        clouds.insert(0, make_cloud(before, theirs, label, place))
    batches = {modality: _find(own, mine, place, label, about) for modality, own in streams.items()}
    seen = {str(batch.labels[label][0]).replace("_", " ") for batch in batches.values() if label in batch.labels}
    what = seen.pop() if len(seen) == 1 else ""
    return [draw_alignment(out, clouds), draw_heatmaps(out, embedder, batches, words, what)]


def _find(streams: Sequence[Stream], encoded: Mapping[str, Encoded], place: str, label: str, about: str | None) -> Batch:
    """The image of one place; the first image where samples name no place."""
    samples = encoded[streams[0].modality]
    named = [[row.get(place) for row in each.labels] for each in encoded.values()]
    shared = set.intersection(*({str(name) for name in names if name is not None} for names in named))
    fitting = {str(row.get(place)) for row in samples.labels if row.get(label) == about}
    wanted = min(shared & fitting or shared, key=lambda name: (len(name), name), default=None)
    number = next((i for i, row in enumerate(samples.labels) if wanted is not None and str(row.get(place)) == wanted), 0)
    for stream in streams:
        if number < len(stream):
            break
        number -= len(stream)
    return collate([stream.read(number)])
