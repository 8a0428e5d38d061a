"""A machine with an NVIDIA GPU, simulated: torch says that there are devices, and the kernel what it was built for."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from gsdd_runtime import devices, progress


def simulate(
    monkeypatch: pytest.MonkeyPatch,
    *,
    architectures: str = "",
    capability: tuple[int, int] = (9, 0),
    count: int = 1,
    current: int = 0,
    refusal: str | None = None,
) -> None:
    """Patches what is asked of torch and of our library.

    Args:
        architectures: what the kernel was built for, in CMake's notation; none for a build without CUDA.
        capability: of every device.
        count: devices.
        current: device of torch.
        refusal: what a launch ends with.
    """
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: current)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=None: "NVIDIA Pretend")
    memory = SimpleNamespace(total_memory=80 << 30)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device=None: memory)
    monkeypatch.setattr(devices, "kernel_architectures", lambda: architectures)
    monkeypatch.setattr(devices, "launch_problem", lambda index: refusal)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    progress.say_once.cache_clear()
