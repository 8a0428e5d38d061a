"""ZCA whitening fitted on real images: the formula, its use in a run, and the same accuracy everywhere."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from easy_data import easy_data, easy_images, folder_of
from torch import Tensor

import gsdd_runtime as gsdd
from gsdd_runtime.commands.cli import run
from gsdd_runtime.datasets import RealData, whitening
from gsdd_runtime.datasets.whitening import fit_zca
from gsdd_runtime.errors import InputError
from gsdd_runtime.evaluation.accuracy import with_statistics
from gsdd_runtime.evaluation.baselines import random_real_set
from gsdd_runtime.sets.whitening import without_matrix

# Of kornia.enhance.ZCAWhitening(eps=0.1) of kornia 0.9.0, fitted in float64: the sixth image of ``formula_images``.
KORNIA = (
    0.404091, 0.404091, 0.404091, 0.404091, 0.390083, 0.376075, 0.491774, 0.491774, 0.491774, 0.491774, 0.477766,
    0.935422, -0.495064, -0.495064, -0.495064, -0.495064, -0.509071, -0.523079,
)  # fmt: skip
FAST: dict[str, Any] = {"network": "convnet1-w4", "epochs": 5, "repeats": 1, "device": "cpu"}


def formula_images() -> Tensor:
    """uint8 ``[12, 3, 2, 3]``."""
    i, c, y, x = torch.meshgrid(*map(torch.arange, (12, 3, 2, 3)), indexing="ij")
    return ((37 * i + 11 * c + 5 * y + 3 * x + i * y * x + i * i * c) % 256).to(torch.uint8)


def whitened(images: Tensor, zca: Tensor) -> Tensor:
    flat = images.double().flatten(1) / 255
    return flat @ zca[:-1].double() + zca[-1].double()


def test_the_formula_is_that_of_kornia() -> None:
    images = formula_images()
    result = whitened(images, fit_zca(images, "data"))
    # Printed with six digits; worst seen: 5e-7.
    np.testing.assert_allclose(result[5].numpy(), KORNIA, atol=2e-6)


def test_whitened_images_have_no_mean_and_the_covariance_of_the_formula() -> None:
    images = torch.randint(0, 256, (700, 2, 3, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))
    images[:, 1] = images[:, 0] // 2
    result = whitened(images, fit_zca(images, "data")).numpy()
    np.testing.assert_allclose(result.mean(0), 0, atol=1e-6)
    plain = images.double().flatten(1).numpy() / 255
    values, vectors = np.linalg.eigh(np.cov(plain, rowvar=False))
    expected = (vectors * (values / (values + 0.1))) @ vectors.T
    # Worst seen: 3e-8.
    np.testing.assert_allclose(np.cov(result, rowvar=False), expected, atol=1e-6)


def test_the_order_of_the_images_and_how_many_at_once_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.randint(0, 256, (600, 1, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(4))
    expected = fit_zca(images, "data")
    assert torch.equal(fit_zca(images.flip(0), "data"), expected)
    monkeypatch.setattr(whitening, "_EXACT", 7)
    assert torch.equal(fit_zca(images, "data"), expected)


def test_images_that_are_all_alike_are_whitened_to_nothing() -> None:
    for value in (0, 200):
        images = torch.full((5, 1, 3, 3), value, dtype=torch.uint8)
        result = whitened(images, fit_zca(images, "data"))
        assert result.isfinite().all()
        assert result.abs().max() < 1e-6


def test_what_cannot_be_whitened_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for images, words in (
        (torch.zeros(1, 1, 2, 2, dtype=torch.uint8), "two are needed"),
        (torch.zeros(2, 3, 65, 64, dtype=torch.uint8), "at most 12288 are supported"),
    ):
        with pytest.raises(InputError, match=words):
            fit_zca(images, "data")
    monkeypatch.setattr("gsdd_runtime.memory.UNASKED_BYTES", 0)
    monkeypatch.setattr("gsdd_runtime.memory.available_memory", lambda: 1000)
    with pytest.raises(InputError, match=r"whitening data would take .* leave --zca out"):
        fit_zca(torch.zeros(2, 1, 8, 8, dtype=torch.uint8), "data")


def test_real_data_and_sets_made_of_it_are_whitened_alike() -> None:
    data = easy_data().whitened()
    assert data.zca is not None
    prepared = data.normalized(data.test_images)
    torch.testing.assert_close(prepared.flatten(1).double(), whitened(data.test_images, data.zca), atol=1e-5, rtol=0)
    real = random_real_set(data, per_class=2)
    assert torch.equal(real.zca, data.zca)
    plain = gsdd.DistilledSet(None, real.labels, 8, 8, pixels=real.pixels, class_names=real.class_names)
    assert torch.equal(with_statistics(plain, data).zca, data.zca)


# Three equal numbers

IN_ANOTHER_PROCESS = """
import sys
from gsdd_runtime.commands.cli import run
import torch
torch.set_num_threads(1)
sys.exit(run(sys.argv[1:]))
"""


def distilled(folder: Path) -> tuple[RealData, gsdd.DistilledSet, Path]:
    """Data in a folder, and a set distilled from it by the command, as the run returned it and as its file."""
    data = gsdd.load_dataset(folder_of(easy_data(), folder / "data"), zca=True)
    out = folder / "set.safetensors"
    options: dict[str, Any] = {"representation": "pixels", "gpc": 2, "iterations": 2, "network": "convnet1-w4"}
    return data, gsdd.distill(data, out=out, device="cpu", **options), out


def test_run_file_and_pictures_have_the_same_accuracy(tmp_path: Path) -> None:
    data, of_run, path = distilled(tmp_path)
    expected = gsdd.evaluate(of_run, data, **FAST).to_dict()["last_epoch"]["mean"]
    # The file alone says how images are whitened: the data of the other process is read plainly.
    words = ["eval", str(path), "--dataset", f"imagefolder:{tmp_path / 'data'}", "--json", "--device", "cpu"]
    words += ["--network", "convnet1-w4", "--epochs", "5", "--repeats", "1"]
    command = [sys.executable, "-c", IN_ANOTHER_PROCESS, *words]
    (document,) = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)["results"]
    assert document["set"]["zca"] is True
    assert document["last_epoch"]["mean"] == expected
    pictures = tmp_path / "pictures.npy"
    assert run(["decode", str(path), "--out", str(pictures)]) == 0
    pixels = torch.from_numpy(np.load(pictures)).bfloat16()
    names = of_run.class_names
    again = gsdd.DistilledSet(None, of_run.labels, 8, 8, pixels=pixels, class_names=names, zca=data.zca)
    assert gsdd.evaluate(again, data, **FAST).to_dict()["last_epoch"]["mean"] == expected
    # It makes a difference: the same pictures, normalised.
    plain = gsdd.DistilledSet(None, of_run.labels, 8, 8, pixels=pixels, class_names=names, mean=data.mean, std=data.std)
    losses = [gsdd.evaluate(one, data, **FAST).repeats[0].loss for one in (again, plain)]
    assert losses[0] != losses[1]


def test_the_matrix_is_counted_in_the_bytes_of_the_set(tmp_path: Path) -> None:
    _, of_run, path = distilled(tmp_path)
    assert of_run.nbytes == 6 * 64 * 2 + 6 * 8 + 65 * 64 * 4
    assert path.stat().st_size >= of_run.nbytes


def test_a_set_with_a_preparation_of_its_own_takes_no_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, _, path = distilled(tmp_path)
    dataset = ["--dataset", f"imagefolder:{tmp_path / 'data'}"]
    for words in (["eval", str(path), "--zca"], ["train", str(path), "--out", "x", "--zca"]):
        capsys.readouterr()
        assert run([*words, *dataset]) == 2
        assert "says itself how a network takes images: leave --zca out" in capsys.readouterr().err
    assert run(["train", str(path), "--out", "x", "--zca"]) == 2
    assert "--zca needs --dataset" in capsys.readouterr().err


# A matrix that is left out


def test_a_matrix_that_is_left_out_is_fitted_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, whole, path = distilled(tmp_path)
    dataset = ["--dataset", f"imagefolder:{tmp_path / 'data'}"]
    left, again = tmp_path / "left.safetensors", tmp_path / "again.safetensors"
    assert run(["whiten", str(path), "--out", str(left)]) == 0
    small = gsdd.DistilledSet.load(left)
    assert small.nbytes == whole.nbytes - 65 * 64 * 4
    # The note of it takes a few hundred bytes.
    assert left.stat().st_size < path.stat().st_size - 65 * 64 * 4 + 500
    assert torch.equal(small.decode(), whole.decode())
    # Without its matrix nothing can be prepared by mistake: not by mean and std either.
    assert small.mean is None
    for use in (
        lambda: small.decode(normalize=True),
        lambda: small.prepare(small.decode()),
        lambda: gsdd.DistilledLoader(left, 2),
    ):
        with pytest.raises(InputError, match="whitens by a matrix that was left out: fit it again"):
            use()
    capsys.readouterr()
    assert run(["train", str(left), "--out", str(tmp_path / "model")]) == 2
    assert "whitens by a matrix that was left out" in capsys.readouterr().err
    plain = gsdd.load_dataset(dataset[1])
    assert gsdd.evaluate(small, plain, **FAST).repeats == gsdd.evaluate(whole, data, **FAST).repeats
    assert run(["whiten", str(left), "--out", str(again), *dataset]) == 0
    restored = gsdd.DistilledSet.load(again)
    assert torch.equal(restored.zca, whole.zca)
    assert again.read_bytes() == path.read_bytes()


def test_other_data_is_not_taken_for_that_of_the_matrix(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, whole, path = distilled(tmp_path)
    left = without_matrix(whole)
    changed = data.train_images.clone()
    changed[0] = 255 - changed[0]
    other = RealData.of("other", (changed, data.train_labels), None, data.class_names)
    larger = RealData.of("larger", (changed.repeat(1, 1, 2, 2), data.train_labels), None, data.class_names)
    for one in (other, larger):
        with pytest.raises(InputError, match="is not the one that the set was made with"):
            with_statistics(left, one)
    for note in (None, 3, {}, {"trace": "x"}, {"trace": True}):
        damaged = left.changed(training={"whitening": note})
        with pytest.raises(InputError, match="is not the one that the set was made with"):
            with_statistics(damaged, data)
    with pytest.raises(InputError, match="nothing to leave out"):
        without_matrix(left)
    dataset = ["--dataset", f"imagefolder:{tmp_path / 'data'}"]
    for words, message in (
        (["whiten", str(path), "--out", "x", *dataset], "lacks no whitening matrix"),
        (["whiten", str(path), "--out", "x", "--test-part", "0.5"], "--test-part needs --dataset"),
    ):
        capsys.readouterr()
        assert run(words) == 2
        assert message in capsys.readouterr().err


def test_a_matrix_is_kept_and_taken_for_the_same_data_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GSDD_CACHE", str(tmp_path))
    monkeypatch.setattr(whitening, "KEPT_FROM", 64)
    whitening._LAST.clear()
    first = easy_data().whitened()
    whitening._LAST.clear()
    honest = whitening.fit_zca
    monkeypatch.setattr(whitening, "fit_zca", lambda *_: pytest.fail("it was fitted again"))
    assert torch.equal(easy_data().whitened().zca, first.zca)
    monkeypatch.setattr(whitening, "fit_zca", honest)
    other = easy_data(train=easy_images(30, 1, 7)).whitened()
    assert not torch.equal(other.zca, first.zca)
    assert torch.equal(easy_data().whitened(cache=False).zca, first.zca)
    monkeypatch.setenv("GSDD_CACHE_LIMIT", "0")
    assert torch.equal(easy_data(train=easy_images(30, 1, 8)).whitened().zca.isfinite().all(), torch.tensor(True))
