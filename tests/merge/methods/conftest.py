"""The numbers of an independent implementation, see ../golden/README.md."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session")
def golden() -> Mapping[str, np.ndarray]:
    with np.load(Path(__file__).parents[1] / "golden" / "mergekit.npz") as stored:
        return {name: stored[name].astype(np.float64) for name in stored.files}
