"""``gsdd-rt watch``: a run in the browser, while it lasts."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from gsdd_runtime.progress import say

# Between two looks at whether the run goes on; and how long its page may still be asked for afterwards.
SECONDS = 1.0
GRACE = 10.0


def command(
    path: Annotated[Path, typer.Argument(metavar="RUN", help="The set that a gsdd-rt distill is making: its --out.")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="At this port. [default: any that is free]")] = 0,
) -> None:
    """Show a running distillation in the browser: its losses, and its images as of the last checkpoint.

    Answers on this machine alone (127.0.0.1), under an address that nobody can guess, and stops with the run.
    """
    from gsdd_runtime.commands.watch_server import RunView, WatchServer

    view = RunView(path)
    view.check()
    with WatchServer(view, port) as server:
        print(server.address, flush=True)
        say(f"watching {path}: open that address in a browser on this machine; Ctrl-C leaves the run alone")
        while not view.ended():
            time.sleep(SECONDS)
        # The page asks every two seconds, and is told of the end once.
        end = time.monotonic() + GRACE
        while not server.told_end and time.monotonic() < end:
            time.sleep(SECONDS / 10)
    say(f"the run of {path} has ended")
