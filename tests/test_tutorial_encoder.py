"""The tutorial "Your instructions, your encoder": its files and commands as the page has them, with fewer images and steps."""

import contextlib
import io
import json
import re
import shlex
from pathlib import Path

import pytest

from geolangbind import cli, commands

PAGE = (Path(__file__).parents[1] / "docs" / "tutorials" / "your_instructions_your_encoder.md").read_text(encoding="utf-8")
SCRIPTS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = [re.sub(r"\\\n\s*", "", line) for line in re.findall(r"^    (geolangbind(?:[^\\\n]|\\\n)*)$", PAGE, re.MULTILINE)]
FEWER = {"0, 240)": "0, 12)", "1000, 60)": "1000, 4)", "steps=150 batch_size=32 block=16": "steps=2 batch_size=4 block=4"}
SMALLER = " machine=cpu machine.precision=32-true '+backbone.config={hidden_size: 32, num_hidden_layers: 1, num_attention_heads: 2}'"


def shortened(text):
    for page, test in FEWER.items():
        text = text.replace(page, test)
    return text


def run_script(text):
    """What the script prints."""
    with contextlib.redirect_stdout(io.StringIO()) as told:
        exec(compile(shortened(text), "tutorial", "exec"), {})
    return told.getvalue()


def run(command, monkeypatch, capsys):
    """Type a command in this process: each of its own would import torch."""
    words = shlex.split(command)
    monkeypatch.setattr("sys.argv", words)
    try:
        {"geolangbind": cli.main, "geolangbind-train": commands.train}[words[0]]()
    except SystemExit as stop:
        assert not stop.code, f"{command}: {capsys.readouterr()}"
    return capsys.readouterr().out


def test_the_page_runs_as_written(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    make_ports, search = SCRIPTS
    run_script(make_ports)
    Path("ports.yaml").write_text(re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[1])
    *first, with_qwen = COMMANDS  # the last one downloads a language model
    assert len(first) == 6 and "lora.r=16" in with_qwen
    told = [run(shortened(command) + SMALLER * command.startswith("geolangbind-train"), monkeypatch, capsys) for command in first]
    assert "boxes-to-region" in told[4] and re.search(r"<rgb-port_0000> <box", told[4])
    assert "P@1" in told[5] and "runs/ports/model" in told[5]
    config = json.loads(Path("runs/ports/model/config.json").read_text())
    assert config["provenance"]["steps"] == 2
    said = run_script(search)
    assert said.count("port_") == 3 and re.search(r"^-?\d\.\d\d  red tanker$", said, re.MULTILINE)


def test_the_command_with_a_pretrained_language_model_is_one_that_the_settings_take(monkeypatch, capsys):
    told = run(COMMANDS[-1] + " --cfg job", monkeypatch, capsys)
    assert all(line in told for line in ("kind: text", "source: hf-hub:Qwen/Qwen3-0.6B", "r: 16", "projector_steps: 200"))


@pytest.mark.parametrize("page", ["interleaved.md", "tutorials/your_sensor_your_data.md"])
def test_the_pages_it_refers_to_exist(page):
    assert (Path(__file__).parents[1] / "docs" / page).is_file()
