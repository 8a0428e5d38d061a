"""What drawing costs on a CUDA device, by our direct kernel and by gsplat's tiles: the table that ``auto`` follows.

``cuda_renderers.json`` holds three times and says where they are from: counted from compiled code, or measured on a
device by ``make gpu``, whose ``benchmarks/gpu/figures.py --keep`` writes it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

TABLE = Path(__file__).parent / "cuda_renderers.json"
COUNTED = "counted, not measured"


@dataclass(frozen=True)
class Costs:
    """Seconds, beyond those that both ways need for what they draw.

    Attributes:
        source: ``COUNTED``, or what it was measured on.
        pair: of the direct kernel, a Gaussian against a tile of 32 x 32 pixels.
        listed: of gsplat, a Gaussian and the tiles that it touches.
        call: of gsplat, whatever it lists.
    """

    source: str
    pair: float
    listed: float
    call: float

    def tiles_gain(self, images: int, gaussians: int, tiles: int) -> float:
        """Seconds that gsplat's tiles save; below 0 where they cost."""
        pairs = images * gaussians * tiles
        return self.pair * pairs - self.listed * images * gaussians - self.call


@cache
def costs() -> Costs:
    """The table of this installation."""
    return Costs(**json.loads(TABLE.read_text()))


def write(found: Costs, table: Path = TABLE) -> None:
    table.write_text(json.dumps(asdict(found), indent=2) + "\n")


@dataclass(frozen=True)
class Measured:
    """Seconds of one batch by each way."""

    images: int
    gaussians: int
    tiles: int
    direct: float
    tiled: float


def fitted(points: Iterable[Measured], source: str) -> Costs | None:
    """The costs that explain how much faster one way was at each point; None where fewer than three points tell.

    Least squares of the differences in parts of the faster time, so that small batches count as much as large ones; no
    cost below 0.
    """
    import numpy as np

    rows, gains = [], []
    for point in points:
        gaussians, least = point.images * point.gaussians, min(point.direct, point.tiled)
        rows.append([gaussians * point.tiles / least, -gaussians / least, -1 / least])
        gains.append((point.direct - point.tiled) / least)
    if len(rows) < 3:
        return None
    matrix, wanted = np.array(rows), np.array(gains)
    # Three unknowns: all subsets that may be above 0, and the best of those that are.
    best, kept = float("inf"), np.zeros(3)
    for chosen in range(1, 8):
        columns = [k for k in range(3) if chosen >> k & 1]
        unit = np.abs(matrix[:, columns]).max(axis=0)
        part = np.linalg.lstsq(matrix[:, columns] / unit, wanted, rcond=None)[0] / unit
        error = float(((matrix[:, columns] @ part - wanted) ** 2).sum())
        if (part >= 0).all() and error < best:
            best, kept = error, np.zeros(3)
            kept[columns] = part
    pair, listed, call = kept.tolist()
    return Costs(source, pair, listed, call)
