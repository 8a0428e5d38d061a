"""Our contestant of ``distill_step.py``."""

from __future__ import annotations

from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn

import torch
from step_pace import CLASSES, IMAGES, Pace, drawn_weights, images, labels

EPOCHS = 4


def run_ours(pipe: Connection, folder: str, method: str, width: int, threads: int, options: dict[str, Any]) -> NoReturn:
    """``gsdd.distill`` on the same images; the step ends where it reports its progress."""
    torch.set_num_threads(threads)
    import gsdd_runtime as gsdd

    pace = Pace(pipe)
    names = [str(index) for index in range(CLASSES)]
    data = gsdd.RealData.of("random", (images(), labels()), None, names)
    network = f"convnet3-w{width}"
    if method in ("tm", "ncfm", "dance"):
        options = {"experts": experts(data, Path(folder), width, network), **options}
    gsdd.distill(
        data, method=method, ipc=1, gpc=IMAGES, network=network, init="random", device="cpu",
        progress=lambda _: pace.step(), **options,
    )  # fmt: skip
    raise SystemExit("ours ended before the rounds did")


def experts(data: Any, folder: Path, width: int, network: str) -> str:
    from gsdd_runtime.experts.foreign import import_experts

    buffer, place = folder / f"ours-{width}.pt", folder / f"experts-{width}"
    torch.save([drawn_weights(width, EPOCHS)], buffer)
    import_experts([buffer], data, place, network=network, device="cpu")
    return str(place)
