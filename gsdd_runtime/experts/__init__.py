"""Experts: networks trained on real images, with their weights after every epoch.

Trajectory matching goes from one epoch of an expert to another; distribution matching of some kinds embeds with the
first and the last; starts and soft labels come from the last. A folder holds one file an expert.
"""

from __future__ import annotations

from gsdd_runtime.experts.folder import ExpertFolder
from gsdd_runtime.experts.foreign import import_experts
from gsdd_runtime.experts.making import make_experts

__all__ = ["ExpertFolder", "import_experts", "make_experts"]
