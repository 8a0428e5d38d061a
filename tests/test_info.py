"""``gsdd-rt info`` of everything that gsdd-rt writes: what it is and how it was made, or what to give instead."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from easy_data import easy_data, easy_set
from expert_data import EPOCHS, LENGTH, NETWORK, made

from gsdd_runtime import networks
from gsdd_runtime.commands.cli import run
from gsdd_runtime.distillation.checkpoint import Checkpoint
from gsdd_runtime.distillation.fitted_data import KIND as FITTED_PART
from gsdd_runtime.distillation.journal import Journal
from gsdd_runtime.experts.teaching import load_teacher
from gsdd_runtime.experts.trajectory import Unfinished
from gsdd_runtime.networks.model_file import save_model
from gsdd_runtime.sets.container import write_container
from gsdd_runtime.training.view_labeling import label_views

DATA = easy_data()


def told(path: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """What --json says of a file; the text tells its kind, and whatever of it is short."""
    capsys.readouterr()
    assert run(["info", str(path), "--json"]) == 0
    facts: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert facts["file"] == str(path)
    assert run(["info", str(path)]) == 0
    text = capsys.readouterr().out
    lines = {line.split("  ")[0]: line.split("  ")[-1].strip() for line in text.splitlines()}
    assert lines["kind"] == facts["kind"]
    shown = {name: str(value) for name, value in facts.items() if isinstance(value, (int, str))}
    assert {name: lines[name.replace("_", " ")] for name in shown} == shown
    return facts


def test_labels_of_views(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    teacher = tmp_path / "teacher.safetensors"
    save_model(networks.build(NETWORK, 1, 3, (8, 8), seed=0), teacher, network=NETWORK, distilled_set=easy_set(DATA))
    labels = label_views(
        easy_set(DATA), load_teacher(teacher), epochs=4, recipe="rded", batch_size=5, top=1, seed=7, device="cpu"
    )
    path = tmp_path / "views.safetensors"
    labels.save(path)
    facts = told(path, capsys)
    assert facts == {
        "file": str(path), "file_bytes": path.stat().st_size, "kind": "labels of views",
        "teacher": "teacher.safetensors", "views": 36, "images": 9, "epochs": 4, "classes": 3, "told_apart": 1,
        "recipe": "rded", "augment": "cutmix", "batch_size": 5, "crop_scale": 0.5, "mixed": 1.0, "temperature": 20.0,
        "seed": 7, "payload_bytes": 36 * (1 + 2 * 2), "dtypes": {"top": "uint8", "shares": "float16"},
        "class_names": list(DATA.class_names), "images_digest": labels.images,
    }  # fmt: skip


def test_experts_their_files_and_one_that_is_not_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "experts"
    experts = made(folder)
    facts = told(folder, capsys)
    assert (facts["kind"], facts["experts"], facts["accuracy"]) == ("experts", 2, experts.accuracy)
    shared = {
        "epochs": EPOCHS, "network": NETWORK, "parameters": LENGTH, "dataset": "easy", "classes": 3, "seed": 5,
        "protocol": dict(experts.about[0].protocol), "fingerprint": DATA.fingerprint, "zca": False,
    }  # fmt: skip
    of_one = told(folder / "trajectory-0001.safetensors", capsys)
    assert (of_one["kind"], of_one["number"]) == ("expert", 1)
    assert of_one["accuracies"] == {str(epoch): share for epoch, share in experts.about[1].accuracies}
    unfinished = folder / "trajectory-0002.safetensors.checkpoint"
    for momentum in (None, torch.zeros(LENGTH)):
        Unfinished(experts.about[1], torch.zeros(EPOCHS, LENGTH), momentum).save(unfinished)
        of_part = told(unfinished, capsys)
        assert (of_part["kind"], of_part["epochs_done"]) == ("unfinished expert", EPOCHS - 1)
    for one in (facts, of_one, of_part):
        assert {name: one[name] for name in shared} == shared


def test_what_a_run_leaves_beside_its_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "set.safetensors"
    options = {"method": "dm", "iterations": 40, "fit_steps": 9}
    checkpoint = tmp_path / "set.safetensors.checkpoint"
    for phase, steps in (("fit", 9), ("match", 40)):
        Checkpoint(phase, 7, options, "sha256:00", {"parameter/pixels": torch.zeros(2)}, [{}]).save(checkpoint)
        facts = told(checkpoint, capsys)
        assert (facts["kind"], facts["phase"], facts["step"]) == ("checkpoint of a run", phase, 7)
        assert (facts["of_steps"], facts["resumed"], facts["set"]) == (steps, 1, str(out))
        assert (facts["options"], facts["fingerprint"]) == (options, "sha256:00")
        assert "--resume" in facts["go_on"]
    log = tmp_path / "set.safetensors.log.jsonl"
    journal = Journal(log)
    journal.write("start", data={"name": "imagefolder:/home/me/photos"}, options=options, device="cpu")
    journal.write("step", phase="match", step=3, total=40, loss=0.25)
    for share in (0.5, 0.75, 0.625):
        journal.write("judged", phase="match", step=3, accuracy=share)
    facts = told(log, capsys)
    assert (facts["kind"], facts["records"], facts["loss"], facts["best_accuracy"]) == ("log of a run", 5, 0.25, 0.75)
    assert (facts["dataset"], facts["device"], facts["options"]) == ("imagefolder:photos", "cpu", options)
    assert facts["status"] == "The run is gone. It was matching: step 3 of 40."
    assert facts["set"] == str(out)
    journal.write("end", total_seconds=12.0)
    assert told(log, capsys)["status"] == "The run has ended, after 12 s."


def test_parts_of_a_fitted_dataset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parts = tmp_path / "set.safetensors.parts"
    parts.mkdir()
    for number in range(3):
        write_container(
            parts / f"part-{number:06d}.safetensors", FITTED_PART, {"record": {"of": "easy"}, "seed": 3, "data": "sha"},
            {"gaussians": torch.zeros(4, 6, 7, dtype=torch.bfloat16), "psnr": torch.zeros(4)},
        )  # fmt: skip
    facts = told(parts, capsys)
    assert (facts["kind"], facts["parts"]) == ("parts of a fitted dataset", 3)
    of_one = told(parts / "part-000001.safetensors", capsys)
    for one in (facts, of_one):
        assert (one["images_of_a_part"], one["gaussians_per_image"], one["options"]) == (4, 6, {"of": "easy"})
    write_container(parts / "part-000000.safetensors", FITTED_PART, {}, {"psnr": torch.zeros(4)})
    assert run(["info", str(parts)]) == 2


def test_a_file_of_another_kind_of_ours_is_pointed_to_info(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, model = tmp_path / "set.safetensors", tmp_path / "model.safetensors"
    easy_set(DATA).save(source)
    save_model(networks.build(NETWORK, 1, 3, (8, 8), seed=0), model, network=NETWORK, distilled_set=easy_set(DATA))
    assert run(["export", str(model), "--onnx"]) == 2
    expected = "not a distilled set (no metadata 'gsdd', but 'gsdd_model', which `gsdd-rt info` tells of): make a set"
    assert expected in capsys.readouterr().err
    line = ["relabel", str(source), "--teacher", str(source), "--out", str(tmp_path / "out.safetensors")]
    assert run(line) == 2
    assert "(no metadata 'gsdd_model', but 'gsdd', which `gsdd-rt info` tells of)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("page.html", "page.html is a page by its name, of which nothing is told: give a set, a trained network,"),
        ("decoder.onnx", "is an ONNX model by its name"),
        ("table.csv", "is a table by its name"),
        ("run.log.jsonl", "is not the log of a run"),
        ("broken.log.jsonl", "is not the log of a run of gsdd-rt distill: a record lacks its fields"),
        ("set.safetensors.checkpoint", "is not a .safetensors file"),
        ("folder", "folder is a folder that holds no experts: give a set"),
        ("missing.onnx", "cannot read"),
        ("missing.log.jsonl", "cannot read"),
    ],
)
def test_of_anything_else_it_says_what_to_give(
    name: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if name == "folder":
        (tmp_path / name).mkdir()
    elif name.startswith("broken"):
        (tmp_path / name).write_text('{"record": "step"}\n')
    elif not name.startswith("missing"):
        (tmp_path / name).write_text("nothing of ours\n")
    assert run(["info", str(tmp_path / name)]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert str(tmp_path / name) in error
    assert len(error.splitlines()) == 1


def test_the_text_has_no_brackets_of_python_and_few_digits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "set.safetensors"
    options = {"steps": {"color": 0.07081181121192352}, "shape": [3, 2], "share": 0.7225999999999999, "most": None}
    easy_set(DATA, options=options).save(path)
    assert run(["info", str(path)]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("options "))
    assert line.split("  ")[-1].strip() == "shape=(3, 2), share=0.7226, steps=(color=0.0708118)"
    assert told(path, capsys)["options"] == options
