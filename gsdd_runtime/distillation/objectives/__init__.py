"""What the rendered images are matched by. A new method is one file here and one line in ``OBJECTIVES``.

docs/adding-an-objective.md adds one.
"""

from __future__ import annotations

from gsdd_runtime.distillation.objectives.dance import Dance
from gsdd_runtime.distillation.objectives.dc import GradientMatching
from gsdd_runtime.distillation.objectives.dm import DistributionMatching
from gsdd_runtime.distillation.objectives.ncfm import CharacteristicMatching
from gsdd_runtime.distillation.objectives.objective import ELSEWHERE, Footprint, Learned, Loss, Objective
from gsdd_runtime.distillation.objectives.squeeze import Squeeze
from gsdd_runtime.distillation.objectives.tm import TrajectoryMatching

OBJECTIVES: dict[str, type[Objective]] = {
    "dm": DistributionMatching,
    "dc": GradientMatching,
    "tm": TrajectoryMatching,
    "ncfm": CharacteristicMatching,
    "dance": Dance,
    "squeeze": Squeeze,
}

__all__ = [
    "ELSEWHERE",
    "OBJECTIVES",
    "CharacteristicMatching",
    "Dance",
    "DistributionMatching",
    "Footprint",
    "GradientMatching",
    "Learned",
    "Loss",
    "Objective",
    "Squeeze",
    "TrajectoryMatching",
]
