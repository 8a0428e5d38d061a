"""Pickled files as plain data: every form that arrays come in is read, everything that could run is refused by name."""

from __future__ import annotations

import collections
import os
import pickle
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gsdd_runtime.datasets import plain_pickle
from gsdd_runtime.datasets.plain_pickle import plain_value, read_plain_pickle
from gsdd_runtime.errors import InputError

# A batch as Python 2 wrote it: text is bytes (BINSTRING, SHORT_BINSTRING), an array's bytes too.
PYTHON_2 = (
    b"\x80\x02}q\x01(U\x04dataq\x02cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq\x04K\x00\x85q\x05U\x01b"
    b"\x87Rq\x06(K\x01K\x02K\x03\x86q\x07cnumpy\ndtype\nq\x08U\x02u1K\x00K\x01\x87Rq\x09(K\x03U\x01|NNNJ\xff\xff\xff\xff"
    b"J\xff\xff\xff\xffK\x00tb\x89U\x06\x00\x01\x7f\x80\xfe\xfftbU\x06labelsq\x0a]q\x0b(K\x07K\x09eu."
)


class Evil:
    """Makes a folder when it is unpickled."""

    def __init__(self, place: Path) -> None:
        self.place = str(place)

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.place,)


def refused(content: bytes, *words: str) -> None:
    with pytest.raises(InputError) as caught:
        plain_value(content, "batch")
    message = str(caught.value)
    assert message.startswith("batch ")
    for word in words:
        assert word in message, message


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_data_comes_back_from_every_protocol(protocol: int) -> None:
    arrays = {
        b"u1": np.arange(6, dtype=np.uint8).reshape(2, 3),
        b"f8": np.asfortranarray(np.linspace(-1, 1, 6).reshape(2, 3)),
        b">i4": np.array([1, -2, 1 << 30], dtype=">i4"),
        b"empty": np.zeros((0, 3), dtype=np.float32),
        b"bool": np.array([True, False]),
    }
    plain = {"list": [1, -2.5, None, True, "né\u20ac", b"\xff\x00", 1 << 80, [], {}, ()], b"of": (1, 2, 3, 4), 5: (6,)}
    read = plain_value(pickle.dumps({**arrays, **plain}, protocol=protocol), "batch")
    for name, array in arrays.items():
        assert read[name].dtype == array.dtype
        assert np.array_equal(read[name], array)
    assert {name: read[name] for name in plain} == plain


def test_a_batch_of_python_2_is_read() -> None:
    read = plain_value(PYTHON_2, "batch")
    assert read["labels"] == [7, 9]
    assert read["data"].dtype == np.uint8
    assert read["data"].tolist() == [[0, 1, 127], [128, 254, 255]]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    ("value", "name"),
    [
        (os.system, "system"),
        (print, "print"),
        ({1, 2}, "set"),
        (collections.OrderedDict(a=1), "OrderedDict"),
        (np.array([{}], dtype=object), "O8"),
        (np.float64(3), "scalar"),
        (torch.zeros(2), "torch"),
        (Path("x"), "Path"),
        (1j, "complex"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_whatever_else_is_refused_by_its_name(value: Any, name: str, protocol: int) -> None:
    content = pickle.dumps({b"data": value}, protocol=protocol)
    refused(content, "may be a program: nothing of it was run")
    with pytest.raises(InputError, match=f"(?i){name}"):
        plain_value(content, "batch")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_nothing_is_run(protocol: int, tmp_path: Path) -> None:
    for value in (Evil(tmp_path / "run"), {b"data": [Evil(tmp_path / "run")]}):
        refused(pickle.dumps(value, protocol=protocol), "mkdir", "nothing of it was run")
    refused(b"cos\nmkdir\n(S'run'\ntR.", "os.mkdir" if os.name != "nt" else "mkdir")
    refused(b"(S'import os'\ni__builtin__\neval\n.", "INST")
    refused(b"\x80\x02cnumpy\nndarray\n\x8a\x04\xff\xff\xff\x7f\x85R.", "a call of ndarray")
    refused(b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x04\x00\x00\x00zlib\x86R.", "a call of encode")
    refused(b"\x80\x02c__builtin__\nbytes\nK\x05\x85R.", "a call of bytes")
    refused(b"\x80\x02cnumpy\nload\n.", "numpy.load")
    refused(b"\x80\x02cnumpy\ndtype\n.", "a name as a value")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.filterwarnings("ignore:invalid escape")
def test_damage_is_told_and_never_raises_anything_else() -> None:
    batch = {b"data": np.arange(12, dtype=np.uint8).reshape(4, 3), b"labels": [1, 2, 3, 4], b"names": [b"a"] * 4}
    random = np.random.default_rng(0)
    for protocol in (0, 2, 5):
        content = pickle.dumps(batch, protocol=protocol)
        for end in range(len(content)):
            with pytest.raises(InputError):
                plain_value(content[:end], "batch")
        for _ in range(1500):
            damaged = bytearray(content)
            for at in random.integers(0, len(content), 2):
                damaged[at] = random.integers(0, 256)
            with suppress(InputError):
                plain_value(bytes(damaged), "batch")


def test_small_files_do_not_take_large_memory_or_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    # Lengths and places that the file only promises.
    refused(b"\x80\x04\x8e" + b"\xff" * 7 + b"\x0f" + b"x.", "damaged")
    assert plain_value(b"\x80\x02Nr\xff\xff\xff\xff.", "batch") is None
    # A tuple of twice the tuple before, fifty times, as a key: its hash would be that of 2^50 parts.
    refused(b"\x80\x02}N" + b"\x85" + b"q\x00h\x00\x86" * 50 + b"Ns.", "a key that is neither text nor a number")
    monkeypatch.setattr(plain_pickle, "MAX_FILE_BYTES", 10_000)
    # The same text made into bytes again and again.
    text = b"X\xe8\x03\x00\x00" + b"a" * 1000 + b"q\x01X\x06\x00\x00\x00latin1q\x02c_codecs\nencode\nq\x03"
    refused(b"\x80\x02(" + text + b"h\x03h\x01h\x02\x86R" * 11 + b"t.", "unpacks to more than")
    refused(b"\x80\x02]" + b"N" * 10_001 + b".", "is more than")
    monkeypatch.setattr(plain_pickle, "MAX_OBJECTS", 100)
    refused(b"\x80\x02]" + b"N" * 101 + b".", "holds more than 100 objects")


def test_an_array_of_other_bytes_than_its_shape_is_refused() -> None:
    for before, after in ((b"K\x02K\x03\x86", b"K\x02K\x04\x86"), (b"U\x02u1", b"U\x02u2"), (b"U\x02u1", b"U\x02O8")):
        refused(PYTHON_2.replace(before, after))


def test_an_array_that_is_not_filled_in_is_refused() -> None:
    """numpy's pickles make it empty, and give it shape, type and bytes afterwards."""
    whole = pickle.dumps(np.arange(3, dtype=np.uint8), protocol=2)
    assert b"(K\x01K\x03\x85" in whole
    refused(whole[: whole.index(b"(K\x01K\x03\x85")] + b".", "an array without a value")
    refused(whole.replace(b"K\x03\x85", b"K\x03"), "an array without a shape")
    refused(whole.replace(b"K\x03\x85", b"J\xff\xff\xff\xff\x85"), "a side out of range")


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read .*none: No such file"):
        read_plain_pickle(tmp_path / "none")
    (tmp_path / "batch").write_bytes(PYTHON_2)
    assert read_plain_pickle(tmp_path / "batch")["labels"] == [7, 9]
