"""Distilled sets and their files for the tests, whole and damaged."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from gsdd_runtime.errors import InputError
from gsdd_runtime.sets.distilled_set import DistilledSet

Header = dict[str, Any]


def some_gaussians(images: int = 6, count: int = 4, channels: int = 1, seed: int = 0) -> torch.Tensor:
    """bfloat16 ``[images, count, 6 + channels]``, drawn from a seed."""
    generator = torch.Generator().manual_seed(seed)
    gaussians = torch.rand(images, count, 6 + channels, generator=generator) * 2 - 1
    gaussians[..., 2:5] *= 3
    gaussians[..., -1] = 0.9
    return gaussians.to(torch.bfloat16)


def some_set(images: int = 6, classes: int = 3, channels: int = 1, **options: Any) -> DistilledSet:
    """A Gaussian set of 12x10 pixels with everything in its description filled in."""
    settings: dict[str, Any] = {
        "class_names": [f"class {index}" for index in range(classes)],
        "mean": [0.25] * channels,
        "std": [0.5] * channels,
        "ipc": 1,
        "gpc": images // classes,
        "method": "dm",
        "options": {"iterations": 10, "augmentation": ["crop", "flip"]},
        "seed": 7,
        "fingerprint": "sha256:00",
        "versions": {"gsdd-rt": "0.1.0"},
    }
    labels = torch.arange(images) % classes
    return DistilledSet(some_gaussians(images, channels=channels), labels, 12, 10, **{**settings, **options})


def some_zca(channels: int = 1, height: int = 12, width: int = 10) -> torch.Tensor:
    """A matrix that whitens images of that shape to numbers of order one, float32 ``[D + 1, D]``."""
    length = channels * height * width
    return torch.randn(length + 1, length, generator=torch.Generator().manual_seed(2)) / length**0.5


def whitened_by_hand(images: torch.Tensor, zca: torch.Tensor) -> torch.Tensor:
    """``[x, 1] @ zca`` in float64, for images in pixel units flattened to ``x``."""
    rows = images.double().flatten(1)
    return (torch.cat([rows, torch.ones(len(rows), 1)], dim=1) @ zca.double()).view(images.shape)


def pixel_set(images: int = 6, channels: int = 3, **options: Any) -> DistilledSet:
    """A pixel set of 12x10 pixels."""
    generator = torch.Generator().manual_seed(1)
    pixels = torch.rand(images, channels, 12, 10, generator=generator).to(torch.bfloat16)
    return DistilledSet(
        None, torch.arange(images) % 3, 12, 10, pixels=pixels, mean=[0.25] * channels, std=[0.5] * channels, **options
    )


def saved(folder: Path, distilled_set: DistilledSet | None = None) -> Path:
    """The path of a saved set."""
    path = folder / "set.safetensors"
    (distilled_set or some_set()).save(path)
    return path


def split_file(path: Path) -> tuple[Header, bytes]:
    """The header as JSON and the bytes after it."""
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def join_file(path: Path, header: Header | str, payload: bytes) -> Path:
    """Writes a .safetensors file from its parts, whatever they are."""
    text = (header if isinstance(header, str) else json.dumps(header)).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + payload)
    return path


def edited(path: Path, change: Callable[[Header], Any]) -> Path:
    """``path`` with ``change`` done to the description in its metadata."""
    header, payload = split_file(path)
    description = json.loads(header["__metadata__"]["gsdd"])
    change(description)
    header["__metadata__"]["gsdd"] = json.dumps(description)
    return join_file(path, header, payload)


def with_tensor(path: Path, **tensors: torch.Tensor | None) -> Path:
    """``path`` with tensors replaced, added or (None) taken away, by the safetensors library itself."""
    import safetensors.torch

    header, _ = split_file(path)
    merged = {**safetensors.torch.load_file(path), **tensors}
    present = {name: tensor.clone() for name, tensor in merged.items() if tensor is not None}
    safetensors.torch.save_file(present, path, metadata=header["__metadata__"])
    return path


def refused(path: Path, *words: str) -> None:
    """Loading raises InputError: one line that names the file and says ``words``."""
    with pytest.raises(InputError) as caught:
        DistilledSet.load(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    for word in words:
        assert word in message, message
