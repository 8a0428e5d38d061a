"""Fuzzes the readers under coverage (atheris, which is libFuzzer), and prints how many inputs were read.

    python tests/fuzz/run.py set --runs 1000000        one reader, by its name in readers.py
    python tests/fuzz/run.py all --seconds 120         each for two minutes, one after the other
    python tests/fuzz/run.py set --input crash-1234    reads one input, as it was found

An input is a file that a reader takes, or refuses by an InputError of one printable line. Anything else ends the run
and is written to ``--found``; once mended it goes to ``tests/fuzz/found/READER/``, which the tests read. What led to
new code is kept in ``--corpus``, so that the next run goes on from there.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reader")
    parser.add_argument("--runs", type=int, default=-1)
    parser.add_argument("--seconds", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--corpus", type=Path, default=Path("build/fuzz/corpus"))
    parser.add_argument("--found", type=Path, default=Path("build/fuzz/found"))
    parser.add_argument("--input", type=Path)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def fuzz(given: argparse.Namespace) -> None:
    """In this process: libFuzzer ends it."""
    import atheris

    # An editable install's modules come by a loader that atheris does not instrument.
    sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__name__ != "ScikitBuildRedirectingFinder"]
    sys.path.insert(0, str(HERE.parent.parent))
    with atheris.instrument_imports(include=["gsdd_runtime", "pickletools", "tarfile", "zipfile"]):
        from readers import TARGETS
    target = TARGETS[given.reader]
    corpus, found = given.corpus / given.reader, given.found / given.reader
    words = corpus.with_suffix(".words")
    escaped = ("".join(f"\\x{byte:02x}" for byte in word.encode("latin-1")) for word in target.words)
    words.write_text("".join(f'"{word}"\n' for word in escaped))
    # In memory where the system has such a folder.
    place = Path(tempfile.mkdtemp(prefix="gsdd-fuzz-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))

    def one(data: bytes) -> None:
        target.attempt(data, place)

    # What is imported at its first use would take the first input's time.
    for path in sorted(corpus.glob("sound-*")):
        one(path.read_bytes())
    options = [
        f"-runs={given.runs}", f"-max_total_time={given.seconds}", f"-seed={given.seed}",
        f"-artifact_prefix={found}/", "-max_len=16384", "-timeout=20", "-rss_limit_mb=6000", "-print_final_stats=1",
        "-verbosity=1",
    ]  # fmt: skip
    if target.words:
        options.append(f"-dict={words}")
    atheris.Setup([sys.argv[0], *options, str(corpus)], one)
    atheris.Fuzz()


def one_after_the_other(given: argparse.Namespace) -> int:
    from readers import TARGETS

    counts: dict[str, int] = {}
    worst = 0
    for name in TARGETS if given.reader == "all" else [given.reader]:
        for folder in (given.corpus / name, given.found / name):
            folder.mkdir(parents=True, exist_ok=True)
        for number, data in enumerate(TARGETS[name].corpus):
            (given.corpus / name / f"sound-{number}").write_bytes(data)
        words = [
            sys.executable, __file__, name, "--runs", str(given.runs), "--seconds", str(given.seconds),
            "--seed", str(given.seed), "--corpus", str(given.corpus), "--found", str(given.found),
        ]  # fmt: skip
        environment = {**os.environ, "GSDD_FUZZ": "1", "OMP_NUM_THREADS": "1"}
        done = subprocess.run(words, env=environment, stderr=subprocess.PIPE, text=True, check=False)
        read = re.search(r"stat::number_of_executed_units:\s*(\d+)", done.stderr)
        covered = re.findall(r"cov: (\d+)", done.stderr)
        counts[name] = int(read[1]) if read else 0
        print(
            f"{name:<12} {counts[name]:>9} inputs, {covered[-1] if covered else 0:>5} edges, status {done.returncode}"
        )
        sys.stdout.flush()
        if done.returncode:
            worst = 1
            print("\n".join(done.stderr.splitlines()[-40:]), file=sys.stderr)
    if given.json:
        given.json.write_text(json.dumps({"seed": given.seed, "inputs": counts}, indent=1) + "\n")
    return worst


def main() -> None:
    given = arguments()
    if given.input is not None:
        from readers import TARGETS

        with tempfile.TemporaryDirectory() as place:
            print(TARGETS[given.reader].attempt(given.input.read_bytes(), Path(place)) or "taken")
    elif "GSDD_FUZZ" in os.environ:
        fuzz(given)
    else:
        sys.exit(one_after_the_other(given))


if __name__ == "__main__":
    main()
