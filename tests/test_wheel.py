"""The wheel, installed in a bare environment outside the checkout, has all that the commands need."""

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built from a copy, so that no build/ folder is left behind and nothing of an earlier one gets in."""
    import shutil

    if find_spec("setuptools") is None or find_spec("build") is None:
        pytest.skip("needs setuptools and build in this environment: a test must not fetch them")
    source = tmp_path_factory.mktemp("source") / "project"
    ignored = shutil.ignore_patterns(".*", "runs", "build", "tests", "*.egg-info", "__pycache__", "docs")
    shutil.copytree(ROOT, source, ignore=ignored)
    out = source.parent / "dist"
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, source]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    (found,) = out.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def bare(wheel, tmp_path_factory):
    """`bare("command", ...)` runs in an environment that has the wheel and, through a .pth file, the libraries of this one."""
    home = tmp_path_factory.mktemp("bare")
    venv.create(home / "venv", with_pip=False)
    python = home / "venv" / "bin" / "python"
    site = home / "venv" / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    # what `pip install --no-deps` does, without pip: unpack, and write the commands
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
        entries = archive.read(next(name for name in archive.namelist() if name.endswith("entry_points.txt"))).decode()
    # plain paths are appended behind the wheel's; the editable install's own .pth of this environment is not processed
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    for line in entries.splitlines():
        if "=" in line:
            name, target = (part.strip() for part in line.split("="))
            module, function = target.split(":")
            script = python.with_name(name)
            script.write_text(f"#!{python}\nimport sys\nfrom {module} import {function}\nsys.exit({function}())\n")
            script.chmod(0o755)

    def run(*arguments):
        command = [python.with_name(arguments[0]), *arguments[1:]]
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {
            "OMP_NUM_THREADS": "1",
            "COLUMNS": "200",
        }
        done = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    return run


def test_the_wheel_holds_code_configuration_cards_and_sensors(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for path in (ROOT / "conf").rglob("*.yaml"):
        assert f"geolangbind/conf/{path.relative_to(ROOT / 'conf').as_posix()}" in names
    for path in (ROOT / "datasets").rglob("*.yaml"):
        assert f"geolangbind/dataset_cards/{path.relative_to(ROOT / 'datasets').as_posix()}" in names
    for name in ("model.safetensors", "config.json", "tokenizer.json", "README.md"):
        assert f"geolangbind/pretrained/planet-tiny/{name}" in names
    for path in (ROOT / "merge" / "recipes").glob("*.yaml"):
        assert f"merge_weights/recipes/{path.name}" in names
    for folder, base in ((ROOT / "geolangbind", ROOT), (ROOT / "merge" / "merge_weights", ROOT / "merge")):
        for path in (*folder.rglob("*.py"), *folder.rglob("*.yaml"), *folder.rglob("py.typed")):
            assert path.relative_to(base).as_posix() in names
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"geolangbind", "merge_weights"}
    assert not [name for name in names if name.endswith((".pyc", ".log")) or "/tests/" in name]


def test_the_installed_commands_run_outside_the_checkout(bare):
    """One process for the library's answers: each costs seconds."""
    assert "--m1" in bare("merge-weights", "--help")
    assert "sentinel-2-l2a" in bare("geolangbind", "sensors")
    told = bare("geolangbind-train", "--cfg", "job", "sensor_group=others", "optim=finetune")
    assert "name: others" in told and "warmup_steps: 20" in told


def test_the_installed_package_finds_its_own_data(bare):
    program = (
        "import importlib.util, geolangbind, merge_weights\n"
        "from geolangbind.paths import cards_dir, conf_dir\n"
        "from geolangbind.sensors import get_sensor\n"
        "print(geolangbind.__file__); print(merge_weights.__file__); print(conf_dir()); print(cards_dir())\n"
        "print((conf_dir() / 'train.yaml').is_file(), (cards_dir() / 'eurosat' / 'card.yaml').is_file(), get_sensor('s2-l2a').name)\n"
        "spec = importlib.util.find_spec('datasets'); print(None if spec is None else spec.origin)"
    )
    *places, found, datasets = bare("python", "-c", program).splitlines()
    assert len(places) == 4 and all("/venv/lib/" in place and str(ROOT) not in place for place in places)
    assert found == "True True sentinel-2-l2a"
    assert datasets == "None" or "site-packages/datasets/__init__.py" in datasets, "`import datasets` must be Hugging Face's or nothing"
