import io
import json
import re

import pytest
import torch
from PIL import Image

from geolangbind.crashtest.page import file_names, level, reached, scores, slug, write_pages
from geolangbind.crashtest.pictures import picture
from geolangbind.crashtest.run import crash_test
from geolangbind.errors import SensorError
from geolangbind.evaluate.measure import Measure

NASTY = 'a <script>alert("x")</script> | model'


@pytest.fixture(scope="module")
def tests(toy, stack, oracle):
    def refuses(batch):
        if batch.modality == "sar":
            raise SensorError("no <b>radar</b> | here")
        return torch.nn.functional.adaptive_avg_pool2d(batch.image, 2).flatten(1)[:, :8]

    return {embedder.name: [crash_test(embedder, stack())] for embedder in (oracle, toy(refuses, NASTY))}


@pytest.fixture(scope="module")
def folder(tests, tmp_path_factory):
    out = tmp_path_factory.mktemp("pages")
    assert write_pages(tests, {"<gone>": "no | weights <here>"}, out, {NASTY: "a <guess>"}) == out / "index.html"
    return out


def measure(value, chance, ideal):
    return Measure("crash_test", "x", "all", value, 5, chance, details={"ideal": ideal})


def test_the_way_from_chance_to_ideal():
    assert reached(measure(0.75, 0.5, 1.0)) == 0.5
    assert reached(measure(0.2, 0.5, 1.0)) == 0
    assert reached(measure(0.25, 1.0, 0.0)) == 0.75
    assert reached(measure(3.0, 1.0, 0.0)) == 0
    assert [level(share)[0] for share in (1.0, 0.8, 0.79, 0.4, 0.39, 0.0)] == ["good", "good", "fair", "fair", "poor", "poor"]
    assert len({level(share)[2] for share in (1.0, 0.5, 0.0)}) == 3, "told apart without colour"


def test_nothing_that_was_typed_or_told_becomes_markup(folder):
    for page in folder.glob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"<script|<b>radar|<gone>|<guess>|<here>", text), page.name
        assert re.findall(r'(?:src|href)="(?!data:|[\w.-]+\.html")', text) == [], "needs another file"
    for page in folder.glob("*.md"):
        text = page.read_text(encoding="utf-8")
        assert "<script" not in text and "<b>radar" not in text
        widths = {line.replace("\\|", "").count("|") for line in text.splitlines() if line.startswith("|")}
        assert len(widths) == 1, page.name


def test_every_link_leads_somewhere(folder):
    for page in (folder / "index.html", folder / "index.md", *folder.glob("*.md")):
        text = page.read_text(encoding="utf-8")
        for name in [*re.findall(r'href="([^"]+)"', text), *re.findall(r"\]\(([^)]+)\)", text)]:
            assert (folder / name).is_file(), name


def test_the_table_has_a_column_per_model_and_says_what_cannot_be_seen(folder, tests):
    text = (folder / "index.md").read_text(encoding="utf-8")
    rows = {line.split(" | ")[0][2:]: line for line in text.splitlines() if line.startswith("| ")}
    assert rows["Same place, another sensor"].startswith("| Same place, another sensor | ● 1.00 [1.00, 1.00] |")
    assert rows["VV and VH swapped, names not"].endswith("cannot see these sensors |")
    assert "- &lt;gone> could not be opened: no \\| weights &lt;here>" in text


def test_the_json_holds_every_measure(folder, tests):
    told = json.loads((folder / "crashtest.json").read_text(encoding="utf-8"))
    assert told["format"] == "geolangbind-crashtest-1" and told["failed"] == {"<gone>": "no | weights <here>"}
    assert [run["model"] for run in told["runs"]] == list(tests)
    first = next(iter(tests.values()))[0]
    assert len(told["runs"][0]["measures"]) == len(first.measures) > len(scores(first))
    assert told["runs"][1]["refused"] == {"radar": "no <b>radar</b> | here"}


def test_the_picture_grows_with_the_sensors(tests):
    sizes = [Image.open(io.BytesIO(picture(found[0]))).size for found in tests.values()]
    assert sizes[0] == sizes[1] and min(sizes[0]) > 400


def test_models_of_like_names_have_pages_of_their_own():
    assert file_names(["runs/a", "runs-a", "Runs a", "index"]) == {
        "runs/a": "runs-a", "runs-a": "runs-a-2", "Runs a": "Runs-a-3", "index": "index-2",
    }  # fmt: skip
    assert file_names(["a", "a ", "a-2"]) == {"a": "a", "a ": "a-2", "a-2": "a-2-2"}


def test_names_become_file_names():
    assert slug("open_clip:ViT-B-32 (random weights)") == "open-clip-ViT-B-32-random-weights"
    assert slug("../../etc") == "etc" and slug("///") == "model"
