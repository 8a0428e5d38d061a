"""A ``.safetensors`` of tensors that nobody holds whole: written from one end to the other, as their pieces come."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor


@dataclass(frozen=True)
class Streamed:
    """A float32 tensor that comes a piece at a time.

    Attributes:
        shape: of the whole.
        pieces: gives its rows one after the other, on the CPU.
    """

    shape: tuple[int, ...]
    pieces: Callable[[], Iterator[Tensor]]

    def numel(self) -> int:
        return math.prod(self.shape)

    def element_size(self) -> int:
        """Bytes of a number."""
        return 4


Tensors: TypeAlias = Mapping[str, Tensor | Streamed]


def in_order(tensors: Tensors) -> list[tuple[str, Tensor | Streamed]]:
    """``tensors`` as they follow each other in the file."""
    return sorted(tensors.items())


def write_streamed(path: Path, metadata: Mapping[str, str], tensors: Tensors) -> None:
    """Writes what ``safetensors.torch.save_file`` would write of the whole tensors, byte for byte.

    Args:
        path: of the file.
        metadata: of the header.
        tensors: float32.

    Raises:
        ValueError: a tensor of another type.
        OSError: the file cannot be written.
    """
    header: dict[str, object] = {"__metadata__": dict(metadata)}
    done = 0
    for name, tensor in in_order(tensors):
        if isinstance(tensor, Tensor) and tensor.dtype != torch.float32:
            raise ValueError(f"{name} is {tensor.dtype}, not float32")
        size = tensor.numel() * tensor.element_size()
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [done, done + size]}
        done += size
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, tensor in in_order(tensors):
            for piece in [tensor] if isinstance(tensor, Tensor) else tensor.pieces():
                piece.detach().cpu().contiguous().numpy().tofile(file)
