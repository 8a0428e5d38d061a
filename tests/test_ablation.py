"""The ablation leaves out what its rows say, and keeps what it measured."""

from __future__ import annotations

import json
from pathlib import Path
from unittest import mock

import pytest
import torch
from easy_data import easy_data
from script_folders import first_in_path

from gsdd_runtime.distillation import distill
from gsdd_runtime.sets.distilled_set import DistilledSet
from gsdd_runtime.splatting.op import splat

with first_in_path(Path(__file__).parent.parent / "benchmarks"):
    import ablation

NETWORK = "convnet1-w4"
SHORT = {"network": NETWORK, "gpc": 2, "iterations": 2, "fit_steps": 3, "batch_real": 4}


def made(row: str) -> DistilledSet:
    return ablation.made(row, easy_data(), 0, **SHORT)


def test_the_whole_method_is_the_command_s() -> None:
    same = distill(easy_data(), seed=0, **{**ablation.OPTIONS, **SHORT})
    assert torch.equal(made("whole").rows(), same.rows())


def test_without_opacity_more_gaussians_take_the_same_bytes() -> None:
    whole, without = made("whole").rows(), made("opacity").rows()
    assert (without[..., -1] == 1).all()
    assert without.shape[1] == whole.shape[1] * whole.shape[2] // (whole.shape[2] - 1) > whole.shape[1]


def test_with_one_sample_the_set_is_of_images_that_were_drawn_so() -> None:
    sampled = made("samples")
    assert sampled.pixels is not None
    assert not torch.equal(sampled.decode(), made("whole").decode())
    with mock.patch.dict(ablation.REPRESENTATIONS["gaussians"], {"none": ablation.WithoutSamples}):
        trained = distill(easy_data(), seed=0, **{**ablation.OPTIONS, **SHORT})
    images = splat(trained.rows().float(), trained.height, trained.width, supersample=1)
    assert torch.equal(sampled.pixels, images.bfloat16())
    drawn = ablation.WithoutSamples(trained.rows().float(), trained.height, trained.width).render()
    assert torch.equal(drawn, images)


@pytest.mark.parametrize("row", [row for row in ablation.ROWS if row not in ("whole", "opacity", "samples", "fit")])
def test_each_row_makes_another_set(row: str) -> None:
    assert not torch.equal(made(row).rows(), made("whole").rows())


def test_what_is_done_is_kept_and_not_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ablation, "OPTIONS", {**ablation.OPTIONS, **SHORT})
    place = tmp_path / "easy-ablation.json"
    judging = {"networks": 2, "network": NETWORK, "epochs": 2}
    ablation.run(place, easy_data(), ["whole"], [0], **judging)
    first = json.loads(place.read_text())["sets"]
    ablation.run(place, easy_data(), ["whole", "random"], [0], **judging)
    document = json.loads(place.read_text())
    assert document["sets"][:1] == first
    assert [(entry["row"], entry["seed"], len(entry["last_epoch"])) for entry in document["sets"]] == [
        ("whole", 0, 2),
        ("random", 0, 2),
    ]
    assert capsys.readouterr().out.count("whole") == 1
    with pytest.raises(SystemExit, match="another protocol"):
        ablation.run(place, easy_data(), ["whole"], [0], **{**judging, "epochs": 3})


def test_the_table_has_the_change_to_the_whole() -> None:
    document = {
        "protocol": {"networks": 2, "network": "convnet3", "epochs": 300},
        "sets": [
            {"row": "random", "seed": 0, "last_epoch": [0.5, 0.6]},
            {"row": "whole", "seed": 0, "last_epoch": [0.75, 0.75]},
            {"row": "color", "seed": 0, "last_epoch": [0.8, 0.8]},
        ],
    }
    assert ablation.table(document).splitlines() == [
        "| | last epoch, % | change |",
        "|---|---|---|",
        "| all of it | 75.0 ± 0.0 |  |",
        "| from a solid color | 80.0 ± 0.0 | +5.0 |",
        "| from random Gaussians | 55.0 ± 5.0 | -20.0 |",
        "",
        "1 set a row, 2 networks `convnet3` each, 300 epochs.",
    ]
    document["sets"].append({"row": "whole", "seed": 1, "last_epoch": [0.75, 0.75]})
    assert ablation.table(document).splitlines()[-1].startswith("1 to 2 sets a row, ")
