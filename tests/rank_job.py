"""What each of several processes does in test_ranks.py: the same calls, as one rank of a run."""

from __future__ import annotations

import itertools
import math
import os
import shutil
import signal
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from distill_data import blobs
from easy_data import easy_data, easy_set
from teacher_data import teacher_of

from gsdd_runtime import ranks
from gsdd_runtime.datasets import RealData
from gsdd_runtime.distillation import Interrupted, distill, run
from gsdd_runtime.distillation.checkpoint import CheckpointWriter
from gsdd_runtime.distillation.fitted_data import fit_data
from gsdd_runtime.distillation.images import SyntheticImages
from gsdd_runtime.errors import GsddError
from gsdd_runtime.evaluation.accuracy import evaluate
from gsdd_runtime.evaluation.light import light_choosing
from gsdd_runtime.experts import make_experts
from gsdd_runtime.experts.teaching import load_teacher
from gsdd_runtime.training.relabeling import relabel
from gsdd_runtime.training.view_labeling import label_views

CLASSES = 4
SMALL: dict[str, Any] = {
    "network": "convnet1-w4", "batch_real": 5, "gpc": 2, "iterations": 3, "fit_steps": 3, "device": "cpu", "seed": 3,
}  # fmt: skip
TEACHERS: dict[str, Any] = {
    "network": "convnet1-w4", "count": 4, "epochs": 3, "batch_size": 7, "device": "cpu", "seed": 3,
}  # fmt: skip
JUDGED = light_choosing(2, on="test", epochs=1, device="cpu")
# Runs whose bits do not depend on how many processes share them: each class is one loss.
RUNS: dict[str, dict[str, Any]] = {
    "dm": {"method": "dm", "classes_per_pass": 1},
    "dm in turn": {"method": "dm", "update": "class"},
    "pixels in turn": {"method": "dm", "update": "class", "representation": "pixels"},
    "dc": {"method": "dc", "outer_loops": 2, "inner_loops": 1},
    "dance": {"method": "dance", "experts": "experts"},
    "ncfm": {"method": "ncfm", "frequencies": 8, "update": "step"},
    "tm": {"method": "tm", "experts": "experts", "trajectories": 4, "syn_steps": 2, "max_start_epoch": 2,
           "expert_epochs": 1, "batch_syn": 5},
    "squeeze": {"method": "squeeze", "teacher": "teacher.safetensors", "network": "convnet1-w4-batch", "batch_syn": 2},
    "coded": {"method": "dm", "coding": "entropy", "classes_per_pass": 1},
    "noise": {"method": "dm", "representation": "pixels", "init": "random", "classes_per_pass": 1},
    "sampled": {"method": "ncfm", "sampling_network": True, "update": "step"},
    "unmatched": {"method": "dm", "iterations": 0, "classes_per_pass": 1},
    "judged": {"method": "dm", "classes_per_pass": 1, "choosing": JUDGED, "picture_every": 1},
    "judged in turn": {"method": "dm", "update": "class", "choosing": JUDGED},
}  # fmt: skip
# Those of them whose images are divided over the processes, and those that are summed up over them.
DIVIDED = ("dm", "dm in turn", "pixels in turn", "dance", "ncfm", "noise", "sampled", "unmatched", "judged",
           "judged in turn")  # fmt: skip
SUMMED = ("tm", "sampled")
SPREAD = SyntheticImages.spread


def data() -> RealData:
    return blobs(CLASSES)


def of_run(name: str, folder: Path) -> dict[str, Any]:
    """The options of a run, with what it learns from in ``folder``."""
    options = {**SMALL, **RUNS[name]}
    for need in {"experts", "teacher"} & options.keys():
        options[need] = str(folder / options[need])
    if options["method"] in ("tm", "squeeze"):
        del options["batch_real"]
    return options


class KeptCheckpoints(CheckpointWriter):
    """What a run writes on the way, kept beside it."""

    def write(self, phase: str, step: int, tensors: Any) -> None:
        super().write(phase, step, tensors)
        shutil.copy(self.path, f"{self.path}.{phase}-{step}")


def distilled(names: Iterable[str], folder: Path, home: Path) -> None:
    """Runs, with their checkpoints kept, by what they learn from in ``home``."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(run, "CheckpointWriter", KeptCheckpoints)
        for name in names:
            distill(data(), out=folder / f"{name}.safetensors", checkpoint_interval=2, **of_run(name, home))


def divided(folder: Path, home: Path) -> None:
    """The runs whose images are divided."""
    torch.set_num_threads(1)
    distilled(DIVIDED, folder, home)


def in_the_second_step(act: Callable[[SyntheticImages], None]) -> None:
    """Has the second process do something once the gradients of a second step are there."""
    steps = itertools.count(1)

    def spread(self: SyntheticImages) -> None:
        SPREAD(self)
        if next(steps) == 2 and ranks.joined().rank == 1:
            act(self)

    SyntheticImages.spread = spread  # type: ignore[method-assign]


def broken(images: SyntheticImages) -> None:
    for part in images._representation.parameters().values():
        part.grad.fill_(math.nan)  # type: ignore[union-attr]


def asked_to_stop(images: SyntheticImages) -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def ended(folder: Path) -> None:
    """What ends one of two processes ends both: a gradient that is not finite, and a signal, after which they go on."""
    torch.set_num_threads(1)
    in_the_second_step(broken)
    with pytest.raises(GsddError, match="is not finite at step 2"):
        distill(data(), out=folder / "broken.safetensors", **of_run("noise", folder))
    in_the_second_step(asked_to_stop)
    with pytest.raises(Interrupted, match="stopped after step 2"):
        distill(data(), out=folder / "noise.safetensors", **of_run("noise", folder))
    distill(data(), out=folder / "noise.safetensors", resume=True, **of_run("noise", folder))


def work(folder: Path) -> None:
    """Makes experts, and then all else that processes share, in ``folder``."""
    torch.set_num_threads(1)
    together, real, easy = ranks.joined(), data(), easy_data()
    make_experts(real, folder / "experts", **TEACHERS)
    if together.first:
        teacher_of(folder / "teacher.safetensors", real, "convnet1-w4-batch")
    together.wait()
    distilled(RUNS, folder, folder)
    again = folder / "again.safetensors"
    if together.first:
        shutil.copy(folder / "dm.safetensors.checkpoint.match-2", f"{again}.checkpoint")
    together.wait()
    distill(real, out=again, resume=True, **of_run("dm", folder))
    # Without a file all processes hold all images, and give them back.
    for name in ("dm", "dm in turn"):
        made = distill(real, **of_run(name, folder))
        if together.first or len(made) != 2 * CLASSES:
            made.save(folder / f"{name}, given.safetensors")
    fit_data(easy, folder / "fitted.safetensors", count=2, steps=2, part=4, device="cpu")
    make_experts(easy, folder / "teachers", **TEACHERS)
    original = easy_set(easy).changed(labels=easy.train_labels[:9])
    relabeled = relabel(original, load_teacher(folder / "teachers", original.preparation), device="cpu")
    views = label_views(original, load_teacher(folder / "teachers"), epochs=4, recipe="rded", device="cpu")
    found = evaluate(original, easy, network="convnet1-w4", epochs=2, repeats=4, device="cpu")
    if together.first:
        relabeled.save(folder / "relabeled.safetensors")
        views.save(folder / "views.safetensors")
        (folder / "accuracies.txt").write_text(str([repeat.accuracies for repeat in found.repeats]))


def as_rank(rank: int, count: int, port: int, job: Callable[..., None], *arguments: Any) -> None:
    """Runs ``job`` as one of ``count`` processes, with what they print in the last argument's folder."""
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(count), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    with ranks.joining():
        job(*arguments)
