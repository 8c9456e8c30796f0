"""LoRA steps at the size of Qwen2-VL-2B and Qwen3-0.6B, random weights, on the CUDA device there is: time and memory.

    python benchmarks/interleaved_gpu.py            # one GPU of 80 GB, bf16; says so and ends where there is no CUDA device
    python benchmarks/interleaved_gpu.py --quick    # one batch each, to see that it runs

Language models are built from their published sizes, nothing is fetched. Each sequence is one RGB image of 378 px and words; the
frozen l-384 tower runs in every step and gives 81 tokens, which is what it costs without features on disk.
"""

from __future__ import annotations

import argparse
import datetime as dt
import statistics
import time
from typing import Any

import torch
import transformers
from torch.nn import functional as F

from geolangbind.data.batch import describe
from geolangbind.interleaved.backbone import build_backbone, describe_backbone
from geolangbind.interleaved.lora import LoraSettings, add_lora
from geolangbind.interleaved.prompts import ImageGroup, Prompts, Slot
from geolangbind.models import zoo
from geolangbind.models.encoder import VisionEncoder
from geolangbind.models.interleaved import InterleavedConfig, InterleavedModel
from geolangbind.sensors.units import Unit

LARGE: dict[str, tuple[str, dict[str, Any]]] = {  # sizes as in the models' published configurations
    "Qwen2-VL-2B": (
        "qwen2-vl",
        {
            "text_config": {
                "vocab_size": 151_936, "hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 28,
                "num_attention_heads": 12, "num_key_value_heads": 2,
            },
            "vision_config": {"depth": 1, "embed_dim": 64, "num_heads": 1, "hidden_size": 1536},  # dropped: the tower is ours
        },
    ),
    "Qwen3-0.6B": (
        "text",
        {
            "model_type": "qwen3", "vocab_size": 151_936, "hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 28,
            "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128,
        },
    ),
}  # fmt: skip


def gpu(quick: bool) -> None:
    """LoRA steps (r 16 on bf16 weights, frozen l-384 tower in the step: 81 tokens an image) at published sizes, random weights."""
    row("GPU, LoRA r 16", "sequences", "tokens", "step, ms", "sequences/s", "peak memory, GB")
    row("---", *["---:"] * 5)
    for name, (kind, config) in LARGE.items():
        torch.cuda.empty_cache()
        with torch.device("cuda"):
            backbone = build_backbone(describe_backbone(kind, config=config, dtype="bfloat16"))
            add_lora(backbone, LoraSettings(r=16))
            model = InterleavedModel(VisionEncoder(zoo.SIZES["l-384"].vision), backbone, backbone.spec.hidden, InterleavedConfig(factor=3))
        model.to("cuda")
        trainer = Trainer(model)
        for count, words in ((16, 32),) if quick else ((16, 32), (64, 32), (64, 175), (64, 431), (256, 32)):
            torch.cuda.reset_peak_memory_stats()
            seconds = trainer.seconds(large_prompts(count, words))
            peak = torch.cuda.max_memory_allocated() / 1e9
            row(name, count, 81 + words, f"{1e3 * seconds:.0f}", f"{count / seconds:.0f}", f"{peak:.1f}")
        del model, backbone, trainer


def large_prompts(count: int, words: int) -> Prompts:
    """One RGB image of 378 px and so many words per sequence, on the GPU."""
    slots = torch.tensor([[Slot.IMAGE] * 81 + [Slot.TEXT] * words]).expand(count, -1)
    channels, _, _ = describe("aerial-rgb", ("R", "G", "B"), Unit.DISPLAY_U8)
    pixels = torch.randn(count, 3, 378, 378)
    return Prompts(
        ids=torch.randint(0, 1000, slots.shape), mask=torch.ones(slots.shape, dtype=torch.bool), slots=slots.contiguous(),
        groups=(ImageGroup(channels, pixels),), images=torch.arange(count), regions=torch.zeros(0, 5), places=torch.zeros(0, 2),
    ).to(torch.device("cuda"))  # fmt: skip


class Trainer:
    """Steps of what is trained: adapters, projector, tokens."""

    def __init__(self, model: InterleavedModel) -> None:
        self.model = model.train()
        model.tower.requires_grad_(False).eval()
        self.trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(self.trained, lr=1e-4, fused=True)

    def seconds(self, prompts: Prompts) -> float:
        """Median of ten steps after three; half of the sequences find the other half."""
        times = []
        for _ in range(13):
            torch.cuda.synchronize()
            began = time.perf_counter()
            with torch.autocast("cuda", torch.bfloat16):
                vectors = self.model(prompts)
            queries, targets = vectors.chunk(2)
            loss = F.cross_entropy(queries @ targets.T / 0.05, torch.arange(len(queries), device="cuda"))
            self.optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            self.optimizer.step()
            torch.cuda.synchronize()
            times.append(time.perf_counter() - began)
        return statistics.median(times[3:])


def row(*cells: object) -> None:
    """Print one row of a Markdown table."""
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one batch each, to see that it runs")
    told = parser.parse_args()
    if not torch.cuda.is_available():
        print("no CUDA device here; nothing measured")
        return
    torch.manual_seed(0)
    machine = torch.cuda.get_device_name()
    print(f"{dt.datetime.now(dt.UTC):%Y-%m-%d}, {machine}, torch {torch.__version__}, transformers {transformers.__version__}\n")
    gpu(told.quick)


if __name__ == "__main__":
    main()
