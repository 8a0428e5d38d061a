"""Entropy coding: numbers come back as they were, in about the bits that their frequencies allow, or are refused."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from gsdd_runtime.errors import InputError
from gsdd_runtime.sets.coding import rans, tokens
from gsdd_runtime.sets.coding import stream as stream_module
from gsdd_runtime.sets.coding.stream import Reader, Writer


def numbers(count: int, scale: float, seed: int = 0) -> np.ndarray:
    return np.abs(np.rint(np.random.default_rng(seed).normal(size=count) * scale)).astype(np.int64)


def test_tokens_and_plain_bits_make_every_number() -> None:
    every = np.concatenate([np.arange(5000), [2**19 - 1, 2**19, 2**20 - 1]])
    coded, low = tokens.split(every)
    assert coded.max() == tokens.TOKENS - 1
    assert (tokens.BASES[coded] + low == every).all()
    assert (low < 1 << tokens.WIDTHS[coded]).all()


def test_signed_numbers_fold_and_unfold() -> None:
    signed = np.arange(-1000, 1000)
    assert (tokens.unfold(tokens.fold(signed)) == signed).all()
    assert sorted(tokens.fold(signed)) == list(range(2000))


@pytest.mark.parametrize("count", [0, 1, 7, 4095, 9000, 70_000])
def test_planes_come_back(count: int) -> None:
    contexts = np.arange(count) % 5 - 2
    parts = [
        (0, numbers(count, 3.0), contexts),
        (9, numbers(count, 5000.0, 1), contexts * 0),
        (0, numbers(count, 900.0, 2), contexts[::-1]),
        (254, contexts * 0, contexts),
    ]
    writer = Writer()
    for plane, values, where in parts:
        writer.write(plane, values, where)
    reader = Reader(writer.finish())
    for plane, values, where in parts:
        assert (reader.read(plane, where) == values).all()
    reader.finish()


def test_contexts_of_any_type_are_the_same() -> None:
    contexts = np.arange(600) % 7 - 3
    values = tokens.fold(numbers(600, 90.0) * (contexts % 2 * 2 - 1)) + 8 * (contexts + 3)
    writer = Writer()
    # Beyond what a byte holds, the nearest counts.
    writer.write(3, values, np.where(contexts == 3, 1000, contexts))
    data = writer.finish()
    for given in (np.where(contexts == 3, 127, contexts).astype(np.int8), np.where(contexts == 3, 300, contexts)):
        reader = Reader(data)
        assert (reader.read(3, given, folded=True) == tokens.unfold(values)).all()
        reader.finish()


def test_many_numbers_take_finer_tables_and_more_lanes() -> None:
    values = numbers(600_000, 40.0)
    writer = Writer()
    writer.write(3, values, values * 0)
    data = writer.finish()
    # The byte behind the header's numbers says that tables are fine.
    assert data[13] == 1
    reader = Reader(data)
    assert (reader.read(3, values * 0) == values).all()
    shares = np.bincount(values) / len(values)
    entropy = -(shares[shares > 0] * np.log2(shares[shares > 0])).sum()
    # Measured: 1.006 times the entropy; plain low bits and 4096 parts of a frequency cost that.
    assert 8 * len(data) / len(values) < 1.01 * entropy


def test_contexts_pay() -> None:
    contexts = np.arange(20_000) % 2
    values = numbers(20_000, 1.0) + 64 * contexts
    sizes = []
    for given in (contexts, contexts * 0):
        writer = Writer()
        writer.write(0, values, given)
        sizes.append(len(writer.finish()))
    assert sizes[1] - sizes[0] > 0.9 * 20_000 / 8


def test_a_number_out_of_range_is_refused() -> None:
    with pytest.raises(InputError, match="round more coarsely"):
        Writer().write(0, np.array([1 << 20]), np.array([0]))
    with pytest.raises(InputError, match="round more coarsely"):
        Writer().write(0, np.array([-1]), np.array([0]))


def test_frequencies_sum_to_the_whole_and_lose_no_token() -> None:
    for weights in ([1], [1, 0, 3], [1] * 2000, [10**9] + [1] * 2047, [2**19, 1, 0, 2**19]):
        found = rans.frequencies(np.array(weights))
        assert found.sum() == rans.TOTAL
        assert ((found > 0) == (np.array(weights) > 0)).all()
    with pytest.raises(InputError, match="tokens"):
        rans.frequencies(np.zeros(4, np.int64))


# Number 0, its lowest token and how many tables it has; of one token.
PLANE = b"\0\0\1" + b"\1\x0f"


def header(plain: int = 0) -> bytes:
    """Of a stream of one lane without words."""
    return struct.pack("<BIIIB", stream_module.VERSION, 1, 0, plain, 0)


def stream() -> bytes:
    writer = Writer()
    writer.write(0, numbers(300, 30.0), np.arange(300) % 3)
    return writer.finish()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[:10], "ends in its header"),
        (lambda data: bytes([2]) + data[1:], "version 2"),
        (lambda data: data[:20], "(ends in its tables|too long)"),
        (lambda data: data + b"0", "not as long as its header says"),
        (lambda data: data[:1] + bytes(4) + data[5:], "not as long as its header says"),
        (lambda data: data[:14] + bytes([255]) + data[15:], "not as long as its header says"),
        (lambda data: header(), "ends in its tables"),
        (lambda data: header() + b"\0\0", "ends in its tables"),
        (lambda data: header() + b"\0\0\1", "ends in its tables"),
        (lambda data: header() + b"\0\0\0", "a plane without tables"),
        (lambda data: header() + b"\0\0\1\0", "a table that is too long"),
        (lambda data: header() + 2 * PLANE + b"\xff", "a plane twice"),
        (lambda data: header() + PLANE + b"\xff" + struct.pack("<I", rans.LOWEST - 1), "a state out of range"),
    ],
)
def test_a_stream_of_another_form_is_refused(damage: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Reader(damage(stream()))  # type: ignore[operator]


def test_reading_more_or_less_than_was_written_is_refused() -> None:
    contexts = np.arange(300) % 3
    reader = Reader(stream())
    with pytest.raises(InputError, match="lacks plane 1"):
        reader.read(1, contexts)
    reader.read(0, contexts[:200])
    with pytest.raises(InputError, match="does not end where it should"):
        reader.finish()
    reader.read(0, contexts[200:])
    reader.finish()
    with pytest.raises(InputError, match="ends too early"):
        reader.read(0, contexts.repeat(20))


def test_plain_bits_that_nobody_reads_are_refused() -> None:
    """Less than a byte of them is what the last one is filled up with."""
    with pytest.raises(InputError, match="does not end where it should"):
        Reader(header(plain=1) + PLANE + b"\xff" + struct.pack("<I", rans.LOWEST) + b"\0").finish()
    Reader(header() + PLANE + b"\xff" + struct.pack("<I", rans.LOWEST)).finish()


def test_a_stream_of_too_few_lanes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers of a lane are decoded one after the other: a small file must not keep a reader for hours."""
    values = numbers(9000, 2.0)
    found = []
    for per_lane in (1 << 20, 4096):
        with monkeypatch.context() as patch:
            patch.setattr(stream_module, "_PER_LANE", per_lane)
            writer = Writer()
            writer.write(0, values, values * 0)
            found.append(writer.finish())
    with pytest.raises(InputError, match="too few lanes"):
        Reader(found[0]).read(0, values * 0)
    assert (Reader(found[1]).read(0, values * 0) == values).all()


def test_a_changed_byte_is_seen_or_harmless() -> None:
    contexts = np.arange(300) % 3
    original = stream()
    seen = 0
    for place in range(len(original)):
        changed = bytearray(original)
        changed[place] ^= 0x55
        try:
            reader = Reader(bytes(changed))
            reader.read(0, contexts)
            reader.finish()
        except InputError:
            seen += 1
    # Plain bits and the last padding cannot be checked; the coded words can.
    assert seen > len(original) // 3
