"""The first steps of a recipe of every objective lose what they always lost, through the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from golden_losses import FILE, STEPS, losses, make_needed

from gsdd_runtime.distillation.objectives import OBJECTIVES

GOLDEN = json.loads(FILE.read_text())


@pytest.fixture(scope="module")
def needed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("golden")
    make_needed(folder)
    return folder


def test_every_objective_has_golden_losses() -> None:
    assert GOLDEN.keys() == OBJECTIVES.keys()
    for phases in GOLDEN.values():
        assert [len(phases[phase]) for phase in ("fit", "match")] == [STEPS, STEPS]


@pytest.mark.parametrize("method", GOLDEN)
def test_the_first_steps_lose_what_they_always_lost(method: str, needed: Path, tmp_path: Path) -> None:
    found = losses(method, needed, tmp_path)
    for phase, golden in GOLDEN[method].items():
        assert found[phase] == pytest.approx(golden, rel=1e-4), phase
