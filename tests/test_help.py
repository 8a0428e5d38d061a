"""Help: what to do next, commands and options by what they decide, abbreviations, completion."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
from typer.main import get_command

from gsdd_runtime.commands.cli import app, run
from gsdd_runtime.commands.help import ABBREVIATIONS, COMMANDS

NAMES = list(get_command(app).commands)  # type: ignore[attr-defined]


def helped(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert run([*words, "--help"]) == 0
    return capsys.readouterr().out


def sections(text: str) -> dict[str, str]:
    """Each titled part of a help text."""
    parts = re.split(r"^(\S[^\n]*):$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_alone_it_says_what_to_do_next(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    lines = [line.split() for line in captured.out.splitlines() if line.startswith("    gsdd-rt ")]
    assert len(lines) == 4
    for words in lines:
        command = get_command(app).commands[words[1]]  # type: ignore[attr-defined]
        command.make_context(words[1], words[2:])


def test_every_command_stands_in_one_part_of_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert sorted(name for names in COMMANDS.values() for name in names) == sorted(NAMES)
    text = helped(capsys)
    assert list(sections(text))[1:] == list(COMMANDS)
    for name in NAMES:
        assert text.count(f"\n  {name}  ") == 1


@pytest.mark.parametrize("name", NAMES)
def test_every_option_is_told_once(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    # Without the description, whose lines may begin with the name of an option.
    text = "".join(sections(helped(capsys, name)).values())
    for parameter in get_command(app).commands[name].params:  # type: ignore[attr-defined]
        if parameter.param_type_name == "option":
            assert len(re.findall(rf"^  (?:.*, )?{parameter.opts[0]}\b(?!-)", text, re.MULTILINE)) == 1


def test_options_stand_by_what_they_decide(capsys: pytest.CaptureFixture[str]) -> None:
    found = sections(helped(capsys, "distill"))
    assert "--zca" in found["Real data"]
    assert "--out" in found["What is written"]
    assert "--ipc" in found["Distilling, every run"]
    assert "--frequencies" in found["Distilling, by --method"]
    assert "--downscale" in found["Distilling, by --representation"]
    assert "--resume" in found["Options"]
    assert "--epochs" in sections(helped(capsys, "eval"))["Networks and their training"]


def test_abbreviations_are_told_where_they_are_used(capsys: pytest.CaptureFixture[str]) -> None:
    distilling = sections(helped(capsys, "distill"))["Abbreviations"]
    for name in ("IPC", "GPC", "dm", "tm", "DSA", "ZCA"):
        assert re.search(rf"^  {name}  ", distilling, re.MULTILINE), name
    assert "GPC" not in sections(helped(capsys, "relabel")).get("Abbreviations", "")
    whole = "".join(helped(capsys, name) for name in NAMES)
    for name in ABBREVIATIONS:
        assert re.search(rf"^  {name}  ", whole, re.MULTILINE), f"{name} is explained nowhere"


@pytest.mark.parametrize(
    ("line", "wanted"), [("gsdd-rt rep", "report"), ("gsdd-rt distill --boun", "--boundary-weight")]
)
def test_a_shell_completes_commands_and_options(line: str, wanted: str) -> None:
    environment = {**os.environ, "_GSDD_RT_COMPLETE": "complete_bash", "COMP_WORDS": line,
                   "COMP_CWORD": str(len(line.split()) - 1)}  # fmt: skip
    command = [sys.executable, "-m", "gsdd_runtime.commands.cli"]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert ran.stdout.split() == [wanted]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "_GSDD_RT_COMPLETE" in script
    if shell == "bash":
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)
