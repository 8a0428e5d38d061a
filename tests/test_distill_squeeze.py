"""Recovery from a teacher: its loss against plain loops and its authors' code, its steps against their formula."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from easy_data import easy_data, folder_of
from teacher_data import teacher_of
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.optimizer import register_optimizer_step_pre_hook

import gsdd_runtime as gsdd
from gsdd_runtime import networks
from gsdd_runtime.commands.cli import run
from gsdd_runtime.distillation import plan
from gsdd_runtime.distillation.objectives.statistics_distance import statistics_distance
from gsdd_runtime.errors import InputError
from gsdd_runtime.networks.model_file import load_model
from gsdd_runtime.progress import Progress
from gsdd_runtime.seeds import derived_generator
from gsdd_runtime.training.augmentation import draw_dsa
from gsdd_runtime.training.mixing import cropped

NETWORK, SEED, GPC, CLASSES = "convnet2-w4-batch", 3, 3, 3
DATA = easy_data()
OPTIONS: dict[str, Any] = {
    "method": "squeeze", "representation": "pixels", "init": "random", "network": NETWORK, "ipc": 2, "gpc": GPC,
    "iterations": 2, "seed": SEED, "learning_rate": 0.05, "device": "cpu",
}  # fmt: skip


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> str:
    return teacher_of(tmp_path_factory.mktemp("squeeze") / "teacher.safetensors", DATA, NETWORK)


@pytest.fixture
def moves() -> Iterator[list[tuple[Tensor, Tensor]]]:
    """Pixels and their gradients at each move."""
    seen: list[tuple[Tensor, Tensor]] = []

    def note(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        # Not those that teachers are trained by.
        if not isinstance(optimizer, torch.optim.Adam):
            return
        (part,) = (part for group in optimizer.param_groups for part in group["params"])
        seen.append((part.detach().clone(), part.grad.clone()))

    hook = register_optimizer_step_pre_hook(note)
    yield seen
    hook.remove()


def plain_distance(maps: list[Tensor], statistics: list[tuple[Tensor, Tensor]], first_weight: float) -> Tensor:
    """Number by number."""
    total = torch.zeros((), dtype=torch.float64)
    for number, (found, (mean, variance)) in enumerate(zip(maps, statistics, strict=True)):
        off_mean, off_variance = torch.zeros(2, dtype=torch.float64).unbind()
        for channel in range(found.shape[1]):
            values = [value for image in found for value in image[channel].flatten()]
            middle = sum(values, torch.zeros(())) / len(values)
            spread = sum(((value - middle) ** 2 for value in values), torch.zeros(())) / len(values)
            off_mean = off_mean + (middle - mean[channel]) ** 2
            off_variance = off_variance + (spread - variance[channel]) ** 2
        total = total + (first_weight if number == 0 else 1.0) * (off_mean.sqrt() + off_variance.sqrt())
    return total


def test_the_distance_and_its_gradient_are_those_of_plain_loops() -> None:
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    maps = [drawn(3, 2, 2, 3).requires_grad_(), drawn(3, 3, 1, 2).requires_grad_()]
    statistics = [(drawn(2), drawn(2).abs()), (drawn(3), drawn(3).abs())]
    ours, theirs = statistics_distance(maps, statistics, 10.0), plain_distance(maps, statistics, 10.0)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-12)
    for a, b in zip(torch.autograd.grad(ours, maps), torch.autograd.grad(theirs, maps), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def answered(network: nn.Module, images: Tensor) -> tuple[Tensor, list[Tensor], list[tuple[Tensor, Tensor]]]:
    """Logits, what each batch norm takes, and its statistics, layer by layer."""
    maps, statistics = [], []
    for layer in network.features:  # type: ignore[union-attr]
        if isinstance(layer, nn.BatchNorm2d):
            maps.append(images)
            statistics.append((layer.running_mean, layer.running_var))
        images = layer(images)
    return network.classifier(images.flatten(1)), maps, statistics  # type: ignore[operator,return-value]


def test_the_loss_is_that_of_its_authors() -> None:
    golden = json.loads((Path(__file__).parent / "data" / "reference-squeeze.json").read_text())

    def tensor(values: object) -> Tensor:
        return torch.tensor(values, dtype=torch.float64)

    network = networks.build("convnet2-w2-batch", 2, 3, (8, 8), seed=0).double().eval().requires_grad_(False)
    network.load_state_dict({name: tensor(part) for name, part in golden["network"].items()}, strict=False)
    images = tensor(golden["images"]).requires_grad_()
    logits, maps, statistics = answered(network, images)
    distance = statistics_distance(maps, statistics, 10.0)
    entropy = functional.cross_entropy(logits, torch.tensor(golden["labels"]))
    loss = entropy + 0.01 * distance
    for ours, name in ((entropy, "entropy"), (distance, "statistics"), (loss, "loss")):
        assert ours.item() == pytest.approx(golden[name], rel=1e-9)
    for ours, name in ((distance, "statistics_gradient"), (loss, "loss_gradient")):
        (gradient,) = torch.autograd.grad(ours, images, retain_graph=True)
        torch.testing.assert_close(gradient, tensor(golden[name]), rtol=1e-7, atol=1e-10)


def test_the_defaults_are_those_of_the_published_script(teacher: str) -> None:
    made = gsdd.distill(DATA, teacher=teacher, **OPTIONS)
    told = {name: made.options[name] for name in ("batch_syn", "statistics_weight", "first_norm_weight", "crop_scale")}
    assert told == {"batch_syn": 100, "statistics_weight": 0.01, "first_norm_weight": 10.0, "crop_scale": 0.08}
    assert made.options["teacher_fingerprint"].startswith("sha256:")
    assert "teacher" not in made.options
    assert plan(DATA, teacher=teacher, **{**OPTIONS, "iterations": None}).steps == 4000


# Of nine images, batches of four: the last has one.
BATCHES = [[0, 3, 6, 1], [4, 7, 2, 5], [8]]


@pytest.mark.parametrize("view", ["crops", "dsa", "none"])
def test_a_step_is_its_formula(view: str, teacher: str, moves: list[tuple[Tensor, Tensor]]) -> None:
    reports: list[Progress] = []
    own = {"crop_scale": 0.3} if view == "crops" else {"crop_scale": 1.0, "augment": view}
    gsdd.distill(
        DATA, teacher=teacher, batch_syn=4, statistics_weight=0.5, first_norm_weight=3.0, progress=reports.append,
        **OPTIONS, **own,
    )  # fmt: skip
    network = load_model(teacher).network.double()
    assert len(moves) == len(reports) == 2
    for step, ((pixels, gradient), report) in enumerate(zip(moves, reports, strict=True)):
        leaf = pixels.bfloat16().double().requires_grad_()
        entropies, distances = torch.zeros(2, dtype=torch.float64).unbind()
        for number, members in enumerate(BATCHES):
            images = (leaf[members] - DATA.mean[0]) / DATA.std[0]
            if view == "crops":
                images = cropped(images, derived_generator(SEED, "match", step, "crops", number), 0.3)
            elif view == "dsa":
                images = draw_dsa(derived_generator(SEED, "match", step, "augment", number)).apply(images)
            logits, maps, statistics = answered(network, images)
            labels = torch.tensor(members) // GPC
            entropies = entropies - logits.log_softmax(dim=1)[range(len(members)), labels].mean()
            distances = distances + plain_distance(maps, statistics, 3.0)
        (expected,) = torch.autograd.grad(entropies + 0.5 * distances, leaf)
        assert expected.flatten(1).norm(dim=1).min() > 0
        # Measured: 1e-6 at most.
        assert (gradient - expected).norm() < 1e-4 * expected.norm()
        assert report.parts == pytest.approx({"entropy": entropies.item(), "statistics": distances.item()}, rel=1e-4)
        assert report.loss == pytest.approx((entropies + 0.5 * distances).item(), rel=1e-4)


def test_a_teacher_of_another_preparation_sees_the_same_images(
    tmp_path: Path, moves: list[tuple[Tensor, Tensor]]
) -> None:
    other = teacher_of(tmp_path / "other.safetensors", DATA, NETWORK, mean=[0.9], std=[3.0])
    gsdd.distill(DATA, teacher=other, augment="none", crop_scale=1.0, **OPTIONS)
    network = load_model(other).network.double()
    pixels, gradient = moves[0]
    leaf = pixels.bfloat16().double().requires_grad_()
    order = [0, 3, 6, 1, 4, 7, 2, 5, 8]
    logits, maps, statistics = answered(network, (leaf[order] - 0.9) / 3.0)
    loss = functional.cross_entropy(logits, torch.tensor(order) // GPC)
    (expected,) = torch.autograd.grad(loss + 0.01 * statistics_distance(maps, statistics, 10.0), leaf)
    assert (gradient - expected).norm() < 1e-4 * expected.norm()


def test_images_come_to_show_their_classes(teacher: str) -> None:
    options = {**OPTIONS, "representation": "gaussians", "iterations": 60, "gpc": 2, "learning_rate": 0.02}
    made = gsdd.distill(DATA, teacher=teacher, crop_scale=0.8, **options)
    right = load_model(teacher).logits(made.decode()).argmax(dim=1) == made.hard_labels
    assert right.float().mean() > 0.8


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"teacher": None}, "method squeeze needs a trained network with batch norms: make one with `gsdd-rt train"),
        ({"network": "convnet3"}, "is a convnet2-w4-batch, and the run's network convnet3: give --network convnet2-w4"),
        ({"crop_scale": 1.5}, "crop_scale must be above 0 and at most 1, got 1.5"),
        ({"batch_real": 4}, "batch_real is an option of method dm"),
    ],
    ids=["none", "network", "crops", "real"],
)
def test_what_cannot_be_recovered_is_refused(options: dict[str, Any], words: str, teacher: str) -> None:
    with pytest.raises(InputError, match=words):
        gsdd.distill(DATA, **{**OPTIONS, "teacher": teacher, **options})


def test_a_teacher_without_statistics_or_of_other_classes_is_refused(teacher: str, tmp_path: Path) -> None:
    bare = teacher_of(tmp_path / "bare.safetensors", DATA, "convnet1-w4")
    with pytest.raises(InputError, match=r"running statistics of batch norms, and .* has none"):
        gsdd.distill(DATA, **{**OPTIONS, "network": "convnet1-w4", "teacher": bare})
    with pytest.raises(InputError, match="class 0 is 'bottom' in the set and 'top' for the teacher"):
        gsdd.distill(easy_data(class_names=("bottom", "middle", "top")), **OPTIONS, teacher=teacher)


def test_nothing_is_written_onto_the_teacher(teacher: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = Path(teacher).read_bytes()
    dataset = folder_of(DATA, tmp_path / "images")
    line = f"distill --dataset {dataset} --method squeeze --network {NETWORK} --teacher {teacher} --gpc 1"
    assert run([*line.split(), "--overwrite", "--out", teacher]) == 2
    assert "would replace what is read" in capsys.readouterr().err
    with pytest.raises(InputError, match="would replace what is read"):
        gsdd.distill(DATA, **OPTIONS, teacher=teacher, out=teacher, overwrite=True)
    assert Path(teacher).read_bytes() == before
