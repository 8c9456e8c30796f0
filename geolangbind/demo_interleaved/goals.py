"""What the demo measures of which model, and what the interleaved encoder has to beat. Fixed before a test scene was scored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

OURS = "interleaved"
CUT = "dual encoder, crop"
TOLD = "dual encoder, box in words"
DUAL = "dual encoder"
MLP = "MLP over region features"
BOX_TYPE = "box + type, no scene"

GROUPS = ("landmark", "extreme", "size")
SENSORS = ("sar", "dem", "hsi")
_RELATIONAL = ("region_landmark", "region_landmark", "region_extreme", "region_size")


@dataclass(frozen=True)
class Goal:
    """What is asked of the interleaved encoder in comparison with what a line shows.

    Attributes:
        rule: "ahead" by at least `by`; "beyond" chance of the draw: the whole interval of the lead is above 0; "within" `by` below it;
            "times": at least `by` times as much; "chance": at least `by` times chance.
        by: a share of queries (0.2 is 20 points), or a factor.
        tasks: of the interleaved encoder, if others than the line's.
    """

    rule: Literal["ahead", "beyond", "within", "times", "chance"]
    by: float = 0.0
    tasks: tuple[str, ...] = ()

    def __str__(self) -> str:
        """The goal in words."""
        match self.rule:
            case "ahead":
                return f"ahead by >= {100 * self.by:.0f} points" if self.by else "ahead"
            case "beyond":
                return "ahead by more than the interval"
            case "within":
                return f"at most {100 * self.by:.0f} points behind"
            case "times":
                return f">= {self.by:g} times as much"
            case "chance":
                return f">= {self.by:g} times chance"


@dataclass(frozen=True)
class Line:
    """One line of the table.

    Attributes:
        title: the task as people call it.
        model: who is asked.
        tasks: rankings whose queries are taken together; one that is named twice counts twice.
        goal: what the interleaved encoder must reach beside it, or None.
    """

    title: str
    model: str
    tasks: tuple[str, ...]
    goal: Goal | None = None


def lines() -> tuple[Line, ...]:
    """Return all lines, those of a task together and the interleaved encoder first."""
    return (*_regions(), *_referring(), *_places(), *_scenes(), *_mixes())


def _regions() -> list[Line]:
    found = []
    by_group = {"attribute": ("region_attribute",), "relational": _RELATIONAL, **{group: (f"region_{group}",) for group in GROUPS}}
    for group, tasks in by_group.items():
        goals: dict[str, Goal] = {}
        if group == "relational":
            goals = {CUT: Goal("ahead", 0.2), TOLD: Goal("ahead", 0.2)}
        if group == "landmark":
            goals = {MLP: Goal("beyond")}
        title = f"region -> phrase, {group}"
        found += [Line(title, model, tasks, goals.get(model)) for model in (OURS, CUT, TOLD, MLP, BOX_TYPE)]
    return found


def _referring() -> list[Line]:
    found = []
    for scope in ("same image", "across images"):
        title, tasks = f"phrase -> box, {scope}", (f"referring_{scope.replace(' ', '_')}",)
        goals = {CUT: Goal("ahead", 0.15), TOLD: Goal("ahead", 0.15)}
        found += [Line(title, model, tasks, goals.get(model)) for model in (OURS, CUT, TOLD, MLP, BOX_TYPE)]
    return found


def _places() -> list[Line]:
    asked = {
        "image": ("place", Goal("times", 2)),
        "image and text": ("place_with_text", Goal("times", 2)),
        "text only": ("place_text_only", None),
        "image and text, coordinates removed": ("place_coordinates_removed", None),
    }
    return [
        Line(f"scene -> place, {told}", model, (task,), goal if model == DUAL else None)
        for told, (task, goal) in asked.items()
        for model in (OURS, DUAL)
    ]


def _scenes() -> list[Line]:
    asked = {"scene -> class": "scene_class", "scene -> caption": "caption"}
    return [
        Line(title, model, (task,), Goal("within", 0.02) if model == DUAL else None)
        for title, task in asked.items()
        for model in (OURS, DUAL)
    ]


def _mixes() -> list[Line]:
    found = []
    for sensor in SENSORS:
        title, own = f"region -> phrase, {sensor.upper()}", (f"sensors_{sensor}",)
        found += [
            Line(title, OURS, own),
            Line(f"{title}: the same asked of RGB", OURS, (f"sensors_{sensor}_asked_of_rgb",), Goal("within", 0.1, own)),
        ]
    both = ("two_sensors_both",)
    found.append(Line("two sensors of one place", OURS, both))
    for alone in ("rgb", "dem"):
        found.append(Line(f"two sensors: {alone.upper()} alone", OURS, (f"two_sensors_{alone}_alone",), Goal("ahead", 0.0, both)))
    return [*found, Line("two dates -> change", OURS, ("change",), Goal("chance", 5))]
