"""Gradient matching, "dataset condensation" (Zhao et al., arXiv 2006.05929), as GSDD uses it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from gsdd_runtime.distillation.batches import PASS_PIXELS, BatchOptions
from gsdd_runtime.distillation.declared import option
from gsdd_runtime.distillation.objectives.gradient_distance import gradient_distance
from gsdd_runtime.distillation.objectives.objective import Footprint, Loss, Objective
from gsdd_runtime.distillation.problem import Problem, Setting
from gsdd_runtime.networks import Network
from gsdd_runtime.networks.dropout import restart_dropout
from gsdd_runtime.seeds import derived_seed
from gsdd_runtime.training.augmentation import DsaDraw

# Outer and inner loops from an IPC on: the paper's for 1, 10 and 50, its code's between.
LOOPS = {1: (1, 1), 10: (10, 50), 20: (20, 25), 30: (30, 20), 40: (40, 15), 50: (50, 10)}
# Networks drawn, where nothing else is said.
NETWORKS = 1000
# The graph of a gradient, in those of an embedding: 1.9, measured with ConvNets of 3 and 5 blocks.
GRADIENT_GRAPH = 2
# Real images that the statistics of batch norm are taken of: of each class, and of all.
STATISTICS, ALL_STATISTICS = 16, 1024


class GradientMatching(Objective):
    """The layerwise distance between the gradients of a network on real and on synthetic images, class by class.

    A network is drawn every ``outer_loops`` steps, and between them trained on the synthetic set, for ``inner_loops``
    epochs. The real and the synthetic images of a class are augmented with the same draw.
    """

    @dataclass(frozen=True)
    class Options(BatchOptions):
        outer_loops: int | None = option(
            None, "Steps that a network is drawn for.", least=1, shown="1 for IPC 1, 10 for 10, 50 for 50"
        )
        inner_loops: int | None = option(
            None, "Epochs that it trains on the set between two of them.", least=0,
            shown="1 for IPC 1, 50 for 10, 10 for 50",
        )  # fmt: skip
        network_learning_rate: float = option(0.01, "Of that training, for SGD.", above=0)
        batch_train: int = option(256, "Distilled images in a step of that training.", least=1)
        images_per_pass: int | None = option(
            None, "Images whose gradients are taken at once; lower it to save memory.", least=1,
            shown="by their size", resume="change",
        )  # fmt: skip

        def settled(self, setting: Setting) -> Any:
            """With nothing left open; see there."""
            outer, inner = LOOPS[max(known for known in LOOPS if known <= setting.ipc)]
            pixels = setting.data.height * setting.data.width
            most = max(1, PASS_PIXELS[torch.device(setting.device).type] // pixels)
            return replace(
                super().settled(setting),
                outer_loops=self.outer_loops or outer,
                inner_loops=inner if self.inner_loops is None else self.inner_loops,
                images_per_pass=self.images_per_pass or most,
            )

    def __init__(self, problem: Problem, options: Any) -> None:
        super().__init__(problem, options)
        self._network = problem.new_network(trainable=True)

    @classmethod
    def settled(cls, options: Any, setting: Setting) -> Any:
        return options.settled(setting)

    @classmethod
    def default_iterations(cls, options: Any) -> int:
        return NETWORKS * int(options.outer_loops)

    def shares(self) -> tuple[int, str]:
        return self.problem.classes, "class"

    def losses(self, step: int) -> Iterator[Loss]:
        network = self._network.module
        if step % self.options.outer_loops == 0:
            network = self._network.draw("match", step, "network")
        restart_dropout(network, derived_seed(self.problem.seed, "match", step, "dropout"))
        self._freeze_statistics(step, network)
        weights = [weight for weight in network.parameters() if weight.dim() > 1]
        for index in self.problem.own_classes().tolist():
            yield from self._of_class(step, index, network, weights)

    def footprint(self) -> Footprint:
        options = self.options
        largest = min(options.images_per_pass, max(options.batch_real, options.batch_syn))
        return Footprint(len(self.problem.own_classes()), GRADIENT_GRAPH * largest)

    def after(self, step: int) -> None:
        if (step + 1) % self.options.outer_loops:
            self._train(step)

    def state(self) -> dict[str, Tensor]:
        return dict(self._network.module.state_dict())

    def restore(self, state: dict[str, Tensor]) -> None:
        with torch.no_grad():
            for name, kept in self._network.module.state_dict().items():
                kept.copy_(state[name])

    def _of_class(self, step: int, index: int, network: Network, weights: Sequence[Tensor]) -> Iterator[Loss]:
        """The distance of a class. Where its synthetic images take several passes, their gradients are added up first.

        The distance's derivative by the sum then stands for it in each pass, whose graph alone is kept.
        """
        problem, count = self.problem, self.options.images_per_pass
        draw = problem.augmentation("match", step, "augment", index)
        positions = problem.real_positions(step, index, self.options.batch_real)
        real = _zeros(weights)
        for part in positions.split(count):
            images = problem.real_images.inputs(part)
            _add(real, _gradients(network, weights, images, index, draw, len(positions)))
        chosen = problem.synthetic_indices(step, index, self.options.batch_syn)
        parts = chosen.split(count)
        if len(parts) == 1:
            ours = _gradients(network, weights, problem.synthetic(chosen), index, draw, len(chosen), graph=True)
            yield Loss(gradient_distance(ours, real))
            return
        total = _zeros(weights)
        for part in parts:
            _add(total, _gradients(network, weights, problem.synthetic_now(part), index, draw, len(chosen)))
        for tensor in total:
            tensor.requires_grad_()
        distance = gradient_distance(total, real)
        slopes = torch.autograd.grad(distance, total)
        told = distance.detach()
        for part in parts:
            ours = _gradients(network, weights, problem.synthetic(part), index, draw, len(chosen), graph=True)
            products = [(gradient * slope).sum() for gradient, slope in zip(ours, slopes, strict=True)]
            yield Loss(torch.stack(products).sum(), told=told)
            told = torch.zeros_like(told)

    def _freeze_statistics(self, step: int, network: Network) -> None:
        """Gives batch norm the statistics of some real images of every class, which single images are too few for."""
        norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
        network.train()
        if not norms:
            return
        classes = range(self.problem.classes)
        count = max(1, min(STATISTICS, ALL_STATISTICS // len(classes)))
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.reset_running_stats()
            # The mean over all that is seen, and not a moving one.
            norm.momentum = None
        with torch.no_grad():
            network(self.problem.real(step, classes, count, "statistics").images)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.eval()

    def _train(self, step: int) -> None:
        """Trains the network on the synthetic images as they are now."""
        problem, options = self.problem, self.options
        network = self._network.module.train()
        optimizer = torch.optim.SGD(network.parameters(), lr=options.network_learning_rate)
        images = problem.synthetic_now()
        for epoch in range(options.inner_loops):
            order = torch.randperm(len(images), generator=problem.generator("match", step, "order", epoch))
            for number, part in enumerate(order.to(images.device).split(options.batch_train)):
                batch = images[part]
                draw = problem.augmentation("match", step, "train", epoch, number, count=len(batch))
                batch = batch if draw is None else draw.apply(batch)
                optimizer.zero_grad()
                functional.cross_entropy(network(batch), problem.labels[part]).backward()
                optimizer.step()
        optimizer.zero_grad()


def _gradients(
    network: Network,
    weights: Sequence[Tensor],
    images: Tensor,
    index: int,
    draw: DsaDraw | None,
    total: int,
    *,
    graph: bool = False,
) -> list[Tensor]:
    """What some of the ``total`` images of class ``index`` add to the gradients of their mean cross entropy."""
    logits = network(images if draw is None else draw.apply(images))
    labels = torch.full((len(images),), index, device=images.device)
    loss = functional.cross_entropy(logits, labels, reduction="sum") / total
    return list(torch.autograd.grad(loss, weights, create_graph=graph))


def _zeros(weights: Sequence[Tensor]) -> list[Tensor]:
    return [torch.zeros_like(weight, requires_grad=False) for weight in weights]


def _add(sums: list[Tensor], parts: list[Tensor]) -> None:
    for total, part in zip(sums, parts, strict=True):
        total += part
