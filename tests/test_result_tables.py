"""Pages show the tables of benchmarks/results, all of them, as they are."""

from __future__ import annotations

from pathlib import Path

import pytest
from script_folders import first_in_path

ROOT = Path(__file__).parent.parent
with first_in_path(ROOT / "benchmarks"):
    import ablation
    import decoupled_tables
    import headline_tables
    import network_tables
    import rate_tables
    from pages import Tables

ALL = {
    module.__name__: module.TABLES
    for module in (ablation, decoupled_tables, headline_tables, network_tables, rate_tables)
}


@pytest.mark.parametrize("script", ALL)
def test_the_pages_say_what_was_measured(script: str) -> None:
    for page in ALL[script].pages:
        text = (ROOT / page).read_text()
        assert ALL[script].named(text)
        assert ALL[script].written(text) == text, f"run: python benchmarks/{script}.py"


@pytest.mark.parametrize("script", ALL)
def test_nothing_that_was_measured_is_left_out(script: str) -> None:
    shown = [name for page in ALL[script].pages for name in ALL[script].named((ROOT / page).read_text())]
    assert sorted(shown) == sorted(ALL[script].kept())


def test_a_table_stands_between_the_marks_of_its_name(tmp_path: Path) -> None:
    tables = Tables("kind", (), lambda document: f"| {document['figure']} |")
    tables.place("one", tmp_path).write_text('{"figure": 1}')
    page = "before\n<!-- kind: one -->\nold\n<!-- end of kind -->\n<!-- other: one -->\nleft\n<!-- end of other -->\n"
    assert tables.named(page) == ["one"]
    assert list(tables.kept(tmp_path)) == ["one"]
    assert tables.written(page, tmp_path) == page.replace("old", "| 1 |")
