"""Sets of other repositories: every published form is read, what they were normalised by is undone, code is not run."""

from __future__ import annotations

import os
import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from easy_data import easy_data, easy_set, folder_of
from refusals import check_refused
from set_files import some_zca
from torch.nn import functional

import gsdd_runtime as gsdd
from gsdd_runtime.commands.cli import run
from gsdd_runtime.errors import InputError
from gsdd_runtime.sets.distilled_set import DistilledSet
from gsdd_runtime.sets.foreign import foreign_set, images_and_labels
from gsdd_runtime.sets.preparation import Preparation

DATA = easy_data()
PIXELS = DATA.train_images[:9].float() / 255
LABELS = DATA.train_labels[:9]


class Hostile:
    """Runs code where it is unpickled."""

    def __reduce__(self) -> Any:
        return (pytest.fail, ("code of the file was run",))


def numbers(values: Any) -> str:
    return ",".join(str(value) for value in values)


FORMS = {
    "MTT": lambda folder: (saved_as(folder / "images_best.pt", PIXELS), saved_as(folder / "labels_best.pt", LABELS)),
    "DM": lambda folder: (
        saved_as(folder / "res.pt", {"data": [[PIXELS * 0, LABELS], [PIXELS, LABELS]], "accs_all_exps": {"a": []}}),
        None,
    ),
    "NCFM": lambda folder: (saved_as(folder / "data_20000.pt", [PIXELS, LABELS]), None),
    "dict": lambda folder: (saved_as(folder / "set.pth", {"images": PIXELS, "labels": LABELS}), None),
    "arrays": lambda folder: (arrays(folder / "set.npz", images=PIXELS, labels=LABELS), None),
    "array": lambda folder: (arrays(folder / "x.npy", PIXELS), arrays(folder / "y.npy", LABELS)),
}


def saved_as(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


def arrays(path: Path, *positional: torch.Tensor, **named: torch.Tensor) -> Path:
    if positional:
        np.save(path, positional[0].numpy())
    else:
        np.savez(path, **{name: tensor.numpy() for name, tensor in named.items()})
    return path


@pytest.mark.parametrize("form", FORMS)
def test_every_published_form_is_read(form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, labels = FORMS[form](tmp_path)
    out = tmp_path / "set.safetensors"
    more = [] if labels is None else ["--labels", str(labels)]
    assert run(["import", str(path), *more, "--out", str(out)]) == 0
    assert capsys.readouterr().out.startswith(f"{out}: 9 images of 3 classes, 8x8\n")
    made = DistilledSet.load(out)
    order = LABELS.argsort(stable=True)
    assert torch.equal(made.labels, LABELS[order])
    assert made.pixels is not None
    assert torch.equal(made.pixels, PIXELS[order].bfloat16())
    assert (made.method, made.options["source"]) == ("imported", path.name)


def test_a_set_of_another_repository_trains_as_it_did_there(tmp_path: Path) -> None:
    """Normalised tensors: a network takes of the imported set what it took of them, but for bfloat16."""
    normalised = (PIXELS - DATA.mean[0]) / DATA.std[0]
    path = saved_as(tmp_path / "images.pt", [normalised, LABELS])
    out = tmp_path / "set.safetensors"
    line = ["import", str(path), "--out", str(out), "--mean", numbers(DATA.mean), "--std", numbers(DATA.std)]
    assert run([*line, "--class-names", "top,middle,bottom", "--learning-rate", "0.02"]) == 0
    made = DistilledSet.load(out)
    order = LABELS.argsort(stable=True)
    torch.testing.assert_close(made.decode(normalize=True), normalised[order], rtol=0, atol=2 / 256 / DATA.std[0])
    assert (made.mean, made.std) == (DATA.mean, DATA.std)
    assert made.training == {"learning_rate": 0.02}
    options: dict[str, Any] = {"network": "convnet1-w8", "epochs": 40, "repeats": 1, "augment": None, "device": "cpu"}
    assert gsdd.evaluate(made, DATA, **options).last_epoch_mean == 1.0


def test_class_names_may_be_in_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = saved_as(tmp_path / "set.pt", [PIXELS, LABELS])
    (tmp_path / "names.txt").write_text("top\nmiddle, or so\n\nbottom\n")
    line = ["import", str(path), "--out", str(tmp_path / "set.safetensors"), "--class-names"]
    assert run([*line, str(tmp_path / "names.txt")]) == 0
    assert DistilledSet.load(tmp_path / "set.safetensors").class_names == ("top", "middle, or so", "bottom")
    assert run([*line, "a,b", "--overwrite"]) == 2
    assert "label 2 is out of range for 2 classes" in capsys.readouterr().err


def test_pixel_units_are_taken_as_they_are(tmp_path: Path) -> None:
    """NCFM and DANCE keep images in [0, 1]: mean and std are for the networks alone."""
    path = saved_as(tmp_path / "data_20000.pt", [PIXELS, LABELS])
    line = ["import", str(path), "--out", str(tmp_path / "set.safetensors"), "--mean", "0.25", "--std", "0.5"]
    assert run([*line, "--pixel-units"]) == 0
    made = DistilledSet.load(tmp_path / "set.safetensors")
    assert made.pixels is not None
    assert torch.equal(made.pixels, PIXELS[LABELS.argsort(stable=True)].bfloat16())
    assert (made.mean, made.std) == ((0.25,), (0.5,))


def test_published_statistics_go_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)))
    colour = torch.rand(9, 3, 8, 8)
    path = saved_as(tmp_path / "images.pt", [(colour - mean) / std, LABELS])
    line = ["import", str(path), "--out", str(tmp_path / "set.safetensors")]
    assert run([*line, "--normalized-by", "cifar10"]) == 0
    made = DistilledSet.load(tmp_path / "set.safetensors")
    torch.testing.assert_close(made.decode(), colour[LABELS.argsort(stable=True)], rtol=0, atol=1 / 256)
    assert made.mean == (0.4914, 0.4822, 0.4465)
    capsys.readouterr()
    assert run([*line, "--normalized-by", "cifar11", "--overwrite"]) == 2
    assert "no published mean and std of 'cifar11', but of fashion-mnist" in capsys.readouterr().err
    assert run([*line, "--normalized-by", "cifar10", "--mean", "0,0,0", "--overwrite"]) == 2
    assert "leave --mean and --std out" in capsys.readouterr().err


def test_whitening_is_undone_by_the_matrix_of_a_set(tmp_path: Path) -> None:
    zca = some_zca(1, 8, 8)
    easy_set(DATA, zca=zca).save(tmp_path / "whitens.safetensors")
    whitened = torch.cat([PIXELS.flatten(1), torch.ones(9, 1)], dim=1) @ zca
    path = saved_as(tmp_path / "images.pt", [whitened.view(9, 1, 8, 8), LABELS])
    line = ["import", str(path), "--whitened-by", str(tmp_path / "whitens.safetensors")]
    assert run([*line, "--out", str(tmp_path / "set.safetensors")]) == 0
    made = DistilledSet.load(tmp_path / "set.safetensors")
    order = LABELS.argsort(stable=True)
    torch.testing.assert_close(made.decode(), PIXELS[order], rtol=0, atol=1 / 256)
    assert made.zca is not None
    assert torch.equal(made.zca, zca)


def test_images_that_look_normalised_are_refused_without_their_statistics(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = saved_as(tmp_path / "images.pt", [(PIXELS - 0.5) / 0.1, LABELS])
    line = ["import", str(path), "--out", str(tmp_path / "set.safetensors")]
    assert run(line) == 2
    err = capsys.readouterr().err
    assert "which are no pixel units, 0 to 1: say what they were normalised by (--mean and --std" in err
    assert run([*line, "--mean", "0", "--std", "1"]) == 0


def test_images_formed_together_are_cut_apart() -> None:
    """IDC's multi-formation: four images in one, each drawn at the size of the whole by bilinear scaling."""
    whole = torch.rand(3, 3, 8, 12, generator=torch.Generator().manual_seed(1))
    made = foreign_set(whole, torch.tensor([0, 1, 2]), formation=2)
    assert made.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert (made.height, made.width) == (8, 12)
    quarters = [whole[1, :, i : i + 4, j : j + 6] for i in (0, 4) for j in (0, 6)]
    expected = functional.interpolate(torch.stack(quarters).bfloat16().float(), (8, 12), mode="bilinear")
    torch.testing.assert_close(made.decode(slice(4, 8)), expected)
    with pytest.raises(InputError, match="cannot be cut 3 by 3"):
        foreign_set(whole, torch.tensor([0, 1, 2]), formation=3)


def test_bytes_soft_labels_and_channels_last_are_known() -> None:
    soft = torch.tensor([[0.75, 0.25], [0.125, 0.875]])
    levels = torch.randint(0, 256, (2, 8, 9, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    made = foreign_set(levels, soft)
    assert torch.equal(made.labels, soft.half())
    assert made.pixels is not None
    assert torch.equal(made.pixels, (levels.permute(0, 3, 1, 2).float() / 255).bfloat16())
    assert foreign_set(torch.zeros(2, 8, 9), torch.tensor([[0], [1]])).labels.tolist() == [0, 1]


def test_a_folder_of_pictures_is_a_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = easy_data(class_names=("a", "b", "c"))
    folder_of(data, tmp_path / "pictures")
    out = tmp_path / "set.safetensors"
    line = ["import", str(tmp_path / "pictures" / "train"), "--out", str(out), "--mean", "0.25", "--std", "0.5"]
    assert run(line) == 0
    made = DistilledSet.load(out)
    assert (made.class_names, made.mean, len(made)) == (("a", "b", "c"), (0.25,), 30)
    order = data.train_labels.argsort(stable=True)
    torch.testing.assert_close(made.decode(), data.train_images[order] / 255, rtol=0, atol=1 / 256)
    assert run([*line, "--formation", "2", "--overwrite"]) == 2
    assert "is a folder of pictures" in capsys.readouterr().err


def test_no_code_of_a_file_is_run(tmp_path: Path) -> None:
    saved_as(tmp_path / "hostile.pt", [PIXELS, Hostile()])
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Hostile()))
    np.savez(tmp_path / "hostile.npz", images=np.array([Hostile()], dtype=object))
    for name in ("hostile.pt", "plain.pt", "hostile.npz"):
        with pytest.raises(InputError, match="holds more than tensors and plain values, or is damaged"):
            images_and_labels(tmp_path / name, None)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (PIXELS, "has images alone: give the file of their labels"),
        ({"state": PIXELS}, "no tensor of images in it"),
        ([PIXELS, PIXELS, LABELS], "no tensor of images in it"),
    ],
    ids=["no labels", "other names", "three"],
)
def test_what_has_no_images_and_labels_is_refused(content: Any, words: str, tmp_path: Path) -> None:
    path = saved_as(tmp_path / "set.pt", content)
    with pytest.raises(InputError, match=words):
        images_and_labels(path, None)


def test_labels_are_given_once(tmp_path: Path) -> None:
    path, labels = saved_as(tmp_path / "set.pt", [PIXELS, LABELS]), saved_as(tmp_path / "labels.pt", LABELS)
    with pytest.raises(InputError, match="has labels with its images: leave --labels out"):
        images_and_labels(path, labels)
    with pytest.raises(InputError, match="8 labels for 9 images"):
        foreign_set(PIXELS, LABELS[:8])
    with pytest.raises(InputError, match=r"give a \.pt, \.pth, \.npz or \.npy"):
        images_and_labels(tmp_path / "set.pkl", None)
    with pytest.raises(InputError, match=r"cannot read .*missing\.pt: No such file"):
        images_and_labels(tmp_path / "missing.pt", None)


def test_labels_in_a_file_of_their_own_are_found_by_their_name(tmp_path: Path) -> None:
    path = saved_as(tmp_path / "set.pt", PIXELS)
    np.savez(tmp_path / "labels.npz", labels=LABELS.numpy(), other=np.zeros(3))
    np.savez(tmp_path / "nameless.npz", LABELS.numpy())
    np.savez(tmp_path / "other.npz", other=LABELS.numpy())
    for name in ("labels.npz", "nameless.npz"):
        assert images_and_labels(path, tmp_path / name)[1].tolist() == LABELS.tolist()
    with pytest.raises(InputError, match=r"other\.npz: the labels are no tensor"):
        images_and_labels(path, tmp_path / "other.npz")
    with pytest.raises(InputError, match=r"has images alone: give the file of their labels"):
        images_and_labels(path, None)


@pytest.mark.parametrize("suffix", ["pt", "npz"])
def test_only_an_ordinary_file_that_fits_into_memory_is_read(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of experts' buffers, by the same reader."""
    (tmp_path / f"folder.{suffix}").mkdir()
    os.mkfifo(tmp_path / f"pipe.{suffix}")
    for name in ("folder", "pipe"):
        with pytest.raises(InputError, match="is not an ordinary file: give a file of tensors"):
            images_and_labels(tmp_path / f"{name}.{suffix}", None)
    path = tmp_path / f"large.{suffix}"
    path.write_bytes(bytes(1000))
    monkeypatch.setattr("gsdd_runtime.memory.UNASKED_BYTES", 0)
    monkeypatch.setattr("gsdd_runtime.memory.available_memory", lambda: 1999)
    with pytest.raises(
        InputError, match=r"would take 2.0 kB, 2.0 kB of memory are free: import it on a larger machine"
    ):
        images_and_labels(path, None)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (torch.zeros(9), "images must be"),
        (torch.zeros(9, 1, 8, 8).long(), "images must be bytes or floats, got int64"),
        (torch.full((9, 1, 8, 8), float("nan")), "no pixel units"),
    ],
    ids=["one dimension", "whole numbers", "NaN"],
)
def test_tensors_that_are_no_images_are_refused(images: torch.Tensor, words: str) -> None:
    with pytest.raises(InputError, match=words):
        foreign_set(images, LABELS)
    given = Preparation("the images", (1, 8, 8), (0.5,), (0.5,))
    with pytest.raises(InputError, match="NaN or an infinity"):
        foreign_set(torch.full((9, 1, 8, 8), float("inf")), LABELS, given=given)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (torch.tensor([0, 1]), "2 labels for 3 images: one is needed for each"),
        (torch.zeros(3, 1, 2), r"labels must be \[images\] or \[images, classes\], got \[3, 1, 2\]"),
        (torch.tensor([0, 1, -1]), "label -1 is out of range for 2 classes"),
        (torch.full((3, 2), float("nan")), "soft labels must be finite"),
    ],
    ids=["too few", "three dimensions", "negative", "NaN"],
)
def test_labels_that_do_not_fit_the_images_are_refused(labels: torch.Tensor, words: str) -> None:
    with pytest.raises(InputError, match=words):
        foreign_set(torch.rand(3, 1, 8, 8), labels)


def nested(depth: int) -> list[Any]:
    inner: list[Any] = [PIXELS, LABELS]
    for _ in range(depth):
        inner = [inner]
    return inner


def cyclic() -> dict[str, Any]:
    experiments: list[Any] = []
    content = {"data": experiments}
    experiments.append(content)
    return content


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([PIXELS.to_sparse(), LABELS], "no plain one of real numbers"),
        ([PIXELS.to("meta"), LABELS], "no plain one of real numbers"),
        ([PIXELS, LABELS.to(torch.complex64)], "no plain one of real numbers"),
        ([torch.zeros(1).expand(10**6, 4, 16, 16), LABELS], "repeat their numbers to 4.1 GB"),
        ({"data": [[torch.zeros(1).expand(10**6, 4, 16, 16), LABELS]]}, "repeat their numbers to 4.1 GB"),
        (nested(40), "nested more than 32 deep"),
        (cyclic(), "nested more than 32 deep"),
        ([PIXELS, torch.zeros(len(PIXELS), 2, 2)], "labels must be [images] or [images, classes]"),
        ([PIXELS, torch.tensor(1)], "labels must be [images] or [images, classes]"),
        ([PIXELS, LABELS + 2**40], "classes must be 1 to 1000000"),
    ],
    ids=["sparse", "meta", "complex", "expanded", "expanded within", "nested", "cyclic", "labels of three dimensions",
         "one label", "many classes"],
)  # fmt: skip
def test_tensors_that_are_not_what_they_seem_are_refused_in_a_line(
    content: Any, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = saved_as(tmp_path / "images.pt", content)
    assert run(["import", str(path), "--out", str(tmp_path / "set.safetensors"), "--mean", "0", "--std", "1"]) == 2
    err = capsys.readouterr().err
    assert words in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "set.safetensors").exists()


@pytest.mark.parametrize("name", ["bomb.npz", "bomb.pt"])
def test_what_a_packed_file_unpacks_to_is_asked_before_it_is_unpacked(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred megabytes of zeros in a hundred kilobytes, and a machine with less."""
    path = tmp_path / name
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("images.npy", bytes(100 << 20))
    monkeypatch.setattr("gsdd_runtime.memory.available_memory", lambda: 150 << 20)
    check_refused(lambda: images_and_labels(path, None), "would take 0.2 GB", "import it on a larger machine")
