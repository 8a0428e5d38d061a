"""``gsdd-rt distill``: from real images to a distilled set."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gsdd_runtime.commands import outputs
from gsdd_runtime.commands.shared import (
    OPTIONAL_DATA,
    DataOptions,
    OverwriteOption,
    load_data,
    progress_bar,
    takes_options,
)
from gsdd_runtime.errors import InputError
from gsdd_runtime.progress import say
from gsdd_runtime.wording import counted

if TYPE_CHECKING:
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
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what a run would do, and do nothing.")] = False,
    **options: Any,
) -> None:
    """Distill a dataset into Gaussians and write one small file."""
    from gsdd_runtime.distillation import distill, plan
    from gsdd_runtime.distillation.checkpoint import checkpoint_path

    data, options = _chosen(recipe, settings or [], data, options)
    # What an earlier run left there is for the library to judge where it came to no set, or where this one goes on.
    place = outputs.Output("--out", out, outputs.DISTILLED)
    unfinished = resume or not out.exists() or checkpoint_path(out).exists()
    reads = [*data.folders(), *(Path(options[name]) for name in ("experts",) if name in options)]
    outputs.check([place], reads=reads, overwrite=overwrite or unfinished)
    if dry_run:
        print(plan(load_data(data), recipe=recipe, **options).text())
        return
    with progress_bar() as progress:
        distilled = distill(
            load_data(data, progress=progress),
            recipe=recipe,
            out=out,
            resume=resume,
            overwrite=overwrite,
            checkpoint_interval=checkpoint_interval,
            checkpoint_seconds=checkpoint_seconds,
            progress=progress,
            say=say,
            **options,
        )
    images, classes = counted(len(distilled), "image"), counted(distilled.classes, "class")
    print(f"{out}: {images} of {classes} in {out.stat().st_size} bytes")


def _words(owned: Owned) -> str:
    whose = f"[{'; '.join(owned.owners)}] " if owned.owners else ""
    return f"{whose}{owned.option.words} [default: {owned.option.default_text}]"


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
        where = "it" if recipe is None else f"recipe {recipe}, which leaves it open"
        raise InputError(f"--dataset is missing: give {where} one of those that gsdd-rt datasets lists")
    return DataOptions(**given), options


def with_options() -> Callable[..., None]:
    """:func:`command` with the options that the library declares in its signature, as Typer reads it."""
    from gsdd_runtime.distillation.options import all_options

    signature = inspect.signature(command, eval_str=True)
    parameters = [one for one in signature.parameters.values() if one.kind is not inspect.Parameter.VAR_KEYWORD]
    for name, declarations in all_options().items():
        one = declarations[0].option
        told = typer.Option(one.flag, min=one.least, max=one.most, help=" ".join(map(_words, declarations)))
        kind = Annotated[one.kind | None, told]  # type: ignore[name-defined]
        parameters.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind))

    def whole(**given: Any) -> None:
        command(**{name: value for name, value in given.items() if value is not None})

    whole.__doc__ = command.__doc__
    whole.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    whole.__annotations__ = {one.name: one.annotation for one in parameters}
    expanded: Callable[..., None] = takes_options("data", DataOptions, OPTIONAL_DATA)(whole)
    return expanded
