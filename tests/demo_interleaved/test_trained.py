"""A trained encoder as rankings ask it: known by everything that changes a vector."""

import json

import pytest
import torch

from geolangbind.checkpoint import file_sha256
from geolangbind.demo_interleaved.trained import as_ranked
from geolangbind.instruct.row import Row
from geolangbind.instruct.rows import write_pairs
from geolangbind.instruct.run import start_encoder
from geolangbind.instruct.settings import from_config
from geolangbind.interleaved.folder import save_interleaved
from geolangbind.interleaved.segments import Text

SMALL = {"config": {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}}


def test_models_that_share_a_file_of_weights_are_told_apart(tmp_path):
    pairs = write_pairs(tmp_path / "pairs", {}, {"one": ([Row("a", "", (Text("q"),), (Text("t"),))], {})})
    told = {"pairs": str(pairs.folder), "run_dir": str(tmp_path / "run"), "backbone": SMALL, "lora": {"r": 2}}
    encoder = start_encoder(from_config(told))
    parameters = dict(encoder.model.named_parameters())
    part_of = {
        "adapter.safetensors": next(name for name in parameters if ".lora_B" in name),
        "tower/model.safetensors": next(name for name in parameters if name.startswith("tower.")),
    }
    folders = [save_interleaved(encoder, tmp_path / "first"), save_interleaved(encoder, tmp_path / "again")]
    for file, name in part_of.items():
        with torch.no_grad():
            parameters[name].add_(0.1)
        folders.append(save_interleaved(encoder, tmp_path / file.split(".")[0].replace("/", "-")))
        assert file_sha256(folders[-1] / file) != file_sha256(folders[-2] / file)
    models = [as_ranked(folder, pairs, tmp_path / "features", progress=False) for folder in folders]
    assert len({file_sha256(folder / "model.safetensors") for folder in folders}) == 1
    assert models[0].sha256 == models[1].sha256 and len({model.sha256 for model in models}) == 3
    listed = json.loads((folders[0] / "config.json").read_text())["files"]
    assert listed.keys() >= {path.relative_to(folders[0]).as_posix() for path in folders[0].rglob("*.safetensors")}
    assert models[0].embed([(Text("a field"),)], "")[0].norm() == pytest.approx(1)
