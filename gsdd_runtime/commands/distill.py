"""``gsdd-rt distill``: from real images to a distilled set."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gsdd_runtime import ranks
from gsdd_runtime.commands import outputs
from gsdd_runtime.commands.progress_lines import progress_bar
from gsdd_runtime.commands.shared import (
    OPTIONAL_DATA,
    DataOptions,
    OverwriteOption,
    load_data,
    takes_options,
)
from gsdd_runtime.errors import InputError
from gsdd_runtime.formats import seed_path
from gsdd_runtime.progress import say
from gsdd_runtime.wording import counted

if TYPE_CHECKING:
    from gsdd_runtime.distillation.choosing import Choosing
    from gsdd_runtime.distillation.options import Owned


def command(
    data: DataOptions,
    out: Annotated[Path, typer.Option("--out", metavar="SET", help="The file to write (.safetensors).")],
    checkpoint_interval: Annotated[int, typer.Option(min=1, help="Steps between checkpoints.")] = 100,
    checkpoint_seconds: Annotated[float, typer.Option(help="Write a checkpoint at least as often.")] = 60.0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where an interrupted run stopped.")] = False,
    overwrite: OverwriteOption = False,
    recipe: Annotated[
        str | None, typer.Option("--recipe", help="All options by one name; gsdd-rt recipes lists them.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="key=value", help="In place of what the recipe says.")
    ] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Make so many sets, from --seed on, and one table.")] = None,
    eval_every: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Judge the set every N steps, and keep the best beside it.")
    ] = None,
    eval_on: Annotated[
        str | None,
        typer.Option(
            help="Judge on held-out training images, or on test: then the best is no figure for them. "
            "[default: held-out]"
        ),
    ] = None,
    eval_epochs: Annotated[
        int | None, typer.Option(min=1, help="Of the one network that judges. [default: 100]")
    ] = None,
    picture_every: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Draw a picture every N steps, into a folder beside the set.")
    ] = None,
    tensorboard: Annotated[
        Path | None, typer.Option("--tensorboard", metavar="DIR", help="Write TensorBoard's files there too.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what a run would do, and do nothing.")] = False,
    **options: Any,
) -> None:
    """Distill a dataset into Gaussians and write one small file."""
    resume = resume or ranks.restarted()
    from gsdd_runtime.commands.several import run_document, table
    from gsdd_runtime.distillation import distill, plan
    from gsdd_runtime.distillation.checkpoint import checkpoint_path

    data, options = _chosen(recipe, settings or [], data, options)
    choosing = _choosing(eval_every, eval_on, eval_epochs, options)
    outs = _outs(out, seeds, options)
    reads = [*data.folders(), *(Path(options[name]) for name in ("experts", "teacher") if name in options)]
    # What an earlier run left there is for the library to judge where it came to no set, or where this one goes on.
    for kept in (True, False):
        places = [
            outputs.Output("--out", place, outputs.DISTILLED if choosing is None else outputs.JUDGED)
            for place in outs.values()
            if (place.exists() and not resume and not checkpoint_path(place).exists()) == kept
        ]
        outputs.check(places, reads=reads, overwrite=overwrite or not kept)
    if tensorboard is not None:
        outputs.check_folder("--tensorboard", tensorboard, reads=reads, kind=outputs.RUNS)
    ranks.joined().wait()
    if dry_run:
        print(plan(load_data(data), recipe=recipe, **options).text())
        return
    with progress_bar() as progress:
        real = load_data(data, progress=progress)
        documents = []
        for seed, place in outs.items():
            distilled = distill(
                real,
                recipe=recipe,
                out=place,
                resume=resume,
                overwrite=overwrite,
                checkpoint_interval=checkpoint_interval,
                checkpoint_seconds=checkpoint_seconds,
                progress=progress,
                say=say,
                choosing=choosing,
                picture_every=picture_every,
                tensorboard=tensorboard,
                **{**options, **({} if seed is None else {"seed": seed})},
            )
            documents.append(run_document(place, distilled))
    if not ranks.joined().first:
        return
    if seeds is not None or choosing is not None:
        print(table(documents))
        return
    images, classes = counted(len(distilled), "image"), counted(distilled.classes, "class")
    print(f"{out}: {images} of {classes} in {out.stat().st_size} bytes")


def _choosing(every: int | None, on: str | None, epochs: int | None, options: dict[str, Any]) -> Choosing | None:
    """How sets are judged on the way; sees to it that images are held out where they are to be."""
    from gsdd_runtime.evaluation.light import DEFAULT_EPOCHS, DEFAULT_HELD_OUT, HELD_OUT, light_choosing

    if every is None:
        for name, value in (("--eval-on", on), ("--eval-epochs", epochs)):
            if value is not None:
                raise InputError(f"{name} is of judging on the way: give --eval-every too")
        return None
    made = light_choosing(
        every, on=on or HELD_OUT, epochs=epochs or DEFAULT_EPOCHS, device=options.get("device") or "auto"
    )
    if not made.on_test:
        options.setdefault("held_out", DEFAULT_HELD_OUT)
    return made


def _outs(out: Path, seeds: int | None, options: dict[str, Any]) -> dict[int | None, Path]:
    """Where the set of each seed goes; one seed is not named where no number of them is asked for."""
    if seeds is None:
        return {None: out}
    first = int(options.get("seed") or 0)
    return {seed: seed_path(out, seed) for seed in range(first, first + seeds)}


def _words(owned: Owned) -> str:
    whose = f"[{'; '.join(owned.owners)}] " if owned.owners else ""
    return f"{whose}{owned.option.words} [default: {owned.option.default_text}]"


def _section(declarations: Iterable[Owned]) -> str:
    """The part of the help that an option stands in, by whose it is."""
    owners = [owner for owned in declarations for owner in owned.owners]
    if not owners:
        return "Distilling, every run"
    of_images = any(owner.startswith("representation") for owner in owners)
    return "Distilling, by --representation" if of_images else "Distilling, by --method"


def _chosen(
    recipe: str | None, settings: list[str], data: DataOptions, options: dict[str, Any]
) -> tuple[DataOptions, dict[str, Any]]:
    """The options of data and those given of distilling, once ``--set`` and the recipe are heeded.

    Raises:
        InputError: a setting without a recipe, or given twice; no dataset.
    """
    from gsdd_runtime.distillation.recipes import DATA, load_recipe, setting_of

    given = {name: value for name, value in vars(data).items() if value is not None}
    for name, value in map(setting_of, settings):
        if recipe is None:
            raise InputError(f"--set: {name} changes a recipe: give --recipe, or --{name.replace('_', '-')} alone")
        place = given if name in DATA else options
        if place.get(name, value) != value:
            raise InputError(f"{name} is given twice, as {place[name]} and {value}: leave one out")
        place[name] = value
    if recipe is not None:
        known = load_recipe(recipe).data
        for name in known:
            if given.get(name, known[name]) != known[name]:
                say(f"recipe {recipe} with {name} {given[name]} in place of {known[name]}")
        given = {**known, **given}
    if "dataset" not in given:
        why = "--dataset is missing" if recipe is None else f"recipe {recipe} leaves the real data open: give --dataset"
        raise InputError(f"{why}: gsdd-rt datasets lists what there is")
    return DataOptions(**given), options


def with_options() -> Callable[..., None]:
    """:func:`command` with the options that the library declares in its signature, as Typer reads it."""
    from gsdd_runtime.distillation.options import all_options

    signature = inspect.signature(command, eval_str=True)
    parameters = [one for one in signature.parameters.values() if one.kind is not inspect.Parameter.VAR_KEYWORD]
    for name, declarations in all_options().items():
        one = declarations[0].option
        told = typer.Option(
            one.flag,
            min=one.least,
            max=one.most,
            help=" ".join(map(_words, declarations)),
            rich_help_panel=_section(declarations),
        )
        kind = Annotated[one.kind | None, told]  # type: ignore[name-defined]
        parameters.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind))

    def whole(**given: Any) -> None:
        command(**{name: value for name, value in given.items() if value is not None})

    whole.__doc__ = command.__doc__
    whole.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    whole.__annotations__ = {one.name: one.annotation for one in parameters}
    expanded: Callable[..., None] = takes_options("data", DataOptions, OPTIONAL_DATA)(whole)
    return expanded
