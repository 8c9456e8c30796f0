"""Recipes: those that come with the package say what they claim, and no mistake in a file passes in silence."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from merge_weights.arithmetic import merge_tensor
from merge_weights.chain import Step
from merge_weights.errors import MergeError
from merge_weights.methods import METHODS
from merge_weights.recipe import Recipe, list_recipes, make_recipe, read_recipe, recipe_names, recipes_dir

STEPS = [{"name": "rgb", "path": "runs/rgb", "coefficient": 0.9}, {"name": "others", "path": "runs/others", "coefficient": 0.5}]


def entries(**changes: Any) -> dict[str, Any]:
    return {"base": "runs/base", "steps": STEPS, **changes}


def shares(recipe: Recipe, part: str = "rest") -> list[float]:
    """What the chain leaves of base and steps: one-hot vectors go in, shares come out."""
    one_hot = list(np.eye(len(recipe.steps) + 1))
    coefficients = [step.coefficient_for(part) for step in recipe.arguments()["steps"]]
    return merge_tensor(one_hot[0], one_hot[1:], coefficients).tolist()


def test_all_recipes_are_found_by_name_and_by_path() -> None:
    assert recipe_names() == ("generator-from-last", "published-b", "published-l", "six-groups", "ties")
    for name in recipe_names():
        assert read_recipe(name) == read_recipe(recipes_dir() / f"{name}.yaml")


def test_the_list_has_a_line_for_each() -> None:
    lines = list_recipes().splitlines()
    assert [line.split()[0] for line in lines] == list(recipe_names())
    assert lines[1] == "published-b          The progressive merge of GeoLangBind (arXiv 2503.06312), size B at 224 px."


def test_recipes_inside_the_package_come_before_those_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "merge_weights"
    monkeypatch.setattr("merge_weights.recipe.__file__", str(package / "recipe.py"))
    assert recipes_dir() == tmp_path / "recipes"  # a checkout
    (package / "recipes").mkdir(parents=True)
    assert recipes_dir() == package / "recipes"  # a wheel


@pytest.mark.parametrize("name", ["published-b", "published-l"])
def test_the_published_merges(name: str) -> None:
    recipe = read_recipe(name)
    assert [(step.name, step.coefficient) for step in recipe.steps] == [("rgb", 0.9), ("others", 0.5)]
    assert (recipe.method, recipe.missing, recipe.keep_heads, recipe.policies) == ("progressive", "refuse", False, {})
    np.testing.assert_allclose(shares(recipe), [0.05, 0.45, 0.5], rtol=0, atol=1e-15)


def test_six_groups_share_out_the_published_half() -> None:
    recipe = read_recipe("six-groups")
    assert [step.name for step in recipe.steps] == ["rgb", "sar", "msi", "hsi", "ir", "dem"]
    np.testing.assert_allclose(shares(recipe), [0.05, 0.45, 0.1, 0.1, 0.1, 0.1, 0.1], rtol=0, atol=1e-15)
    s, k = 0.5, 5  # the closed form of the file's comment
    assert [step.coefficient for step in recipe.steps[1:]] == pytest.approx([(s / k) / (1 - s + j * s / k) for j in range(1, k + 1)])


def test_generator_from_last() -> None:
    recipe = read_recipe("generator-from-last")
    assert shares(recipe, "generator") == [0, 0, 1]
    np.testing.assert_allclose(shares(recipe, "blocks"), [0.05, 0.45, 0.5], rtol=0, atol=1e-15)


def test_ties() -> None:
    recipe = read_recipe("ties")
    assert recipe.method in METHODS and recipe.density == 0.2
    assert [step.coefficient for step in recipe.steps] == [1, 1]


def test_defaults_and_arguments() -> None:
    recipe = make_recipe(entries())
    assert recipe.arguments() == {
        "base": "runs/base",
        "steps": (Step("rgb", "runs/rgb", 0.9), Step("others", "runs/others", 0.5)),
        "out": "runs/merged",
        "method": "progressive",
        "density": 1.0,
        "seed": 0,
        "keep_heads": False,
        "missing": "refuse",
        "skip": (),
        "routes": (),
    }


def test_every_entry_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "base: a\nout: c\nmethod: dare\ndensity: 1/4\nseed: 7\nmissing: copy\nskip: ['text.*', logit_scale]\nkeep_heads: true\n"
        "policies: {pooling: average}\nsteps: [{name: x, path: b, coefficient: 1e-1, parts: {blocks: 2/3, rest: 0}}]\n"
    )
    step = Step("x", "b", 0.1, {"blocks": 2 / 3, "rest": 0.0})
    expected = Recipe("a", (step,), "c", "dare", 0.25, 7, "copy", ("text.*", "logit_scale"), True, {"pooling": "average"})
    assert read_recipe(path) == read_recipe(str(path)) == expected
    assert expected.arguments()["steps"] == (step,)


def test_last_holds_for_whichever_step_is_the_last_to_have_the_part() -> None:
    steps = make_recipe(entries(policies={"generator": "last"})).arguments()["steps"]
    base, rgb, others = np.eye(3)
    coefficients = [step.coefficient_for("generator") for step in steps]
    assert merge_tensor(base, [rgb, others], coefficients).tolist() == others.tolist()
    assert merge_tensor(base, [rgb], coefficients[:1]).tolist() == rgb.tolist()  # others lacks the tensor
    assert [step.coefficient_for("blocks") for step in steps] == [0.9, 0.5]


def test_routed_names_the_steps() -> None:
    recipe = make_recipe(entries(policies={"generator": "routed", "blocks": "average"}))
    assert recipe.arguments()["routes"] == ("rgb", "others")
    assert recipe.arguments()["steps"] == recipe.steps


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"methud": "ties"}, "unknown entry 'methud'; did you mean method"),
        ({"xyzzy": 1}, "unknown entry 'xyzzy'; known are base, steps"),
        ({"base": 3}, "base must be a text, not 3"),
        ({"steps": []}, "steps is empty"),
        ({"steps": "rgb"}, "steps must be a list"),
        ({"steps": ["rgb"]}, "step 1 must be a table"),
        ({"steps": [{"name": "rgb", "path": "a"}]}, "step 1 lacks coefficient"),
        ({"steps": [{**STEPS[0], "coeficient": 1}]}, "step 1 has the unknown entry 'coeficient'; did you mean coefficient"),
        ({"steps": [STEPS[0], STEPS[0]]}, "two inputs are called rgb; give step 2 another name"),
        ({"steps": [{**STEPS[0], "name": "base"}]}, "two inputs are called base"),
        ({"steps": [{**STEPS[0], "coefficient": 1.5}]}, "the coefficient of rgb is 1.5"),
        ({"steps": [{**STEPS[0], "coefficient": "1/0"}]}, "a fraction such as 1/6, not '1/0'"),
        ({"steps": [{**STEPS[0], "coefficient": True}]}, "must be a number"),
        ({"steps": [{**STEPS[0], "coefficient": float("nan")}]}, "must be a number"),
        ({"steps": [{**STEPS[0], "parts": {"genrator": 1}}]}, "parts of step rgb has the unknown entry 'genrator'; did you mean generator"),
        ({"steps": [{**STEPS[0], "parts": {"blocks": 2}}]}, "the coefficient of rgb for blocks is 2"),
        ({"method": "tie"}, "unknown method 'tie'"),
        ({"method": "slerp"}, "one branch, not 2"),
        ({"method": "soup"}, "soup weighs all branches alike"),
        ({"method": "ties", "density": 0}, "density is 0"),
        ({"density": 0.5}, "method progressive takes no density"),
        ({"method": "ties", "seed": 1}, "method ties takes no seed"),
        ({"method": "dare", "seed": 1.5}, "seed must be a whole number"),
        ({"missing": "ignore"}, "missing is 'ignore', but must be one of refuse, copy"),
        ({"skip": "text.*"}, "skip must be a list"),
        ({"skip": [1]}, "each entry of skip must be a text"),
        ({"keep_heads": "yes"}, "keep_heads must be true or false"),
        ({"policies": {"generator": "first"}}, "the policy of generator is 'first', but must be one of average, last, routed"),
        ({"policies": {"encoder": "last"}}, "unknown entry 'encoder'"),
        ({"policies": {"blocks": "routed"}}, "only the generator can be routed, not blocks"),
        ({"policies": {"generator": "last"}, "method": "linear"}, "belongs to the method progressive"),
        ({"policies": {"blocks": "last"}, "steps": [{**STEPS[0], "parts": {"blocks": 1}}]}, "also coefficients in rgb; keep one"),
    ],
)
def test_mistakes_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(MergeError, match=message):
        make_recipe(entries(**changes))


@pytest.mark.parametrize("found", [None, [], "published-b", {"base": "a"}])
def test_what_is_no_recipe(found: object) -> None:
    with pytest.raises(MergeError, match=r"a recipe (must be a table|lacks steps)"):
        make_recipe(found)


def test_coefficients_of_other_methods_may_extrapolate() -> None:
    steps = [{"name": "rgb", "path": "a", "coefficient": -0.5}]
    assert make_recipe(entries(method="task_arithmetic", steps=steps)).steps[0].coefficient == -0.5
    with pytest.raises(MergeError, match="give 0 or more"):
        make_recipe(entries(method="linear", steps=steps))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"base: [", "it is no YAML"),
        (b"\xff\xfe\x00", "it is no YAML"),
        (b"!!python/object:os.system {}", "it is no YAML"),
        (b"", "must be a table"),
    ],
)
def test_files_that_are_no_recipes(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_bytes(content)
    with pytest.raises(MergeError, match=message) as caught:
        read_recipe(path)
    assert str(caught.value).startswith(f"recipe {path}: ")


def test_names_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(MergeError, match=r"there is no recipe publishd-b; did you mean published-b\?"):
        read_recipe("publishd-b")
    with pytest.raises(MergeError, match="give a YAML file, or one of generator-from-last, published-b"):
        read_recipe(tmp_path / "zzz.yaml")


def test_without_pyyaml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(MergeError, match="needs the package pyyaml"):
        read_recipe("published-b")
