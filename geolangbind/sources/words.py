"""What is said of a chip: its classes, labels and captions."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from geolangbind.captions import Caption, Facts, JoinedCaptions, merge, write_captions
from geolangbind.data.sample import Box
from geolangbind.sensors import Unit, get_sensor, modality_of
from geolangbind.sources.card import Card, View
from geolangbind.sources.chips import Chip
from geolangbind.sources.pixels import Opened
from geolangbind.sources.record import Record


def chip_classes(card: Card, opened: Opened, chip: Chip) -> tuple[str, ...]:
    """Return the classes of a chip: the source's own, else those of its mask if the card says that they count."""
    if opened.classes or chip.mask is None or card.label_from_mask is None:
        return opened.classes
    counts = np.bincount(chip.mask.ravel(), minlength=256)[list(card.mask_classes)]
    names = list(card.mask_classes.values())
    if not counts.sum():
        return ()
    shares = counts / counts.sum()
    chosen = np.flatnonzero(shares >= card.label_from_mask) if "multi_label" in card.tasks else [shares.argmax()]
    return tuple(names[number] for number in chosen if shares[number] >= card.label_from_mask)


def labels_of(card: Card, classes: tuple[str, ...], tags: Mapping[str, str]) -> dict[str, object]:
    """Return the labels of a sample: `scene_class` where one class is said, `classes` where several may be, `tags`."""
    labels: dict[str, object] = {"tags": dict(tags)} if tags else {}
    if classes and ("multi_label" in card.tasks or len(classes) > 1):
        return {**labels, "classes": list(classes)}
    return {**labels, "scene_class": classes[0]} if classes else labels


def facts(card: Card, view: View, opened: Opened, chip: Chip, record: Record, unit: Unit) -> Facts:
    """Return what captions of a chip can be made from, in the card's words."""
    sensor = get_sensor(view.sensor)
    return Facts(
        modality=modality_of(sensor, unit),
        classes=tuple(card.words(name) for name in chip_classes(card, opened, chip)),
        boxes=tuple(Box(box.xyxy, card.words(box.text)) for box in chip.boxes),
        mask=chip.mask,
        mask_words={value: card.words(name) for value, name in card.mask_classes.items()},
        tags=record.tags,
        shape=(chip.image.shape[1], chip.image.shape[2]),
        gsd_m=chip.gsd_m,
        carrier=sensor.carrier,
    )


def captions_of(card: Card, known: Facts, opened: Opened, key: str, joined: JoinedCaptions | None) -> tuple[Caption, ...]:
    """Return the captions of a sample: those joined from elsewhere first, then those of the card's rules."""
    found = [] if joined is None else list(joined.get(key))
    for rule in card.captions:
        found += opened.captions if rule == "given" else write_captions(rule, known, key)
    return merge(found)
