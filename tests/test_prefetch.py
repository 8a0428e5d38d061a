"""Decoding ahead on a CUDA device, which stand-ins play here: order, what the host waits for, failures."""

from __future__ import annotations

from collections.abc import Iterator

import cuda_stand_in
import pytest
import torch
from cuda_stand_in import DEVICE, Machine, OnDevice, Stream, UnorderedError
from test_loader import make_set
from torch import Tensor
from torch.utils.data import DataLoader

import gsdd_runtime as gsdd
from gsdd_runtime.decoders.torch import TorchDecoder
from gsdd_runtime.devices import send
from gsdd_runtime.errors import GsddError
from gsdd_runtime.loading.map_dataset import decoded
from gsdd_runtime.loading.opening import PlacedDecoder
from gsdd_runtime.loading.prefetch import decode_ahead
from gsdd_runtime.training.augmentation import DEFAULT_STRATEGY, dsa
from gsdd_runtime.training.trainer import Examples

CPU = torch.device("cpu")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    with cuda_stand_in.machine(monkeypatch) as made:
        yield made


def held(batch: tuple[Tensor, Tensor]) -> list[Tensor]:
    assert all(isinstance(tensor, OnDevice) for tensor in batch)
    return [tensor.held for tensor in batch]


def same(ours: list[Tensor], theirs: tuple[Tensor, Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("soft", [False, True], ids=["classes", "soft-labels"])
@pytest.mark.parametrize("augment", [None, "dsa"])
@pytest.mark.parametrize("options", [{}, {"normalize": False}, {"channels_last": True, "size": (20, 24)}], ids=str)
def test_the_host_never_waits(machine: Machine, augment: str | None, soft: bool, options: dict) -> None:
    distilled = make_set(soft=soft)
    ahead = gsdd.DistilledLoader(distilled, 8, device=DEVICE, augment=augment, steps=8, **options)
    machine.waits.clear()
    batches = [held(batch) for batch in ahead]
    assert machine.waits == []
    here = gsdd.DistilledLoader(distilled, 8, device=CPU, augment=augment, steps=8, **options)
    assert all(same(ours, theirs) for ours, theirs in zip(batches, here, strict=True))


@pytest.mark.parametrize("kind", DEFAULT_STRATEGY.split("_"))
def test_no_kind_of_augmentation_waits(machine: Machine, kind: str) -> None:
    images = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    there = send(images, DEVICE)
    changed = dsa(there, torch.Generator().manual_seed(1), strategy=kind)
    assert machine.waits == []
    assert torch.equal(changed.held, dsa(images, torch.Generator().manual_seed(1), strategy=kind))


def test_a_whitened_set_is_decoded_without_waiting(machine: Machine) -> None:
    distilled = make_set()
    zca = torch.randn(3 * 16 * 16 + 1, 3 * 16 * 16, generator=torch.Generator().manual_seed(2))
    whitening = gsdd.DistilledSet(distilled.gaussians, distilled.labels, 16, 16, zca=zca)
    ahead = gsdd.DistilledLoader(whitening, 8, device=DEVICE)
    machine.waits.clear()
    batches = [held(batch) for batch in ahead]
    assert machine.waits == []
    assert all(map(same, batches, gsdd.DistilledLoader(whitening, 8, device=CPU)))


def test_training_examples_come_without_waiting(machine: Machine) -> None:
    examples = Examples(make_set(soft=True), DEVICE)
    machine.waits.clear()
    images, labels = examples.batch(torch.tensor([3, 0, 22]))
    assert machine.waits == []
    expected = Examples(make_set(soft=True), CPU).batch(torch.tensor([3, 0, 22]))
    assert same(held((images, labels)), expected)


def test_an_index_dataloader_is_decoded_without_waiting(machine: Machine) -> None:
    distilled = make_set()
    decoder = TorchDecoder(distilled, device=DEVICE)
    indices = DataLoader(gsdd.DistilledDataset(distilled, indices_only=True), batch_size=8)
    machine.waits.clear()
    images = torch.cat([held(batch)[0] for batch in decoded(indices, decoder, DEVICE)])
    assert machine.waits == []
    assert torch.equal(images, distilled.decode())


class OnCpu:
    """A user's decoder, or a runtime that has no CUDA: all it gives lies in main memory, where nothing else is said."""

    channels, height, width, classes, dtype, device = 3, 16, 16, 5, torch.float32, CPU

    def __init__(self, distilled: gsdd.DistilledSet, *, images_on: torch.device = CPU, fails_at: int = 99) -> None:
        self._set, self._images_on, self._fails_at = distilled, images_on, fails_at
        self.calls = 0

    def __len__(self) -> int:
        return len(self._set)

    def decode(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        self.calls += 1
        if self.calls > self._fails_at:
            raise RuntimeError("out of luck")
        return send(self._set.decode(indices), self._images_on), self._set.labels[indices]


@pytest.mark.parametrize("images_on", [CPU, DEVICE], ids=str)
@pytest.mark.parametrize("augment", [None, "dsa", lambda images: images * 2], ids=["plain", "dsa", "function"])
def test_a_decoder_with_labels_on_the_cpu_serves(machine: Machine, images_on: torch.device, augment: object) -> None:
    distilled = make_set()
    loader = gsdd.DistilledLoader(
        distilled, 8, decoder=OnCpu(distilled, images_on=images_on), device=DEVICE, augment=augment
    )
    machine.waits.clear()
    batches = [held(batch) for batch in loader]
    assert machine.waits == []
    here = gsdd.DistilledLoader(distilled, 8, device=CPU, normalize=False, augment=augment)
    assert all(map(same, batches, here))
    whole = decoded([torch.arange(23)], OnCpu(distilled, images_on=images_on), DEVICE)
    assert torch.equal(held(next(whole))[1], distilled.labels)


def test_an_augmentation_may_leave_the_device(machine: Machine) -> None:
    distilled = make_set()
    loader = gsdd.DistilledLoader(distilled, 8, device=DEVICE, augment=lambda images: images.cpu())
    assert [images.device.type for images, _ in loader] == ["cpu"] * 3


def test_a_placed_decoder_does_not_wait(machine: Machine) -> None:
    distilled = make_set()
    decoder = PlacedDecoder(OnCpu(distilled), DEVICE, True, None, distilled.preparation)
    decoder.decode(torch.arange(2))
    machine.waits.clear()
    images = held(decoder.decode(torch.arange(5)))[0]
    assert machine.waits == []
    assert torch.equal(images, distilled.preparation.apply(distilled.decode(range(5))))


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_depth_batches_are_decoded_ahead_on_a_side_stream(machine: Machine, depth: int) -> None:
    begun: list[tuple[int, Stream]] = []

    def decode(request: int) -> tuple[Tensor, Tensor]:
        begun.append((request, machine.current))
        return torch.zeros(1, device=DEVICE), torch.zeros(1, device=DEVICE)

    for taken, (request, batch) in enumerate(decode_ahead(iter(range(8)), decode, DEVICE, depth)):
        assert len(begun) == min(taken + 1 + depth, 8)
        assert request == taken
        # The memory must outlive what this stream does with it.
        assert all(tensor.recorded == [machine.default] for tensor in batch)
    assert [number for number, _ in begun] == list(range(8))
    assert len({stream for _, stream in begun}) == 1
    assert machine.current is machine.default not in {stream for _, stream in begun}


def test_streams_wait_for_each_other(machine: Machine) -> None:
    scale = torch.ones(3, 1, 1, device=DEVICE) * 2  # written by this stream just before the loop
    distilled = make_set()
    loader = gsdd.DistilledLoader(distilled, 8, device=DEVICE, shuffle=False, augment=lambda images: images * scale)
    images = torch.cat([(images + labels[:, None, None, None]).held for images, labels in loader])
    expected = distilled.decode(normalize=True) * 2 + distilled.labels[:, None, None, None]
    assert torch.equal(images, expected)


def test_good_batches_are_handed_out_before_a_failure(machine: Machine) -> None:
    distilled = make_set(40)
    decoder = OnCpu(distilled, fails_at=3)
    loader = gsdd.DistilledLoader(distilled, 8, decoder=decoder, device=DEVICE, prefetch=4, shuffle=False)
    labels = []
    with pytest.raises(GsddError, match="batch 3 of epoch 0 failed in OnCpu: out of luck"):
        labels.extend(held(batch)[1] for batch in loader)
    assert torch.equal(torch.cat(labels), distilled.labels[:24])
    assert loader.state_dict()["position"] == 3
    assert decoder.calls == 4


def test_a_failure_of_the_requests_waits_its_turn_too(machine: Machine) -> None:
    distilled = make_set()

    def indices() -> Iterator[Tensor]:
        yield torch.arange(4)
        yield torch.arange(4, 8)
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed.")

    decoder = OnCpu(distilled)
    batches = decoded(indices(), decoder, DEVICE, prefetch=5)
    assert [len(next(batches)[1]), len(next(batches)[1])] == [4, 4]
    with pytest.raises(RuntimeError, match="worker"):
        next(batches)
    assert decoder.calls == 2


def test_an_interrupt_is_not_held_back(machine: Machine) -> None:
    def interrupted(request: int) -> tuple[Tensor, Tensor]:
        if request == 1:
            raise KeyboardInterrupt
        return torch.zeros(1, device=DEVICE), torch.zeros(1, device=DEVICE)

    with pytest.raises(KeyboardInterrupt):
        next(decode_ahead(iter(range(3)), interrupted, DEVICE, 2))


def test_the_stand_in_sees_what_waits(machine: Machine) -> None:
    tensor = torch.arange(3.0)
    there = tensor.to(DEVICE)
    assert machine.waits == ["aten::_to_copy"]
    for wait in (
        lambda: tensor.to(DEVICE, non_blocking=True),
        lambda: tensor.pin_memory().to(DEVICE),
        lambda: torch.tensor([1.0], device=DEVICE),
        lambda: there.cpu(),
        lambda: float(there.sum()),
        lambda: there[there > 1],
        lambda: there.nonzero(),
    ):
        machine.waits.clear()
        wait()
        assert len(machine.waits) == 1
    machine.waits.clear()
    assert torch.equal((send(tensor, DEVICE) + torch.zeros(3, device=DEVICE)).held, tensor)
    assert send(there, DEVICE) is there
    assert machine.waits == []


def test_the_stand_in_sees_unordered_streams(machine: Machine) -> None:
    side = Stream()
    written = torch.zeros(3, device=DEVICE) + 1
    with machine.stream(side), pytest.raises(UnorderedError):
        written + 1
    side.wait_stream(machine.default)
    with machine.stream(side):
        doubled = written * 2
    with pytest.raises(UnorderedError):
        doubled + 1
    event = cuda_stand_in.Event()
    event.record(side)
    machine.current.wait_event(event)
    assert torch.equal((doubled + 1).held, torch.full((3,), 3.0))


@pytest.mark.cuda
def test_torch_sees_no_wait_on_a_device() -> None:
    loader = gsdd.DistilledLoader(make_set(), 8, device="cuda", augment="dsa", steps=24)
    list(loader)
    torch.cuda.synchronize()
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        batches = list(loader)
    finally:
        torch.cuda.set_sync_debug_mode(before)
    assert len(batches) == 24
