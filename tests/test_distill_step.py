"""A run of distilling, step by step, against its losses written out from the data.

Nothing of ``gsdd_runtime.distillation`` computes what is expected here: real images come from the data, rendered ones
from the float64 reference, and the losses and penalties from their formulas. What each step hands to the optimiser is
recorded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

import gsdd_runtime as gsdd
from gsdd_runtime import networks, reference
from gsdd_runtime.datasets import RealData
from gsdd_runtime.distillation.objectives import OBJECTIVES, dm
from gsdd_runtime.distillation.representations import REPRESENTATIONS
from gsdd_runtime.progress import Progress
from gsdd_runtime.seeds import derived_generator, derived_seed
from gsdd_runtime.sets.coding.pixels import PixelSteps
from gsdd_runtime.sets.coding.steps import canonical, dequantize, estimated_bits, quantize
from gsdd_runtime.sets.compression import DEFAULT_SCALE
from gsdd_runtime.sets.compression import SHARES as SHARES_OF_STEPS
from gsdd_runtime.training.augmentation import draw_dsa

HEIGHT, WIDTH, CHANNELS, CLASSES, PER_CLASS = 10, 14, 4, 3, 6
NETWORK, SEED, GPC, STEPS = "convnet1-w8", 3, 2, 3
BOUNDARY_WEIGHT = 0.1
# What one of the learning rate each kind of parameter takes, in the order of the optimiser's groups.
SHARES = {"gaussians": (0.5, 3.0, 0.5, 0.5), "pixels": (1.0,)}


@dataclass
class Step:
    """One call of the optimiser: masters and gradients in the order of its groups, and the rates of these."""

    before: list[Tensor]
    gradients: list[Tensor]
    rates: list[float]
    after: list[Tensor]
    report: Progress | None = None


@pytest.fixture
def steps() -> Iterator[list[Step]]:
    """What the optimiser was given at each step of the runs of a test."""
    recorded: list[Step] = []

    def parts_of(optimizer: torch.optim.Optimizer) -> list[Tensor]:
        return [part for group in optimizer.param_groups for part in group["params"]]

    def before(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        # Not those that networks are trained by.
        if not isinstance(optimizer, torch.optim.Adam):
            return
        parts = parts_of(optimizer)
        gradients = [torch.zeros_like(part) if part.grad is None else part.grad.clone() for part in parts]
        rates = [group["lr"] for group in optimizer.param_groups]
        recorded.append(Step([part.detach().clone() for part in parts], gradients, rates, []))

    def after(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        if isinstance(optimizer, torch.optim.Adam):
            recorded[-1].after = [part.detach().clone() for part in parts_of(optimizer)]

    hooks = [register_optimizer_step_pre_hook(before), register_optimizer_step_post_hook(after)]
    yield recorded
    for hook in hooks:
        hook.remove()


def data(*, alike: bool = False) -> RealData:
    """Noise about another brightness a class, the classes mixed; with ``alike``, all images of a class are the same."""
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(CLASSES).repeat(PER_CLASS)
    of_class = torch.randint(0, 160, (CLASSES, CHANNELS, HEIGHT, WIDTH), generator=generator)
    noise = torch.randint(0, 90, (len(labels), CHANNELS, HEIGHT, WIDTH), generator=generator)
    images = (of_class[labels] + (0 if alike else noise)).to(torch.uint8)
    return RealData.of("noise", (images, labels), (images, labels), tuple("abc"))


def run(real: RealData, steps: list[Step], **options: Any) -> tuple[gsdd.DistilledSet, dict[str, list[Step]]]:
    """Distills ``real``; the set, and the steps of each phase with their reports."""
    reports: list[Progress] = []
    steps.clear()
    settings: dict[str, Any] = {
        "network": NETWORK, "iterations": STEPS, "gpc": GPC, "ipc": 1, "batch_real": PER_CLASS, "classes_per_pass": 2,
        "seed": SEED, "device": "cpu", "learning_rate": 0.01,
    }  # fmt: skip
    made = gsdd.distill(real, progress=reports.append, **{**settings, **options})
    phases: dict[str, list[Step]] = {}
    for step, report in zip(steps, reports, strict=True):
        step.report = report
        phases.setdefault(report.phase, []).append(step)
    return made, phases


def boundary(masters: list[Tensor]) -> Tensor:
    x, y = masters[0].unbind(dim=-1)
    return BOUNDARY_WEIGHT * (-torch.log(1 - x * x) - torch.log(1 - y * y)).mean()


def boundary_and_bits(masters: list[Tensor]) -> Tensor:
    bits = estimated_bits(torch.cat(masters, dim=-1), HEIGHT, WIDTH, CODED_STEPS)
    return boundary(masters) + RATE_WEIGHT * bits.mean()


def coded_gaussians(masters: list[Tensor], _: list[Tensor]) -> Tensor:
    numbers = quantize(torch.cat(masters, dim=-1), HEIGHT, WIDTH, CODED_STEPS)
    return dequantize(numbers, HEIGHT, WIDTH, CODED_STEPS).bfloat16()


def coded_pixels(masters: list[Tensor], first: list[Tensor]) -> Tensor:
    fitted = PixelSteps.fitted(first[0], PIXEL_BITS)
    # The levels are a part of the run's state, which is float32.
    low, step = torch.tensor([fitted.low, fitted.step]).double()
    level = ((masters[0].double() - low) / step).round().clamp(0, 2**PIXEL_BITS - 1)
    return (low + step * level).bfloat16()


@dataclass(frozen=True)
class Form:
    """One form of what is distilled.

    Attributes:
        options: of ``distill`` that ask for it.
        exact: from the masters to the numbers that are rounded and kept, in their order.
        stored: these numbers as they are kept, from the masters of a step and those of the first.
        drawn: the images of kept numbers, in float64.
        penalty: a term that the loss gains, of the masters.
    """

    options: dict[str, Any]
    exact: Callable[[list[Tensor]], Tensor]
    stored: Callable[[list[Tensor], list[Tensor]], Tensor]
    drawn: Callable[[Tensor], Tensor]
    penalty: Callable[[list[Tensor]], Tensor] | None = None


def joined(masters: list[Tensor], *_: Any) -> Tensor:
    return torch.cat(masters, dim=-1)


def rounded(masters: list[Tensor], *_: Any) -> Tensor:
    return joined(masters).bfloat16()


def splatted(gaussians: Tensor) -> Tensor:
    return reference.splat(gaussians, HEIGHT, WIDTH)


def enlarged(pixels: Tensor) -> Tensor:
    return functional.interpolate(pixels, (HEIGHT, WIDTH), mode="bilinear", align_corners=False)


RATE_WEIGHT, PIXEL_BITS = 0.01, 4
CODED_STEPS = SHARES_OF_STEPS.scaled(DEFAULT_SCALE)
FORMS = {
    "gaussians": Form({}, joined, rounded, splatted, boundary),
    "coded gaussians": Form(
        {"coding": "entropy", "rate_weight": RATE_WEIGHT},
        lambda masters: canonical(joined(masters)), coded_gaussians, splatted, boundary_and_bits,
    ),
    "pixels": Form({"representation": "pixels"}, joined, rounded, lambda pixels: pixels),
    "small pixels": Form({"representation": "pixels", "downscale": 2}, joined, rounded, enlarged),
    "coded pixels": Form(
        {"representation": "pixels", "coding": "entropy", "pixel_bits": PIXEL_BITS},
        joined, coded_pixels, lambda pixels: pixels,
    ),
}  # fmt: skip


# The files that write out the steps of each objective.
WRITTEN_OUT = {
    "dm": "test_distill_step.py",
    "dc": "test_distill_dc.py",
    "tm": "test_distill_tm.py",
    "ncfm": "test_distill_middle.py",
    "dance": "test_distill_middle.py",
    "squeeze": "test_distill_squeeze.py",
}


def test_the_steps_of_every_objective_are_written_out() -> None:
    assert WRITTEN_OUT.keys() == OBJECTIVES.keys()
    assert all((Path(__file__).parent / name).is_file() for name in WRITTEN_OUT.values())


def test_there_is_a_form_of_every_representation() -> None:
    assert {form.options.get("representation", "gaussians") for form in FORMS.values()} == set(REPRESENTATIONS)


def expected(form: Form, step: Step, first: Step, loss_of: Callable[[Tensor], Tensor]) -> tuple[float, list[Tensor]]:
    """The loss of a step, penalty included, and its gradient with respect to the masters.

    The images are those of the kept numbers, whose gradient is passed straight through the rounding.
    """
    masters = [part.double().requires_grad_() for part in step.before]
    kept = form.stored(step.before, first.before).double().requires_grad_()
    loss = loss_of(form.drawn(kept))
    (through,) = torch.autograd.grad(loss, kept)
    gradients = torch.autograd.grad(form.exact(masters), masters, through)
    if form.penalty is None:
        return loss.item(), list(gradients)
    penalty = form.penalty(masters)
    more = torch.autograd.grad(penalty, masters, allow_unused=True)
    return (loss + penalty).item(), [a if b is None else a + b for a, b in zip(gradients, more, strict=True)]


def matching_loss(real: RealData, step: int, augment: str, images: Tensor, classes: list[int] | None = None) -> Tensor:
    """Sum over classes of the squared distance between mean embeddings (arXiv 2110.04181), in float64."""
    pixels = real.train_images.double() / 255
    mean = pixels.mean(dim=(0, 2, 3)).view(1, -1, 1, 1)
    std = pixels.std(dim=(0, 2, 3), correction=0).view(1, -1, 1, 1)
    seed = derived_seed(SEED, "match", step, "network")
    network = networks.build(NETWORK, CHANNELS, CLASSES, (HEIGHT, WIDTH), seed=seed).double()
    total = torch.zeros((), dtype=torch.float64)
    for index in range(CLASSES) if classes is None else classes:
        theirs = (pixels[real.train_labels == index] - mean) / std
        ours = (images[index * GPC : (index + 1) * GPC] - mean) / std
        if augment == "dsa":
            draw = draw_dsa(derived_generator(SEED, "match", step, "augment", index))
            theirs, ours = draw.apply(theirs), draw.apply(ours)
        total = total + (network.embed(theirs).mean(dim=0) - network.embed(ours).mean(dim=0)).square().sum()
    return total


def class_loss(real: RealData, step: int, index: int, images: Tensor) -> Tensor:
    return matching_loss(real, step, "dsa", images, [index])


def check(step: Step, loss: float, gradients: list[Tensor], tolerance: float) -> None:
    assert step.report is not None
    assert step.report.loss == pytest.approx(loss, rel=tolerance)
    for ours, theirs in zip(step.gradients, gradients, strict=True):
        assert theirs.norm() > 0
        assert (ours - theirs).norm() <= tolerance * theirs.norm()


@pytest.mark.parametrize("augment", ["dsa", "none"])
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_step_of_matching_is_its_formula(form: Form, augment: str, steps: list[Step]) -> None:
    real = data()
    made, phases = run(real, steps, augment=augment, init="random", **form.options)
    assert list(phases) == ["match"]
    for number, step in enumerate(phases["match"]):
        # Measured: 2e-5 at most.
        loss_of = partial(matching_loss, real, number, augment)
        check(step, *expected(form, step, phases["match"][0], loss_of), 2e-4)
    assert made.hard_labels.tolist() == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("form", ["gaussians", "pixels"])
def test_by_class_there_is_an_update_for_each_class_with_the_penalty_in_each(form: str, steps: list[Step]) -> None:
    real, shape, seen = data(), FORMS[form], []
    settings: dict[str, Any] = {
        "network": NETWORK, "gpc": GPC, "batch_real": PER_CLASS, "seed": SEED, "device": "cpu", "learning_rate": 0.01,
        "init": "random", "iterations": 2, "update": "class",
    }  # fmt: skip
    gsdd.distill(real, progress=seen.append, **settings, **shape.options)
    assert len(steps) == 2 * CLASSES
    assert len(seen) == 2
    for number, report in enumerate(seen):
        losses = []
        for index in range(CLASSES):
            step = steps[number * CLASSES + index]
            loss_of = partial(class_loss, real, number, index)
            loss, gradients = expected(shape, step, steps[0], loss_of)
            losses.append(loss)
            for ours, theirs in zip(step.gradients, gradients, strict=True):
                assert (ours - theirs).norm() <= 2e-4 * theirs.norm()
        assert report.loss == pytest.approx(sum(losses), rel=2e-4)


@pytest.mark.parametrize("init", ["real", "color"])
def test_a_step_of_fitting_is_its_formula(init: str, steps: list[Step]) -> None:
    real = data(alike=True)
    pixels = real.train_images.double() / 255
    if init == "real":
        targets = torch.stack([pixels[real.train_labels == index][0] for index in range(CLASSES)])
    else:
        targets = pixels.mean(dim=(0, 2, 3), keepdim=True).expand(CLASSES, -1, HEIGHT, WIDTH)
    targets = targets.repeat_interleave(GPC, dim=0)
    _, phases = run(real, steps, init=init, fit_steps=4, fit_learning_rate=0.05, iterations=1)
    assert list(phases) == ["fit", "match"]
    assert len(phases["fit"]) == 4
    for step in phases["fit"]:
        loss_of = lambda images: (images - targets).square().sum() / len(targets)  # noqa: E731
        check(step, *expected(FORMS["gaussians"], step, step, loss_of), 2e-4)


@pytest.mark.parametrize("representation", REPRESENTATIONS)
@pytest.mark.parametrize(("schedule", "factors"), [("constant", [1, 1, 1, 1, 1]), ("cosine", None)])
def test_learning_rates_are_those_of_schedule_and_kind(
    representation: str, schedule: str, factors: list[float] | None, steps: list[Step]
) -> None:
    cosine = [0.5 * (1 + math.cos(math.pi * done / 5)) for done in range(5)]
    _, phases = run(
        data(), steps, representation=representation, schedule=schedule, learning_rate=0.02, iterations=5,
        fit_steps=5, fit_learning_rate=0.3,
    )  # fmt: skip
    shares = SHARES[representation]
    for step, factor in zip(phases["match"], cosine if factors is None else factors, strict=True):
        assert step.rates == pytest.approx([0.02 * share * factor for share in shares])
    # Fitting always ends slowly, whatever the schedule of the matching.
    if representation == "gaussians":
        for step, factor in zip(phases["fit"], cosine, strict=True):
            assert step.rates == pytest.approx([0.3 * share * factor for share in shares])


@pytest.mark.parametrize("representation", REPRESENTATIONS)
def test_the_seed_fixes_where_a_run_starts(representation: str, steps: list[Step]) -> None:
    def start(seed: int) -> list[Tensor]:
        _, phases = run(data(), steps, representation=representation, init="random", iterations=1, seed=seed)
        return phases["match"][0].before

    first, again, other = start(1), start(1), start(2)
    assert all(map(torch.equal, first, again))
    # The opacity of every fresh Gaussian is the same.
    assert not any(map(torch.equal, first[:1], other[:1]))


def kept_inside(representation: str, masters: list[Tensor]) -> list[Tensor]:
    """The masters as the next step finds them: centres of Gaussians no nearer to the edge than 4e-3."""
    return [masters[0].clamp(-0.996, 0.996), *masters[1:]] if representation == "gaussians" else masters


@pytest.mark.parametrize("representation", REPRESENTATIONS)
def test_every_kind_of_parameter_moves_and_the_last_step_is_kept(representation: str, steps: list[Step]) -> None:
    made, phases = run(data(), steps, representation=representation, init="random")
    first, last = phases["match"][0], phases["match"][-1]
    for before, after in zip(first.before, last.after, strict=True):
        assert ((after - before).flatten(1).abs().amax(dim=1) > 0).all()
    for step, following in zip(phases["match"], phases["match"][1:], strict=False):
        assert all(map(torch.equal, kept_inside(representation, step.after), following.before))
    stored = made.gaussians if made.pixels is None else made.pixels
    assert stored is not None
    assert torch.equal(stored, torch.cat(kept_inside(representation, last.after), dim=-1).bfloat16())


def test_a_part_of_the_real_images_is_as_large_as_asked(steps: list[Step], monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    honest = dm.embedded

    def counting(network: networks.Network, images: Tensor) -> Tensor:
        sizes.append(len(images))
        return honest(network, images)

    monkeypatch.setattr(dm, "embedded", counting)
    run(data(), steps, init="random", iterations=1, batch_real=5, batch_syn=1, classes_per_pass=3)
    assert sorted(sizes) == [CLASSES, 5 * CLASSES]
