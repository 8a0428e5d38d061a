"""How good is a distilled set: networks trained on it, tested on real images (the field's protocol)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from gsdd_runtime import networks, ranks
from gsdd_runtime.datasets import RealData
from gsdd_runtime.datasets.real_data import check_real_data
from gsdd_runtime.devices import resolve_device
from gsdd_runtime.errors import InputError
from gsdd_runtime.evaluation.real_test import check_fit, data_facts
from gsdd_runtime.evaluation.result import EvaluationResult, Repeat
from gsdd_runtime.evaluation.side_by_side import Stop, run_side_by_side, threads_of_each
from gsdd_runtime.networks import Size
from gsdd_runtime.progress import Progress, Reporter, silent
from gsdd_runtime.seeds import derived_generator
from gsdd_runtime.sets.distilled_set import DistilledSet, check_distilled_set
from gsdd_runtime.sets.preparation import Preparation
from gsdd_runtime.sets.whitening import is_left_out, with_matrix
from gsdd_runtime.training.real_images import RealExamples, RealTest
from gsdd_runtime.training.recipe import AS_RECIPE, ChosenRecipe, Recipe, choose_recipe, recipe_for
from gsdd_runtime.training.teacher import Teacher, check_classes
from gsdd_runtime.training.trainer import Batches, Examples, is_reported, train_network
from gsdd_runtime.training.view_labels import ViewLabels, as_labelled
from gsdd_runtime.versions import VERSION
from gsdd_runtime.wording import counted

# Pixels of a batch up to which networks train side by side on a CPU: beyond, one fills the machine, and several
# its memory (a ConvNet with 128 filters takes about half a gigabyte here).
SMALL_BATCH = 128 * 32 * 32


def evaluate(
    distilled_set: DistilledSet,
    data: RealData,
    *,
    network: str | None = None,
    recipe: str | None = None,
    epochs: int | None = None,
    repeats: int = 5,
    seed: int = 0,
    device: str = "auto",
    batch_size: int | None = None,
    learning_rate: float | None = None,
    momentum: float | None = None,
    weight_decay: float | None = None,
    augment: str | None = AS_RECIPE,
    size: Size | None = None,
    tests: int = 1,
    accuracy_at: Sequence[int] = (),
    teacher: Teacher | ViewLabels | None = None,
    progress: Reporter = silent,
) -> EvaluationResult:
    """Trains fresh networks on a distilled set and tests each on the real test images.

    Real images are prepared as the set's own are: normalised, or whitened where it has a ``zca``. A set without any of
    that takes the mean and std of the data.

    Args:
        distilled_set: to train on.
        data: its test part.
        network: see :func:`gsdd_runtime.networks.build`; that of ``networks.default_network`` for the size if None.
        recipe: its name, see :func:`gsdd_runtime.training.recipe.choose_recipe`.
        epochs, batch_size, learning_rate, momentum, weight_decay, augment: as the recipe has them, unless given; see
            :class:`gsdd_runtime.training.recipe.Recipe`.
        repeats: networks, each from its own seed; the processes that torchrun starts share them.
        seed: fixes the result on a device and a number of threads.
        device: ``auto``, ``cpu`` or ``cuda``.
        size: height and width that the set is decoded at; its own if None. The data must have it.
        tests: of each network, evenly over the epochs; the last is at the end. The best epoch is told where there are
            more than that one.
        accuracy_at: epochs after which to test besides.
        teacher: that labels every batch as it is augmented, in place of the set's labels; or what one said of views,
            which every network then sees, by the recipe, for the epochs and in batches that they are of unless others
            are given.
            Their bytes count as the set's.
        progress: told of every part of the training, a phase for each network. Small networks train side by
            side, in several threads; it is called from one of them at a time.

    Raises:
        InputError: a set and data that do not fit together, an unknown network or device, a number out of
            range.
    """
    check_distilled_set(distilled_set)
    check_real_data(data)
    shape = (distilled_set.height, distilled_set.width) if size is None else size
    network = networks.chosen(network, shape)
    recipe, epochs, batch_size = as_labelled(teacher, recipe, epochs, batch_size)
    chosen = recipe_for(
        recipe, distilled_set, network=network, epochs=epochs, batch_size=batch_size, learning_rate=learning_rate,
        momentum=momentum, weight_decay=weight_decay, augment=augment,
    )  # fmt: skip
    check_fit(distilled_set, data, shape)
    distilled_set = with_statistics(distilled_set, data)
    if isinstance(teacher, ViewLabels):
        teacher.check(distilled_set, chosen.recipe, shape)
    where = resolve_device(device)
    return _evaluated(
        Examples(distilled_set, where, shape), distilled_set.preparation, _facts_of_set(distilled_set, teacher), data,
        where, chosen=chosen, network=network, size=shape, repeats=repeats, seed=seed, tests=tests,
        accuracy_at=accuracy_at, teacher=teacher, progress=progress,
    )  # fmt: skip


def evaluate_whole(
    data: RealData,
    *,
    network: str | None = None,
    recipe: str | None = None,
    repeats: int = 5,
    seed: int = 0,
    device: str = "auto",
    tests: int = 1,
    accuracy_at: Sequence[int] = (),
    teacher: Teacher | ViewLabels | None = None,
    progress: Reporter = silent,
    **changes: Any,
) -> EvaluationResult:
    """As :func:`evaluate`, of networks trained on all training images: the upper bound.

    Args:
        data: its training part, and its test part.
        changes: of the recipe.

    Raises:
        InputError: as :func:`evaluate`.
    """
    check_real_data(data)
    size = data.height, data.width
    if len(data.test_labels) == 0:
        raise InputError(f"{data.name} has no test images: there is nothing to test on")
    if isinstance(teacher, ViewLabels):
        raise InputError(f"{teacher.name} holds labels of a set's views, not of real images: give a teacher itself")
    network = networks.chosen(network, size)
    images = len(data.train_labels)
    chosen = choose_recipe(recipe, images=images, classes=data.classes, network=network, **changes)
    where = resolve_device(device)
    facts = {
        "images": images, "representation": "real images", "bytes": data.train_images.numel(),
        "bits_per_class": 8 * data.train_images.numel() / data.classes, "method": "whole", "ipc": None, "gpc": None,
        "seed": None, "data_fingerprint": data.fingerprint, "mean": list(data.mean), "std": list(data.std),
        "zca": data.zca is not None,
    }  # fmt: skip
    return _evaluated(
        RealExamples(data, where), data.preparation, facts, data, where, chosen=chosen, network=network, size=size,
        repeats=repeats, seed=seed, tests=tests, accuracy_at=accuracy_at, teacher=teacher, progress=progress,
    )  # fmt: skip


def _evaluated(
    examples: Batches,
    preparation: Preparation,
    facts: dict[str, Any],
    data: RealData,
    where: torch.device,
    *,
    chosen: ChosenRecipe,
    network: str,
    size: Size,
    repeats: int,
    seed: int,
    tests: int,
    accuracy_at: Sequence[int],
    teacher: Teacher | ViewLabels | None,
    progress: Reporter,
) -> EvaluationResult:
    """Trains networks on ``examples``, which ``preparation`` prepared and ``facts`` tell of, and tests them."""
    for name, value in (("repeats", repeats), ("tests", tests)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise InputError(f"{name} must be a whole number of at least 1, got {value!r}")
    tested = _tested_epochs(chosen.recipe.epochs, tests, accuracy_at)
    test = RealTest(preparation, data, where)
    if teacher is not None:
        check_classes(teacher, data.classes, data.class_names)
        if isinstance(teacher, Teacher):
            teacher = teacher.for_training(preparation, size).to(where)
    lock = threading.Lock()
    together, jobs = ranks.joined(), []
    for index in (own := together.own(repeats)):
        # Networks are made here, one after the other: making one borrows PyTorch's global generator.
        generator = derived_generator(seed, "evaluate", index)
        fresh = networks.build(network, data.channels, data.classes, size, generator).to(where)
        tell = _teller(f"network {index + 1} of {repeats}", chosen.recipe.epochs, progress, lock)
        jobs.append(partial(_repeat, fresh, examples, chosen.recipe, generator, test, tested, tell, teacher))
    at_once = where.type == "cpu" and min(chosen.recipe.batch_size, len(examples)) * size[0] * size[1] <= SMALL_BATCH
    results = run_side_by_side(jobs) if at_once else [job(Stop()) for job in jobs]
    return EvaluationResult(
        repeats=_of_all(together, results),
        network=network,
        recipe=chosen.recipe,
        size=size,
        seed=seed,
        tests=min(tests, chosen.recipe.epochs),
        device=str(where) if where.type == "cpu" else torch.cuda.get_device_name(where),
        threads=threads_of_each(len(own)) if at_once else torch.get_num_threads(),
        versions={"gsdd-rt": VERSION, "torch": torch.__version__},
        distilled=facts,
        data=data_facts(data),
        recipe_name=chosen.name,
        rate_from=chosen.rate_from,
        accuracy_at=tuple(accuracy_at),
        class_names=data.class_names,
        teacher=None if teacher is None else teacher.name,
    )


def _of_all(together: ranks.Ranks, own: Sequence[Repeat]) -> tuple[Repeat, ...]:
    """The repeats of all processes that share the evaluation, in their order."""
    if together.count == 1:
        return tuple(own)
    told = [[Repeat.of(fields) for fields in each] for each in together.told([asdict(one) for one in own])]
    return tuple(told[index % together.count][index // together.count] for index in range(sum(map(len, told))))


def _tested_epochs(epochs: int, tests: int, accuracy_at: Sequence[int]) -> tuple[int, ...]:
    for epoch in accuracy_at:
        if isinstance(epoch, bool) or not isinstance(epoch, int) or not 1 <= epoch <= epochs:
            raise InputError(
                f"accuracy_at: {epoch!r} is not among the {counted(epochs, 'epoch')} of training: "
                "leave it out, or add some"
            )
    return tuple(sorted({max(1, epochs * part // tests) for part in range(1, tests + 1)} | set(accuracy_at)))


def with_statistics(distilled_set: DistilledSet, data: RealData) -> DistilledSet:
    """The set itself, or one with the data's mean, std and whitening where it has nothing to prepare images with.

    Where the set's whitening matrix was left out of its file, it is fitted on the training images.

    Raises:
        InputError: these are not the images that the set was made from.
    """
    if is_left_out(distilled_set):
        whitens = data if data.zca is not None else data.whitened()
        assert whitens.zca is not None
        return with_matrix(distilled_set, whitens.zca, data.name)
    if distilled_set.mean is not None or distilled_set.zca is not None:
        return distilled_set
    return distilled_set.changed(class_names=data.class_names, mean=data.mean, std=data.std, zca=data.zca)


def _teller(phase: str, epochs: int, progress: Reporter, lock: threading.Lock) -> Callable[[int, Tensor], None]:
    def tell(epoch: int, loss: Tensor) -> None:
        if is_reported(epoch, epochs):
            with lock:
                progress(Progress(phase, epoch, epochs, float(loss)))

    return tell


def _repeat(
    network: nn.Module,
    examples: Batches,
    recipe: Recipe,
    generator: torch.Generator,
    test: RealTest,
    tested: tuple[int, ...],
    tell: Callable[[int, Tensor], None],
    teacher: Teacher | ViewLabels | None,
    stop: Stop,
) -> Repeat:
    accuracies: list[float] = []
    per_class: tuple[float, ...] = ()
    losses: list[Tensor] = []

    def after_epoch(epoch: int, loss: Tensor) -> None:
        nonlocal per_class
        stop.check()
        if epoch in tested:
            accuracy, per_class = test.accuracies(network)
            accuracies.append(accuracy)
        losses[:] = [loss]
        tell(epoch, loss)

    train_network(network, examples, recipe, generator, after_epoch, teacher)
    return Repeat(tested, tuple(accuracies), float(losses[-1]), per_class)


def _facts_of_set(distilled_set: DistilledSet, teacher: Teacher | ViewLabels | None) -> dict[str, Any]:
    nbytes = distilled_set.nbytes + (teacher.nbytes if isinstance(teacher, ViewLabels) else 0)
    return {
        "images": len(distilled_set),
        "representation": distilled_set.representation,
        "bytes": nbytes,
        "bits_per_class": 8 * nbytes / distilled_set.classes,
        "method": distilled_set.method,
        "ipc": distilled_set.ipc,
        "gpc": distilled_set.gpc,
        "seed": distilled_set.seed,
        "data_fingerprint": distilled_set.fingerprint,
        "mean": list(distilled_set.mean or ()),
        "std": list(distilled_set.std or ()),
        "zca": distilled_set.zca is not None,
    }
