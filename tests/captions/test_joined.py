import copy
import json
import tracemalloc

import pytest

from geolangbind.captions import Caption, JoinedCaptions
from geolangbind.errors import DataError


@pytest.fixture
def written(tmp_path):
    def write(*lines):
        path = tmp_path / "more.jsonl"
        path.write_bytes(b"".join(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n" for line in lines))
        return path

    return write


def test_captions_by_key(written):
    joined = JoinedCaptions(
        written(
            {"key": "a", "caption": "One."},
            b"\n",
            {"key": "b", "captions": ["Two.", "Drei, schön."], "source": "model-x"},
            {"key": "a", "caption": "Four."},
            {"key": "c", "captions": []},
        )
    )
    assert joined.get("a") == (Caption("One.", "joined:more.jsonl"), Caption("Four.", "joined:more.jsonl"))
    assert joined.get("b") == (Caption("Two.", "joined:more.jsonl/model-x"), Caption("Drei, schön.", "joined:more.jsonl/model-x"))
    assert joined.get("c") == joined.get("d") == joined.get("") == ()


def test_keys_that_were_never_asked_for_are_counted_once(written):
    joined = JoinedCaptions(written(*({"key": key, "caption": "x"} for key in "aabbc")))
    assert joined.unused() == 3
    joined.get("a")
    joined.get("zzz")
    assert joined.unused() == 2


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"{", "line 2: not JSON in UTF-8"),
        (b'{"key": "a", "caption": "\xff"}', "line 2: not JSON in UTF-8"),
        (b"[" * 100_000, "line 2: not JSON in UTF-8"),
        (b"[]", "line 2: needs a 'key'"),
        (b'{"caption": "x"}', "line 2: needs a 'key'"),
        (b'{"key": 7, "caption": "x"}', "line 2: needs a 'key'"),
        (b'{"key": "a"}', "line 2: needs either 'caption'"),
        (b'{"key": "a", "caption": "x", "captions": []}', "line 2: needs either 'caption'"),
        (b'{"key": "a", "caption": ["x"]}', "line 2: captions and source must be texts"),
        (b'{"key": "a", "captions": "x"}', "line 2: captions and source must be texts"),
        (b'{"key": "a", "captions": [null]}', "line 2: captions and source must be texts"),
        (b'{"key": "a", "caption": "x", "source": 3}', "line 2: captions and source must be texts"),
    ],
)
def test_a_broken_line_is_named(written, line, told):
    with pytest.raises(DataError, match=f"more.jsonl: {told}"):
        JoinedCaptions(written({"key": "a", "caption": "x"}, line))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match=r"more\.jsonl: cannot read the captions: No such file"):
        JoinedCaptions(tmp_path / "more.jsonl")


def test_an_empty_file(written):
    joined = JoinedCaptions(written())
    assert (joined.get("a"), joined.unused()) == ((), 0)


def test_a_file_that_changes_or_goes_is_told(written):
    path = written({"key": "a", "caption": "x"}, {"key": "b", "caption": "y"})
    joined = JoinedCaptions(path)
    path.write_bytes(path.read_bytes()[3:])
    with pytest.raises(DataError, match=r"more\.jsonl: at byte \d+, changed since it was opened"):
        joined.get("b")
    path.unlink()
    with pytest.raises(DataError, match="cannot read the captions"):
        joined.get("b")


def test_a_byte_order_mark_and_windows_line_ends_are_read(written):
    joined = JoinedCaptions(written(b'\xef\xbb\xbf{"key": "a", "caption": "x"}\r\n{"key": "b", "caption": "y"}'))
    assert [caption.text for key in "ab" for caption in joined.get(key)] == ["x", "y"]


def test_it_can_be_sent_to_another_process(written):
    joined = copy.deepcopy(JoinedCaptions(written({"key": "a", "caption": "x"})))  # takes the way that sending takes
    assert [caption.text for caption in joined.get("a")] == ["x"]


def test_the_texts_stay_in_the_file(written):
    path = written(*({"key": f"s-{i}", "caption": "word " * 100} for i in range(10_000)))  # 5 MB
    tracemalloc.start()
    joined = JoinedCaptions(path)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held < 10_000 * 20 + 50_000
    assert joined.get("s-4711")[0].text == "word " * 100
