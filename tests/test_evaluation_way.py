"""The way of a set through the commands that judge and change sets, on the embedded sample."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from gsdd_runtime.commands.cli import run
from gsdd_runtime.sets.distilled_set import DistilledSet

DATA = ["--dataset", "fashion-mnist-sample"]
FAST = ["--network", "convnet1-w4", "--epochs", "2", "--repeats", "1", "--device", "cpu"]


def test_the_commands_lead_from_real_images_to_a_set_that_states_its_worth(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def done(*words: str) -> str:
        assert run(list(words)) == 0, capsys.readouterr().err
        return capsys.readouterr().out

    def place(name: str) -> str:
        return str(tmp_path / f"{name}.safetensors")

    done("baseline", "random", *DATA, *FAST, "--ipc", "1", "--out", place("random"))
    done("train", place("random"), "--network", "convnet1-w4", "--epochs", "2", "--out", place("model"))
    done("relabel", place("random"), "--teacher", place("model"), "--temperature", "4", "--out", place("soft"))
    done("select", place("random"), "--classes", "0,1,2,3,4,5", "--out", place("first"))
    done("select", place("random"), "--classes", "6,7,8,9", "--out", place("second"))
    done("merge", place("first"), place("second"), "--out", place("merged"))
    merged, random = (DistilledSet.load(place(name)) for name in ("merged", "random"))
    assert merged.class_names == random.class_names
    assert torch.equal(merged.rows(), random.rows())
    done("fit", place("random"), "--ipc", "1", "--steps", "2", "--device", "cpu", "--out", place("fitted"))
    done("eval", place("random"), place("fitted"), *DATA, *FAST, "--store", "--tests", "2")
    assert DistilledSet.load(place("fitted")).accuracy[0]["data"]["name"] == "fashion-mnist-sample"
    bits = json.loads(done("info", place("soft"), "--json"))["bits_per_class"]
    assert bits["labels"] == 8 * 10 * 10 * 2 / 10
