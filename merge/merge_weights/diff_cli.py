"""The command `merge-weights diff`: compare, print, draw."""

from __future__ import annotations

import argparse
import sys

from merge_weights.diff import diff, render, to_json


def add_diff_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `merge-weights diff`."""
    parser.description = (
        "How far two models are apart, block by block; with --base, how far each moved from it and whether they moved the same way.\n"
        "example: merge-weights diff runs/rgb runs/others --base runs/base --png diff.png"
    )
    parser.add_argument("first", metavar="FIRST", help="run folder, model folder or .safetensors file")
    parser.add_argument("second", metavar="SECOND", help="what to compare it with")
    parser.add_argument("--base", metavar="BASE", help="the model both come from: adds lengths, cosine and sign conflict of task vectors")
    parser.add_argument("--png", metavar="FILE", help="also draw the table as a heatmap (needs matplotlib)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")


def run_diff(options: argparse.Namespace) -> int:
    """Carry out `merge-weights diff`; return its exit code.

    Raises:
        MergeError: see `diff` and `diff_plot.plot`.
    """
    difference = diff(options.first, options.second, options.base)
    sys.stdout.write((to_json(difference) if options.json else render(difference)) + "\n")
    if options.png is not None:
        from merge_weights.diff_plot import plot

        plot(difference, options.png)
        sys.stderr.write(f"wrote {options.png}\n")
    return 0
