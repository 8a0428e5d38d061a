"""``gsdd-rt bench decode``: every contestant does its work, and the report says what was measured."""

from __future__ import annotations

import io
import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from gsdd_runtime import InputError, reference
from gsdd_runtime.bench import Point, render_chart, render_markdown, render_table, run_decode_bench
from gsdd_runtime.bench.images import fashion_images, real_images
from gsdd_runtime.bench.peers import jpeg
from gsdd_runtime.bench.peers.dense import dense
from gsdd_runtime.bench.peers.gaussians import Gaussians, GaussiansBackward
from gsdd_runtime.bench.peers.jpeg import Jpeg, at_equal_bytes, at_equal_quality, encode
from gsdd_runtime.bench.peers.raw import Raw
from gsdd_runtime.bench.peers.siren import Siren, hidden_width
from gsdd_runtime.bench.points import Workload, random_workload
from gsdd_runtime.bench.timing import Timed, interleaved_rounds
from gsdd_runtime.commands import outputs
from gsdd_runtime.progress import Progress

POINT = Point(9, 24)


@pytest.fixture(scope="module")
def result() -> dict[str, Any]:
    reports: list[Progress] = []
    result = run_decode_bench([POINT], rounds=2, threads=1, images=3, fit_steps=20, progress=reports.append)
    assert [report.step for report in reports] == sorted(report.step for report in reports)
    assert reports[-1].step <= reports[-1].total
    return result


def workload() -> Workload:
    images = real_images().at(POINT.side, POINT.channels, 5)
    return Workload(POINT, random_workload(POINT, 5, 1).gaussians, images)


def test_the_result_is_json_and_has_every_contestant(result: dict[str, Any]) -> None:
    assert json.loads(json.dumps(result)) == result
    fitted, random = result["results"]
    assert (fitted["parameters"], random["parameters"]) == ("fitted", "random")
    assert set(fitted["contestants"]) > set(random["contestants"]) > {Gaussians.name, GaussiansBackward.name}
    assert len(fitted["contestants"]) == 7
    for entry in fitted["contestants"].values():
        assert entry["images_per_second"]["low"] <= entry["images_per_second"]["median"]
        assert len(entry["rounds"]) == 2
    assert fitted["contestants"][Gaussians.name]["times_slower_than_gsdd"]["median"] == 1.0
    assert result["machine"]["torch"] == torch.__version__


def test_the_reports_show_every_figure(result: dict[str, Any], tmp_path: Path) -> None:
    shown = io.StringIO()
    Console(file=shown, width=400).print(render_table(result))
    for text in (shown.getvalue(), render_markdown(result)):
        for words in (POINT.name, "torch.compile", "SIREN", "raw uint8", "JPEG at equal bytes", "fitted"):
            assert words in text
    render_chart(result, tmp_path / "chart.svg")
    assert outputs.DRAWING.is_one(tmp_path / "chart.svg")
    drawing = ElementTree.parse(tmp_path / "chart.svg").getroot()
    labels = "".join(drawing.itertext())
    assert POINT.name in labels
    assert "raw uint8" in labels
    with pytest.raises(InputError, match=r"ends in \.svg"):
        render_chart(result, tmp_path / "chart.bmp")


def test_it_says_where_a_peer_wins(result: dict[str, Any]) -> None:
    changed = json.loads(json.dumps(result))
    raw = changed["results"][0]["contestants"][Raw.name]
    raw["times_slower_than_gsdd"] = {"median": 0.25, "low": 0.2, "high": 0.3}
    assert "raw uint8 in memory is 4.0 times faster" in render_markdown(changed)
    raw["times_slower_than_gsdd"]["high"] = 1.5
    assert "raw uint8 in memory is level within the spread" in render_markdown(changed)


def test_the_dense_peer_is_the_same_decoder() -> None:
    gaussians = workload().gaussians
    expected = reference.splat(gaussians.double(), POINT.side, POINT.side)
    # Worst measured: 5e-7; none of these samples is at the threshold.
    torch.testing.assert_close(dense(gaussians, POINT.side).double(), expected, rtol=0, atol=1e-4)


def test_the_siren_has_at_most_our_bytes_and_nearly_as_many() -> None:
    siren = Siren(workload())
    assert 0.7 * POINT.bytes_per_image < siren.bytes_per_image <= POINT.bytes_per_image
    assert hidden_width(364 * 9, 3) == 53


def test_the_raw_peer_gives_the_images() -> None:
    made = workload()
    images = Raw(made).decode()
    assert images.shape == (POINT.batch, 3, POINT.side, POINT.side)
    decoded = {image.numpy().tobytes() for image in (images * 255).round().to(torch.uint8)}
    assert decoded == {image.numpy().tobytes() for image in made.real_images}


@pytest.mark.parametrize("simplejpeg", [False, True], ids=["pillow", "simplejpeg"])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_jpeg_peer_gives_the_images(
    threads: int, channels: int, simplejpeg: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if simplejpeg:
        pytest.importorskip("simplejpeg")
    else:
        monkeypatch.setattr(jpeg, "find_spec", lambda name: None)
    assert ("simplejpeg" in jpeg.library()) == simplejpeg
    point = Point(9, 24, channels)
    images = fashion_images().at(24, channels, 5)
    made = Workload(point, random_workload(point, 5, 1).gaussians, images)
    decoded = Jpeg(made, encode(images, 95), "quality", threads).decode()
    error = (decoded - images[made.indices] / 255).abs().mean()
    # A quality setting of 95; worst measured: 0.004 with colour subsampling.
    assert error < 0.02


def test_jpeg_is_given_its_best_setting() -> None:
    images = real_images().at(48, 3, 4)
    budget = 700
    best = at_equal_bytes(images, budget)
    assert best.bytes_per_image <= budget < encode(images, best.quality + 1).bytes_per_image
    least = at_equal_quality(images, 25.0)
    assert encode(images, least.quality - 1).psnr < 25.0 <= least.psnr


def test_rounds_interleave() -> None:
    calls: list[str] = []

    def slow(name: str) -> None:
        calls.append(name)
        torch.arange(1 << 22).sum()

    subjects = {name: Timed(lambda name=name: slow(name), 1) for name in "abc"}  # type: ignore[misc]
    speeds = interleaved_rounds(subjects, 4, lambda: None)
    assert all(len(speed) == 4 for speed in speeds.values())
    # One run ahead of the rounds, then each round from another first.
    order = "".join(name for k, name in enumerate(calls) if k == 0 or calls[k - 1] != name)
    assert order == "abc" + "abc" + "bca" + "cab" + "abc"


@pytest.mark.parametrize("options", [{"rounds": 0}, {"threads": 0}, {"images": 0}, {"fit_steps": 0}])
def test_wrong_options_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(InputError, match="must be at least 1"):
        run_decode_bench([POINT], **options)
    with pytest.raises(InputError, match="no point to measure"):
        Point(0, 24)
