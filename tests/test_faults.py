"""What faults found: disks that run full in the middle of a write, memory that ends, kills (tests/faults)."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any
from unittest.mock import create_autospec

import pytest
import safetensors.torch
import torch
from refusals import check_refused
from script_folders import first_in_path
from set_files import some_set

from gsdd_runtime.atomic import atomic_path, sole_writer
from gsdd_runtime.commands.exits import exit_code
from gsdd_runtime.distillation.journal import Journal, read_log
from gsdd_runtime.errors import InputError

COMMAND = Path(__file__).parent / "faults" / "run.py"
with first_in_path(COMMAND.parent):
    from faults import Bench, killed
    from tally import PAGE, Tally, written


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler for the library that makes calls fail")
def test_commands_survive_kills_and_failing_writes(tmp_path: Path) -> None:
    """A few of each fault; ``tests/faults/run.py`` by itself injects some thousands. They are counted by command."""
    tally = Tally(tmp_path / "build" / "faults.json")
    tally.begin("an earlier run", 2)
    tally.add("compress", "no rights", Counter({"told in a line": 4}))
    words = [str(COMMAND), "--short", "--only", "distill ncfm", "experts", "compress", "--keep", str(tally.path)]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for kind in ("killed", "call failed", "no rights", "little memory", "clock set back", "two at once", "input cut"):
        assert f"  {kind}" in done.stdout
    runs = json.loads(tally.path.read_text())["runs"]
    assert [run["seed"] for run in runs] == [2, 3]
    assert {job: sum(kinds["killed"].values()) for job, kinds in runs[1]["faults"].items()} == {
        "distill ncfm": 2,
        "experts": 2,
        "compress": 2,
    }
    assert Tally(tally.path).by_kind()["no rights"] == {"told in a line": 7}
    with pytest.raises(ValueError, match="seed 3"):
        Tally(tally.path).begin("the same again", 3)


def test_kills_are_counted_until_as_many_died_as_are_asked_for(tmp_path: Path) -> None:
    """One that was over before is none of them."""
    tally = Tally(tmp_path / "faults.json")
    for seed, died in enumerate((40, 57)):
        tally.begin("an earlier run", seed)
        tally.add("fit", "killed", Counter({"killed": died, "over before": 9}))
    assert [tally.missing(job, 100) for job in ("fit", "report")] == [3, 100]
    assert tally.missing("fit", 90) == 0
    bench: Any = create_autospec(Bench, instance=True, seconds=1.0, chance=Random(1), kills=1, deaths=3)
    statuses = [0, -signal.SIGKILL, 0, -signal.SIGKILL, 0, -signal.SIGKILL, 0, 0]
    bench.disturbed.side_effect = [SimpleNamespace(status=status) for status in statuses]
    assert list(killed(bench, SimpleNamespace(name="fit"))) == ["over before", "killed"] * 3
    bench.deaths = None
    assert list(killed(bench, SimpleNamespace(name="fit"))) == ["over before"]


def test_the_page_shows_the_faults_that_were_kept() -> None:
    """``python tests/faults/tally.py`` writes it."""
    page = PAGE.read_text()
    assert written(page, Tally()) == page
    assert "| SIGKILL at a random moment" in page


def test_a_log_holds_whole_records_after_a_disk_was_full_in_the_middle_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path / "set.log.jsonl")
    journal.write("start", options={})
    write = os.write

    def full(descriptor: int, data: bytes) -> int:
        write(descriptor, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for failing in (full, lambda descriptor, data: write(descriptor, data[: len(data) // 2])):
        with monkeypatch.context() as patched:
            patched.setattr(os, "write", failing)
            check_refused(lambda: journal.write("note", text="half of this"), "cannot write", "set.log.jsonl")
    journal.write("failed", error="no space")
    journal.close()
    assert [record["record"] for record in read_log(tmp_path / "set.log.jsonl")] == ["start", "failed"]


@pytest.mark.parametrize("call", ["ftruncate", "pwrite"])
def test_no_lock_stays_where_its_file_cannot_be_written(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    with monkeypatch.context() as patched:
        patched.setattr(os, call, full)
        with pytest.raises(InputError, match="Disk quota exceeded"), sole_writer(tmp_path / "set.safetensors"):
            pass
    assert list(tmp_path.iterdir()) == []
    with sole_writer(tmp_path / "set.safetensors"):
        pass


def test_what_a_library_leaves_beside_its_file_goes_with_it(tmp_path: Path) -> None:
    """safetensors writes under a name of its own first: nobody would know that one after a kill."""
    out = tmp_path / "set.safetensors"

    def full() -> None:
        with atomic_path(out) as temporary:
            temporary.with_name(".tmpAbc").write_bytes(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    check_refused(full, "No space left")
    assert list(tmp_path.iterdir()) == []
    kept = atomic_path(out)
    temporary = kept.__enter__()
    safetensors.torch.save_file({"a": torch.zeros(3)}, temporary)
    temporary.with_name(".tmpAbc").write_bytes(b"half")
    # What a kill would leave, and the next writer finds.
    assert [path.name.startswith(".set.safetensors.") for path in tmp_path.iterdir()] == [True]
    with sole_writer(out):
        some_set().save(out)
    assert list(tmp_path.iterdir()) == [out]
    with pytest.raises(InputError):
        kept.__exit__(None, None, None)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        MemoryError("Unable to allocate 1.00 TiB for an array"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried 9"),
        RuntimeError("can't start new thread"),
        RuntimeError("could not create a primitive"),
        OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    ],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_memory_that_ends_is_told_in_a_line(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        raise error

    assert exit_code("gsdd-rt", work) == 1
    err = capsys.readouterr().err
    assert err.startswith("gsdd-rt: there is too little memory (")
    assert len(err.splitlines()) == 1


def test_other_errors_keep_their_traceback() -> None:
    def work() -> None:
        raise RuntimeError("a mistake of ours")

    with pytest.raises(RuntimeError, match="a mistake of ours"):
        exit_code("gsdd-rt", work)
