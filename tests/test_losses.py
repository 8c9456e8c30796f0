"""Losses against open_clip, hand-computed values and torch primitives."""

import math

import pytest
import torch
from open_clip.loss import SigLipLoss
from torch.nn import functional as F

from geolangbind.errors import SettingsError
from geolangbind.losses import HardNegatives, Truth, feature_matching, info_nce, pair_targets, sigmoid_contrastive, truthful_nce


def unit(*shape: int) -> torch.Tensor:
    return F.normalize(torch.randn(*shape), dim=-1)


@pytest.mark.parametrize("batch", [1, 2, 17])
def test_equals_open_clip_for_the_diagonal(batch):
    torch.manual_seed(batch)
    image, text = unit(batch, 12), unit(batch, 12)
    scale, bias = torch.tensor(11.3), torch.tensor(-9.1)
    assert torch.allclose(sigmoid_contrastive(image, text, scale, bias), SigLipLoss()(image, text, scale, bias), rtol=1e-6)


@pytest.mark.parametrize("same_label", ["negative", "ignore", "positive"])
def test_two_by_two_by_hand(same_label):
    """Two pairs of one class: their cross terms count as negatives, not at all, or as positives."""
    image, text = torch.tensor([[1.0, 0.0], [0.6, 0.8]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    logits = [[2 * 1.0 - 1, 2 * 0.0 - 1], [2 * 0.6 - 1, 2 * 0.8 - 1]]
    cross = {"negative": -1, "ignore": 0, "positive": 1}[same_label]
    signs = [[1, cross], [cross, 1]]
    terms = [abs(signs[i][j]) * math.log1p(math.exp(-signs[i][j] * logits[i][j])) for i in range(2) for j in range(2)]
    loss = sigmoid_contrastive(image, text, torch.tensor(2.0), torch.tensor(-1.0), torch.tensor([5, 5]), same_label)
    assert float(loss) == pytest.approx(sum(terms) / 2, rel=1e-6)


LABELS = torch.tensor([4, 7, 4, -1, -1])


def test_pairs_of_one_class_as_negatives():
    targets, weights = pair_targets(LABELS, slice(0, 5), 5, "negative")
    assert weights is None
    assert torch.equal(targets, 2 * torch.eye(5) - 1)


def test_pairs_of_one_class_as_positives():
    targets, weights = pair_targets(LABELS, slice(0, 5), 5, "positive")
    expected = 2 * torch.eye(5) - 1
    expected[0, 2] = expected[2, 0] = 1
    assert weights is None and torch.equal(targets, expected)


def test_pairs_of_one_class_left_out():
    targets, weights = pair_targets(LABELS, slice(1, 4), 5, "ignore")
    assert torch.equal(targets, (2 * torch.eye(5) - 1)[1:4])
    expected = torch.ones(3, 5)
    expected[1, 0] = 0  # rows are 1, 2, 3 of the global batch: 2 shares the class of 0
    assert torch.equal(weights, expected)


def test_unknown_treatment_is_refused():
    with pytest.raises(SettingsError, match="same_label is 'maybe'; use one of negative, ignore, positive"):
        pair_targets(None, slice(0, 2), 2, "maybe")


def test_feature_matching_from_primitives():
    torch.manual_seed(0)
    predicted, target = 2 * torch.randn(3, 4, 5), torch.randn(3, 4, 5)
    difference = (predicted - target).abs()
    smooth = torch.where(difference < 1, difference**2 / 2, difference - 0.5).mean()
    cosine = [float(a @ b / a.norm() / b.norm()) for a, b in zip(predicted.flatten(1), target.flatten(1), strict=True)]
    expected = float(smooth + (difference**2).mean()) + 1 - sum(cosine) / 3
    assert float(feature_matching(predicted, target)) == pytest.approx(expected, rel=1e-5)


def test_feature_matching_by_hand():
    predicted, target = torch.tensor([[[3.0, 0.0]]]), torch.tensor([[[0.0, 0.5]]])
    # |3| -> 2.5, |0.5| -> 0.125; squares 9 and 0.25; orthogonal
    assert float(feature_matching(predicted, target)) == pytest.approx((2.5 + 0.125) / 2 + 9.25 / 2 + 1)


def test_feature_matching_of_equals_is_zero():
    tokens = torch.randn(2, 9, 6)
    assert float(feature_matching(tokens, tokens)) == pytest.approx(0, abs=1e-6)
    standardized = F.layer_norm(tokens, (6,))
    assert float(feature_matching(standardized, tokens, standardize=True)) == pytest.approx(0, abs=1e-6)


def test_standardized_targets_forget_scale_and_offset():
    torch.manual_seed(0)
    predicted, target = torch.randn(2, 9, 6), torch.randn(2, 9, 6)
    first = feature_matching(predicted, target, standardize=True)
    assert torch.allclose(feature_matching(predicted, 50 * target + 7, standardize=True), first, rtol=1e-4)
    assert not torch.allclose(feature_matching(predicted, 50 * target + 7), feature_matching(predicted, target), rtol=0.1)


def test_balanced_terms_do_not_know_the_size_of_a_teachers_features():
    torch.manual_seed(0)
    predicted, target = torch.randn(3, 9, 6), torch.randn(3, 9, 6) + 0.5
    for factor in (0.01, 1.0, 10.0, 1000.0):
        once, scaled = (feature_matching(k * predicted, k * target, balance=True) for k in (1.0, factor))
        assert float(scaled) == pytest.approx(float(once), rel=1e-5)
    assert float(feature_matching(10 * predicted, 10 * target)) > 10 * float(feature_matching(predicted, target))


def test_balanced_predictions_of_the_mean_cost_one_for_every_teacher():
    """Errors +-1 sigma: MSE 1, smooth-L1 1/2 at its corner, and the cosine of a constant with the tokens."""
    mean, sigma = 3.0, 4.0
    target = torch.tensor([[[mean - sigma, mean + sigma], [mean + sigma, mean - sigma]]])
    predicted = torch.full((1, 2, 2), mean)
    cosine = mean / math.sqrt(mean**2 + sigma**2)  # 3/5
    assert float(feature_matching(predicted, target, balance=True)) == pytest.approx(1 + 0.5 + 1 - cosine, rel=1e-6)


def test_balanced_loss_is_the_mean_over_samples_and_flows_back():
    torch.manual_seed(0)
    predicted, target = torch.randn(4, 9, 6, requires_grad=True), torch.randn(4, 9, 6) * torch.arange(1, 5).view(4, 1, 1)
    parts = [feature_matching(predicted[i : i + 1], target[i : i + 1], balance=True) for i in range(4)]
    assert float(feature_matching(predicted, target, balance=True).detach()) == pytest.approx(float(sum(parts).detach()) / 4, rel=1e-6)
    sum(parts).backward()
    assert predicted.grad is not None and predicted.grad.abs().sum() > 0
    assert feature_matching(torch.zeros(1, 4, 2), torch.zeros(1, 4, 2), balance=True).isfinite()


def test_half_precision_is_matched_in_full():
    predicted, target = torch.randn(2, 9, 6).bfloat16(), torch.randn(2, 9, 6).half()
    loss = feature_matching(predicted, target)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, feature_matching(predicted.float(), target.float()))


def test_info_nce_is_cross_entropy_on_the_diagonal():
    torch.manual_seed(0)
    image, other = unit(7, 5), unit(7, 5)
    expected = F.cross_entropy(9.0 * image @ other.T, torch.arange(7))
    torch.testing.assert_close(info_nce(image, other, torch.tensor(9.0)), expected)


def test_info_nce_leaves_out_rows_that_are_not_there_and_others_of_a_class():
    torch.manual_seed(1)
    image, other = unit(4, 5), unit(4, 5)
    logits = 9.0 * image @ other.T
    present = torch.tensor([True, False, True, True])
    rest = logits[present][:, present]
    torch.testing.assert_close(info_nce(image, other, torch.tensor(9.0), present=present), F.cross_entropy(rest, torch.arange(3)))
    rest[0, 2] = rest[2, 0] = -torch.inf
    labels = torch.tensor([3, 3, -1, 3])
    found = info_nce(image, other, torch.tensor(9.0), labels, "ignore", present=present)
    torch.testing.assert_close(found, F.cross_entropy(rest, torch.arange(3)))
    with pytest.raises(SettingsError, match="the softmax loss has negative and ignore"):
        info_nce(image, other, torch.tensor(9.0), labels, "positive")


def units(seed, *shape):
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64), dim=-1)


def truth_of(keys, also=None, block=None):
    keys = torch.tensor(keys)
    return Truth(
        keys, keys[:, None] if also is None else torch.tensor(also), torch.zeros_like(keys) if block is None else torch.tensor(block)
    )


def test_without_anything_known_the_truthful_loss_is_cross_entropy_both_ways():
    query, target, scale = units(0, 5, 6), units(1, 5, 6), torch.tensor(9.0, dtype=torch.float64)
    logits = 9 * query @ target.T
    forth, back = (F.cross_entropy(table, torch.arange(5)) for table in (logits, logits.T))
    truth = truth_of([1, 2, 3, 4, 5])
    torch.testing.assert_close(truthful_nce(query, target, scale, truth), forth)
    torch.testing.assert_close(truthful_nce(query, target, scale, truth, both_directions=True), (forth + back) / 2)


def test_a_duplicate_target_does_not_raise_the_loss_of_the_others():
    """Row 3 again as row 4: without the keys row 3 would share its probability with its double."""
    query, target, scale = units(0, 4, 6), units(1, 4, 6), torch.tensor(9.0, dtype=torch.float64)
    double = [torch.cat([part, part[3:]]) for part in (query, target)]
    truth, ignorant = truth_of([1, 2, 3, 4, 4]), truth_of([1, 2, 3, 4, 5])
    out = torch.zeros(5, 5, dtype=torch.bool)
    out[3, 4] = out[4, 3] = True
    found = truthful_nce(*double, scale, truth)
    torch.testing.assert_close(found, F.cross_entropy((9 * double[0] @ double[1].T).masked_fill(out, -torch.inf), torch.arange(5)))
    for both in (False, True):
        assert truthful_nce(*double, scale, truth, both_directions=both) < truthful_nce(*double, scale, ignorant, both_directions=both)


def test_what_is_also_right_and_what_is_of_other_blocks_is_left_out():
    query, target, scale = units(0, 4, 6), units(1, 4, 6), torch.tensor(9.0, dtype=torch.float64)
    logits = 9 * query @ target.T
    also = truth_of([1, 2, 3, 4], also=[[3, 1], [2, 2], [3, 3], [4, 4]])
    out = torch.zeros(4, 4, dtype=torch.bool)
    out[0, 2] = True  # the target of row 2 is right for query 0 too; not the other way round
    forth, back = (
        F.cross_entropy(table, torch.arange(4)) for table in (logits.masked_fill(out, -torch.inf), logits.T.masked_fill(out.T, -torch.inf))
    )
    torch.testing.assert_close(truthful_nce(query, target, scale, also, both_directions=True), (forth + back) / 2)
    blocks = truth_of([1, 2, 3, 4], block=[0, 0, 1, 1])
    expected = (F.cross_entropy(logits[:2, :2], torch.arange(2)) + F.cross_entropy(logits[2:, 2:], torch.arange(2))) / 2
    torch.testing.assert_close(truthful_nce(query, target, scale, blocks, within_blocks=True), expected)


def test_hard_negatives_are_columns_for_all_rows_and_learn():
    query, target, scale = units(0, 3, 6), units(1, 3, 6), torch.tensor(9.0, dtype=torch.float64)
    hard = units(2, 3, 2, 6).requires_grad_()
    # of row 0 both; of row 1 one, which is right for row 2; of row 2 none
    negatives = HardNegatives(hard, torch.tensor([[10, 11], [3, 0], [0, 0]]), torch.tensor([[True, True], [True, False], [False, False]]))
    columns = torch.cat([target, hard[0], hard[1, :1]])
    logits = 9 * query @ columns.T
    logits = logits.masked_fill(torch.arange(6)[None] + 10 * torch.arange(3)[:, None] == 25, -torch.inf)
    loss = truthful_nce(query, target, scale, truth_of([1, 2, 3]), negatives)
    torch.testing.assert_close(loss, F.cross_entropy(logits, torch.arange(3)))
    loss.backward()
    assert (hard.grad.abs().sum(2) > 0).tolist() == [[True, True], [True, False], [False, False]]
    assert loss > truthful_nce(query, target, scale, truth_of([1, 2, 3]))
