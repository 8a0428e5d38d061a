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
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from counts import Kept, Run  # noqa: E402

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


def fuzz(given: argparse.Namespace) -> None:
    """One reader in this process: libFuzzer ends it."""
    import atheris

    (name,) = given.names
    # An editable install's modules come by a loader that atheris does not instrument.
    sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__name__ != "ScikitBuildRedirectingFinder"]
    sys.path.insert(0, str(HERE.parent.parent))
    with atheris.instrument_imports(include=["gsdd_runtime", "pickletools", "tarfile", "zipfile"]):
        from readers import TARGETS
    target = TARGETS[name]
    corpus = given.corpus / name
    # In memory where the system has such a folder.
    place = Path(tempfile.mkdtemp(prefix="gsdd-fuzz-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))

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


def names(given: argparse.Namespace) -> list[str]:
    """Readers and entries that are meant."""
    found: list[str] = []
    for name in given.names:
        if name == "all":
            from readers import TARGETS

            found += TARGETS
        elif name == "native":
            built = {path.name.removeprefix("fuzz_") for path in NATIVE.glob("fuzz_*") if not path.suffix}
            found += sorted(built | (ISAS.keys() if "kernel" in built else set()))
        else:
            found.append(name)
    return found


def prepared(given: argparse.Namespace, name: str) -> list[str]:
    """The words that fuzz one of them, whose folders are made."""
    for folder in (given.corpus / name, given.found / name):
        folder.mkdir(parents=True, exist_ok=True)
    entry = NATIVE / f"fuzz_{'kernel' if name in ISAS else name}"
    if entry.exists():
        # What an entry finds no bytes for is 0: short inputs say little.
        return [str(entry), *options(given, name, MOST_TAKEN), "-len_control=0", str(given.corpus / name)]
    from readers import TARGETS

    if name not in TARGETS:
        sys.exit(f"{name} is no reader of tests/fuzz/readers.py, and there is no {entry}: run `make fuzz-native`")
    for number, data in enumerate(TARGETS[name].corpus):
        (given.corpus / name / f"sound-{number}").write_bytes(data)
    return [
        sys.executable, __file__, name, "--runs", str(given.runs), "--seconds", str(given.seconds),
        "--seed", str(given.seed), "--corpus", str(given.corpus), "--found", str(given.found),
    ]  # fmt: skip


def once(given: argparse.Namespace, name: str) -> Run:
    """Fuzzes one of them in a process of its own, and says how that went."""
    words = prepared(given, name)
    environment = {**os.environ, "GSDD_FUZZ": "1", "OMP_NUM_THREADS": "1"}
    if name in ISAS:
        environment["GSDD_CPU_ISA"] = ISAS[name]
    known = sorted((HERE.parent / "native" / "fuzz" / "found" / name).glob("*"))
    if words[0] != sys.executable and known:
        read = [words[0], "-runs=0", *map(str, known)]
        again = subprocess.run(read, env=environment, capture_output=True, text=True, errors="replace", check=False)
        if again.returncode:
            sys.exit(f"{name}: what was found before is found again\n{again.stderr}")
    done = subprocess.run(words, env=environment, stderr=subprocess.PIPE, text=True, errors="replace", check=False)
    said = f"python tests/fuzz/run.py {name} --runs {given.runs} --seconds {given.seconds} --seed {given.seed}"
    run = Run.said(done.stderr, said, given.seed, done.returncode)
    print(f"{name:<12} {run.inputs:>9} inputs, {run.edges:>5} edges, status {run.status}", flush=True)
    if run.status:
        print("\n".join(done.stderr.splitlines()[-40:]), file=sys.stderr)
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
    elif "GSDD_FUZZ" in os.environ:
        fuzz(given)
    else:
        sys.exit(one_after_the_other(given))


if __name__ == "__main__":
    main()
