"""What each task of the demo asks for, in words: several wordings to train with, of which the first is ranked with."""

from __future__ import annotations

from collections.abc import Mapping

WORDINGS: Mapping[str, tuple[str, ...]] = {
    "region": (
        "Find the phrase that is true of the thing in the box.",
        "Say what the box holds and how it lies to the rest of the image.",
        "Represent the thing in the box for finding a phrase about it.",
    ),
    "referring": (
        "Find the thing in the image that the phrase means.",
        "Which box of this image holds what the words name?",
        "Represent image and phrase for finding the thing meant.",
    ),
    "place": (
        "Find the place where the image was taken.",
        "Where on the planet is this?",
        "Represent what is given for finding latitude and longitude.",
    ),
    "place_to_image": (
        "Find the image that was taken here on this day.",
        "Represent place and day for finding the image.",
    ),
    "scene_class": (
        "Name the kind of scene that the image shows.",
        "Which land cover or land use is this?",
        "Represent the image for telling its class.",
    ),
    "caption": (
        "Find the sentence that describes the image.",
        "Represent the image for finding its caption.",
        "What would a person say about this image?",
    ),
    "two_sensors": (
        "Say how tall the thing in the box is, its colour and what it is.",
        "Represent the thing in the box for finding its height, colour and kind.",
    ),
    "change": (
        "Tell what changed from the first image to the second.",
        "Represent the two dates of one place for finding what changed.",
    ),
}
"""By task."""

TARGETS: Mapping[str, str] = {"referring": "The thing in the box.", "place_to_image": "The image."}
"""Words before the targets that are no text of their own."""
