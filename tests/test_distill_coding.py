"""Distilling under a budget of coded bytes: what is drawn is what is kept, and the file stays within the budget."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from distill_data import SMALL, blobs

from gsdd_runtime.datasets import RealData, load_dataset
from gsdd_runtime.distillation import distill
from gsdd_runtime.distillation.options import resolve
from gsdd_runtime.distillation.representations import coded_gaussian, steering
from gsdd_runtime.distillation.representations.coded_gaussian import CodedGaussianRepresentation
from gsdd_runtime.distillation.representations.coded_pixel import CodedPixelRepresentation
from gsdd_runtime.distillation.storage import HEADER_BYTES, coded_budget
from gsdd_runtime.errors import InputError
from gsdd_runtime.progress import Progress
from gsdd_runtime.sets.coding.pixels import PixelSteps
from gsdd_runtime.sets.distilled_set import DistilledSet
from gsdd_runtime.splatting.gaussians import initial_gaussians

CODED = {**SMALL, "coding": "entropy", "gpc": 4, "ipc": 8}


def representation(budget: int = 2000, images: int = 6, **options: Any) -> CodedGaussianRepresentation:
    start = initial_gaussians(images, 12, 1, 12, 16, torch.Generator().manual_seed(0))
    start[..., 5] -= 0.3
    return CodedGaussianRepresentation(start, 12, 16, budget=budget, **options)


def test_what_is_drawn_is_what_is_kept() -> None:
    coded = representation()
    for _ in range(26):
        coded.constrain()
    kept = coded.to_set(torch.arange(6))
    assert kept.coded is not None
    # Gaussians of an image are sorted when they are coded: sums round otherwise. Worst measured: 2e-7.
    assert (kept.decode() - coded.render()).abs().max() < 2e-6
    assert torch.equal(kept.coded.decode("", 12, 16)[0], kept.rows())


def test_the_gradient_is_that_of_the_exact_gaussians() -> None:
    coded = representation()
    exact = CodedGaussianRepresentation(coded.masters, 12, 16, budget=2000)
    exact._state[0] = 1e-3
    grads = []
    for one in (coded, exact):
        one.render().square().sum().backward()
        grads.append(torch.cat([part.grad.flatten() for part in one.parameters().values()]))
    assert torch.nn.functional.cosine_similarity(grads[0], grads[1], dim=0) > 0.9
    opacity = coded.parameters()["opacity"].grad
    assert opacity is not None
    assert opacity.abs().sum() > 0


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[int]]:
    """Moves images 800 times without an optimiser, and says at which moves their bytes were looked at."""
    looks: list[int] = []
    moves, code = [0], coded_gaussian.encode_images

    def counted(*given: Any) -> Any:
        looks.append(moves[0])
        return code(*given)

    monkeypatch.setattr(coded_gaussian, "encode_images", counted)

    def looks_of(coded: CodedGaussianRepresentation, scale: float | None = None) -> list[int]:
        looks.clear()
        for moves[0] in range(1, 801):
            coded.constrain()
            if scale is not None:
                coded._state[0] = scale
        return list(looks)

    return looks_of


def test_the_bytes_are_looked_at_seldom_once_they_are_near_the_budget(looked: Callable[..., list[int]]) -> None:
    taken = coded_gaussian.encode_images(
        representation().masters.detach(), None, 12, 16, representation().steps
    ).data.numel()
    for budget, expected in ((taken, [24, 74, 174, 374, 774]), (taken // 8, [25 * k - 1 for k in range(1, 33)])):
        coded = representation(budget)
        # The images do not move here, nor do the steps.
        assert looked(coded, coded_gaussian.DEFAULT_SCALE) == expected
    # What is left until the next look is part of a checkpoint; the first move was made when it began.
    assert coded.buffers()["coding"].tolist()[1:] == [24.0, 25.0]


def test_the_bytes_are_looked_at_seldom_where_steps_cannot_be_finer(looked: Callable[..., list[int]]) -> None:
    coded = representation(1_000_000)
    # An eighth of the steps of the start is reached at the third.
    assert looked(coded) == [24, 49, 74, 124, 224, 424]
    assert coded.steps == coded_gaussian.SHARES.scaled(float(torch.tensor(coded_gaussian._SCALES[0])))


@pytest.mark.parametrize(
    ("taken", "finest", "longer"),
    [(991, False, True), (1009, False, True), (500, False, False), (500, True, True), (2000, True, False)],
)
def test_looks_are_seldom_near_the_budget_or_below_it_by_the_finest_steps(
    taken: int, finest: bool, longer: bool
) -> None:
    assert steering.until_next(50.0, taken, 1000, finest=finest) == (100 if longer else steering.INTERVAL)


def test_coded_pixels_are_looked_at_seldom_where_levels_cannot_be_nearer() -> None:
    pixels = torch.rand(4, 1, 12, 16, generator=torch.Generator().manual_seed(0))
    coded = CodedPixelRepresentation(pixels, bits=2, budget=1_000_000)
    for _ in range(200):
        coded.constrain()
    # Looked at by move 175 for the third time, and next 200 moves later.
    assert coded.buffers()["coding"].tolist()[-1] == 200


@pytest.mark.parametrize(("budget", "finer"), [(500, False), (1100, True)])
def test_the_steps_are_steered_to_the_budget(budget: int, finer: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steering, "INTERVAL", 1)
    coded = representation(budget, images=40)
    before = float(coded.buffers()["coding"][0])
    for _ in range(12):
        coded.constrain()
    assert (float(coded.buffers()["coding"][0]) < before) is finer
    assert 0.95 * budget < coded.to_set(torch.arange(40)).nbytes <= budget


def test_a_budget_that_the_steps_miss_is_met_in_the_end() -> None:
    # Never steered: the set is coded more coarsely than it was drawn.
    coded = representation(650, images=40)
    assert 600 < coded.to_set(torch.arange(40)).nbytes <= 650
    with pytest.raises(InputError, match="cannot be coded in 20 bytes"):
        representation(20).to_set(torch.arange(6))


def test_the_rate_is_part_of_the_penalty() -> None:
    plain, weighed = representation(boundary_weight=0.1), representation(boundary_weight=0.1, rate_weight=0.5)
    first, second = plain.penalty(), weighed.penalty()
    assert first is not None
    assert second is not None
    assert second > first + 5
    second.backward()
    assert weighed.parameters()["color"].grad.abs().sum() > 0  # type: ignore[union-attr]
    assert representation(boundary_weight=0.0).penalty() is None


def test_pixels_are_drawn_at_the_levels_they_are_kept_at() -> None:
    pixels = torch.rand(4, 1, 12, 16, generator=torch.Generator().manual_seed(0))
    coded = CodedPixelRepresentation(pixels, bits=2)
    assert len(coded.render().unique()) == 4
    kept = coded.to_set(torch.arange(4))
    assert torch.equal(kept.decode(), coded.render())
    coded.render().sum().backward()
    assert (coded.parameters()["pixels"].grad == 1).all()  # type: ignore[union-attr]
    with torch.no_grad():
        coded.parameters()["pixels"].mul_(3)
    for _ in range(25):
        coded.constrain()
    assert coded.render().max() > 1.5


PIXELS = {"representation": "pixels", "pixel_bits": 2}


@pytest.mark.parametrize("options", [{}, {**PIXELS, "gpc": 8}, {**PIXELS, "gpc": 10, "downscale": 2}])
def test_a_distilled_file_is_within_the_budget(tmp_path: Path, options: dict[str, Any]) -> None:
    data, out = blobs(), tmp_path / "set.safetensors"
    distilled = distill(data, device="cpu", out=out, **{**CODED, **options})
    assert distilled.coded is not None
    assert out.stat().st_size <= coded_budget(data, 8) == 8 * 12 * 16 * 4 * 3
    assert out.stat().st_size - distilled.nbytes <= HEADER_BYTES
    loaded = DistilledSet.load(out)
    assert torch.equal(loaded.decode(), distilled.decode())
    assert loaded.options["coding"] == "entropy"
    assert loaded.decode().shape[2:] == (12, 16)
    if options.get("downscale"):
        assert loaded.rows().shape[2:] == (6, 8)


@pytest.mark.parametrize(("bits", "told"), [(2, False), (8, True)])
def test_pixels_that_take_more_than_the_storage_are_told_of(tmp_path: Path, bits: int, told: bool) -> None:
    said: list[str] = []
    options = {**CODED, **PIXELS, "pixel_bits": bits, "gpc": 10, "ipc": 2}
    distilled = distill(blobs(), device="cpu", out=tmp_path / "set.safetensors", say=said.append, **options)
    over = distilled.image_nbytes + HEADER_BYTES - coded_budget(blobs(), 2)
    assert (over > 0) == told
    lines = [line for line in said if "more than the storage" in line]
    expected = f"the images take {over} bytes more than the storage of ipc 2: lower gpc from 10 to stay within it"
    assert lines == ([expected] if told else [])


@pytest.mark.parametrize(
    ("options", "raised"),
    [
        ({"gaussians": 9}, "gpc or gaussians"),
        ({**PIXELS, "gpc": 4}, "gpc"),
        ({**PIXELS, "pixel_bits": 8, "gpc": 7}, None),
    ],
)
def test_storage_that_is_left_is_told_of(tmp_path: Path, options: dict[str, Any], raised: str | None) -> None:
    said: list[str] = []
    settings = {**CODED, **options, "ipc": 2}
    distilled = distill(blobs(), device="cpu", out=tmp_path / "set.safetensors", say=said.append, **settings)
    share = distilled.image_nbytes / (coded_budget(blobs(), 2) - HEADER_BYTES)
    assert (share < 0.9) == (raised is not None)
    expected = f"the images fill {100 * share:.0f} % of the storage of ipc 2: raise {raised} to use the rest"
    assert [line for line in said if "of the storage" in line] == ([expected] if raised else [])


@pytest.mark.parametrize(("phase", "step"), [("fit", 6), ("match", 7)])
@pytest.mark.parametrize("options", [{}, {**PIXELS, "downscale": 2}])
def test_a_killed_and_resumed_run_ends_in_the_same_bytes(
    tmp_path: Path, phase: str, step: int, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # So that the steps have moved by the time of the checkpoint.
    monkeypatch.setattr(steering, "INTERVAL", 5)
    settings = {**CODED, **options, "device": "cpu", "checkpoint_interval": 5}
    if phase == "fit" and options:
        pytest.skip("pixels are not fitted")

    def stop(progress: Progress) -> None:
        if (progress.phase, progress.step) == (phase, step):
            raise RuntimeError

    whole, parts = tmp_path / "whole.safetensors", tmp_path / "parts.safetensors"
    distill(blobs(), out=whole, **settings)
    with pytest.raises(RuntimeError):
        distill(blobs(), out=parts, progress=stop, **settings)
    distill(blobs(), out=parts, resume=True, **settings)
    assert parts.read_bytes() == whole.read_bytes()


def test_the_storage_is_filled_by_measured_bits() -> None:
    data = blobs(channels=3)
    options = {"ipc": 8, "init": "random", "device": "cpu"}
    plain = resolve({**options, "coding": "none"}, data)
    coded = resolve({**options, "coding": "entropy"}, data)
    assert 2.5 < coded.gpc / plain.gpc < 5
    fixed = resolve({**options, "coding": "entropy", "gpc": coded.gpc}, data)
    assert fixed.storage == coded.storage
    with pytest.raises(InputError, match="fewer than one for each of 9999 images"):
        resolve({**options, "coding": "entropy", "gpc": 9999}, data)


@pytest.fixture(scope="module")
def two_classes() -> RealData:
    return load_dataset("fashion-mnist-sample", classes="Trouser,Bag")


@pytest.mark.parametrize("downscale", [1, 2], ids=["whole", "half"])
@pytest.mark.parametrize("bits", [8, 2])
def test_pixels_fill_their_storage_and_stay_within_it(bits: int, downscale: int, two_classes: RealData) -> None:
    options = {**PIXELS, "pixel_bits": bits, "downscale": downscale, "ipc": 4 if bits == 8 else 2}
    fast = {"network": "convnet1-w4", "batch_real": 8, "batch_syn": 16, "iterations": 30}
    made = distill(two_classes, coding="entropy", device="cpu", **options, **fast)
    room = coded_budget(two_classes, int(options["ipc"])) - HEADER_BYTES
    assert 0.9 * room < made.image_nbytes <= room


def test_pixels_are_planned_by_how_far_training_will_scatter_them(two_classes: RealData) -> None:
    options = {**PIXELS, "pixel_bits": 8, "coding": "entropy", "device": "cpu", "ipc": 4}
    rates = (1e-4, 1e-2, None, 1e-1)
    planned = [resolve({**options, "learning_rate": rate}, two_classes).gpc for rate in rates]
    assert planned[0] > planned[1] == planned[2] > planned[3]
    # Noise takes more than real images do.
    assert resolve({**options, "init": "random"}, two_classes).gpc < planned[2]


def test_levels_lie_further_apart_where_the_pixels_would_take_more_than_the_budget() -> None:
    pixels = torch.rand(20, 1, 12, 16, generator=torch.Generator().manual_seed(0))
    free = CodedPixelRepresentation(pixels, bits=8)
    taken = free.to_set(torch.arange(20)).image_nbytes
    budget = int(0.9 * taken)
    for moves in (0, 200):
        bound = CodedPixelRepresentation(pixels, bits=8, budget=budget)
        for _ in range(moves):
            bound.constrain()
        assert 0.93 * budget < bound.to_set(torch.arange(20)).image_nbytes <= budget
        # What is drawn is of these levels too, once the bytes were looked at.
        assert (bound.steps.step > 1.5 * free.steps.step) is (moves > 0)
    # Four times as far apart and no further: what then takes more is told of.
    bound = CodedPixelRepresentation(pixels, bits=8, budget=taken // 2)
    assert bound.to_set(torch.arange(20)).image_nbytes > taken // 2


def test_levels_that_lie_apart_are_where_most_pixels_are() -> None:
    pixels = torch.cat([torch.zeros(900), torch.linspace(-0.3, 1.2, 100)])
    fitted = PixelSteps.fitted(pixels, 2)
    apart = fitted.apart(1.5, pixels)
    assert apart.step == 1.5 * fitted.step
    assert float(apart.values(apart.numbers(torch.zeros(1)))) == pytest.approx(0, abs=0.1)
    assert fitted.apart(1, pixels) == fitted


def test_the_number_of_gaussians_is_the_user_s_where_he_says_it_and_the_steps_keep_the_budget() -> None:
    options = {**CODED, "gpc": 4, "ipc": 2, "iterations": 60}
    by_budget = distill(blobs(), **options)
    more = by_budget.rows().shape[1] * 3 // 2
    chosen = distill(blobs(), **options, gaussians=more)
    assert chosen.rows().shape[1] == more
    assert chosen.image_nbytes + HEADER_BYTES <= coded_budget(blobs(), 2)
    with pytest.raises(InputError, match="bits for each of 4000 coded Gaussians, which need 8 at least: lower gauss"):
        resolve({**options, "gaussians": 1000}, blobs())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"coding": "zip"}, "coding 'zip' is not known"),
        ({"rate_weight": 0.1}, "rate_weight is an option of representation gaussians with coding entropy, not of"),
        ({"gaussians": 7}, "gaussians is an option of representation gaussians with coding entropy, not of"),
        ({"coding": "entropy", "rate_weight": -1}, "rate_weight must be"),
        ({"coding": "entropy", "representation": "pixels", "pixel_bits": 0}, "pixel_bits must be"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        resolve({**SMALL, "ipc": 4, **options}, blobs())
