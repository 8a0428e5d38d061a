"""Files that break one rule of docs/file-format.md each, said in a line: test_rules.py holds the rules to them.

python tests/attacks/hostile_sets.py FOLDER    writes them all, for another reader to be tried on
"""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

TESTS = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS))

from set_files import edited, join_file, pixel_set, saved, some_gaussians, some_set, split_file, with_tensor  # noqa: E402

from gsdd_runtime.sets.compression import compress  # noqa: E402
from gsdd_runtime.sets.container import MAX_HEADER_BYTES  # noqa: E402
from gsdd_runtime.sets.distilled_set import DistilledSet  # noqa: E402

# Takes a folder of its own, and gives the path of the file in it.
Attack = Callable[[Path], Path]
ATTACKS: dict[str, Attack] = {}


def attack(function: Attack) -> Attack:
    """Lists it under its name, spaced."""
    ATTACKS[function.__name__.replace("_", " ")] = function
    return function


def sentence(one: Attack) -> str:
    """What an attack does, in its one line."""
    return str(one.__doc__).rstrip(".")


def header_edited(path: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    header, payload = split_file(path)
    change(header)
    return join_file(path, header, payload)


def described(path: Path, **fields: Any) -> Path:
    return edited(path, lambda description: description.update(fields))


def coded(folder: Path) -> Path:
    return saved(folder, compress(some_set()).distilled_set)


def coding(folder: Path, **fields: Any) -> Path:
    return edited(coded(folder), lambda description: description["coding"].update(fields))


# Rule 1


@attack
def no_file(folder: Path) -> Path:
    """A folder in its place."""
    return folder


@attack
def a_pickle(folder: Path) -> Path:
    """What torch.save writes, which would run code."""
    torch.save({"gaussians": some_gaussians()}, folder / "set.safetensors")
    return folder / "set.safetensors"


@attack
def a_header_of_nine_megabytes(folder: Path) -> Path:
    """A header that takes long to read."""
    path = folder / "set.safetensors"
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", MAX_HEADER_BYTES + 8))
        file.truncate(MAX_HEADER_BYTES + 4096)
    return path


@attack
def a_header_that_ends_early(folder: Path) -> Path:
    """The first hundred bytes of a set."""
    path = saved(folder)
    path.write_bytes(path.read_bytes()[:100])
    return path


@attack
def a_header_that_is_no_JSON(folder: Path) -> Path:
    """An object that is not closed."""
    return join_file(folder / "set.safetensors", '{"labels": ', b"")


@attack
def a_key_twice(folder: Path) -> Path:
    """Two tensors of one name: readers that take the first and those that take the last would differ."""
    header, payload = split_file(saved(folder))
    text = json.dumps(header)
    again = json.dumps({"labels": header["labels"]})
    return join_file(folder / "set.safetensors", text[:-1] + ", " + again[1:], payload)


@attack
def a_deep_header(folder: Path) -> Path:
    """Forty objects in one another, which a recursive reader pays for."""
    return join_file(folder / "set.safetensors", '{"a":' * 40 + "1" + "}" * 40, b"")


# Rule 2


@attack
def a_byte_missing(folder: Path) -> Path:
    """A set without its last byte."""
    path = saved(folder)
    path.write_bytes(path.read_bytes()[:-1])
    return path


@attack
def a_byte_more(folder: Path) -> Path:
    """A byte after the tensors, which might hide another file."""
    path = saved(folder)
    path.write_bytes(path.read_bytes() + b"\0")
    return path


@attack
def tensors_that_overlap(folder: Path) -> Path:
    """Labels that begin in the Gaussians."""
    return header_edited(saved(folder), lambda header: header["labels"].update(data_offsets=[8, 56]))


@attack
def a_shape_beyond_its_bytes(folder: Path) -> Path:
    """A shape whose product wraps around 64 bits."""
    return header_edited(saved(folder), lambda header: header["labels"].update(shape=[2**62, 2]))


# Rule 3


@attack
def no_images(folder: Path) -> Path:
    """Labels alone."""
    return with_tensor(saved(folder), gaussians=None)


@attack
def images_twice(folder: Path) -> Path:
    """Gaussians and pixels: which are the images, nobody knows."""
    return with_tensor(saved(folder), pixels=torch.zeros(6, 1, 12, 10, dtype=torch.bfloat16))


@attack
def labels_twice(folder: Path) -> Path:
    """Hard labels and soft ones."""
    return with_tensor(saved(folder), soft_labels=torch.ones(6, 3, dtype=torch.float16))


@attack
def a_tensor_too_many(folder: Path) -> Path:
    """One that no set has."""
    return with_tensor(saved(folder), weights=torch.zeros(1))


@attack
def another_type(folder: Path) -> Path:
    """Gaussians in float32."""
    return with_tensor(saved(folder), gaussians=some_gaussians().float())


@attack
def five_channels(folder: Path) -> Path:
    """Gaussians of more channels than a kernel draws."""
    return with_tensor(saved(folder), gaussians=some_gaussians(channels=5))


@attack
def an_empty_image(folder: Path) -> Path:
    """Images without a Gaussian."""
    return with_tensor(saved(folder), gaussians=some_gaussians(count=0))


@attack
def pixels_of_another_size(folder: Path) -> Path:
    """Pixels whose sides are no whole parts of the native size."""
    return with_tensor(saved(folder, pixel_set()), pixels=torch.zeros(6, 3, 5, 5, dtype=torch.bfloat16))


@attack
def a_label_too_few(folder: Path) -> Path:
    """Five labels for six images."""
    return with_tensor(saved(folder), labels=torch.zeros(5, dtype=torch.int64))


@attack
def a_square_zca(folder: Path) -> Path:
    """A whitening matrix without its row of offsets."""
    return with_tensor(saved(folder), zca=torch.zeros(120, 120))


# Rule 4


@attack
def no_description(folder: Path) -> Path:
    """Another program's safetensors."""
    return header_edited(saved(folder), lambda header: header.update(__metadata__={"other": "{}"}))


@attack
def a_description_that_is_a_list(folder: Path) -> Path:
    """JSON, and no object."""
    return header_edited(saved(folder), lambda header: header.update(__metadata__={"gsdd": "[]"}))


# The description


@attack
def a_newer_version(folder: Path) -> Path:
    """A format version that is not known yet."""
    return described(saved(folder), format_version=2, representation="something new")


@attack
def a_field_missing(folder: Path) -> Path:
    """A description without its height."""
    return edited(saved(folder), lambda description: description.pop("height"))


@attack
def a_number_that_is_not_finite(folder: Path) -> Path:
    """NaN, which JSON does not know and Python's reader takes."""
    return header_edited(
        saved(folder), lambda header: header.update(__metadata__={"gsdd": '{"format_version": 1, "mean": NaN}'})
    )


@attack
def half_a_surrogate(folder: Path) -> Path:
    """Text that cannot be written again."""
    text = '{"format_version": 1, "method": "\\ud800"}'
    return header_edited(saved(folder), lambda header: header.update(__metadata__={"gsdd": text}))


@attack
def text_that_a_terminal_obeys(folder: Path) -> Path:
    """A class name that clears the screen."""
    return described(saved(folder), class_names=["a", "b", "\x1b[2J"])


@attack
def another_representation(folder: Path) -> Path:
    """Gaussians that are said to be pixels."""
    return described(saved(folder), representation="pixels")


@attack
def a_gigantic_image(folder: Path) -> Path:
    """A side above the largest."""
    return described(saved(folder), height=16385)


@attack
def other_channels(folder: Path) -> Path:
    """Channels that are not the tensor's."""
    return described(saved(folder), channels=3)


@attack
def a_trillion_classes(folder: Path) -> Path:
    """Classes that an array of theirs would not fit."""
    return described(saved(folder), classes=10**12, class_names=None)


@attack
def equal_class_names(folder: Path) -> Path:
    """Two classes of one name."""
    return described(saved(folder), class_names=["a", "b", "b"])


@attack
def a_deviation_of_zero(folder: Path) -> Path:
    """Images would be divided by it."""
    return described(saved(folder), normalization={"mean": [0.5], "std": [0.0]})


@attack
def no_images_per_class(folder: Path) -> Path:
    """A storage of nothing."""
    return described(saved(folder), ipc=0)


@attack
def a_seed_of_seventy_bits(folder: Path) -> Path:
    """A whole number that no generator takes."""
    return described(saved(folder), seed=2**70)


@attack
def a_method_that_is_a_number(folder: Path) -> Path:
    """A number where text is."""
    return described(saved(folder), method=5)


@attack
def options_in_a_list(folder: Path) -> Path:
    """A list where an object is."""
    return described(saved(folder), options=[1])


@attack
def an_accuracy_above_one(folder: Path) -> Path:
    """More right than all."""
    return described(saved(folder), accuracy=[{"network": "convnet3", "last_epoch": {"mean": 1.5}}])


# Rules 5 and 6


@attack
def a_NaN_among_the_Gaussians(folder: Path) -> Path:
    """A number that would spread over an image."""
    gaussians = some_gaussians()
    gaussians[4, 2, 3] = float("nan")
    return with_tensor(saved(folder), gaussians=gaussians)


@attack
def an_infinite_whitening(folder: Path) -> Path:
    """A matrix of infinities."""
    return with_tensor(saved(folder), zca=torch.full((121, 120), float("inf")))


@attack
def a_label_out_of_range(folder: Path) -> Path:
    """A label that would be an index beyond the classes."""
    return with_tensor(saved(folder), labels=torch.tensor([0, 1, 2, 0, 1, 3]))


@attack
def a_negative_share(folder: Path) -> Path:
    """A soft label below nothing."""
    labels = torch.full((6, 3), 0.25, dtype=torch.float16)
    path = saved(folder, DistilledSet(some_gaussians(), labels, 12, 10))
    labels[3, 1] = -0.5
    return with_tensor(path, soft_labels=labels)


@attack
def shares_of_nothing(folder: Path) -> Path:
    """A soft label that is all zero: nothing to divide by."""
    labels = torch.full((6, 3), 0.25, dtype=torch.float16)
    path = saved(folder, DistilledSet(some_gaussians(), labels, 12, 10))
    labels[3] = 0
    return with_tensor(path, soft_labels=labels)


# Coded images


@attack
def another_coder(folder: Path) -> Path:
    """A coder of later days."""
    return coding(folder, coder="lzma")


@attack
def no_coding(folder: Path) -> Path:
    """Coded bytes that nothing describes."""
    return edited(coded(folder), lambda description: description.pop("coding"))


@attack
def labels_that_are_nowhere(folder: Path) -> Path:
    """Labels that are said to be a tensor, and are not there."""
    return coding(folder, labels=False)


@attack
def a_coded_shape_of_nothing(folder: Path) -> Path:
    """A side of 0."""
    return coding(folder, shape=[6, 0, 7])


@attack
def a_step_of_zero(folder: Path) -> Path:
    """Every number would be 0."""
    steps = {"position": 0.25, "cholesky": 0.25, "color": 0, "opacity": 0.25}
    return coding(folder, steps=steps)


@attack
def a_coding_bomb(folder: Path) -> Path:
    """A thousand bytes that are said to be a terabyte of images."""
    return coding(folder, shape=[10**9, 100, 7])


@attack
def another_version_of_the_stream(folder: Path) -> Path:
    """A first byte that no coder wrote."""
    return with_tensor(coded(folder), coded=torch.zeros(20, dtype=torch.uint8))


@attack
def a_stream_with_a_rest(folder: Path) -> Path:
    """A byte that decoding does not come to."""
    path = coded(folder)
    stream = compress(some_set()).distilled_set.coded
    assert stream is not None
    return with_tensor(path, coded=torch.cat([stream.data, torch.zeros(1, dtype=torch.uint8)]))


@attack
def a_stream_with_a_flipped_bit(folder: Path) -> Path:
    """Words that decoding does not end with."""
    path = coded(folder)
    stream = compress(some_set()).distilled_set.coded
    assert stream is not None
    data = stream.data.clone()
    data[len(data) // 2] ^= 0x80
    return with_tensor(path, coded=data)


def main() -> None:
    folder = Path(sys.argv[1])
    for name, one in ATTACKS.items():
        place = folder / name
        place.mkdir(parents=True)
        print(f"{one(place)}: {sentence(one)}")


if __name__ == "__main__":
    main()
