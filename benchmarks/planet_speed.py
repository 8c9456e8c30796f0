"""How fast the planet is drawn: milliseconds per scene and modality on one core, six-modality scenes a minute written by two processes.

python benchmarks/planet_speed.py
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from threadpoolctl import threadpool_limits

from geolangbind.planet.products import PRODUCTS, product_of
from geolangbind.planet.scene import draw_scene
from geolangbind.planet.write import sample_of, write_planet


def main() -> None:
    """Print one line per modality and the rate of the whole."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=240, help="scenes per modality and for the whole")
    scenes = parser.parse_args().scenes
    with threadpool_limits(1):
        for modality in PRODUCTS:
            began = time.process_time()
            for index in range(scenes):
                sample_of(draw_scene(0, index), product_of(0, index, modality))
            print(f"{modality:>4}  {1000 * (time.process_time() - began) / scenes:5.1f} ms CPU per scene drawn alone (layout included)")
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        write_planet(Path(folder) / "planet", 8 * scenes, workers=2, samples_per_shard=scenes, progress=False)
        print(f"six modalities, written as shards by two processes: {60 * 8 * scenes / (time.perf_counter() - began):.0f} scenes a minute")


if __name__ == "__main__":
    main()
