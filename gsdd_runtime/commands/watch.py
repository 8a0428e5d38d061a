"""``gsdd-rt watch``: a run in the browser or in a terminal, while it lasts."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gsdd_runtime.errors import InputError
from gsdd_runtime.progress import say

if TYPE_CHECKING:
    from gsdd_runtime.commands.watch_server import RunView

# Between two looks at whether the run goes on; and how long its page may still be asked for afterwards.
SECONDS = 1.0
GRACE = 10.0


def command(
    path: Annotated[Path, typer.Argument(metavar="RUN", help="The set that a gsdd-rt distill is making: its --out.")],
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="At this port. [default: any that is free]")
    ] = None,
    terminal: Annotated[
        bool, typer.Option("--terminal", help="In this terminal instead; a line a record where stdout is none.")
    ] = False,
) -> None:
    """Show a running distillation in the browser: its losses, and its images as of the last checkpoint.

    Answers on this machine alone (127.0.0.1), under an address that nobody can guess, and stops with the run.
    """
    from gsdd_runtime.commands.watch_server import RunView

    if terminal and port is not None:
        raise InputError("--port is the page's, and --terminal shows none: leave one of them out")
    view = RunView(path)
    view.check()
    if not terminal:
        _serve(view, port or 0)
    elif sys.stdout.isatty():
        _draw(view)
    else:
        _print(view)
    say(f"the run of {path} has ended")


def _serve(view: RunView, port: int) -> None:
    from gsdd_runtime.commands.watch_server import WatchServer

    with WatchServer(view, port) as server:
        print(server.address, flush=True)
        say(f"watching {view.out}: open that address in a browser on this machine; Ctrl-C leaves the run alone")
        while not view.ended():
            time.sleep(SECONDS)
        # The page asks every two seconds, and is told of the end once.
        end = time.monotonic() + GRACE
        while not server.told_end and time.monotonic() < end:
            time.sleep(SECONDS / 10)


def _draw(view: RunView) -> None:
    """The view of a terminal, drawn anew in place; it stands there when the run has ended."""
    from rich.console import Console
    from rich.live import Live

    from gsdd_runtime.reports.terminal import RunText

    with Live(console=Console(), auto_refresh=False, vertical_overflow="crop") as live:
        going = True
        while going:
            # Asked first: what is read afterwards is then the whole of it.
            going = not view.ended()
            live.update(RunText(view.name, view.records(), ended=not going), refresh=True)
            if going:
                time.sleep(SECONDS)


def _print(view: RunView) -> None:
    """A line for the last record of a step, and for each that follows; one of how it ended."""
    from gsdd_runtime.reports.account import run_status
    from gsdd_runtime.reports.terminal import step_line

    told: list[str] = []
    going = True
    while going:
        going = not view.ended()
        records = view.records()
        lines = [step_line(record) for record in records if record["record"] == "step"]
        # A run that goes on from a checkpoint takes lines back and writes them again.
        new = lines[len(told) :] if told and lines[: len(told)] == told else lines[-1:]
        for line in new if lines != told else []:
            print(line, flush=True)
        told = lines
        if going:
            time.sleep(SECONDS)
    print(run_status(records, ended=True), flush=True)
