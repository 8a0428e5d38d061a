"""Makes the Fashion-MNIST sample of the package: the first images of each class, in their order.

    python -m gsdd_runtime.datasets.make_sample --data-dir DIR --out gsdd_runtime/data/fashion-mnist-sample

The same source gives the same files: nothing is drawn at random, and no time is written.
"""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import Tensor

from gsdd_runtime.atomic import atomic_path, check_not_read
from gsdd_runtime.datasets.fashion_mnist import CLASS_NAMES, FILES, read_part
from gsdd_runtime.errors import InputError
from gsdd_runtime.wording import counted

PER_CLASS = {"train": 600, "test": 100}


def first_of_each_class(labels: Tensor, count: int) -> Tensor:
    """Positions of the first ``count`` images of each class, ascending."""
    chosen = []
    for label, name in enumerate(CLASS_NAMES):
        positions = torch.nonzero(labels == label).view(-1)[:count]
        if len(positions) < count:
            raise InputError(
                f"class {name} has {counted(len(positions), 'image')}, the sample needs {count}: use the whole dataset"
            )
        chosen.append(positions)
    return torch.cat(chosen).sort().values


def write_idx(path: Path, values: Tensor) -> None:
    """Writes uint8 ``values`` as a gzip-compressed IDX file, without name or time in its header."""
    values = values.contiguous()
    head = bytes([0, 0, 0x08, values.dim()]) + struct.pack(f">{values.dim()}I", *values.shape)
    with atomic_path(path) as temporary:
        temporary.write_bytes(gzip.compress(head + values.numpy().tobytes(), compresslevel=9, mtime=0))


def make_sample(data_dir: Path, out: Path) -> None:
    """Reads the four official files in ``data_dir`` and writes the four of the sample to ``out``."""
    out.mkdir(parents=True, exist_ok=True)
    for name in FILES.values():
        check_not_read(out / f"{name}.gz", [data_dir])
    for part, count in PER_CLASS.items():
        images, labels = read_part(data_dir, part)
        chosen = first_of_each_class(labels, count)
        write_idx(out / f"{FILES[f'{part} images']}.gz", images[chosen, 0])
        write_idx(out / f"{FILES[f'{part} labels']}.gz", labels[chosen].to(torch.uint8))


def main(
    data_dir: Annotated[Path, typer.Option(help="Folder of the four official Fashion-MNIST files.")],
    out: Annotated[Path, typer.Option(help="Folder that the sample is written to.")],
) -> None:
    """Makes the Fashion-MNIST sample of the package."""
    try:
        make_sample(data_dir, out)
    except InputError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error


if __name__ == "__main__":
    typer.run(main)
