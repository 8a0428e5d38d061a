"""The pages' tables and charts of accuracy by bytes are those of benchmarks/results."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from gsdd_runtime.bench.rate_chart import draw_rate_chart

CHECKOUT = Path(__file__).parent.parent


def script(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


rate_tables = script(CHECKOUT / "benchmarks" / "rate_tables.py")


@pytest.mark.parametrize("page", rate_tables.PAGES)
def test_the_tables_of_accuracy_are_what_was_measured(page: str) -> None:
    text = (CHECKOUT / page).read_text()
    assert rate_tables.named(text)
    assert rate_tables.written(text) == text, "run: python benchmarks/rate_tables.py"


def test_every_rate_that_was_measured_is_shown_with_its_chart() -> None:
    shown = [name for page in rate_tables.PAGES for name in rate_tables.named((CHECKOUT / page).read_text())]
    kept = {path.stem.removesuffix("-rate"): path for path in rate_tables.RESULTS.glob("*-rate.json")}
    assert set(shown) == set(kept)
    for name, path in kept.items():
        result = json.loads(path.read_text())
        # As the pages say.
        epochs = 1000 if name.endswith("1000-epochs") else 300
        networks = 2 if name == "fashion-mnist-128-filters-1000-epochs" else 5
        assert (result["protocol"]["networks"], result["protocol"]["epochs"]) == (networks, epochs)
        assert (CHECKOUT / "docs" / "images" / f"{path.stem}.svg").read_text() == draw_rate_chart(result)


def test_documents_of_another_protocol_are_not_kept_together(tmp_path: Path) -> None:
    document = json.loads((rate_tables.RESULTS / "fashion-mnist-rate.json").read_text())
    rate_tables.keep("both", [document], tmp_path)
    again = json.loads((tmp_path / "both-rate.json").read_text())
    assert rate_tables.keep("both", [document], tmp_path).exists()
    assert json.loads((tmp_path / "both-rate.json").read_text()) == again
    other = {**document, "protocol": {**document["protocol"], "epochs": 1}}
    with pytest.raises(SystemExit, match="another protocol"):
        rate_tables.keep("both", [other], tmp_path)


def test_networks_of_several_seeds_are_counted_as_one_row() -> None:
    document = json.loads((rate_tables.RESULTS / "fashion-mnist-1000-epochs-rate.json").read_text())

    def of(seed: int, accuracies: list[float]) -> dict:
        protocol = {**document["protocol"], "seed": seed, "networks": len(accuracies)}
        repeats = [{**document["points"][0]["repeats"][0], "last_epoch": one} for one in accuracies]
        return {**document, "protocol": protocol, "points": [{**document["points"][0], "repeats": repeats}]}

    together = rate_tables.joined([of(0, [0.5]), of(3, [0.7, 0.9])])
    assert (together["protocol"]["seed"], together["protocol"]["networks"]) == ([0, 3], 3)
    assert together["points"][0]["last_epoch"]["mean"] == pytest.approx(0.7)
    assert together["points"][0]["last_epoch"]["std"] == pytest.approx(0.02667**0.5, rel=1e-3)
    assert [one["last_epoch"] for one in together["points"][0]["repeats"]] == [0.5, 0.7, 0.9]
    with pytest.raises(SystemExit, match="count twice"):
        rate_tables.joined([of(1, [0.5]), of(1, [0.5])])
    other = of(1, [0.5])
    other["points"][0]["bytes"] = {}
    with pytest.raises(SystemExit, match="more than the seed"):
        rate_tables.joined([of(0, [0.5]), other])
