"""One of several processes that compare what they do together with what one process does alone. Run by test_distributed.py."""

import datetime
import json
import sys

import pytest
import torch
from torch import distributed
from torch.nn import functional as F

from geolangbind import losses
from geolangbind.errors import SettingsError
from geolangbind.losses import HardNegatives, Truth, info_nce, sigmoid_contrastive, truthful_nce
from geolangbind.train.distributed import agree, averaged, processes, united

CPU = torch.device("cpu")


def compare(group, dtype, same_label, frozen_text):
    """Largest difference, value and gradients, between the mean over `group` and a table of all pairs written out."""
    torch.manual_seed(4)
    world, rank, each = group.size(), group.rank(), 3
    raw = [torch.randn(world * each, 5, dtype=dtype) for _ in range(2)]
    labels = torch.tensor([7, 1, 7, 2, 7, -1, 1, -1, 2])[: world * each]
    scalars = [torch.tensor(value, dtype=dtype) for value in (2.0, -1.5)]

    def leaves(rows):
        image, text = (part[rows].clone().requires_grad_() for part in raw)
        return [image, text.requires_grad_(not frozen_text), *(value.clone().requires_grad_() for value in scalars)]

    def vectors(image, text, scale, bias):
        return F.normalize(image, dim=1), F.normalize(text, dim=1), scale.exp(), bias

    alone = leaves(slice(None))
    image, text, scale, bias = vectors(*alone)
    total = torch.zeros((), dtype=dtype)
    for i in range(len(image)):
        for j in range(len(text)):
            same = i != j and labels[i] == labels[j] >= 0 and same_label != "negative"
            if not (same and same_label == "ignore"):
                sign = 1 if i == j or same else -1
                total = total - F.logsigmoid(sign * (scale * image[i] @ text[j] + bias))
    expected = total / len(image)
    expected.backward()

    mine = leaves(rows := slice(rank * each, (rank + 1) * each))
    loss = sigmoid_contrastive(*vectors(*mine), labels[rows], same_label, group)
    loss.backward()
    value = loss.detach().clone()
    for shared in (value, mine[2].grad, mine[3].grad):  # what averaging of values and gradients does
        distributed.all_reduce(shared, group=group)
        shared /= world
    pairs = [(value, expected.detach()), (mine[2].grad, alone[2].grad), (mine[3].grad, alone[3].grad)]
    # a gradient of one process's own rows: the mean over processes divides it by their number
    pairs += [(ours.grad / world, theirs.grad[rows]) for ours, theirs in zip(mine[:2], alone[:2], strict=True) if theirs.grad is not None]
    assert (mine[1].grad is None) == frozen_text
    return max(float((ours - theirs).abs().max() / theirs.abs().max().clamp_min(1)) for ours, theirs in pairs)


def compare_softmax(group, same_label):
    """The same for the softmax loss in one direction, with rows that are not there, against torch's cross-entropy."""
    torch.manual_seed(5)
    world, rank, each = group.size(), group.rank(), 3
    raw = [torch.randn(world * each, 5, dtype=torch.float64) for _ in range(2)]
    labels = torch.tensor([7, 1, 7, 2, 7, -1, 1, -1, 2])[: world * each]
    present = torch.tensor([True, False, True, True, True, True, False, False, True])[: world * each]

    def leaves(rows):
        return [*(part[rows].clone().requires_grad_() for part in raw), torch.tensor(2.0, dtype=torch.float64, requires_grad=True)]

    alone = leaves(slice(None))
    logits = alone[2].exp() * F.normalize(alone[0], dim=1) @ F.normalize(alone[1], dim=1).T
    same = (labels[:, None] == labels[None]) & (labels[None] >= 0) & ~torch.eye(len(labels), dtype=torch.bool)
    if same_label == "ignore":
        logits = logits.masked_fill(same, -torch.inf)
    expected = F.cross_entropy(logits[present][:, present], torch.arange(int(present.sum())))
    expected.backward()

    mine = leaves(rows := slice(rank * each, (rank + 1) * each))
    image, other = (F.normalize(part, dim=1) for part in mine[:2])
    loss = info_nce(image, other, mine[2].exp(), labels[rows], same_label, group, present[rows])
    loss.backward()
    value = loss.detach().clone()
    for shared in (value, mine[2].grad):
        distributed.all_reduce(shared, group=group)
        shared /= world
    pairs = [(value, expected.detach()), (mine[2].grad, alone[2].grad)]
    pairs += [(ours.grad / world, theirs.grad[rows]) for ours, theirs in zip(mine[:2], alone[:2], strict=True)]
    return max(float((ours - theirs).abs().max()) for ours, theirs in pairs)


def compare_truthful(group):
    """The loss that knows what is right: over the group and on one process, which test_losses.py compares with cross-entropy."""
    torch.manual_seed(6)
    world, rank, each = group.size(), group.rank(), 3
    raw = [torch.randn(world * each, *more, dtype=torch.float64) for more in ((5,), (5,), (2, 5))]
    keys = torch.tensor([7, 1, 7, 2, 3, 4, 1, 9, 2])[: world * each]
    also = torch.stack([keys.roll(1), keys.roll(4)], 1)
    hard_keys, present = torch.arange(2 * len(keys)).reshape(-1, 2), torch.arange(2 * len(keys)).reshape(-1, 2) % 3 > 0
    block = torch.arange(len(keys)) // 2
    worst = 0.0
    for within in (False, True):
        found = []
        for rows, among in ((slice(None), None), (slice(rank * each, (rank + 1) * each), group)):
            leaves = [part[rows].clone().requires_grad_() for part in raw]
            query, target, hard = (F.normalize(part, dim=-1) for part in leaves)
            # processes may know of different numbers of right answers
            known = also[rows, : 1 + (among is None or rank > 0)] if among is not None and rank == 0 else also[rows]
            if among is None:
                known = torch.where((torch.arange(len(keys)) < each)[:, None], known[:, :1], known)
            truth = Truth(keys[rows], known, block[rows])
            negatives = HardNegatives(hard, hard_keys[rows], present[rows])
            scale = torch.tensor(5.0, dtype=torch.float64)
            loss = truthful_nce(query, target, scale, truth, negatives, within_blocks=within, both_directions=True, group=among)
            loss.backward()
            found.append((loss.detach().clone(), [leaf.grad for leaf in leaves]))
        (whole, gradients), (value, own) = found
        distributed.all_reduce(value, group=group)
        rows = slice(rank * each, (rank + 1) * each)
        pairs = [(value / world, whole), *((mine / world, theirs[rows]) for mine, theirs in zip(own, gradients, strict=True))]
        worst = max(worst, *(float((ours - theirs).abs().max()) for ours, theirs in pairs))
    return worst


def count_sent(group, frozen_text):
    """How many times this process passes something on, and the largest table of logits it makes."""
    sent, shapes = [], []
    real_pass, real_pairs = losses._pass_on, losses._pair_losses
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(losses, "_pass_on", lambda chunk, *rest: sent.append(rest[-1]) or real_pass(chunk, *rest))
        patch.setattr(losses, "_pair_losses", lambda *terms: shapes.append(tuple(terms[4].shape)) or real_pairs(*terms))
        compare(group, torch.float64, "negative", frozen_text)
    return sent, sorted(set(shapes))


def main(address, rank, world):
    distributed.init_process_group(
        "gloo", init_method=address, rank=rank, world_size=world, timeout=datetime.timedelta(seconds=30)
    )  # fmt: skip
    whole, pair = processes(), distributed.new_group([0, 1])
    differences = {"float64": 0.0, "float32": 0.0}
    for group in (whole, pair) if rank < 2 else (whole,):
        for dtype in (torch.float64, torch.float32):
            for same_label in losses.SAME_LABEL:
                for frozen in (False, True):
                    name = str(dtype).removeprefix("torch.")
                    differences[name] = max(differences[name], compare(group, dtype, same_label, frozen))
    told = {"differences": differences, "sent": [count_sent(whole, frozen) for frozen in (False, True)]}
    told["softmax"] = max(
        compare_softmax(group, same_label) for group in (whole, *[pair] * (rank < 2)) for same_label in ("negative", "ignore")
    )
    told["truthful"] = max(compare_truthful(group) for group in (whole, *[pair] * (rank < 2)))
    told["words"] = sorted(united({f"wörd{rank}", "all"} if rank else set(), CPU, whole))
    leaf = torch.tensor(float(rank), requires_grad=True)
    mean = averaged({"loss": 3 * leaf, "broken": torch.tensor(float("nan") if rank == 1 else 1.0)}, whole)
    mean["loss"].backward()
    told["mean"] = [float(mean["loss"]), float(leaf.grad), bool(torch.isnan(mean["broken"]))]
    agree({"step": 3}, CPU, whole)
    try:
        agree({"step": 3, "data": "here" if rank == 2 else "there"}, CPU, whole)
    except SettingsError as error:
        told["refused"] = str(error)
    sys.stdout.write(json.dumps(told) + "\n")
    distributed.destroy_process_group()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
