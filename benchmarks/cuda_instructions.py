"""What the kernels issue, from the counts of the compiled code that plugins/splat/cuda/instructions.json keeps.

Estimates alone: a measured time is compared with them, and where nothing is measured the choice of a renderer follows
them (``renderer_costs``).
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

_KEPT = Path(__file__).parent.parent / "plugins" / "splat" / "cuda" / "instructions.json"
_WARP = 32
# Samples of a thread's four pixels.
_SAMPLES = 16
# Warp instructions a second of an H100: four a clock on each of 132 multiprocessors, at 1.98 GHz.
_H100_ISSUE = 4 * 132 * 1.98e9
# gsplat's intersection, which is no code of ours: sorting, lists and two more passes, for a Gaussian in a tile's list;
# the tiles that a fitted Gaussian is in; and its launches and its reading of a number back.
_LISTED_INSTRUCTIONS, _LISTS, _LAUNCHES = 540.0, 6.0, 1.5e-4


@cache
def _counts() -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = json.loads(_KEPT.read_text())["counts"]
    return counts


def forward_sample() -> float:
    """Instructions that a thread issues for a sample of a Gaussian it draws, unclipped, colour sums included."""
    forward = _counts()["splat_forward<3, 2>"]
    return (forward["add_by_runs"] - forward["add_clipped_by_runs"]) / _SAMPLES


def backward_sample() -> float:
    """The same of the gradient, without loads and finding the cell of pixels."""
    backward = _counts()["splat_backward<3, 2>"]
    rows = backward["gather_row_by_runs"] - backward["gather_clipped_row_by_runs"] + backward["add_row"]
    parts = ("load_gradients", "gather_row_by_runs", "gather_row_by_samples", "add_row")
    return (2 * rows + backward["gather_cell"] - sum(backward[name] for name in parts)) / _SAMPLES


def missed_tile() -> float:
    """Warp instructions of a Gaussian for a tile that it misses."""
    return _counts()["splat_forward<3, 2>"]["pack"] / _WARP


def renderer_costs() -> dict[str, float]:
    """Seconds on an H100 as ``gsdd_runtime/splatting/cuda_renderers.json`` has them."""
    pair, listed = missed_tile() / _H100_ISSUE, _LISTS * _LISTED_INSTRUCTIONS / _H100_ISSUE
    return {
        name: float(f"{seconds:.3g}") for name, seconds in (("pair", pair), ("listed", listed), ("call", _LAUNCHES))
    }
