"""Words around numbers come from one place, so that one image is not "1 images"."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from gsdd_runtime.wording import counted, percent

ROOT = Path(__file__).parent.parent
NOUNS = "images labels classes channels networks epochs batches ranks rounds cores threads repeats Gaussians files"
# Names of what is put into a message as a word.
WORDS = ("part", "where", "title")
COUNTED = re.compile(rf" (real |test |training |float32 |distilled |row |class )?({NOUNS.replace(' ', '|')})\b")


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [(1, "image", "1 image"), (0, "image", "0 images"), (2, "test image", "2 test images"), (1, "class", "1 class"),
     (3, "class", "3 classes"), (2, "batch", "2 batches"),
     (2, "epoch", "2 epochs")],
)  # fmt: skip
def test_things_are_counted(number: int, noun: str, text: str) -> None:
    assert counted(number, noun) == text


def test_one_accuracy_has_no_deviation() -> None:
    assert percent(0.79016, 0.0, 1) == "79.02 %"
    assert percent(0.79016, 0.00514, 4) == "79.02 +- 0.51 %"
    assert percent(0.79016, 0.00514, 4, digits=1) == "79.0 +- 0.5 %"


def uncounted(source: str) -> list[str]:
    """F-strings that put a number before a plural themselves; after "to" or "x", and of a constant, it is one."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.JoinedStr):
            continue
        for before, value, after in zip([None, *node.values], node.values, node.values[1:], strict=False):
            if not (isinstance(value, ast.FormattedValue) and isinstance(after, ast.Constant)):
                continue
            text = before.value if isinstance(before, ast.Constant) else ""
            no_number = isinstance(value.value, ast.Name) and (value.value.id.isupper() or value.value.id in WORDS)
            if COUNTED.match(after.value) and not no_number and not re.search(r"(x|to |of size |, )$", text):
                found.append(f"line {node.lineno}: {ast.unparse(node)}")
    return found


FILES = [path for folder in ("gsdd_runtime", "export", "benchmarks") for path in (ROOT / folder).rglob("*.py")]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_nothing_else_writes_plurals(path: Path) -> None:
    assert uncounted(path.read_text()) == [], "write counted(number, 'image'), of gsdd_runtime.wording"


def test_a_plural_written_by_hand_is_seen() -> None:
    assert uncounted('f"{path}: {len(images)} images"')
    assert uncounted('f"{n} training images of {path}"')
    assert not uncounted('f"1 to {MAX} channels, {counted(n, kind)}"')
