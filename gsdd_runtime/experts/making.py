"""Making experts: networks trained on real images by plain SGD, their weights kept after every epoch."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from gsdd_runtime import networks, ranks
from gsdd_runtime.atomic import check_room, remove_partial_files, sole_writer
from gsdd_runtime.datasets import RealData
from gsdd_runtime.datasets.real_data import check_real_data
from gsdd_runtime.devices import resolve_device
from gsdd_runtime.errors import BusyError, GsddError, InputError
from gsdd_runtime.experts.folder import ExpertFolder, trajectory_files
from gsdd_runtime.experts.subject import Subject, flattened
from gsdd_runtime.experts.trajectory import (
    About,
    Trajectory,
    Unfinished,
    save_trajectory,
    trajectory_path,
    unfinished_path,
)
from gsdd_runtime.memory import check_memory
from gsdd_runtime.networks import Network
from gsdd_runtime.networks.dropout import restart_dropout
from gsdd_runtime.networks.outside import without_file
from gsdd_runtime.progress import Progress, Reporter, silent
from gsdd_runtime.seeds import derived_generator, derived_seed
from gsdd_runtime.training.real_images import RealExamples, RealTest
from gsdd_runtime.training.recipe import Recipe
from gsdd_runtime.training.trainer import deterministic_convolutions, train_epoch
from gsdd_runtime.versions import VERSION
from gsdd_runtime.wording import counted

# Times that an expert is tested on real images while it is trained.
TESTS = 5
# Seconds between two savings of the epochs of an expert that are done.
SAVING_INTERVAL = 30.0
_FLOAT32_BYTES = 4
# Of a recipe, what a file says; of the rest nothing is asked.
_PROTOCOL = ("epochs", "batch_size", "learning_rate", "momentum", "weight_decay")


def make_experts(
    data: RealData,
    out: str | os.PathLike[str],
    *,
    network: str | None = None,
    count: int = 100,
    epochs: int = 50,
    seed: int = 0,
    device: str = "auto",
    batch_size: int = 256,
    learning_rate: float = 0.01,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    augment: str | None = "dsa",
    resume: bool = False,
    overwrite: bool = False,
    progress: Reporter = silent,
) -> ExpertFolder:
    """Trains ``count`` networks on the training images of ``data`` and keeps their weights after every epoch.

    The recipe is that of trajectory matching (Cazenavette et al., arXiv 2203.11932): SGD at a constant rate without
    momentum and weight decay. Expert ``i`` depends on the data, the options, the seed and ``i``, on the device and its
    number of threads, and on nothing else: an interrupted and resumed run writes the same bytes. Several runs with the
    same options may fill one folder, each with ``resume``: an expert that another one trains is passed over. The
    processes that torchrun starts share the experts.

    Args:
        data: the real images. Where there are test images, an expert is tested on them a few times.
        out: the folder, new or empty; one file an expert.
        network: as ``networks.build`` takes it; that of ``networks.default_network`` if None.
        count: experts.
        epochs: passes over the training images of each.
        seed: fixes all of them.
        device: ``auto``, ``cpu`` or ``cuda``.
        batch_size, learning_rate, momentum, weight_decay, augment: see :class:`gsdd_runtime.training.recipe.Recipe`;
            the rate stays as it is.
        resume: go on with what the folder holds.
        overwrite: remove the experts that are there first.
        progress: told after every epoch; the phase is ``"experts"``.

    Returns:
        The folder. It may hold fewer than ``count`` where other runs are still training some.

    Raises:
        InputError: an option, the data or the folder cannot be used; the folder holds experts of another run; a disk
            or memory without room. All but a full disk is told before the first epoch.
        GsddError: the weights are not finite.
        BusyError: other runs are training all that is left, and none is finished.
    """
    check_real_data(data)
    recipe = Recipe(epochs, batch_size, learning_rate, momentum, weight_decay, augment)
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count < 10**6:
        raise InputError(f"count must be a whole number of at least 1, got {count!r}")
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise InputError(f"seed must be a whole number of at least 0, got {seed!r}")
    where = resolve_device(device)
    name = networks.chosen(network, (data.height, data.width))
    subject = Subject.of(without_file(name), data)
    folder = Path(out)
    protocol = {name: getattr(recipe, name) for name in _PROTOCOL} | {"augment": recipe.augment or "none"}
    about = About(subject, protocol, seed, 0, (), versions_of(where))
    together = ranks.joined()
    if together.first:
        prepare_folder(folder, about, resume=resume, overwrite=overwrite)
    together.wait()
    missing = [number for number in range(count) if not trajectory_path(folder, number).exists()]
    _check_cost(folder, subject, recipe, len(missing))
    training = _Training(name, data, recipe, where, progress, count)
    with deterministic_convolutions(where):
        for number in together.own(count):
            training.one(trajectory_path(folder, number), replace(about, number=number))
    together.wait()
    if not trajectory_files(folder):
        raise BusyError(f"other runs are training all {counted(count, 'expert')} of {folder}: wait for their end")
    return ExpertFolder(folder)


def prepare_folder(folder: Path, about: About, *, resume: bool, overwrite: bool) -> None:
    """Makes the folder where there is none, and checks what it holds against what is to be added.

    Raises:
        InputError: it is no folder, cannot be made or written, or holds something else: other files, experts of
            another run (``about``), or any where neither ``resume`` nor ``overwrite`` was given.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(
            f"{folder} exists and is not a folder: choose another place; --overwrite replaces experts only"
        )
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {folder}: {error.strerror or error}") from error
    if not os.access(folder, os.W_OK):
        raise InputError(f"the folder {folder} cannot be written: choose another place")
    present = trajectory_files(folder)
    if overwrite:
        for path in present:
            path.unlink()
            unfinished_path(path).unlink(missing_ok=True)
        for path in folder.glob("trajectory-*.safetensors.checkpoint"):
            path.unlink()
        present = []
    others = [path for path in folder.iterdir() if not path.name.lstrip(".").startswith("trajectory-")]
    if others and not present:
        raise InputError(f"the folder {folder} holds something else ({others[0].name}): choose another, new or empty")
    if (present or any(folder.glob("trajectory-*.checkpoint"))) and not resume:
        raise InputError(
            f"the folder {folder} holds experts: add --resume to go on with it, --overwrite to make them anew, "
            "or choose another place"
        )
    for path in present:
        check_same_run(path, Trajectory(path).about, about)


def check_same_run(path: Path, there: About, ours: About) -> None:
    """Raises InputError, which names the first difference, unless ``path`` is of a run with the same options."""
    remedy = "use the same options, or choose another folder"
    there.subject.check_same(ours.subject, str(path), remedy)
    before, now = {**there.protocol, "seed": there.seed}, {**ours.protocol, "seed": ours.seed}
    for name in sorted(before.keys() | now.keys()):
        if before.get(name) != now.get(name):
            raise InputError(f"{path} is of a run with {name} {before.get(name)!r}, not {now.get(name)!r}: {remedy}")


def versions_of(device: torch.device) -> dict[str, str]:
    """What made an expert."""
    return {"gsdd-rt": VERSION, "torch": torch.__version__, "device": device.type}


def is_tested(epoch: int, epochs: int) -> bool:
    """Whether ``epoch`` (from 1) is one of the about ``TESTS`` that an expert is tested after."""
    return epoch == epochs or epoch % max(1, epochs // TESTS) == 0


def _check_cost(folder: Path, subject: Subject, recipe: Recipe, missing: int) -> None:
    size = (recipe.epochs + 1) * subject.length * _FLOAT32_BYTES
    check_room(folder / "experts", missing * size)
    check_memory(
        size, f"the trajectory of one expert of {subject.network}", "lower --epochs, or take a smaller network"
    )


class _Training:
    """What all experts of a run share."""

    def __init__(
        self, name: str, data: RealData, recipe: Recipe, device: torch.device, progress: Reporter, count: int
    ) -> None:
        self._name = name
        self._recipe = recipe
        self._device = device
        self._examples = RealExamples(data, device)
        self._test = RealTest(data.preparation, data, device) if len(data.test_labels) else None
        self._progress = progress
        self._total = count * recipe.epochs

    def one(self, path: Path, about: About) -> None:
        """Trains one expert and writes its file, unless it is there or another run is at it."""
        try:
            with sole_writer(path):
                if not path.exists():
                    unfinished = unfinished_path(path)
                    remove_partial_files(unfinished)
                    save_trajectory(path, *self._trained(unfinished, about))
                    unfinished.unlink(missing_ok=True)
        except BusyError:
            return
        self._told(about, self._recipe.epochs)

    def _trained(self, unfinished: Path, about: About) -> tuple[About, Tensor]:
        seed, number, recipe = int(about.seed or 0), about.number, self._recipe
        subject = about.subject
        network = networks.build(
            self._name, subject.channels, subject.classes, subject.size,
            seed=derived_seed(seed, "expert", number, "network"),
        ).to(self._device)  # fmt: skip
        optimiser = recipe.optimiser(network, recipe.learning_rate)
        rows = torch.empty(recipe.epochs + 1, subject.length)
        rows[0] = flattened(network)
        accuracies: list[tuple[int, float]] = []
        first = 0
        if unfinished.exists():
            state = Unfinished.load(unfinished, momentum=recipe.momentum > 0)
            check_same_run(unfinished, state.about, about)
            first, accuracies = len(state.rows) - 1, list(state.about.accuracies)
            rows[: first + 1] = state.rows
            _restore(network, optimiser, state)
        saver = _Saver(unfinished, lambda done: self._state(about, rows[: done + 1], accuracies, optimiser))
        try:
            for epoch in range(first + 1, recipe.epochs + 1):
                network.train()
                generator = derived_generator(seed, "expert", number, "epoch", epoch)
                restart_dropout(network, derived_seed(seed, "expert", number, "dropout", epoch))
                loss = train_epoch(network, self._examples, recipe, optimiser, generator)
                # A copy: views of the weights would all show the last epoch.
                rows[epoch] = flattened(network)
                if not bool(torch.isfinite(rows[epoch]).all()):
                    raise GsddError(
                        f"expert {number} is not finite after epoch {epoch}: make experts with a learning rate below "
                        f"{recipe.learning_rate:g}"
                    )
                if self._test is not None and is_tested(epoch, recipe.epochs):
                    accuracies.append((epoch, self._test.accuracy(network)))
                self._told(about, epoch, float(loss))
                saver.after(epoch)
        except KeyboardInterrupt:
            saver.save()
            raise
        return replace(about, accuracies=tuple(accuracies)), rows

    def _state(
        self, about: About, rows: Tensor, accuracies: list[tuple[int, float]], optimiser: torch.optim.Optimizer
    ) -> Unfinished:
        momentum = None
        if self._recipe.momentum > 0:
            parts = [optimiser.state[part]["momentum_buffer"] for part in optimiser.param_groups[0]["params"]]
            momentum = torch.cat([part.reshape(-1) for part in parts]).cpu()
        known = tuple(pair for pair in accuracies if pair[0] < len(rows))
        return Unfinished(replace(about, accuracies=known), rows, momentum)

    def _told(self, about: About, epoch: int, loss: float | None = None) -> None:
        self._progress(Progress("experts", about.number * self._recipe.epochs + epoch, self._total, loss))


class _Saver:
    """Saves the epochs that are done every ``SAVING_INTERVAL`` seconds, or when told to."""

    def __init__(self, path: Path, state: Callable[[int], Unfinished]) -> None:
        self._path = path
        self._state = state
        self._latest: Unfinished | None = None
        self._saved = time.monotonic()

    def after(self, epoch: int) -> None:
        # Taken now: in the middle of the next epoch, momentum and weights are of no epoch.
        self._latest = self._state(epoch)
        if time.monotonic() - self._saved >= SAVING_INTERVAL:
            self.save()

    def save(self) -> None:
        if self._latest is not None:
            self._latest.save(self._path)
            self._saved = time.monotonic()


def _restore(network: Network, optimiser: torch.optim.Optimizer, state: Unfinished) -> None:
    """Puts the weights and the momentum of the last epoch that is done in place."""
    subject = state.about.subject
    parts: dict[str, nn.Parameter] = dict(network.named_parameters())
    with torch.no_grad():
        for name, value in subject.unflattened(state.rows[-1]).items():
            parts[name].copy_(value)
        if state.momentum is not None and len(state.rows) > 1:
            for name, value in subject.unflattened(state.momentum).items():
                optimiser.state[parts[name]]["momentum_buffer"] = value.to(parts[name].device).clone()
