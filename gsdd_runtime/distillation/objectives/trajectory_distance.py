"""How far steps of SGD on distilled images end from where an expert went: what trajectory matching minimises.

Cazenavette et al., arXiv 2203.11932. The published code keeps the graph of all steps. TESLA (Cui et al., arXiv
2211.10586) keeps none and takes each step's weights for constants, which is another gradient. Here the gradient is the
exact one and one step's graph is kept: the weights of each step stay, and its graph is made again on the way back. Of
the last steps, as many graphs as there is room for may stay from the way there: the same bits, sooner.
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
        kept: of so many of the last steps the graph stays until it is derived.
    """

    start: Tensor
    target: Tensor
    batches: Sequence[Tensor]
    step_loss: StepLoss
    kept: int = 0


def trajectory_distance(unrolling: Unrolling, images: Tensor, labels: Tensor, rate: Tensor) -> Tensor:
    """``|w_N - target|^2 / |start - target|^2``, where ``w_(i+1) = w_i - rate * d step_loss_i / d w_i``.

    Costs two gradients a step and the derivative of one; memory is that of the graph of one step, however many there
    are, and ``P`` numbers for each. A step whose graph is kept costs one gradient less, and that graph.

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
        weights, graphs = [unrolling.start], {}
        first_kept = len(unrolling.batches) - unrolling.kept
        for step, batch in enumerate(unrolling.batches):
            gradient, leaves = _gradient(unrolling, step, weights[-1], images[batch], labels[batch])
            if step >= first_kept:
                graphs[step] = gradient, leaves
            weights.append(weights[-1] - rate * gradient.detach())
            # Or this step's graph would stay while the next one's is made.
            del gradient, leaves
        ctx.save_for_backward(images, labels, rate)
        ctx.unrolling, ctx.weights, ctx.graphs = unrolling, weights, graphs
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
            if step in ctx.graphs:
                gradient, leaves = ctx.graphs.pop(step)
            else:
                gradient, leaves = _gradient(unrolling, step, weights[step], images[batch], labels[batch])
            along, shares = _shares(gradient, leaves, by_weights)
            del gradient, leaves
            by_rate += along
            by_weights = by_weights + rate * shares[0]
            by_images.index_add_(0, batch, rate * shares[1])
            if by_labels is not None:
                by_labels.index_add_(0, batch, rate * shares[2])
        return by_images, by_labels, by_rate, None


def _shares(gradient: Tensor, leaves: list[Tensor], by_weights: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
    """``-<gradient of the step, by_weights>`` and its derivatives by weights, images and soft labels."""
    with torch.enable_grad():
        along = -(gradient @ by_weights)
    return along.detach(), torch.autograd.grad(along, leaves)


def _gradient(
    unrolling: Unrolling, step: int, weights: Tensor, images: Tensor, labels: Tensor
) -> tuple[Tensor, list[Tensor]]:
    """What a step follows, with its graph, and the leaves to derive it by.

    With a graph also where it is only followed: PyTorch rounds a gradient that can be derived in another way.
    """
    soft = labels.is_floating_point()
    with torch.enable_grad():
        leaves = [part.detach().requires_grad_() for part in (weights, images, *([labels] if soft else []))]
        loss = unrolling.step_loss(step, leaves[0], leaves[1], leaves[2] if soft else labels)
        (gradient,) = torch.autograd.grad(loss, leaves[0], create_graph=True)
    return gradient, leaves
