"""How big a demo is: two literal profiles. Budgets were set once, for time, and are the same for every model compared."""

from __future__ import annotations

from dataclasses import dataclass

from geolangbind.errors import SettingsError


@dataclass(frozen=True)
class Profile:
    """Sizes of a demo.

    Attributes:
        name: key of `PROFILES`.
        scenes: planet scenes to train on, each in six modalities.
        held_out: scenes for the final scores.
        tuning: scenes on which merge coefficients are compared.
        base_steps: RGB steps from random weights.
        warmup_steps: steps on all sensors that follow.
        teacher_steps: steps of each of the two other teachers.
        rgb_steps: steps of the RGB branch.
        others_steps: steps of the branch of all other sensors.
        joint_steps: steps of one run on all sensors, of equal compute to both branches together; 0 leaves it out.
        batch_size: of every run.
        m2_grid: coefficients of the second merge that are compared.
        head_steps: steps of the heads that learn masks on the frozen merged model.
        crash_places: scenes of the crash test.
    """

    name: str
    scenes: int
    held_out: int
    tuning: int
    base_steps: int
    warmup_steps: int
    teacher_steps: int
    rgb_steps: int
    others_steps: int
    joint_steps: int
    batch_size: int
    m2_grid: tuple[float, ...]
    head_steps: int
    crash_places: int


PROFILES = {
    "smoke": Profile("smoke", 48, 24, 24, 2, 3, 2, 2, 3, 0, 16, (0.5,), 2, 3),
    "quick": Profile("quick", 4320, 480, 120, 480, 2600, 240, 400, 900, 0, 64, (0.25, 0.5, 0.75), 100, 16),
    "full": Profile("full", 9600, 1200, 240, 1200, 9000, 600, 1000, 2400, 3400, 64, (0.0, 0.25, 0.4, 0.5, 0.6, 0.75, 0.9, 1.0), 400, 64),
}


def get_profile(name: str) -> Profile:
    """Look a profile up.

    Raises:
        SettingsError: unknown name.
    """
    if name not in PROFILES:
        raise SettingsError(f"unknown demo profile '{name}'; profiles are {', '.join(PROFILES)}")
    return PROFILES[name]
