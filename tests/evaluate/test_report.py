"""A results folder to a page: whole, self-contained, escaped, honest."""

import json
import re
from html.parser import HTMLParser

import pytest
from PIL import Image

from geolangbind.errors import DataError
from geolangbind.evaluate.pictures.album import read_pictures
from geolangbind.evaluate.report import join_reports, write_report
from geolangbind.evaluate.report_page import suite_averages
from geolangbind.evaluate.results import append_rows

EVIL = "<script>alert('x')</script> $a_b$ | **c**"


class Seen(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.addresses, self.ids, self.text, self.open = [], [], [], "", []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        told = dict(attrs)
        self.addresses += [told[name] for name in ("src", "href") if name in told]
        self.ids += [told["id"]] if "id" in told else []
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] not in (["script"], ["style"]):
            self.text += data


@pytest.fixture(scope="module")
def out(tmp_path_factory, row, published):
    folder = tmp_path_factory.mktemp("report")
    (folder / "details").mkdir()
    bins = [{"confidence": 0.3, "accuracy": 0.2, "n": 10}, {"confidence": 0.9, "accuracy": 0.7, "n": 30}]
    (folder / "details/top1.json").write_text(json.dumps({"classes": [EVIL, "b"], "confusion": [[3, 1], [0, 4]], "reliability": bins}))
    shots = [row(0.1 * shots, task="few_shot", metric=f"top1_{shots}_shots") for shots in (1, 2, 4)]
    append_rows(folder / "results.jsonl", [row(0.5, synthetic=True, id="top1"), published(0.4, model=EVIL), *shots])
    write_report(folder)
    return folder


@pytest.fixture(scope="module")
def page(out):
    return Seen((out / "report.html").read_text(encoding="utf-8"))


def test_the_page_needs_nothing_but_itself(page):
    assert not page.open
    outside = [address for address in page.addresses if not address.startswith(("data:image/png;base64,", "#"))]
    assert not outside
    assert {address[1:] for address in page.addresses if address.startswith("#")} <= set(page.ids)
    assert page.tags.count("img") == 4  # matrix, few-shot curves, calibration, confusion


def test_what_comes_from_data_is_text_and_no_code(page, out):
    assert page.tags.count("script") == 1  # the page's own
    assert EVIL in page.text
    text = (out / "report.md").read_text(encoding="utf-8")
    assert "<script" not in text.replace("\\<", "")
    assert "\\| \\*\\*c\\*\\*" in text


def test_the_page_says_what_it_must(page, out):
    for text in (page.text, (out / "report.md").read_text(encoding="utf-8")):
        assert "Synthetic data:" in text and "published" in text and "a paper" in text
        for told in ("50.0", "45.0–55.0", "no interval", "geolangbind-evaluate", "f" * 12):
            assert told in text, told
    assert "chance 10.0" in page.text and "n = 100" in page.text
    assert "| *chance* | 10.0 |" in (out / "report.md").read_text(encoding="utf-8")


def test_pictures_of_markdown_lie_beside_it(out):
    addresses = re.findall(r"^!\[.*\]\((.*)\)$", (out / "report.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert len(addresses) == 4
    for address in addresses:
        with Image.open(out / address) as picture:
            assert 300 < picture.width < 1400


def test_a_second_report_replaces_the_pictures_of_the_first(out, tmp_path, row):
    append_rows(tmp_path / "results.jsonl", [row(task="few_shot", metric="top1_1_shots")])
    write_report(tmp_path)
    assert [picture.path.name for picture in read_pictures(tmp_path)] == ["results_few_shot.png"]
    append_rows(tmp_path / "results.jsonl", [row(metric="ece")])
    (tmp_path / "results.jsonl").write_text((tmp_path / "results.jsonl").read_text().splitlines(keepends=True)[1])
    write_report(tmp_path)
    assert read_pictures(tmp_path) == [], "nothing is left that these rows can be drawn as"


def test_several_folders_make_one_page(out, tmp_path, row):
    other = tmp_path / "other"
    append_rows(other / "results.jsonl", [row(0.7, model="runs/b")])
    made = join_reports([out, other], tmp_path / "both" / "page.html")
    text = Seen(made.read_text(encoding="utf-8")).text
    assert made.with_suffix(".md").is_file()
    assert "50.0" in text and "70.0" in text
    names = [picture.path.name for picture in read_pictures(made.parent)]
    assert "results_matrix.png" in names
    assert not (other / "pictures").exists(), "the parts are left alone"


def test_a_folder_without_results_is_refused(tmp_path):
    with pytest.raises(DataError, match="has no results"):
        join_reports([tmp_path], tmp_path / "page.html")
    assert not list(tmp_path.iterdir())


def test_only_suites_of_the_package_define_averages(tmp_path, monkeypatch):
    (tmp_path / "suite").mkdir()
    (tmp_path / "suite/mine.yaml").write_text("name: mine\naverages: {all: [aid, eurosat]}\n")
    (tmp_path / "suite/plain.yaml").write_text("name: plain\n")
    monkeypatch.setattr("geolangbind.evaluate.report_page.conf_dir", lambda: tmp_path)
    assert suite_averages("mine") == {"all": ("aid", "eurosat")}
    assert suite_averages("plain") == suite_averages("gone") == suite_averages("../suite/mine") == {}
