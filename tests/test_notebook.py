"""What a set shows of itself in a notebook, and by matplotlib."""

from __future__ import annotations

import base64
import io
import re
import sys

import pytest
import torch
from PIL import Image
from set_files import pixel_set, some_set

from gsdd_runtime import DistilledSet
from gsdd_runtime.errors import GsddError, InputError
from gsdd_runtime.sets.notebook import first_of_each, outlines
from gsdd_runtime.sets.pictures import picture_of


def opened(png: bytes) -> Image.Image:
    return Image.open(io.BytesIO(png))


@pytest.mark.parametrize("distilled", [some_set(), some_set(channels=3), pixel_set()])
def test_a_set_is_a_picture_of_itself(distilled: DistilledSet) -> None:
    shown = opened(distilled._repr_png_())
    assert shown.tobytes() == picture_of(distilled).tobytes()


def test_a_set_says_what_it_is_beside_its_picture() -> None:
    distilled = some_set(class_names=["<script>", "b", "c"], method="<b>")
    shown = distilled._repr_html_()
    assert "&lt;b&gt;" in shown
    assert "<b>" not in shown
    assert "DistilledSet(6 images of 1x12x10, 4 Gaussians an image" in shown
    (data,) = re.findall(r'src="data:image/png;base64,([^"]*)"', shown)
    assert base64.b64decode(data) == distilled._repr_png_()


def test_a_large_set_is_shown_in_part() -> None:
    labels = torch.arange(600) % 20
    distilled = DistilledSet(torch.zeros(600, 1, 7).bfloat16(), labels, 8, 8)
    assert "100 images of 600" in distilled._repr_html_()
    chosen = first_of_each(labels, 10, 10)
    assert labels[chosen].tolist() == [label for label in range(10) for _ in range(10)]
    assert chosen[:3].tolist() == [0, 20, 40]


def test_outlines_are_one_deviation_from_the_centre() -> None:
    gaussians = some_set().gaussians[0].double()
    found = outlines(gaussians, 12, 10)
    for gaussian, points in zip(gaussians, found, strict=True):
        x, y, l11, l21, l22 = gaussian[:5].tolist()
        factor = torch.tensor([[l11 + 0.5, 0.0], [l21, l22 + 0.5]], dtype=torch.float64)
        centre = torch.tensor([(x + 1) / 2 * 10, (y + 1) / 2 * 12], dtype=torch.float64)
        away = points - centre
        squared = (away @ torch.linalg.inv(factor @ factor.T) * away).sum(dim=1)
        assert torch.allclose(squared, torch.ones_like(squared))


def test_classes_are_shown_in_the_order_they_are_named() -> None:
    pytest.importorskip("matplotlib")
    figure = some_set(channels=3).show(["class 2", 0], per_class=1)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["class 2", "class 0"]
    picture = figure.axes[0].images[0].get_array()
    assert picture.tobytes() == picture_of(some_set(channels=3), [2]).tobytes()
    assert opened(figure._repr_png_()).format == "PNG"
    assert len(some_set().show().axes) == 3


def test_an_image_is_shown_with_its_gaussians() -> None:
    pytest.importorskip("matplotlib")
    distilled = some_set(channels=3)
    (axes,) = distilled.plot_ellipses(4, size=60).axes
    assert len(axes.lines) == 4
    assert axes.get_title() == "class 1, image 4"
    assert axes.images[0].get_array().shape == (60, 50, 3)
    darkening = [bool(gaussian[5:8].sum() < 0) for gaussian in distilled.gaussians[4]]
    assert [line.get_linestyle() == "--" for line in axes.lines] == darkening
    assert True in darkening
    assert False in darkening


@pytest.mark.parametrize("classes", [["hat"], [3], [-1], []])
def test_a_class_that_is_not_there_is_refused(classes: list) -> None:
    with pytest.raises(InputError, match="class"):
        some_set().show(classes)


def test_pixels_have_no_ellipses() -> None:
    with pytest.raises(InputError, match="a set of pixels"):
        pixel_set().plot_ellipses(0)
    with pytest.raises(InputError):
        some_set().plot_ellipses(6)


def test_matplotlib_that_is_not_there_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    for call in (lambda: some_set().show(), lambda: some_set().plot_ellipses(0)):
        with pytest.raises(GsddError, match=r"pip install 'gsdd-rt\[plots\]'"):
            call()
    assert some_set()._repr_png_()
