"""The options of a run: those that every run has, whose the others are, what they resolve to for given data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch

from gsdd_runtime import networks
from gsdd_runtime.datasets import RealData
from gsdd_runtime.devices import resolve_device
from gsdd_runtime.distillation.declared import Declared, declared, option, taken
from gsdd_runtime.distillation.held_out import hold_out
from gsdd_runtime.distillation.objectives import OBJECTIVES, Objective
from gsdd_runtime.distillation.problem import Setting
from gsdd_runtime.distillation.representations import CODINGS, FORMS, REPRESENTATIONS, Representation, Room, Storage
from gsdd_runtime.distillation.starts import Start, check_enough, known_starts, start_of
from gsdd_runtime.errors import InputError
from gsdd_runtime.splatting import tiles
from gsdd_runtime.splatting.tiles import RENDERERS
from gsdd_runtime.training.augmentation import chosen_augmentation

SCHEDULES = ("constant", "cosine")

# Of a set's record: the recipe that its options are of. It decides nothing that they do not.
RECIPE = "recipe"

DEFAULT_FIT_STEPS = 1000
DEFAULT_FIT_LEARNING_RATE = 1e-1


@dataclass(frozen=True)
class CommonOptions:
    """What decides the result of every run besides the data. None stands for a default that ``resolve`` fills in."""

    method: str = option("dm", "The matching objective.", choices=lambda: tuple(OBJECTIVES))
    representation: str = option(
        "gaussians", "What images are kept as; pixels in 8 or 2 bits, or of half the size, among them.",
        choices=lambda: (*REPRESENTATIONS, *FORMS),
    )  # fmt: skip
    ipc: int = option(1, "Storage: that of IPC float32 pixel images per class.", least=1)
    gpc: int | None = option(None, "Images per class in that storage.", least=1, shown="by the budget")
    coding: str = option(
        "none", "With entropy, images are rounded and coded, as many as the storage then holds.",
        choices=lambda: CODINGS,
    )  # fmt: skip
    iterations: int | None = option(
        None, "Matching steps; 0 keeps the first images, fitted.", least=0, shown="the paper's", resume="raise"
    )
    init: str = option("real", f"The first images: {known_starts()}.")
    network: str | None = option(None, "Sees the images.", shown="a ConvNet by their size")
    learning_rate: float | None = option(
        None, "Of the matching, for Adam.", above=0, shown="1e-3 for Gaussians, 1e-2 for pixels", resume="lower"
    )
    schedule: str = option("constant", "Of that learning rate; a cosine falls to 0.", choices=lambda: SCHEDULES)
    fit_steps: int | None = option(
        None, "Steps of fitting Gaussians to the first images.", least=0, shown=str(DEFAULT_FIT_STEPS)
    )
    fit_learning_rate: float = option(
        DEFAULT_FIT_LEARNING_RATE, "Of the fitting, which falls to 0 as a cosine.", above=0
    )
    augment: str = option("dsa", "Of real and distilled images alike.", choices=lambda: ("dsa", "none"))
    held_out: float = option(
        0.0, "Share of each class's training images that the run does not see, to judge its sets by (0 for none)."
    )
    seed: int = option(0, "Fixes the result on a device.", least=0)
    device: str = option("auto", "auto, cpu or cuda.", resume="change")
    renderer: str = option(
        "auto", "Draws Gaussians on a CUDA device: auto, our direct kernel, or gsplat's tiles.",
        choices=lambda: tuple(RENDERERS), resume="change",
    )  # fmt: skip


@dataclass(frozen=True)
class Owned:
    """An option, and whose it is.

    Attributes:
        option: as its owners declare it.
        owners: in words, such as ``"method dm"``; none for an option of every run.
    """

    option: Declared
    owners: tuple[str, ...] = ()

    def joined_by(self, owner: str, option: Declared) -> Owned | None:
        """With another owner, who declares the same; None where that one declares something else."""
        same = (option.words, option.default_text) == (self.option.words, self.option.default_text)
        return replace(self, owners=(*self.owners, owner)) if same and self.owners else None


@dataclass(frozen=True)
class ResolvedOptions:
    """The options of a run with nothing left open.

    Attributes:
        representation_options, method_options: of the representation's and the objective's own dataclass.
        start: what ``init`` names.
        storage: what fills the budget.
        room: what it was planned with.
        recipe: name and values of the one that was taken, for the record.
        judged: the data with the images that were held out in place of its test images.
    """

    method: str
    representation: str
    ipc: int
    gpc: int
    coding: str
    iterations: int
    init: str
    network: str
    learning_rate: float
    schedule: str
    fit_steps: int
    fit_learning_rate: float
    augment: str
    held_out: float
    seed: int
    device: str
    renderer: str
    representation_options: Any
    method_options: Any
    start: Start
    storage: Storage
    room: Room
    recipe: Mapping[str, Any] | None = None
    judged: RealData | None = None

    @property
    def objective_type(self) -> type[Objective]:
        return OBJECTIVES[self.method]

    @property
    def representation_type(self) -> type[Representation]:
        return REPRESENTATIONS[self.representation][self.coding]

    @property
    def reads(self) -> tuple[Path | None, ...]:
        """The files that the run reads beside its data."""
        return (self.start.reads, *self.objective_type.reads(self.method_options))

    def as_dict(self) -> dict[str, Any]:
        """The options as JSON values; of the device its kind alone, as every one of a kind does for the same run."""
        common = {one.name: getattr(self, one.name) for one in declared(CommonOptions)}
        own = asdict(self.representation_options) | asdict(self.method_options)
        for one in declared(type(self.method_options)):
            if one.place:
                own.pop(one.name)
        data = self.room.data
        seen = {"mean": list(data.mean), "std": list(data.std), "zca": data.zca is not None}
        named = {} if self.recipe is None else {RECIPE: dict(self.recipe)}
        return common | dict(self.storage.facts) | own | seen | named | {"device": torch.device(self.device).type}


def all_options() -> dict[str, tuple[Owned, ...]]:
    """Every option there is, by name, those of every run first; several of a name where their owners' words differ."""
    found: dict[str, list[Owned]] = {one.name: [Owned(one)] for one in declared(CommonOptions)}
    for owner, options in _owners():
        for one in options:
            declarations = found.setdefault(one.name, [])
            joined = declarations[-1].joined_by(owner, one) if declarations else None
            if joined is None:
                declarations.append(Owned(one, (owner,)))
            else:
                declarations[-1] = joined
    return {name: tuple(declarations) for name, declarations in found.items()}


def resolve(given: Mapping[str, Any], data: RealData, recipe: Mapping[str, Any] | None = None) -> ResolvedOptions:
    """Fills in every default and checks every value against ``data``.

    Args:
        given: options by name; None stands for a default, but of ``augment`` for none.
        recipe: that they are of, for the record.

    Raises:
        InputError: an unknown name, an option of another method or representation, a number out of range, a budget
            that does not hold the images, a class with too few real images.
    """
    chosen = _chosen(given)
    common = taken(CommonOptions, chosen)
    representation, objective = _types(common)
    for name, why in _foreign(chosen, common):
        raise InputError(f"{name} is an option of {why}: leave it out")
    start = start_of(common.init)
    _check_start(common, representation, start)
    judged = None
    if common.held_out:
        data, judged = hold_out(data, common.held_out, common.seed)
    start.check(data)
    sizes = torch.bincount(data.train_labels, minlength=data.classes).tolist()
    room = Room(
        data, common.ipc, common.gpc, min(sizes) if start.chooses else None,
        noise=start.varied and not start.fitted, learning_rate=common.learning_rate,
    )  # fmt: skip
    own = taken(representation.Options, chosen)
    storage = representation.plan(room, own)
    check_enough(data, sizes, storage.gpc if start.chooses else 1, "init color or random")
    device = str(resolve_device(common.device))
    _check_renderer(common.renderer, storage, device, (data.height, data.width))
    network = networks.chosen(common.network, (data.height, data.width))
    setting = Setting(data, common.ipc, storage.gpc, device, network)
    method = objective.settled(taken(objective.Options, chosen), setting)
    fits = representation.fitted and start.fitted
    fit_steps = DEFAULT_FIT_STEPS if common.fit_steps is None else common.fit_steps
    rate = representation.learning_rate if common.learning_rate is None else common.learning_rate
    iterations = objective.default_iterations(method) if common.iterations is None else common.iterations
    left = {one.name: getattr(common, one.name) for one in fields(common)}
    left |= {
        "gpc": storage.gpc, "init": start.record, "network": network, "device": device, "learning_rate": rate,
        "iterations": iterations, "fit_steps": fit_steps if fits else 0,
    }  # fmt: skip
    return ResolvedOptions(
        **left,
        representation_options=own,
        method_options=method,
        start=start,
        storage=storage,
        room=room,
        recipe=recipe,
        judged=judged,
    )


def _check_renderer(renderer: str, storage: Storage, device: str, size: tuple[int, int]) -> None:
    """Refuses gsplat where it cannot draw: what is asked for by name is never replaced by something else."""
    if renderer != "gsplat":
        return
    count = storage.facts.get("gaussians_per_image")
    if count is None:
        raise InputError("renderer gsplat draws Gaussians, and images are kept as pixels: leave it out")
    if torch.device(device).type != "cuda":
        raise InputError("renderer gsplat draws on a CUDA device, and the run's is the CPU: leave it at auto")
    tiles.choose(1, count, *size, RENDERERS[renderer])


def _owners() -> Iterator[tuple[str, tuple[Declared, ...]]]:
    """Whose the other options are, in words, and which."""
    for name, codings in REPRESENTATIONS.items():
        plain = declared(codings[CODINGS[0]].Options)
        yield f"representation {name}", plain
        there = {one.name for one in plain}
        for coding in CODINGS[1:]:
            more = tuple(one for one in declared(codings[coding].Options) if one.name not in there)
            yield f"representation {name} with coding {coding}", more
    for name, objective in OBJECTIVES.items():
        yield f"method {name}", declared(objective.Options)


def _chosen(given: Mapping[str, Any]) -> dict[str, Any]:
    """What was given and is no default."""
    known = all_options()
    for name in given:
        if name not in known:
            raise InputError(f"option {name!r} is not known: choose one of {', '.join(known)}")
    chosen = {name: value for name, value in given.items() if value is not None}
    if "augment" in given:
        chosen["augment"] = chosen_augmentation(given["augment"]) or "none"
    return _spelled_out(chosen)


def _spelled_out(chosen: dict[str, Any]) -> dict[str, Any]:
    """With what the name of a form of pixels stands for in its place."""
    form = chosen.get("representation")
    stands_for = FORMS.get(form, {}) if isinstance(form, str) else {}
    for name, value in stands_for.items():
        if name != "representation" and chosen.get(name, value) != value:
            raise InputError(f"representation {form} has {name} {value}, not {chosen[name]}: leave {name} out")
    return chosen | stands_for


def options_of_others(given: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the options among ``given`` that its method, representation and coding do not have.

    Raises:
        InputError: an unknown name, or a value of an option of every run that it may not have.
    """
    chosen = _chosen(given)
    return tuple(name for name, _ in _foreign(chosen, taken(CommonOptions, chosen)))


def _types(common: CommonOptions) -> tuple[type[Representation], type[Objective]]:
    return REPRESENTATIONS[common.representation][common.coding], OBJECTIVES[common.method]


def _foreign(chosen: Mapping[str, Any], common: CommonOptions) -> Iterator[tuple[str, str]]:
    """Each option of another method or representation, and whose it is, in words."""
    known = all_options()
    usable = {one.name for options in (CommonOptions, *(kind.Options for kind in _types(common)))
              for one in declared(options)}  # fmt: skip
    for name in chosen:
        if name in usable:
            continue
        owners = [owner for owned in known[name] for owner in owned.owners]
        of_method = owners[0].startswith("method ")
        here = f"method {common.method}" if of_method else f"representation {common.representation}"
        if not of_method and common.coding != CODINGS[0]:
            here += f" with coding {common.coding}"
        yield name, f"{' and '.join(owners)}, not of {here}"


def _check_start(common: CommonOptions, representation: type[Representation], start: Start) -> None:
    if representation.fitted and start.fitted and common.fit_steps == 0:
        raise InputError(
            f"with fit_steps 0 {common.representation.capitalize()} would not start from init {common.init!r} but at "
            "random: give fit_steps of at least 1, or choose init random"
        )
    if not representation.fitted and not start.varied:
        raise InputError(
            f"{common.representation} that start from one {common.init} would all stay equal: "
            "choose another init, such as real or random"
        )
