"""What a measurement was taken on."""

from __future__ import annotations

import os
import platform
from typing import Any

import torch

from gsdd_runtime.versions import VERSION


def processor_name() -> str:
    """As the system names it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def load_average() -> float | None:
    """Processes that wanted a core over the last minute, this one among them; None where the system does not say."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def describe_machine() -> dict[str, Any]:
    """A JSON-able description of the processor and the versions."""
    return {
        "processor": processor_name(),
        "cores": usable_cores(),
        "torch_cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "gsdd_kernel": kernel_path(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "gsdd_rt": VERSION,
    }


def kernel_path() -> str:
    """The instruction set that the native CPU kernel chose, or ``"unknown"``."""
    from gsdd_runtime.splatting.native import load_torch_library

    load_torch_library()
    op = getattr(torch.ops.gsdd, "cpu_kernel", None)
    return str(op()) if op is not None else "unknown"
