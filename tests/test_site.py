"""The documentation as a site: its navigation, the pages made from the code, and the check of what is built."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

import gsdd_runtime
from gsdd_runtime.commands.help import ABBREVIATIONS

DOCS = Path(__file__).parent.parent / "docs"


def program(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"docs_{name}", DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_navigation_has_every_page_once() -> None:
    groups = program("conf").groups((DOCS / "index.md").read_text())
    listed = [page for pages in groups.values() for page in pages]
    assert sorted(listed) == sorted(page.stem for page in DOCS.glob("*.md") if page.stem != "index")


def test_a_page_has_one_title() -> None:
    for page in DOCS.glob("*.md"):
        text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
        assert len(re.findall(r"^# ", text, re.MULTILINE)) == 1, page.name


def test_the_page_of_commands_is_what_the_code_says() -> None:
    assert (DOCS / "commands.md").read_text() == program("write_commands").text(), "run `make commands`"


def test_the_page_of_commands_has_options_of_every_kind() -> None:
    text = program("write_commands").text()
    for words in ("### distill\n", "| `--gpc ", "### compress\n", "| `SET <path>` |", "| `--zca / --no-zca` |"):
        assert words in text, words


def test_the_python_page_has_every_public_name() -> None:
    documented = set(re.findall(r":: gsdd_runtime\.(\w+)", (DOCS / "api.md").read_text()))
    assert set(gsdd_runtime.__all__) - {"__version__"} <= documented


def test_the_glossary_has_every_abbreviation_of_the_help() -> None:
    words = re.findall(r"^\| ([^|]+) \|", (DOCS / "glossary.md").read_text(), re.MULTILINE)
    assert {word.lower() for word in ABBREVIATIONS} <= {part.lower() for word in words for part in word.split(", ")}
    assert words[2:] == sorted(words[2:], key=str.lower)


def test_what_goes_out_of_the_docs_is_marked_as_a_file() -> None:
    source = ["[a](../README.md#try-it) [b](networks.md#timm) [c](../plugins/op_contract.json)"]
    program("conf")._for_sphinx(None, "page", source)
    assert source == ["[a](path:../README.md) [b](networks.md#timm) [c](../plugins/op_contract.json)"]


def write_site(folder: Path, **bodies: str) -> Path:
    for name, body in bodies.items():
        (folder / f"{name}.html").write_text(f"<html><body>{body}</body></html>")
    return folder


def test_a_whole_site_passes(tmp_path: Path) -> None:
    site = write_site(
        tmp_path,
        index='<a href="near.html#place">near</a> <a href="https://example.org">out</a>',
        near='<p id="place"></p><a href="far.html">far</a>',
        far='<a href="#here"></a><p id="here"></p>',
    )
    assert program("check_site").faults(site) == []


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ('<a href="gone.html">', "leads nowhere"),
        ('<img src="gone.png">', "leads nowhere"),
        ('<a href="near.html#gone">', "no such place"),
        ('<a href="#gone">', "no such place"),
        ('<script src="https://example.org/a.js"></script>', "asks for"),
        ('<link rel="stylesheet" href="//example.org/a.css">', "asks for"),
        ('<p style="background: url(https://example.org/a.png)">', "by its style"),
    ],
)
def test_a_fault_of_a_site_is_found(tmp_path: Path, body: str, fault: str) -> None:
    site = write_site(tmp_path, index=f'<a href="near.html"></a>{body}', near="")
    assert [fault in line for line in program("check_site").faults(site)] == [True]


def test_a_page_three_clicks_away_is_found(tmp_path: Path) -> None:
    site = write_site(
        tmp_path, index='<a href="one.html">', one='<a href="two.html">', two='<a href="three.html">', three=""
    )
    assert program("check_site").faults(site) == [f"{site / 'three.html'}: not within two clicks"]
    (site / "style.css").write_text("@import 'https://example.org/a.css';")
    assert len(program("check_site").faults(site)) == 2
