"""NCFM: matching of neural characteristic functions (Wang et al., arXiv 2502.20653)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from gsdd_runtime.distillation.declared import option
from gsdd_runtime.distillation.objectives.characteristic import (
    characteristic_distance,
    characteristic_function,
    mean_characteristic_function,
    unit_features,
)
from gsdd_runtime.distillation.objectives.experts_option import opened_experts, with_fingerprint
from gsdd_runtime.distillation.objectives.middle import MiddleMatching, MiddleOptions
from gsdd_runtime.distillation.objectives.objective import Learned
from gsdd_runtime.distillation.objectives.sampling_network import SamplingNetwork
from gsdd_runtime.distillation.problem import Problem, Setting
from gsdd_runtime.errors import InputError
from gsdd_runtime.networks import Network
from gsdd_runtime.networks.embedding import embedded
from gsdd_runtime.seeds import derived_seed

# The published code multiplies the distance by this, which weighs it against the calibration.
MATCHING_SCALE = 300.0
# Frequencies that the sampling network makes, as released: 64 in 16 copies.
SAMPLED = 4
SAMPLING_MOMENTUM = 0.5
# Features whose angles are taken at once: with 4096 frequencies they are 4 MB.
FEATURES_AT_ONCE = 256


class CharacteristicMatching(MiddleMatching):
    """The distance between the characteristic functions of real and of synthetic features, at drawn frequencies.

    Features have length 1; frequencies are standard normal, drawn for each class and step. With the sampling network
    they are learned to make the distance large.
    """

    @dataclass(frozen=True)
    class Options(MiddleOptions):
        batch_real: int = option(1024, "Real images per class and step; a class that has fewer gives all.", least=1)
        calibration_weight: float | None = option(
            None, "Of the cross entropy of the expert's last weights.", shown="1 with experts, 0 without"
        )
        frequencies: int = option(
            4096, "At which characteristic functions are compared, drawn for each class.", least=1
        )
        amplitude_weight: float = option(0.5, "Of the difference of their amplitudes.")
        phase_weight: float = option(0.5, "Of the difference of their phases.")
        sampling_network: bool = option(False, "Learn the frequencies, by a network that ascends.")
        sampling_rate: float = option(1e-3, "Rate that it learns at, by SGD with momentum.", above=0)

    def __init__(self, problem: Problem, options: Options) -> None:
        experts = None if options.experts is None else opened_experts(options, problem.setting, "ncfm")
        super().__init__(problem, options, experts, float(options.calibration_weight or 0.0))
        self._sampling: SamplingNetwork | None = None
        if options.sampling_network:
            self._sampling = _sampling_network(problem)

    @classmethod
    def settled(cls, options: Any, setting: Setting) -> Any:
        if options.amplitude_weight + options.phase_weight == 0:
            raise InputError("amplitude_weight and phase_weight are both 0: nothing would be matched")
        chosen = options.settled(setting)
        if options.experts is None:
            if options.calibration_weight:
                raise InputError("calibration_weight needs trained networks: give experts, or leave it out")
            return replace(chosen, calibration_weight=0.0)
        weight = 1.0 if options.calibration_weight is None else options.calibration_weight
        return with_fingerprint(replace(chosen, calibration_weight=weight), opened_experts(options, setting, "ncfm"))

    @classmethod
    def default_iterations(cls, options: Any) -> int:
        return 20000

    def distance(self, step: int, index: int, network: Network, real: Tensor, synthetic: Tensor) -> Tensor:
        with torch.no_grad():
            target = unit_features(embedded(network, real))
        features = unit_features(embedded(network, synthetic))
        frequencies = self._frequencies(step, index, features)
        return MATCHING_SCALE * characteristic_distance(
            mean_characteristic_function(target.split(FEATURES_AT_ONCE), frequencies),
            characteristic_function(features, frequencies),
            amplitude_weight=self.options.amplitude_weight,
            phase_weight=self.options.phase_weight,
        )

    def _frequencies(self, step: int, index: int, features: Tensor) -> Tensor:
        """``[K, F]`` for the ``F`` of ``features``."""
        # Eight million numbers a class: drawn where they are needed.
        generator = torch.Generator(features.device)
        generator.manual_seed(derived_seed(self.problem.seed, "match", step, "frequencies", index))
        count = self.options.frequencies if self._sampling is None else SAMPLED
        drawn = torch.randn(count, features.shape[1], generator=generator, device=features.device)
        if self._sampling is None:
            return drawn
        made: Tensor = self._sampling(drawn)
        return made

    def learned(self) -> dict[str, Learned]:
        if self._sampling is None:
            return {}
        optimizer = partial(torch.optim.SGD, lr=self.options.sampling_rate, momentum=SAMPLING_MOMENTUM)
        return {
            f"sampling.{name}": Learned(parameter, optimizer) for name, parameter in self._sampling.named_parameters()
        }


def _sampling_network(problem: Problem) -> SamplingNetwork:
    """A fresh one for the features of the run's network, whose gradients lead uphill."""
    network = problem.network.module
    with torch.no_grad():
        image = torch.zeros(1, problem.data.channels, *problem.size, device=problem.device)
        count = network.embed(image).shape[1]
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derived_seed(problem.seed, "match", "sampling network"))
        sampling = SamplingNetwork(count)
    sampling.to(problem.device)
    for parameter in sampling.parameters():
        parameter.register_hook(torch.neg)
    return sampling
