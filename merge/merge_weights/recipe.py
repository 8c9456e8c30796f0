"""Recipes: a whole merge in one YAML file, read strictly. Found by path, or by name among those that come with the package."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, get_args

from merge_weights import fields
from merge_weights.chain import PARTS, PathLike, Step
from merge_weights.errors import MergeError

MissingRule = Literal["refuse", "copy"]
Policy = Literal["average", "last", "routed"]

_KEYS = ("base", "steps", "out", "method", "density", "seed", "missing", "skip", "keep_heads", "policies")
_STEP_KEYS = ("name", "path", "coefficient", "parts")
_ROUTED_PART = "generator"


@dataclass(frozen=True)
class Recipe:
    """A merge as it is written down.

    Attributes:
        base: the model to start from: run folder, model folder or `.safetensors` file, relative to the working directory.
        steps: in order; names, paths, coefficients and part coefficients as in the file.
        out: where the merged model goes.
        method: "progressive", or a key of `methods.METHODS`.
        density: share of each task vector that TIES and DARE keep.
        seed: of DARE's random choice.
        missing: "refuse" or "copy", for tensors that only some inputs have.
        skip: patterns of tensors that stay as in the base.
        keep_heads: keep MaKA projectors.
        policies: per part of the model (`chain.PARTS`): "average" (as all others), "last" (taken whole from the last step that has it)
            or "routed" (the generator only: every step keeps its own).
    """

    base: str
    steps: tuple[Step, ...]
    out: str = "runs/merged"
    method: str = "progressive"
    density: float = 1.0
    seed: int = 0
    missing: MissingRule = "refuse"
    skip: tuple[str, ...] = ()
    keep_heads: bool = False
    policies: Mapping[str, Policy] = field(default_factory=dict)

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of `merge_weights.merge`; policies have become part coefficients and routes."""
        # a coefficient of 1 on every step: whichever step is the last to have the part, its weights are what remains
        taken = {part: 1.0 for part, policy in self.policies.items() if policy == "last"}
        steps = tuple(Step(step.name, step.source, step.coefficient, {**step.part_coefficients, **taken}) for step in self.steps)
        routed = "routed" in self.policies.values()
        return {
            "base": self.base,
            "steps": steps,
            "out": self.out,
            "method": self.method,
            "density": self.density,
            "seed": self.seed,
            "keep_heads": self.keep_heads,
            "missing": self.missing,
            "skip": self.skip,
            "routes": tuple(step.name for step in steps) if routed else (),
        }


def recipes_dir() -> Path:
    """Folder of the recipes that come with the package: beside it in a checkout, inside it in a wheel."""
    package = Path(__file__).resolve().parent
    inside = package / "recipes"
    return inside if inside.is_dir() else package.parent / "recipes"


def recipe_names() -> tuple[str, ...]:
    """Return the names of the recipes that come with the package."""
    return tuple(sorted(path.stem for path in recipes_dir().glob("*.yaml")))


def list_recipes() -> str:
    """Return a line for each recipe that comes with the package: its name, and the comment with which its file begins."""
    names = recipe_names()
    width = max(map(len, names), default=0)
    comments = ((recipes_dir() / f"{name}.yaml").read_text(encoding="utf-8").partition("\n")[0].lstrip("# ") for name in names)
    return "\n".join(f"{name.ljust(width)}  {comment}" for name, comment in zip(names, comments, strict=True))


def read_recipe(path_or_name: PathLike) -> Recipe:
    """Read a recipe from a YAML file, or one that comes with the package by its name ("published-b").

    Raises:
        MergeError: not found, no YAML, an unknown entry, a value of the wrong sort, or settings that contradict each other.
    """
    path = _find(path_or_name)
    try:
        return make_recipe(_load(path))
    except MergeError as error:
        raise MergeError(f"recipe {path}: {error}") from error


def make_recipe(entries: object) -> Recipe:
    """Make a recipe out of the entries of its file.

    Raises:
        MergeError: an unknown or lacking entry, a value of the wrong sort, or settings that contradict each other.
    """
    found = fields.table(entries, "a recipe", _KEYS, needed=("base", "steps"))
    policies = fields.table(found.get("policies", {}), "policies", tuple(PARTS))
    for part, policy in policies.items():
        fields.choice(policy, f"the policy of {part}", get_args(Policy))
    recipe = Recipe(
        base=fields.text(found["base"], "base"),
        steps=_steps(found["steps"]),
        out=fields.text(found.get("out", Recipe.out), "out"),
        method=fields.text(found.get("method", Recipe.method), "method"),
        density=fields.number(found.get("density", Recipe.density), "density"),
        seed=fields.whole(found.get("seed", Recipe.seed), "seed"),
        missing="copy" if fields.choice(found.get("missing", Recipe.missing), "missing", get_args(MissingRule)) == "copy" else "refuse",
        skip=tuple(fields.text(pattern, "each entry of skip") for pattern in fields.entries(found.get("skip", []), "skip")),
        keep_heads=fields.flag(found.get("keep_heads", Recipe.keep_heads), "keep_heads"),
        policies=policies,
    )
    _check_method(recipe, found)
    _check_policies(recipe)
    return recipe


def _find(path_or_name: PathLike) -> Path:
    path, names = Path(path_or_name), recipe_names()
    if path.is_file():
        return path
    if str(path) in names:
        return recipes_dir() / f"{path}.yaml"
    near = get_close_matches(str(path), names, 1)
    hint = f"did you mean {near[0]}?" if near else f"give a YAML file, or one of {', '.join(names)}"
    raise MergeError(f"there is no recipe {path}; {hint}")


def _load(path: Path) -> object:
    try:
        import yaml
    except ImportError as error:
        raise MergeError("reading recipes needs the package pyyaml: pip install pyyaml, or give the steps on the command line") from error
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise MergeError(f"it cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise MergeError(f"it is no YAML: {' '.join(str(error).split())}") from error


def _steps(value: object) -> tuple[Step, ...]:
    made: dict[str, Step] = {}
    for index, entry in enumerate(fields.entries(value, "steps"), start=1):
        found = fields.table(entry, f"step {index}", _STEP_KEYS, needed=("name", "path", "coefficient"))
        name = fields.text(found["name"], f"the name of step {index}")
        if name in made or name == "base":
            raise MergeError(f"two inputs are called {name}; give step {index} another name")
        parts = fields.table(found.get("parts", {}), f"parts of step {name}", tuple(PARTS))
        made[name] = Step(
            name,
            fields.text(found["path"], f"the path of {name}"),
            fields.number(found["coefficient"], f"the coefficient of {name}"),
            {part: fields.number(number, f"the coefficient of {name} for {part}") for part, number in parts.items()},
        )
    if not made:
        raise MergeError("steps is empty; give at least one with name, path and coefficient")
    return tuple(made.values())


def _check_method(recipe: Recipe, found: Mapping[str, Any]) -> None:
    if recipe.method == "progressive":
        for step in recipe.steps:
            step.check_range()
        takes: tuple[str, ...] = ()
    else:
        from merge_weights.methods import Options, check_method

        options = Options(recipe.density, recipe.seed)
        takes = check_method(recipe.method, [step.coefficient for step in recipe.steps], options).takes
        for part in PARTS:
            check_method(recipe.method, [step.coefficient_for(part) for step in recipe.steps], options)
    for option in ("density", "seed"):
        if option in found and option not in takes:
            raise MergeError(f"method {recipe.method} takes no {option}; leave it out, or choose a method that does (ties, dare)")


def _check_policies(recipe: Recipe) -> None:
    for part, policy in recipe.policies.items():
        if named := [step.name for step in recipe.steps if part in step.part_coefficients]:
            raise MergeError(f"{part} has the policy {policy} and also coefficients in {', '.join(named)}; keep one of the two")
        if policy == "routed" and part != _ROUTED_PART:
            raise MergeError(f"only the {_ROUTED_PART} can be routed, not {part}; choose average or last for it")
        if policy != "average" and recipe.method != "progressive":
            raise MergeError(f"the policy {policy} of {part} belongs to the method progressive; with {recipe.method} give the steps parts")
