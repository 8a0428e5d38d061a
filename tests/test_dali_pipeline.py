"""A set as a pipeline of DALI: the loader's own batches, DALI's augmentation, going on behind any of them."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from refusals import check_refused
from test_loader import make_set
from torch import Tensor

import gsdd_runtime as gsdd
from gsdd_runtime.loading import dali

needs_dali = pytest.mark.dali
CHANGES = {"flip": True, "shift": 3}


def iterator(distilled: gsdd.DistilledSet, **arguments: Any):
    from nvidia.dali.plugin.pytorch import DALIGenericIterator, LastBatchPolicy

    made = dali.pipeline(distilled, arguments.pop("batch_size", 8), device="cpu", **arguments)
    return DALIGenericIterator([made], list(dali.OUTPUTS), auto_reset=True, last_batch_policy=LastBatchPolicy.PARTIAL)


def batches(batches_of: Any) -> Iterator[tuple[Tensor, Tensor]]:
    """Copies: DALI writes the next batches into the same memory."""
    for (batch,) in batches_of:
        yield batch["images"].clone(), batch["labels"].clone()


@needs_dali
@pytest.mark.parametrize(
    "arguments",
    [
        {"seed": 3},
        {"shuffle": False, "size": (20, 24), "normalize": False},
        {"seed": 3, "rank": 1, "world_size": 2},
        {"drop_last": True},
    ],
    ids=lambda arguments: ",".join(arguments),
)
@pytest.mark.parametrize("soft", [False, True])
def test_epochs_are_those_of_the_loader(arguments: dict[str, Any], soft: bool) -> None:
    distilled = make_set(soft=soft)
    made, loader = iterator(distilled, **arguments), gsdd.DistilledLoader(distilled, 8, device="cpu", **arguments)
    for _ in range(2):
        for (images, labels), (expected, wanted) in zip(batches(made), loader, strict=True):
            assert images.shape == expected.shape
            assert (images - expected).abs().max() < 1e-5
            assert torch.equal(labels, wanted.to(labels.dtype))
            assert labels.dtype == (torch.float32 if soft else torch.int64)


@needs_dali
def test_a_set_of_pixels_is_fed_too() -> None:
    pixels = torch.rand(10, 3, 16, 16, generator=torch.Generator().manual_seed(0)).bfloat16()
    distilled = gsdd.DistilledSet(None, torch.arange(10), 16, 16, pixels=pixels)
    images = torch.cat([images for images, _ in batches(iterator(distilled, shuffle=False, normalize=False))])
    assert torch.equal(images, pixels.float())


def shifts_of(changed: Tensor, plain: Tensor, most: int) -> list[tuple[bool, int, int]]:
    """For each image whether it was mirrored, and how far it was moved: the one way that gives it exactly."""
    padded = torch.nn.functional.pad(plain, [most] * 4)
    found = []
    for image, source in zip(changed, padded, strict=True):
        side = image.shape[-1]
        for mirrored in (False, True):
            for y in range(2 * most + 1):
                for x in range(2 * most + 1):
                    moved = source[:, y : y + side, x : x + side]
                    if torch.allclose(image, moved.flip(2) if mirrored else moved, atol=1e-5):
                        found.append((mirrored, y - most, x - most))
    return found


@needs_dali
def test_images_are_flipped_and_moved_one_by_one() -> None:
    distilled = make_set()
    plain = distilled.decode(normalize=True)
    drawn = []
    made = iterator(distilled, shuffle=False, **CHANGES)
    for _ in range(4):
        drawn += shifts_of(torch.cat([images for images, _ in batches(made)]), plain, CHANGES["shift"])
    # Each is one of the 98 ways, and no other: what comes in is the mean, 0 once it is normalised.
    assert len(drawn) == 4 * len(distilled)
    assert {mirrored for mirrored, _, _ in drawn} == {False, True}
    for axis in (1, 2):
        assert {draw[axis] for draw in drawn} == set(range(-3, 4))
    assert len(set(drawn)) > 40


@needs_dali
def test_a_seed_fixes_what_is_drawn_and_ranks_draw_apart() -> None:
    one = make_set(1)
    alike = gsdd.DistilledSet(
        one.gaussians.expand(16, -1, -1), torch.zeros(16, dtype=torch.int64), 16, 16, mean=one.mean, std=one.std
    )

    def drawn(**arguments: Any) -> Tensor:
        return torch.cat([images for images, _ in batches(iterator(alike, **CHANGES, **arguments))])

    assert torch.equal(drawn(seed=1), drawn(seed=1))
    assert not torch.equal(drawn(seed=1), drawn(seed=2))
    assert not torch.equal(drawn(rank=0, world_size=2), drawn(rank=1, world_size=2))


@needs_dali
@pytest.mark.parametrize("taken", [0, 1, 3, 4, 5])
def test_a_state_goes_on_behind_the_last_batch(taken: int) -> None:
    arguments = {"seed": 3, **CHANGES}
    distilled = make_set()
    made = iterator(distilled, **arguments)
    whole = [batch for _ in range(3) for batch in batches(made)]
    first = iterator(distilled, **arguments)
    left = taken
    while left > 0:
        for _ in first:
            left -= 1
            if left == 0:
                break
    state = json.loads(json.dumps(dali.state_dict(first)))
    second = iterator(distilled, state=state, **arguments)
    rest = [batch for _ in range(2) for batch in batches(second)]
    assert len(rest) >= 4
    for (images, labels), (expected, wanted) in zip(rest, whole[taken:], strict=False):
        assert torch.equal(images, expected)
        assert torch.equal(labels, wanted)


@needs_dali
def test_a_pipeline_without_an_iterator_has_a_state_too() -> None:
    made = dali.pipeline(make_set(), 8, device="cpu", shuffle=False)
    made.run()
    resumed = dali.pipeline(make_set(), 8, device="cpu", shuffle=False, state=dali.state_dict(made))
    images, labels = resumed.run()
    assert torch.equal(torch.from_numpy(np.array(labels.as_array())).flatten(), make_set().labels[8:16])
    expected = make_set().decode(slice(8, 16), normalize=True)
    assert (torch.from_numpy(np.array(images.as_array())) - expected).abs().max() < 1e-5


@needs_dali
def test_half_precision_and_channels_last() -> None:
    ((images, _), *_) = batches(iterator(make_set(), shuffle=False, dtype=torch.float16, channels_last=True))
    assert images.shape == (8, 16, 16, 3)
    assert images.dtype == torch.float16
    expected = make_set().decode(slice(0, 8), normalize=True)
    assert (images.permute(0, 3, 1, 2).float() - expected).abs().max() < 1e-2


STATE = {
    "set": "", "batch_size": 8, "shuffle": True, "seed": 0, "flip": False, "shift": 0, "normalize": True,
    "size": [16, 16], "rank": 0, "drop_last": False, "world_size": 1, "dali": "",
}  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"batch_size": 0}, ["batch_size must be at least 1"]),
        ({"dtype": torch.bfloat16}, ["DALI has images of float32 or float16, not of bfloat16"]),
        ({"shift": 16}, ["shift must be 0 to less than", "16"]),
        ({"num_threads": 0}, ["num_threads and prefetch must be at least 1, got 0"]),
        ({"size": (0, 3)}, ["height must be 1 to 16384, got 0"]),
        ({"rank": 2, "world_size": 2}, ["rank must be 0 to world_size - 1"]),
        ({"batch_size": 24, "drop_last": True}, ["no whole batch of 24"]),
        ({"state": {}}, ["saved with set None"]),
        ({"state": STATE}, ["saved with set ''", "make the pipeline as it was"]),
        ({"device": "tpu"}, ["device 'tpu'"]),
    ],
    ids=str,
)
def test_what_is_refused(arguments: dict[str, Any], words: list[str]) -> None:
    arguments = {"batch_size": 8, "device": "cpu", **arguments}
    check_refused(lambda: dali.pipeline(make_set(), **arguments), *words)


def test_a_whitened_set_is_refused_and_fed_plain() -> None:
    plain = make_set()
    size = 3 * 16 * 16
    whitened = plain.changed(zca=torch.cat([torch.eye(size), torch.zeros(1, size)]))
    check_refused(lambda: dali.pipeline(whitened, 8, device="cpu"), "whitened (zca)", "normalize=False")


def test_a_damaged_state_is_refused() -> None:
    from gsdd_runtime.loading.loader import content_digest

    state = {**STATE, "set": content_digest(make_set())}
    for damaged in (
        {**state, "dali": "no base64!"},
        {**state, "dali": None},
        {k: state[k] for k in state if k != "dali"},
    ):
        check_refused(lambda damaged=damaged: dali.pipeline(make_set(), 8, device="cpu", state=damaged), "damaged")
    check_refused(lambda: dali.pipeline(make_set(), 8, device="cpu", seed=1, state=state), "saved with seed 0", "has 1")


@needs_dali
@pytest.mark.parametrize("damage", [lambda raw: b"", lambda raw: raw[: len(raw) // 2], lambda raw: raw + raw])
def test_what_dali_cannot_read_of_a_state_is_refused(damage: Callable[[bytes], bytes]) -> None:
    state = dali.state_dict(dali.pipeline(make_set(), 8, device="cpu"))
    state["dali"] = base64.b64encode(damage(base64.b64decode(state["dali"]))).decode()
    check_refused(lambda: dali.pipeline(make_set(), 8, device="cpu", state=state), "state is damaged")


def test_only_our_pipelines_have_a_state() -> None:
    check_refused(lambda: dali.state_dict(object()), "a state is of one pipeline")


PAGE = (Path(__file__).parent.parent / "docs" / "dali.md").read_text()


@needs_dali
@pytest.mark.parametrize("program", re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))
def test_programs_of_the_page_run(program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_set().save("set.safetensors")
    found: dict[str, Any] = {}
    exec(compile(program, "dali.md", "exec"), found)
    if "state" in found:
        assert found["images"].shape == (7, 3, 16, 16)
        assert found["state"]["flip"] is True


@needs_dali
def test_doctor_runs_a_pipeline() -> None:
    from gsdd_runtime.commands.examination import _dali_decode

    assert _dali_decode().status == "ok"
