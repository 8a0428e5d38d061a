"""compute-sanitizer on a short list of tests. In a rehearsal a stand-in runs what it is given, on the CPU."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from stages import SHORT_TESTS
from writing import Result, arguments

ROOT = Path(__file__).parents[2]
TOOLS = ("memcheck", "racecheck", "synccheck")
# As tests/native/cuda_sanitize.sh calls it: --tool NAME --error-exitcode 1 --kernel-name PATTERN, then the program.
STAND_IN = '#!/bin/sh\nshift 6\nexec "$@"\n'


def stand_in(folder: Path) -> str:
    """``PATH`` with a compute-sanitizer in it that only runs its program."""
    program = folder / "bin" / "compute-sanitizer"
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(STAND_IN)
    program.chmod(0o755)
    return f"{program.parent}{os.pathsep}{os.environ['PATH']}"


def main() -> int:
    options = arguments(__doc__)
    result = Result(options.out, strict=options.rehearse)
    environment = {**os.environ, "PYTHON": sys.executable}
    if options.rehearse:
        environment |= {"PATH": stand_in(options.out), "GSDD_REQUIRE_CUDA": "0"}
    worst = 0
    for tool in TOOLS[:1] if options.rehearse else TOOLS:
        command = ["sh", "tests/native/cuda_sanitize.sh", "device", "-k", SHORT_TESTS]
        done = subprocess.run(
            command, cwd=ROOT, env={**environment, "GSDD_SANITIZE_TOOLS": tool}, capture_output=True, text=True
        )
        print(done.stdout[-6000:], done.stderr[-3000:], flush=True)
        result.put(tool, {"exit": done.returncode, "last": done.stdout.strip().splitlines()[-1:]})
        worst = max(worst, done.returncode)
    return worst


if __name__ == "__main__":
    raise SystemExit(main())
