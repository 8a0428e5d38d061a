"""Real data from arrays, from PyTorch's datasets and from Hugging Face's: what is taken, what is refused and how."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, IterableDataset, TensorDataset

import gsdd_runtime as gsdd
from gsdd_runtime import InputError, RealData
from gsdd_runtime.progress import Progress

RANDOM = np.random.default_rng(6)
BYTES = RANDOM.integers(0, 256, (6, 5, 7, 3), dtype=np.uint8)
LABELS = np.array([0, 1, 2, 2, 1, 0])
FIRST = torch.from_numpy(BYTES).permute(0, 3, 1, 2)
PICTURES = [(Image.fromarray(pixels), int(label)) for pixels, label in zip(BYTES, LABELS, strict=True)]


def refused(make: Callable[[], RealData], words: str) -> None:
    with pytest.raises(InputError) as caught:
        make()
    message = str(caught.value)
    assert "\n" not in message
    assert words in message, message


@pytest.mark.parametrize(
    "images",
    [
        BYTES, torch.from_numpy(BYTES), FIRST, FIRST.numpy(), FIRST.float() / 255, BYTES.astype(np.float64) / 255,
        (FIRST.double() / 255).requires_grad_(), BYTES[::-1][::-1], BYTES.astype(">f8") / 255, (FIRST / 255).half(),
    ],
    ids=lambda images: f"{images.dtype} {list(images.shape)}",
)  # fmt: skip
def test_arrays_of_every_kind_are_the_same_data(images: Any) -> None:
    data = RealData.from_arrays(images, LABELS, images[:2], torch.tensor([1, 0]), class_names=["a", "b", "c"])
    assert torch.equal(data.train_images, FIRST)
    assert data.train_labels.tolist() == LABELS.tolist()
    assert torch.equal(data.test_images, FIRST[:2])
    assert data.test_labels.tolist() == [1, 0]
    assert data.class_names == ("a", "b", "c")


def test_arrays_are_copied_and_may_change() -> None:
    images = FIRST.clone()
    data = RealData.from_arrays(images, list(LABELS))
    images.zero_()
    assert torch.equal(data.train_images, FIRST)
    assert data.class_names == ("0", "1", "2")
    assert data.test_images.shape == (0, 3, 5, 7)
    assert gsdd.distill(data, representation="pixels", iterations=1, network="mlp", device="cpu").classes == 3


def test_gray_and_ambiguous_sides() -> None:
    gray = RealData.from_arrays(BYTES[..., 0], LABELS)
    assert torch.equal(gray.train_images, FIRST[:, :1])
    odd = BYTES[:, :3]
    refused(lambda: RealData.from_arrays(odd, LABELS), "may be channels first or last: say which with channels_last")
    assert RealData.from_arrays(odd, LABELS, channels_last=True).train_images.shape == (6, 3, 3, 7)
    assert RealData.from_arrays(odd, LABELS, channels_last=False).train_images.shape == (6, 3, 7, 3)


@pytest.mark.parametrize(
    ("images", "labels", "words"),
    [
        ([[1, 2]], LABELS, "must be an array or a tensor, got list"),
        (BYTES.astype(np.int64), LABELS, "are int64: give uint8 from 0 to 255, or floats"),
        (BYTES.astype(bool), LABELS, "are bool"),
        (BYTES.astype(np.float32), LABELS, "divide them by their white"),
        (BYTES / 128.0 - 1, LABELS, "undo their normalisation"),
        (np.where(BYTES[0, 0, 0, 0] == BYTES, np.nan, 0.5), LABELS, "hold a NaN or an infinity"),
        (BYTES.astype(object), LABELS, "must be numbers, got object"),
        (BYTES.astype("datetime64[s]"), LABELS, "must be numbers"),
        (BYTES[0, 0], LABELS, "must be [M, H, W], [M, C, H, W] or [M, H, W, C], got [7, 3]"),
        (np.zeros((6, 5, 7, 9), np.uint8), LABELS, "have no side of 1 to 4 channels"),
        (BYTES[:0], LABELS[:0], "no training image"),
        (BYTES, LABELS[:5], "must be whole numbers [6], one an image, got int64 [5]"),
        (BYTES, LABELS / 2, "must be whole numbers [6]"),
        (BYTES, LABELS == 1, "must be whole numbers [6]"),
        (BYTES, ["a"] * 6, "must be whole numbers"),
        (BYTES, LABELS - 1, "label -1 is below 0"),
        (BYTES, LABELS * 2, "class 1 has no training image"),
        (BYTES, LABELS + 1, "class 0 has no training image"),
        (BYTES, np.array([0, 1, 2, 3, 4, 10**12]), "class 5 of 1000000000001 has no training image"),
    ],
)
def test_other_arrays_are_refused(images: Any, labels: Any, words: str) -> None:
    refused(lambda: RealData.from_arrays(images, labels), words)


def test_parts_and_names_that_do_not_fit_are_refused() -> None:
    make = RealData.from_arrays
    refused(lambda: make(BYTES, LABELS, BYTES), "give both test_images and test_labels, or neither")
    refused(lambda: make(BYTES, LABELS, BYTES[:, :, :5], LABELS), "must be of one shape")
    refused(lambda: make(BYTES, LABELS, BYTES, LABELS + 1), "labels are 1 to 3, out of range for 3 class names")
    refused(lambda: make(BYTES, LABELS, class_names=["a", "b"]), "label 2 is out of range for 2 class names")
    refused(lambda: make(BYTES, LABELS, class_names=["a", "b", "c", "d"]), "class 3 has no training image")
    refused(lambda: make(BYTES, LABELS, class_names="abc"), "class_names must be a list of names")


def test_more_than_memory_is_refused_before_it_is_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gsdd_runtime.memory.UNASKED_BYTES", 0)
    monkeypatch.setattr("gsdd_runtime.memory.available_memory", lambda: 100)
    refused(lambda: RealData.from_arrays(BYTES, LABELS), "a copy of 6 images of arrays: training would take")
    refused(lambda: RealData.from_torch(PICTURES), "6 images of dataset: training would take")


def test_progress_is_told() -> None:
    told: list[Progress] = []
    RealData.from_arrays(BYTES, LABELS, BYTES, LABELS, progress=told.append)
    RealData.from_torch(PICTURES, progress=told.append)
    steps = {one.phase: (one.step, one.total) for one in told}
    assert steps["copy arrays: training"] == steps["copy arrays: test"] == steps["copy dataset: training"] == (6, 6)
    assert steps["check images"] == (6, 6)


# PyTorch


class Pairs(Dataset):
    """Of whatever items; classes as torchvision's have them."""

    classes = ("cat", "dog", "owl")

    def __init__(self, items: list[Any]) -> None:
        self.items = items
        self.asked: list[int] = []

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        self.asked.append(index)
        return self.items[index]


@pytest.mark.parametrize(
    "as_image",
    [
        Image.fromarray,
        lambda pixels: pixels,
        lambda pixels: torch.from_numpy(pixels).permute(2, 0, 1),
        lambda pixels: torch.from_numpy(pixels).permute(2, 0, 1).float() / 255,
    ],
    ids=["picture", "array", "tensor", "floats"],
)
@pytest.mark.parametrize("as_label", [int, np.int64, torch.tensor])
def test_items_of_every_kind_are_the_same_data(as_image: Any, as_label: Any) -> None:
    items = [(as_image(pixels), as_label(label)) for pixels, label in zip(BYTES, LABELS, strict=True)]
    dataset = Pairs(items)
    data = RealData.from_torch(dataset, Pairs(items[:3]))
    assert torch.equal(data.train_images, FIRST)
    assert data.train_labels.tolist() == LABELS.tolist()
    assert torch.equal(data.test_images, FIRST[:3])
    assert data.class_names == ("cat", "dog", "owl")
    assert dataset.asked == list(range(6))


def test_a_tensor_dataset_and_a_list_are_datasets() -> None:
    tensors = TensorDataset(FIRST, torch.from_numpy(LABELS))
    assert torch.equal(RealData.from_torch(tensors).train_images, FIRST)
    assert torch.equal(RealData.from_torch(PICTURES).train_images, FIRST)


def test_pictures_are_scaled_and_made_gray_or_coloured() -> None:
    mixed = [(PICTURES[0][0], 0), (PICTURES[1][0].convert("L").resize((9, 9)), 1)]
    refused(lambda: RealData.from_torch(mixed), "image 1 is 3x9x9, image 0 is 3x5x7 (channels, height, width)")
    for channels in (1, 3):
        data = RealData.from_torch(mixed, size=(4, 4), channels=channels, resize="squash")
        assert data.train_images.shape == (2, channels, 4, 4)
    expected = np.asarray(PICTURES[0][0].resize((4, 4), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
    assert np.array_equal(data.train_images[0].numpy(), expected)
    tensors = RealData.from_torch(TensorDataset(FIRST, torch.from_numpy(LABELS)), size=(4, 4), resize="squash")
    assert torch.equal(tensors.train_images[0], data.train_images[0])
    gray = RealData.from_torch([(one.convert("L"), label) for one, label in PICTURES], PICTURES)
    assert (gray.channels, gray.test_images.shape[1]) == (1, 1)


class Stream(IterableDataset):
    def __iter__(self) -> Iterator[Any]:
        return iter(PICTURES)


@pytest.mark.parametrize(
    ("dataset", "words"),
    [
        (Stream(), "must have len() and [index], got Stream"),
        (iter(PICTURES), "must have len() and [index]"),
        ([PICTURES[0][0]], "item 0 must be (image, label), got Image"),
        ([{"image": 1}], "item 0 must be (image, label), got dict"),
        ([(b"\xff\xd8", 0)], "image 0 must be a picture, an array or a tensor, got bytes"),
        ([(torch.randn(3, 4, 4) - 5, 0)], "undo their normalisation"),
        ([(np.zeros((4, 4, 9), np.uint8), 0)], "must be [height, width, channels] of 1 to 4 channels, got [4, 4, 9]"),
        ([(torch.zeros(4), 0)], "must be [channels, height, width]"),
        ([(Image.new("F", (3, 3)), 0)], "floating-point image"),
        ([(PICTURES[0][0], "cat")], "label 0 must be a whole number, got str"),
        ([(PICTURES[0][0], 0.5)], "label 0 must be a whole number, got float"),
        ([(PICTURES[0][0], True)], "label 0 must be a whole number, got bool"),
        ([(PICTURES[0][0], 10**20)], "which numbers no class"),
        ([(PICTURES[0][0], -1)], "label -1 is below 0"),
        ([], "no training image"),
    ],
)
def test_other_datasets_are_refused(dataset: Any, words: str) -> None:
    refused(lambda: RealData.from_torch(dataset), words)


def test_other_options_are_refused() -> None:
    refused(lambda: RealData.from_torch(PICTURES, channels=2), "channels must be 1 or 3, got 2")
    refused(lambda: RealData.from_torch(PICTURES, resize="fit"), "resize 'fit' is not known")
    refused(lambda: RealData.from_torch(PICTURES, size=(0, 4)), "1 to 16384 pixels a side")


# Hugging Face


class Columns:
    """What of a split of Hugging Face's is used, where that library is not installed."""

    def __init__(self, rows: list[tuple[Any, int]], names: list[str] | None = None) -> None:
        self.column_names = ["img", "target", "more"]
        self.features = {"target": SimpleNamespace(names=names)}
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        image, label = self._rows[index]
        return {"img": image, "target": label, "more": None}


def test_columns_are_named_and_splits_are_found() -> None:
    names = {"image": "img", "label": "target"}
    split = Columns(PICTURES, ["x", "y", "z"])
    data = RealData.from_huggingface({"validation": Columns(PICTURES[:2]), "train": split}, **names)
    assert torch.equal(data.train_images, FIRST)
    assert torch.equal(data.test_images, FIRST[:2])
    assert data.class_names == ("x", "y", "z")
    assert len(RealData.from_huggingface(split, **names).test_labels) == 0
    assert RealData.from_huggingface(Columns(PICTURES), Columns(PICTURES), **names).class_names == ("0", "1", "2")
    for dataset, words in (
        ({"test": split}, "has no split train, it has test"),
        (Stream(), "load it without streaming=True"),
        (PICTURES, "must be a dataset of Hugging Face's datasets, got list"),
    ):
        refused(lambda dataset=dataset: RealData.from_huggingface(dataset, **names), words)
    refused(
        lambda: RealData.from_huggingface(split), "no column 'image', it has img, target, more: name it with image="
    )
    refused(lambda: RealData.from_huggingface(split, image="img"), "no column 'label'")
    unlabelled = Columns([(PICTURES[0][0], -1)])
    refused(lambda: RealData.from_huggingface(unlabelled, **names), "label -1 is below 0")


def test_datasets_of_the_library_itself() -> None:
    datasets = pytest.importorskip("datasets", reason="the extra datasets is not installed")
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b", "c"])})
    columns = {"image": [picture for picture, _ in PICTURES], "label": LABELS.tolist()}
    split = datasets.Dataset.from_dict(columns, features=features)
    data = RealData.from_huggingface(datasets.DatasetDict({"train": split, "test": split.select([3])}))
    assert torch.equal(data.train_images, FIRST)
    assert torch.equal(data.test_images, FIRST[3:4])
    assert data.class_names == ("a", "b", "c")
    refused(lambda: RealData.from_huggingface(split.to_iterable_dataset()), "streaming=True")
