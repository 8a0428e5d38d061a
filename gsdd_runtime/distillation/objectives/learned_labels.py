"""Where learned labels begin: what the experts say of the images (DATM, Guo et al., arXiv 2310.05773)."""

from __future__ import annotations

import torch
from torch import Tensor

from gsdd_runtime.distillation.problem import Problem
from gsdd_runtime.experts import ExpertFolder

# Experts that are asked, evenly among all, and images that are shown at once.
ASKED = 10
_BATCH = 256


@torch.no_grad()
def first_logits(experts: ExpertFolder, problem: Problem) -> Tensor:
    """Logits ``[M, classes]`` of the distilled images as they are: the mean over the trained experts that are right.

    Where none is right, that over all, with the class's own raised to 1 above the largest.
    """
    count, labels = len(problem.labels), problem.labels
    chosen = torch.linspace(0, len(experts) - 1, min(ASKED, len(experts))).round().long().tolist()
    every = torch.zeros(count, problem.classes, device=problem.device)
    right = torch.zeros_like(every)
    times = torch.zeros(count, 1, device=problem.device)
    for number in chosen:
        network = experts.network(number).to(problem.device)
        said = torch.cat([network(problem.synthetic_now(part)) for part in torch.arange(count).split(_BATCH)])
        is_right = (said.argmax(dim=1) == labels).unsqueeze(1)
        every += said / len(chosen)
        right += said * is_right
        times += is_right
    raised = every.scatter(1, labels.unsqueeze(1), every.amax(dim=1, keepdim=True) + 1)
    return torch.where(times > 0, right / times.clamp(min=1), raised)
