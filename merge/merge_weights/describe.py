"""The plan as text for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from merge_weights.chain import PARTS, Step
from merge_weights.plan import STATUSES, Entry, Plan

_MISSING_RULES = {
    "refuse": "refused; --missing copy takes them from the inputs that have them",
    "copy": "an input that lacks a tensor leaves it as it is; where the base lacks it, the first input that has it stands in",
}


def formula(steps: Sequence[Step]) -> str:
    """Return the chain as one line of arithmetic."""
    lines = ["theta0 = base"]
    for index, step in enumerate(steps, start=1):
        line = f"theta{index} = theta{index - 1} + {step.coefficient:g} ({step.name} - theta{index - 1})"
        lines.append(line + (f" [{parts}]" if (parts := part_list(step.part_coefficients)) else ""))
    return "; ".join(lines)


def how(plan: Plan) -> str:
    """Return in one line how the tensors are merged."""
    if plan.method.name == "progressive":
        routed = ", ".join(f"{route.name} base + {route.coefficient:g} ({route.name} - base)" for route in plan.routes)
        return formula(plan.steps) + (f"; generators: {routed}, all others {plan.steps[-1].name}" if routed else "")
    parts = (
        f"{step.name} {step.coefficient:g}" + (f" [{part_list(step.part_coefficients)}]" if step.part_coefficients else "")
        for step in plan.steps
    )
    return f"{plan.method.name} of base and {', '.join(parts)}; density {plan.method.density:g}, seed {plan.method.seed}"


def part_list(coefficients: Mapping[str, float]) -> str:
    """Return part coefficients as "generator 1, blocks 0.3"."""
    return ", ".join(f"{part} {value:g}" for part, value in coefficients.items())


def describe(plan: Plan) -> str:
    """Return the plan: inputs with coefficients, a table of tensors per part, and every missing or mismatched tensor."""
    lines = [f"Plan: {how(plan)}", ""]
    lines += _table([("input", "coefficient", "weights"), *_input_rows(plan)])
    lines += ["", *_table([("part", *STATUSES, "size"), *_part_rows(plan)], right=True)]
    for route in plan.routes:
        lines += [
            "",
            f"routed: images of {route.name} keep a kernel generator of their own (base + {route.coefficient:g} ({route.name} - base))",
        ]
    if missing := plan.having("missing"):
        lines += ["", f"missing from some inputs ({_MISSING_RULES[plan.missing]}):", *_listed(missing)]
    if mixed := [entry for entry in plan.having("merged") if entry.note]:
        lines += ["", "of several dtypes, written in one that holds all:", *_table([(e.key, f"{e.note} -> {e.info.dtype}") for e in mixed])]
    if mismatched := plan.having("mismatched"):
        lines += ["", "mismatched (refused):", *_listed(mismatched)]
    if plan.having("dropped"):
        lines += ["", "dropped: projectors towards the teachers (maka.*), used in training only; --keep-heads keeps them"]
    return "\n".join(lines)


def _input_rows(plan: Plan) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("base", "", str(plan.sources[0].weights.path))]
    for step, source in zip(plan.steps, plan.sources[1:], strict=True):
        coefficients = ", ".join(filter(None, (f"{step.coefficient:g}", part_list(step.part_coefficients))))
        rows.append((step.name, coefficients, str(source.weights.path)))
    return rows


def _part_rows(plan: Plan) -> list[tuple[str, ...]]:
    groups = [(part, [entry for entry in plan.entries if entry.part == part]) for part in PARTS]
    rows = []
    for name, entries in [*groups, ("all", list(plan.entries))]:
        counts = (sum(entry.status == status for entry in entries) for status in STATUSES)
        size = sum(entry.info.nbytes for entry in entries if entry.status != "dropped")
        rows.append((name, *map(str, counts), _size(size)))
    return rows


def _size(nbytes: int) -> str:
    """Return a number of bytes for people."""
    value = float(nbytes)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.2f} GB"


def _listed(entries: Sequence[Entry]) -> list[str]:
    return _table([(entry.key, entry.note) for entry in entries])


def _table(rows: Sequence[tuple[str, ...]], *, right: bool = False) -> list[str]:
    """Align columns, the first to the left, the others to the right if asked."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = (
            cell.rjust(width) if right and index else cell.ljust(width) for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  " + "  ".join(cells).rstrip())
    return lines
