"""The tests that are marked with cuda, on the device; in a rehearsal they are collected and skipped."""

from __future__ import annotations

import os
import re
import subprocess
import sys

from writing import Result, arguments

FILES = (
    "test_cuda_kernel.py", "test_doors.py", "test_cuda_tiles.py", "test_cuda_layers.py", "test_decoder_capture.py",
    "test_distill_tm.py", "test_loader_processes.py", "test_prefetch.py", "test_preparation.py",
    "test_augmentation.py", "test_evaluate.py",
)  # fmt: skip


def run_pytest(*options: str, required: bool) -> tuple[int, dict[str, int], str]:
    """Exit code of a pytest over ``options``, its counts by outcome, and the last of what it printed."""
    environment = {**os.environ, "GSDD_REQUIRE_CUDA": "1" if required else "0"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    print(done.stdout[-8000:], done.stderr[-4000:], flush=True)
    last = (done.stdout.strip() or done.stderr.strip() or "nothing").splitlines()[-1]
    return done.returncode, {kind: int(count) for count, kind in re.findall(r"(\d+) (\w+)", last)}, last


def main() -> int:
    options = arguments(__doc__)
    files = FILES[:1] if options.rehearse else FILES
    code, counts, last = run_pytest("-m", "cuda", *(f"tests/{name}" for name in files), required=not options.rehearse)
    result = Result(options.out, strict=options.rehearse)
    result.put("counts", {kind: counts.get(kind, 0) for kind in ("passed", "failed", "skipped", "errors")})
    result.put("pytest", last)
    return code


if __name__ == "__main__":
    raise SystemExit(main())
