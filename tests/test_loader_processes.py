"""DistilledLoader among other ranks, and on a CUDA device."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from test_loader import make_set

import gsdd_runtime as gsdd

PROGRAM = """
import json, sys
import torch.distributed
import gsdd_runtime as gsdd

store, path, rank = sys.argv[1:]
torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=int(rank), world_size=2)
loader = gsdd.DistilledLoader(path, 4, device="cpu", shuffle=False)
print(json.dumps([label for _, labels in loader for label in labels.tolist()]))
torch.distributed.destroy_process_group()
"""


def test_ranks_are_found(tmp_path: Path) -> None:
    distilled = make_set(24)
    distilled.save(tmp_path / "set.safetensors")
    arguments = [sys.executable, "-c", PROGRAM, str(tmp_path / "store"), str(tmp_path / "set.safetensors")]
    ranks = [subprocess.Popen([*arguments, str(rank)], stdout=subprocess.PIPE, text=True) for rank in range(2)]
    seen = [json.loads(process.communicate(timeout=120)[0]) for process in ranks]
    assert seen == [distilled.labels[0::2].tolist(), distilled.labels[1::2].tolist()]


@pytest.mark.cuda
@pytest.mark.parametrize("prefetch", [0, 1, 2, 5])
def test_decodes_ahead_on_a_side_stream(prefetch: int) -> None:
    def batches(device: str) -> list[tuple[torch.Tensor, torch.Tensor]]:
        loader = gsdd.DistilledLoader(make_set(100), 8, device=device, augment="dsa", prefetch=prefetch)
        taken = []
        for images, labels in loader:
            # Work on the consumer's stream: a batch that was handed out too early, or overwritten, would differ.
            for _ in range(20 if device == "cuda" else 0):
                torch.randn(512, 512, device=device) @ torch.randn(512, 512, device=device)
            taken.append((images.cpu(), labels.cpu()))
        return taken

    for (images, labels), (expected, expected_labels) in zip(batches("cuda"), batches("cpu"), strict=True):
        torch.testing.assert_close(images, expected, atol=5e-3, rtol=0)
        assert torch.equal(labels, expected_labels)


@pytest.mark.cuda
def test_two_epochs_on_a_device_have_the_same_bits() -> None:
    def epoch() -> list[torch.Tensor]:
        return [images for images, _ in gsdd.DistilledLoader(make_set(), 8, device="cuda", dtype=torch.bfloat16)]

    assert all(torch.equal(one, other) for one, other in zip(epoch(), epoch(), strict=True))
