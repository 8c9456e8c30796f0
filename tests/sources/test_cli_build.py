"""`geolangbind shards build` and `datasets` as typed: exit codes, the report as JSON, one line for what cannot be."""

import json

import pytest

from geolangbind import cli

CLASSES = {"Forest": ["dense trees"], "River": ["a river"]}
VIEWS = {"rgb": {"sensor": "aerial-rgb", "gsd_m": 0.5, "from": {"files": "img/{class}/{id}.png"}}}


@pytest.fixture
def source(card, picture, tmp_path):
    for number in range(4):
        picture(f"img/{'Forest' if number % 2 else 'River'}/p{number}.png", seed=number)
    card("fields", classes=CLASSES, views=VIEWS, splits={"all": 5})
    return tmp_path


@pytest.fixture
def typed_at(monkeypatch, capsys):
    """Type a command; returns exit code, stdout and stderr."""

    def run(*words):
        monkeypatch.setattr("sys.argv", ["geolangbind", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        told = capsys.readouterr()
        return stop.value.code, " ".join(told.out.split()), told.err

    return run


def test_exit_codes(source, typed_at):
    build = ("shards", "build", source / "fields.yaml", "--root", source, "--out", source / "out", "--workers", 1)
    code, out, _ = typed_at(*build)
    assert code == 0 and "4 samples, 1 of 1 blocks written now" in out and "4 all samples, the card expects 5" in out
    assert "nothing to do" in typed_at(*build)[1]
    (source / "img/River/p0.png").write_bytes(b"")
    code, out, _ = typed_at(*build, "--json")
    report = json.loads(out)
    assert code == 1 and report["ok"] is False and report["samples"] == {"rgb": {"all": 3}}
    assert [(entry["view"], entry["place"]) for entry in report["skipped"]] == [("rgb", "p0")]
    assert typed_at("shards", "verify", source / "out")[0] == 0


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"--root": "nowhere"}, "no such folder"),
        ({"--workers": "0"}, "--workers must be at least 1"),
        ({"--view": "msi"}, "has no view 'msi'"),
        ({"--split": "test"}, "no sample of view rgb is in split 'test'"),
        ({"--captions": "none.jsonl"}, "cannot be read"),
    ],
)
def test_unusable_arguments_end_with_2_and_one_line(source, typed_at, changed, message):
    options = {"--root": source, "--out": source / "out", **changed}
    code, _, err = typed_at("shards", "build", source / "fields.yaml", *(word for pair in options.items() for word in pair))
    assert code == 2 and message in err and len(err.strip().splitlines()) == 1
    assert not (source / "out" / "index.json").exists()


def test_cards_are_listed_and_shown(typed_at, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    assert "eurosat" in typed_at("datasets")[1]
    code, out, _ = typed_at("datasets", "show", "eurosat")
    assert code == 0 and "torchgeo EuroSAT" in out and "SeaLake" in out
    assert typed_at("datasets", "show", "euro-sat")[0] == 2
