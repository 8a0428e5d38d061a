"""Where tensors live: the device that a name stands for, and why CUDA cannot be it."""

from __future__ import annotations

import os
import re
from functools import cache

import torch
from torch import Tensor

from gsdd_runtime.errors import InputError, LibraryNotBuiltError
from gsdd_runtime.progress import say_once
from gsdd_runtime.splatting.native import load_torch_library


def resolve_device(name: str | torch.device) -> torch.device:
    """The device that a name stands for.

    ``"auto"`` is CUDA where there is a device that the kernel runs on, else the CPU; where a device is left unused,
    stderr says once why and how to change that. ``"cuda"`` is the one that :func:`cuda_index` says.

    Raises:
        InputError: another name, CUDA where there is none, or a device that the kernel cannot run on.
    """
    if name == "auto":
        return _usable_device()
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"device {name!r} is not known: choose auto, cpu or cuda") from error
    if device.type not in ("cpu", "cuda"):
        raise InputError(f"device {str(name)!r} is not supported: choose auto, cpu or cuda")
    if device.type == "cpu":
        return device
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if (device.index or 0) >= count:
        seen = f"sees {count} CUDA devices: choose one of them, or cpu" if count else "sees no CUDA device: choose cpu"
        raise InputError(f"device {str(name)!r} was asked for, and torch {torch.__version__} {seen}")
    index = cuda_index() if device.index is None else device.index
    problem = cuda_problem(index)
    if problem is not None:
        raise InputError(f"device {str(name)!r} was asked for, but {problem}; or choose cpu")
    return torch.device("cuda", index)


def _usable_device() -> torch.device:
    if not torch.cuda.is_available():
        return torch.device("cpu")
    problem = _build_problem()
    if problem is None:
        index = cuda_index()
        problem = cuda_problem(index)
        if problem is None:
            return torch.device("cuda", index)
    say_once(f"there is a CUDA device, and the CPU is used: {problem} (device cpu says no more of it)")
    return torch.device("cpu")


def cuda_index() -> int:
    """The CUDA device that is meant where none is named.

    The current one, where the program has chosen one; else that of ``LOCAL_RANK``, where torchrun or its like has set
    it; else the first.

    Raises:
        InputError: ``LOCAL_RANK`` is beyond the devices.
    """
    current = torch.cuda.current_device() if torch.cuda.is_initialized() else 0
    rank, count = os.environ.get("LOCAL_RANK", ""), torch.cuda.device_count()
    # One device and many ranks: the launcher shows each process its own.
    if current != 0 or count < 2 or not rank.isdigit():
        return current
    if int(rank) >= count:
        raise InputError(f"LOCAL_RANK is {rank}, and there are {count} CUDA devices: start one process a device")
    return int(rank)


def cuda_problem(index: int) -> str | None:
    """Why our kernel cannot run on a CUDA device of this machine, and what to do; None where it can."""
    problem = _build_problem()
    if problem is not None:
        return problem
    architectures = kernel_architectures()
    capability = torch.cuda.get_device_capability(index)
    if not any(_serves(word, capability) for word in architectures.split()):
        major, minor = capability
        return (
            f"the CUDA kernel was built for {architectures}, not for compute capability {major}.{minor} "
            f"({torch.cuda.get_device_name(index)}): build again with -DCMAKE_CUDA_ARCHITECTURES={major}{minor} "
            "(docs/building.md)"
        )
    refused = launch_problem(index)
    return None if refused is None else f"the CUDA kernel does not start here ({refused}): see `gsdd-rt doctor`"


def _build_problem() -> str | None:
    """Why there is no CUDA kernel at all."""
    try:
        if kernel_architectures():
            return None
    except LibraryNotBuiltError as error:
        return str(error)
    return (
        "gsdd-rt was built without its CUDA kernel: install the CUDA toolkit (nvcc 12 or newer) and run `make build` "
        "in a checkout (docs/building.md)"
    )


def kernel_architectures() -> str:
    """What the CUDA kernel was built for, in CMake's words, such as ``"80-real 90-real 90-virtual"``; empty without it.

    Raises:
        LibraryNotBuiltError: the torch library is not there, or this torch cannot load it.
    """
    load_torch_library()
    return str(torch.ops.gsdd.cuda_architectures())


@cache
def launch_problem(index: int) -> str | None:
    """What a launch of the kernel on a device ends with, in one line; None where it runs."""
    try:
        torch.ops.gsdd.splat(torch.zeros(1, 1, 7, device=f"cuda:{index}"), 1, 1, 1, 1)
    except RuntimeError as error:
        return " ".join(str(error).split())[:300]
    return None


def _serves(word: str, capability: tuple[int, int]) -> bool:
    """Whether code of one of CMake's architectures runs on a device.

    Machine code runs on its own major version from its minor version on, PTX on everything from its version on. With
    the suffix ``a`` both run on that version alone, with ``f`` on the versions of its family.
    """
    match = re.fullmatch(r"(\d+)(\d)([af]?)(-real|-virtual)?", word)
    if match is None:
        return False
    built = int(match[1]), int(match[2])
    if match[3] == "a":
        return capability == built
    within = capability[0] == built[0] and capability[1] >= built[1]
    return within or (match[4] != "-real" and match[3] == "" and capability >= built)


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """``tensor`` on ``device``, itself where it is there already; the host does not wait for a CUDA device.

    A copy from ordinary memory waits until the device has done all it was given; one from pinned memory takes its turn.
    """
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def peak_device_memory() -> int | None:
    """Bytes of CUDA memory that this process held at most so far; None where it uses none."""
    if not torch.cuda.is_available() or not torch.cuda.is_initialized():
        return None
    return int(torch.cuda.max_memory_allocated())
