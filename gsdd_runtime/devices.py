"""Where tensors live: the device that a name stands for."""

from __future__ import annotations

import torch

from gsdd_runtime.errors import InputError


def resolve_device(name: str | torch.device) -> torch.device:
    """``"auto"`` is CUDA where there is a device, else the CPU.

    Raises:
        InputError: another name, or CUDA where there is none.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"device {name!r} is not known: choose auto, cpu or cuda") from error
    if device.type not in ("cpu", "cuda"):
        raise InputError(f"device {str(name)!r} is not supported: choose auto, cpu or cuda")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(f"device {str(name)!r} was asked for, this machine has no such device: choose cpu")
    return device
