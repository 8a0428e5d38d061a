"""Trajectory matching: its steps against their formulas, its draws, its learned values, its refusals."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from easy_data import easy_data, easy_images
from torch import Tensor
from torch.nn import functional
from torch.optim.optimizer import register_optimizer_step_pre_hook

import gsdd_runtime as gsdd
from gsdd_runtime import networks
from gsdd_runtime.distillation import plan
from gsdd_runtime.distillation.objectives import tm
from gsdd_runtime.distillation.objectives.tm import TrajectoryMatching, chunks_of_permutations
from gsdd_runtime.distillation.objectives.trajectory_distance import Unrolling
from gsdd_runtime.errors import InputError
from gsdd_runtime.experts import ExpertFolder, make_experts
from gsdd_runtime.progress import Progress, say_once
from gsdd_runtime.seeds import derived_generator
from gsdd_runtime.training.augmentation import draw_dsa

NETWORK, SEED, GPC = "convnet1-w4", 3, 2
DATA = easy_data()
COUNT = GPC * len(DATA.class_names)
OPTIONS: dict[str, Any] = {
    "method": "tm", "representation": "pixels", "network": NETWORK, "gpc": GPC, "iterations": 3, "syn_steps": 5,
    "batch_syn": 4, "max_start_epoch": 3, "start_rate": 0.05, "lr_lr": 1e-3, "learning_rate": 0.01, "seed": SEED,
    "device": "cpu",
}  # fmt: skip


@pytest.fixture(scope="module")
def experts(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Three experts of five epochs."""
    folder = tmp_path_factory.mktemp("tm") / "experts"
    make_experts(DATA, folder, network=NETWORK, count=3, epochs=5, batch_size=8, learning_rate=0.05, device="cpu")
    return str(folder)


def distilled(experts: str | None, **changes: Any) -> gsdd.DistilledSet:
    return gsdd.distill(changes.pop("data", DATA), **{**OPTIONS, "experts": experts, **changes})


@dataclass
class Moved:
    """A tensor that an optimiser is about to move, and by what gradient."""

    value: Tensor
    gradient: Tensor
    group: dict[str, Any]


@pytest.fixture
def moves() -> Iterator[list[Moved]]:
    """Everything that the optimisers of a test move, in their order: the images first, then what is learned."""
    seen: list[Moved] = []

    def note(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        for group in optimizer.param_groups:
            settings = {key: value for key, value in group.items() if key != "params"}
            seen.extend(Moved(p.detach().clone(), p.grad.clone(), settings) for p in group["params"])

    hook = register_optimizer_step_pre_hook(note)
    yield seen
    hook.remove()


def by_hand(
    folder: str, step: int, pixels: Tensor, labels: Tensor, rate: Tensor, *, augment: str, start_before: int,
    zca: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """The loss of a step from the experts' weights and the images in pixel units, with the graph of all its steps."""
    generator = derived_generator(SEED, "match", step, "expert")
    expert = int(torch.randint(3, (), generator=generator))
    epoch = int(torch.randint(0, start_before, (), generator=generator))
    files = ExpertFolder(folder)
    start, target = files.parameters(expert, epoch), files.parameters(expert, epoch + 2)
    network = networks.build(NETWORK, 1, 3, (8, 8), seed=0)
    images = (pixels - DATA.mean[0]) / DATA.std[0]
    if zca is not None:
        images = (pixels.flatten(1) @ zca[:-1] + zca[-1]).view(pixels.shape)
    generator = derived_generator(SEED, "match", step, "batches")
    orders = [torch.randperm(COUNT, generator=generator) for _ in range(3)]
    # Six images in chunks of four: the two that are left over come first.
    batches = [part for order in orders for part in (order[4:], order[:4])][:5]
    weights = start.clone().requires_grad_()
    for inner, batch in enumerate(batches):
        chosen = images[batch]
        if augment == "dsa":
            chosen = draw_dsa(derived_generator(SEED, "match", step, "augment", inner), len(batch)).apply(chosen)
        parts, place = {}, 0
        for name, part in network.named_parameters():
            parts[name] = weights[place : place + part.numel()].view(part.shape)
            place += part.numel()
        loss = functional.cross_entropy(torch.func.functional_call(network, parts, (chosen,)), labels[batch])
        weights = weights - rate * torch.autograd.grad(loss, weights, create_graph=True)[0]
    return (weights - target).square().sum() / (start - target).square().sum()


@pytest.mark.parametrize("augment", ["dsa", "none"])
@pytest.mark.parametrize("learn_labels", [False, True])
def test_a_step_is_its_formula(augment: str, learn_labels: bool, experts: str, moves: list[Moved]) -> None:
    reports: list[Progress] = []
    distilled(experts, augment=augment, learn_labels=learn_labels, progress=reports.append)
    per_step = 3 if learn_labels else 2
    assert len(moves) == 3 * per_step
    for step, report in enumerate(reports):
        pixels, rate, *logits = moves[step * per_step : (step + 1) * per_step]
        # What is drawn is what is stored; the gradient goes through the rounding.
        leaf = pixels.value.bfloat16().float().requires_grad_()
        learned = rate.value.clone().requires_grad_()
        labels = torch.arange(3).repeat_interleave(GPC)
        leaves = [leaf, learned]
        if learn_labels:
            leaves.append(logits[0].value.clone().requires_grad_())
            labels = leaves[2].softmax(dim=1)
        loss = by_hand(experts, step, leaf, labels, learned, augment=augment, start_before=3)
        assert report.loss == pytest.approx(loss.item(), rel=1e-4)
        for expected, found in zip(torch.autograd.grad(loss, leaves), (pixels, rate, *logits), strict=True):
            torch.testing.assert_close(found.gradient, expected, rtol=2e-3, atol=2e-5 * float(expected.abs().max()))
        assert pixels.gradient.abs().sum() > 0


def test_the_rate_is_learned_by_its_own_sgd_and_told(experts: str, moves: list[Moved]) -> None:
    made = distilled(experts)
    rates = moves[1::2]
    assert (rates[0].group["lr"], rates[0].group["momentum"]) == (1e-3, 0.5)
    assert rates[0].value == torch.tensor(0.05)
    value, speed = 0.05, 0.0
    for move in rates:
        assert move.value.item() == pytest.approx(value, rel=1e-6)
        speed = 0.5 * speed + move.gradient.item()
        value -= 1e-3 * speed
    assert made.training == {"learning_rate": pytest.approx(value, rel=1e-6)}
    assert value != 0.05


def test_the_rate_is_kept_above_its_bound_and_that_is_said(experts: str, capsys: pytest.CaptureFixture[str]) -> None:
    say_once.cache_clear()
    for sign in (1, -1):
        # From far above what is right, the rate would go far below 0.
        made = distilled(experts, start_rate=5.0, lr_lr=1e3, iterations=1)
        assert made.training["learning_rate"] == pytest.approx(1e-3)
        assert sign
    assert capsys.readouterr().err.count("learning_rate reached its bound 0.001 and is kept there") == 1


def test_chunks_use_up_a_permutation_the_short_remainder_first() -> None:
    chunks = chunks_of_permutations(7, 3, 8, torch.Generator().manual_seed(1))
    assert [len(chunk) for chunk in chunks] == [1, 3, 3, 1, 3, 3, 1, 3]
    for first in (0, 3):
        assert sorted(torch.cat(chunks[first : first + 3]).tolist()) == list(range(7))
    assert not torch.equal(torch.cat(chunks[:3]), torch.cat(chunks[3:6]))
    assert [len(chunk) for chunk in chunks_of_permutations(4, 4, 3, torch.Generator())] == [4, 4, 4]


def epochs_entered(experts: str, **changes: Any) -> list[int]:
    entered: list[int] = []
    distilled(experts, progress=lambda report: entered.append(int(report.parts["start_epoch"])), **changes)
    return entered


def test_experts_are_entered_at_epochs_of_the_range(experts: str) -> None:
    quick = {"syn_steps": 1, "iterations": 30}
    assert set(epochs_entered(experts, **quick)) == {0, 1, 2}
    assert set(epochs_entered(experts, min_start_epoch=2, max_start_epoch=4, **quick)) == {2, 3}


def test_the_range_of_epochs_rises(experts: str) -> None:
    options = {"first_max_start_epoch": 1, "max_start_epoch": 3, "expansion_steps": 20, "syn_steps": 1}
    entered = epochs_entered(experts, iterations=60, **options)
    assert set(entered[:10]) == {0}
    assert 1 in entered[10:20]
    assert max(entered[10:20]) == 1
    assert set(entered[20:]) == {0, 1, 2}


def test_learned_labels_begin_with_the_experts_that_are_right(experts: str, moves: list[Moved]) -> None:
    made = distilled(experts, learn_labels=True, augment="none")
    files = ExpertFolder(experts)
    images = (moves[0].value.bfloat16().float() - DATA.mean[0]) / DATA.std[0]
    said = torch.stack([files.network(number)(images) for number in range(3)]).detach()
    for index, logits in enumerate(moves[2].value):
        right = [each[index] for each in said if int(each[index].argmax()) == index // GPC]
        assert right
        torch.testing.assert_close(logits, torch.stack(right).mean(dim=0))
    # Then they are learned, and are the set's labels, counted in its bytes.
    assert (moves[2].group["lr"], moves[2].group["momentum"]) == (2.0, 0.9)
    assert not torch.equal(moves[2].value, moves[-1].value)
    assert made.labels.dtype == torch.float16
    assert made.labels.shape == (COUNT, 3)
    torch.testing.assert_close(made.labels.float().sum(dim=1), torch.ones(COUNT), rtol=0, atol=2e-3)
    hard = distilled(experts)
    assert hard.labels.dtype == torch.int64
    assert made.nbytes - made.image_nbytes == COUNT * 3 * 2


def test_labels_of_images_that_no_expert_gets_right_begin_with_their_class(
    experts: str, moves: list[Moved], monkeypatch: pytest.MonkeyPatch
) -> None:
    files = ExpertFolder(experts)
    zeros = files.subject.build(torch.zeros(files.subject.length))
    monkeypatch.setattr(ExpertFolder, "network", lambda *_: zeros)
    distilled(experts, learn_labels=True, iterations=1)
    labels = torch.arange(3).repeat_interleave(GPC)
    # A network of zeros says nothing, which by its order is the first class.
    assert torch.equal(moves[2].value, functional.one_hot(labels, 3).float() * (labels > 0).unsqueeze(1))


def test_steps_above_a_loss_move_nothing(experts: str, moves: list[Moved]) -> None:
    plain: list[Progress] = []
    free = distilled(experts, learn_labels=True, iterations=4, progress=plain.append)
    assert len(moves) == 4 * 3
    moves.clear()
    # Nothing moves before the second step, whose loss is thus that of the same step from the start.
    told: list[Progress] = []
    options = {"learn_labels": True, "iterations": 4, "most_loss": 1e-9}
    with pytest.MonkeyPatch.context() as patch:
        # Nor is a gradient taken.
        patch.setattr(Tensor, "backward", pytest.fail)
        still = distilled(experts, progress=told.append, **options)
    assert not moves
    assert [report.parts["left_out"] for report in told] == [1] * 4
    assert still.training["learning_rate"] == pytest.approx(OPTIONS["start_rate"])
    losses = [report.loss or 0.0 for report in told]
    assert losses[0] == plain[0].loss
    # Between the two least of them, whatever these are, one step moves.
    least, second = sorted(losses)[:2]
    told.clear()
    options["most_loss"] = (least + second) / 2
    moved = distilled(experts, progress=told.append, **options)
    first = losses.index(least)
    assert [report.parts["left_out"] for report in told[: first + 1]] == [1] * first + [0]
    assert len(moves) == 3 * sum(report.parts["left_out"] == 0 for report in told)
    assert not torch.equal(moved.pixels, still.pixels)
    # A bound that no step reaches changes nothing.
    options["most_loss"] = 1e9
    assert torch.equal(distilled(experts, **options).pixels, free.pixels)


class StopError(Exception):
    pass


# With the bound, the first steps are left out, and optimisers keep nothing yet.
@pytest.mark.parametrize(("stop", "most_loss"), [(1, None), (4, None), (1, 1e-9)])
def test_a_stopped_run_ends_in_the_same_bytes(stop: int, most_loss: float | None, experts: str, tmp_path: Path) -> None:
    options = {
        "iterations": 6, "learn_labels": True, "representation": "gaussians", "fit_steps": 2, "most_loss": most_loss,
    }  # fmt: skip
    whole, out = tmp_path / "whole.safetensors", tmp_path / "set.safetensors"
    distilled(experts, out=whole, **options)

    def stopping(progress: Progress) -> None:
        if (progress.phase, progress.step) == ("match", stop):
            raise StopError

    with pytest.raises(StopError):
        distilled(experts, out=out, checkpoint_interval=1, progress=stopping, **options)
    # Wherever the experts stand by now.
    moved = tmp_path / "moved"
    moved.mkdir()
    for file in Path(experts).iterdir():
        (moved / file.name).write_bytes(file.read_bytes())
    distilled(str(moved), out=out, resume=True, **options)
    assert out.read_bytes() == whole.read_bytes()


def test_a_run_goes_on_with_its_own_experts_alone(experts: str, tmp_path: Path) -> None:
    out, fewer = tmp_path / "set.safetensors", tmp_path / "fewer"
    distilled(experts, out=out)
    fewer.mkdir()
    for number in range(2):
        name = f"trajectory-{number:04}.safetensors"
        (fewer / name).write_bytes((Path(experts) / name).read_bytes())
    with pytest.raises(InputError, match="of a run with experts_fingerprint 'sha256:"):
        distilled(str(fewer), out=out, resume=True)
    assert experts not in str(gsdd.DistilledSet.load(out).options)


OTHERS = easy_data(name="others", train=easy_images(30, 1, 9))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"experts": None},
            "method tm needs experts: make them with `gsdd-rt experts --dataset easy ",
        ),
        ({"experts": "/nowhere"}, "cannot read the folder of experts /nowhere: No such file"),
        ({"network": "convnet1-w8"}, "not of convnet1-w8 for 8x8: give --network convnet1-w4, or make others"),
        ({"data": OTHERS}, "is of experts on other real data (easy, "),
        ({"max_start_epoch": 5}, "max_start_epoch 5 and expert_epochs 2 reach epoch 6, the experts in "),
        ({"expert_epochs": 4}, "max_start_epoch 3 and expert_epochs 4 reach epoch 6, the experts in "),
        ({"min_start_epoch": 3}, "min_start_epoch 3 must be below first_max_start_epoch 3"),
        ({"first_max_start_epoch": 4}, "first_max_start_epoch 4, and that at most max_start_epoch 3"),
        ({"batch_syn": 7}, "batch_syn is 7, more than the 6 images of the set: lower it"),
        ({"batch_real": 4}, "batch_real is an option of method dm"),
        ({"start_rate": 0.0}, "start_rate must be a number above 0"),
        ({"most_loss": 0.0}, "most_loss must be a number above 0"),
    ],
)
def test_what_cannot_be_matched_is_refused_first(changes: dict[str, Any], words: str, experts: str) -> None:
    with pytest.raises(InputError) as caught:
        distilled(**{"experts": experts, **changes, "progress": pytest.fail})
    assert words in str(caught.value)


def test_memory_is_estimated_before_the_first_step(experts: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def planned(**changes: Any) -> int:
        told = plan(DATA, **{**OPTIONS, "experts": experts, **changes})
        assert told.passes == 1
        return int(told.memory_bytes or 0)

    vectors = 4 * ExpertFolder(experts).subject.length
    # The weights of a step more, and the graph of an image more.
    assert planned(syn_steps=11, kept_graphs=0) - planned(syn_steps=1, kept_graphs=0) == 10 * vectors
    graph = planned(syn_steps=11, kept_graphs=1) - planned(syn_steps=11, kept_graphs=0)
    assert graph > vectors
    # Where nothing is asked for, as many as there is room for: here all of them, however many are asked for.
    assert planned(syn_steps=11) - planned(syn_steps=11, kept_graphs=0) == 11 * graph
    assert planned(syn_steps=11, kept_graphs=40) == planned(syn_steps=11)
    monkeypatch.setattr("gsdd_runtime.distillation.objectives.unrolled_memory.GRAPHS_BYTES", 5 * graph)
    assert planned(syn_steps=11) == planned(syn_steps=11, kept_graphs=5)
    assert planned(batch_syn=5) - planned(batch_syn=3) > 4 * vectors
    monkeypatch.setattr("gsdd_runtime.memory.UNASKED_BYTES", 0)
    monkeypatch.setattr("gsdd_runtime.memory.available_memory", lambda: 10_000)
    with pytest.raises(InputError, match=r"would take .* 10.0 kB of memory are free: lower --batch-syn"):
        distilled(experts, progress=pytest.fail)


def test_graphs_are_kept_as_asked_and_change_no_bit(experts: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[int] = []
    honest = tm.trajectory_distance

    def noted(unrolling: Unrolling, *others: Tensor) -> Tensor:
        kept.append(unrolling.kept)
        return honest(unrolling, *others)

    monkeypatch.setattr(tm, "trajectory_distance", noted)
    sets = [distilled(experts, kept_graphs=count) for count in (0, 2, 40, None)]
    # Of five unrolled steps, three times.
    assert kept == [0] * 3 + [2] * 3 + [5] * 6
    assert all(torch.equal(made.rows(), sets[0].rows()) for made in sets)


def test_the_paper_is_the_default() -> None:
    options = TrajectoryMatching.Options()
    assert (options.syn_steps, options.expert_epochs, options.max_start_epoch) == (20, 2, 30)
    assert (options.start_rate, options.lr_lr, options.learn_labels) == (1e-2, 1e-5, False)
    assert TrajectoryMatching.default_iterations(options) == 15000


def test_an_expert_that_stands_still_is_named(tmp_path: Path) -> None:
    options = {"network": NETWORK, "count": 1, "epochs": 5, "learning_rate": 1e-30, "device": "cpu"}
    make_experts(DATA, tmp_path / "experts", **options)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"expert 0 in .* is the same at epochs \d and \d: there is no way to match"):
        distilled(str(tmp_path / "experts"))


def test_whitened_images_are_matched_with_whitened_experts(tmp_path: Path, experts: str, moves: list[Moved]) -> None:
    whitened = DATA.whitened(cache=False)
    assert whitened.zca is not None
    with pytest.raises(InputError, match=r"is of experts whose images were prepared with mean .*, not whitened"):
        distilled(experts, data=whitened)
    folder = tmp_path / "experts"
    make_experts(whitened, folder, network=NETWORK, count=3, epochs=5, batch_size=8, device="cpu")
    with pytest.raises(InputError, match="is of experts whose images were whitened"):
        distilled(str(folder), data=DATA)
    moves.clear()
    made = distilled(str(folder), data=whitened, iterations=1)
    assert made.zca is not None
    leaf, rate = moves[0].value.bfloat16().float().requires_grad_(), moves[1].value
    labels = torch.arange(3).repeat_interleave(GPC)
    loss = by_hand(str(folder), 0, leaf, labels, rate, augment="dsa", start_before=3, zca=whitened.zca)
    expected = torch.autograd.grad(loss, leaf)[0]
    torch.testing.assert_close(moves[0].gradient, expected, rtol=2e-3, atol=2e-5 * float(expected.abs().max()))


@pytest.mark.cuda
def test_a_step_is_the_same_on_cuda(experts: str) -> None:
    told: list[float] = []

    def note(report: Progress) -> None:
        told.append(report.loss or 0.0)

    for device in ("cpu", "cuda"):
        distilled(experts, device=device, iterations=2, learn_labels=True, progress=note)
    assert told[2:] == pytest.approx(told[:2], rel=1e-2)
