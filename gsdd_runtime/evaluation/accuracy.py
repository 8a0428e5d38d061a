"""How good is a distilled set: networks trained on it, tested on real images (the field's protocol)."""

from __future__ import annotations

import statistics
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from gsdd_runtime import networks
from gsdd_runtime.datasets import RealData
from gsdd_runtime.datasets.real_data import check_real_data
from gsdd_runtime.devices import resolve_device
from gsdd_runtime.errors import InputError
from gsdd_runtime.evaluation.real_test import check_fit, data_facts
from gsdd_runtime.evaluation.side_by_side import Stop, run_side_by_side, threads_of_each
from gsdd_runtime.networks import Size
from gsdd_runtime.progress import Progress, Reporter, silent
from gsdd_runtime.seeds import derived_generator
from gsdd_runtime.sets.distilled_set import DistilledSet, check_distilled_set
from gsdd_runtime.training.real_images import RealTest
from gsdd_runtime.training.trainer import Examples, Recipe, is_reported, train_network
from gsdd_runtime.versions import VERSION

# Times that a network is tested while it trains; its "best epoch" is the best of them.
TESTS = 20
# Pixels of a batch up to which networks train side by side on a CPU: beyond, one fills the machine, and several
# its memory (a ConvNet with 128 filters takes about half a gigabyte here).
SMALL_BATCH = 128 * 32 * 32


@dataclass(frozen=True)
class Repeat:
    """One network: the share of test images it got right (0 to 1) when it was tested.

    Attributes:
        epochs: of training that it had had at each test; the last test is at the end.
        accuracies: at each of these.
        loss: of the last training batch.
    """

    epochs: tuple[int, ...]
    accuracies: tuple[float, ...]
    loss: float

    @property
    def at_last_epoch(self) -> float:
        """The accuracy at the end of training."""
        return self.accuracies[-1]

    @property
    def at_best_epoch(self) -> float:
        """The best accuracy of all tests: its epoch is chosen on the test images, so an optimistic figure."""
        return max(self.accuracies)


@dataclass(frozen=True)
class EvaluationResult:
    """Test accuracies, as shares from 0 to 1, of networks trained on a distilled set.

    ``last_epoch_...`` are those at the end of training. ``best_epoch_...`` take each network at the test where it did
    best on the test images themselves: an optimistic figure. Both are epochs of training on a finished set, not
    iterations of distilling. Deviations are those of the population, as the field's published code takes them; one
    network has none: 0 here, null in :meth:`to_dict`.

    Attributes:
        repeats: one network each; repeat ``i`` draws its weights and batches from ``seed`` and ``i``.
        network, recipe, size, seed, tests: what was asked for.
        device, threads: what each network ran on; with ``versions`` they decide the last digits.
        distilled, data: which set and which real data.
    """

    repeats: tuple[Repeat, ...]
    network: str
    recipe: Recipe
    size: Size
    seed: int
    tests: int
    device: str
    threads: int
    versions: dict[str, str]
    distilled: dict[str, Any]
    data: dict[str, Any]

    @property
    def last_epoch_mean(self) -> float:
        return statistics.fmean(repeat.at_last_epoch for repeat in self.repeats)

    @property
    def last_epoch_std(self) -> float:
        return statistics.pstdev(repeat.at_last_epoch for repeat in self.repeats)

    @property
    def best_epoch_mean(self) -> float:
        return statistics.fmean(repeat.at_best_epoch for repeat in self.repeats)

    @property
    def best_epoch_std(self) -> float:
        return statistics.pstdev(repeat.at_best_epoch for repeat in self.repeats)

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON values."""
        alone = len(self.repeats) == 1
        return {
            "last_epoch": {"mean": self.last_epoch_mean, "std": None if alone else self.last_epoch_std},
            "best_epoch": {"mean": self.best_epoch_mean, "std": None if alone else self.best_epoch_std,
                           "chosen_on": "test images", "of_tests": self.tests},
            "repeats": [
                {"last_epoch": repeat.at_last_epoch, "best_epoch": repeat.at_best_epoch, "final_loss": repeat.loss,
                 "epochs": list(repeat.epochs), "accuracies": list(repeat.accuracies)}
                for repeat in self.repeats
            ],
            "network": self.network,
            **asdict(self.recipe),
            "size": list(self.size),
            "seed": self.seed,
            "device": self.device,
            "threads": self.threads,
            "versions": self.versions,
            "set": self.distilled,
            "data": self.data,
        }  # fmt: skip


def evaluate(
    distilled_set: DistilledSet,
    data: RealData,
    *,
    network: str | None = None,
    epochs: int = 1000,
    repeats: int = 5,
    seed: int = 0,
    device: str = "auto",
    batch_size: int = 256,
    learning_rate: float = 0.01,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    augment: str | None = "dsa",
    size: Size | None = None,
    tests: int = TESTS,
    progress: Reporter = silent,
) -> EvaluationResult:
    """Trains fresh networks on a distilled set and tests each on the real test images.

    Real images are prepared as the set's own are: normalised, or whitened where it has a ``zca``. A set without any of
    that takes the mean and std of the data.

    Args:
        distilled_set: to train on.
        data: its test part.
        network: see :func:`gsdd_runtime.networks.build`; that of ``networks.default_network`` for the size if None.
        epochs, batch_size, learning_rate, momentum, weight_decay, augment: see
            :class:`gsdd_runtime.training.trainer.Recipe`.
        repeats: networks, each from its own seed.
        seed: fixes the result on a device and a number of threads.
        device: ``auto``, ``cpu`` or ``cuda``.
        size: height and width that the set is decoded at; its own if None. The data must have it.
        tests: of each network, evenly over the epochs; the last is at the end.
        progress: told of every part of the training, a phase for each network. Small networks train side by
            side, in several threads; it is called from one of them at a time.

    Raises:
        InputError: a set and data that do not fit together, an unknown network or device, a number out of
            range.
    """
    check_distilled_set(distilled_set)
    check_real_data(data)
    recipe = Recipe(epochs, batch_size, learning_rate, momentum, weight_decay, augment)
    for name, value in (("repeats", repeats), ("tests", tests)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise InputError(f"{name} must be a whole number of at least 1, got {value!r}")
    where = resolve_device(device)
    shape = (distilled_set.height, distilled_set.width) if size is None else size
    check_fit(distilled_set, data, shape)
    network = networks.chosen(network, shape)
    distilled_set = with_statistics(distilled_set, data)
    examples = Examples(distilled_set, where, shape)
    test = RealTest(distilled_set.preparation, data, where)
    lock = threading.Lock()
    jobs = []
    for index in range(repeats):
        # Networks are made here, one after the other: making one borrows PyTorch's global generator.
        generator = derived_generator(seed, "evaluate", index)
        fresh = networks.build(network, data.channels, data.classes, shape, generator).to(where)
        tell = _teller(f"network {index + 1} of {repeats}", epochs, progress, lock)
        jobs.append(partial(_repeat, fresh, examples, recipe, generator, test, tests, tell))
    at_once = where.type == "cpu" and min(batch_size, len(examples)) * shape[0] * shape[1] <= SMALL_BATCH
    results = run_side_by_side(jobs) if at_once else [job(Stop()) for job in jobs]
    return EvaluationResult(
        repeats=tuple(results),
        network=network,
        recipe=recipe,
        size=shape,
        seed=seed,
        tests=len(results[0].epochs),
        device=str(where) if where.type == "cpu" else torch.cuda.get_device_name(where),
        threads=threads_of_each(repeats) if at_once else torch.get_num_threads(),
        versions={"gsdd-rt": VERSION, "torch": torch.__version__},
        distilled=_facts_of_set(distilled_set),
        data=data_facts(data),
    )


def with_statistics(distilled_set: DistilledSet, data: RealData) -> DistilledSet:
    """The set itself, or one with the data's mean, std and whitening where it has nothing to prepare images with."""
    if distilled_set.mean is not None or distilled_set.zca is not None:
        return distilled_set
    return DistilledSet(
        distilled_set.gaussians,
        distilled_set.labels,
        distilled_set.height,
        distilled_set.width,
        pixels=distilled_set.pixels,
        class_names=data.class_names,
        mean=data.mean,
        std=data.std,
        zca=data.zca,
        ipc=distilled_set.ipc,
        gpc=distilled_set.gpc,
        method=distilled_set.method,
        options=distilled_set.options,
        seed=distilled_set.seed,
        fingerprint=distilled_set.fingerprint,
        versions=distilled_set.versions,
    )


def _teller(phase: str, epochs: int, progress: Reporter, lock: threading.Lock) -> Callable[[int, Tensor], None]:
    def tell(epoch: int, loss: Tensor) -> None:
        if is_reported(epoch, epochs):
            with lock:
                progress(Progress(phase, epoch, epochs, float(loss)))

    return tell


def _repeat(
    network: nn.Module,
    examples: Examples,
    recipe: Recipe,
    generator: torch.Generator,
    test: RealTest,
    tests: int,
    tell: Callable[[int, Tensor], None],
    stop: Stop,
) -> Repeat:
    tested = sorted({max(1, recipe.epochs * part // tests) for part in range(1, tests + 1)})
    accuracies: list[float] = []
    losses: list[Tensor] = []

    def after_epoch(epoch: int, loss: Tensor) -> None:
        stop.check()
        if epoch in tested:
            accuracies.append(test.accuracy(network))
        losses[:] = [loss]
        tell(epoch, loss)

    train_network(network, examples, recipe, generator, after_epoch)
    return Repeat(tuple(tested), tuple(accuracies), float(losses[-1]))


def _facts_of_set(distilled_set: DistilledSet) -> dict[str, Any]:
    return {
        "images": len(distilled_set),
        "representation": distilled_set.representation,
        "bytes": distilled_set.nbytes,
        "method": distilled_set.method,
        "ipc": distilled_set.ipc,
        "gpc": distilled_set.gpc,
        "seed": distilled_set.seed,
        "data_fingerprint": distilled_set.fingerprint,
        "mean": list(distilled_set.mean or ()),
        "std": list(distilled_set.std or ()),
        "zca": distilled_set.zca is not None,
    }
