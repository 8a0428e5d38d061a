"""``gsdd-rt bench train``: every feed gives the same images, and the document says what was measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from test_loader import make_set

from gsdd_runtime.bench.dali_files import can_decode_files
from gsdd_runtime.bench.feeds import JpegFiles, all_feeds
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
    feeds = [entry["feed"] for entry in result["results"]]
    assert len(feeds) == 4 + can_decode_files()
    assert all(entry["over_memory"]["median"] > 0 for entry in result["results"])
    assert [entry["feed"] for entry in result["results"] if "decode_share" in entry] == ["gsdd loader"]
    assert render_train_table(result).row_count == len(feeds)


@pytest.mark.skipif(not can_decode_files(), reason="DALI has no decoders here: make dali")
def test_dali_s_files_are_pillow_s_shuffled_and_each_once(tmp_path: Path) -> None:
    distilled, cpu = make_set(12), torch.device("cpu")
    feeds = {feed.name: feed.batches() for feed in all_feeds(distilled, 4, cpu, 0, tmp_path)}
    seen = [next(feeds["JPEG files, DALI"]) for _ in range(6)]
    assert all(images.shape == (4, 3, 16, 16) and images.dtype == torch.float32 for images, _ in seen)
    epochs = [torch.cat([labels for _, labels in part]) for part in (seen[:3], seen[3:])]
    for epoch in epochs:
        assert sorted(epoch.tolist()) == sorted(distilled.labels.tolist())
    images = torch.cat([images for images, _ in seen[:3]])
    # Not onto the files that DALI maps and reads ahead of use: they would be cut short beneath it.
    again = tmp_path / "again"
    again.mkdir()
    stored = JpegFiles(distilled, again)
    for image, label in zip(images, epochs[0].tolist(), strict=True):
        # Decoders differ by a rounding or two of 255, which the deviation makes larger.
        best = min((float((image - stored[at][0]).abs().max()), stored[at][1]) for at in range(12))
        assert best[0] < 0.1
        assert best[1] == label


def test_wrong_options() -> None:
    with pytest.raises(InputError, match="rounds"):
        run_train_bench(rounds=0)
