"""One test a rule of docs/file-format.md on container and metadata: refused on one line, with the file's name."""

from __future__ import annotations

import errno
import json
import os
import pickle
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from set_files import edited, join_file, refused, saved, split_file, with_tensor

from gsdd_runtime.sets.container import MAX_HEADER_BYTES
from gsdd_runtime.sets.distilled_set import DistilledSet
from gsdd_runtime.sets.file import FORMAT_VERSION


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return saved(tmp_path)


# The container


def test_a_missing_file(tmp_path: Path) -> None:
    refused(tmp_path / "none.safetensors", "No such file")


def test_a_folder(tmp_path: Path) -> None:
    refused(tmp_path, "is not an ordinary file, but a folder")


def test_a_named_pipe_does_not_block(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    refused(pipe, "not an ordinary file")


def test_an_unreadable_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*arguments: Any, **options: Any) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    # Root reads any file, so a mode of 0 would prove nothing.
    monkeypatch.setattr("builtins.open", forbidden)
    refused(path, "Permission denied")


@pytest.mark.parametrize("size", [0, 1, 7, 8])
def test_a_file_shorter_than_any_header(tmp_path: Path, size: int) -> None:
    path = tmp_path / "short"
    path.write_bytes(b"\1" * size)
    refused(path, "not a .safetensors file")


def test_a_pickle_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "set.pt"
    torch.save({"gaussians": torch.zeros(2)}, path)
    refused(path, "not a .safetensors file")
    path.write_bytes(pickle.dumps({"a": 1}))
    refused(path, "not a .safetensors file")


def test_an_image(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    refused(path, "not a .safetensors file")


def test_a_header_larger_than_allowed(tmp_path: Path) -> None:
    path = tmp_path / "set.safetensors"
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", MAX_HEADER_BYTES + 8))
        file.truncate(MAX_HEADER_BYTES + 4096)
    refused(path, f"at most {MAX_HEADER_BYTES}")


def test_a_file_that_ends_in_its_header(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])
    refused(path, "cut short")


def test_a_file_that_ends_in_its_tensors(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])
    refused(path, "damaged")


def test_a_file_that_goes_on(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")
    refused(path, "damaged")


def test_a_header_that_is_not_json(path: Path) -> None:
    _, payload = split_file(path)
    refused(join_file(path, '{"labels": ', payload), "not valid JSON")


def test_a_header_that_is_not_utf8(path: Path) -> None:
    path.write_bytes(struct.pack("<Q", 8) + b'{"\xff\xff":1}')
    refused(path, "not valid JSON")


def test_a_header_that_is_no_object(path: Path) -> None:
    refused(join_file(path, "[1, 2, 3]", b""), "not a .safetensors file")


def test_a_tensor_twice_in_the_header(path: Path) -> None:
    header, payload = split_file(path)
    text = json.dumps(header)
    again = json.dumps({"labels": header["labels"]})
    refused(join_file(path, text[:-1] + ", " + again[1:], payload), "'labels' twice")


def test_a_header_nested_too_deep(path: Path) -> None:
    refused(join_file(path, '{"a":' * 40 + "1" + "}" * 40, b""), "nested more than")
    refused(join_file(path, '{"a":' * 100_000 + "1" + "}" * 100_000, b""), "not valid JSON")


@pytest.mark.parametrize("offsets", [[0, 10], [0, 49], [8, 56], [48, 0], [0, 2**63], "x", None])
def test_offsets_that_do_not_fit(path: Path, offsets: Any) -> None:
    header, payload = split_file(path)
    header["labels"]["data_offsets"] = offsets
    refused(join_file(path, header, payload), "damaged")


@pytest.mark.parametrize("shape", [[7], [2**62, 2], [-6], "six", [6, 2]])
def test_a_shape_that_does_not_fit(path: Path, shape: Any) -> None:
    header, payload = split_file(path)
    header["labels"]["shape"] = shape
    refused(join_file(path, header, payload))


# The metadata


def test_another_safetensors_file(path: Path) -> None:
    header, payload = split_file(path)
    del header["__metadata__"]
    refused(join_file(path, header, payload), "not a distilled set")


@pytest.mark.parametrize("metadata", [{"other": "{}"}, {"gsdd": 5}, "text", []])
def test_metadata_without_the_description(path: Path, metadata: Any) -> None:
    header, payload = split_file(path)
    header["__metadata__"] = metadata
    refused(join_file(path, header, payload), "not a distilled set")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not valid JSON"),
        ("{", "not valid JSON"),
        ("[]", "must be a JSON object"),
        ('{"format_version": 1, "format_version": 1}', "twice"),
        ('{"format_version": 1, "mean": NaN}', "must be finite"),
        ('{"format_version": 1, "mean": -Infinity}', "must be finite"),
        ('{"format_version": 1, "mean": 1e999}', "must be finite"),
        ('{"format_version": 1, "seed": ' + "9" * 5000 + "}", "not valid JSON"),
        ('{"format_version": 1, "method": "\\ud800"}', "not valid Unicode"),
    ],
)
def test_a_description_that_is_not_sound_json(path: Path, text: str, words: str) -> None:
    header, payload = split_file(path)
    header["__metadata__"]["gsdd"] = text
    refused(join_file(path, header, payload), words)


def test_a_newer_format_version_asks_for_an_upgrade(path: Path) -> None:
    def newer(fields: dict[str, Any]) -> None:
        fields["format_version"] = FORMAT_VERSION + 1
        fields["representation"] = "something new"

    refused(edited(path, newer), f"format version {FORMAT_VERSION + 1}", "upgrade gsdd-rt")


def test_a_newer_format_version_with_tensors_unknown_here_asks_for_an_upgrade(path: Path) -> None:
    edited(path, lambda fields: fields.update(format_version=FORMAT_VERSION + 1))
    refused(with_tensor(path, palette=torch.zeros(3)), "upgrade gsdd-rt")


@pytest.mark.parametrize("version", [0, -1, 1.5, "1", True, None])
def test_a_format_version_that_is_no_count(path: Path, version: Any) -> None:
    refused(edited(path, lambda fields: fields.update(format_version=version)), "format version")


@pytest.mark.parametrize("name", ["height", "width", "channels", "classes", "representation", "format_version"])
def test_a_description_that_lacks_a_field(path: Path, name: str) -> None:
    refused(edited(path, lambda fields: fields.pop(name)), name.split("_")[0])


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("representation", "pixels", "representation"),
        ("height", 0, "1 to 16384"),
        ("height", 16385, "1 to 16384"),
        ("width", -3, "1 to 16384"),
        ("width", 10.0, "1 to 16384"),
        ("width", True, "1 to 16384"),
        ("height", "12", "1 to 16384"),
        ("channels", 3, "channels"),
        ("channels", True, "channels"),
        ("classes", 0, "classes"),
        ("classes", 10**12, "classes"),
        ("classes", 2, "2 classes"),
        ("class_names", ["a", "b"], "2 class names for 3 classes"),
        ("class_names", ["a", "b", "b"], "differ"),
        ("class_names", ["a", "b", ""], "non-empty"),
        ("class_names", ["a", "b", 3], "strings"),
        ("class_names", "abc", "list"),
        ("normalization", [0.5, 0.5], "mean and std"),
        ("normalization", {"mean": [0.5]}, "mean and std"),
        ("normalization", {"mean": [0.5], "std": None}, "both or neither"),
        ("normalization", {"mean": [0.5], "std": [0.0]}, "above 0"),
        ("normalization", {"mean": [0.5], "std": [-1]}, "above 0"),
        ("normalization", {"mean": [0.5], "std": [1e-320]}, "above 0"),
        ("normalization", {"mean": [0.5, 0.5], "std": [1]}, "2 numbers for 1 channel"),
        ("normalization", {"mean": ["a"], "std": [1]}, "finite numbers"),
        ("normalization", {"mean": [10**400], "std": [1]}, "finite numbers"),
        ("normalization", {"mean": [0.5], "std": [1e-40]}, "above 0"),
        ("normalization", {"mean": [0.5], "std": [1e39]}, "3.4e+38"),
        ("normalization", {"mean": [1e39], "std": [1]}, "3.4e+38"),
        ("normalization", {"mean": [-(10**39)], "std": [1]}, "3.4e+38"),
        ("normalization", {"mean": [1e-45], "std": [1]}, "mean must be 0 or"),
        ("class_names", ["a", "b", "\x1b[2J"], "control character"),
        ("method", "dm\r", "control character"),
        ("fingerprint", "sha256:\x9b31m", "control character"),
        ("options", {"name": ["\u202egnp.exe"]}, "control character"),
        ("options", {"a\u2028b": 1}, "control character"),
        ("versions", {"torch": "2\x07"}, "control character"),
        ("comment", "\x00", "control character"),
        ("ipc", 0, "ipc"),
        ("gpc", 1.5, "gpc"),
        ("seed", "7", "seed"),
        ("seed", 2**70, "seed"),
        ("method", 5, "method"),
        ("fingerprint", ["x"], "fingerprint"),
        ("options", [1], "options"),
        ("versions", "1.0", "versions"),
    ],
)
def test_a_field_out_of_its_range(path: Path, name: str, value: Any, words: str) -> None:
    refused(edited(path, lambda fields: fields.update({name: value})), words)


def test_fields_that_may_be_left_out(path: Path) -> None:
    needed = {"format_version", "representation", "height", "width", "channels", "classes"}

    def leave_out(fields: dict[str, Any]) -> None:
        for name in set(fields) - needed:
            del fields[name]

    loaded = DistilledSet.load(edited(path, leave_out))
    assert (loaded.class_names, loaded.mean, loaded.ipc, loaded.options) == (None, None, None, {})


def test_unknown_fields_and_other_metadata_keys_are_let_be(path: Path) -> None:
    edited(path, lambda fields: fields.update(comment="made by hand"))
    header, payload = split_file(path)
    header["__metadata__"]["format"] = "pt"
    assert len(DistilledSet.load(join_file(path, header, payload))) == 6
