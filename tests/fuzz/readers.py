"""What is fuzzed in Python: each reader of a file that somebody was sent, sound files to begin with, what may happen.

An input is the bytes of a file. Those of our own files may also be their parts, so that a change of one part does not
break the lengths of the others: ``P``, the header without its description, 0, the description, 0, the tensors' bytes.
A tar may follow a ``T``: then the sums of its headers are made right, of the first and of each that says it is one.
"""

from __future__ import annotations

import json
import struct
import tarfile
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from io import BytesIO
from pathlib import Path
from random import Random

import numpy as np
import torch
from cifar_files import binary_files, python_files
from set_files import some_gaussians, some_set, split_file
from test_container import KINDS
from test_datasets_imagenet import structures

from gsdd_runtime.datasets import imagenet
from gsdd_runtime.datasets.archive_listing import open_archive
from gsdd_runtime.datasets.cifar import load_cifar
from gsdd_runtime.datasets.idx import read_idx
from gsdd_runtime.datasets.mat5 import read_mat
from gsdd_runtime.datasets.plain_pickle import read_plain_pickle
from gsdd_runtime.errors import CONTROLS, InputError
from gsdd_runtime.sets.compression import compress
from gsdd_runtime.sets.description import description
from gsdd_runtime.sets.distilled_set import DistilledSet
from gsdd_runtime.sets.foreign import foreign_set, images_and_labels

PARTS, SUMMED = b"P", b"T"


@dataclass
class Target:
    """One reader.

    Attributes:
        name: of the file that an input is written to.
        read: reads it, and uses what it read.
        sound: writes sound files into a folder.
        key: of the description in the metadata, where it is one of our files.
        words: that its inputs are made of.
        tar: whether it may be one.
    """

    name: str
    read: Callable[[Path], object]
    sound: Callable[[Path], list[Path]]
    key: str = ""
    words: tuple[str, ...] = field(default=())
    tar: bool = False

    @cached_property
    def corpus(self) -> list[bytes]:
        """Sound files, whole and in parts."""
        with tempfile.TemporaryDirectory() as place:
            found = []
            for path in self.sound(Path(place)):
                found.append(path.read_bytes())
                if self.key:
                    found.append(self.parts(path))
                if self.tar:
                    found.append(SUMMED + found[-1])
            return found

    def parts(self, path: Path) -> bytes:
        header, payload = split_file(path)
        description = header.pop("__metadata__")[self.key]
        return b"\0".join((PARTS + json.dumps(header).encode(), description.encode(), payload))

    def content(self, data: bytes) -> bytes:
        """The file that an input stands for."""
        if self.tar and data[:1] == SUMMED:
            return _summed(data[1:])
        parts = data[1:].split(b"\0", 2)
        if not self.key or data[:1] != PARTS or len(parts) < 3:
            return data
        try:
            header = json.loads(parts[0])
            header["__metadata__"] = {self.key: parts[1].decode()}
            text = json.dumps(header).encode()
        except (ValueError, TypeError, RecursionError):
            text = parts[0]
        text += b" " * (-len(text) % 8)
        return struct.pack("<Q", len(text)) + text + parts[2]

    def attempt(self, data: bytes, folder: Path) -> str:
        """Reads an input: nothing where it is taken, the one line that refuses it else.

        Raises:
            AssertionError: the line is no single, printable one that names the file.
            Whatever the reader raised that is no InputError: that is what is looked for.
        """
        path = folder / self.name
        path.write_bytes(self.content(data))
        try:
            self.read(path)
        except InputError as error:
            message = str(error)
            assert message
            assert not CONTROLS.search(message)
            return message
        return ""


def _summed(tar: bytes) -> bytes:
    """With the sums that tarfile asks of headers, in every block that says it is one."""
    blocks = [bytearray(tar[at : at + tarfile.BLOCKSIZE]) for at in range(0, len(tar), tarfile.BLOCKSIZE)]
    for number, block in enumerate(blocks):
        if len(block) == tarfile.BLOCKSIZE and (not number or block[257:262] == b"ustar"):
            block[148:156] = b"%06o\0 " % (256 + sum(block[:148]) + sum(block[156:]))
    return b"".join(blocks)


def _use_set(path: Path) -> None:
    one = DistilledSet.load(path)
    assert 0 <= int(one.hard_labels.min()) <= int(one.hard_labels.max()) < one.classes
    assert torch.isfinite(one.rows().float()).all()
    json.dumps(description(one))


def _set_of(kind: str) -> Callable[[Path], list[Path]]:
    def write(folder: Path) -> list[Path]:
        # As small as they may be: coded ones take milliseconds.
        soft = torch.rand(2, 3, generator=torch.Generator().manual_seed(0)).half()
        small = DistilledSet(some_gaussians(2, 2), torch.tensor([0, 1]), 6, 5, mean=[0.5], std=[0.5])
        sets = [small, DistilledSet(some_gaussians(2, 1, channels=3), soft, 6, 5)]
        pixels = torch.rand(2, 1, 3, 4, generator=torch.Generator().manual_seed(1)).to(torch.bfloat16)
        pixels_set = DistilledSet(None, torch.tensor([0, 1]), 3, 4, pixels=pixels, mean=[0.5], std=[0.5])
        if kind == "coded":
            sets = [compress(one).distilled_set for one in sets]
            sets += [compress(pixels_set, pixel_bits=bits).distilled_set for bits in (2, 8)]
        else:
            sets += [pixels_set, some_set(channels=3)]
        paths = [folder / f"{kind}-{number}.safetensors" for number in range(len(sets))]
        for one, path in zip(sets, paths, strict=True):
            one.save(path)
        return paths

    return write


def _of_kind(kind: str) -> Callable[[Path], list[Path]]:
    def write(folder: Path) -> list[Path]:
        KINDS[kind][0](folder / "file.safetensors")
        return [folder / "file.safetensors"]

    return write


def _read_trajectory(path: Path) -> None:
    KINDS["expert"][1](path).parameters(-1)


def _idx(folder: Path) -> list[Path]:
    images, labels = folder / "images", folder / "labels"
    images.write_bytes(struct.pack(">HBBIII", 0, 8, 3, 2, 4, 4) + bytes(range(32)))
    labels.write_bytes(struct.pack(">HBBI", 0, 8, 1, 5) + bytes(range(5)))
    return [images, labels]


def _read_idx(path: Path) -> None:
    read_idx(path, 1 if path.read_bytes()[3:4] == b"\1" else 3)


def _cifar(folder: Path) -> list[Path]:
    # An image in each file: a whole archive is a hundred kilobytes of chance.
    files = binary_files("cifar10")
    return [_packed(folder / "a.tar", {name: content[:3073] for name, content in files.items()})]


def _packed(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, BytesIO(content))
        end = archive.offset
    # Its two blocks of zeros are enough of an end, and a tenth of what tarfile writes.
    with path.open("r+b") as file:
        file.truncate(end + 2 * tarfile.BLOCKSIZE)
    return path


def _pickles(folder: Path) -> list[Path]:
    made = []
    for protocol in (0, 2, 4):
        content = python_files("cifar10", protocol)
        name = min(content)
        made.append(folder / f"{protocol}.pickle")
        made[-1].write_bytes(content[name])
    return made


def _archives(folder: Path) -> list[Path]:
    tar = _packed(folder / "a.tar", {"train/a/1.png": b"picture", "train/b/2.png": b"another"})
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        archive.writestr("train/a/1.png", b"picture")
    return [tar, folder / "a.zip"]


def _nested(folder: Path) -> list[Path]:
    inner = _packed(folder / "n1.tar", {"1.png": b"picture"}).read_bytes()
    return [_packed(folder / "a.tar", {"n1.tar": inner, "x/2.png": b"another"})]


def _read_archive(path: Path, *, nested: bool = False) -> None:
    root = open_archive(path, nested=nested)
    for inner in list(root.archive.entries)[:20]:
        (root / inner).open().read()


def _tensors(folder: Path) -> list[Path]:
    images, labels = torch.rand(2, 1, 3, 3), torch.tensor([0, 1])
    torch.save([images, labels], folder / "a.pt")
    torch.save({"images": images, "labels": labels}, folder / "b.pt", _use_new_zipfile_serialization=False)
    return [folder / "a.pt", folder / "b.pt"]


def _arrays(folder: Path) -> list[Path]:
    np.savez(folder / "a.npz", images=np.zeros((2, 1, 3, 3), np.float32), labels=np.array([0, 1]))
    np.savez_compressed(folder / "b.npz", images=np.zeros((2, 1, 3, 3), np.float32), labels=np.array([0, 1]))
    return [folder / "a.npz", folder / "b.npz"]


def _import(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        foreign_set(*images_and_labels(path, None))


def _read_kit(path: Path) -> None:
    path.with_name("ILSVRC2012_validation_ground_truth.txt").write_text("1\n")
    imagenet._classes_of_test(path.parent)


def _kit(folder: Path) -> list[Path]:
    rows: list[dict[str, float | str]] = [{"ILSVRC2012_ID": 1, "WNID": "n1"}, {"ILSVRC2012_ID": 300, "WNID": "n2"}]
    path = folder / "meta.mat"
    path.write_bytes(structures("synsets", rows, False))
    return [path]


def _mat(folder: Path) -> list[Path]:
    data = np.arange(6, dtype="<u1")
    flags = struct.pack("<IIII", 6, 8, 9, 0) + struct.pack("<IIii", 5, 8, 2, 3)
    name = struct.pack("<HH4s", 1, 1, b"X\0\0\0")
    body = flags + name + struct.pack("<II", 2, 6) + data.tobytes() + bytes(2)
    path = folder / "a.mat"
    path.write_bytes(
        b"MATLAB".ljust(124) + struct.pack("<H2s", 0x0100, b"IM") + struct.pack("<II", 14, len(body)) + body
    )
    return [path]


JSON = (
    '"',
    ":",
    ",",
    "[",
    "]",
    "{",
    "}",
    "null",
    "true",
    "NaN",
    "1e999",
    "-1",
    "0",
    "1.5",
    "18446744073709551616",
    "\\u",
)
HEADER = (*JSON, '"dtype"', '"shape"', '"data_offsets"', '"BF16"', '"I64"', '"F16"', '"F32"', '"U8"', '"F64"', '"BOOL"')
SET = (
    *HEADER, '"gaussians"', '"pixels"', '"labels"', '"soft_labels"', '"zca"', '"coded"', '"height"', '"width"',
    '"channels"', '"classes"', '"class_names"', '"normalization"', '"mean"', '"std"', '"accuracy"', '"coding"',
    '"steps"', '"training"', '"format_version"', '"representation"',
)  # fmt: skip
NETWORKS = ('"network"', '"convnet1-w4"', '"mlp"', '"vit"', '"resnet18"', '"timm:resnet18"', '"os:system"', *HEADER)

# Sizes in binary of more than memory, than a file and than an offset have.
TAR = ("ustar", *("\x80" + "\0" * (10 - zeros) + "\x10" + "\0" * zeros for zeros in (4, 7, 9)))

TARGETS = {
    "set": Target("set.safetensors", _use_set, _set_of("plain"), "gsdd", SET),
    "coded": Target("set.safetensors", _use_set, _set_of("coded"), "gsdd", SET),
    "model": Target("model.safetensors", KINDS["network"][1], _of_kind("network"), KINDS["network"][2], NETWORKS),
    "checkpoint": Target(
        "set.checkpoint", KINDS["checkpoint"][1], _of_kind("checkpoint"), KINDS["checkpoint"][2], HEADER
    ),
    "expert": Target("trajectory.safetensors", _read_trajectory, _of_kind("expert"), KINDS["expert"][2], NETWORKS),
    "idx": Target("images-idx3-ubyte", _read_idx, _idx),
    "cifar": Target(
        "cifar.tar", lambda path: load_cifar("cifar10", path), _cifar, words=(*TAR, "data_batch_1.bin"), tar=True
    ),
    "pickle": Target("data_batch_1", read_plain_pickle, _pickles, words=("numpy", "_reconstruct", "ndarray", "dtype")),
    "archive": Target(
        "pictures.tar", _read_archive, _archives, words=(*TAR, "PK\x01\x02", "PK\x05\x06", "../"), tar=True
    ),
    "nested": Target("train.tar", partial(_read_archive, nested=True), _nested, words=(*TAR, ".tar", "../"), tar=True),
    "tensors": Target("images.pt", _import, _tensors, words=("torch", "_rebuild_tensor_v2", "FloatStorage")),
    "arrays": Target("images.npz", _import, _arrays, words=("\x93NUMPY", "'descr'", "'<f4'", "'shape'", "PK\x01\x02")),
    "kit": Target("meta.mat", _read_kit, _kit, words=("synsets", "WNID", "ILSVRC2012_ID")),
    "mat": Target("train_32x32.mat", lambda path: read_mat(path, ["X", "y"]), _mat),
}


def mutated(target: Target, chance: Random) -> bytes:
    """A sound file changed at random places: what the tests read, which have no fuzzer."""
    data = bytearray(chance.choice(target.corpus))
    for _ in range(chance.randint(1, 4)):
        at, how = chance.randrange(len(data) + 1), chance.randrange(6)
        if how == 0 and at < len(data):
            data[at] ^= 1 << chance.randrange(8)
        elif how == 1:
            data[at : at + chance.choice((1, 2, 4, 30))] = b""
        elif how == 2:
            data[at : at + chance.choice((0, 4))] = chance.choice((b"\0", b"\xff")) * chance.choice((1, 4, 8))
        elif how == 3:
            data[at:at] = data[(other := chance.randrange(len(data) + 1)) : other + chance.choice((4, 60))]
        elif target.words:
            word = chance.choice(target.words).encode("latin-1")
            data[at : at + chance.choice((0, len(word)))] = word
    return bytes(data)
