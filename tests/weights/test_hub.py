"""Fetching from a hub on this machine: what is taken, what the cache serves, what refusals say."""

import json

import pytest

from geolangbind.errors import CheckpointError
from geolangbind.weights.hub import cache_folder, endpoint, fetch, is_offline, parse_source, tokenizer_json

CONFIGS = {"config.json": b"{}", "open_clip_config.json": b'{"a": 1}', "README.md": b"# card"}
SHARDS = {f"model-{i:05d}-of-00003.safetensors": bytes([i]) * 9 for i in (1, 2, 3)}
INDEX = {"model.safetensors.index.json": json.dumps({"weight_map": dict.fromkeys("abc", "x")}).encode()}


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("there", "taken"),
    [
        (["open_clip_pytorch_model.bin", "open_clip_model.safetensors", "pytorch_model.bin"], "open_clip_model.safetensors"),
        (["pytorch_model.bin", "model.safetensors", "open_clip_model.safetensors"], "model.safetensors"),
        (["pytorch_model.bin", "open_clip_pytorch_model.bin"], "open_clip_pytorch_model.bin"),
        (["pytorch_model.bin"], "pytorch_model.bin"),
    ],
)
def test_one_copy_of_the_weights_is_fetched(hub, there, taken):
    files = {**CONFIGS, **{name: name.encode() for name in there}, "onnx/model.onnx": b"x", "events.log": b"x", "tf_model.h5": b"x"}
    hub.add("earth/model", files)
    folder = fetch("hf-hub:earth/model")
    assert content(folder) == {**CONFIGS, taken: taken.encode()}
    assert hub.downloaded() == sorted([*CONFIGS, taken])
    assert cache_folder() in folder.parents


def test_shards_come_with_their_index(hub):
    hub.add("earth/large", {**CONFIGS, **INDEX, **SHARDS, "pytorch_model.bin": b"x", "model-extra.safetensors": b"x"})
    assert content(fetch("hf-hub:earth/large")) == {**CONFIGS, **INDEX, **SHARDS}


def test_incomplete_shards_are_no_weights(hub):
    hub.add("earth/large", {**INDEX, **dict(list(SHARDS.items())[:2])})
    with pytest.raises(
        CheckpointError, match=r"earth/large on the hub holds no weights file .*it holds model\.safetensors\.index\.json, mo"
    ):
        fetch("hf-hub:earth/large")


def test_revisions_are_branches_or_commits(hub):
    hub.add("earth/model", {"model.safetensors": b"new"})
    hub.add("earth/model", {"model.safetensors": b"old"}, branch="v1.0")
    commit, _ = hub.commit_id("earth/model", "v1.0")
    assert content(fetch("hf-hub:earth/model")) == {"model.safetensors": b"new"}
    assert content(fetch("hf-hub:earth/model@v1.0")) == {"model.safetensors": b"old"}
    hub.stop()
    assert content(fetch(f"hf-hub:earth/model@{commit}")) == {"model.safetensors": b"old"}


def test_a_known_commit_is_not_asked_for_again(hub):
    hub.add("earth/model", {"model.safetensors": b"w"})
    commit, _ = hub.commit_id("earth/model", "main")
    first = fetch(f"hf-hub:earth/model@{commit}")
    asked = len(hub.requests)
    assert fetch(f"hf-hub:earth/model@{commit}") == first and len(hub.requests) == asked


@pytest.mark.parametrize("how", ["stopped", "offline", "broken"])
def test_the_cache_serves_when_the_hub_does_not(hub, monkeypatch, how):
    hub.add("earth/model", {**CONFIGS, "model.safetensors": b"w", "pytorch_model.bin": b"w"})
    hub.add("earth/large", {**INDEX, **SHARDS}, branch="v2")
    model, large = fetch("hf-hub:earth/model"), fetch("hf-hub:earth/large@v2")
    before = list(hub.requests)
    if how == "stopped":
        hub.stop()
    elif how == "offline":
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    else:
        hub.broken = True
    assert fetch("hf-hub:earth/model") == model
    assert fetch("hf-hub:earth/large@v2") == large
    if how != "broken":
        assert hub.requests == before
    with pytest.raises(CheckpointError) as failure:
        fetch("hf-hub:earth/other")
    why = "HF_HUB_OFFLINE is set" if how == "offline" else f"{hub.endpoint} cannot be reached"
    for told in ("earth/other", "model.safetensors", why, str(cache_folder()), "give the folder"):
        assert told in str(failure.value)


def test_a_damaged_cache_is_not_served(hub):
    hub.add("earth/large", {**CONFIGS, **INDEX, **SHARDS})
    folder = fetch("hf-hub:earth/large")
    (folder / "model-00002-of-00003.safetensors").resolve().unlink()
    hub.stop()
    with pytest.raises(CheckpointError, match="cannot be reached"):
        fetch("hf-hub:earth/large")


def test_what_the_hub_changed_is_fetched_anew(hub):
    hub.add("earth/model", {"model.safetensors": b"one", "config.json": b"{}"})
    fetch("hf-hub:earth/model")
    hub.add("earth/model", {"model.safetensors": b"two", "config.json": b"{}"})
    assert content(fetch("hf-hub:earth/model"))["model.safetensors"] == b"two"
    assert hub.downloaded().count("config.json") == 1


def test_missing_repositories_and_revisions_are_named(hub):
    hub.add("earth/model", {"model.safetensors": b"w"})
    with pytest.raises(
        CheckpointError, match=r"earth/modle.*knows no such repository, or it is private.*log in with `hf auth login`.*HF_TOKEN"
    ):
        fetch("hf-hub:earth/modle")
    with pytest.raises(CheckpointError, match="earth/model on the hub has no revision 'v9'; give one of its branches, tags or commits"):
        fetch("hf-hub:earth/model@v9")
    hub.add("earth/data", {"README.md": b"", "table.csv": b""})
    with pytest.raises(CheckpointError, match=r"earth/data on the hub holds no weights file .*it holds README\.md, table\.csv"):
        fetch("hf-hub:earth/data")


def test_gated_and_private_repositories_need_a_token(hub, log_in):
    for name, group in (("earth/gated", hub.gated), ("earth/secret", hub.private)):
        hub.add(name, {"model.safetensors": name.encode()})
        group.add(name)
    with pytest.raises(CheckpointError, match=r"earth/gated: the repository is gated.*accept its terms.*HF_TOKEN"):
        fetch("hf-hub:earth/gated")
    with pytest.raises(CheckpointError, match=r"earth/secret: .*or it is private.*HF_TOKEN"):
        fetch("hf-hub:earth/secret")
    log_in()
    for name in ("earth/gated", "earth/secret"):
        assert content(fetch(f"hf-hub:{name}")) == {"model.safetensors": name.encode()}


def test_a_tokenizer_alone(hub):
    hub.add("timm/text", {"tokenizer.json": b'{"t": 1}', "open_clip_model.safetensors": b"large"})
    path = tokenizer_json("timm/text")
    assert path.read_bytes() == b'{"t": 1}' and hub.downloaded() == ["tokenizer.json"]
    hub.stop()
    assert tokenizer_json("hf-hub:timm/text") == path
    with pytest.raises(CheckpointError, match=rf"cannot get tokenizer\.json of timm/none: .*not in the cache {cache_folder()}"):
        tokenizer_json("timm/none")
    # the cache holds the repository, but only its tokenizer
    with pytest.raises(CheckpointError, match="cannot get a weights file"):
        fetch("hf-hub:timm/text")


def test_a_repository_without_a_tokenizer(hub):
    hub.add("timm/vision", {"model.safetensors": b"w"})
    with pytest.raises(CheckpointError, match=r"timm/vision on the hub holds no tokenizer\.json; it holds model\.safetensors"):
        tokenizer_json("timm/vision")


@pytest.mark.parametrize(
    "source",
    ["hf-hub:", "hf-hub:model", "hf-hub:a/b/c", "hf-hub:a/b@", "hf-hub:a/b@../../x", "hf-hub:a/b@v 1", "hf-hub:../b", "hf-hub:-a/b",
     "hf-hub:a/b--c", "hf-hub:a/b.git", f"hf-hub:a/{'b' * 95}", "https://a/b"],
)  # fmt: skip
def test_malformed_sources_are_refused(source):
    with pytest.raises(CheckpointError, match="names no repository; write hf-hub:owner/name or hf-hub:owner/name@revision"):
        fetch(source)


def test_sources_split_into_repository_and_revision():
    assert parse_source("hf-hub:timm/ViT-B-16-SigLIP") == ("timm/ViT-B-16-SigLIP", None)
    assert parse_source("a_1/b.c-d@refs/pr/3") == ("a_1/b.c-d", "refs/pr/3")


def test_settings_are_read_when_asked(monkeypatch, tmp_path):
    for name in ("HF_ENDPOINT", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    assert endpoint() is None
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1/")
    assert endpoint() == "http://127.0.0.1:1"
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "hub"
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.setenv("HF_HUB_OFFLINE", "yes")
    assert is_offline()
