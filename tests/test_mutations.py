"""The mutations of tests/mutations fit the code, and their runner tells what a test notices from what none does."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "mutations"
sys.path.insert(0, str(FOLDER))

from all_mutations import MUTATIONS  # noqa: E402
from mutation import Mutation, StaleError, check, mutated  # noqa: E402


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_mutation_fits_the_code_and_names_tests_that_are_there(mutation: Mutation) -> None:
    check(mutation)


def test_they_have_names_of_their_own_and_cover_every_subject() -> None:
    assert [name for name, count in Counter(mutation.name for mutation in MUTATIONS).items() if count > 1] == []
    for chosen in (MUTATIONS, [mutation for mutation in MUTATIONS if mutation.short]):
        rooms = {mutation.file.split("/")[1] for mutation in chosen}
        assert {"distillation", "training", "evaluation", "loading", "commands"} <= rooms


EXAMPLE = Mutation("an example", "gsdd_runtime/seeds.py", "old", "new", ("test_sampling.py",))


@pytest.mark.parametrize(
    ("text", "change", "message"),
    [
        ("nothing of it", {}, "occurs 0 times"),
        ("old and old", {}, "occurs 2 times"),
        ("old", {"new": "old"}, "changes nothing"),
    ],
)
def test_a_mutation_that_does_not_fit_is_an_error(text: str, change: dict[str, str], message: str) -> None:
    assert mutated(EXAMPLE, "an old one") == "an new one"
    with pytest.raises(StaleError, match=message):
        mutated(replace(EXAMPLE, **change), text)


@pytest.mark.parametrize("tests", [(), ("test_nothing.py",), ("test_sampling.py::test_nothing",)])
def test_a_mutation_without_its_test_is_an_error(tests: tuple[str, ...]) -> None:
    with pytest.raises(StaleError, match="test"):
        check(replace(EXAMPLE, old="def derived_seed", tests=tests))


PROGRAM = """
import run
from mutation import Mutation

tests = ("test_sampling.py::test_seed_and_epoch_alone_fix_the_order",)
file, old = "gsdd_runtime/loading/sampling.py", 'derived_generator(seed, "order", epoch)'
print(run.try_all([
    Mutation("does harm", file, old, 'derived_generator(seed, "order", 0)', tests),
    Mutation("does none", file, old, 'derived_generator(seed, "order", epoch + 0)', tests),
], 2))
"""


def test_the_runner_tells_what_goes_unnoticed() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=FOLDER, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "['does none']"
    assert "noticed " in done.stdout
    assert "NOT NOTICED" in done.stdout
