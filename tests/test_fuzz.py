"""Readers take a damaged file or refuse it in a line: a few from a seed, and what fuzzing found (tests/fuzz)."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from script_folders import first_in_path

FOLDER = Path(__file__).parent / "fuzz"
with first_in_path(FOLDER):
    from readers import TARGETS, mutated

FOUND = sorted((FOLDER / "found").glob("*/*"))


@pytest.mark.parametrize("name", TARGETS)
def test_a_reader_takes_damaged_files_or_refuses_them_in_a_line(name: str, tmp_path: Path) -> None:
    """The fuzzer by itself is for a million."""
    target = TARGETS[name]
    assert [target.attempt(data, tmp_path) for data in target.corpus] == [""] * len(target.corpus)
    chance = Random(name)
    refusals = [target.attempt(mutated(target, chance), tmp_path) for _ in range(100)]
    assert any(refusals)


@pytest.mark.parametrize("path", FOUND, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_fuzzing_found_is_refused_in_a_line(path: Path, tmp_path: Path) -> None:
    TARGETS[path.parent.name].attempt(path.read_bytes(), tmp_path)
