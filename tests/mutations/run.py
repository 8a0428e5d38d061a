"""Applies each mutation to a copy of the package, runs the tests that it names, and tells whether they noticed.

    python tests/mutations/run.py               all of them (make mutations)
    python tests/mutations/run.py --short       the list that CI runs
    python tests/mutations/run.py half seed     those with one of the words in their name

Everything that is slow to import is imported once; each mutation is tried in a process forked from there, on a copy of
its own. The checkout is only read. Exits 1 where a mutation went unnoticed, where one does not fit the code any more,
and where the named tests do not pass on the unchanged code.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import py_compile
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

# A process that a test spawns runs this file anew, with the folders of other scripts in its path.
sys.path.insert(0, str(Path(__file__).parent))

from all_mutations import MUTATIONS
from copied_package import FOLDERS, SITECUSTOMIZE
from mutation import CHECKOUT, Mutation, StaleError, check, mutated, place_in

TESTS_FAILED, PASSED, ELSEWHERE, OUT_OF_TIME = 1, 0, 98, 99
SECONDS = 300


@dataclass
class Trial:
    """A process that runs tests on a copy, changed by ``mutation`` or unchanged."""

    mutation: Mutation | None
    folder: Path
    process: int
    started: float

    @property
    def output(self) -> Path:
        return self.folder / "output.txt"


def make_copy(folder: Path) -> Path:
    """The package as it would be installed, compiled, in ``folder``."""
    copy = folder / "package"
    for source, place in FOLDERS.items():
        shutil.copytree(CHECKOUT / source, copy / place, ignore=shutil.ignore_patterns("__pycache__"))
    spec = find_spec("gsdd_runtime")
    assert spec is not None
    for installed in map(Path, spec.submodule_search_locations or ()):
        for name in ("lib", "op_contract.json"):
            if (installed / name).exists() and not (copy / "gsdd_runtime" / name).exists():
                (copy / "gsdd_runtime" / name).symlink_to(installed / name)
    # By the content's hash: a changed file is compiled anew even within the same second.
    compileall.compile_dir(copy, quiet=1, invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH)
    return copy


def start(mutation: Mutation | None, tests: Sequence[str], copy: Path, folder: Path) -> Trial:
    """Forks a process that runs ``tests`` on a copy of ``copy``."""
    folder.mkdir()
    own = folder / "package"
    shutil.copytree(copy, own, symlinks=True)
    (own / "sitecustomize.py").write_text(SITECUSTOMIZE.format(copy=str(own)))
    if mutation is not None:
        path = place_in(own, mutation.file)
        path.write_text(mutated(mutation, path.read_text()))
    process = os.fork()
    if process == 0:
        os._exit(_run_tests(tests, own, folder))
    return Trial(mutation, folder, process, time.monotonic())


def _run_tests(tests: Sequence[str], copy: Path, folder: Path) -> int:
    """In the forked process: pytest's exit status, or ``ELSEWHERE`` where it was not the copy that was tested."""
    import pytest

    output = os.open(folder / "output.txt", os.O_WRONLY | os.O_CREAT)
    for stream in (1, 2):
        os.dup2(output, stream)
    exec(SITECUSTOMIZE.format(copy=str(copy)), {})
    os.environ["PYTHONPATH"] = str(copy)
    os.chdir(CHECKOUT)
    options = ["-x", "-q", "--tb=short", "--disable-warnings", "-p", "no:cacheprovider", f"--basetemp={folder / 'tmp'}"]
    status = int(pytest.main([*options, *(f"tests/{test}" for test in tests)]))
    face = sys.modules.get("gsdd_runtime")
    if face is None or not str(face.__file__).startswith(str(copy)):
        return ELSEWHERE
    ours = (str(copy), str(CHECKOUT / "tests"))
    modules = [
        name for name, module in list(sys.modules.items())
        if (file := getattr(module, "__file__", None)) and not file.startswith(ours)
    ]  # fmt: skip
    (folder / "modules.json").write_text(json.dumps(modules))
    sys.stdout.flush()
    return status


def finish(running: list[Trial], seconds: float = SECONDS) -> tuple[Trial, int]:
    """Waits until one of ``running`` has ended; takes it off the list, and returns it with its exit status."""
    while True:
        for trial in running:
            ended, status = os.waitpid(trial.process, os.WNOHANG)
            late = not ended and time.monotonic() - trial.started > seconds
            if late:
                os.kill(trial.process, 9)
                os.waitpid(trial.process, 0)
            if ended or late:
                running.remove(trial)
                return trial, OUT_OF_TIME if late else os.waitstatus_to_exitcode(status)
        time.sleep(0.02)


def import_ahead(modules: Sequence[str]) -> None:
    """Imports what the tests imported that is not ours, so that no fork has to."""
    for name in modules:
        try:
            import_module(name)
        except Exception:
            continue


def try_all(mutations: Sequence[Mutation], jobs: int) -> list[str]:
    """Tries each mutation, prints what came of it, and returns the names of those that are not as they should be."""
    wrong = []
    with tempfile.TemporaryDirectory(prefix="gsdd-mutations-") as name:
        folder = Path(name)
        copy = make_copy(folder)
        every_test = sorted({test for mutation in mutations for test in mutation.tests})
        trial, status = finish([start(None, every_test, copy, folder / "unchanged")], 10 * SECONDS)
        if status != PASSED:
            print(trial.output.read_text())
            print("the tests do not pass on the unchanged code: nothing was tried")
            return [mutation.name for mutation in mutations]
        import_ahead(json.loads((trial.folder / "modules.json").read_text()))
        waiting, running = list(enumerate(mutations)), []
        while waiting or running:
            while waiting and len(running) < jobs:
                number, mutation = waiting.pop(0)
                running.append(start(mutation, mutation.tests, copy, folder / str(number)))
            trial, status = finish(running)
            assert trial.mutation is not None
            told = {PASSED: "NOT NOTICED", TESTS_FAILED: "noticed", OUT_OF_TIME: "OUT OF TIME"}
            print(f"{told.get(status, f'STATUS {status}'):<12} {time.monotonic() - trial.started:5.1f} s  ", end="")
            print(trial.mutation.name, flush=True)
            if status != TESTS_FAILED:
                wrong.append(trial.mutation.name)
                print(trial.output.read_text())
            shutil.rmtree(trial.folder)
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="only those that CI runs")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="at a time")
    parser.add_argument("words", nargs="*", help="only those with one of these in their name")
    arguments = parser.parse_args()
    chosen = [
        mutation for mutation in MUTATIONS
        if (mutation.short or not arguments.short)
        and (not arguments.words or any(word in mutation.name for word in arguments.words))
    ]  # fmt: skip
    started = time.monotonic()
    try:
        for mutation in chosen:
            check(mutation)
    except StaleError as error:
        print(error)
        return 1
    wrong = try_all(chosen, arguments.jobs)
    print(f"{len(chosen) - len(wrong)} of {len(chosen)} noticed, {time.monotonic() - started:.0f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
