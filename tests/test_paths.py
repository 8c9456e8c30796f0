"""Where conf/ and datasets/ are found."""

from pathlib import Path

from geolangbind import paths


def test_in_a_checkout_they_lie_beside_the_package(tmp_path: Path, monkeypatch):
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.setattr(paths, "_PACKAGE", tmp_path / "geolangbind")
    assert paths.conf_dir() == tmp_path / "conf"
    assert paths.cards_dir() == tmp_path / "datasets"


def test_in_a_wheel_they_lie_inside(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(paths, "_PACKAGE", tmp_path / "geolangbind")
    assert paths.conf_dir() == tmp_path / "geolangbind" / "conf"
    assert paths.cards_dir() == tmp_path / "geolangbind" / "dataset_cards"


def test_this_checkout_has_the_configuration():
    assert (paths.conf_dir() / "train.yaml").is_file()
