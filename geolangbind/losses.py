"""The training losses: sigmoid contrastive between images and texts, feature matching between student and teachers.

Shapes: b local batch, B global batch, D embedding size, N tokens, T teacher width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from geolangbind.errors import SettingsError

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

SAME_LABEL = ("negative", "ignore", "positive")
_LEFT_OUT = -1e4  # a logit whose exponential is nothing; finite, so that rows without any column have gradients too
_RECOMPUTED: dict[str, Any] = {"use_reentrant": False, "preserve_rng_state": False}
_LEAST_VARIANCE = 1e-8  # of a teacher's features in one image: fp16 could not tell less apart


def sigmoid_contrastive(
    image: Tensor,
    text: Tensor,
    logit_scale: Tensor,
    logit_bias: Tensor,
    labels: Tensor | None = None,
    same_label: str = "negative",
    group: ProcessGroup | None = None,
) -> Tensor:
    """Sigmoid loss of SigLIP (arXiv 2303.15343), over the processes of a group if one is given.

    The mean over the processes is the loss of their joined batch, in value and, after the averaging of gradients that data-parallel
    training does, in gradients. Texts travel around a ring of processes, one chunk at a time: no process ever holds more than b x b
    logits (those of a chunk are computed again in the backward pass). Their gradients travel back the same way; frozen texts have none,
    and nothing is sent. Every process of the group must call this together and with the same b.

    Args:
        image: (b, D) unit vectors of this process.
        text: (b, D) unit vectors of this process; row i belongs to image i.
        logit_scale: scalar, the scale itself (not its logarithm).
        logit_bias: scalar.
        labels: (b,) int64 group of each pair, or None when unknown; -1 groups with nothing.
        same_label: what two different pairs of one group are to each other, see `pair_targets`.
        group: the processes; None for this one alone.

    Returns:
        Scalar: sum over pairs of -log sigmoid(target * logit) over b. With one process and +1 on the diagonal only, open_clip's value.

    Raises:
        SettingsError: `same_label` is none of the three.
    """
    count, everyone = image.shape[0], _everyone(labels, group)
    rank, world = (0, 1) if group is None else (group.rank(), group.size())
    rows, loss = slice(rank * count, (rank + 1) * count), torch.zeros_like(logit_bias)
    for columns, chunk in _around(text, group):
        pairs = pair_targets(everyone, rows, world * count, same_label, columns, image.device)
        terms = (image, chunk, logit_scale, logit_bias, *pairs)
        loss = loss + (_pair_losses(*terms) if world == 1 else checkpoint(_pair_losses, *terms, **_RECOMPUTED))
    return loss / count


def info_nce(
    image: Tensor,
    other: Tensor,
    logit_scale: Tensor,
    labels: Tensor | None = None,
    same_label: str = "negative",
    group: ProcessGroup | None = None,
    present: Tensor | None = None,
) -> Tensor:
    """Softmax contrastive loss in one direction (InfoNCE, arXiv 1807.03748): each row of `image` finds its own row among those of `other`.

    Exchanged around the ring of processes as in `sigmoid_contrastive`, and exact in the same sense.

    Args:
        image: (b, D) unit vectors of this process.
        other: (b, D) unit vectors of this process.
        logit_scale: scalar, the inverse temperature.
        labels: (b,) int64 group of each row, or None; -1 groups with nothing.
        same_label: "negative", or "ignore" to leave other rows of the same group out.
        group: the processes; None for this one alone.
        present: (b,) bool, False for rows that count nowhere; None where all count.

    Returns:
        Scalar: mean cross-entropy over the present rows (of all processes, in the mean over processes).

    Raises:
        SettingsError: `same_label` is neither.
    """
    if same_label not in ("negative", "ignore"):
        raise SettingsError(f"same_label is '{same_label}'; the softmax loss has negative and ignore")
    count = image.shape[0]
    present = torch.ones(count, dtype=torch.bool, device=image.device) if present is None else present
    everyone, there = _everyone(labels, group), _everyone(present, group)
    rank, world = (0, 1) if group is None else (group.rank(), group.size())
    rows = slice(rank * count, (rank + 1) * count)

    def kept(columns: slice) -> Tensor:
        _, weights = pair_targets(everyone, rows, world * count, same_label, columns, image.device)
        return there[columns][None, :] if weights is None else (weights > 0) & there[columns][None, :]

    losses = _softmax_losses(image, other, logit_scale, kept, group) * present
    return losses.sum() / (there.sum() / world)


@dataclass(frozen=True, eq=False)
class Truth:
    """What is right for the b queries of this process.

    Attributes:
        keys: (b,) int64 identity of each query's target.
        also: (b, T) int64 identities of what else is right; padded with any of the row's own.
        block: (b,) int64 block of each row.
    """

    keys: Tensor
    also: Tensor
    block: Tensor


@dataclass(frozen=True, eq=False)
class HardNegatives:
    """H more targets for each of the b queries of this process, columns for all queries.

    Attributes:
        vectors: (b, H, D) unit vectors.
        keys: (b, H) int64 identities.
        present: (b, H) bool, False where a row has none.
    """

    vectors: Tensor
    keys: Tensor
    present: Tensor


def truthful_nce(
    query: Tensor,
    target: Tensor,
    logit_scale: Tensor,
    truth: Truth,
    negatives: HardNegatives | None = None,
    *,
    within_blocks: bool = False,
    both_directions: bool = False,
    group: ProcessGroup | None = None,
) -> Tensor:
    """InfoNCE (arXiv 1807.03748) from queries to targets that never takes for wrong what is known to be right.

    Query i is not set against the targets of other rows (nor against hard negatives) whose key is that of its own target or among
    those that are also right for it. Exchanged around the ring of processes as in `sigmoid_contrastive`, and exact in the same sense.

    Args:
        query: (b, D) unit vectors of this process.
        target: (b, D) unit vectors of this process; row i is right for query i.
        logit_scale: scalar, the inverse temperature.
        truth: what is right.
        negatives: hard negatives, or None on all processes.
        within_blocks: set queries against what is of their own block only.
        both_directions: mean with the loss in which targets find queries; hard negatives do not take part in that.
        group: the processes; None for this one alone.
    """
    count, rank = len(query), 0 if group is None else group.rank()
    columns, keys, block, present = target, truth.keys, truth.block, torch.ones_like(truth.keys, dtype=torch.bool)
    if negatives is not None:
        columns, keys = torch.cat([target, negatives.vectors.flatten(0, 1)]), torch.cat([keys, negatives.keys.flatten()])
        block = torch.cat([block, block.repeat_interleave(negatives.keys.shape[1])])
        present = torch.cat([present, negatives.present.flatten()])
    right, own = torch.cat([truth.keys[:, None], truth.also], 1), torch.eye(count, dtype=torch.bool, device=query.device)
    every_key, every_block, there = _everyone(keys, group), _everyone(block, group), _everyone(present, group)

    def targets_kept(place: slice) -> Tensor:
        kept = there[place] & ~_among(every_key[place], right)
        if within_blocks:
            kept &= truth.block[:, None] == every_block[place]
        if place.start == rank * len(columns):
            kept[:, :count] |= own
        return kept

    loss = _softmax_losses(query, columns, logit_scale, targets_kept, group).mean()
    if not both_directions:
        return loss
    every_right, blocks = _everyone(_of_one_width(right, group), group), _everyone(truth.block, group)

    def queries_kept(place: slice) -> Tensor:
        kept = ~_among(truth.keys, every_right[place]).T
        if within_blocks:
            kept &= truth.block[:, None] == blocks[place]
        return kept | own if place.start == rank * count else kept

    return (loss + _softmax_losses(target, query, logit_scale, queries_kept, group).mean()) / 2


def _among(keys: Tensor, right: Tensor) -> Tensor:
    """(rows, columns) bool: whether the key of a column is among those of a row. One after the other, to hold no third dimension."""
    found = torch.zeros(len(right), len(keys), dtype=torch.bool, device=keys.device)
    for some in right.unbind(1):
        found |= some[:, None] == keys
    return found


def _of_one_width(right: Tensor, group: ProcessGroup | None) -> Tensor:
    """Keys padded with their first to the width of the process with most of them."""
    if group is None:
        return right
    width = torch.tensor(right.shape[1], device=right.device)
    torch.distributed.all_reduce(width, torch.distributed.ReduceOp.MAX, group=group)
    return torch.cat([right, right[:, :1].expand(-1, int(width) - right.shape[1])], 1)


def _softmax_losses(
    own: Tensor, columns: Tensor, logit_scale: Tensor, kept: Callable[[slice], Tensor], group: ProcessGroup | None
) -> Tensor:
    """Cross-entropy of each of b rows, whose right column has its own number; `kept` says which pairs count of a place in all columns."""
    totals = list[Tensor]()
    for place, chunk in _around(columns, group):
        terms = (own, chunk, logit_scale, kept(place))
        totals.append(_row_sums(*terms) if group is None else checkpoint(_row_sums, *terms, **_RECOMPUTED))
    return torch.stack(totals).logsumexp(0) - logit_scale * (own * columns[: len(own)]).sum(1)


def _row_sums(image: Tensor, other: Tensor, logit_scale: Tensor, kept: Tensor) -> Tensor:
    """Log of the sum of exponentials of each row's kept logits."""
    return (logit_scale * image @ other.T).masked_fill(~kept, _LEFT_OUT).logsumexp(1)


def _around(own: Tensor, group: ProcessGroup | None) -> Iterator[tuple[slice, Tensor]]:
    """This process's chunk, then those of the others as they come around the ring, each with its place in the whole batch."""
    count, chunk = len(own), own
    rank, world = (0, 1) if group is None else (group.rank(), group.size())
    for shift in range(world):
        if shift:
            chunk = _FromPrevious.apply(chunk, group)
        owner = (rank - shift) % world
        yield slice(owner * count, (owner + 1) * count), chunk


@overload
def _everyone(rows: Tensor, group: ProcessGroup | None) -> Tensor: ...
@overload
def _everyone(rows: None, group: ProcessGroup | None) -> None: ...
@overload
def _everyone(rows: Tensor | None, group: ProcessGroup | None) -> Tensor | None: ...
def _everyone(rows: Tensor | None, group: ProcessGroup | None) -> Tensor | None:
    """Rows of all processes, without gradients."""
    if rows is None or group is None:
        return rows
    parts = [torch.empty_like(rows) for _ in range(group.size())]
    torch.distributed.all_gather(parts, rows.contiguous(), group=group)
    return torch.cat(parts)


def _pair_losses(image: Tensor, text: Tensor, logit_scale: Tensor, logit_bias: Tensor, targets: Tensor, weights: Tensor | None) -> Tensor:
    logits = logit_scale * image @ text.T + logit_bias
    pairs = -F.logsigmoid(targets.to(logits.device) * logits)
    return (pairs if weights is None else pairs * weights.to(logits.device)).sum()


class _FromPrevious(torch.autograd.Function):
    """Hand a tensor to the next process of the ring and take that of the previous one; gradients go the other way."""

    @staticmethod
    def forward(ctx: Any, chunk: Tensor, group: ProcessGroup) -> Tensor:  # noqa: ANN401 - autograd's context has no public type
        ctx.group = group
        return _pass_on(chunk, group, 1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401
        return _pass_on(gradients[0], ctx.group, -1), None


def _pass_on(chunk: Tensor, group: ProcessGroup, step: int) -> Tensor:
    from torch import distributed

    chunk = chunk.detach().contiguous()
    received = torch.empty_like(chunk)
    to, source = ((group.rank() + way) % group.size() for way in (step, -step))
    sending = distributed.P2POp(distributed.isend, chunk, distributed.get_global_rank(group, to), group)
    receiving = distributed.P2POp(distributed.irecv, received, distributed.get_global_rank(group, source), group)
    for request in distributed.batch_isend_irecv([sending, receiving]):
        request.wait()
    return received


def pair_targets(
    labels: Tensor | None, rows: slice, total: int, same_label: str, columns: slice | None = None, device: torch.device | None = None
) -> tuple[Tensor, Tensor | None]:
    """Which image-text pairs are positive, which are left out.

    Captions of one class may describe each other's images; treating them as negatives teaches a falsehood.

    Args:
        labels: (B,) int64 group of each pair of the global batch, or None when unknown; -1 groups with nothing.
        rows: images to look at, a part of the global batch.
        total: B.
        same_label: what two different pairs of one group are to each other: "negative" (as published), "ignore" or "positive".
        columns: texts to look at; None for all.
        device: where the results go when there are no labels; else they are where the labels are.

    Returns:
        `targets`, +1 for pairs that belong together and -1 for others, and `weights`, 0 for pairs left out and else 1, or None where
        all count alike: (rows, columns).

    Raises:
        SettingsError: `same_label` is none of the three.
    """
    if same_label not in SAME_LABEL:
        raise SettingsError(f"same_label is '{same_label}'; use one of {', '.join(SAME_LABEL)}")
    columns = slice(0, total) if columns is None else columns
    places = torch.arange(total, device=device if labels is None else labels.device)
    diagonal = places[rows, None] == places[None, columns]
    if labels is None or same_label == "negative":
        return torch.where(diagonal, 1.0, -1.0), None
    same = (labels[rows, None] == labels[None, columns]) & (labels[None, columns] >= 0)
    if same_label == "positive":
        return torch.where(diagonal | same, 1.0, -1.0), None
    return torch.where(diagonal, 1.0, -1.0), (diagonal | ~same).float()


def feature_matching(predicted: Tensor, target: Tensor, *, standardize: bool = False, balance: bool = False) -> Tensor:
    """MaKA's matching loss: smooth-L1 + MSE + (1 - cosine of the flattened samples), as in the published code.

    With `balance`, predicted and target tokens of sample b are divided by sigma_b first, the deviation of its N x T target values. The MSE
    of predicting nothing but their mean is then 1 for every teacher, and a teacher whose features (and with them what the student must
    predict) are ten times as large counts no more. sigma_b is a function of the sample alone: the loss of a batch stays the mean over
    its parts, on however many processes.

    Args:
        predicted: (B, N, T) projected student tokens.
        target: (B, N, T) teacher tokens.
        standardize: bring each target token to zero mean and unit deviation first, so that teachers of different scale count alike.
        balance: divide both by the deviation of the sample's target values.
    """
    predicted, target = predicted.float(), target.float()
    if standardize:
        target = F.layer_norm(target, target.shape[-1:])
    if balance:
        sigma = target.var((1, 2), correction=0, keepdim=True).clamp_min(_LEAST_VARIANCE).sqrt()
        predicted, target = predicted / sigma, target / sigma
    cosine = F.cosine_similarity(predicted.flatten(1), target.flatten(1), dim=1)
    return F.smooth_l1_loss(predicted, target) + F.mse_loss(predicted, target) + (1 - cosine).mean()
