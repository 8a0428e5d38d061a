"""The sample of Fashion-MNIST in the package, the command that makes it, and what RealData says of any data."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch

from gsdd_runtime.datasets import RealData, load_dataset, statistics
from gsdd_runtime.datasets.fashion_mnist import FILES, SAMPLE_FOLDER
from gsdd_runtime.datasets.idx import read_idx
from gsdd_runtime.datasets.make_sample import first_of_each_class, make_sample
from gsdd_runtime.datasets.statistics import channel_statistics, fingerprint
from gsdd_runtime.errors import InputError
from gsdd_runtime.splatting.native import installed_file

FULL = Path("/usr/share/datasets/fashion-mnist")
FINGERPRINT = "sha256-sorted:f8171b26a5f459ccad94b3ac6aa53cc976eb2e35c23f0ab9aa26f040cafec6ab"
# Of the kind that depends on the order, which earlier sets hold.
ORDERED = "sha256:9cdcd324116e57e3322133d9bedf077b40c6efc41ba7d062a1656cf5d32e284d"


def sample_folder() -> Path:
    file = installed_file(*SAMPLE_FOLDER, "README.md")
    assert file is not None
    return file.parent


@pytest.fixture(scope="module")
def sample() -> RealData:
    return load_dataset("fashion-mnist-sample")


def test_the_sample_is_stratified(sample: RealData) -> None:
    assert sample.train_images.shape == (6000, 1, 28, 28)
    assert sample.test_images.shape == (1000, 1, 28, 28)
    assert sample.train_labels.bincount().tolist() == [600] * 10
    assert sample.test_labels.bincount().tolist() == [100] * 10
    assert (sample.channels, sample.height, sample.width, sample.classes) == (1, 28, 28, 10)
    assert sample.class_names[9] == "Ankle boot"
    assert sample.train_images.dtype == torch.uint8
    assert sample.train_labels.dtype == torch.int64


def test_the_sample_is_the_one_recorded(sample: RealData) -> None:
    assert sample.fingerprint == FINGERPRINT
    for known, other in ((FINGERPRINT, "sha256-sorted:00"), (ORDERED, "sha256:00")):
        assert sample.has_fingerprint(known)
        assert not sample.has_fingerprint(other)


def test_the_sample_is_small_and_comes_with_its_licence() -> None:
    files = list(sample_folder().iterdir())
    assert sum(file.stat().st_size for file in files) <= 4_000_000
    licence = (sample_folder() / "LICENSE").read_text()
    assert "MIT" in licence
    assert "Zalando" in licence
    readme = (sample_folder() / "README.md").read_text()
    assert "gsdd_runtime.datasets.make_sample" in readme


def test_normalised_images_have_mean_0_and_deviation_1(sample: RealData) -> None:
    images = sample.normalized(sample.train_images)
    assert images.dtype == torch.float32
    # Worst seen: 2.2e-8 for the mean, 5.2e-8 for the deviation.
    assert abs(float(images.double().mean())) < 1e-5
    assert abs(float(images.double().std(correction=0)) - 1) < 1e-5


def test_statistics_are_those_of_numpy() -> None:
    images = torch.randint(0, 256, (7, 3, 5, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    mean, std = channel_statistics(images)
    expected = images.numpy().astype(np.float64) / 255
    # Worst seen: 1e-16.
    np.testing.assert_allclose(mean, expected.mean(axis=(0, 2, 3)), atol=1e-12)
    np.testing.assert_allclose(std, expected.std(axis=(0, 2, 3)), atol=1e-12)


@pytest.mark.parametrize("part", [1, 7, 20, 41, 10_000])
def test_statistics_do_not_depend_on_how_many_pixels_are_counted_at_once(
    part: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = torch.randint(0, 256, (7, 3, 5, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    expected = channel_statistics(images)
    monkeypatch.setattr(statistics, "_COUNT_PART", part)
    assert channel_statistics(images) == expected


@pytest.mark.parametrize("shape", [(60, 3, 200, 200), (1, 1, 2000, 3000)], ids=str)
def test_statistics_take_little_memory_beside_the_images(shape: tuple[int, ...]) -> None:
    images = torch.zeros(shape, dtype=torch.uint8)
    tracemalloc.start()
    try:
        channel_statistics(images)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # Eight bytes for each of a million pixels; all at once they would be 58 and 48 MB here.
    assert peak < 12_000_000


def test_a_constant_channel_can_be_divided_by() -> None:
    assert channel_statistics(torch.full((2, 1, 3, 3), 51, dtype=torch.uint8)) == ((0.2,), (1.0,))


def test_the_fingerprint_is_what_the_documentation_says_and_knows_no_order() -> None:
    images = torch.arange(36, dtype=torch.uint8).view(3, 1, 3, 4)
    labels = torch.tensor([1, 0, 1])
    test = images[:1], labels[:1]
    digest = hashlib.sha256(b'{"class_names": ["a", "b"], "shapes": [[3, 1, 3, 4], [1, 1, 3, 4]]}')
    for pixels, theirs in ((images, labels), test):
        pairs = zip(pixels, theirs.tolist(), strict=True)
        each = [
            hashlib.sha256(label.to_bytes(8, "little") + image.numpy().tobytes()).digest() for image, label in pairs
        ]
        digest.update(b"".join(sorted(each)))
    expected = f"sha256-sorted:{digest.hexdigest()}"
    order = torch.tensor([2, 0, 1])
    for train in ((images, labels), (images[order], labels[order])):
        assert fingerprint(train, test, ("a", "b")) == expected
    # Which image has which label is a part of it.
    assert fingerprint((images[order], labels), test, ("a", "b")) != expected


def test_the_fingerprint_tells_pixels_labels_names_and_parts_apart() -> None:
    images = torch.arange(24, dtype=torch.uint8).view(2, 1, 3, 4)
    labels = torch.tensor([0, 1])
    prints = {
        fingerprint((images, labels), (images, labels), ("a", "b")),
        fingerprint((images + 1, labels), (images, labels), ("a", "b")),
        fingerprint((images, labels), (images, labels.flip(0)), ("a", "b")),
        fingerprint((images, labels), (images, labels), ("a", "c")),
        fingerprint((images.view(2, 1, 4, 3), labels), (images, labels), ("a", "b")),
    }
    assert len(prints) == 5
    assert fingerprint((images, labels), (images, labels), ("a", "b")) in prints


def test_the_sample_at_another_size() -> None:
    scaled = load_dataset("fashion-mnist-sample", size=(14, 20))
    assert scaled.train_images.shape == (6000, 1, 14, 20)
    # The mean of all pixels hardly changes: worst seen 1.5e-3.
    assert abs(scaled.mean[0] - load_dataset("fashion-mnist-sample").mean[0]) < 5e-3
    assert scaled.fingerprint != FINGERPRINT


def test_the_command_makes_the_sample_again(tmp_path: Path) -> None:
    """From the sample itself: the first 600 of each class are all there are, in the source's order."""
    make_sample(sample_folder(), tmp_path / "sample")
    for name in FILES.values():
        dimensions = 3 if "images" in name else 1
        made = read_idx(tmp_path / "sample" / f"{name}.gz", dimensions)
        assert torch.equal(made, read_idx(sample_folder() / f"{name}.gz", dimensions))


def test_the_first_of_each_class_are_taken_in_their_order() -> None:
    labels = torch.arange(50).flip(0) % 10
    assert first_of_each_class(labels, 2).tolist() == list(range(20))
    labels[:10] = labels[10]
    assert first_of_each_class(labels, 2)[:2].tolist() == [0, 1]
    with pytest.raises(InputError, match="has 5 images, the sample needs 6"):
        first_of_each_class(torch.arange(50) % 10, 6)


def test_the_command_refuses_too_little(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gsdd_runtime.datasets.make_sample", "--data-dir", str(tmp_path)]
    done = subprocess.run([*command, "--out", str(tmp_path / "out")], capture_output=True, text=True)
    assert done.returncode == 2
    assert "train-images-idx3-ubyte" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not FULL.is_dir(), reason="Debian's dataset-fashion-mnist is not installed")
def test_the_sample_is_the_first_of_each_class_of_the_whole(sample: RealData) -> None:
    whole = load_dataset("fashion-mnist", data_dir=FULL)
    assert whole.train_images.shape == (60000, 1, 28, 28)
    for label in range(10):
        expected = whole.train_images[whole.train_labels == label][:600]
        assert torch.equal(sample.train_images[sample.train_labels == label], expected)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("emnist", {}, "choose one of"),
        ("mnist", {}, "--data-dir"),
        ("cifar10", {"channels": 1}, "in colour"),
        ("", {}, "choose one of"),
        ("imagefolder:", {}, "imagefolder:DIR"),
        ("imagefolder:x", {"data_dir": "y"}, "leave the data directory out"),
        ("fashion-mnist-sample", {"data_dir": "y"}, "leave the data directory out"),
        ("fashion-mnist-sample", {"channels": 3}, "gray"),
        ("fashion-mnist-sample", {"size": (0, 5)}, "1 to 16384"),
        ("fashion-mnist", {}, "--data-dir"),
        ("fashion-mnist", {"data_dir": "/nowhere"}, "zalandoresearch/fashion-mnist"),
    ],
)
def test_a_wrong_use_is_refused(name: str, options: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        load_dataset(name, **options)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_reading_needs_no_native_library() -> None:
    """Datasets are read where no part is built: nothing under them imports the op."""
    script = "import sys; import gsdd_runtime.datasets; assert 'gsdd_runtime.splatting.op' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)
