"""Readers take a damaged file or refuse it in a line: a few from a seed, and what fuzzing found (tests/fuzz)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest
from script_folders import first_in_path

FOLDER = Path(__file__).parent / "fuzz"
with first_in_path(FOLDER):
    from counts import PAGE, Kept, Run, written
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


def test_a_changed_header_of_a_tar_has_its_sum_made_right(tmp_path: Path) -> None:
    """Else every change of it is refused for its sum, and nothing else of it is tried."""
    target = TARGETS["archive"]
    changed = next(data for data in target.corpus if data.startswith(b"T")).replace(b"train/a/1", b"train/a/7")
    assert target.attempt(changed, tmp_path) == ""
    assert "is damaged" in target.attempt(changed[1:], tmp_path)


@pytest.mark.parametrize("path", FOUND, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_fuzzing_found_is_refused_in_a_line(path: Path, tmp_path: Path) -> None:
    TARGETS[path.parent.name].attempt(path.read_bytes(), tmp_path)


# In place of a program that `make fuzz-native` builds: it reads as many as it is told, at most 40, from any seed.
ENTRY = """#!/bin/sh
for word; do case $word in -runs=*) runs=${word#*=};; -seed=*) seed=${word#*=};; esac; done
echo "$seed $runs" >> asked
[ $runs -le 40 ] || runs=40
echo "#$runs DONE cov: 1$seed ft: 3" >&2
echo "stat::number_of_executed_units: $runs" >&2
exit $(cat status 2>/dev/null || echo 0)
"""


def fuzzed(folder: Path, *words: str) -> int:
    """Status of the command, in a folder with one entry."""
    entry = folder / "build" / "fuzz-native" / "fuzz_any"
    entry.parent.mkdir(parents=True, exist_ok=True)
    entry.write_text(ENTRY)
    entry.chmod(0o755)
    line = [sys.executable, str(FOLDER / "run.py"), *words]
    return subprocess.run(line, cwd=folder, capture_output=True, check=False).returncode


def asked(folder: Path) -> list[str]:
    return (folder / "asked").read_text().splitlines()


def kept_runs(folder: Path) -> list[dict[str, Any]]:
    return json.loads((folder / "counts.json").read_text())["runs"]["any"]


def test_inputs_are_counted_until_there_are_as_many_as_are_asked_for(tmp_path: Path) -> None:
    """Each run has a seed that no earlier one had, whose inputs would be the same."""
    assert fuzzed(tmp_path, "native", "--until", "60", "--keep", "counts.json") == 0
    assert asked(tmp_path) == ["1 60", "2 20"]
    assert [(run["seed"], run["inputs"], run["edges"]) for run in kept_runs(tmp_path)] == [(1, 40, 11), (2, 20, 12)]
    assert fuzzed(tmp_path, "native", "--until", "60", "--keep", "counts.json") == 0
    assert len(asked(tmp_path)) == 2
    assert fuzzed(tmp_path, "any", "--runs", "7", "--keep", "counts.json") == 0
    assert asked(tmp_path)[2:] == ["3 7"]
    assert Kept(tmp_path / "counts.json").inputs("any") == 67


def test_an_input_that_was_found_ends_the_count_with_its_status(tmp_path: Path) -> None:
    (tmp_path / "status").write_text("77")
    assert fuzzed(tmp_path, "native", "--until", "60", "--keep", "counts.json") == 1
    assert asked(tmp_path) == ["1 60"]
    assert [run["status"] for run in kept_runs(tmp_path)] == [77]


def test_no_seed_counts_twice(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "build" / "counts.json")
    kept.add("set", Run("a command", 1, 10, 5, 0))
    with pytest.raises(ValueError, match="seed 1"):
        kept.add("set", Run("a command", 1, 10, 5, 0))


def test_the_page_shows_the_counts_that_were_kept() -> None:
    """``python tests/fuzz/counts.py`` writes it."""
    page = PAGE.read_text()
    assert written(page, Kept()) == page
    assert "| kernel (C++) | " in page
