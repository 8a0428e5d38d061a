"""Coded sets: one file, the same tensors for everyone behind it, rules checked before anything is decoded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from set_files import Header, edited, pixel_set, refused, saved, some_gaussians, some_set, with_tensor

import gsdd_runtime as gsdd
from gsdd_runtime import DistilledSet, InputError
from gsdd_runtime.commands.cli import run
from gsdd_runtime.sets.coding.gaussians import AMPLITUDE, FIRST_L11, MISSING, NEXT_L11
from gsdd_runtime.sets.coding.gaussians import decode as decode_gaussians
from gsdd_runtime.sets.coding.pixels import CHANNEL, PixelSteps
from gsdd_runtime.sets.coding.pixels import decode as decode_pixels
from gsdd_runtime.sets.coding.steps import Steps
from gsdd_runtime.sets.coding.stream import Writer
from gsdd_runtime.sets.compression import compress, within_bytes
from gsdd_runtime.sets.description import description

DATA = Path(__file__).parent / "data"
GOLDEN = DATA / "coded.json"


def soft_set() -> DistilledSet:
    labels = torch.rand(6, 3, generator=torch.Generator().manual_seed(0)).half()
    return DistilledSet(some_gaussians(), labels, 12, 10)


MAKERS: dict[str, Callable[[], DistilledSet]] = {
    "gaussians": some_set,
    "color": lambda: some_set(channels=3),
    "soft labels": soft_set,
    "pixels": pixel_set,
}


@pytest.mark.parametrize("name", MAKERS)
def test_a_coded_file_gives_the_same_tensors_and_the_same_file_again(tmp_path: Path, name: str) -> None:
    original = MAKERS[name]()
    coded = compress(original).distilled_set
    path = saved(tmp_path, coded)
    loaded = DistilledSet.load(path)
    assert torch.equal(loaded.rows(), coded.rows())
    assert torch.equal(loaded.labels, original.labels)
    assert loaded.rows().dtype == torch.bfloat16
    assert loaded.rows().shape == original.rows().shape
    assert loaded.class_names == original.class_names
    loaded.save(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()


def test_what_a_coded_set_decodes_to_is_near_the_original(tmp_path: Path) -> None:
    original = some_set(channels=3)
    fine = compress(original, steps=Steps(2**-12, 2**-12, 2**-12, 2**-12)).distilled_set
    # Worst measured: 7e-3, bfloat16 and the threshold.
    assert (fine.decode() - original.decode()).abs().max() < 1.5e-2
    coarse = compress(original).distilled_set
    assert (coarse.decode() - original.decode()).abs().max() > 1.5e-2


def test_bytes_are_those_of_the_file() -> None:
    original = some_set(60)
    coded = compress(original)
    stored = coded.distilled_set.coded
    assert stored is not None
    assert coded.bytes_before == original.rows().numel() * 2
    assert coded.bytes_after == coded.distilled_set.nbytes == stored.data.numel()
    assert coded.bytes_after < 0.5 * coded.bytes_before
    assert 0 < sum(stored.bits.values()) < 8 * coded.bytes_after
    facts = description(coded.distilled_set)
    assert facts["image_bytes"] == facts["payload_bytes"] == coded.bytes_after
    assert facts["coding"]["steps"].keys() == {"position", "cholesky", "color", "opacity"}
    assert description(original)["coding"] is None


def test_more_images_than_classes_cost_next_to_nothing_for_labels() -> None:
    many = DistilledSet(some_gaussians(300), torch.arange(3).repeat_interleave(100), 12, 10)
    stored = compress(many).distilled_set.coded
    assert stored is not None
    assert stored.bits["labels"] < 100


@pytest.mark.parametrize("aim", [{"psnr": 30.0}, {"bits_per_gaussian": 40.0}, {"nbytes": 1500}])
def test_an_aim_is_met_and_not_overshot_by_much(aim: dict[str, Any]) -> None:
    gaussians = some_gaussians(50, 8, 3)
    found = compress(DistilledSet(gaussians, torch.arange(50) % 3, 12, 10), **aim)
    if "psnr" in aim:
        assert 29.5 < found.psnr < 31
    else:
        limit = aim.get("nbytes", 40 * 400 / 8)
        assert 0.93 * limit < found.bytes_after <= limit


def test_aims_that_cannot_be_met_or_contradict_are_refused() -> None:
    for aims, message in (
        ({"psnr": 20, "nbytes": 100}, "give one of"),
        ({"nbytes": 3}, "cannot be coded in 3 bytes"),
        ({"psnr": 200}, "bfloat16 itself is the limit"),
        ({"bits_per_gaussian": 0}, "above 0"),
        ({"pixel_bits": 3}, "for pixel sets"),
    ):
        with pytest.raises(InputError, match=message):
            compress(some_set(), **aims)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="coded by bits a pixel"):
        compress(pixel_set(), psnr=20)


def test_steps_that_leave_next_to_nothing_are_refused() -> None:
    """What reads it asks for a byte for each 64 numbers, so that a small file takes little memory."""
    blank = torch.zeros(1, 3, 160, 160, dtype=torch.bfloat16)
    with pytest.raises(InputError, match=r"76800 numbers in \d+ bytes: .* take finer ones"):
        compress(DistilledSet(None, torch.tensor([0]), 160, 160, pixels=blank), pixel_bits=1)


def test_finer_steps_are_within_more_bytes() -> None:
    original = some_set(30)
    few, more = within_bytes(original, 600), within_bytes(original, 900)
    assert few.psnr < more.psnr
    assert few.bytes_after <= 600 < more.bytes_after <= 900


@pytest.mark.parametrize("bits", [1, 2, 3, 8, 12])
def test_pixels_come_back_at_their_levels(bits: int) -> None:
    original = pixel_set()
    coded = compress(original, pixel_bits=bits).distilled_set
    assert isinstance(coded.coded.steps, PixelSteps)  # type: ignore[union-attr]
    assert len(coded.rows().unique()) <= 2**bits
    error = (coded.rows().float() - original.rows().float()).abs().max()
    # Half a step of the range, and the rounding to bfloat16; the fewest levels leave the ends of the range out.
    assert error < (0.5 if bits < 3 else 0.6 / (2**bits - 1) + 4e-3)


def test_a_set_of_nothing_to_be_seen_is_coded_too(tmp_path: Path) -> None:
    gaussians = torch.zeros(3, 5, 7, dtype=torch.bfloat16)
    path = saved(tmp_path, compress(DistilledSet(gaussians, torch.tensor([2, 0, 1]), 8, 8)).distilled_set)
    loaded = DistilledSet.load(path)
    assert torch.equal(loaded.rows(), gaussians)
    assert loaded.labels.tolist() == [2, 0, 1]


def test_every_version_reads_the_golden_files() -> None:
    golden = json.loads(GOLDEN.read_text())
    for name, digest in golden.items():
        loaded = DistilledSet.load(DATA / name)
        assert loaded.coded is not None
        content = loaded.rows().contiguous().view(torch.uint8).numpy().tobytes() + loaded.labels.numpy().tobytes()
        assert hashlib.sha256(content).hexdigest() == digest, name


def test_what_a_file_decodes_to_is_not_the_caller_s_choice_of_dtype() -> None:
    def decoded() -> list[torch.Tensor]:
        levels = PixelSteps(12, -0.1, 1e-4).values(torch.arange(4096))
        return [levels, *(DistilledSet.load(DATA / name).rows() for name in json.loads(GOLDEN.read_text()))]

    before = decoded()
    torch.set_default_dtype(torch.float64)
    try:
        again = decoded()
    finally:
        torch.set_default_dtype(torch.float32)
    for first, second in zip(before, again, strict=True):
        assert first.dtype == second.dtype
        assert torch.equal(first, second)


def test_images_of_fewer_gaussians_keep_their_own_at_the_front(tmp_path: Path) -> None:
    gaussians = some_gaussians(40, 8, 3)
    for image in range(0, 40, 3):
        gaussians[image, : image % 9, 5:8] = 0
    path = saved(tmp_path, compress(DistilledSet(gaussians, torch.arange(40) % 3, 12, 10)).distilled_set)
    loaded = DistilledSet.load(path)
    drawn = loaded.rows()[..., -1] != 0
    assert not drawn.all()
    assert torch.equal(drawn, drawn.sort(dim=1, descending=True).values)
    assert (loaded.rows()[~drawn] == 0).all()
    whole = compress(DistilledSet(gaussians[1:3], torch.arange(2), 12, 10)).distilled_set
    assert torch.equal(loaded.rows()[1:3], whole.rows())


def test_a_pixel_beyond_its_levels_is_refused() -> None:
    writer = Writer()
    for place in range(3):
        writer.write(CHANNEL, np.array([[0, 4][: 1 + place % 2]]), np.zeros((1, 1 + place % 2), np.int64))
    with pytest.raises(InputError, match="a pixel out of range"):
        decode_pixels(writer.finish(), (1, 1, 2, 2), PixelSteps(2, 0.0, 0.25), labels=False)


def coding(change: Callable[[Any], Any]) -> Callable[[Path], Path]:
    def apply(path: Path) -> Path:
        def edit(fields: Header) -> None:
            fields["coding"] = change(fields["coding"])

        return edited(path, edit)

    return apply


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (coding(lambda value: None), "coding must be a JSON object"),
        (coding(lambda value: value | {"coder": "zip"}), "the coder is 'zip'"),
        (coding(lambda value: value | {"labels": 1}), "labels must be true or false"),
        (coding(lambda value: value | {"labels": False}), "labels must be either coded or a tensor"),
        (coding(lambda value: value | {"shape": [6, 4]}), "shape must be 3 whole numbers"),
        (coding(lambda value: value | {"shape": [6, 4, 6]}), "shape must end in 6 + channels"),
        (coding(lambda value: value | {"shape": [6, 0, 7]}), "shape must be 3 whole numbers"),
        (coding(lambda value: value | {"shape": [2**30, 2**9, 7]}), "cannot hold"),
        (coding(lambda value: value | {"shape": [7, 4, 7]}), "damaged"),
        (coding(lambda value: value | {"steps": {}}), "steps must be"),
        (coding(lambda value: value | {"steps": value["steps"] | {"color": 0}}), "the step of color"),
        (lambda path: edited(path, lambda fields: fields.pop("coding")), "come together"),
        (lambda path: with_tensor(path, gaussians=some_gaussians()), "gaussians and coded"),
        (lambda path: with_tensor(path, labels=torch.zeros(6, dtype=torch.int64)), "either coded or a tensor"),
        (lambda path: with_tensor(path, coded=torch.zeros(20, dtype=torch.uint8)), "coder version 0"),
        (lambda path: with_tensor(path, coded=torch.zeros(20)), "must be U8"),
        (lambda path: with_tensor(path, coded=torch.zeros(0, dtype=torch.uint8)), "ends in its header"),
    ],
)
def test_what_is_not_as_described_is_refused(tmp_path: Path, damage: Callable[[Path], Path], words: str) -> None:
    refused(damage(saved(tmp_path, compress(some_set()).distilled_set)), words)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"shape": [6, 5, 12, 10]}, "shape must be images, channels, height, width"),
        ({"shape": [6, 3, 12, 16385]}, "shape must be images, channels, height, width"),
        ({"steps": {"bits": 13, "low": 0.0, "step": 0.25}}, "bits of a pixel must be 1 to 12"),
        ({"steps": {"bits": 2, "low": 1e9, "step": 0.25}}, "the low of a pixel's levels is out of range"),
        ({"steps": {"bits": 2, "low": 0.0, "step": 0}}, "the step of a pixel's levels is out of range"),
    ],
)
def test_pixels_that_are_not_as_described_are_refused(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    path = saved(tmp_path, compress(pixel_set(), pixel_bits=2).distilled_set)
    refused(coding(lambda value: value | change)(path), words)


def gaussians_of(*planes: tuple[int, list[int]]) -> bytes:
    """A stream with these numbers of each plane, all in one context."""
    writer = Writer()
    for plane, numbers in planes:
        writer.write(plane, np.array(numbers), np.zeros(len(numbers), np.int64))
    return writer.finish()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (gaussians_of((MISSING, [3])), "an image of fewer than no Gaussians"),
        (gaussians_of((MISSING, [0]), (AMPLITUDE, [0, 40])), "an amplitude out of range"),
        (
            gaussians_of((MISSING, [0]), (AMPLITUDE, [0, 0]), (FIRST_L11, [2**20 - 1]), (NEXT_L11, [1])),
            "a factor out of range",
        ),
    ],
)
def test_gaussians_that_cannot_be_are_refused(data: bytes, words: str) -> None:
    with pytest.raises(InputError, match=words):
        decode_gaussians(data, (1, 2, 7), 12, 10, Steps(0.1, 0.1, 0.1, 0.1), labels=False)


def test_a_plain_file_with_a_coding_is_refused(tmp_path: Path) -> None:
    path = edited(saved(tmp_path), lambda fields: fields.update(coding={}))
    refused(path, "come together")


def test_a_small_file_cannot_ask_for_much_memory(tmp_path: Path) -> None:
    original = compress(some_set()).distilled_set
    path = saved(tmp_path, original)
    limit = 65536 + 64 * original.nbytes
    refused(coding(lambda value: value | {"shape": [1, limit // 7 + 1, 7]})(path), "cannot hold")


def test_the_loader_and_an_exporter_take_a_coded_set_as_any_other(tmp_path: Path) -> None:
    path = saved(tmp_path, compress(some_set()).distilled_set)
    loaded = DistilledSet.load(path)
    images, labels = next(iter(gsdd.DistilledLoader(path, batch_size=6, shuffle=False, normalize=False, device="cpu")))
    assert torch.equal(images, loaded.decode())
    assert torch.equal(labels, loaded.labels)
    again = DistilledSet(loaded.gaussians, loaded.labels, 12, 10)
    assert torch.equal(again.decode(), loaded.decode())


def test_the_command_compresses_and_tells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = saved(tmp_path, some_set(30)), tmp_path / "small.safetensors"
    assert run(["compress", str(path), "--out", str(out), "--bytes", "700", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    small = DistilledSet.load(out)
    assert facts["image_bytes"] == small.nbytes <= 700
    assert facts["file_bytes"] == out.stat().st_size
    assert abs(sum(facts["bits"].values()) - 8 * facts["image_bytes"]) < 1
    assert facts["psnr"] > 10
    assert run(["compress", str(path), "--out", str(out), "--psnr", "25", "--overwrite"]) == 0
    assert "bits a Gaussian: " in capsys.readouterr().out
    assert run(["compress", str(path), "--out", str(out), "--bytes", "2", "--overwrite"]) == 2
    assert "cannot be coded in 2 bytes" in capsys.readouterr().err
