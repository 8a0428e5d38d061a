"""``gsdd-rt completion``: what makes a shell complete its commands and options."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer

# The shell asks through it; Typer's scripts are made with it.
VARIABLE = "_GSDD_RT_COMPLETE"


class Shell(str, Enum):
    """Those that Typer has a script for."""

    bash = "bash"
    zsh = "zsh"
    fish = "fish"


def command(shell: Annotated[Shell, typer.Argument(help="Which one it is for.")]) -> None:
    """Print the script that makes a shell complete commands and options.

    For bash: gsdd-rt completion bash >> ~/.bashrc. For zsh: the same to ~/.zshrc. For fish: to
    ~/.config/fish/completions/gsdd-rt.fish.
    """
    from typer.completion import get_completion_script  # type: ignore[attr-defined]

    print(get_completion_script(prog_name="gsdd-rt", complete_var=VARIABLE, shell=shell.value))


def prepare() -> None:
    """Before a command line that a shell may have sent to be completed."""
    from typer._completion_classes import completion_init

    completion_init()
