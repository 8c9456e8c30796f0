"""The command `merge-weights`. numpy is imported after the arguments are understood, so that `--help` is quick."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Callable, Sequence

from merge_weights import __version__
from merge_weights.chain import PARTS, Step, check_coefficient
from merge_weights.errors import MergeError

_DESCRIPTION = """\
Merge a base model with two branches that were trained from it, one on RGB, one on the other sensors:

    theta* = base   + m1 (rgb    - base)      how far to follow the RGB branch
    theta  = theta* + m2 (others - theta*)    how far to go from there towards the branch of the other sensors

0 keeps what is there, 1 takes the new weights, both exactly. The paper uses m1 = 0.9 and m2 = 0.5, which makes
0.05 base + 0.45 rgb + 0.50 others."""

_EPILOG = f"""\
parts: {", ".join(f"{part} ({prefixes[0] or 'everything else'})" for part, prefixes in PARTS.items())}

examples:
  merge-weights                                  runs/base, runs/rgb and runs/others into runs/merged, 0.9 and 0.5
  merge-weights --dry-run                        print the plan and stop
  merge-weights --m2 0.75 --m2-for generator=1   blocks nearly averaged, the kernel generator taken from others
  merge-weights --base a.safetensors --rgb b.safetensors --others c.safetensors --out merged.safetensors

A run folder stands for its model/. Inputs are only read. The output appears whole or not at all."""


def _coefficient(text: str) -> float:
    try:
        return check_coefficient(float(text), f"'{text}'")
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is no number") from None
    except MergeError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _part_coefficient(text: str) -> tuple[str, float]:
    part, found, value = text.partition("=")
    if not found or part not in PARTS:
        raise argparse.ArgumentTypeError(f"'{text}' is not PART=COEFFICIENT; parts are {', '.join(PARTS)}")
    return part, _coefficient(value)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="merge-weights", description=_DESCRIPTION, epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for role, what in (("base", "the model both branches started from"), ("rgb", "the RGB branch"), ("others", "the other branch")):
        parser.add_argument(
            f"--{role}", metavar="DIR", default=f"runs/{role}", help=f"{what}: run folder, model folder or .safetensors (%(default)s)"
        )
    for option, role, default in (("m1", "rgb", 0.9), ("m2", "others", 0.5)):
        parser.add_argument(f"--{option}", type=_coefficient, default=default, metavar="M", help=f"coefficient of {role} (%(default)s)")
        parser.add_argument(
            f"--{option}-for",
            type=_part_coefficient,
            action="append",
            default=[],
            metavar="PART=M",
            help=f"another {option} for one part of the model; may be given several times",
        )
    parser.add_argument("--out", metavar="DIR", default="runs/merged", help="the model folder or .safetensors file to write (%(default)s)")
    parser.add_argument("--missing", choices=("refuse", "copy"), default="refuse", help="tensors that only some inputs have (%(default)s)")
    parser.add_argument("--keep-heads", action="store_true", help="keep the MaKA projectors, which only training needs")
    parser.add_argument("--overwrite", action="store_true", help="replace a merged model at --out")
    parser.add_argument("--dry-run", action="store_true", help="print the plan, check it and stop; values are not checked for NaN and Inf")
    parser.add_argument("--version", action="version", version=f"merge-weights {__version__}")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code (argparse itself exits with 2 on wrong arguments)."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = build_parser().parse_args(given)
    try:
        _run(options, shlex.join(["merge-weights", *given]))
    except MergeError as error:
        sys.stderr.write(f"merge-weights: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("merge-weights: interrupted; nothing was left behind\n")
        return 130
    return 0


def _run(options: argparse.Namespace, command: str) -> None:
    from merge_weights.describe import describe
    from merge_weights.inputs import open_sources
    from merge_weights.plan import make_plan
    from merge_weights.run import carry_out, check

    steps = (
        Step("rgb", options.rgb, options.m1, dict(options.m1_for)),
        Step("others", options.others, options.m2, dict(options.m2_for)),
    )
    plan = make_plan(open_sources(options.base, steps), steps, keep_heads=options.keep_heads, missing=options.missing)
    sys.stdout.write(describe(plan) + "\n")
    sys.stdout.flush()
    checked = check(plan, options.out, keep_heads=options.keep_heads, overwrite=options.overwrite)
    if options.dry_run:
        sys.stdout.write("\ndry run: nothing written\n")
        return
    carry_out(checked, command, _progress_line() if sys.stderr.isatty() else None)
    sys.stdout.write(f"\nwrote {options.out}\n")


def _progress_line(quiet_s: float = 2.0) -> Callable[[int, int], None]:
    """Return a callback that keeps one line on the terminal up to date, once work has lasted `quiet_s` seconds."""
    started = time.monotonic()
    shown = -1

    def show(done: int, total: int) -> None:
        nonlocal shown
        percent = 100 * done // max(total, 1)
        elapsed_s = time.monotonic() - started
        if percent == shown or (elapsed_s < quiet_s and shown < 0):
            return
        shown = percent
        bar = ("#" * (percent // 4)).ljust(25, ".")
        end = "\n" if done >= total else ""
        sys.stderr.write(f"\rmerging [{bar}] {percent:3d} %  {elapsed_s:.0f} s  {done / 1e6:.0f} of {total / 1e6:.0f} MB{end}")
        sys.stderr.flush()

    return show


if __name__ == "__main__":
    sys.exit(main())
