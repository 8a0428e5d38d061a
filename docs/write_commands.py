"""Writes docs/commands.md from the commands themselves: `make commands`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from typer.main import get_command

from gsdd_runtime.commands.cli import app
from gsdd_runtime.commands.help import COMMANDS, section_of

PAGE = Path(__file__).parent / "commands.md"
HEAD = """\
# Commands

Made from the code by `make commands`; `gsdd-rt COMMAND --help` tells the same of the version at hand. Results go to
stdout, progress and errors to stderr. Exit codes: 0 done, 2 wrong use or bad input, 1 anything else.
"""


def text() -> str:
    """The page: every command with its arguments and options, grouped as in its help."""
    group: Any = get_command(app)
    parts = [HEAD]
    with group.make_context("gsdd-rt", ["doctor"]) as parent:
        for title, names in COMMANDS.items():
            parts.append(f"## {title}\n")
            parts += [_command(name, group.commands[name], parent) for name in names]
    return "\n".join(parts)


def _command(name: str, command: Any, parent: Any) -> str:
    context = type(parent)(command, info_name=name, parent=parent)
    usage = " ".join(["gsdd-rt", name, *command.collect_usage_pieces(context)])
    sections: dict[str, list[str]] = {}
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and parameter.name != "help":
            sections.setdefault(section_of(parameter), []).append(_row(*record))
    help_text = " ".join((command.help or "").split())
    lines = [f"### {name}\n", f"```text\n{usage}\n```\n", f"{_escaped(help_text)}\n"]
    for title, rows in sections.items():
        lines += [f"| {title} | |", "|---|---|", *rows, ""]
    return "\n".join(lines)


def _row(left: str, right: str) -> str:
    return f"| {_code(left)} | {_escaped(' '.join(right.split()))} |"


def _code(words: str) -> str:
    return "`" + " ".join(words.split()).replace("|", "\\|") + "`"


def _escaped(words: str) -> str:
    for sign in "\\|<>*_[]":
        words = words.replace(sign, "\\" + sign)
    return words


if __name__ == "__main__":
    PAGE.write_text(text())
