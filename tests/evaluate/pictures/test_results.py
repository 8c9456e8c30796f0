"""Which pictures rows become."""

from geolangbind.evaluate.pictures.album import read_pictures
from geolangbind.evaluate.pictures.results import draw_results
from geolangbind.evaluate.report_tables import make_tables


def draw(out, rows, details=None):
    draw_results(out, rows, make_tables(rows), details or {})
    return {picture.path.stem: picture for picture in read_pictures(out)}


def test_rows_become_a_matrix_and_shots_become_curves(tmp_path, row):
    found = draw(tmp_path, [row(), row(metric="ece"), row(task="few_shot", metric="top1_4_shots")])
    assert {name: picture.section for name, picture in found.items()} == {"results_matrix": "overview", "results_few_shot": "few_shot"}


def test_details_become_calibration_and_confusion(tmp_path, row):
    own, other = row(model="a"), row(model="b", modality="sar")
    table = {"classes": ["x", "y"], "confusion": [[1, 0], [0, 1]]}
    bins = {"reliability": [{"confidence": 0.5, "accuracy": 0.4, "n": 3}]}
    found = draw(tmp_path, [own], {own: table | bins})
    assert {"results_zero_shot_calibration", "results_zero_shot_confusion_0"} <= set(found)
    assert found["results_zero_shot_confusion_0"].title == "Confusion: planet MSI"
    found = draw(tmp_path, [own, other], {own: table | bins, other: table | bins})
    assert "results_zero_shot_calibration" in found and "results_zero_shot_confusion_0" not in found, "a comparison shows none"


def test_an_unusable_detail_is_no_picture(tmp_path, row):
    assert list(draw(tmp_path, [row()], {row(): {"bootstrap": [0, 1]}})) == ["results_matrix"]
