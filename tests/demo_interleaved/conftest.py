"""One small world for all tests of the demo's data."""

import pytest

from geolangbind.demo_interleaved.world import WorldSettings


@pytest.fixture(scope="session")
def settings() -> WorldSettings:
    """Enough scenes for brute force, none of them drawn as pixels."""
    return WorldSettings(
        staged=40, sensors=16, changed=24, ordinary=48, held_out=48, held_out_sensors=24, held_out_changed=24, held_out_ordinary=48,
        queries=20, captions=30,
    )  # fmt: skip
