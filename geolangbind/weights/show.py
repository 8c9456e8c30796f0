"""The zoo for the terminal."""

from __future__ import annotations

from rich.console import Group
from rich.table import Table

from geolangbind.models import zoo

_LEGEND = (
    "M: million parameters, gen.: the kernel generator within the image tower. GFLOP: two per multiply-add, one image of three or 202 "
    "bands, kernels cached."
)


def render_zoo() -> Group:
    """The named sizes with parameters, input and operations; fits 80 columns."""
    table = Table(title="named sizes", pad_edge=False, caption=_LEGEND)
    table.add_column("name", no_wrap=True)
    for column in ("image\nM", "gen.\nM", "text\nM", "side\npx", "patch\npx", "to-\nkens", "GFLOP\nRGB", "GFLOP\n202 b."):
        table.add_column(column, justify="right", no_wrap=True)
    notes = []
    for name, size in zoo.SIZES.items():
        cost, vision = zoo.cost(name), size.vision
        millions = [f"{count / 1e6:.1f}" for count in (cost.vision, cost.generator, cost.text)]
        shape = [str(vision.image_size), str(vision.patch_size), str(vision.grid**2)]
        table.add_row(name, *millions, *shape, *(f"{value:.1f}" for value in cost.gflops.values()))
        notes.append(f"{name}: {size.note}" + (f"; start from hf-hub:{size.start}" if size.start else ""))
    return Group(table, *notes, "A size alone starts from random weights: geolangbind-train model=NAME. Real ones: model=hf-hub:OWNER/REPO")
