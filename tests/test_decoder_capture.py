"""``TorchDecoder.draw``: what a CUDA graph may hold. The device is a stand-in that notes whatever waits or moves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cuda_stand_in
import pytest
import torch
from cuda_stand_in import DEVICE, Machine, OnDevice
from test_loader import make_set
from torch import Tensor

import gsdd_runtime as gsdd
from gsdd_runtime.decoders.torch import TorchDecoder
from gsdd_runtime.devices import send

INDICES = torch.tensor([3, 0, 3, 5])


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    with cuda_stand_in.machine(monkeypatch) as made:
        yield made


def whitened() -> gsdd.DistilledSet:
    plain = make_set()
    zca = torch.randn(3 * 16 * 16 + 1, 3 * 16 * 16, generator=torch.Generator().manual_seed(2))
    return gsdd.DistilledSet(plain.gaussians, plain.labels, 16, 16, zca=zca)


@pytest.mark.parametrize(
    ("made", "options"),
    [
        (make_set, {"normalize": True}),
        (make_set, {"normalize": True, "dtype": torch.bfloat16, "channels_last": True, "size": (20, 24)}),
        (lambda: make_set(soft=True), {}),
        (whitened, {"normalize": True}),
    ],
)  # fmt: skip
def test_nothing_waits_and_nothing_is_moved(
    machine: Machine, made: Any, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    distilled = made()
    there, indices = TorchDecoder(distilled, device=DEVICE, **options), send(INDICES, DEVICE)
    there.draw(indices)  # as before a capture
    moved: list[str] = []
    run, inside = machine.run, [0]

    def watched(name: str, call: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        tensors = [leaf for leaf in torch.utils._pytree.tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        # What a method of a tensor does with the values that the stand-in holds comes here once more.
        if not inside[0] and (not tensors or not all(isinstance(tensor, OnDevice) for tensor in tensors)):
            moved.append(name)
        inside[0] += 1
        try:
            return run(name, call, args, kwargs)
        finally:
            inside[0] -= 1

    monkeypatch.setattr(machine, "run", watched)
    machine.waits.clear()
    images, labels = there.draw(indices)
    assert machine.waits == []
    assert moved == []
    expected = TorchDecoder(distilled, **options).decode(INDICES)
    assert torch.equal(images.held, expected[0])
    assert torch.equal(labels.held, expected[1])


def test_decode_by_indices_of_the_device_does_wait(machine: Machine) -> None:
    """What ``draw`` is for, and that the stand-in would notice."""
    there, indices = TorchDecoder(make_set(), device=DEVICE), send(INDICES, DEVICE)
    machine.waits.clear()
    there.decode(indices)
    assert machine.waits != []


def test_an_index_out_of_range_is_the_nearest_image() -> None:
    decoder = TorchDecoder(make_set(), normalize=True)
    images, labels = decoder.draw(torch.tensor([-4, 10_000]))
    expected = decoder.decode([0, len(decoder) - 1])
    assert torch.equal(images, expected[0])
    assert torch.equal(labels, expected[1])


@pytest.mark.cuda
def test_a_cuda_graph_holds_the_decoder() -> None:
    distilled = make_set()
    decoder, indices = TorchDecoder(distilled, device="cuda", normalize=True), INDICES.cuda()
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        decoder.draw(indices)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        images, labels = decoder.draw(indices)
    indices.copy_(indices.flip(0))
    graph.replay()
    expected = decoder.decode(INDICES.flip(0))
    assert torch.equal(images, expected[0])
    assert torch.equal(labels, expected[1])
