"""Settings refuse what cannot be, and say what is meant."""

import pytest

from geolangbind.errors import SettingsError
from geolangbind.train.run_settings import Optim
from geolangbind.train.settings import TrainSettings, from_config

GOOD = {"data": "shards", "run_dir": "runs/x", "sensor_group": {"name": "rgb", "modalities": {"rgb": 1}}}


def test_good_settings_are_typed():
    settings = from_config({**GOOD, "optim": {"lr": 1}, "teachers": {"choices": {"vit": {"weight": 2}}}})
    assert isinstance(settings, TrainSettings) and isinstance(settings.optim, Optim)
    assert type(settings.optim.lr) is float and settings.optim.beta2 == 0.98
    assert (settings.teachers.choices["vit"].weight, settings.teachers.choices["vit"].projector) == (2.0, True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stepz": 3}, "unknown setting 'stepz'; did you mean 'steps'?"),
        ({"qqqq": 3}, "unknown setting 'qqqq'$"),
        ({"optim": {"lrr": 3}}, "unknown setting 'optim.lrr'; did you mean 'optim.lr'?"),
        ({"augment": {"flip": True}}, "did you mean 'augment.flips'?"),
        ({"teachers": {"choices": {"vit": {"wieght": 1}}}}, "'teachers.choices.vit.wieght'; did you mean 'teachers.choices.vit.weight'?"),
    ],
)
def test_unknown_keys_come_with_the_nearest(changes, message):
    with pytest.raises(SettingsError, match=message):
        from_config({**GOOD, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": "many"}, "setting 'steps': Value 'many' of type 'str'"),
        ({"steps": 1.5}, "setting 'steps'"),
        ({"train_text": "maybe"}, "setting 'train_text'"),
        ({"optim": {"lr": "fast"}}, "setting 'optim.lr'"),
        ({"optim": 3}, "is not a subclass of Optim"),
        ({"sensor_group": {"name": "rgb", "modalities": {"rgb": "much"}}}, r"setting 'sensor_group.modalities.rgb'"),
        ({"teachers": {"choices": {"vit": 3}}}, "setting 'teachers.choices.vit'"),
    ],
)
def test_values_of_the_wrong_type_are_named(changes, message):
    with pytest.raises(SettingsError, match=message) as caught:
        from_config({**GOOD, **changes})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": ""}, "data is empty; give a folder of shards"),
        ({"run_dir": ""}, "run_dir is empty"),
        ({"sensor_group": {"name": "none", "modalities": {}}}, "choose a group, e.g. sensor_group=rgb"),
        ({"sensor_group": {"name": "x", "modalities": {"lidar": 1}}}, r"unknown \['lidar'\]; modalities are rgb, sar, msi, hsi, ir, dem"),
        ({"sensor_group": {"name": "x", "modalities": {"rgb": 0}}}, "share above 0"),
        ({"steps": 0}, r"steps \(0\) and batch_size \(256\) must be above 0"),
        ({"batch_size": -1}, r"batch_size \(-1\)"),
        ({"seed": -1}, "seed is -1"),
        ({"resume": "yes"}, "resume is 'yes'; use auto or never"),
        ({"same_label": "both"}, "same_label is 'both'; use one of negative, ignore, positive"),
        ({"keep_tokens": 0}, "keep_tokens is 0"),
        ({"keep_tokens": 1.5}, "keep_tokens is 1.5; it is a share"),
        ({"ema_decay": 1}, "ema_decay is 1"),
        ({"checkpoint_every": 0}, "checkpoint_every and keep_checkpoints must be above 0"),
        ({"keep_checkpoints": 0}, "checkpoint_every and keep_checkpoints must be above 0"),
        ({"keep_tokens": 0.5, "teachers": {"choices": {"vit": {}}}}, "set keep_tokens=1, or teachers=none"),
        ({"optim": {"lr": 0}}, "optim.lr is 0"),
        ({"optim": {"final_lr": 2}}, "optim.final_lr is 2"),
        ({"optim": {"warmup_steps": -1}}, "must not be negative"),
        ({"optim": {"clip_norm": -1}}, "must not be negative"),
        ({"optim": {"weight_decay": -1}}, "must not be negative"),
        ({"optim": {"layer_decay": 0}}, "optim.layer_decay is 0"),
        ({"best_is": "good"}, "best_is is 'good'; use lowest or highest"),
        ({"optim": {"beta1": 1}}, "optim.beta1"),
        ({"machine": {"precision": "bf17"}}, "machine.precision is 'bf17'; use one of 32-true, bf16-mixed, 16-mixed"),
        ({"machine": {"workers": -1}}, "machine.workers"),
        ({"machine": {"devices": 0}}, "machine.devices"),
        ({"augment": {"crop": 1.5}}, "augment.crop is 1.5; it is a share of the image's area"),
        ({"teachers": {"pool": 0}}, "teachers.pool is 0"),
    ],
)
def test_impossible_values_are_refused_with_the_way_out(changes, message):
    with pytest.raises(SettingsError, match=message) as caught:
        from_config({**GOOD, **changes})
    assert caught.value.exit_code == 2 and "\n" not in str(caught.value)


def test_all_tokens_and_teachers_go_together():
    assert from_config({**GOOD, "teachers": {"choices": {"vit": {}}}}).keep_tokens == 1
    assert from_config({**GOOD, "keep_tokens": 0.25}).keep_tokens == 0.25
