"""The losses of a recipe's first steps on the embedded sample, through the command line, with a small network.

    python tests/golden_losses.py

writes them to tests/data/golden-losses.json: for a change of what a run computes that is meant.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import patch

from gsdd_runtime.commands.cli import run
from gsdd_runtime.distillation.journal import Journal, read_log
from gsdd_runtime.distillation.objectives import OBJECTIVES
from gsdd_runtime.formats import log_path

FILE = Path(__file__).parent / "data" / "golden-losses.json"
NETWORK, STEPS = "convnet1-w4", 20
# What each objective's recipe is given besides, to be done in moments.
OWN = {
    "dm": "--batch-real 16",
    "dc": "--batch-real 16",
    "tm": "--max-start-epoch 1 --syn-steps 4 --batch-syn 20",
    "ncfm": "--batch-real 16 --frequencies 64",
    "dance": "--batch-real 16",
    "squeeze": "--batch-syn 40",
}
# What some need that learned from real images, as it is named in the folder of all of that.
NEEDS = {"tm": "experts", "dance": "experts", "squeeze": "teacher.safetensors"}


def network_of(method: str) -> str:
    return f"{NETWORK}-batch" if method == "squeeze" else NETWORK


def make_needed(folder: Path) -> None:
    """What ``NEEDS`` names: experts, two epochs of two networks, and a teacher with batch norms."""
    words = (
        f"experts --dataset fashion-mnist-sample --network {NETWORK} --count 2 --epochs 2 --batch-size 512 --device cpu"
    )
    assert run([*words.split(), "--out", str(folder / "experts")]) == 0
    words = "baseline random --ipc 8 --dataset fashion-mnist-sample --network convnet1-w1 --epochs 1 --repeats 1"
    real, teacher = folder / "real.safetensors", folder / NEEDS["squeeze"]
    assert run([*words.split(), "--device", "cpu", "--out", str(real)]) == 0
    words = f"train {real} --network {network_of('squeeze')} --epochs 30 --learning-rate 0.1 --device cpu"
    assert run([*words.split(), "--out", str(teacher)]) == 0


def losses(method: str, needed: Path, folder: Path) -> dict[str, list[float]]:
    """The losses of each phase, of the recipe ``sample-METHOD``."""
    out = folder / f"{method}.safetensors"
    words = (
        f"--recipe sample-{method} --network {network_of(method)} --iterations {STEPS} --fit-steps {STEPS} --device cpu"
    )
    need = NEEDS.get(method)
    own = [*OWN[method].split(), *([] if need is None else [f"--{Path(need).stem}", str(needed / need)])]
    defaults: dict[str, Any] = {**(Journal.__init__.__kwdefaults__ or {}), "seconds": 0.0}
    with patch.object(Journal.__init__, "__kwdefaults__", defaults):
        assert run(["distill", *words.split(), *own, "--out", str(out)]) == 0
    steps = [record for record in read_log(log_path(out)) if record["record"] == "step"]
    return {phase: [one["loss"] for one in steps if one["phase"] == phase] for phase in ("fit", "match")}


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        make_needed(Path(place))
        golden = {method: losses(method, Path(place), Path(place)) for method in OBJECTIVES}
    FILE.write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
