"""The table that ``--renderer auto`` follows: from counts until a GPU has measured it, and then by what it measured."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from script_folders import first_in_path

from gsdd_runtime.splatting import renderers, tiles
from gsdd_runtime.splatting.renderers import COUNTED, Costs, Measured, fitted

ROOT = Path(__file__).parent.parent
with first_in_path(ROOT / "benchmarks", ROOT / "benchmarks" / "gpu"):
    import cuda_bench
    import cuda_instructions
    import figures

TRUE = Costs("measured on a GPU", 2e-11, 4e-9, 1e-4)
SIZES = [(512, 22, 1), (2000, 54, 16), (160, 170, 16), (512, 364, 64), (1, 20000, 1024), (1, 100_000, 256)]


def measured(images: int, gaussians: int, tiles: int, costs: Costs = TRUE) -> Measured:
    drawing = 1e-8 * images * gaussians
    direct = drawing + costs.pair * images * gaussians * tiles
    return Measured(images, gaussians, tiles, direct, direct - costs.tiles_gain(images, gaussians, tiles))


def test_the_table_is_the_counted_one_until_it_is_measured() -> None:
    table = renderers.costs()
    if table.source == COUNTED:
        assert table == Costs(COUNTED, **cuda_instructions.renderer_costs())
    else:
        assert table.source.startswith("measured on ")


def test_auto_follows_the_table_and_says_what_it_is_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(tiles.VARIABLE, raising=False)
    monkeypatch.setattr(tiles, "gsplat_problem", lambda: None)
    for pair, method in ((0.0, "direct"), (1e-3, "tiled")):
        monkeypatch.setattr(tiles, "costs", lambda pair=pair: Costs("measured on a GPU", pair, 1e-9, 1e-4))
        choice = tiles.choose(10, 50, 128, 128)
        assert choice.method == method
        assert choice.reason == "16 tiles an image, 8000 pairs of tile and Gaussian; measured on a GPU"


def test_costs_are_found_in_measured_times() -> None:
    found = fitted([measured(*size) for size in SIZES], "measured on a GPU")
    assert found is not None
    for name, value in asdict(TRUE).items():
        assert getattr(found, name) == (value if name == "source" else pytest.approx(value, rel=1e-6))
    assert fitted([measured(*size) for size in SIZES[:2]], "") is None


def test_no_cost_is_found_below_zero() -> None:
    """Where gsplat's call seems to save time, as noise has it, it costs none."""
    strange = Costs("", 2e-11, 4e-9, -1e-6)
    found = fitted([measured(*size, strange) for size in SIZES], "")
    assert found is not None
    assert found.call == 0
    assert found.pair == pytest.approx(2e-11, rel=0.2)


def test_the_benchmark_writes_what_it_measured_and_keeping_it_changes_the_choice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = []
    for images, gaussians, count in SIZES:
        time = measured(images, gaussians, count)
        forward = {cuda_bench.OURS: {"median": time.direct}, cuda_bench.TILED: {"median": time.tiled}}
        points.append({"size": [gaussians, 32 * round(count**0.5), images], "forward": forward})
    points.append({"size": [5, 32, 1], "forward": {cuda_bench.OURS: {"median": 1.0}}})  # gsplat was not there
    result = {"points": points, "gpu": {"name": "NVIDIA X"}, "torch": "2.13.0"}
    result["renderers"] = cuda_bench.renderer_costs(result)
    stage = tmp_path / "kernels"
    stage.mkdir()
    (stage / "nvidia-x-cuda.json").write_text(json.dumps(result))
    summary = {"rehearsal": False, "device": "NVIDIA X", "stages": {"kernels": {"status": "passed"}}}
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    table = tmp_path / "table.json"
    figures.keep([tmp_path], tmp_path, table)
    kept = Costs(**json.loads(table.read_text()))
    assert kept.source == "measured on NVIDIA X, torch 2.13.0"
    assert kept.pair == pytest.approx(TRUE.pair, rel=1e-6)
    monkeypatch.setattr(renderers, "TABLE", table)
    renderers.costs.cache_clear()
    try:
        assert "measured on NVIDIA X" in tiles.choose(1, 5, 32, 32, "auto").reason
    finally:
        monkeypatch.undo()
        renderers.costs.cache_clear()


def test_what_is_too_small_to_be_measured_stays_as_it_was() -> None:
    free = Costs("", 0.0, 3e-9, 1e-3)
    points = []
    for images, gaussians, count in SIZES:
        time = measured(images, gaussians, count, free)
        forward = {cuda_bench.OURS: {"median": time.direct}, cuda_bench.TILED: {"median": time.tiled}}
        points.append({"size": [gaussians, 32 * round(count**0.5), images], "forward": forward})
    found = cuda_bench.renderer_costs({"points": points, "gpu": {"name": "NVIDIA X"}, "torch": "2.13.0"})
    assert found is not None
    assert found["call"] == pytest.approx(1e-3, rel=1e-6)
    assert found["pair"] == renderers.costs().pair > 0
    assert found["source"].endswith("a pair as it was before, too small to be measured")


def test_few_points_write_no_table(tmp_path: Path) -> None:
    assert cuda_bench.renderer_costs({"points": [], "gpu": {"name": "X"}, "torch": "2"}) is None
