"""Adam for images of which much stands still: Gaussians that draw nothing have gradients of zero for ever."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

# Moves between two looks: a gradient of zero takes the mean of gradients from LEAST to a thousandth of it meanwhile.
MOVES = 64
# Means below move nothing, nor do their roots beside the 1e-8 that Adam adds to them.
LEAST = 1e-30


class Adam(torch.optim.Adam):
    """``torch.optim.Adam``, whose means of gradients never are denormal numbers, nor those of squares zero for long.

    The moves are the same. A CPU takes thirty times as long for the root of a zero, and eight times for a product of
    a denormal number, which stays one: nine tenths of the least of them are rounded to it again.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """Moves all parameters once."""
        result = super().step(closure)
        for kept in self.state.values():
            if int(kept["step"]) % MOVES == 1:
                _keep_normal(kept["exp_avg"], kept["exp_avg_sq"])
        return result


def _keep_normal(mean: Tensor, mean_of_squares: Tensor) -> None:
    if mean.device.type == "cpu":
        mean.masked_fill_(mean.abs() < LEAST, 0.0)
        mean_of_squares.clamp_(min=LEAST)
