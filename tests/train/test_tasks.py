"""What one step computes, on six samples of the planet."""

import dataclasses
import math

import pytest
import torch
from torch.utils._pytree import tree_leaves

from geolangbind.data.crop import crop_planes, draw_boxes
from geolangbind.errors import DataError, SettingsError
from geolangbind.losses import feature_matching
from geolangbind.models import zoo
from geolangbind.statistics import Measured, measure
from geolangbind.teachers import Teacher
from geolangbind.train.tasks import AlignmentTask

SHAPES = {"scene": (16, 12), "register": (4, 8)}
STILL = {"flips": False, "image_gain": 0, "band_gain": 0, "contrast": 0}


@pytest.fixture
def make(batch, settings_for):
    """`make(...)`: a task on a seeded tiny model, in training mode, without augmentation unless asked for."""

    def task(teachers=(), live=(), projector=True, **changes) -> AlignmentTask:
        torch.manual_seed(0)
        model = zoo.build("tiny")
        model.statistics = measure([Measured(batch.sensor, batch.bands, batch.image, batch.channels)])
        choices = {name: {"weight": weight, "projector": projector} for name, weight in dict(teachers).items()}
        settings = settings_for(**{"augment": STILL, "teachers": {"choices": choices, "weight": 0.25}, **changes})
        return AlignmentTask(model, settings, dict(live), SHAPES).train()

    return task


def patch_mean_teacher() -> Teacher:
    """Means of 4 x 4 patches of a 64 px view, four times over: tokens (16, 12), no weights."""

    def tokens(pictures):
        return torch.nn.functional.avg_pool2d(pictures, 16).flatten(2).transpose(1, 2).repeat(1, 1, 4)

    return Teacher("scene", tokens, 64, (0.0,) * 3, (1.0,) * 3, 12, 4, "none", torch.nn.Identity())


def losses_of(task, batch, seed=0):
    return task(lambda: batch, torch.Generator().manual_seed(seed))


def test_the_loss_is_the_sum_of_its_weighted_parts(make, batch):
    losses = losses_of(make({"scene": 3.0, "register": 0.5}), batch)
    assert set(losses) == {"loss", "contrastive", "maka/scene", "maka/register"}
    expected = losses["contrastive"] + 0.25 * (3.0 * losses["maka/scene"] + 0.5 * losses["maka/register"])
    torch.testing.assert_close(losses["loss"], expected)
    alone = losses_of(make(), batch)
    torch.testing.assert_close(alone["loss"], alone["contrastive"], rtol=0, atol=0)


def test_the_contrastive_part_is_that_of_the_two_towers(make, batch):
    """Worked out again from images and the captions drawn, with the published loss."""
    task = make()
    captions = [texts[0] for texts in batch.captions]
    single = dataclasses.replace(batch, captions=tuple((text,) for text in captions))
    image, _ = task.statistics.normalize(batch.image, batch.channels, batch.sensor, batch.bands)
    with torch.no_grad():
        vectors, _ = task.towers.image_vectors(image, batch.channels)
        text = task.towers.text_vectors(task.tokenizer(captions))
        logits = 10 * vectors @ text.T - 10
        expected = -torch.nn.functional.logsigmoid((2 * torch.eye(6) - 1) * logits).sum() / 6
    torch.testing.assert_close(losses_of(task, single)["contrastive"].detach(), expected)


def test_a_teacher_without_projector_is_compared_directly(make, batch):
    features = torch.randn(6, 64, 128, dtype=torch.float32, generator=torch.Generator().manual_seed(0))
    direct = dataclasses.replace(batch, features={"siglip": features.half()})
    task = make(projector=False, teachers={"siglip": 1.0})
    assert len(task.maka) == 0
    image, _ = task.statistics.normalize(batch.image, batch.channels, batch.sensor, batch.bands)
    tokens = task.towers.image_vectors(image, batch.channels)[1].features
    torch.testing.assert_close(losses_of(task, direct)["maka/siglip"], feature_matching(tokens, features.half().float()))


def test_the_frozen_text_tower_stays_as_it_is(make, batch):
    task = make()
    losses_of(task, batch)["loss"].backward()
    assert not task.towers.text.training and task.towers.vision.training
    assert all(not parameter.requires_grad and parameter.grad is None for parameter in task.towers.text.parameters())
    assert all(parameter.grad is not None for parameter in (task.towers.logit_scale, task.towers.logit_bias))
    assert sum(parameter.grad is not None for parameter in task.towers.vision.parameters()) > 30
    assert task.seen_words == set()


def test_the_base_stage_trains_the_text_tower_and_keeps_its_words(make, batch):
    task = make(train_text=True)
    losses_of(task, batch)["loss"].backward()
    assert task.towers.text.training and all(parameter.grad is not None for parameter in task.towers.text.parameters())
    spoken = {word for texts in batch.captions for text in texts for word in text.lower().replace(",", " ").replace(".", " ").split()}
    assert task.seen_words and all(word.isalnum() or not word.isascii() for word in task.seen_words)
    assert len(task.seen_words & spoken) > 0.7 * len(task.seen_words)
    task.eval()
    assert not task.towers.text.training


def test_captions_depend_on_the_generator_alone(make, batch, monkeypatch):
    drawn = []
    task = make()
    real = task._text_vectors
    monkeypatch.setattr(task, "_text_vectors", lambda captions: drawn.append(list(captions)) or real(captions))
    for torch_seed, seed in ((1, 0), (2, 0), (3, 1), (4, 2), (5, 3)):
        torch.manual_seed(torch_seed)
        losses_of(task, batch, seed)
    assert drawn[0] == drawn[1] and len({tuple(row) for row in drawn}) > 2
    assert all(text in choices for row in drawn for text, choices in zip(row, batch.captions, strict=True))


def test_every_caption_is_drawn_about_as_often(make, batch, monkeypatch):
    task = make()
    counts = dict.fromkeys(batch.captions[0], 0)
    monkeypatch.setattr(
        task, "_text_vectors", lambda captions: counts.__setitem__(captions[0], counts[captions[0]] + 1) or torch.zeros(6, 128)
    )
    monkeypatch.setattr(task.towers, "image_vectors", lambda *_: (torch.zeros(6, 128), None))
    for seed in range(500):
        losses_of(task, batch, seed)
    # 500 draws of k captions: four deviations of the binomial
    k = len(counts)
    assert max(abs(count - 500 / k) for count in counts.values()) < 4 * (500 * (1 / k) * (1 - 1 / k)) ** 0.5


def test_augmentation_changes_the_image_but_repeats_with_the_generator(make, batch):
    task = make({"scene": 1.0}, augment={})
    first, again, other = (float(losses_of(task, batch, seed)["maka/scene"].detach()) for seed in (0, 0, 1))
    assert first == again != other


def test_remembered_caption_vectors_equal_fresh_ones(make, batch):
    task = make()
    captions = [texts[0] for texts in batch.captions]
    fresh = task._text_vectors(captions)
    again = task._text_vectors([captions[2], captions[0], captions[2]])
    torch.testing.assert_close(again, fresh[[2, 0, 2]], rtol=0, atol=0)
    torch.testing.assert_close(again, task.towers.text_vectors(task.tokenizer([captions[2], captions[0], captions[2]])), rtol=0, atol=1e-6)


def test_the_memory_of_captions_is_bounded(make, batch, monkeypatch):
    monkeypatch.setattr("geolangbind.train.tasks._MAX_CACHED_CAPTIONS", 2)
    task = make()
    for texts in zip(*(choices[:3] for choices in batch.captions), strict=True):
        expected = task.towers.text_vectors(task.tokenizer(texts))
        torch.testing.assert_close(task._text_vectors(texts), expected, rtol=0, atol=1e-6)
    assert len(task._text_cache) <= 2 + 6


def test_a_live_teacher_sees_the_image_as_it_is_in_the_shards(make, batch):
    bare, teacher = dataclasses.replace(batch, features={}), patch_mean_teacher()
    losses = losses_of(make({"scene": 1.0}, live={"scene": teacher}), bare)
    stored = dataclasses.replace(batch, features={"scene": teacher.see(batch.image, batch.channels).clone()})
    torch.testing.assert_close(losses["maka/scene"], losses_of(make({"scene": 1.0}), stored)["maka/scene"])
    losses["loss"].backward()  # which tensors of inference mode would refuse


def test_student_and_teacher_are_pooled_before_they_are_compared(make, batch):
    """A direct comparison of 8 x 8 tokens by 4: means over blocks, worked out by reshaping."""
    features = torch.randn(6, 64, 128, generator=torch.Generator().manual_seed(0))
    direct = dataclasses.replace(batch, features={"siglip": features})
    task = make(projector=False, teachers={"siglip": 1.0})
    task.settings.teachers.pool = 4
    image, _ = task.statistics.normalize(batch.image, batch.channels, batch.sensor, batch.bands)
    tokens = task.towers.image_vectors(image, batch.channels)[1].features
    pooled = [grid.view(6, 2, 4, 2, 4, 128).mean((2, 4)).view(6, 4, 128) for grid in (tokens, features)]
    torch.testing.assert_close(losses_of(task, direct)["maka/siglip"], feature_matching(*pooled))


def test_projectors_have_the_pooled_grid(make, batch, settings_for):
    teachers = {"choices": {"scene": {}}, "pool": 2}
    task = AlignmentTask(zoo.build("tiny"), settings_for(teachers=teachers), {}, SHAPES)
    assert task.maka["scene"].grid == 2  # of 4
    task.statistics = measure([Measured(batch.sensor, batch.bands, batch.image, batch.channels)])
    assert losses_of(task.train(), batch)["maka/scene"].isfinite()


def test_live_teachers_see_the_crop(make, batch, monkeypatch):
    task = make({"scene": 1.0}, live={"scene": patch_mean_teacher()}, augment={**STILL, "crop": 0.3})
    seen = []
    monkeypatch.setattr(task, "_match", lambda name, features, target, channels: seen.append(target) or target.mean())
    losses_of(task, dataclasses.replace(batch, features={}), seed=5)
    boxes = draw_boxes(6, 0.3, torch.Generator().manual_seed(5))
    expected = torch.nn.functional.avg_pool2d(crop_planes(batch.image, boxes), 16).flatten(2).transpose(1, 2)
    torch.testing.assert_close(seen[0][..., :3], expected, atol=1e-5, rtol=0)


def test_missing_features_are_refused(make, batch):
    with pytest.raises(DataError, match=r"no features of teacher scene in the shards .*add-features"):
        losses_of(make({"scene": 1.0}), dataclasses.replace(batch, features={}))


def test_a_sample_without_caption_is_named(make, batch):
    mute = dataclasses.replace(batch, captions=(*batch.captions[:2], (), *batch.captions[3:]))
    with pytest.raises(DataError, match=f"sample {batch.keys[2]} has no caption"):
        losses_of(make(), mute)


def test_a_model_without_tokenizer_is_refused(settings_for):
    with pytest.raises(SettingsError, match="no tokenizer"):
        AlignmentTask(dataclasses.replace(zoo.build("tiny"), tokenizer=None), settings_for(), {}, {})


@pytest.mark.parametrize("same_label", ["negative", "ignore", "positive"])
def test_pairs_of_one_class(make, batch, same_label):
    """Two of the six share a label; the loss is that of a table of targets written by hand."""
    labelled = dataclasses.replace(
        batch, labels={"scene_class": ("a", "b", "a", None, None, "c")}, captions=tuple((t[0],) for t in batch.captions)
    )
    task = make(same_label=same_label)
    targets, weights = 2 * torch.eye(6) - 1, torch.ones(6, 6)
    for pair in ((0, 2), (2, 0)):
        if same_label == "positive":
            targets[pair] = 1
        if same_label == "ignore":
            weights[pair] = 0
    image, _ = task.statistics.normalize(batch.image, batch.channels, batch.sensor, batch.bands)
    with torch.no_grad():
        vectors = task.towers.image_vectors(image, batch.channels)[0]
        text = task.towers.text_vectors(task.tokenizer([t[0] for t in batch.captions]))
        expected = -(weights * torch.nn.functional.logsigmoid(targets * (10 * vectors @ text.T - 10))).sum() / 6
    torch.testing.assert_close(losses_of(task, labelled)["contrastive"].detach(), expected)


def test_the_temperature_stays_between_1_and_100(make):
    task = make()
    for value, expected in ((9.0, 100.0), (-3.0, 1.0), (2.0, 7.389056)):
        with torch.no_grad():
            task.towers.logit_scale.fill_(value)
        task.clamp_temperature()
        assert float(task.towers.logit_scale.detach().exp()) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("same_label", "labels", "odds"),
    [
        ("negative", ("a", "a", "b", None), 4 / 12),
        ("positive", ("a", "a", "b", None), 6 / 10),  # the diagonal, and the pair (0, 1) both ways
        ("positive", None, 4 / 12),
    ],
)
def test_the_bias_of_a_random_model_starts_at_the_log_odds_of_a_pair(make, same_label, labels, odds):
    task = make(same_label=same_label)
    task.calibrate(labels, 4)
    assert float(task.towers.logit_bias.detach()) == pytest.approx(math.log(odds), rel=1e-6)


def test_teachers_want_square_images(make, batch):
    oblong = dataclasses.replace(batch, image=batch.image[..., :32], masks=None)
    assert losses_of(make(), oblong)["loss"] > 0
    with pytest.raises(DataError, match=r"sentinel-2-tci: images of \(64, 32\) px; teachers' token grids need square ones"):
        losses_of(make({"scene": 1.0}), oblong)


@pytest.mark.parametrize(("same_label", "odds"), [("negative", 1 / 3), ("positive", 1.0)])
def test_calibration_starts_the_bias_at_the_log_odds_of_a_positive_pair(make, same_label, odds):
    task = make(same_label=same_label)
    # four samples, two classes of two: 4 of 16 pairs belong together by place, 8 of 16 by class
    task.calibrate(["a", "b", "a", "b"], 4)
    assert float(task.towers.logit_bias.detach()) == pytest.approx(math.log(odds), abs=1e-6)


def gradients(task, batch, seed=0):
    task.zero_grad()
    torch.manual_seed(1)
    losses = losses_of(task, batch, seed)
    losses["loss"].backward()
    found = {name: p.grad.clone() for name, p in task.named_parameters() if p.grad is not None}
    return {name: value.detach() for name, value in losses.items()}, found


def close(found, expected, tolerance=1e-6):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert float((found[name] - value).norm()) <= tolerance * max(1.0, float(value.norm())), name


@pytest.mark.parametrize("chunk", [1, 2, 4, 6])
@pytest.mark.parametrize("train_text", [False, True])
def test_chunks_equal_one_batch(make, batch, chunk, train_text):
    """Six samples in chunks of one, two, four and two, and all: losses and every gradient, contrastive and MaKA."""
    teachers = {"scene": 3.0, "register": 0.5}
    whole = make(teachers, train_text=train_text, augment={}, same_label="positive")
    parts = make(teachers, train_text=train_text, augment={}, same_label="positive", memory_chunk=chunk)
    (losses, grads), (expected_losses, expected) = gradients(parts, batch), gradients(whole, batch)
    close(losses, expected_losses)
    close(grads, expected)


def test_chunks_keep_their_dropout_when_computed_again(make, batch, monkeypatch):
    """Against the same chunks in one graph, nothing thrown away: masks of tokens, and dropout in every block."""

    def task():
        made = make({"scene": 1.0}, memory_chunk=2, train_text=True)
        for block in made.towers.vision.blocks:
            block.mlp.drop1.p = block.attn.proj_drop.p = 0.3
        return made

    losses, grads = gradients(task(), batch)
    monkeypatch.setattr("geolangbind.train.tasks.checkpoint", lambda function, *inputs, use_reentrant: function(*inputs))
    expected_losses, expected = gradients(task(), batch)
    close(losses, expected_losses)
    close(grads, expected)
    still = make({"scene": 1.0}, train_text=True)
    assert abs(float(losses["loss"] - gradients(still, batch)[0]["loss"])) > 1e-3  # the dropout did something


def test_torch_is_shown_the_device_whose_random_numbers_it_has_to_keep(make, batch, monkeypatch):
    """It looks for tensors in what it can take apart, and a view is not of that kind; on the CPU nobody would notice."""
    given = []

    def noted(function, *inputs, use_reentrant):
        given.append([leaf.device.type for leaf in tree_leaves(inputs) if isinstance(leaf, torch.Tensor)])
        return function(*inputs)

    monkeypatch.setattr("geolangbind.train.tasks.checkpoint", noted)
    gradients(make({"scene": 1.0}, memory_chunk=2), batch)
    assert given and all(devices == ["cpu"] for devices in given)


def test_chunks_leave_no_activations_of_the_batch(make, batch):
    """Bytes that autograd keeps between forward and backward: a third for chunks of a third, and a little."""

    def kept(chunk):
        task, seen = make({"scene": 1.0}, memory_chunk=chunk), {}
        trained = {p.data_ptr() for p in task.parameters()}

        def pack(tensor):
            if tensor.data_ptr() not in trained:
                seen[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            alive = losses_of(task, batch)
        del alive
        return sum(seen.values())

    assert kept(2) < 0.2 * kept(0)


def partnered(batch, rows):
    other = dataclasses.replace(
        batch, image=batch.image.flip(-1)[list(rows)].clone(), masks=None, labels={}, features={}, keys=tuple(batch.keys[r] for r in rows),
        gsd_m=tuple(batch.gsd_m[r] for r in rows), captions=tuple(batch.captions[r] for r in rows),
    )  # fmt: skip
    return dataclasses.replace(batch, partner=other, partner_rows=tuple(rows), labels={"scene_class": ("a", "b", "a", "c", None, None)})


@pytest.mark.parametrize("same_label", ["negative", "ignore"])
def test_the_cross_sensor_term_by_a_table_of_pairs(make, batch, same_label):
    """Places 0, 2, 3 are seen twice; 0 and 2 share a class. Cross-entropy both ways at temperature 0.07, written out."""
    rows, labels = (0, 2, 3), "aac"
    given = partnered(batch, rows)
    task = make(cross_sensor={"weight": 0.5, "same_label": same_label})
    losses = losses_of(task, given)
    with torch.no_grad():
        vectors = []
        for one in (given, given.partner):
            image, _ = task.statistics.normalize(one.image, one.channels, one.sensor, one.bands)
            vectors.append(task.towers.image_vectors(image, one.channels)[0])
    logits = [[float(vectors[0][row] @ vectors[1][j]) / 0.07 for j in range(3)] for row in rows]
    total = 0.0
    for table in (logits, [list(column) for column in zip(*logits, strict=True)]):
        for i, row in enumerate(table):
            kept = [x for j, x in enumerate(row) if i == j or labels[i] != labels[j] or same_label == "negative"]
            total += math.log(sum(math.exp(x - row[i]) for x in kept))
    assert float(losses["cross_sensor"].detach()) == pytest.approx(total / 6, rel=1e-4)
    torch.testing.assert_close(losses["loss"], losses["contrastive"] + 0.5 * losses["cross_sensor"])
    losses["loss"].backward()
    assert all(p.grad is not None for p in task.cross_sensor.parameters())


def test_steps_without_a_second_sensor_have_no_term(make, batch):
    assert "cross_sensor" not in losses_of(make(cross_sensor={"weight": 1.0}), batch)
    assert make().cross_sensor is None
    task = make(cross_sensor={"weight": 1.0})
    with torch.no_grad():
        task.cross_sensor.logit_scale.fill_(9.0)
    task.clamp_temperature()
    assert float(task.cross_sensor.logit_scale.detach().exp()) == pytest.approx(100.0)


def test_chunks_keep_the_cross_sensor_term(make, batch):
    given, cross = partnered(batch, (1, 2, 4, 5)), {"weight": 1.0}
    (losses, grads), (expected_losses, expected) = (gradients(make(cross_sensor=cross, memory_chunk=chunk), given) for chunk in (3, 0))
    close(losses, expected_losses)
    close(grads, expected, 5e-6)  # sums of terms that cancel
