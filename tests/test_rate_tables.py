"""Tables and charts of accuracy by bytes are of what was measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from script_folders import first_in_path

from gsdd_runtime.bench.rate_chart import draw_rate_chart

CHECKOUT = Path(__file__).parent.parent


with first_in_path(CHECKOUT / "benchmarks"):
    import rate_tables


@pytest.mark.parametrize("place", rate_tables.charts(), ids=lambda place: place.stem)
def test_the_chart_that_a_page_shows_is_of_what_was_measured(place: Path) -> None:
    assert place.read_text() == draw_rate_chart(rate_tables.charts()[place])


def test_a_table_says_by_which_networks_its_sets_were_judged() -> None:
    document = json.loads((rate_tables.RESULTS / "fashion-mnist-rate.json").read_text())
    assert rate_tables.table(document).splitlines()[-1] == "Judged by 5 networks `convnet3-w32`, 300 epochs."


def test_a_row_says_what_its_images_are_and_where_their_fit_began() -> None:
    made: dict[str, Any] = {"method": "dm", "options": {"coding": "entropy", "placement": "edges"}}
    point = {"representation": "gaussians", "gaussians_per_image": 20, "coding": "coded", "made": made}
    assert (rate_tables.objective(point), rate_tables.kind(point)) == ("DM", "20 Gaussians, coded, from edges")
    made["options"]["init"] = "set:sha256:0"
    assert rate_tables.kind(point) == "20 Gaussians, coded"
    made["options"] = {"placement": "uniform"}
    assert rate_tables.kind(point) == "20 Gaussians, compressed"
    assert rate_tables.kind({**point, "coding": "bfloat16"}) == "20 Gaussians, plain"
    assert rate_tables.objective({"made": {"method": "random-real"}}) == "random real images"
    still = {"made": {"method": "dm", "options": {"iterations": 1, "learning_rate": 1e-9}}}
    assert rate_tables.objective(still) == "random real images"
    assert rate_tables.objective({"made": {"method": "fit", "options": {"init": "real"}}}) == "random real images"
    assert rate_tables.objective({"made": {"method": "fit", "options": {"init": "kmeans"}}}) == "FIT"


def test_rows_of_sets_that_are_alike_say_how_many_steps_made_each() -> None:
    document = json.loads((rate_tables.RESULTS / "fashion-mnist-ipc-10-300-epochs-rate.json").read_text())
    assert " steps" not in rate_tables.table(document)
    first, *_ = document["points"]
    longer = {**first, "made": {**first["made"], "options": {**first["made"]["options"], "iterations": 3000}}}
    lines = rate_tables.table({**document, "points": [first, longer]}).splitlines()
    steps = first["made"]["options"]["iterations"]
    assert [line.split(" | ")[0] for line in lines[2:4]] == [f"| NCFM, {steps} steps", "| NCFM, 3000 steps"]


def test_one_network_has_no_deviation() -> None:
    assert rate_tables.accuracy({"mean": 0.6217, "std": None}) == "62.2"
    assert rate_tables.accuracy({"mean": 0.6217, "std": 0.001}) == "62.2 ± 0.1"


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
