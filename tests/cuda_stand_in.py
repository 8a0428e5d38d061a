"""A CUDA device that is not there: tensors that say ``cuda:0``, streams and events, and a record of what waits.

Kernels run on the CPU at once. What a real device would do later is kept track of: a tensor is written at a tick of a
stream, and reading it on another stream that has not waited for that tick is an error. Whatever would make the host
wait for the device is noted in :attr:`Machine.waits`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from gsdd_runtime import devices
from gsdd_runtime.sets import preparation

DEVICE = torch.device("cuda", 0)

# Methods that want a guard of the device before they reach an op, which a torch without CUDA has not.
_GUARDED = (
    Tensor.__getitem__, Tensor.__float__, Tensor.__int__, Tensor.__bool__, Tensor.item, Tensor.tolist,
    Tensor.nonzero, Tensor.contiguous,
)  # fmt: skip
# What the host has to read from the device, for its value or for the size of the result.
_READING = (
    "__float__", "__int__", "__bool__", "item", "tolist", "nonzero", "aten::equal", "aten::masked_select",
    "aten::_unique2", "aten::_local_scalar_dense",
)  # fmt: skip
_INDEXING = ("__getitem__", "aten::index")


class UnorderedError(Exception):
    """A stream reads what another may not have written yet."""


class Stream:
    """Stands in for torch.cuda.Stream."""

    def __init__(self, device: Any = None) -> None:
        self.seen: dict[Stream, int] = {self: 0}

    def wait_stream(self, other: Stream) -> None:
        self._learn(other.seen)

    def wait_event(self, event: Event) -> None:
        self._learn(event.seen)

    def _learn(self, seen: dict[Stream, int]) -> None:
        for stream, tick in seen.items():
            self.seen[stream] = max(self.seen.get(stream, 0), tick)


class Event:
    """Stands in for torch.cuda.Event."""

    def __init__(self) -> None:
        self.seen: dict[Stream, int] = {}

    def record(self, stream: Stream) -> None:
        self.seen = dict(stream.seen)


class OnDevice(Tensor):
    """A tensor on the device.

    Attributes:
        held: its values.
        written: the stream and the tick; None where the host knows it to be done.
        recorded: the streams that ``record_stream`` was told of.
    """

    machine: Machine
    held: Tensor
    written: tuple[Stream, int] | None
    recorded: list[Stream]

    @staticmethod
    def __new__(cls, machine: Machine, held: Tensor, written: tuple[Stream, int] | None) -> OnDevice:
        made = Tensor._make_wrapper_subclass(
            cls, held.shape, strides=held.stride(), storage_offset=held.storage_offset(), dtype=held.dtype,
            device=DEVICE,
        )  # fmt: skip
        made.machine, made.held, made.written, made.recorded = machine, held, written, []
        return made

    def __repr__(self) -> str:  # type: ignore[override]
        return f"OnDevice({self.held})"

    def record_stream(self, stream: Stream) -> None:
        self.recorded.append(stream)

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        with torch._C.DisableTorchFunctionSubclass():
            if func in _GUARDED:
                return args[0].machine.run(func.__name__, func, args, kwargs or {})
            return func(*args, **(kwargs or {}))

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise RuntimeError(f"{func} on a tensor of the device after its machine was put away")


class Machine(TorchDispatchMode):
    """The device at work: a mode that every op goes through.

    Attributes:
        waits: what the host has waited for, by op.
        current: the current stream; ``default`` to begin with.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []
        self.default = self.current = Stream()

    @contextmanager
    def stream(self, stream: Stream) -> Iterator[None]:
        before, self.current = self.current, stream
        yield
        self.current = before

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func._schema.is_mutable and any(isinstance(leaf, OnDevice) for leaf in tree_leaves(args)):
            raise NotImplementedError(f"{func} changes a tensor in place, which the stand-in does not follow")
        return self.run(func._schema.name, func, args, kwargs or {})

    def run(self, name: str, call: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
        """``call`` with the values that tensors of the device hold, its result on the device if it would be there."""
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        read = [tensor for tensor in given if isinstance(tensor, OnDevice)]
        target = kwargs.get("device")
        arrives = target is not None and torch.device(target).type == DEVICE.type
        leaves = target is not None and not arrives and bool(read)
        for tensor in read:
            self._check_order(name, tensor)
        options = {**kwargs, "device": torch.device("cpu")} if arrives else kwargs
        held, options = tree_map_only(OnDevice, lambda tensor: tensor.held, (args, options))
        result = call(*held, **options)
        if not read and not arrives:
            return result
        copies = arrives and not read and bool(given)
        waits = (
            leaves
            or name in _READING
            or (name in _INDEXING and _index_waits(args[1:]))
            or (copies and not (kwargs.get("non_blocking") and getattr(given[0], "is_pinned_here", False)))
        )
        if waits:
            self.waits.append(name)
        if leaves:
            return result
        self.current.seen[self.current] += 1
        written = None if waits else (self.current, self.current.seen[self.current])
        return tree_map_only(Tensor, lambda tensor: OnDevice(self, tensor, written), result)

    def _check_order(self, name: str, tensor: OnDevice) -> None:
        if tensor.written is not None:
            stream, tick = tensor.written
            if self.current.seen.get(stream, 0) < tick:
                raise UnorderedError(f"{name} reads what another stream writes, and has not waited for it")


def _index_waits(index: Any) -> bool:
    """Masks become positions on the host, and what lies in main memory is copied from there."""
    leaves = tree_leaves(index)
    if any(isinstance(leaf, list) for leaf in index):
        return True
    return any(isinstance(leaf, Tensor) and (leaf.dtype == torch.bool or not leaf.is_cuda) for leaf in leaves)


def _pinned(tensor: Tensor, device: Any = None) -> Tensor:
    if isinstance(tensor, OnDevice):
        raise RuntimeError("cannot pin 'torch.cuda.FloatTensor' only dense CPU tensors can be pinned")
    copy = tensor.clone()
    copy.is_pinned_here = True  # type: ignore[attr-defined]
    return copy


@contextmanager
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """A machine with one such device, for as long as the context lasts."""
    made = Machine()
    replacements = {
        "is_available": lambda: True, "device_count": lambda: 1, "_lazy_init": lambda: None,
        "Stream": Stream, "Event": Event, "stream": made.stream, "current_stream": lambda device=None: made.current,
        "is_current_stream_capturing": lambda: False,
        "get_device_properties": lambda device=None: type("Properties", (), {"total_memory": 1 << 40}),
    }  # fmt: skip
    # As FakeTensorMode does: torch.tensor(..., device="cuda") passes modes by, unless it makes its tensor on the CPU.
    before = torch._C._only_lift_cpu_tensors()
    # Tensors are kept for each device: none of this one's may outlive it.
    preparation._on_device.cache_clear()
    with monkeypatch.context() as patch, made:
        for name, replacement in replacements.items():
            patch.setattr(torch.cuda, name, replacement)
        patch.setattr(Tensor, "pin_memory", _pinned)
        patch.setattr(devices, "cuda_problem", lambda index: None)
        torch._C._set_only_lift_cpu_tensors(True)
        try:
            yield made
        finally:
            torch._C._set_only_lift_cpu_tensors(before)
            preparation._on_device.cache_clear()
