"""``gsdd-rt bench train``: every feed gives the same images, and the document says what was measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from test_loader import make_set

from gsdd_runtime.bench.feeds import all_feeds
from gsdd_runtime.bench.train import render_train_table, run_train_bench
from gsdd_runtime.errors import InputError


def test_feeds_give_the_same_images(tmp_path: Path) -> None:
    distilled = make_set(12)
    sums = {}
    for feed in all_feeds(distilled, 12, torch.device("cpu"), 0, tmp_path):
        images, labels = next(feed.batches())
        assert images.shape == (12, 3, 16, 16)
        assert images.dtype == torch.float32
        assert sorted(labels.tolist()) == sorted(distilled.labels.tolist())
        sums[feed.name] = float(images.mean())
    # Files clamp to [0, 1] and round to bytes, JPEG loses more: worst measured 0.09.
    assert max(sums.values()) - min(sums.values()) < 0.15


def test_document() -> None:
    result = run_train_bench(
        names=("convnet1-w8",), rounds=1, steps=1, batch_size=8, workers=0, images=16, fit_steps=2, device="cpu"
    )
    json.dumps(result, allow_nan=False)
    assert [entry["over_memory"]["median"] > 0 for entry in result["results"]] == [True] * 4
    assert [entry["feed"] for entry in result["results"] if "decode_share" in entry] == ["gsdd loader"]
    assert render_train_table(result).row_count == 4


def test_wrong_options() -> None:
    with pytest.raises(InputError, match="rounds"):
        run_train_bench(rounds=0)
