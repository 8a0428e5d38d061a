"""The tables of decoupled distillation are of what commands wrote."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from easy_data import easy_data, folder_of
from script_folders import first_in_path

from gsdd_runtime.commands.cli import run
from gsdd_runtime.evaluation.baselines import random_real_set

with first_in_path(Path(__file__).parent.parent / "benchmarks"):
    import decoupled_tables as tables

NETWORK = "convnet1-w4-batch"


def test_what_commands_wrote_is_kept_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = easy_data(class_names=("a", "b", "c"))
    dataset = folder_of(data, tmp_path / "easy")
    monkeypatch.chdir(tmp_path)
    random_real_set(data, per_class=10).save("real.safetensors")
    for seed in (0, 1):
        random_real_set(data, per_class=2, seed=seed).save(f"random{seed}.safetensors")
    assert run(["train", "real.safetensors", "--network", NETWORK, "--recipe", "rded", "--epochs", "2", "--out",
                "teacher.safetensors"]) == 0  # fmt: skip
    assert run(["fit", "random0.safetensors", "--gaussians", "3", "--steps", "2", "--out", "small.safetensors"]) == 0
    (tmp_path / "teacher.log").write_text("gsdd-rt: said\n3.21user 0.40system 0:04.00elapsed\n")
    capsys.readouterr()

    def document(place: str, *options: str) -> None:
        assert run(["eval", *options, "--dataset", dataset, "--json"]) == 0
        (tmp_path / place).write_text(capsys.readouterr().out)

    judged = ("--recipe", "rded", "--epochs", "1", "--repeats", "2", "--network", NETWORK)
    document("teacher.json", "teacher.safetensors")
    document("rows1.json", "random0.safetensors", "random1.safetensors", "small.safetensors", *judged)
    document("rows2.json", "small.safetensors", *judged, "--teacher", "teacher.safetensors")
    document("longer1.json", "small.safetensors", *judged, "--epochs", "2", "--batch-size", "3")
    assert run(["relabel", "small.safetensors", "--teacher", "teacher.safetensors", "--views", "4", "--recipe", "rded",
                "--top", "1", "--out", "views.safetensors"]) == 0  # fmt: skip
    kept = json.loads(tables.keep("easy", tmp_path, tmp_path).read_text())
    assert kept["teacher"]["processor_seconds"] == 4
    assert kept["stored_labels"] == [{"epochs": 4, "images": 6, "top": 1, "classes": 3, "bytes": 4 * 6 * 5}]
    rows = {(entry["set"], entry["labels"]): entry for entry in kept["results"]}
    said = json.loads((tmp_path / "rows2.json").read_text())["results"][0]
    taught = rows["small", "teacher"]
    assert taught["last_epoch"] == said["last_epoch"]
    assert taught["networks"] == [one["last_epoch"] for one in said["repeats"]]

    page = tables.TABLES.written("<!-- decoupled: easy -->\nwhat stood here\n<!-- end of decoupled -->\n", tmp_path)
    assert "what stood here" not in page
    assert "2 epochs of 10 images a class, 4 processor seconds" in page
    assert "| 2 random real images a class, second draw | 0.4 kB |" in page
    (row,) = re.findall(r"\| `small`, 2 images a class of 3 Gaussians \| ([\d.]+) kB \| (.*) \| (.*) \|\n", page)
    shown = [tables._accuracy(rows["small", labels]) for labels in ("hard", "teacher")]
    assert row == (f"{taught['bytes'] / 1e3:.1f}", *shown)
    assert "| - |" in page
    assert re.search(r"After 2 epochs \(12 images shown\) `small`, .* by hard labels", page)
    assert "stored: 4 views of each of 6 images take 0.1 kB with 1 told apart of 3 classes." in page


def test_sets_are_of_one_table_where_as_many_images_were_shown_or_as_often() -> None:
    def entry(images: int, epochs: int, batch: int = 10) -> dict[str, int]:
        return {"images": images, "epochs": epochs, "batch_size": batch}

    assert tables._length([entry(40, 9), entry(150, 9, 50)]) == "9 epochs"
    shown = "600 images shown in batches of 10 (15 epochs of 40, 4 epochs of 150)"
    assert tables._length([entry(150, 4), entry(40, 15), entry(40, 15)]) == shown
    for other in (entry(150, 5), entry(150, 4, 50)):
        with pytest.raises(SystemExit, match="more than one protocol"):
            tables._length([entry(40, 15), other])
