"""``gsdd-rt bench rate``: every set in every form by one protocol, all its bytes counted, drawn where they belong."""

from __future__ import annotations

import io
import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from easy_data import CLASSES, SIDE, easy_data, easy_set, folder_of
from rich.console import Console
from set_files import some_gaussians, some_zca

from gsdd_runtime import DistilledSet, InputError, evaluate
from gsdd_runtime.bench import rate
from gsdd_runtime.bench.rate import rate_points, render_rate_table, run_rate_bench
from gsdd_runtime.bench.rate_chart import draw_rate_chart
from gsdd_runtime.commands.cli import run
from gsdd_runtime.progress import Progress
from gsdd_runtime.sets.compression import compress

DATA = easy_data()
FAST: dict[str, Any] = {"network": "convnet1-w4", "epochs": 2, "repeats": 2, "device": "cpu"}
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    # Images this small only make two threads wait for one another.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def gaussian_set(images: int = 60, **options: Any) -> DistilledSet:
    labels = torch.arange(images) % CLASSES
    fields = {"class_names": DATA.class_names, "mean": DATA.mean, "std": DATA.std}
    return DistilledSet(some_gaussians(images, 5), labels, SIDE, SIDE, **{**fields, **options})


def half_size(whole: DistilledSet) -> DistilledSet:
    assert whole.pixels is not None
    pixels = torch.nn.functional.avg_pool2d(whole.pixels, 2)
    return DistilledSet(None, whole.labels, SIDE, SIDE, pixels=pixels, mean=whole.mean, std=whole.std)


@pytest.fixture(scope="module")
def sets() -> dict[str, DistilledSet]:
    pixels = easy_set(DATA, 30)
    return {
        "gaussians": gaussian_set(),
        "coded": compress(gaussian_set(), bits_per_gaussian=30).distilled_set,
        "pixels": pixels,
        "half": half_size(pixels),
        "two bits": compress(pixels, pixel_bits=2).distilled_set,
    }


@pytest.fixture(scope="module")
def result(sets: dict[str, DistilledSet]) -> dict[str, Any]:
    return run_rate_bench(sets, DATA, code=True, seed=3, **FAST)


def points_of(result: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return [point for point in result["points"] if point["set"] == name]


def test_every_set_is_measured_in_every_form_that_saves_bytes(result: dict[str, Any]) -> None:
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    forms = {name: [point["coding"] for point in points_of(result, name)] for name in ("gaussians", "pixels", "half")}
    assert forms["gaussians"] == ["bfloat16", "coded, steps x 0.5", "coded, steps x 1", "coded, steps x 2"]
    assert forms["pixels"] == forms["half"] == ["bfloat16", "coded, 8 bits", "coded, 4 bits", "coded, 2 bits"]
    assert [point["coding"] for point in points_of(result, "two bits")] == ["coded, 2 bits"]
    assert points_of(result, "coded")[0]["coding"] == "coded"
    for name in forms:
        sizes = [point["bits_per_class"] for point in points_of(result, name)]
        assert sizes == sorted(sizes, reverse=True)
        losses = [point["psnr"] for point in points_of(result, name)[1:]]
        assert losses == sorted(losses, reverse=True)
    assert [point["downscale"] for point in result["points"] if point["coding"] == "bfloat16"] == [None, 1, 2]


def test_a_point_says_how_its_set_was_made(sets: dict[str, DistilledSet], result: dict[str, Any]) -> None:
    for name, one in sets.items():
        made = {"method": one.method, "seed": one.seed, "options": one.options}
        assert all(point["made"] == made for point in points_of(result, name)[:1])


def test_bits_are_those_of_all_that_the_file_holds_but_its_header(
    sets: dict[str, DistilledSet], result: dict[str, Any], tmp_path: Path
) -> None:
    for name, one in sets.items():
        path = tmp_path / f"{name}.safetensors"
        one.save(path)
        header = 8 + int.from_bytes(path.read_bytes()[:8], "little")
        point = points_of(result, name)[0]
        assert point["bytes"]["all"] == path.stat().st_size - header
        assert point["bits_per_class"] == 8 * point["bytes"]["all"] / CLASSES
    plain, coded = (points_of(result, name)[0]["bytes"] for name in ("gaussians", "coded"))
    assert plain == {"images": 60 * 5 * 7 * 2, "labels": 60 * 8, "zca": 0, "all": 60 * 5 * 7 * 2 + 60 * 8}
    assert coded["labels"] is None
    assert coded["images"] == coded["all"] <= 30 * 60 * 5 / 8


def test_whitening_and_soft_labels_count() -> None:
    data = easy_data()
    soft = torch.nn.functional.one_hot(torch.arange(60) % CLASSES, CLASSES).half()
    one = DistilledSet(
        some_gaussians(60, 5), soft, SIDE, SIDE, class_names=data.class_names, zca=some_zca(1, SIDE, SIDE)
    )
    found = run_rate_bench({"one": compress(one).distilled_set}, data, **{**FAST, "repeats": 1, "epochs": 1})
    sizes = found["points"][0]["bytes"]
    assert (sizes["labels"], sizes["zca"]) == (60 * CLASSES * 2, 65 * 64 * 4)
    assert sizes["all"] == sizes["images"] + sizes["labels"] + sizes["zca"]
    assert found["points"][0]["last_epoch"]["std"] is None
    assert "+-" not in table(found)


def test_accuracies_are_those_of_eval(sets: dict[str, DistilledSet], result: dict[str, Any]) -> None:
    coarse = compress(sets["pixels"], pixel_bits=4).distilled_set
    for name, index, one in (("half", 0, sets["half"]), ("pixels", 2, coarse)):
        expected = evaluate(one, DATA, seed=3, size=(SIDE, SIDE), **FAST).to_dict()
        point = points_of(result, name)[index]
        for figure in ("last_epoch", "best_epoch", "repeats"):
            assert point[figure] == expected[figure]
        for fact in ("network", "epochs", "batch_size", "augment", "seed", "size", "data"):
            assert result["protocol"][fact] == expected[fact]
    assert len(result["points"][0]["repeats"]) == result["protocol"]["networks"] == 2


def table(result: dict[str, Any]) -> str:
    shown = io.StringIO()
    Console(file=shown, width=300).print(render_rate_table(result))
    return shown.getvalue()


def test_the_table_has_every_point(result: dict[str, Any]) -> None:
    text = table(result)
    for point in result["points"]:
        assert f"{point['bits_per_class']:,.0f}" in text
    for words in (
        "5 Gaussians, bfloat16",
        "pixels / 2, coded, 2 bits",
        "pixels, bfloat16",
        "last of 2 epochs, 2 networks",
    ):
        assert words in text
    named = {**result, "points": [{**result["points"][0], "set": "[bold]a\x1b"}]}
    assert "[bold]a\\x1b" in table(named)


def test_the_chart_has_a_mark_for_every_point_where_it_belongs(result: dict[str, Any]) -> None:
    drawing = ElementTree.fromstring(draw_rate_chart(result))
    words = "".join(drawing.itertext())
    for name in ("gaussians", "two bits", "bits per class", "convnet1-w4"):
        assert name in words
    circles = drawing.findall(f"{SVG}circle")
    by_kind = [point for point in result["points"] if point["representation"] == "gaussians"]
    # One more for the legend of each set.
    assert len(circles) == len(by_kind) + 2
    hollow = [circle for circle in circles if circle.get("fill") == "white"]
    assert len(hollow) == 1
    width, height = float(drawing.get("width", 0)), float(drawing.get("height", 0))
    assert all(0 < float(circle.get("cx", 0)) < width and 0 < float(circle.get("cy", 0)) < height for circle in circles)
    lines = drawing.findall(f"{SVG}polyline")
    assert len(lines) == 5
    for line, name in zip(lines, ("gaussians", "coded", "pixels", "half", "two bits"), strict=True):
        corners = [tuple(map(float, corner.split(","))) for corner in line.get("points", "").split()]
        points = sorted(points_of(result, name), key=lambda point: point["bits_per_class"])
        assert [x for x, _ in corners] == sorted(x for x, _ in corners)
        means = [point["last_epoch"]["mean"] for point in points]
        # Up is less in SVG.
        order = sorted(range(len(means)), key=lambda k: means[k])
        assert [corners[k][1] for k in order] == sorted((y for _, y in corners), reverse=True)


def test_a_single_point_can_be_drawn(result: dict[str, Any]) -> None:
    drawing = ElementTree.fromstring(draw_rate_chart({**result, "points": result["points"][:1]}))
    assert len(drawing.findall(f"{SVG}circle")) == 2


def test_all_is_checked_before_the_first_network(
    monkeypatch: pytest.MonkeyPatch, sets: dict[str, DistilledSet]
) -> None:
    def too_late(*arguments: object, **options: object) -> None:
        pytest.fail("it began")

    monkeypatch.setattr(rate, "evaluate", too_late)
    other = gaussian_set(class_names=["a", "b", "c"])
    with pytest.raises(InputError, match="test on the data"):
        run_rate_bench({**sets, "other": other}, DATA, **FAST)
    with pytest.raises(InputError, match="at least one"):
        run_rate_bench({}, DATA, **FAST)
    small = DistilledSet(some_gaussians(6), torch.arange(6) % 3, 4, 4, zca=some_zca(1, 4, 4))
    with pytest.raises(InputError, match="whitens images of 4x4 alone"):
        run_rate_bench({"small": small}, DATA, **FAST)


def test_progress_names_the_set_and_its_form(sets: dict[str, DistilledSet]) -> None:
    reports: list[Progress] = []
    run_rate_bench({"half": sets["half"]}, DATA, code=True, progress=reports.append, **FAST)
    phases = {report.phase for report in reports}
    assert "half, coded, 4 bits: network 2 of 2" in phases
    assert len(phases) == 8


def test_without_code_a_set_is_one_point(sets: dict[str, DistilledSet]) -> None:
    assert len(list(rate_points("one", sets["gaussians"], code=False))) == 1


def test_the_command_draws_and_prints(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    data = easy_data(class_names=("a", "b", "c"))
    dataset = folder_of(data, tmp_path / "data")
    pixels = easy_set(data)
    paths = [str(tmp_path / name) for name in ("a.safetensors", "b.safetensors")]
    pixels.save(paths[0])
    # Of another size than the data: decoded at that of the data.
    DistilledSet(None, pixels.labels, 4, 4, pixels=half_size(pixels).pixels, mean=data.mean, std=data.std).save(
        paths[1]
    )
    line = ["bench", "rate", *paths, "--dataset", dataset, "--network", "convnet1-w4", "--epochs", "1"]
    line += ["--repeats", "1", "--device", "cpu", "--chart", str(tmp_path / "rate.svg")]
    assert run([*line, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [point["set"] for point in document["points"]] == ["a", "b"]
    assert document["protocol"]["size"] == [SIDE, SIDE]
    assert ElementTree.parse(tmp_path / "rate.svg").getroot().tag == f"{SVG}svg"
    assert run([*line, "--code"]) == 0
    assert "coded, 2 bits" in capsys.readouterr().out
