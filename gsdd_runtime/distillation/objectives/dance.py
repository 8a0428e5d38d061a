"""DANCE: means of features in middle networks, and a trained one's cross entropy (Zhang et al., arXiv 2406.01063)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gsdd_runtime.distillation.declared import option
from gsdd_runtime.distillation.objectives.experts_option import opened_experts, with_fingerprint
from gsdd_runtime.distillation.objectives.mean_distance import mean_distance
from gsdd_runtime.distillation.objectives.middle import MiddleMatching, MiddleOptions
from gsdd_runtime.distillation.problem import Problem, Setting
from gsdd_runtime.networks import Network
from gsdd_runtime.networks.embedding import embedded


class Dance(MiddleMatching):
    """The squared distance between mean features, in a network between an expert's first and last weights.

    Source: "DANCE: Dual-View Distribution Alignment for Dataset Condensation" and its published code
    (github.com/Hansong-Zhang/DANCE).
    """

    @dataclass(frozen=True)
    class Options(MiddleOptions):
        batch_real: int = option(128, "Real images per class and step; a class that has fewer gives all.", least=1)
        calibration_weight: float = option(1.0, "Of the cross entropy of the expert's last weights.")

    def __init__(self, problem: Problem, options: Options) -> None:
        experts = opened_experts(options, problem.setting, "dance")
        super().__init__(problem, options, experts, options.calibration_weight)

    @classmethod
    def settled(cls, options: Any, setting: Setting) -> Any:
        return with_fingerprint(options.settled(setting), opened_experts(options, setting, "dance"))

    @classmethod
    def default_iterations(cls, options: Any) -> int:
        return 10000

    def distance(self, step: int, index: int, network: Network, real: Tensor, synthetic: Tensor) -> Tensor:
        with torch.no_grad():
            target = embedded(network, real).mean(dim=0, keepdim=True)
        return mean_distance(embedded(network, synthetic).mean(dim=0, keepdim=True), target)
