"""Who may import whom: the order of the layers, read from the source."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

LAYERS = {
    "errors": 0, "paths": 0,
    "sensors": 1,
    "hydra_entry": 2, "checkpoint": 2, "card": 2, "statistics": 2, "tokenizer": 2, "losses": 2, "views": 2, "data": 2, "models": 2,
    "physical": 2,
    "model": 3, "planet": 3, "captions": 3,
    "weights": 4, "sources": 4,
    "teachers": 5, "interleaved": 5,
    "features": 6, "train": 6, "evaluate": 6, "instruct": 6,
    "demo": 7, "study": 7, "sweep": 7, "crashtest": 7, "commands": 7, "cli_weights": 7, "cli_merge": 7, "cli_shards": 7, "cli_datasets": 7,
    "cli_evaluate": 7, "cli_pairs": 7, "demo_interleaved": 7,
    "cli": 8,
}  # fmt: skip
# these make whole models of their folder's parts, so they stand beside those who use the folder and not below them
ABOVE_ITS_FOLDER = {"geolangbind/models/zoo.py": 4, "geolangbind/models/interleaved.py": 5}


def sources():
    return sorted(path for folder in ("geolangbind", "merge/merge_weights") for path in (ROOT / folder).rglob("*.py"))


def module_of(path):
    parts = path.relative_to(ROOT / "merge" if "merge_weights" in path.parts else ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path, *, at_run_time=False):
    """Modules that a file names in its imports; those for type checkers only and, on demand, those inside functions are left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    if at_run_time:
        functions = (ast.FunctionDef, ast.AsyncFunctionDef)
        skipped |= {id(inner) for node in ast.walk(tree) if isinstance(node, functions) for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own(path, **options):
    known = {module_of(source) for source in sources()}
    return {name for name in imported(path, **options) if name in known} - {module_of(path), "geolangbind"}


@pytest.mark.parametrize("path", [path for path in sources() if "geolangbind" in path.parts], ids=module_of)
def test_nothing_imports_from_a_layer_above(path):
    name = module_of(path)
    if name == "geolangbind":
        return
    layer = ABOVE_ITS_FOLDER.get(path.relative_to(ROOT).as_posix(), LAYERS[name.split(".")[1]])
    for other in own(path):
        if other.startswith("geolangbind."):
            above = ABOVE_ITS_FOLDER.get(f"{other.replace('.', '/')}.py", LAYERS[other.split(".")[1]])
            assert above <= layer, f"{name} (layer {layer}) imports {other} (layer {above})"


def test_there_is_no_cycle():
    graph = {module_of(path): own(path, at_run_time=True) for path in sources()}
    done: set[str] = set()
    while rest := {name for name in graph if name not in done}:
        free = {name for name in rest if graph[name] <= done}
        assert free, f"import cycle among {sorted(rest)}"
        done |= free


def test_folders_import_each_other_in_one_direction():
    pairs = set()
    for path in sources():
        for other in own(path):
            here, there = (".".join(name.split(".")[:2]) for name in (module_of(path), other))
            if here != there and path.relative_to(ROOT).as_posix() not in ABOVE_ITS_FOLDER:
                pairs.add((here, there))
    both = {pair for pair in pairs if pair[::-1] in pairs}
    assert not both, sorted(both)


def test_the_merge_tool_stands_alone():
    """numpy and safetensors: no torch, and of geolangbind nothing but the errors."""
    for path in sources():
        if "merge_weights" in path.parts:
            names = set(imported(path))
            assert not {name for name in names if name.split(".")[0] in ("torch", "timm", "lightning")}, path
            assert not {name for name in names if name.startswith("geolangbind") and not name.startswith("geolangbind.errors")}, path


def test_nothing_imports_the_tests_the_benchmarks_or_the_cards():
    for path in sources():
        assert not {name.split(".")[0] for name in imported(path)} & {"tests", "benchmarks", "datasets", "conf", "conftest"}, path


def test_the_light_parts_do_not_import_torch():
    heavy = ("torch", "timm", "open_clip", "torchgeo", "lightning", "transformers", "sklearn", "matplotlib", "hydra")
    program = (
        "import sys, geolangbind, geolangbind.sensors, geolangbind.cli, geolangbind.data.shards, geolangbind.planet.scene\n"
        "import geolangbind.interleaved.segments, geolangbind.interleaved.serialize\n"
        "import merge_weights, merge_weights.cli\n"
        f"print(sorted(name for name in {heavy} if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
