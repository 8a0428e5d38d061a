"""The first table of figures in the README shows each storage's best set beside what is published."""

from __future__ import annotations

from pathlib import Path

from script_folders import first_in_path

with first_in_path(Path(__file__).parent.parent / "benchmarks"):
    import headline_tables


def test_the_best_set_of_a_document_stands_beside_what_is_published() -> None:
    published = [{"accuracy": 84.6, "by": "one"}, {"accuracy": 90.0, "by": "another"}]
    row = {"data": "some, 1 image", "document": "fashion-mnist", "published": published}
    assert headline_tables.table({"rows": [row]}).splitlines()[2] == (
        "| some, 1 image | NCFM: 20 Gaussians, coded, from edges | 64 | 29,089 | 5 x `convnet3-w32`, 300 epochs "
        "| **85.3 ± 0.2** | 84.6 (one); 90 (another) |"
    )
