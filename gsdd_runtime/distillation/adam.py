"""Adam for images of which much stands still: Gaussians that draw nothing have gradients of zero for ever."""

from __future__ import annotations

from typing import Any

import torch

# Moves between two looks: a gradient of zero takes the mean of gradients from LEAST to a thousandth of it meanwhile.
MOVES = 64
# Means below move nothing, nor do their roots beside the 1e-8 that Adam adds to them.
LEAST = 1e-30


def image_adam(groups: list[dict[str, Any]]) -> torch.optim.Adam:
    """``torch.optim.Adam``, whose means of gradients never are denormal numbers, nor those of squares zero for long.

    The moves are the same. A CPU takes thirty times as long for the root of a zero, and eight times for a product of
    a denormal number, which stays one: nine tenths of the least of them are rounded to it again.

    Args:
        groups: of parameters, with their rates.
    """
    optimizer = torch.optim.Adam(groups)
    optimizer.register_step_post_hook(_keep_normal)
    return optimizer


@torch.no_grad()
def _keep_normal(optimizer: torch.optim.Optimizer, *_: Any) -> None:
    for kept in optimizer.state.values():
        mean = kept["exp_avg"]
        if mean.device.type == "cpu" and int(kept["step"]) % MOVES == 1:
            mean.masked_fill_(mean.abs() < LEAST, 0.0)
            kept["exp_avg_sq"].clamp_(min=LEAST)
