"""The tokenizer of a checkpoint."""

import json

import pytest
from tokenizers import Tokenizer, models

from geolangbind.errors import CheckpointError
from geolangbind.models.text import TextConfig
from geolangbind.tokenizer import clip_tokenizer
from geolangbind.weights import tokenizers
from geolangbind.weights.source import find_source

TEXT = TextConfig(600, 16, 64, 2, 4, 4.0, 64)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "open_clip_model.safetensors").touch()
    return tmp_path


def wordlevel(*specials):
    return Tokenizer(models.WordLevel({word: i for i, word in enumerate(["a", "pond", *specials])}, unk_token="a")).to_str()


def find(folder, told=None):
    return tokenizers.find_tokenizer(find_source(folder), told or {}, TEXT)


@pytest.mark.parametrize(
    ("specials", "config", "pad_id"),
    [
        (["</s>"], {}, 2),
        (["</s>", "<pad>"], {}, 3),
        (["</s>", "<pad>"], {"pad_token": "</s>"}, 2),
        (["</s>", "[PAD]"], {"pad_token": {"content": "[PAD]"}}, 3),
    ],
)
def test_padding_is_the_tokenizers_own(folder, specials, config, pad_id):
    (folder / "tokenizer.json").write_text(wordlevel(*specials))
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    tokenizer, missing = find(folder)
    assert (tokenizer.pad_id, missing) == (pad_id, "")
    assert tokenizer(["pond"]).tolist() == [[1] + [pad_id] * 15]


def test_damaged_or_foreign_tokenizers_are_refused(folder):
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"cannot read .*tokenizer\.json"):
        find(folder)
    (folder / "tokenizer.json").write_text(clip_tokenizer(1000).to_str())
    with pytest.raises(CheckpointError, match=r"1514 entries, the text tower 600: not the tokenizer of these weights"):
        find(folder)
    (folder / "tokenizer.json").write_text(wordlevel())
    with pytest.raises(CheckpointError, match="no padding token"):
        find(folder)


def test_the_repository_that_the_configuration_names_is_asked(folder, monkeypatch, tmp_path_factory):
    cached = tmp_path_factory.mktemp("cache") / "tokenizer.json"
    cached.write_text(wordlevel("</s>"))
    asked = []
    monkeypatch.setattr(tokenizers, "tokenizer_json", lambda repo: asked.append(repo) or cached)
    told = {"model_cfg": {"text_cfg": {"hf_tokenizer_name": "timm/ViT-B-16-SigLIP2", "tokenizer_kwargs": {"clean": "lower"}}}}
    tokenizer, _ = find(folder, told)
    assert asked == ["timm/ViT-B-16-SigLIP2"] and tokenizer.clean == "lower" and tokenizer.context_length == 16


def test_a_size_without_its_tokenizer_names_the_way_out(monkeypatch):
    def absent(repo):
        raise CheckpointError(f"tokenizer.json of {repo} is not cached")

    monkeypatch.setattr(tokenizers, "tokenizer_json", absent)
    with pytest.raises(CheckpointError, match=r"size b-224 needs a tokenizer: tokenizer.json of timm/ViT-B-16-SigLIP is.*model=FOLDER"):
        tokenizers.size_tokenizer("b-224")
    assert tokenizers.size_tokenizer("tiny") is None
