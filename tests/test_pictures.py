"""Pictures and arrays of decoded images: what is in the files, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from set_files import pixel_set, some_gaussians, some_set, some_zca

from gsdd_runtime.errors import InputError
from gsdd_runtime.reports import pictures
from gsdd_runtime.reports.pictures import write_decoded
from gsdd_runtime.sets.distilled_set import DistilledSet
from gsdd_runtime.sets.pictures import grid, picture_of, to_pictures


def pixels(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture)


def test_values_are_clamped_and_rounded() -> None:
    values = torch.tensor([-5.0, 0.0, 0.5, 1.0, 7.0, float("nan")]).view(1, 1, 1, 6)
    assert pixels(to_pictures(values)[0]).tolist() == [[0, 0, 128, 255, 255, 0]]
    bytes_kept = torch.tensor([0, 77, 255], dtype=torch.uint8).view(1, 1, 1, 3)
    assert pixels(to_pictures(bytes_kept)[0]).tolist() == [[0, 77, 255]]


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (2, "LA"), (3, "RGB"), (4, "RGBA")])
def test_modes(channels: int, mode: str) -> None:
    picture = to_pictures(torch.zeros(1, channels, 2, 3))[0]
    assert (picture.mode, picture.size) == (mode, (3, 2))


@pytest.mark.parametrize("images", [torch.zeros(2, 3), torch.zeros(1, 5, 2, 2), torch.zeros(1, 1, 2, 2).long()])
def test_no_images(images: torch.Tensor) -> None:
    with pytest.raises(InputError):
        to_pictures(images)


def test_a_grid_shows_each_image_in_its_place() -> None:
    shades = torch.tensor([0, 60, 120, 180, 240], dtype=torch.uint8).view(5, 1, 1, 1).expand(5, 1, 4, 4)
    picture = pixels(grid(shades, columns=2, scale=1))
    assert picture.shape == (8 + 3 * 4 + 2 * 2 + 8, 8 + 2 * 4 + 2 + 8)
    for index, shade in enumerate([0, 60, 120, 180, 240]):
        top, left = 8 + (index // 2) * 6, 8 + (index % 2) * 6
        assert (picture[top : top + 4, left : left + 4] == shade).all()
    assert (picture[-12:-8, -12:-8] == 255).all()


def test_row_names_stand_at_the_left() -> None:
    images = torch.zeros(4, 3, 28, 28)
    plain, named = grid(images, columns=2), grid(images, columns=2, row_names=["one", "two"])
    assert named.width > plain.width
    assert pixels(named)[:, : named.width - plain.width].min() < 100
    assert named.mode == "RGB"
    with pytest.raises(InputError, match="1 row name for 2 rows"):
        grid(images, columns=2, row_names=["one"])


def test_a_grid_that_cannot_be() -> None:
    with pytest.raises(InputError, match="no images"):
        grid(torch.zeros(0, 1, 4, 4), columns=2)
    with pytest.raises(InputError, match="columns"):
        grid(torch.zeros(1, 1, 4, 4), columns=0)
    with pytest.raises(InputError, match="too large"):
        grid(torch.zeros(2, 1, 4, 4), columns=1, scale=5000)


def test_a_picture_of_a_set_has_a_row_a_class() -> None:
    picture = picture_of(some_set(images=9))
    # Three classes of three images of 12x10, enlarged five times.
    assert picture.height == 8 + 3 * 60 + 2 * 2 + 8
    one = picture_of(some_set(images=9), [0, 3])
    assert one.height == 8 + 60 + 8
    assert np.array_equal(pixels(one)[8:68, -118:-70], pixels(picture)[8:68, -118 - 52 : -70 - 52])


def test_many_images_of_a_class_wrap() -> None:
    picture = picture_of(DistilledSet(some_gaussians(45), torch.zeros(45, dtype=torch.int64), 12, 10))
    assert picture.height == 8 + 3 * 60 + 2 * 2 + 8


def test_an_array_is_the_decoded_images_not_clamped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    distilled_set = some_set(images=50, classes=5, channels=3)
    # Parts of a few images, so that their joints are tested.
    monkeypatch.setattr(pictures, "PART_BYTES", 7 * 4 * 3 * 24 * 20)
    write_decoded(distilled_set, tmp_path / "out.npy", size=(24, 20))
    array = np.load(tmp_path / "out.npy", allow_pickle=False)
    assert array.dtype == np.float32
    assert np.array_equal(array, distilled_set.decode(height=24, width=20).numpy())
    assert array.min() < 0 or array.max() > 1
    np.save(tmp_path / "numpy.npy", array, allow_pickle=False)
    assert (tmp_path / "out.npy").read_bytes() == (tmp_path / "numpy.npy").read_bytes()


def test_a_folder_of_pictures_named_by_index_and_class(tmp_path: Path) -> None:
    distilled_set = some_set(images=12, class_names=["T-shirt/top", "..", "a b?"])
    write_decoded(distilled_set, tmp_path / "out", indices=[11, 0, 4], size=(6, 5))
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["00-T-shirt_top.png", "04-...png", "11-a_b_.png"]
    shown = pixels(Image.open(tmp_path / "out" / "04-...png"))
    expected = distilled_set.decode([4], 6, 5)[0, 0].clamp(0, 1).mul(255).round().byte().numpy()
    assert np.array_equal(shown, expected)
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]


def test_an_empty_folder_is_used_a_full_one_is_not(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    write_decoded(pixel_set(), tmp_path / "out")
    assert len(list((tmp_path / "out").iterdir())) == 6
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    with pytest.raises(InputError, match="holds something already"):
        write_decoded(pixel_set(), tmp_path / "out")
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("out.jpg", {}, "not as .jpg"),
        ("none/out.png", {}, "does not exist"),
        ("none/out", {}, "does not exist"),
        ("file", {}, "is a file"),
        ("out.png", {"indices": []}, "no images"),
        ("out.png", {"size": (16384, 16384)}, "too large a picture"),
        ("out.npy", {"indices": [6]}, "out of range"),
        ("out", {"size": (0, 1)}, "height must be"),
        ("out.npy", {"size": (4, 99999)}, "width must be"),
        ("out.png", {"size": (0, 1)}, "height must be"),
    ],
)
def test_what_is_refused_leaves_nothing(tmp_path: Path, name: str, options: dict[str, object], words: str) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match=words) as caught:
        write_decoded(some_set(), tmp_path / name, **options)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "mine"


def test_a_set_that_whitens_shows_plain_images(tmp_path: Path) -> None:
    for name, distilled_set in (("plain", some_set()), ("zca", some_set(zca=some_zca()))):
        for out in ("folder", "one.png", "array.npy"):
            write_decoded(distilled_set, tmp_path / f"{name}-{out}", indices=[0, 4])
    for out in ("one.png", "array.npy", *(f"folder/{path.name}" for path in (tmp_path / "plain-folder").iterdir())):
        assert (tmp_path / f"plain-{out}").read_bytes() == (tmp_path / f"zca-{out}").read_bytes()


def test_zooming_draws_gaussians_anew_and_leaves_pixels_squares(tmp_path: Path) -> None:
    from gsdd_runtime.reports.zoom import GAP, HEAD, SIDE, draw_zoom

    gaussians = some_set().changed(height=12, width=12)
    pixels = gaussians.changed(gaussians=None, pixels=gaussians.decode().bfloat16())
    path = tmp_path / "zoom.png"
    draw_zoom([("pixels", pixels), ("Gaussians", gaussians)], [1], path)
    page = np.asarray(Image.open(path))
    cells = [page[HEAD : HEAD + SIDE, GAP + k * (SIDE + GAP) :][:, :SIDE, 0] for k in range(4)]
    squares = np.unique(np.diff(cells[0].astype(int), axis=1).nonzero()[1])
    assert (squares % (SIDE // 12) == SIDE // 12 - 1).all()
    index = int((gaussians.labels == 1).nonzero()[0])
    near = gaussians.decode(index, 4 * SIDE, 4 * SIDE)[0, 0, round(2.6 * SIDE) :, round(2.8 * SIDE) :]
    expected = near[:SIDE, :SIDE].clamp(0, 1) * 255
    assert np.abs(cells[3] - expected.numpy()).max() <= 0.51
    with pytest.raises(InputError, match="class 7"):
        draw_zoom([("pixels", pixels)], [7], path)
