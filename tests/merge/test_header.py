from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from merge_weights import MergeError
from merge_weights.header import encode_header, read_header


def craft(path: Path, header: Any, data: bytes = b"", length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + data)
    return path


def entry(dtype: str = "F32", shape: Any = (2,), offsets: Any = (0, 8)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def test_agrees_with_the_library(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"b": torch.ones(2, 3, dtype=torch.bfloat16), "a": torch.tensor(7), "empty": torch.zeros(0, 4)}, path, {"note": "x"})
    found = read_header(path)
    assert found.metadata == {"note": "x"}
    assert {key: (info.dtype, info.shape) for key, info in found.tensors.items()} == {
        "b": ("BF16", (2, 3)),
        "a": ("I64", ()),
        "empty": ("F32", (0, 4)),
    }
    a = found.tensors["a"]
    assert np.frombuffer(path.read_bytes()[a.begin : a.end], np.int64).tolist() == [7]


def test_written_header_is_read_by_the_library(tmp_path: Path) -> None:
    values = np.array([1, 2, 3], np.float32)
    path = tmp_path / "a.safetensors"
    path.write_bytes(encode_header([("é", "F32", (3,), 12), ("none", "F16", (0,), 0)], {"k": "v"}) + values.tobytes())
    with safe_open(path, framework="numpy") as file:
        assert file.metadata() == {"k": "v"}
        assert file.get_tensor("é").tolist() == [1, 2, 3]
        assert file.get_tensor("none").shape == (0,)
    assert int.from_bytes(path.read_bytes()[:8], "little") % 8 == 0


@pytest.mark.parametrize(
    ("header", "data", "message"),
    [
        (b"not json", b"", "damaged safetensors header"),
        (b"[1, 2]", b"", "not a JSON object"),
        (b"\xff\xfe{}", b"", "damaged"),
        (b"[" * 50_000, b"", "damaged"),
        (b'{"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"a":1}', b"1234", "occurs twice"),
        ({"__metadata__": {"a": 1}}, b"", "__metadata__"),
        ({"a": 3}, b"", "tensor a lacks"),
        ({"a": entry(shape=[-2])}, b"12345678", "tensor a lacks"),
        ({"a": entry(shape=[True])}, b"12345678", "tensor a lacks"),
        ({"a": entry(shape=[2.0])}, b"12345678", "tensor a lacks"),
        ({"a": entry("F4")}, b"12345678", "dtype F4"),
        ({"a": entry(["F32"])}, b"12345678", "dtype"),
        ({"a": entry(offsets=(0, 4))}, b"1234", "contradict"),
        ({"a": entry(offsets=(8, 0))}, b"12345678", "contradict"),
        ({"a": entry(offsets=(0, 4, 8))}, b"12345678", "contradict"),
        ({"a": entry(), "b": entry(offsets=(4, 12))}, b"123456789012", "b overlaps"),
        ({"a": entry(), "b": entry(offsets=(12, 20))}, b"1" * 20, "b leaves a gap"),
        ({"a": entry()}, b"1234567", "truncated"),
        ({"a": entry()}, b"123456789", "foreign bytes"),
        ({"a": entry(shape=[10**12, 10**12], offsets=(0, 4 * 10**24))}, b"", "truncated"),
    ],
)
def test_damaged_files_give_one_clear_line(tmp_path: Path, header: Any, data: bytes, message: str) -> None:
    with pytest.raises(MergeError, match=message) as caught:
        read_header(craft(tmp_path / "bad.safetensors", header, data))
    assert "bad.safetensors" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"1234", b"\x02\0\0\0\0\0\0\0", b"\xff" * 20, b"\0" * 20])
def test_not_safetensors(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)
    with pytest.raises(MergeError, match="no safetensors file, or it is truncated"):
        read_header(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(MergeError, match=r"cannot read .*No such file"):
        read_header(tmp_path / "none.safetensors")
