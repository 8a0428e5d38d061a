"""How far steps of SGD on distilled images end from where an expert went: what trajectory matching minimises.

Cazenavette et al., arXiv 2203.11932. The published code keeps the graph of all steps. TESLA (Cui et al., arXiv
2211.10586) keeps none and takes each step's weights for constants, which is another gradient. Here the gradient is the
exact one and one step's graph is kept: the weights of each step stay, and its graph is made again on the way back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# Given the number of a step, weights [P], images [B, C, H, W] and labels [B] or [B, classes]: the loss of that step, a
# scalar. It gives the same bits each time.
StepLoss = Callable[[int, Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Unrolling:
    """The steps between two epochs of an expert.

    Attributes:
        start, target: weights of the expert, float ``[P]``.
        batches: of each step, which images it takes: int64 ``[B]``, none twice within one.
        step_loss: whose gradient is what a step follows.
    """

    start: Tensor
    target: Tensor
    batches: Sequence[Tensor]
    step_loss: StepLoss


def trajectory_distance(unrolling: Unrolling, images: Tensor, labels: Tensor, rate: Tensor) -> Tensor:
    """``|w_N - target|^2 / |start - target|^2``, where ``w_(i+1) = w_i - rate * d step_loss_i / d w_i``.

    Costs two gradients a step and the derivative of one; memory is that of the graph of one step, however many there
    are, and ``P`` numbers for each.

    Args:
        unrolling: the steps.
        images: floats ``[M, C, H, W]``, as the network takes them; they get a gradient.
        labels: int64 ``[M]``, or floats ``[M, classes]``, which get a gradient.
        rate: a scalar, which gets a gradient.

    Returns:
        A scalar. It can be derived once.
    """
    distance: Tensor = _Distance.apply(images, labels, rate, unrolling)
    return distance


class _Distance(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, labels: Tensor, rate: Tensor, unrolling: Unrolling) -> Tensor:
        weights = [unrolling.start]
        for step, batch in enumerate(unrolling.batches):
            gradient, _ = _gradient(unrolling, step, weights[-1], images[batch], labels[batch], derived=False)
            weights.append(weights[-1] - rate * gradient)
        ctx.save_for_backward(images, labels, rate)
        ctx.unrolling, ctx.weights = unrolling, weights
        ctx.moved = (unrolling.start - unrolling.target).square().sum()
        return (weights[-1] - unrolling.target).square().sum() / ctx.moved

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, factor: Tensor) -> tuple[Tensor | None, ...]:
        images, labels, rate = ctx.saved_tensors
        unrolling, weights = ctx.unrolling, ctx.weights
        by_images = torch.zeros_like(images)
        by_labels = torch.zeros_like(labels) if labels.is_floating_point() else None
        by_rate = torch.zeros_like(rate)
        # Of the distance, by the weights after the step that is gone through.
        by_weights = factor * 2 * (weights[-1] - unrolling.target) / ctx.moved
        for step in reversed(range(len(unrolling.batches))):
            batch = unrolling.batches[step]
            along, shares = _shares(unrolling, step, weights[step], images[batch], labels[batch], by_weights)
            by_rate += along
            by_weights = by_weights + rate * shares[0]
            by_images.index_add_(0, batch, rate * shares[1])
            if by_labels is not None:
                by_labels.index_add_(0, batch, rate * shares[2])
        return by_images, by_labels, by_rate, None


def _shares(
    unrolling: Unrolling, step: int, weights: Tensor, images: Tensor, labels: Tensor, by_weights: Tensor
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """``-<gradient of the step, by_weights>`` and its derivatives by weights, images and soft labels.

    A function of its own, so that nothing of a step's graph outlives it.
    """
    gradient, leaves = _gradient(unrolling, step, weights, images, labels, derived=True)
    with torch.enable_grad():
        along = -(gradient @ by_weights)
    return along.detach(), torch.autograd.grad(along, leaves)


def _gradient(
    unrolling: Unrolling, step: int, weights: Tensor, images: Tensor, labels: Tensor, *, derived: bool
) -> tuple[Tensor, list[Tensor]]:
    """What a step follows; where it is to be derived, with its graph and the leaves to derive it by."""
    with torch.enable_grad():
        leaves = [weights.detach().requires_grad_(), images.detach().requires_grad_(derived), labels.detach()]
        if labels.is_floating_point():
            leaves[2].requires_grad_(derived)
        loss = unrolling.step_loss(step, *leaves)
        (gradient,) = torch.autograd.grad(loss, leaves[0], create_graph=derived)
    return gradient, leaves if labels.is_floating_point() else leaves[:2]
