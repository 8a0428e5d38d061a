"""``gsdd-rt watch --terminal``: what a terminal shows of a run, what a pipe is told, and that both end with it."""

from __future__ import annotations

import io
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from gsdd_runtime.commands.cli import run
from gsdd_runtime.formats import log_path
from gsdd_runtime.reports.account import run_status
from gsdd_runtime.reports.terminal import RunText, curve_lines, step_line

START = {"record": "start", "data": {"name": "fashion-mnist-sample"}}


def step(number: int, loss: float | str, phase: str = "match", **more: Any) -> dict[str, Any]:
    return {"record": "step", "phase": phase, "step": number, "total": 400, "loss": loss, "parts": {"penalty": 0.0625},
            "learned": {}, "learning_rate": 0.004, "steps_per_second": 3.5, "images_per_second": 2782.6,
            "memory_bytes": 400_000_000, "device_memory_bytes": None, "seconds_left": 90.0, **more}  # fmt: skip


def shown(records: list[dict[str, Any]], *, ended: bool = False, **options: Any) -> str:
    console = Console(file=io.StringIO(), width=60, **options)
    console.print(RunText("set", records, ended=ended))
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_a_terminal_shows_where_a_run_stands() -> None:
    judged = {"record": "judged", "phase": "match", "step": 50, "accuracy": 0.5}
    lines = shown([START, step(1, 9.0, "fit"), step(1, 8.0), judged, step(100, 2.0)], force_terminal=True,
                  color_system=None).splitlines()  # fmt: skip
    assert lines[0] == "set  The run is matching: step 100 of 400, about 90 s left."
    assert (lines[1].count("━"), lines[1].split()[-2:]) == (13, ["25", "%"])
    assert [" ".join(line.split()) for line in lines[2:8]] == [
        "loss 2", "penalty 0.0625", "learning rate 0.004", "steps a second 3.5", "images a second 2,783",
        "memory 0.4 GB",
    ]  # fmt: skip
    # The curve of this phase alone, and the accuracies.
    assert [line for line in lines[8:] if "," in line] == ["Loss, matching", "Accuracy on the way, %"]
    assert max(map(len, lines)) <= 60
    assert shown([]) == "set  The run begins.\n"


def test_a_curve_goes_through_its_points() -> None:
    falling = curve_lines([[0, 100.0], [10, 10.0], [20, 1.0]], 15, 6, log=True, braille=False)
    # On a logarithmic scale a straight line.
    assert falling == [
        "100 **",
        "      **",
        "        ***",
        "           **",
        "  1          **",
        "    0        20",
    ]
    linear = curve_lines([[0, 100.0], [10, 10.0], [20, 1.0]], 15, 6, log=False, braille=False)
    assert linear != falling
    assert linear[0].startswith("100 *")
    # Eight dots a character: a line from corner to corner.
    assert curve_lines([[1, 2.0], [2, 1.0]], 6, 3, log=True) == ["2 ⠑⢄", "1   ⠑⢄", "  1  2"]
    assert curve_lines([[7, 3.0]], 20, log=True)[-1].split() == ["7", "7"]
    assert len(curve_lines([[1, -1.0], [5, 0.0]], 20, log=True)) == 8


def test_a_terminal_without_braille_gets_stars() -> None:
    text = shown([step(1, 8.0), step(100, 2.0)])
    assert any(0x2800 < ord(character) < 0x2900 for character in text)

    class Latin(io.StringIO):
        encoding = "latin-1"

    console = Console(file=Latin(), width=60)
    console.print(RunText("set", [step(1, 8.0), step(100, 2.0)]))
    plain = console.file.getvalue()  # type: ignore[attr-defined]
    assert plain.encode("latin-1", "strict")
    assert "*" in plain


def test_a_line_tells_loss_parts_rates_and_what_is_no_number() -> None:
    assert step_line(step(40, "nan", learned={"scale": 0.5})) == (
        "matching: step 40 of 400, loss nan, penalty 0.0625, scale 0.5, learning rate 0.004, steps a second 3.5, "
        "images a second 2,783, memory 0.4 GB"
    )


def test_a_run_that_is_gone_says_so() -> None:
    assert run_status([step(40, 1.0)], ended=True) == "The run is gone. It was matching: step 40 of 400."
    assert run_status([START], ended=True) == "The run is gone, before its first step."
    assert run_status([step(40, 1.0), {"record": "end", "total_seconds": 3}], ended=True).startswith(
        "The run has ended"
    )


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A run that goes on: its log has no end, and its lock names a process that lives."""
    out = tmp_path / "set.safetensors"
    out.with_name(f".{out.name}.lock").write_text(f"{os.getpid()}\n")
    write(out, START, step(1, 9.0), step(2, 8.0))
    return out


def write(out: Path, *records: dict[str, Any]) -> None:
    with open(log_path(out), "ab") as log:
        log.write(b"".join(json.dumps(record).encode() + b"\n" for record in records))


def meanwhile(monkeypatch: pytest.MonkeyPatch, *happenings: Callable[[], object]) -> None:
    """What happens in place of each wait; one more would be an error."""
    waits = iter(happenings)
    monkeypatch.setattr(time, "sleep", lambda seconds: next(waits)())


def test_a_pipe_gets_a_line_a_record_until_the_run_ends(
    out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def resumed() -> None:
        log_path(out).write_bytes(b"")
        write(out, START, step(1, 9.0), step(2, 7.0))

    meanwhile(
        monkeypatch,
        lambda: write(out, step(3, 7.0), step(4, 6.0)),
        lambda: None,
        resumed,
        lambda: write(out, step(5, 5.0), {"record": "end", "total_seconds": 3}),
    )
    assert run(["watch", str(out), "--terminal"]) == 0
    told = capsys.readouterr()
    losses = [line.split("loss ")[1].split(",")[0] for line in told.out.splitlines() if "loss" in line]
    assert losses == ["8", "7", "6", "7", "5"]
    assert told.out.splitlines()[-1] == "The run has ended, after 3 s."
    assert f"the run of {out} has ended" in told.err


def test_a_terminal_is_drawn_anew_until_the_run_ends(
    out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "70")
    meanwhile(monkeypatch, lambda: write(out, step(4, 6.0)), lambda: write(out, {"record": "end", "total_seconds": 3}))
    assert run(["watch", str(out), "--terminal"]) == 0
    told = capsys.readouterr().out
    places = [told.index(words) for words in ("step 2 of 400", "step 4 of 400", "The run has ended, after 3 s.")]
    assert places == sorted(places)
    assert "\x1b[" in told


def test_a_page_has_a_port_and_a_terminal_none(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["watch", str(out), "--terminal", "--port", "8017"]) == 2
    assert "leave one of them out" in capsys.readouterr().err
    assert run(["watch", str(out.with_name("none.safetensors")), "--terminal"]) == 2
    assert "is not there" in capsys.readouterr().err
