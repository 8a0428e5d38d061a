"""The commands that are disturbed, on pictures of 8 x 8: each takes a second and writes what it writes at any size."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
from easy_data import easy_data, folder_of
from teacher_data import teacher_of

from gsdd_runtime.commands.cli import run
from gsdd_runtime.datasets import load_dataset
from gsdd_runtime.distillation.checkpoint import Checkpoint
from gsdd_runtime.distillation.journal import read_log
from gsdd_runtime.experts.trajectory import Trajectory, Unfinished
from gsdd_runtime.networks.model_file import load_model
from gsdd_runtime.sets.distilled_set import DistilledSet

NETWORK = "convnet1-w4"
TEACHER = f"{NETWORK}-batch"
SMALL = f"--network {NETWORK} --device cpu"
SHORT = "--gpc 2 --iterations 6 --fit-steps 6 --checkpoint-interval 2"
INPUTS = ("pictures", "experts", "set.safetensors", "teacher.safetensors")
OBJECTIVES = {
    "dm": "--batch-real 5",
    "dc": "--batch-real 5 --outer-loops 2 --inner-loops 1",
    "ncfm": "--batch-real 5 --frequencies 8",
    "dance": "--batch-real 5 --experts {experts}",
    "tm": "--experts {experts} --syn-steps 2 --max-start-epoch 1 --expert-epochs 1 --batch-syn 3 --trajectories 2",
    "squeeze": f"--teacher {{teacher}} --network {TEACHER} --batch-syn 4",
}


@dataclass(frozen=True)
class Job:
    """A command line, and how it is said again after it was stopped.

    Attributes:
        name: for the table.
        words: of the command line; ``{out}`` is the folder that it writes to, other names are inputs.
        again: added to go on, where the command can; else it starts anew with ``--overwrite``.
        written: names of what is there in the end, of equal bytes whatever happened; a folder's are all in it.
    """

    name: str
    words: str
    written: tuple[str, ...]
    again: str = ""

    def line(self, inputs: Path, out: Path, *, again: bool = False) -> list[str]:
        """The arguments."""
        places = {Path(name).stem: inputs / name for name in INPUTS}
        text = self.words.format(out=out, **places)
        return [*text.split(), *(self.again or "--overwrite").split()] if again else text.split()

    @property
    def reads_set(self) -> bool:
        """Whether it reads the one file ``{set}``."""
        return "{set}" in self.words

    def results(self, out: Path) -> dict[str, str]:
        """Digests of what was written, by its name; nothing of what is not there."""
        files = [path for name in self.written for path in sorted(out.glob(name))]
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _distill(name: str, words: str) -> Job:
    line = (
        f"distill --dataset imagefolder:{{pictures}} --no-cache --out {{out}}/set.safetensors {SMALL} {SHORT} {words}"
    )
    return Job(f"distill {name}", line, ("set.safetensors",), "--resume")


JOBS = [
    *(_distill(method, f"--method {method} {words}") for method, words in OBJECTIVES.items()),
    _distill("coded", "--method dm --batch-real 5 --coding entropy --ipc 8"),
    Job(
        "experts",
        f"experts --dataset imagefolder:{{pictures}} --no-cache --count 3 --epochs 4 --batch-size 8 {SMALL} "
        "--out {out}/experts",
        ("experts/trajectory-*.safetensors",),
        "--resume",
    ),
    Job(
        "fit",
        "fit imagefolder:{pictures} --no-cache --gaussians 3 --steps 4 --part 5 --device cpu "
        "--out {out}/set.safetensors",
        ("set.safetensors",),
        "--resume",
    ),
    Job("compress", "compress {set} --out {out}/small.safetensors", ("small.safetensors",)),
    Job(
        "train",
        f"train {{set}} --out {{out}}/model.safetensors --epochs 3 {SMALL}",
        ("model.safetensors",),
    ),
    Job("export", "export {set} --onnx {out}/decoder.onnx", ("decoder.onnx",)),
    Job("decode", "decode {set} --out {out}/images.npy", ("images.npy",)),
    Job("report", "report {set} --out {out}/page.html", ("page.html",)),
]  # fmt: skip


def make_inputs(folder: Path) -> None:
    """``INPUTS``, which jobs read."""
    pictures = folder_of(easy_data(), folder / "pictures")
    experts = f"experts --dataset {pictures} --no-cache --count 2 --epochs 3 --batch-size 8 {SMALL}"
    assert run([*experts.split(), "--out", str(folder / "experts")]) == 0
    words = f"distill --dataset {pictures} --no-cache {SMALL} {SHORT} --batch-real 5 --out {folder}/set.safetensors"
    assert run(words.split()) == 0
    teacher_of(folder / "teacher.safetensors", load_dataset(pictures, cache=False), TEACHER)


def _trajectory(path: Path) -> None:
    Trajectory(path).parameters(-1)


READERS: list[tuple[str, Callable[[Path], object]]] = [
    ("trajectory-*.checkpoint", lambda path: Unfinished.load(path, momentum=False)),
    ("trajectory-*.safetensors", _trajectory),
    ("*.parts/*.safetensors", safetensors.torch.load_file),
    ("*.checkpoint", Checkpoint.load),
    ("*.log.jsonl", read_log),
    ("model.safetensors", load_model),
    ("*.safetensors", DistilledSet.load),
    ("*.json", lambda path: json.loads(path.read_bytes())),
]  # fmt: skip


def check_whole(path: Path) -> None:
    """Reads a file as its reader does; those that nothing of ours reads are compared by their bytes alone.

    Raises:
        Whatever the reader raises.
    """
    for pattern, read in READERS:
        if path.match(pattern):
            read(path)
            return
