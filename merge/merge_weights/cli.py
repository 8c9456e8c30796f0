"""The command `merge-weights`. numpy is imported after the arguments are understood, so that `--help` is quick."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from merge_weights import __version__
from merge_weights.chain import PARTS, Step, check_coefficient, check_finite
from merge_weights.diff_cli import add_diff_arguments, run_diff
from merge_weights.errors import MergeError
from merge_weights.verify import add_verify_arguments, run_verify

_DESCRIPTION = """\
Merge a base model with branches that were trained from it. Two branches, one on RGB, one on the other sensors:

    theta* = base   + m1 (rgb    - base)      how far to follow the RGB branch
    theta  = theta* + m2 (others - theta*)    how far to go from there towards the branch of the other sensors

0 keeps what is there, 1 takes the new weights, both exactly. The paper uses m1 = 0.9 and m2 = 0.5, which makes
0.05 base + 0.45 rgb + 0.50 others. --step names any number of branches; they follow one another in the same way.

commands: merge-weights [options]         merge (the default)
          merge-weights plan [options]    print what a merge would do, check it, and stop
          merge-weights diff A B          how two models differ, block by block
          merge-weights verify DIR        recompute a merged model from its recorded parents and compare"""

_EPILOG = f"""\
parts: {", ".join(f"{part} ({prefixes[0] or 'everything else'})" for part, prefixes in PARTS.items())}

examples:
  merge-weights                                  runs/base, runs/rgb and runs/others into runs/merged, 0.9 and 0.5
  merge-weights plan                             print the plan and stop
  merge-weights --m2 0.75 --m2-for generator=1   blocks nearly averaged, the kernel generator taken from others
  merge-weights --step rgb=runs/rgb:0.9 --step sar=runs/sar:0.5 --step dem=runs/dem:0.3 --out runs/three
  merge-weights --recipe six-groups              a recipe by name or file; `merge-weights --recipe list` names them
  merge-weights --method ties --density 0.2 --step rgb=runs/rgb:1 --step sar=runs/sar:1

A run folder stands for its model/. Inputs are only read. The output appears whole or not at all."""


def _coefficient(text: str) -> float:
    try:
        return check_finite(float(text), f"'{text}'")
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is no number") from None
    except MergeError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _part_coefficient(text: str) -> tuple[str, float]:
    part, found, value = text.partition("=")
    if not found or part not in PARTS:
        raise argparse.ArgumentTypeError(f"'{text}' is not PART=COEFFICIENT; parts are {', '.join(PARTS)}")
    return part, _coefficient(value)


def _step(text: str) -> tuple[str, str, float]:
    """NAME=PATH:COEFFICIENT; the path may hold colons."""
    name, found, rest = text.partition("=")
    path, colon, value = rest.rpartition(":")
    if not (name and found and path and colon):
        raise argparse.ArgumentTypeError(f"'{text}' is not NAME=PATH:COEFFICIENT, e.g. sar=runs/sar:0.5")
    return name, path, _coefficient(value)


def _step_part(text: str) -> tuple[str, str, float]:
    """NAME.PART=COEFFICIENT."""
    name, dot, rest = text.partition(".")
    if not dot:
        raise argparse.ArgumentTypeError(f"'{text}' is not NAME.PART=COEFFICIENT, e.g. sar.generator=1")
    return name, *_part_coefficient(rest)


def _megabytes(text: str) -> int:
    value = _coefficient(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"'{text}' is no size in megabytes")
    return int(value * 1e6)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of `merge-weights` and `merge-weights plan`."""
    parser = argparse.ArgumentParser(
        prog="merge-weights", description=_DESCRIPTION, epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add(
        "--base",
        metavar="DIR",
        default=None,
        help="the model all branches started from: run folder, model folder or .safetensors (runs/base)",
    )
    two = parser.add_argument_group("two branches")
    for option, role, default in (("m1", "rgb", 0.9), ("m2", "others", 0.5)):
        two.add_argument(f"--{role}", metavar="DIR", default=None, help=f"the {role} branch (runs/{role})")
        two.add_argument(f"--{option}", type=_coefficient, default=None, metavar="M", help=f"coefficient of {role} ({default:g})")
        two.add_argument(
            f"--{option}-for",
            type=_part_coefficient,
            action="append",
            default=[],
            metavar="PART=M",
            help=f"another {option} for one part of the model; may be given several times",
        )
    many = parser.add_argument_group("any number of branches")
    many.add_argument("--step", type=_step, action="append", default=[], metavar="NAME=DIR:M", help="one branch; repeat in order")
    many.add_argument(
        "--step-for",
        type=_step_part,
        action="append",
        default=[],
        metavar="NAME.PART=M",
        help="another coefficient for one part of one step",
    )
    many.add_argument("--recipe", metavar="NAME|FILE", help="take everything from a YAML recipe; `list` names those that come along")
    how = parser.add_argument_group("how")
    how.add_argument(
        "--method", default="progressive", metavar="NAME", help="progressive (default), or one of merge/README.md: ties, dare, ..."
    )
    how.add_argument("--density", type=_coefficient, default=1.0, metavar="D", help="share of each task vector that TIES and DARE keep (1)")
    how.add_argument("--seed", type=int, default=0, metavar="N", help="of DARE's random choice (0)")
    how.add_argument(
        "--skip", action="append", default=[], metavar="PATTERN", help="tensors that stay as in the base, e.g. 'text.*'; may repeat"
    )
    how.add_argument(
        "--route", action="append", default=[], metavar="NAME", help="this step keeps its own kernel generator, e.g. rgb; may repeat"
    )
    how.add_argument("--missing", choices=("refuse", "copy"), default="refuse", help="tensors that only some inputs have (%(default)s)")
    how.add_argument("--keep-heads", action="store_true", help="keep the MaKA projectors, which only training needs")
    out = parser.add_argument_group("output")
    out.add_argument("--out", metavar="DIR", default=None, help="the model folder or .safetensors file to write (runs/merged)")
    out.add_argument("--overwrite", action="store_true", help="replace a merged model at --out")
    out.add_argument("--shard-size", type=_megabytes, metavar="MB", help="split the weights into files of so many megabytes, with an index")
    out.add_argument("--no-sync", action="store_true", help="do not wait until the output is on the disk")
    out.add_argument("--dry-run", action="store_true", help="as `merge-weights plan`; values are not checked for NaN and Inf")
    add("--version", action="version", version=f"merge-weights {__version__}")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code (argparse itself exits with 2 on wrong arguments)."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _dispatch(given)
    except MergeError as error:
        sys.stderr.write(f"merge-weights: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("merge-weights: interrupted; nothing was left behind\n")
        return 130
    except BrokenPipeError:  # `merge-weights plan | head`: whoever read has seen enough
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - Python flushes it at exit
        return 1


def _dispatch(given: list[str]) -> int:
    others = {"diff": (add_diff_arguments, run_diff), "verify": (add_verify_arguments, run_verify)}
    if given and given[0] in others:
        add_arguments, run = others[given[0]]
        parser = argparse.ArgumentParser(prog=f"merge-weights {given[0]}", formatter_class=argparse.RawDescriptionHelpFormatter)
        add_arguments(parser)
        return run(parser.parse_args(given[1:]))
    plan_only = given[:1] == ["plan"]
    parser = build_parser()
    options = parser.parse_args(given[plan_only:])
    if options.method == "progressive":
        _check_ranges(parser, options)
    if options.recipe == "list":
        from merge_weights.recipe import recipe_names, recipes_dir

        sys.stdout.write("".join(f"{name:24} {recipes_dir() / name}.yaml\n" for name in recipe_names()))
        return 0
    _merge(options, shlex.join(["merge-weights", *given]), plan_only or options.dry_run)
    return 0


def _check_ranges(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """The chain's coefficients lie in [0, 1]; wrong ones are wrong arguments."""
    given = [("--m1", options.m1), ("--m2", options.m2), *((f"--step {name}", value) for name, _, value in options.step)]
    given += [
        (f"{option} {part}", value)
        for option, pairs in (("--m1-for", options.m1_for), ("--m2-for", options.m2_for))
        for part, value in pairs
    ]
    given += [(f"--step-for {name}.{part}", value) for name, part, value in options.step_for]
    try:
        for name, value in given:
            if value is not None:
                check_coefficient(value, name)
    except MergeError as error:
        parser.error(str(error))


def _merge(options: argparse.Namespace, command: str, plan_only: bool) -> None:
    from merge_weights.describe import describe
    from merge_weights.inputs import open_sources
    from merge_weights.plan import Method, make_plan
    from merge_weights.run import Options, carry_out, check

    base, steps, out, how, routes, told = _from_recipe(options) if options.recipe else _from_options(options)
    settings = Options(overwrite=options.overwrite, shard_bytes=options.shard_size, sync=not options.no_sync, **told)
    plan = make_plan(
        open_sources(base, steps),
        steps,
        keep_heads=settings.keep_heads,
        missing=settings.missing,
        skip=settings.skip,
        method=Method(**how),
        routes=routes,
    )
    sys.stdout.write(describe(plan) + "\n")
    sys.stdout.flush()
    checked = check(plan, out, settings)
    if plan_only:
        sys.stdout.write("\ndry run: nothing written\n")
        return
    carry_out(checked, command, _progress_line() if sys.stderr.isatty() else None)
    sys.stdout.write(f"\nwrote {out}\n")


_Told = tuple[str, tuple[Step, ...], str, dict[str, Any], tuple[str, ...], dict[str, Any]]
"""Base, steps, output, the method with its options, routed steps, and settings."""


def _from_options(options: argparse.Namespace) -> _Told:
    two = [name for name in ("rgb", "others", "m1", "m2") if getattr(options, name) is not None]
    if options.step and (two or options.m1_for or options.m2_for):
        raise MergeError(f"--step and --{(two or ['m1-for'])[0]} are two ways to name branches; use one")
    parts: dict[str, dict[str, float]] = {}
    for name, part, value in options.step_for:
        parts.setdefault(name, {})[part] = value
    if unknown := parts.keys() - {name for name, _, _ in options.step}:
        raise MergeError(f"--step-for names {', '.join(sorted(unknown))}, which no --step has")
    if options.step:
        steps = tuple(Step(name, path, value, parts.get(name, {})) for name, path, value in options.step)
        if len({step.name for step in steps}) < len(steps):
            raise MergeError("two --step have the same name; names are how they are told apart")
    else:
        steps = (
            Step("rgb", options.rgb or "runs/rgb", 0.9 if options.m1 is None else options.m1, dict(options.m1_for)),
            Step("others", options.others or "runs/others", 0.5 if options.m2 is None else options.m2, dict(options.m2_for)),
        )
    how = {"name": options.method, "density": options.density, "seed": options.seed}
    told = {"keep_heads": options.keep_heads, "missing": options.missing, "skip": tuple(options.skip)}
    return options.base or "runs/base", steps, options.out or "runs/merged", how, tuple(options.route), told


def _from_recipe(options: argparse.Namespace) -> _Told:
    from merge_weights.recipe import read_recipe

    given = [name for name in ("base", "rgb", "others", "m1", "m2") if getattr(options, name) is not None]
    if given or options.step:
        raise MergeError(f"--recipe says what is merged; leave out --{(given or ['step'])[0]}, or copy the recipe and change it")
    recipe = read_recipe(options.recipe)
    arguments = recipe.arguments()
    how = {"name": arguments["method"], "density": arguments["density"], "seed": arguments["seed"]}
    told = {"keep_heads": arguments["keep_heads"], "missing": arguments["missing"], "skip": tuple(arguments["skip"])}
    return str(arguments["base"]), tuple(arguments["steps"]), options.out or str(arguments["out"]), how, tuple(arguments["routes"]), told


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
