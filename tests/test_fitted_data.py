"""Fitting all images of a dataset: part by part to their end, and on after a kill."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from easy_data import easy_data, folder_of

from gsdd_runtime.commands.cli import run
from gsdd_runtime.distillation import Interrupted
from gsdd_runtime.distillation.fit import fit_images
from gsdd_runtime.distillation.fitted_data import fit_data
from gsdd_runtime.errors import InputError
from gsdd_runtime.formats import parts_path
from gsdd_runtime.progress import Progress
from gsdd_runtime.seeds import derived_seed
from gsdd_runtime.sets.distilled_set import DistilledSet

DATA = easy_data()
# 30 images: the last part is smaller.
FAST: dict[str, Any] = {"count": 3, "steps": 4, "part": 8, "device": "cpu"}


def test_every_image_is_fitted_in_its_place(tmp_path: Path) -> None:
    out = tmp_path / "set.safetensors"
    reports: list[Progress] = []
    found = fit_data(DATA, out, seed=5, progress=reports.append, **FAST)
    made = found.distilled_set
    assert made.gaussians is not None
    assert torch.equal(made.labels, DATA.train_labels)
    reached = []
    for number, first in enumerate(range(0, 30, 8)):
        images = DATA.train_images[first : first + 8]
        expected = fit_images(images, 3, steps=4, seed=derived_seed(5, "fit", "part", number), device="cpu")
        assert torch.equal(made.gaussians[first : first + 8], expected.gaussians.bfloat16())
        reached.append(expected.psnr)
    assert found.psnr == pytest.approx(float(torch.cat(reached).mean()))
    assert found.least_psnr == pytest.approx(float(torch.cat(reached).min()))
    assert (found.fitted, made.method, made.gpc, made.seed) == (30, "fit", 10, 5)
    assert (made.class_names, made.mean, made.fingerprint) == (DATA.class_names, DATA.mean, DATA.fingerprint)
    assert [(one.step, one.total) for one in reports] == [(step, 16) for step in range(1, 17)]
    assert [path.name for path in tmp_path.iterdir()] == ["set.safetensors"]


def test_a_run_that_was_stopped_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    whole, out = tmp_path / "whole.safetensors", tmp_path / "set.safetensors"
    fit_data(DATA, whole, **FAST)

    def stop(report: Progress) -> None:
        if report.step == 10:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted, match=r"stopped with 2 of 4 parts .* --resume"):
        fit_data(DATA, out, progress=stop, **FAST)
    # What a kill leaves of a part that was being written.
    torn = parts_path(out) / ".part-000002.safetensors.abc.partial"
    torn.write_bytes(b"half")
    with pytest.raises(InputError, match="holds an unfinished run: add --resume"):
        fit_data(DATA, out, overwrite=True, **FAST)
    with pytest.raises(InputError, match="is of a run with fit_steps 4, not 5"):
        fit_data(DATA, out, resume=True, **{**FAST, "steps": 5})
    with pytest.raises(InputError, match="is of a run with the images"):
        fit_data(easy_data(test=None), out, resume=True, **FAST)
    assert fit_data(DATA, out, resume=True, **FAST).fitted == 14
    assert out.read_bytes() == whole.read_bytes()
    assert not parts_path(out).exists()


def test_a_set_that_is_finished_is_opened_and_not_fitted_again(tmp_path: Path) -> None:
    out = tmp_path / "set.safetensors"
    first = fit_data(DATA, out, **FAST)
    again = fit_data(DATA, out, resume=True, **FAST)
    assert (again.fitted, again.psnr, again.least_psnr) == (0, first.psnr, first.least_psnr)
    with pytest.raises(InputError, match="exists: add --overwrite"):
        fit_data(DATA, out, **FAST)
    with pytest.raises(InputError, match="is of a run with gaussians_per_image 3, not 4"):
        fit_data(DATA, out, resume=True, **{**FAST, "count": 4})
    assert fit_data(DATA, out, overwrite=True, **{**FAST, "seed": 1}).fitted == 30


def test_the_command_takes_all_images_where_none_are_kept_to_test_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder_of(DATA, tmp_path / "split")
    out = tmp_path / "set.safetensors"
    options = ["--gaussians", "3", "--steps", "2", "--part", "20", "--device", "cpu", "--out", str(out)]
    for folder, images in (("split", 30), ("split/train", 30)):
        assert run(["fit", f"imagefolder:{tmp_path / folder}", *options, "--overwrite"]) == 0
        made = DistilledSet.load(out)
        assert len(made) == images
        text = capsys.readouterr().out
        assert text.startswith(f"{out}: {images} images of 8x8 as 3 Gaussians each, {made.options['psnr']:.2f} dB")
        assert "1.3 kB after 1.9 kB of pixels" in text
        assert "30 images fitted in" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("imagefolder:photos --ipc 1", "--ipc is for a set"),
        ("cifar10 --gpc 1", "--gpc is for a set"),
        ("imagefolder:photos", "say by --gaussians how many"),
        ("a.safetensors --gaussians 3 --part 2", "--part is for a dataset"),
        ("a.safetensors --gaussians 3 --resume", "--resume is for a dataset"),
        ("a.safetensors --gaussians 3 --size 8", "--size is for a dataset"),
    ],
)
def test_what_is_of_sets_or_of_datasets_alone_is_refused_for_the_other(
    words: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["fit", *words.split(), "--out", str(tmp_path / "set.safetensors")]) == 2
    assert message in capsys.readouterr().err
