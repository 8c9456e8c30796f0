"""The published recipes: every figure against a table written by hand from the paper's code and its public log."""

import re
from math import ceil

import pytest

from geolangbind.hydra_entry import compose
from geolangbind.models.zoo import SIZES
from geolangbind.paths import conf_dir
from geolangbind.train.optim import learning_rate
from geolangbind.train.settings import from_config

EPOCHS = 50
CORPORA = [  # modality, samples, ratio of the code's table; what the log run did
    ("rgb", 1_518_888, 1.0), ("rgb", 41_172, 2.0), ("rgb", 13_718, 2.0), ("rgb", 110_800, 1.0), ("rgb", 20_264, 2.0), ("rgb", 61_711, 0.5),
    ("dem", 61_711, 0.5), ("ir", 18_032, 1.0),
    ("sar", 95_620, 0.5), ("sar", 6_181, 1.0), ("sar", 5_984, 1.0), ("msi", 95_620, 0.5), ("hsi", 15_000, 0.5),
]  # fmt: skip
BOTH = {
    "lr": 5e-4, "weight_decay": 1e-7, "beta1": 0.9, "beta2": 0.98, "eps": 1e-6, "warmup_steps": 1000, "final_lr": 0.0, "clip_norm": 0.0,
}  # fmt: skip
TEACHERS = {  # weight, projected, input side where it is not the network's own
    "geolangbind_b224": {
        "vit_base_patch16_siglip_224.webli": (2, False, None),
        "vit_large_patch14_reg4_dinov2.lvd142m": (1, True, 224),
        "vit_huge_patch14_clip_224.laion2b_ft_in12k": (1, True, None),
    },
    "geolangbind_l384": {
        "vit_so400m_patch14_siglip_384.webli": (2, False, None),
        "vit_large_patch14_reg4_dinov2.lvd142m": (1, True, 378),
        "vit_large_patch16_384.augreg_in21k_ft_in1k": (1, True, None),
    },
}
TOKENS = {  # per teacher: tokens and width that the notes give
    "vit_base_patch16_siglip_224.webli": (196, 768),
    "vit_huge_patch14_clip_224.laion2b_ft_in12k": (256, 1280),
    "vit_so400m_patch14_siglip_384.webli": (729, 1152),
    "vit_large_patch16_384.augreg_in21k_ft_in1k": (576, 1024),
    224: (256, 1024),
    378: (729, 1024),
}
RUNS = {  # GPUs x samples per GPU, start, and 50 epochs in steps: all sensors, RGB, the others
    "geolangbind_b224": (6 * 140, "b-224", 117_650, 107_800, 9_850),
    "geolangbind_l384": (6 * 35, "l-384", 470_350, 431_200, 39_150),
}


def per_epoch():
    found = {}
    for modality, samples, ratio in CORPORA:
        found[modality] = found.get(modality, 0) + samples * ratio
    return found


def recipe(name, *overrides):
    return from_config(compose("train", [f"experiment={name}", "data=shards", *overrides]))


def test_the_corpora_and_ratios_are_those_of_the_log():
    """Sample counts of the log's four loaders, its batches of 6 x 133 and its 123,850 steps follow from the table above."""
    sizes = per_epoch()
    loaders = [sizes["rgb"] + sizes["dem"] + sizes["ir"], sizes["sar"], sizes["msi"], sizes["hsi"]]
    assert loaders == [1_859_739, 59_975, 47_810, 7_500]
    assert EPOCHS * sum(ceil(size / 798) for size in loaders) == 123_850


@pytest.mark.parametrize("name", RUNS)
def test_every_figure_is_the_published_one(name):
    settings = recipe(name)
    assert {key: getattr(settings.optim, key) for key in BOTH} == BOTH and settings.optim.layer_decay == 1
    batch, size, *_ = RUNS[name]
    assert (settings.batch_size, settings.machine.devices, settings.machine.workers) == (batch, 6, 4)
    assert settings.model == f"hf-hub:{SIZES[size].start}"
    assert (settings.train_text, settings.same_label, settings.keep_tokens, settings.ema_decay) == (False, "negative", 1.0, 0.0)
    augment = settings.augment
    assert not any([augment.flips, augment.image_gain, augment.band_gain, augment.contrast, augment.most_bands])
    assert augment.crop == 0.9
    assert settings.machine.precision == "bf16-mixed"  # ours, not theirs


@pytest.mark.parametrize("name", RUNS)
def test_teachers_their_weights_and_their_sizes(name):
    teachers = recipe(name).teachers
    found = {}
    for choice in teachers.choices.values():
        network, side = re.fullmatch(r"timm:([^#]+)(?:#(\d+))?", choice.source).groups()
        found[network] = (choice.weight, choice.projector, side and int(side))
    assert found == TEACHERS[name]
    assert (teachers.weight, teachers.standardize) == (1.0, False)


@pytest.mark.parametrize("network", sorted({network for recipes in TEACHERS.values() for network in recipes}))
def test_token_grids_are_those_of_the_notes(network):
    """From timm's own records: pretrained weights of these tags exist, and the grid follows from side and patch."""
    import timm
    import torch

    with torch.device("meta"):
        model = timm.create_model(network, pretrained=False, num_classes=0)
    assert timm.get_pretrained_cfg(network).hf_hub_id
    patch = int(re.search(r"patch(\d+)", network)[1])
    own = timm.get_pretrained_cfg(network).input_size[-1]
    sides = {recipes[network][2] or own for recipes in TEACHERS.values() if network in recipes}
    for side in sides:
        tokens, width = TOKENS.get(network) or TOKENS[side]
        assert ((side // patch) ** 2, model.num_features) == (tokens, width)


@pytest.mark.parametrize("name", RUNS)
def test_shares_and_steps_follow_from_epochs_and_samples(name):
    batch, _, everything, rgb, others = RUNS[name]
    steps = {modality: EPOCHS * ceil(samples / batch) for modality, samples in per_epoch().items()}
    assert (sum(steps.values()), steps["rgb"], sum(steps.values()) - steps["rgb"]) == (everything, rgb, others)
    assert recipe(name).steps == everything
    assert recipe(name).sensor_group.modalities == per_epoch()
    branch = recipe(name, "sensor_group=published_others").sensor_group.modalities
    assert branch == {modality: samples for modality, samples in per_epoch().items() if modality != "rgb"}


@pytest.mark.parametrize("name", RUNS)
def test_the_commands_in_the_file_have_the_budgets_of_the_branches(name):
    """What the comments tell to type is what the table says; branches keep all else."""
    text = (conf_dir() / "experiment" / f"{name}.yaml").read_text()
    commands = [line.split()[2:] for line in text.splitlines() if line.startswith("# geolangbind-train ")]
    runs = [from_config(compose("train", command)) for command in commands]
    assert [run.steps for run in runs] == list(RUNS[name][2:])
    assert [run.sensor_group.name for run in runs] == ["published_all", "rgb", "published_others"]
    assert all(run.optim == runs[0].optim and run.teachers == runs[0].teachers for run in runs)
    assert len({run.run_dir for run in runs}) == 3 and "# unknown" in text


def test_the_schedule_is_the_published_one_from_end_to_end():
    settings = recipe("geolangbind_b224")
    rate = [learning_rate(step, settings.steps, settings.optim) for step in (0, 499, 999, 1000, (settings.steps + 1000) // 2)]
    assert rate == pytest.approx([5e-7, 2.5e-4, 5e-4, 5e-4, 2.5e-4], rel=1e-6)
    assert learning_rate(settings.steps, settings.steps, settings.optim) == pytest.approx(0, abs=1e-12)
