"""Small archives in the layouts of CIFAR's official ones."""

from __future__ import annotations

import io
import pickle
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gsdd_runtime.datasets.cifar import CIFAR10_NAMES, CIFAR100_NAMES

PER_FILE = 4
Records = dict[str, list[tuple[int, int, bytes]]]


def records(name: str) -> Records:
    """(fine label, coarse label, 3072 bytes) of each file of binary images, by the file's name without suffix."""
    classes = len(CIFAR10_NAMES if name == "cifar10" else CIFAR100_NAMES)
    files = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
    random = np.random.default_rng(5)
    found: Records = {}
    for file in files if name == "cifar10" else ["train", "test"]:
        labels = random.integers(0, classes, PER_FILE).tolist()
        found[file] = [(label, label // 5, random.integers(0, 256, 3072, np.uint8).tobytes()) for label in labels]
    return found


def binary_files(name: str) -> dict[str, bytes]:
    """The files of the binary form, by their names in the archive."""
    if name == "cifar10":
        folder, names = "cifar-10-batches-bin", {"batches.meta.txt": CIFAR10_NAMES}
    else:
        folder, names = "cifar-100-binary", {"fine_label_names.txt": CIFAR100_NAMES}
    files = {f"{folder}/{file}": ("\n".join(classes) + "\n").encode() for file, classes in names.items()}
    for file, rows in records(name).items():
        heads = [bytes([fine]) if name == "cifar10" else bytes([coarse, fine]) for fine, coarse, _ in rows]
        content = b"".join(head + pixels for head, (_, _, pixels) in zip(heads, rows, strict=True))
        files[f"{folder}/{file}.bin"] = content
    return files


def python_files(name: str, protocol: int = 2, text: bool = False) -> dict[str, bytes]:
    """The files of the Python form; with keys of text instead of bytes where that is asked for."""
    first = name == "cifar10"
    folder = "cifar-10-batches-py" if first else "cifar-100-python"
    names = {"label_names": CIFAR10_NAMES} if first else {"fine_label_names": CIFAR100_NAMES}
    values: dict[str, dict[str, Any]] = {
        "batches.meta" if first else "meta": {key: [one.encode() for one in held] for key, held in names.items()}
    }
    for file, rows in records(name).items():
        fine = {"labels" if first else "fine_labels": [row[0] for row in rows]}
        values[file] = {
            "batch_label": b"a batch",
            **fine,
            **({} if first else {"coarse_labels": [row[1] for row in rows]}),
            "data": np.frombuffer(b"".join(row[2] for row in rows), np.uint8).reshape(-1, 3072),
            "filenames": [b"1.png"] * len(rows),
        }
    keys = (lambda key: key) if text else str.encode
    return {
        f"{folder}/{file}": pickle.dumps({keys(key): one for key, one in value.items()}, protocol=protocol)
        for file, value in values.items()
    }


def write(root: Path, files: Mapping[str, bytes]) -> Path:
    """Files by their names below ``root``."""
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def pack(path: Path, files: Mapping[str, bytes], mode: str = "w:gz") -> Path:
    """An archive of files, with the folder they are in as official ones have it."""
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        folder = tarfile.TarInfo(next(iter(files)).split("/")[0])
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path
