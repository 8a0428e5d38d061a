"""One test a rule of docs/file-format.md: what a file may not be is refused, on one line, with the file's "
"name."""

from __future__ import annotations

import errno
import json
import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from set_files import edited, join_file, saved, some_gaussians, some_set, split_file, with_tensor

from gsdd_runtime.distilled_set import DistilledSet
from gsdd_runtime.errors import InputError
from gsdd_runtime.set_file import FORMAT_VERSION, MAX_HEADER_BYTES


def refused(path: Path, *words: str) -> None:
    """Loading raises InputError: one line that names the file and says ``words``."""
    with pytest.raises(InputError) as caught:
        DistilledSet.load(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    for word in words:
        assert word in message, message


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return saved(tmp_path)


# The container


def test_a_missing_file(tmp_path: Path) -> None:
    refused(tmp_path / "none.safetensors", "No such file")


def test_a_folder(tmp_path: Path) -> None:
    refused(tmp_path, "not an ordinary file")


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


@pytest.mark.parametrize(
    "name", ["height", "width", "channels", "classes", "representation", "format_version"]
)
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
        ("normalization", {"mean": [0.5, 0.5], "std": [1]}, "2 numbers for 1 channels"),
        ("normalization", {"mean": ["a"], "std": [1]}, "finite numbers"),
        ("normalization", {"mean": [10**400], "std": [1]}, "finite numbers"),
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


def test_unknown_fields_and_other_metadata_keys_are_let_be(path: Path) -> None:
    edited(path, lambda fields: fields.update(comment="made by hand"))
    header, payload = split_file(path)
    header["__metadata__"]["format"] = "pt"
    assert len(DistilledSet.load(join_file(path, header, payload))) == 6


# The tensors


def change_to(name: str, tensor: Callable[[], torch.Tensor]) -> Callable[[Path], Path]:
    return lambda path: with_tensor(path, **{name: tensor()})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda path: with_tensor(path, gaussians=None), "holds none"),
        (lambda path: with_tensor(path, labels=None), "holds none"),
        (change_to("pixels", lambda: torch.zeros(6, 1, 12, 10, dtype=torch.bfloat16)), "holds both"),
        (change_to("soft_labels", lambda: torch.ones(6, 3, dtype=torch.float16)), "holds both"),
        (change_to("weights", lambda: torch.zeros(1)), "unexpected tensor"),
        (change_to("gaussians", lambda: some_gaussians().float()), "must be BF16"),
        (change_to("labels", lambda: torch.zeros(6, dtype=torch.int32)), "must be I64"),
        (change_to("zca", lambda: torch.zeros(121, 120).half()), "must be F32"),
        (change_to("gaussians", lambda: some_gaussians()[0]), "[images, Gaussians, 6 + channels]"),
        (change_to("gaussians", lambda: some_gaussians()[..., :6].contiguous()), "6 + channels"),
        (change_to("gaussians", lambda: some_gaussians(channels=5)), "6 + channels"),
        (change_to("gaussians", lambda: some_gaussians(channels=3)), "1 channels, the tensor has 3"),
        (change_to("gaussians", lambda: some_gaussians(images=0)), "empty"),
        (change_to("gaussians", lambda: some_gaussians(count=0)), "empty"),
        (change_to("labels", lambda: torch.zeros(5, dtype=torch.int64)), "5 labels for 6 images"),
        (change_to("labels", lambda: torch.zeros(6, 1, dtype=torch.int64)), "[images]"),
        (change_to("labels", lambda: torch.tensor([0, 1, 2, 0, 1, 3])), "label 3 is out of range"),
        (change_to("labels", lambda: torch.tensor([0, 1, 2, 0, 1, -1])), "label -1 is out of range"),
        (change_to("labels", lambda: torch.tensor([0, 1, 2, 0, 1, 2**62])), "out of range"),
        (change_to("zca", lambda: torch.zeros(120, 120)), "zca must be [121, 120]"),
        (change_to("zca", lambda: torch.full((121, 120), float("nan"))), "zca holds a NaN"),
    ],
)
def test_a_tensor_that_does_not_fit(path: Path, change: Callable[[Path], Path], words: str) -> None:
    refused(change(path), words)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_is_not_finite(path: Path, value: float) -> None:
    gaussians = some_gaussians()
    gaussians[4, 2, 3] = value
    refused(with_tensor(path, gaussians=gaussians), "NaN or an infinity in image 4")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.5])
def test_a_soft_label_that_is_no_weight(tmp_path: Path, value: float) -> None:
    labels = torch.full((6, 3), 0.25, dtype=torch.float16)
    path = saved(tmp_path, DistilledSet(some_gaussians(), labels, 12, 10))
    labels[3, 1] = value
    refused(with_tensor(path, soft_labels=labels), "finite and not negative")


def test_a_soft_label_without_weight(tmp_path: Path) -> None:
    labels = torch.full((6, 3), 0.25, dtype=torch.float16)
    path = saved(tmp_path, DistilledSet(some_gaussians(), labels, 12, 10))
    labels[3] = 0
    refused(with_tensor(path, soft_labels=labels), "all zero")


def test_soft_labels_of_another_number_of_classes(tmp_path: Path) -> None:
    labels = torch.full((6, 3), 0.25, dtype=torch.float16)
    path = saved(tmp_path, DistilledSet(some_gaussians(), labels, 12, 10))
    refused(with_tensor(path, soft_labels=torch.ones(6, 4, dtype=torch.float16)), "4 classes")


def test_pixels_of_another_size_than_stated(tmp_path: Path) -> None:
    pixels = torch.zeros(6, 1, 12, 10, dtype=torch.bfloat16)
    path = saved(tmp_path, DistilledSet(None, torch.arange(6) % 3, 12, 10, pixels=pixels))
    refused(with_tensor(path, pixels=pixels.transpose(2, 3).contiguous()), "10x12", "12x10")


# What is written


def test_the_file_is_the_tensors_and_a_short_header(tmp_path: Path) -> None:
    distilled_set = some_set()
    path = saved(tmp_path, distilled_set)
    header, payload = split_file(path)
    assert len(payload) == distilled_set.nbytes == 6 * 4 * 7 * 2 + 6 * 8
    assert set(header) == {"__metadata__", "gaussians", "labels"}
    assert set(header["__metadata__"]) == {"gsdd"}
    assert (header["gaussians"]["dtype"], header["gaussians"]["shape"]) == ("BF16", [6, 4, 7])
    assert (header["labels"]["dtype"], header["labels"]["shape"]) == ("I64", [6])
    assert json.loads(header["__metadata__"]["gsdd"]) == {
        "format_version": 1, "representation": "gaussians", "height": 12, "width": 10, "channels": 1,
        "classes": 3, "class_names": ["class 0", "class 1", "class 2"], "normalization": {"mean": [0.25], "std": [0.5]},
        "ipc": 1, "gpc": 2, "method": "dm", "options": {"iterations": 10, "augmentation": ["crop", "flip"]},
        "seed": 7, "fingerprint": "sha256:00", "versions": {"gsdd-rt": "0.1.0"},
    }  # fmt: skip


def test_equal_sets_give_equal_bytes(tmp_path: Path) -> None:
    first = saved(tmp_path, some_set()).read_bytes()
    loaded = DistilledSet.load(
        saved(tmp_path, some_set(options={"augmentation": ["crop", "flip"], "iterations": 10}))
    )
    second = saved(tmp_path, loaded).read_bytes()
    assert first == second
