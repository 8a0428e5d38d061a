"""The report's page as a file: what it says, what it holds, and what nothing in a set can make of it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from set_files import pixel_set, some_set, some_zca

from gsdd_runtime import DistilledSet
from gsdd_runtime.commands.cli import run
from gsdd_runtime.datasets import load_dataset
from gsdd_runtime.errors import InputError
from gsdd_runtime.evaluation.result import stored_measurement
from gsdd_runtime.reports.account import MOST_POINTS, account, curves, run_status
from gsdd_runtime.reports.page import Shown, page_document, page_html
from gsdd_runtime.sets.compression import compress


def document_in(page: str) -> dict[str, Any]:
    """The document of a page, as a browser reads it."""
    held = re.search(r'<script type="application/json" id="document">(.*?)</script>', page, re.DOTALL)
    assert held is not None
    return json.loads(held[1])


def unpacked(gallery: dict[str, Any]) -> bytes:
    return zlib.decompress(base64.b64decode(gallery["data"]))


def step(number: int, loss: float | str, phase: str = "match", **more: Any) -> dict[str, Any]:
    return {"record": "step", "phase": phase, "step": number, "total": 100, "loss": loss, **more}


def test_the_page_runs_its_own_script_and_nothing_else() -> None:
    page = page_html(page_document([Shown("a", some_set())]))
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    rules = dict(rule.split(" ", 1) for rule in policy[1].split("; "))
    script = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert len(script) == 1
    assert rules["script-src"] == f"'sha256-{base64.b64encode(hashlib.sha256(script[0].encode()).digest()).decode()}'"
    assert rules["default-src"] == rules["connect-src"] == "'none'"
    # No address of any host, but for the name of SVG.
    assert set(re.findall(r"https?://[^\s\"'`]+", page)) <= {"http://www.w3.org/2000/svg"}
    assert not re.search(r"\ssrc=|@import|url\(", page)


def test_nothing_in_a_set_ends_up_as_markup() -> None:
    evil = "</script><script>alert(1)</script>{script}&<!--"
    distilled = some_set(class_names=[evil, "b", "c"], options={evil: evil}, method="dm")
    page = page_html(page_document([Shown(evil, distilled)]))
    assert page.count("<script") == 2
    assert page.count("</script>") == 2
    assert "<!--" not in page.partition("<style>")[0]
    document = document_in(page)
    assert document["class_names"][0] == evil
    assert [evil, evil] in document["sets"][0]["options"]


def test_a_gallery_holds_the_parameters_bit_for_bit() -> None:
    distilled = some_set(channels=3)
    gallery = page_document([Shown("a", distilled)])["sets"][0]["gallery"]
    data = np.frombuffer(unpacked(gallery), np.uint8).astype(np.uint16)
    high, low = data[: len(data) // 2], data[len(data) // 2 :]
    bits = ((high << 8) | low).reshape(9, 6, 4).transpose(1, 2, 0)
    order = gallery["indices"]
    assert [int(distilled.labels[index]) for index in order] == gallery["labels"] == [0, 0, 1, 1, 2, 2]
    stored = distilled.gaussians[order].view(torch.int16).numpy().astype(np.uint16)
    assert (bits == stored).all()


def test_pixels_are_shown_at_the_native_size() -> None:
    small = torch.rand(3, 3, 6, 5).bfloat16()
    distilled = DistilledSet(None, torch.arange(3), 12, 10, pixels=small)
    gallery = page_document([Shown("a", distilled)])["sets"][0]["gallery"]
    found = np.frombuffer(unpacked(gallery), np.uint8).reshape(3, 12, 10, 3)
    expected = distilled.decode().clamp(0, 1).mul(255).round().permute(0, 2, 3, 1).numpy()
    assert (found == expected).all()


@pytest.mark.parametrize(
    "make",
    [some_set, pixel_set, lambda: some_set(zca=some_zca()), lambda: compress(some_set()).distilled_set],
    ids=["Gaussians", "pixels", "whitened", "coded"],
)
def test_bytes_by_part_are_those_of_the_file(make: Any, tmp_path: Path) -> None:
    distilled, path = make(), tmp_path / "set.safetensors"
    distilled.save(path)
    parts = account(distilled, "a", path.stat().st_size)["bytes"]
    assert sum(part["bytes"] for part in parts) == path.stat().st_size
    assert len({part["name"] for part in parts}) == len(parts)


def test_a_large_set_is_shown_in_part_and_says_so() -> None:
    labels = torch.arange(40) % 2
    distilled = DistilledSet(torch.zeros(40, 2000, 9).bfloat16(), labels, 16, 16)
    gallery = page_document([Shown("a", distilled)])["sets"][0]["gallery"]
    assert gallery["labels"] == [0] * 6 + [1] * 6
    assert gallery["indices"][:3] == [0, 2, 4]
    assert "12 images of 2 classes" in gallery["left_out"]
    more = page_document([Shown("a", distilled)], per_class=9)["sets"][0]["gallery"]
    assert more["labels"] == [0] * 9 + [1] * 9
    whole = page_document([Shown("a", distilled)], per_class=20)["sets"][0]["gallery"]
    assert whole["left_out"] == ""
    huge = DistilledSet(torch.zeros(1, 1, 9).bfloat16().expand(4, 1, 9), torch.arange(4), 16000, 16000)
    assert len(page_document([Shown("a", huge)])["sets"][0]["gallery"]["labels"]) == 4
    pixels = torch.zeros(1, 1, 1).bfloat16().expand(3, 3, 8192, 8192)
    wide = DistilledSet(None, torch.arange(3), 8192, 8192, pixels=pixels)
    with pytest.raises(InputError, match="lower --per-class"):
        page_document([Shown("a", wide)], per_class=1)


def test_an_accuracy_stands_with_its_protocol() -> None:
    measured = stored_measurement({
        "last_epoch": {"mean": 0.7931, "std": 0.002}, "best_epoch": None, "repeats": [{}] * 4, "network": "convnet3",
        "recipe": "dm", "epochs": 300, "batch_size": 256, "learning_rate": 0.01, "augment": "dsa", "size": [12, 10],
        "seed": 3, "data": {"name": "fashion-mnist-sample"}, "teacher": None,
    })  # fmt: skip
    (row,) = account(some_set(accuracy=[measured]), "a", None)["accuracy"]
    assert row["figure"] == "79.31 ± 0.20 %"
    assert row["of"] == "convnet3, 4 networks"
    for words in ("last epoch of 300", "recipe dm", "rate 0.01", "batches of 256", "augmented by dsa", "12x10",
                  "tested on fashion-mnist-sample", "seed 3"):  # fmt: skip
        assert words in row["protocol"]


def test_what_was_distilled_from_what_by_which_recipe() -> None:
    recipe = {"name": "sample-dm", "changed": {"iterations": [100, 10]}}
    distilled = some_set(options={"iterations": 10, "recipe": recipe})
    records = [{"record": "start", "data": {"name": "imagefolder:/home/someone/mnist"}}]
    lead = account(distilled, "a", 1234, records)["lead"]
    assert "1,234 bytes" in lead
    assert (
        "from imagefolder:mnist by the objective dm with the recipe sample-dm (changed: iterations) in 10 steps" in lead
    )


def test_what_was_fitted_and_not_matched_names_no_objective() -> None:
    records = [{"record": "start", "data": {"name": "cifar10"}}]
    lead = account(some_set(method="fit", options={"iterations": 0}, ipc=2), "a", 1234, records)["lead"]
    assert lead.endswith("bytes. Fitted to images of cifar10, without matching at IPC 2.")


@pytest.mark.parametrize(
    ("init", "words"),
    [
        ("color", "begun from the mean color: no image of the data was copied."),
        ("random", "begun from chance: no image of the data was copied."),
    ],
)
def test_a_set_that_began_without_real_images_says_so(init: str, words: str) -> None:
    distilled = some_set(method="dm", options={"iterations": 10, "init": init})
    assert account(distilled, "a", 1234)["lead"].endswith(words)
    of_images = distilled.changed(options={**distilled.options, "init": "real"})
    assert "begun" not in account(of_images, "a", 1234)["lead"]


def test_curves_follow_the_log() -> None:
    records = [step(1, 5.0, "fit"), step(1, 9.0), step(50, 4.0), step(50, 3.0), step(60, "nan"),
               {"record": "judged", "phase": "match", "step": 50, "accuracy": 0.5}]  # fmt: skip
    assert [(curve["title"], curve["points"]) for curve in curves(records)] == [
        ("Loss, fitting the first images", [[1, 5.0]]),
        ("Loss, matching", [[1, 9.0], [50, 3.0]]),
        ("Accuracy on the way, %", [[50, 50.0]]),
    ]
    (long,) = curves([step(number, 1.0) for number in range(5000)])
    assert len(long["points"]) <= MOST_POINTS + 1
    assert long["points"][-1][0] == 4999
    assert curves([]) == []


def test_a_run_says_where_it_stands() -> None:
    assert run_status([]) == "The run begins."
    assert run_status([step(40, 1.0, seconds_left=30.0)]) == "The run is matching: step 40 of 100, about 30 s left."
    assert run_status([step(40, 1.0), {"record": "failed", "message": "the loss is nan"}]).endswith("the loss is nan")
    assert "after 2 min" in run_status([{"record": "end", "total_seconds": 130}])


def test_the_same_sets_give_the_same_page() -> None:
    shown = [Shown("a", some_set()), Shown("b", pixel_set(channels=1))]
    assert page_html(page_document(shown)) == page_html(page_document(shown))


def test_real_images_of_other_classes_are_refused() -> None:
    with pytest.raises(InputError, match="no class of the set"):
        page_document([Shown("a", some_set())], load_dataset("fashion-mnist-sample"))


def test_report_reads_the_log_beside_the_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    some_set().save(first)
    pixel_set(channels=1).save(second)
    log = tmp_path / "a.safetensors.log.jsonl"
    log.write_text("".join(json.dumps(record) + "\n" for record in (
        {"record": "start", "data": {"name": "mnist"}}, step(1, 3.0), step(9, 2.0))))  # fmt: skip
    out = tmp_path / "report.html"
    assert run(["report", str(first), str(second), "--out", str(out)]) == 0
    assert f"{out}: 2 sets" in capsys.readouterr().out
    document = document_in(out.read_text())
    assert [one["name"] for one in document["sets"]] == ["a", "b"]
    assert document["sets"][0]["curves"][0]["points"] == [[1, 3.0], [9, 2.0]]
    assert document["sets"][1]["curves"] == []
    assert "from mnist" in document["sets"][0]["lead"]
    assert document["real"] is None
    assert run(["report", str(first), "--out", str(log), "--overwrite"]) == 2
    assert run(["report", str(first), "--out", str(out), "--classes", "a"]) == 2
    assert "--classes needs --real" in capsys.readouterr().err
