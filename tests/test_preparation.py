"""What a network takes of a set's images, normalised or whitened: the same numbers wherever they are made."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from distill_data import blobs, problem_of
from easy_data import easy_data, easy_set
from set_files import pixel_set, saved, some_set, some_zca, whitened_by_hand
from torch.utils.data import DataLoader

from gsdd_runtime import DistilledDataset, DistilledLoader, DistilledSet, evaluate
from gsdd_runtime.commands.cli import run
from gsdd_runtime.datasets import RealData
from gsdd_runtime.distillation.batches import ClassBatches
from gsdd_runtime.distillation.matching import Matching
from gsdd_runtime.distillation.objectives import Loss, Objective
from gsdd_runtime.distillation.representations import PixelRepresentation
from gsdd_runtime.errors import InputError
from gsdd_runtime.evaluation.trained import evaluate_model
from gsdd_runtime.networks.model_file import load_model
from gsdd_runtime.sets import container
from gsdd_runtime.sets.preparation import Preparation
from gsdd_runtime.training import trainer

ZCA = some_zca()
DATA = easy_data()
FAST: dict[str, Any] = {"network": "convnet1-w4", "epochs": 5, "repeats": 1, "device": "cpu"}
# What a set says of its preparation, by name.
KINDS: dict[str, dict[str, Any]] = {
    "mean and std": {},
    "zca": {"zca": some_zca(1, 8, 8)},
    "zca without mean": {"zca": some_zca(1, 8, 8), "mean": None, "std": None},
}


@pytest.mark.parametrize("make", [some_set, pixel_set], ids=["gaussians", "pixels"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("statistics", [{}, {"mean": None, "std": None}], ids=["mean", "no mean"])
def test_a_set_keeps_plain_images_and_whitens_them_when_asked(
    make: Callable[..., DistilledSet], channels: int, statistics: dict[str, Any]
) -> None:
    zca = some_zca(channels)
    distilled = make(channels=channels, zca=zca)
    if statistics:
        distilled = DistilledSet(
            distilled.gaussians, distilled.labels, 12, 10, pixels=distilled.pixels, zca=zca, **statistics
        )
    plain = distilled.decode()
    assert torch.equal(plain, make(channels=channels).decode())
    images = distilled.decode([4, 1], normalize=True)
    # Worst seen: 3e-7, whatever mean and std are.
    torch.testing.assert_close(images.double(), whitened_by_hand(plain[[4, 1]], zca), atol=1e-5, rtol=0)
    assert torch.equal(distilled.prepare(plain), distilled.decode(normalize=True))
    assert distilled.decode([], normalize=True).shape == (0, channels, 12, 10)


@pytest.mark.parametrize("make", [some_set, pixel_set], ids=["gaussians", "pixels"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("channels_last", [False, True])
def test_whitened_images_are_rounded_once(
    make: Callable[..., DistilledSet], dtype: torch.dtype, channels_last: bool
) -> None:
    distilled = make(channels=3, zca=some_zca(3))
    images = distilled.decode(normalize=True, dtype=dtype, channels_last=channels_last)
    assert images.is_contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)
    assert torch.equal(images, distilled.decode(normalize=True).to(dtype))


def test_real_images_of_another_shape_are_refused() -> None:
    for images, message in ((torch.rand(5, 1, 10, 12), "12x10 alone"), (torch.rand(5, 3, 12, 10), "1 channel, got 3")):
        with pytest.raises(InputError, match=message):
            some_set(zca=ZCA).prepare(images)
    with pytest.raises(InputError, match="1 channel, got 3"):
        some_set().prepare(torch.rand(5, 3, 12, 10))


def test_whitening_has_a_gradient_and_full_precision_everywhere() -> None:
    distilled = some_set(zca=ZCA)
    for kind in (distilled, some_set()):
        # What was made under inference mode must not come back where a gradient is wanted.
        with torch.inference_mode():
            kind.decode(normalize=True)
        images = torch.rand(4, 1, 12, 10, requires_grad=True)
        kind.prepare(images).square().sum().backward()
        assert images.grad is not None
    images = torch.rand(4, 1, 12, 10, requires_grad=True)
    distilled.prepare(images).square().sum().backward()
    assert images.grad is not None
    expected = 2 * whitened_by_hand(images.detach(), ZCA).flatten(1) @ ZCA[:-1].double().T
    torch.testing.assert_close(images.grad.flatten(1).double(), expected, atol=1e-4, rtol=1e-4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under_autocast = distilled.decode(normalize=True)
    assert torch.equal(under_autocast, distilled.decode(normalize=True))


def test_a_damaged_matrix_is_found_before_it_whitens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A matrix of 32 x 32 in colour makes any file larger than those that are checked as a whole."""
    path = saved(tmp_path, some_set(zca=ZCA))
    data = path.read_bytes()
    where = data.index(ZCA.numpy().tobytes()[:64])
    path.write_bytes(data[:where] + b"\x00\x00\xc0\x7f" + data[where + 4 :])
    monkeypatch.setattr(container, "IN_MEMORY_BYTES", 0)
    distilled = DistilledSet.load(path)
    assert distilled.decode().shape == (6, 1, 12, 10)
    with pytest.raises(InputError, match=r"zca\[0\] holds a NaN"):
        distilled.decode(normalize=True)
    with pytest.raises(InputError, match=r"zca\[0\] holds a NaN"):
        distilled.prepare(torch.zeros(1, 1, 12, 10))


def test_a_preparation_outlives_the_file_it_came_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path, some_set(zca=ZCA))
    monkeypatch.setattr(container, "IN_MEMORY_BYTES", 0)
    distilled = DistilledSet.load(path)
    preparation = distilled.preparation
    assert preparation.zca is distilled.preparation.zca
    # Reading mapped memory of a file that was cut short would end the process.
    assert preparation.zca.data_ptr() != distilled.zca.data_ptr()
    # And it does not travel beside the matrix itself.
    assert len(pickle.dumps(distilled)) < 1.5 * distilled.nbytes
    os.truncate(path, 100)
    assert torch.equal(preparation.zca, ZCA)
    with pytest.raises(InputError, match="cut short"):
        distilled.preparation  # noqa: B018


@pytest.mark.cuda
def test_a_device_whitens_as_the_cpu_does() -> None:
    distilled = some_set(zca=ZCA)
    expected = distilled.decode(normalize=True)
    moved = distilled.to("cuda")
    assert moved.preparation.zca is not None
    assert moved.preparation.zca.is_cuda
    torch.testing.assert_close(moved.decode(normalize=True).cpu(), expected, atol=1e-3, rtol=0)
    torch.testing.assert_close(moved.prepare(distilled.decode()).cpu(), expected, atol=1e-4, rtol=0)


# Three equal numbers: of the run, of the file in another process, of the decoded pictures

IN_ANOTHER_PROCESS = """
import json, sys
import torch
from gsdd_runtime import DistilledLoader

torch.set_num_threads(1)
for path in sys.argv[1:]:
    (images, _), = DistilledLoader(path, 9, shuffle=False, device="cpu")
    print(json.dumps(images.flatten().tolist()))
"""


def test_run_file_and_pictures_give_the_same_numbers(tmp_path: Path) -> None:
    paths = []
    for name, fields in KINDS.items():
        paths.append(tmp_path / f"{name}.safetensors")
        easy_set(DATA, **fields).save(paths[-1])
    command = [sys.executable, "-c", IN_ANOTHER_PROCESS, *map(str, paths)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    for path, fields, line in zip(paths, KINDS.values(), lines, strict=True):
        distilled = easy_set(DATA, **fields)
        of_run = distilled.decode(normalize=True)
        assert of_run.flatten().tolist() == json.loads(line)
        pictures = tmp_path / f"{path.stem}.npy"
        assert run(["decode", str(path), "--out", str(pictures)]) == 0
        of_pictures = torch.from_numpy(np.load(pictures))
        assert torch.equal(distilled.prepare(of_pictures), of_run)
        # The pictures as a set of their own, which whoever has no gsdd-rt would train on.
        again = DistilledSet(
            None, distilled.labels, 8, 8, pixels=of_pictures.bfloat16(), class_names=distilled.class_names,
            mean=distilled.mean, std=distilled.std, zca=distilled.zca,
        )  # fmt: skip
        results = [evaluate(these, DATA, **FAST).repeats for these in (distilled, DistilledSet.load(path), again)]
        assert results[0] == results[1] == results[2]


def test_a_trained_network_is_as_good_from_its_file_as_by_hand(tmp_path: Path) -> None:
    path, out = tmp_path / "set.safetensors", tmp_path / "model.safetensors"
    zca = some_zca(1, 8, 8)
    easy_set(DATA, zca=zca).save(path)
    assert run(["train", str(path), "--out", str(out), "--network", "mlp", "--epochs", "30", "--device", "cpu"]) == 0
    model = load_model(out)
    guesses = model.network(whitened_by_hand(DATA.test_images / 255, zca).float()).argmax(dim=1)
    accuracy = (guesses == DATA.test_labels).double().mean().item()
    assert evaluate_model(model, DATA, device="cpu").accuracy == accuracy
    # The matrix has taught the network something; plain images tell it nothing.
    assert accuracy > 0.8
    plain = model.network(DATA.test_images / 255).argmax(dim=1)
    assert (plain == DATA.test_labels).double().mean() < 0.7


def test_loaders_hand_over_what_a_network_takes() -> None:
    for fields in KINDS.values():
        distilled = easy_set(DATA, **fields)
        expected = distilled.decode(normalize=True)
        for loader in (
            DistilledLoader(distilled, 4, shuffle=False, device="cpu"),
            DataLoader(DistilledDataset(distilled), batch_size=4),
        ):
            images = torch.cat([images for images, _ in loader])
            # A product of another shape may round otherwise.
            torch.testing.assert_close(images, expected, atol=1e-6, rtol=0)
        plain = torch.cat([images for images, _ in DistilledLoader(distilled, 4, shuffle=False, normalize=False)])
        assert torch.equal(plain, distilled.decode())


class Seeing(Objective):
    """An objective that keeps the batches it is given."""

    batches: list[ClassBatches]

    def losses(self, step: int) -> Iterator[Loss]:
        self.batches = []
        for index in range(3):
            self.batches += [self.problem.real(step, [index], 20), self.problem.synthetic_batches(step, [index], 2)]
            yield Loss(self.batches[-1].images.square().sum())


@pytest.mark.parametrize("zca", [None, some_zca(1, 12, 16)], ids=["mean and std", "zca"])
def test_matching_takes_both_sides_as_a_network_does(zca: torch.Tensor | None, monkeypatch: pytest.MonkeyPatch) -> None:
    whitens = property(lambda data: Preparation("the data", (1, 12, 16), data.mean, data.std, zca))
    monkeypatch.setattr(RealData, "preparation", whitens)
    data = blobs()
    representation = PixelRepresentation(torch.rand(6, 1, 12, 16, generator=torch.Generator().manual_seed(4)))
    problem, options = problem_of(data, representation, network="convnet1-w8", gpc=2)
    objective = Seeing(problem, None)
    list(Matching(objective, problem.images, options).updates(0))
    with torch.no_grad():
        sides = data.train_images.float() / 255, representation.render(torch.arange(6))
    for side, plain in enumerate(sides):
        given = torch.cat([batch.images for batch in objective.batches[side::2]])
        expected = (plain.double() - data.mean[0]) / data.std[0] if zca is None else whitened_by_hand(plain, zca)
        # The real ones of a class come in an order of their own; all are drawn here, so the sum is known.
        torch.testing.assert_close(given.double().sum(0), expected.sum(0), atol=1e-3, rtol=0)


# Another size is refused first

WHITENING = some_set(zca=ZCA)


def _evaluate_large(distilled: DistilledSet) -> Any:
    large = torch.zeros(6, 1, 24, 20, dtype=torch.uint8), torch.arange(6) % 3
    data = RealData.of("large", large, large, tuple(f"class {index}" for index in range(3)))
    return evaluate(distilled, data, size=(24, 20), **FAST)


def _exported(module: str, function: str) -> Callable[[DistilledSet], Any]:
    def export(distilled: DistilledSet) -> Any:
        imported = pytest.importorskip(f"gsdd_runtime.export.{module}")
        if module in ("onnx", "train_step"):
            pytest.importorskip("onnxscript")
        return getattr(imported, function)(distilled, "decoder", size=(24, 20), normalize=True)

    return export


@pytest.mark.parametrize(
    "use",
    [
        pytest.param(lambda distilled: distilled.decode(height=24, width=20, normalize=True), id="decode"),
        pytest.param(lambda distilled: DistilledLoader(distilled, 2, size=(24, 20)), id="loader"),
        pytest.param(lambda distilled: DistilledDataset(distilled, size=(24, 20)), id="dataset"),
        pytest.param(lambda distilled: trainer.train(distilled, size=(24, 20), network="mlp"), id="train"),
        pytest.param(_evaluate_large, id="evaluate"),
        pytest.param(_exported("onnx", "export_onnx"), id="onnx"),
        pytest.param(_exported("train_step", "export_train_step"), id="train step"),
        pytest.param(_exported("torchscript", "export_torchscript"), id="torchscript"),
        pytest.param(_exported("program", "export_program"), id="program"),
    ],
)
@pytest.mark.parametrize("kept", [True, False])
def test_whitening_at_another_size_is_refused_before_anything_is_done(
    use: Callable[[DistilledSet], Any], kept: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("it began")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(DistilledSet, "rows", never)
    monkeypatch.setattr(trainer, "train_network", never)
    if not kept:
        monkeypatch.setattr(trainer, "KEPT_BYTES", 0)
    with pytest.raises(InputError, match=r"whitens images of 12x10 alone \(zca\), not of 24x20") as caught:
        use(WHITENING)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_plain_images_of_a_set_that_whitens_have_any_size() -> None:
    assert WHITENING.decode(height=24, width=20).shape == (6, 1, 24, 20)
    images, _ = next(iter(DistilledLoader(WHITENING, 2, size=(24, 20), normalize=False)))
    assert images.shape == (2, 1, 24, 20)


def test_the_command_refuses_another_size_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = saved(tmp_path, WHITENING)
    for target in ("--onnx", "--torchscript"):
        assert run(["export", str(path), target, "--normalize", "--size", "24x20"]) == 2
        message = capsys.readouterr().err
        assert "whitens images of 12x10 alone" in message
        assert message.count("\n") == 1
    assert [file.name for file in tmp_path.iterdir()] == ["set.safetensors"]


@pytest.mark.parametrize("whitens", [False, True])
def test_what_was_prepared_can_be_undone(whitens: bool) -> None:
    zca = some_zca(3, 6, 5) if whitens else None
    preparation = Preparation("it", (3, 6, 5), (0.1, 0.2, 0.3), (0.5, 0.25, 2.0), zca)
    images = torch.rand(4, 3, 6, 5, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(preparation.undo(preparation.apply(images)), images, rtol=0, atol=1e-4)
    assert preparation.equals(preparation)
    assert not preparation.equals(Preparation("other", (3, 6, 5), (0.1, 0.2, 0.4), (0.5, 0.25, 2.0)))


def test_what_prepares_nothing_undoes_nothing() -> None:
    with pytest.raises(InputError, match="no mean and std"):
        Preparation("it", (1, 2, 2), None, None).inverse()
    flat = Preparation("it", (1, 2, 2), None, None, torch.zeros(5, 4))
    with pytest.raises(InputError, match="zca cannot be inverted"):
        flat.inverse()
