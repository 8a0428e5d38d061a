"""What two processes do in test_rank_kills.py until one of them is killed: by itself, at a step that is known."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from easy_data import easy_data, easy_set
from rank_job import TEACHERS, data, of_run
from torch import distributed

from gsdd_runtime import ranks
from gsdd_runtime.distillation import distill
from gsdd_runtime.distillation.fitted_data import fit_data
from gsdd_runtime.evaluation.accuracy import evaluate
from gsdd_runtime.experts import make_experts
from gsdd_runtime.experts.teaching import load_teacher
from gsdd_runtime.progress import Progress, silent
from gsdd_runtime.training.relabeling import relabel
from gsdd_runtime.training.view_labeling import label_views

# What the survivor of a killed process ends with.
LOST = 7
SET = easy_set(easy_data(), labels=easy_data().train_labels[:9])


def distilled(name: str, folder: Path, tell: Callable[[Progress], None]) -> None:
    """A checkpoint after every step."""
    out = folder / f"{name}.safetensors"
    # What it learns from lies where all runs find it.
    distill(data(), out=out, resume=True, checkpoint_interval=1, **of_run(name, folder.parent))


def fitted(_: str, folder: Path, tell: Callable[[Progress], None]) -> None:
    out = folder / "fitted.safetensors"
    fit_data(easy_data(), out, count=2, steps=2, part=4, device="cpu", resume=True, progress=tell)


def experts(_: str, folder: Path, tell: Callable[[Progress], None]) -> None:
    make_experts(easy_data(), folder / "experts", resume=True, progress=tell, **TEACHERS)


def evaluated(_: str, folder: Path, tell: Callable[[Progress], None]) -> None:
    found = evaluate(SET, easy_data(), network="convnet1-w4", epochs=2, repeats=4, device="cpu", progress=tell)
    if ranks.joined().first:
        (folder / "accuracies.txt").write_text(str([repeat.accuracies for repeat in found.repeats]))


def relabeled(_: str, folder: Path, tell: Callable[[Progress], None]) -> None:
    made = relabel(SET, load_teacher(folder.parent / "experts"), device="cpu", progress=tell)
    if ranks.joined().first:
        made.save(folder / "relabeled.safetensors")


def views_labeled(_: str, folder: Path, tell: Callable[[Progress], None]) -> None:
    teacher = load_teacher(folder.parent / "experts")
    made = label_views(SET, teacher, epochs=4, recipe="rded", device="cpu", progress=tell)
    if ranks.joined().first:
        made.save(folder / "views.safetensors")


def killed(job: Callable[..., None], name: str, victim: int, moment: int, by_sum: bool, folder: Path) -> None:
    """``job`` as one rank of several, of whom ``victim`` is killed at its ``moment``-th report, or all-reduce."""
    torch.set_num_threads(1)
    # Where a process works by itself, it is no rank for a while.
    rank, seen = ranks.joined().rank, 0

    def count() -> None:
        nonlocal seen
        seen += 1
        if rank == victim and seen == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    honest: Any = distributed.all_reduce

    def counting(*arguments: Any, **named: Any) -> Any:
        count()
        return honest(*arguments, **named)

    if by_sum:
        distributed.all_reduce = counting
    try:
        job(name, folder, silent if by_sum else lambda _: count())
    except ranks.RankLostError:
        sys.exit(LOST)
