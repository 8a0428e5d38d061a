"""Fuzzes the readers in Python (atheris, which is libFuzzer) and the entries in C++, and prints the inputs they read.

    python tests/fuzz/run.py set --runs 1000000          one: a reader of readers.py, or build/fuzz-native/fuzz_NAME
    python tests/fuzz/run.py all --seconds 120           each reader for two minutes, one after the other
    python tests/fuzz/run.py native --runs 20000         each entry that `make fuzz-native` has built
    python tests/fuzz/run.py all native --until 1000000 --keep benchmarks/results/fuzz.json
                                                         what is missing of a million, kept run by run
    python tests/fuzz/run.py set --input crash-1234      reads one input, as it was found

An input is a file that a reader takes, or refuses by an InputError of one printable line. Anything else ends the run
and is written to ``--found``; once mended it goes to ``tests/fuzz/found/READER/``, which the tests read, or to
``tests/native/fuzz/found/ENTRY/``, which is read before each run. What led to new code is kept in ``--corpus``, so that
the next run goes on from there.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import traceback
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from counts import Kept, Run  # noqa: E402

if TYPE_CHECKING:
    from readers import Target

NATIVE = Path("build/fuzz-native")
# Entries beside those that are named as their program: the kernel chooses the best instruction set where none is said.
ISAS = {f"kernel-{isa}": isa for isa in ("avx2", "baseline")}
# Of a run that goes on until a number is reached: what is lost at most where it is stopped.
PART = 250_000
# Bytes of an input at most: a reader's, and twice its longest sound file; an entry takes numbers from the first few.
MOST_READ, MOST_TAKEN = 16384, 512


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+")
    parser.add_argument("--runs", type=int, default=-1)
    parser.add_argument("--seconds", type=int, default=0)
    parser.add_argument("--until", type=int, default=0, help="inputs of each, with those that --keep has")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--corpus", type=Path, default=Path("build/fuzz/corpus"))
    parser.add_argument("--found", type=Path, default=Path("build/fuzz/found"))
    parser.add_argument("--input", type=Path)
    parser.add_argument("--keep", type=Path, help="adds the counts to this file, each run from a seed of its own")
    given = parser.parse_args()
    if given.until and not given.keep:
        parser.error("--until needs --keep, which says how many there are")
    return given


def options(given: argparse.Namespace, name: str, most: int) -> list[str]:
    """Of libFuzzer."""
    return [
        f"-runs={given.runs}", f"-max_total_time={given.seconds}", f"-seed={given.seed}",
        f"-artifact_prefix={given.found / name}/", f"-max_len={most}", "-timeout=20", "-rss_limit_mb=6000",
        "-print_final_stats=1", "-verbosity=1",
    ]  # fmt: skip


@cache
def readers() -> dict[str, Target]:
    """The readers, whose code says which of it an input reached; those that are fuzzed are forked from here.

    That code is made and imported once: it takes longer than to read some thousand inputs.
    """
    # A forked process has none of the threads that this one started.
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        import atheris
    except ImportError:
        sys.exit("no atheris, which fuzzes the readers: pip install atheris")
    # An editable install's modules come by a loader that atheris does not instrument, and which finds its libraries.
    installed = find_spec("gsdd_runtime")
    for place in (installed and installed.submodule_search_locations) or []:
        if Path(place, "lib").is_dir():
            os.environ.setdefault("GSDD_PLUGIN_DIR", str(Path(place, "lib")))
    sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__name__ != "ScikitBuildRedirectingFinder"]
    sys.path.insert(0, str(HERE.parent.parent))
    with atheris.instrument_imports(include=["gsdd_runtime", "pickletools", "tarfile", "zipfile"]):
        from readers import TARGETS
    return TARGETS


def fuzz(given: argparse.Namespace, name: str, place: Path) -> None:
    """One reader in this process, by files in a folder: libFuzzer ends it."""
    import atheris

    target = readers()[name]
    corpus = given.corpus / name

    def one(data: bytes) -> None:
        target.attempt(data, place)

    sound = [path.read_bytes() for path in sorted(corpus.glob("sound-*"))]
    # What is imported at its first use would take the first input's time.
    for data in sound:
        one(data)
    said = options(given, name, max(MOST_READ, *(2 * len(data) for data in sound)))
    if target.words:
        words = corpus.with_suffix(".words")
        escaped = ("".join(f"\\x{byte:02x}" for byte in word.encode("latin-1")) for word in target.words)
        words.write_text("".join(f'"{word}"\n' for word in escaped))
        said.append(f"-dict={words}")
    atheris.Setup([sys.argv[0], *said, str(corpus)], one)
    atheris.Fuzz()


def forked(given: argparse.Namespace, name: str) -> tuple[int, str]:
    """Status and words of a process that fuzzes a reader."""
    # In memory where the system has such a folder.
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="gsdd-fuzz-", dir=memory) as place, tempfile.TemporaryFile() as said:
        process = os.fork()
        if not process:
            try:
                os.dup2(said.fileno(), 2)
                fuzz(given, name, Path(place))
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(70)
        status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        said.seek(0)
        return status, said.read().decode(errors="replace")


def names(given: argparse.Namespace) -> list[str]:
    """Readers and entries that are meant."""
    found: list[str] = []
    for name in given.names:
        if name == "all":
            found += readers()
        elif name == "native":
            built = {path.name.removeprefix("fuzz_") for path in NATIVE.glob("fuzz_*") if not path.suffix}
            found += sorted(built | (ISAS.keys() if "kernel" in built else set()))
        else:
            found.append(name)
    return found


def entry(given: argparse.Namespace, name: str) -> tuple[int, str]:
    """Status and words of the program that fuzzes an entry in C++."""
    # What an entry finds no bytes for is 0: short inputs say little.
    words = [str(program(name)), *options(given, name, MOST_TAKEN), "-len_control=0", str(given.corpus / name)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    if name in ISAS:
        environment["GSDD_CPU_ISA"] = ISAS[name]
    known = sorted((HERE.parent / "native" / "fuzz" / "found" / name).glob("*"))
    if known:
        read = [words[0], "-runs=0", *map(str, known)]
        again = subprocess.run(read, env=environment, capture_output=True, text=True, errors="replace", check=False)
        if again.returncode:
            sys.exit(f"{name}: what was found before is found again\n{again.stderr}")
    done = subprocess.run(words, env=environment, stderr=subprocess.PIPE, text=True, errors="replace", check=False)
    return done.returncode, done.stderr


def program(name: str) -> Path:
    """Of an entry in C++, where it was built."""
    return NATIVE / f"fuzz_{'kernel' if name in ISAS else name}"


def once(given: argparse.Namespace, name: str) -> Run:
    """Fuzzes one of them in a process of its own, and says how that went."""
    for folder in (given.corpus / name, given.found / name):
        folder.mkdir(parents=True, exist_ok=True)
    if program(name).exists():
        status, words = entry(given, name)
    elif name in readers():
        for number, data in enumerate(readers()[name].corpus):
            (given.corpus / name / f"sound-{number}").write_bytes(data)
        status, words = forked(given, name)
    else:
        sys.exit(
            f"{name} is no reader of tests/fuzz/readers.py, and there is no {program(name)}: run `make fuzz-native`"
        )
    said = f"python tests/fuzz/run.py {name} --runs {given.runs} --seconds {given.seconds} --seed {given.seed}"
    run = Run.said(words, said, given.seed, status)
    print(f"{name:<12} {run.inputs:>9} inputs, {run.edges:>5} edges, status {run.status}", flush=True)
    if run.status:
        print("\n".join(words.splitlines()[-40:]), file=sys.stderr)
    return run


def one_after_the_other(given: argparse.Namespace) -> int:
    """Each once, or until there are enough of its inputs; 1 where an input was found that a reader does not bear."""
    worst = 0
    for name in names(given):
        while True:
            kept = Kept(given.keep) if given.keep else None
            if kept:
                given.seed = kept.next_seed(name)
            if kept and given.until:
                given.runs = min(PART, given.until - kept.inputs(name))
                if given.runs <= 0:
                    break
            run = once(given, name)
            if kept and run.inputs:
                kept.add(name, run)
            worst |= run.status != 0
            if run.status or not given.until:
                break
    return worst


def main() -> None:
    given = arguments()
    if given.input is not None:
        from readers import TARGETS

        with tempfile.TemporaryDirectory() as place:
            print(TARGETS[given.names[0]].attempt(given.input.read_bytes(), Path(place)) or "taken")
    else:
        sys.exit(one_after_the_other(given))


if __name__ == "__main__":
    main()
