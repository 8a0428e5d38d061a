"""NCFM and DANCE: their steps against their formulas written out in float64, what they learn, their refusals."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from easy_data import easy_data
from torch import Tensor
from torch.nn import functional
from torch.optim.optimizer import register_optimizer_step_pre_hook

import gsdd_runtime as gsdd
from gsdd_runtime import networks
from gsdd_runtime.distillation.objectives.characteristic import (
    characteristic_distance,
    characteristic_function,
    unit_features,
)
from gsdd_runtime.distillation.objectives.mean_distance import mean_distance
from gsdd_runtime.distillation.objectives.middle import between
from gsdd_runtime.distillation.objectives.sampling_network import SamplingNetwork
from gsdd_runtime.errors import InputError
from gsdd_runtime.experts import ExpertFolder, make_experts
from gsdd_runtime.networks import Network
from gsdd_runtime.networks.embedding import embedded
from gsdd_runtime.progress import Progress
from gsdd_runtime.seeds import derived_generator, derived_seed
from gsdd_runtime.training.augmentation import draw_dsa

NETWORK, SEED, GPC, CLASSES, FREQUENCIES = "convnet1-w4", 3, 2, 3, 9
DATA = easy_data()
COMMON: dict[str, Any] = {
    "representation": "pixels", "init": "random", "network": NETWORK, "gpc": GPC, "iterations": 2, "seed": SEED,
    "learning_rate": 0.05, "batch_real": 10, "calibration_weight": 2.0, "device": "cpu",
}  # fmt: skip
NCFM: dict[str, Any] = {
    "method": "ncfm", "frequencies": FREQUENCIES, "amplitude_weight": 0.7, "phase_weight": 0.2,
}  # fmt: skip
METHODS: dict[str, dict[str, Any]] = {"ncfm": NCFM, "dance": {"method": "dance"}}


@pytest.fixture(scope="module")
def experts(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Three experts of two epochs."""
    folder = tmp_path_factory.mktemp("middle") / "experts"
    make_experts(DATA, folder, network=NETWORK, count=3, epochs=2, batch_size=8, learning_rate=0.1, device="cpu")
    return str(folder)


@dataclass
class Moved:
    """What an optimiser is about to move, and by what gradients; None where there is none."""

    values: list[Tensor]
    gradients: list[Tensor | None]


@pytest.fixture
def moves() -> Iterator[list[Moved]]:
    seen: list[Moved] = []

    def note(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        parts = [part for group in optimizer.param_groups for part in group["params"]]
        seen.append(
            Moved(
                [part.detach().clone() for part in parts],
                [None if part.grad is None else part.grad.clone() for part in parts],
            )
        )

    hook = register_optimizer_step_pre_hook(note)
    yield seen
    hook.remove()


def network_of(weights: Tensor) -> Network:
    network = networks.build(NETWORK, 1, CLASSES, (8, 8), seed=0).double()
    with torch.no_grad():
        parts = weights.double().split([parameter.numel() for parameter in network.parameters()])
        for parameter, part in zip(network.parameters(), parts, strict=True):
            parameter.copy_(part.view(parameter.shape))
    return network


def prepared(pixels: Tensor) -> Tensor:
    return (pixels - DATA.mean[0]) / DATA.std[0]


def changed(images: Tensor, augment: str, step: int, purpose: str, index: int) -> Tensor:
    if augment == "none":
        return images
    return draw_dsa(derived_generator(SEED, "match", step, purpose, index)).apply(images)


def mean_matching(real: Tensor, synthetic: Tensor, step: int, index: int) -> Tensor:
    return (real.mean(dim=0) - synthetic.mean(dim=0)).square().sum()


def characteristic_matching(real: Tensor, synthetic: Tensor, step: int, index: int) -> Tensor:
    generator = torch.Generator().manual_seed(derived_seed(SEED, "match", step, "frequencies", index))
    drawn = torch.randn(FREQUENCIES, real.shape[1], generator=generator).double()

    def function(features: Tensor) -> Tensor:
        rows = features / features.norm(dim=1, keepdim=True)
        return torch.exp(1j * (rows @ drawn.t())).mean(dim=0)

    a, b = function(real), function(synthetic)
    phases = 2 * (a.abs() * b.abs() - (a * b.conj()).real)
    return 300 * (0.7 * (a.abs() - b.abs()) ** 2 + 0.2 * phases).sqrt().mean()


DISTANCES: dict[str, Callable[[Tensor, Tensor, int, int], Tensor]] = {
    "ncfm": characteristic_matching,
    "dance": mean_matching,
}


def terms(folder: str, method: str, step: int, augment: str) -> list[Callable[[Tensor], Tensor]]:
    """The losses of a step in their order, of all images in pixel units: a distance a class, then its calibration."""
    generator = derived_generator(SEED, "match", step, "expert")
    expert = int(torch.randint(3, (), generator=generator))
    share = float(torch.rand((), generator=generator, dtype=torch.float64))
    first, last = (ExpertFolder(folder).parameters(expert, epoch).double() for epoch in (0, 2))
    middle, trained = network_of(share * first + (1 - share) * last), network_of(last)
    theirs = prepared(DATA.train_images.double() / 255)

    def own(pixels: Tensor, index: int) -> Tensor:
        return prepared(pixels[index * GPC : (index + 1) * GPC])

    def distance(pixels: Tensor, index: int) -> Tensor:
        real = changed(theirs[DATA.train_labels == index], augment, step, "augment", index)
        synthetic = changed(own(pixels, index), augment, step, "augment", index)
        return DISTANCES[method](middle.embed(real), middle.embed(synthetic), step, index)

    def calibration(pixels: Tensor, index: int) -> Tensor:
        logits = trained(changed(own(pixels, index), augment, step, "calibrate", index))
        return -2.0 * logits.log_softmax(dim=1)[:, index].mean()

    return [
        lambda pixels, term=term, index=index: term(pixels, index)  # type: ignore[misc]
        for term in (distance, calibration)
        for index in range(CLASSES)
    ]


@pytest.mark.parametrize("augment", ["dsa", "none"])
@pytest.mark.parametrize("update", ["class", "step"])
@pytest.mark.parametrize("method", METHODS)
def test_a_step_is_its_formula(method: str, update: str, augment: str, experts: str, moves: list[Moved]) -> None:
    reports: list[Progress] = []
    gsdd.distill(
        DATA, experts=experts, update=update, augment=augment, progress=reports.append, **COMMON, **METHODS[method]
    )
    per_step = 2 * CLASSES if update == "class" else 1
    assert len(moves) == 2 * per_step
    for step, report in enumerate(reports):
        losses = terms(experts, method, step, augment)
        groups = [[term] for term in losses] if update == "class" else [losses]
        told = {"distance": 0.0, "calibration": 0.0}
        for move, group in zip(moves[step * per_step :], groups, strict=False):
            (pixels,), (gradient,) = move.values, move.gradients
            # What is drawn is what is stored; the gradient goes through the rounding.
            leaf = pixels.bfloat16().double().requires_grad_()
            values = [term(leaf) for term in group]
            for term, value in zip(group, values, strict=True):
                name = "distance" if losses.index(term) < CLASSES else "calibration"
                told[name] += value.item() / (1 if name == "distance" else 2.0)
            (expected,) = torch.autograd.grad(sum(values, torch.zeros(())), leaf)
            assert gradient is not None
            assert expected.norm() > 0
            # Measured: 1e-6 at most.
            assert (gradient - expected).norm() < 1e-4 * expected.norm()
        assert report.parts == pytest.approx(told, rel=1e-4)
        assert report.loss == pytest.approx(told["distance"] + 2.0 * told["calibration"], rel=1e-4)


def test_without_experts_ncfm_matches_in_fresh_networks_alone(moves: list[Moved]) -> None:
    options = {**COMMON, **NCFM, "calibration_weight": None, "augment": "none"}
    reports: list[Progress] = []
    gsdd.distill(DATA, progress=reports.append, **options)
    assert len(moves) == 2 * CLASSES
    theirs = prepared(DATA.train_images.double() / 255)
    for step in range(2):
        seed = derived_seed(SEED, "match", step, "network")
        network = networks.build(NETWORK, 1, CLASSES, (8, 8), seed=seed).double()
        total = 0.0
        for index, move in enumerate(moves[step * CLASSES :][:CLASSES]):
            ours = prepared(move.values[0].bfloat16().double()[index * GPC : (index + 1) * GPC])
            real = network.embed(theirs[DATA.train_labels == index])
            total += characteristic_matching(real, network.embed(ours), step, index).item()
        assert reports[step].loss == pytest.approx(total, rel=1e-4)


def test_the_sampling_network_ascends_by_its_own_sgd(moves: list[Moved]) -> None:
    options = {**COMMON, **NCFM, "calibration_weight": None, "augment": "none", "iterations": 4}
    gsdd.distill(DATA, sampling_network=True, sampling_rate=0.05, **options)
    # Images, then twelve tensors of the network, for each class of each step.
    assert len(moves) == 4 * CLASSES * 13
    network = networks.build(NETWORK, 1, CLASSES, (8, 8), seed=derived_seed(SEED, "match", 0, "network"))
    real = network.embed(prepared(DATA.train_images[DATA.train_labels == 0].float() / 255))
    ours = network.embed(prepared(moves[0].values[0].bfloat16().float()[:GPC]))
    sampling = SamplingNetwork(real.shape[1])
    with torch.no_grad():
        for parameter, move in zip(sampling.parameters(), moves[1:13], strict=True):
            parameter.copy_(move.values[0])
    generator = torch.Generator().manual_seed(derived_seed(SEED, "match", 0, "frequencies", 0))
    made = sampling(torch.randn(4, real.shape[1], generator=generator))
    functions = [characteristic_function(unit_features(rows), made) for rows in (real, ours)]
    distance = 300 * characteristic_distance(*functions, amplitude_weight=0.7, phase_weight=0.2)
    for slope, move in zip(torch.autograd.grad(distance, list(sampling.parameters())), moves[1:13], strict=True):
        assert move.gradients[0] is not None
        # What comes before a batch norm has biases without a gradient, but for rounding.
        assert (move.gradients[0] + slope).norm() < 1e-3 * slope.norm() + 1e-3
    # Its first weights through all updates, with a momentum of a half.
    value, speed = moves[1].values[0].clone(), torch.zeros_like(moves[1].values[0])
    for move in moves[1::13]:
        assert move.gradients[0] is not None
        torch.testing.assert_close(move.values[0], value, rtol=1e-4, atol=1e-6)
        speed = 0.5 * speed + move.gradients[0]
        value = value - 0.05 * speed


def test_middle_networks_and_both_terms_of_dance_are_those_of_its_authors() -> None:
    golden = json.loads((Path(__file__).parent / "data" / "reference-dance.json").read_text())

    def tensor(values: object) -> Tensor:
        return torch.tensor(values, dtype=torch.float64)

    def network_with(weights: dict[str, Tensor]) -> Network:
        network = networks.build("convnet2-w2", 2, 3, (8, 8), seed=0).double().requires_grad_(False)
        network.load_state_dict(weights)
        return network

    random, trained = ({name: tensor(part) for name, part in golden[kind].items()} for kind in ("random", "trained"))
    middle = network_with({name: between(random[name], trained[name], golden["share"]) for name in random})
    real, synthetic = tensor(golden["real"]), tensor(golden["synthetic"]).requires_grad_()
    means = [embedded(middle, images).mean(dim=0, keepdim=True) for images in (synthetic, real)]
    inner = mean_distance(*means)
    labels = torch.full((len(synthetic),), golden["label"])
    inter = functional.cross_entropy(network_with(trained)(synthetic), labels)
    for loss, name in ((inner, "inner"), (inter, "inter")):
        assert loss.item() == pytest.approx(golden[name], rel=1e-9)
        (gradient,) = torch.autograd.grad(loss, synthetic)
        torch.testing.assert_close(gradient, tensor(golden[f"{name}_gradient"]), rtol=1e-7, atol=1e-10)


def test_places_between_the_weights_are_drawn_evenly() -> None:
    shares = []
    for step in range(200):
        generator = derived_generator(SEED, "match", step, "expert")
        torch.randint(3, (), generator=generator)
        shares.append(float(torch.rand((), generator=generator, dtype=torch.float64)))
    assert math.isclose(sum(shares) / 200, 0.5, abs_tol=0.07)
    assert 0 <= min(shares) < 0.05 < 0.95 < max(shares) < 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "dance"}, "method dance needs experts: make them with `gsdd-rt experts"),
        ({**NCFM, "calibration_weight": 1.0}, "calibration_weight needs trained networks: give experts"),
        ({**NCFM, "amplitude_weight": 0.0, "phase_weight": 0.0}, "both 0: nothing would be matched"),
        ({"method": "ncfm", "batch_syn": 3}, "batch_syn is 3, more than the 2 images of a class"),
    ],
)
def test_what_cannot_be_matched_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        gsdd.distill(DATA, **{**COMMON, "calibration_weight": None, **options})


def test_experts_of_another_network_are_refused(experts: str) -> None:
    for method in ("ncfm", "dance"):
        with pytest.raises(InputError, match="is of experts of convnet1-w4"):
            gsdd.distill(DATA, experts=experts, **{**COMMON, "method": method, "network": "convnet1-w8"})
