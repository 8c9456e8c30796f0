"""Tables of the study from invented cells, worked out by hand."""

import json

import pytest

from geolangbind.errors import SettingsError
from geolangbind.planet.groups import MODALITIES
from geolangbind.study import report
from geolangbind.study.arms import Arm
from geolangbind.study.cells import MEASURES, cell_folder

ARMS = (Arm("joint", "", measures=("probes", "unseen")), Arm("merged", ""), Arm("sar-codes", ""), Arm("sar-no-codes", ""))


def figures(start):
    return {modality: {"value": start + 0.01 * place, "n": 100} for place, modality in enumerate(MODALITIES)}


@pytest.fixture
def out(tmp_path):
    unseen = {"landsat": {"against": "msi-l1c", "unseen": {"value": 0.45}, "seen": {"value": 0.5}, "kept": 0.9}}
    cells = {
        ("base", 0): {"zero_shot": figures(0.2), "knn": figures(0.1), "mask_miou": figures(0.3), "unseen": unseen},
        ("joint", 0): {"zero_shot": figures(0.5), "knn": figures(0.4), "mask_miou": figures(0.3), "unseen": unseen},
        ("joint", 1): {"zero_shot": figures(0.6), "knn": figures(0.4), "mask_miou": figures(0.3), "unseen": unseen},
        ("merged", 0): {"zero_shot": figures(0.4)},
        ("merged", 1): {"zero_shot": figures(0.56)},
        ("sar-codes", 0): {"zero_shot": {"sar": {"value": 0.3, "n": 100}}},
        ("sar-codes", 1): {"zero_shot": {"sar": {"value": 0.4, "n": 100}}},
        ("sar-no-codes", 0): {"zero_shot": {"sar": {"value": 0.2, "n": 100}}},
        ("sar-no-codes", 1): {"zero_shot": {"sar": {"value": 0.36, "n": 100}}},
    }
    for (name, seed), measures in cells.items():
        folder = cell_folder(tmp_path, name, seed)
        folder.mkdir(parents=True)
        (folder / MEASURES).write_text(json.dumps({"arm": name, "seed": seed, **measures}))
    return tmp_path


def test_means_and_deviations_over_seeds(out):
    cells = report.collect(out, 2, ARMS)
    table = report.zero_shot_table(cells).splitlines()
    joint = next(line for line in table if line.startswith("| joint"))
    # 50 and 60 % on rgb: mean 55, deviation 10 / sqrt(2); the mean over modalities is 2.5 points above the first
    assert joint.split(" | ")[1] == "55.0 +- 7.1" and joint.endswith("| 57.5 +- 7.1 |")
    assert next(line for line in table if line.startswith("| base")).endswith("| 22.5 |")
    radar = next(line for line in table if line.startswith("| sar-codes"))
    assert radar.split(" | ")[1:3] == ["", "35.0 +- 7.1"]


def test_differences_are_paired_by_seed(out):
    table = report.comparison_table(report.collect(out, 2, ARMS))
    # joint - merged: 10 points with the first seed, 4 with the second
    assert "| joint - merged | +7.0 +- 4.2 |" in table and "| sar-codes - sar-no-codes | +7.0 +- 4.2 | sar +7.0 |" in table
    assert "sequential" not in table


def test_probes_and_unseen_sensors(out):
    cells = report.collect(out, 2, ARMS)
    assert "| joint | 57.5 +- 7.1 | 42.5 +- 0.0 | 32.5 +- 0.0 |" in report.probe_table(cells) and "merged" not in report.probe_table(cells)
    assert "| landsat | msi-l1c | 45.0 (90 %) | 45.0 (90 %) |" in report.unseen_table(cells)


def test_the_report_has_its_pictures(out):
    path = report.write(out, 2, ARMS)
    assert path.read_text().startswith("# The study on the planet (synthetic)")
    assert {"report.md", "report.json", "study.png", "unseen.png"} <= {child.name for child in out.iterdir()}
    assert (out / "study.png").read_bytes().startswith(b"\x89PNG")


def test_the_tables_go_between_the_markers_of_a_document(out, tmp_path):
    report.write(out, 2, ARMS)
    document = tmp_path / "results.md"
    document.write_text("before\n<!-- study -->\nold\n<!-- end of study -->\nafter\n")
    for _ in range(2):  # a second time changes nothing
        report.insert(out, document, 2, ARMS)
        text = document.read_text()
        assert text.startswith("before\n<!-- study -->\n\n") and text.endswith("\n\n<!-- end of study -->\nafter\n")
        assert "old" not in text and text.count("| joint | 55.0") == 1 and "](images/study.png)" in text
    assert (tmp_path / "images" / "unseen.png").is_file()
    document.write_text("no markers")
    with pytest.raises(SettingsError, match="has no lines '<!-- study -->' and '<!-- end of study -->'"):
        report.insert(out, document, 2, ARMS)
    assert document.read_text() == "no markers"
