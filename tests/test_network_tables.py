"""The tables of sets that many networks were trained on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from script_folders import first_in_path

ROOT = Path(__file__).parent.parent
with first_in_path(ROOT / "benchmarks"):
    import network_tables


def result(network: str, name: str, accuracy: float, **changes: Any) -> dict[str, Any]:
    said = {"recipe": "cross", "epochs": 2, "batch_size": 8, "augment": "dsa", "schedule": "cosine", "size": [8, 8]}
    data = {"name": "some", "test_images": 5, "fingerprint": "f"}
    said |= {"seed": 0, "device": "cpu", "versions": {}, "data": data, "learning_rate": 0.01}
    return {
        **said, **changes, "network": network, "last_epoch": {"mean": accuracy, "std": 0.01},
        "repeats": [{"last_epoch": accuracy - 0.01}, {"last_epoch": accuracy + 0.01}],
        "set": {"name": name, "images": 10, "bytes": 100},
    }  # fmt: skip


def test_a_network_is_a_row_and_a_set_a_column(tmp_path: Path) -> None:
    documents = [
        {"results": [result("mlp", "a", 0.5), result("mlp", "b", 0.25)]},
        {"results": [result("vit", "b", 0.125, learning_rate=5e-5), result("vit", "a", 0.75, learning_rate=5e-5)]},
    ]
    place = network_tables.keep("some", {"a": "coded", "b": "plain"}, documents, tmp_path)
    kept = json.loads(place.read_text())
    assert kept["protocol"]["networks"] == 2
    assert network_tables.table(kept).splitlines() == [
        "| network | rate | coded | plain |",
        "|---|---|---|---|",
        "| mlp | 0.01 | 50.0 ± 1.0 | 25.0 ± 1.0 |",
        "| vit | 5e-05 | 75.0 ± 1.0 | 12.5 ± 1.0 |",
    ]


def test_sizes_are_rows_too_each_with_its_data(tmp_path: Path) -> None:
    larger = {"name": "some", "test_images": 5, "fingerprint": "g"}
    drawn = [result("mlp", "a", 0.5), result("mlp", "a", 0.25, size=[16, 12], data=larger)]
    kept = json.loads(network_tables.keep("some", {"a": "coded"}, [{"results": drawn}], tmp_path).read_text())
    assert [row["fingerprint"] for row in kept["results"]] == ["f", "g"]
    assert network_tables.table(kept).splitlines() == [
        "| network | size | rate | coded |",
        "|---|---|---|---|",
        "| mlp | 8 x 8 | 0.01 | 50.0 ± 1.0 |",
        "| mlp | 16 x 12 | 0.01 | 25.0 ± 1.0 |",
    ]
    other = result("mlp", "a", 0.25, data={**larger, "test_images": 6})
    with pytest.raises(SystemExit, match="another protocol"):
        network_tables.keep("other", {"a": "coded"}, [{"results": [drawn[0], other]}], tmp_path)


def test_what_is_of_another_protocol_or_has_no_words_is_not_kept(tmp_path: Path) -> None:
    documents = [{"results": [result("mlp", "a", 0.5), result("vit", "a", 0.5, epochs=3)]}]
    with pytest.raises(SystemExit, match="vit was trained by another protocol"):
        network_tables.keep("some", {"a": "coded"}, documents, tmp_path)
    with pytest.raises(SystemExit, match="a has no words"):
        network_tables.keep("some", {}, [{"results": [result("mlp", "a", 0.5)]}], tmp_path)
    assert list(tmp_path.iterdir()) == []
