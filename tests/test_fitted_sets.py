"""Pixel sets as Gaussians."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from easy_data import easy_data, easy_set

from gsdd_runtime.commands.cli import run
from gsdd_runtime.distillation.fit import fit_images
from gsdd_runtime.distillation.fitted_set import fit_set
from gsdd_runtime.errors import InputError
from gsdd_runtime.sets.compression import compress
from gsdd_runtime.sets.distilled_set import DistilledSet
from gsdd_runtime.splatting.gaussians import storage_budget

DATA = easy_data()
FAST: dict[str, Any] = {"steps": 60, "device": "cpu"}


def test_a_fitted_set_is_its_images_as_gaussians() -> None:
    original = easy_set(DATA, training={"learning_rate": 0.5}, fingerprint="sha256:00", method="mtt")
    found = fit_set(original, count=6, seed=3, **FAST)
    made = found.distilled_set
    order = original.labels.argsort(stable=True)
    expected = fit_images(original.decode(order), 6, seed=3, **FAST)
    assert made.gaussians is not None
    assert torch.equal(made.gaussians, expected.gaussians.bfloat16())
    assert torch.equal(made.labels, original.labels[order])
    assert found.psnr == pytest.approx(float(expected.psnr.mean()))
    assert found.psnr > 18
    for name in ("class_names", "mean", "std", "training", "fingerprint"):
        assert getattr(made, name) == getattr(original, name)
    assert (made.method, made.options["of"], made.gpc) == ("fit", "mtt", 3)


def test_storage_says_how_many_gaussians() -> None:
    made = fit_set(easy_set(DATA), ipc=1, gpc=2, **{**FAST, "steps": 1}).distilled_set
    assert made.gaussians is not None
    assert len(made) == 6
    assert made.gaussians.shape[1] == storage_budget(8, 8, 1, 1, 2)
    assert made.image_nbytes <= 3 * 64 * 4
    assert (made.ipc, made.gpc) == (1, 2)


def test_values_that_no_screen_shows_are_cut_and_counted() -> None:
    pixels = easy_set(DATA).pixels
    assert pixels is not None
    bright = pixels.clone()
    bright[0, 0, 0, 0] = 1.5
    found = fit_set(easy_set(DATA).changed(pixels=bright), count=2, **{**FAST, "steps": 1})
    assert found.cut == pytest.approx(1 / pixels.numel())


def test_a_coded_pixel_set_becomes_plain_gaussians() -> None:
    coded = compress(easy_set(DATA)).distilled_set
    made = fit_set(coded, count=2, **{**FAST, "steps": 1}).distilled_set
    assert made.representation == "gaussians"
    assert made.coded is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "give either ipc"),
        ({"ipc": 1, "count": 3}, "give either ipc"),
        ({"count": 3, "gpc": 4}, "gpc must be from 1 to the 3 images of class top, got 4"),
        ({"ipc": 0}, "ipc must be"),
    ],
    ids=str,
)
def test_what_says_too_little_or_too_much_is_refused(options: dict[str, int], words: str) -> None:
    with pytest.raises(InputError, match=words):
        fit_set(easy_set(DATA), **options)


def test_classes_of_unlike_size_need_a_number() -> None:
    with pytest.raises(InputError, match="classes have 2 to 3 images"):
        fit_set(easy_set(DATA, count=8), count=3)


def test_the_command_tells_what_was_lost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    easy_set(DATA).save(tmp_path / "set.safetensors")
    out = tmp_path / "fitted.safetensors"
    line = ["fit", str(tmp_path / "set.safetensors"), "--gaussians", "4", "--steps", "30", "--out", str(out)]
    assert run([*line, "--device", "cpu"]) == 0
    made = DistilledSet.load(out)
    text = capsys.readouterr().out
    assert text.startswith(f"{out}: 9 images of 4 Gaussians, ")
    assert f"{made.image_nbytes} bytes after {9 * 64 * 2}" in text
