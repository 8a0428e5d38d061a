"""The decoder and what one would use instead of it: one file each.

A peer is made for one :class:`~gsdd_runtime.bench.points.Workload` and a number of threads; its ``decode()`` turns
what it stores into a float32 ``[batch, C, H, W]`` tensor with values of order one.
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class Peer(Protocol):
    """What the benchmark needs of one contestant."""

    name: str
    images: int
    """How many images one ``decode()`` makes."""
    bytes_per_image: float
    """Stored bytes of one image."""
    note: str
    """What a reader must know to judge the figure; may be empty."""

    def decode(self) -> Tensor: ...
