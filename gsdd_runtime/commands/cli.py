"""``gsdd-rt``: the command line.

Exit codes: 0 done, 2 wrong use or bad input (one line on stderr), 1 anything else. Results go to stdout, progress and
errors to stderr.
"""

from __future__ import annotations

import os
import re
import sys
from contextlib import redirect_stdout
from functools import cached_property
from typing import Any

import typer
from typer.main import get_command

from gsdd_runtime import ranks
from gsdd_runtime.commands import (
    baseline,
    bench,
    completion,
    compress,
    datasets,
    decode,
    distill,
    doctor,
    evaluate,
    experts,
    export,
    fit,
    importing,
    info,
    merge,
    networks,
    rank,
    recipes,
    relabel,
    report,
    select,
    train,
    verify,
    watch,
    whiten,
)
from gsdd_runtime.commands.exits import exit_code, fail, why
from gsdd_runtime.commands.help import Command, Group
from gsdd_runtime.errors import GsddError, InputError
from gsdd_runtime.versions import VERSION


class _Group(Group):
    """Makes Ctrl-C an error of ours: Typer would end with 130 and lose what there is to say."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as interruption:
            raise GsddError(why(interruption)) from interruption


class _Distill(Command):
    """Its options are the library's, which takes a second to load: they are asked for when the command is used."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **{**settings, "params": [], "callback": None})

    @cached_property
    def _whole(self) -> Any:
        whole = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
        whole.command("distill")(distill.with_options())
        return get_command(whole)

    @property
    def params(self) -> Any:
        return self._whole.params

    @params.setter
    def params(self, none: Any) -> None:
        pass

    @property
    def callback(self) -> Any:
        return self._whole.callback

    @callback.setter
    def callback(self, none: Any) -> None:
        pass


app = typer.Typer(
    cls=_Group,
    name="gsdd-rt",
    help="Distill an image dataset into 2D Gaussians, and decode them wherever people train and serve.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

# Without its options, which the class above puts in.
app.command("distill", cls=_Distill, help=distill.command.__doc__)(lambda: None)

for module, name in (
    (experts, "experts"),
    (evaluate, "eval"),
    (baseline, "baseline"),
    (verify, "verify"),
    (rank, "rank"),
    (train, "train"),
    (compress, "compress"),
    (fit, "fit"),
    (importing, "import"),
    (select, "select"),
    (merge, "merge"),
    (relabel, "relabel"),
    (whiten, "whiten"),
    (export, "export"),
    (decode, "decode"),
    (report, "report"),
    (watch, "watch"),
    (info, "info"),
    (datasets, "datasets"),
    (networks, "networks"),
    (recipes, "recipes"),
    (bench, "bench"),
    (doctor, "doctor"),
    (completion, "completion"),
):
    app.command(name, cls=Command)(module.command)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"gsdd-rt {VERSION}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_print_version, is_eager=True, help="Print the version."),
) -> None:
    pass


# What several processes can share.
SHARED = ("distill", "experts", "fit", "relabel", "eval")


def run(arguments: list[str]) -> int:
    """Runs one command line and returns its exit code; as one of several processes where torchrun started them."""
    if not ranks.launched():
        return _run_alone(arguments)
    if arguments[:1] and arguments[0] not in SHARED:
        lonely = InputError(f"{arguments[0]} runs in one process: start it without torchrun, or {', '.join(SHARED)}")
        return fail("gsdd-rt", str(lonely), 2) if os.environ.get("RANK") == "0" else 2
    with ranks.joining() as together, open(os.devnull, "w") as nowhere:
        if together.first:
            return _run_alone(arguments)
        with redirect_stdout(nowhere):
            return _run_alone(arguments)


def _run_alone(arguments: list[str]) -> int:
    try:
        return exit_code("gsdd-rt", lambda: _typer(arguments))
    except typer.Abort:
        return fail("gsdd-rt", "aborted", 1)
    except Exception as error:
        # Wrong usage: Typer carries its own copy of click's exceptions, so they are known by shape, not by class.
        if not hasattr(error, "format_message"):
            raise
        return fail("gsdd-rt", _usage(error, arguments), 2)


def _typer(arguments: list[str]) -> object:
    return get_command(app).main(export.fill_omitted_outputs(arguments), prog_name="gsdd-rt", standalone_mode=False)


def _usage(error: Exception, arguments: list[str]) -> str:
    message = error.format_message()  # type: ignore[attr-defined]
    context = getattr(error, "ctx", None)
    where = context.command_path if context is not None else "gsdd-rt"
    # "Invalid value for '--ipc'" does not say which value.
    quoted = re.search(r"for '(--[\w-]+)'", message)
    if quoted and quoted[1] in arguments[:-1]:
        value = arguments[arguments.index(quoted[1]) + 1]
        message = message.replace(quoted[0], f"{quoted[0]}, {value!r}")
    return f"{message.rstrip('.')}; see `{where} --help`"


def main() -> None:
    """The entry point of the command."""
    if completion.VARIABLE in os.environ:
        completion.prepare()
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
