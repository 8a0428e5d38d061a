"""``gsdd-rt distill``: from real images to a distilled set."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gsdd_runtime.commands import outputs
from gsdd_runtime.commands.shared import (
    DataOptions,
    OverwriteOption,
    load_data,
    progress_bar,
    takes_data,
)
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
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what a run would do, and do nothing.")] = False,
    **options: Any,
) -> None:
    """Distill a dataset into Gaussians and write one small file."""
    from gsdd_runtime.distillation import distill, plan
    from gsdd_runtime.distillation.checkpoint import checkpoint_path

    # What an earlier run left there is for the library to judge where it came to no set, or where this one goes on.
    place = outputs.Output("--out", out, outputs.DISTILLED)
    unfinished = resume or not out.exists() or checkpoint_path(out).exists()
    reads = [*data.folders(), *(Path(options[name]) for name in ("experts",) if name in options)]
    outputs.check([place], reads=reads, overwrite=overwrite or unfinished)
    if dry_run:
        print(plan(load_data(data), **options).text())
        return
    with progress_bar() as progress:
        distilled = distill(
            load_data(data, progress=progress),
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
    expanded: Callable[..., None] = takes_data()(whole)
    return expanded
