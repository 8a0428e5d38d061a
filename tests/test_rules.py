"""docs/file-format.md as a list: each of its rules has a file that breaks it, made by tests/attacks, and an error."""

from __future__ import annotations

import hashlib
import json
import re
import runpy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from set_files import refused

from gsdd_runtime.sets.checks import check_description
from gsdd_runtime.sets.distilled_set import DistilledSet

TESTS = Path(__file__).parent
DOCUMENT = (TESTS.parent / "docs" / "file-format.md").read_text()
HOSTILE = runpy.run_path(str(TESTS / "attacks" / "hostile_sets.py"))
ATTACKS: dict[str, Callable[[Path], Path]] = HOSTILE["ATTACKS"]
GOLDEN = TESTS / "data" / "plain.json"


def rows() -> list[tuple[str, str, str]]:
    """Rule, what breaks it, and words of the error, as the document tells them."""
    table = DOCUMENT.split("| rule | broken by | refused with |\n|---|---|---|\n")[1].split("\n\n")[0]
    found = [re.fullmatch(r"\| ([^|]+) \| ([^|]+) \| ([^|]+) \|", line) for line in table.splitlines()]
    assert all(found)
    return [(row[1], row[2], row[3]) for row in found if row is not None]


@pytest.mark.parametrize(("rule", "broken_by", "words"), rows(), ids=lambda text: text[:30])
def test_a_file_that_breaks_a_rule_is_refused_with_its_error(
    rule: str, broken_by: str, words: str, tmp_path: Path
) -> None:
    refused(ATTACKS[broken_by](tmp_path), words)


def test_every_rule_has_a_file_that_breaks_it_and_every_file_a_rule() -> None:
    assert [broken_by for _, broken_by, _ in rows()] == list(ATTACKS)
    numbered = set(re.findall(r"^(\d+)\. ", DOCUMENT.split("### Each rule")[0], re.MULTILINE))
    fields = DOCUMENT.split("| field | value | |\n")[1].split("\n\n")[0]
    named = set(re.findall(r"`(\w+)`", " ".join(line.split("|")[1] for line in fields.splitlines()[1:])))
    told = {word for rule, _, _ in rows() for word in rule.split(", ")}
    assert numbered == {str(number) for number in range(1, 9)}
    assert numbered | named <= told
    assert told - numbered - named <= {"the first six", "numbers", "texts"}


def test_every_attack_is_said_in_a_line() -> None:
    for one in ATTACKS.values():
        assert re.fullmatch(r"[A-Z][^\n]+\.", one.__doc__ or ""), one.__name__


def test_every_field_that_the_reader_checks_is_in_the_document() -> None:
    """Fields that a rule speaks of, by the reader: none is refused for a reason that nobody can read up."""
    for name in ("ipc", "gpc", "seed", "method", "fingerprint", "options", "versions", "training", "accuracy"):
        with pytest.raises(ValueError, match=name):
            check_description("a file", {name: object()})
        assert f"`{name}`" in DOCUMENT


def test_every_version_reads_the_golden_plain_files() -> None:
    for name, (digest, description) in json.loads(GOLDEN.read_text()).items():
        loaded = DistilledSet.load(TESTS / "data" / name)
        parts = [loaded.rows(), loaded.labels] + ([] if loaded.zca is None else [loaded.zca])
        content = b"".join(part.contiguous().view(torch.uint8).numpy().tobytes() for part in parts)
        assert hashlib.sha256(content).hexdigest() == digest, name
        assert {key: getattr(loaded, key) for key in description} == {
            key: tuple(value) if isinstance(value, list) else value for key, value in description.items()
        }


def test_a_set_is_written_as_the_golden_plain_files_were(tmp_path: Path) -> None:
    for name in json.loads(GOLDEN.read_text()):
        DistilledSet.load(TESTS / "data" / name).save(tmp_path / name)
        assert (tmp_path / name).read_bytes() == (TESTS / "data" / name).read_bytes()
