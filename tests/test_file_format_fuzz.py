"""Damage drawn at random: a file loads as a valid set or raises InputError, and nothing else happens."""

from __future__ import annotations

import json
import runpy
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from set_files import join_file, pixel_set, saved, some_gaussians, some_set, split_file
from test_container import KINDS

from gsdd_runtime.errors import CONTROLS, InputError
from gsdd_runtime.sets.compression import compress
from gsdd_runtime.sets.description import description
from gsdd_runtime.sets.distilled_set import DistilledSet

_FUZZ = settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=6,
)


def check(path: Path) -> str:
    """Loads, and if that succeeds uses all that a set offers; else returns the one line that refuses it."""
    refusal = ""
    try:
        distilled_set = DistilledSet.load(path)
    except InputError as error:
        refusal = str(error)
    if refusal:
        assert "\n" not in refusal
        assert str(path) in refusal
        return refusal
    assert distilled_set.labels.shape[0] == len(distilled_set)
    assert 0 <= int(distilled_set.hard_labels.min()) <= int(distilled_set.hard_labels.max()) < distilled_set.classes
    assert torch.isfinite(distilled_set.rows().float()).all()
    distilled_set.decode([0], height=4, width=4, normalize=distilled_set.mean is not None)
    json.dumps(description(distilled_set))
    distilled_set.save(path.with_name("again.safetensors"))
    return ""


@pytest.fixture(params=["gaussians", "pixels", "soft labels", "coded gaussians", "coded pixels"])
def original(request: pytest.FixtureRequest, tmp_path: Path) -> bytes:
    sets = {
        "gaussians": some_set,
        "pixels": pixel_set,
        "soft labels": lambda: DistilledSet(some_gaussians(), torch.ones(6, 3, dtype=torch.float16), 12, 10),
        "coded gaussians": lambda: compress(some_set()).distilled_set,
        "coded pixels": lambda: compress(pixel_set(), pixel_bits=2).distilled_set,
    }
    return saved(tmp_path, sets[request.param]()).read_bytes()


@_FUZZ
@given(data=st.data())
def test_flipped_bits(original: bytes, tmp_path: Path, data: st.DataObject) -> None:
    spoilt = bytearray(original)
    for _ in range(data.draw(st.integers(1, 4))):
        # Most of what can break is in the header: half of the flips go there.
        end = data.draw(st.sampled_from([len(original), 8 + struct.unpack("<Q", original[:8])[0], 16]))
        spoilt[data.draw(st.integers(0, end - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path = tmp_path / "spoilt.safetensors"
    path.write_bytes(spoilt)
    check(path)


@_FUZZ
@given(data=st.data())
def test_bytes_cut_out_or_put_in(original: bytes, tmp_path: Path, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(original)))
    until = data.draw(st.integers(at, len(original)))
    path = tmp_path / "spoilt.safetensors"
    path.write_bytes(original[:at] + data.draw(st.binary(max_size=20)) + original[until:])
    check(path)


@_FUZZ
@given(data=st.data())
def test_any_json_in_the_place_of_any_field(original: bytes, tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "spoilt.safetensors"
    path.write_bytes(original)
    header, payload = split_file(path)
    fields: dict[str, Any] = json.loads(header["__metadata__"]["gsdd"])
    value = data.draw(_JSON)
    where = data.draw(st.sampled_from(["metadata", "header", "tensor", *fields]))
    if where == "metadata":
        header["__metadata__"] = {"gsdd": json.dumps(value)}
    elif where == "header":
        header = value
    elif where == "tensor":
        name = data.draw(st.sampled_from([key for key in header if key != "__metadata__"]))
        header[name][data.draw(st.sampled_from(["dtype", "shape", "data_offsets"]))] = value
    else:
        fields[where] = value
        header["__metadata__"]["gsdd"] = json.dumps(fields)
    check(join_file(path, header, payload))


def refusal(kind: str, path: Path) -> str:
    """What the reader of the kind says of a file; nothing where it takes it."""
    try:
        KINDS[kind][1](path)
    except InputError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("kind", ["network", "checkpoint"])
@_FUZZ
@given(data=st.data())
def test_damaged_networks_and_checkpoints(kind: str, tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / kind
    write, _, key = KINDS[kind]
    if not path.exists():
        write(path)
    original = path.read_bytes()
    spoilt = tmp_path / "spoilt"
    spoilt.write_bytes(original)
    header, payload = split_file(spoilt)
    fields: dict[str, Any] = json.loads(header["__metadata__"][key])
    how = data.draw(st.sampled_from(["bits", "field", "tensor"]))
    if how == "bits":
        content = bytearray(original)
        end = data.draw(st.sampled_from([len(original), 8 + struct.unpack("<Q", original[:8])[0], 16]))
        content[data.draw(st.integers(0, end - 1))] ^= 1 << data.draw(st.integers(0, 7))
        spoilt.write_bytes(content)
    elif how == "field":
        fields[data.draw(st.sampled_from(sorted(fields)))] = data.draw(_JSON)
        header["__metadata__"][key] = json.dumps(fields)
        join_file(spoilt, header, payload)
    else:
        name = data.draw(st.sampled_from([name for name in header if name != "__metadata__"]))
        header[name][data.draw(st.sampled_from(["dtype", "shape", "data_offsets"]))] = data.draw(_JSON)
        join_file(spoilt, header, payload)
    message = refusal(kind, spoilt)
    assert not CONTROLS.search(message)
    assert message == "" or str(spoilt) in message


def test_the_attack_on_coded_files_tries_every_damage(tmp_path: Path) -> None:
    """``tests/attacks/coded_files.py`` by itself is for ten thousand."""
    script = Path(__file__).parent / "attacks" / "coded_files.py"
    attack = runpy.run_path(str(script))["attack"]
    found = attack(120, 1, tmp_path)
    refusals = found.pop("refusals")
    assert len(found) == 8
    assert sum(sum(outcomes.values()) for outcomes in found.values()) == 120
    assert sum(refusals.values()) == sum(outcomes["refused"] for outcomes in found.values()) > 60
