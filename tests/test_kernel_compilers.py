"""The kernel's source under the other compiler, which knows its vectors under other names."""

from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path

import pytest

SPLAT = Path(__file__).parents[1] / "plugins" / "splat"
FLAGS = {
    "baseline": [],
    "avx2": ["-mavx2", "-mfma"],
    "avx512": ["-mavx2", "-mfma", "-mavx512f", "-mavx512vl", "-mavx512bw", "-mavx512dq"],
}
CLANG = next(
    (found for name in ("clang++", *(f"clang++-{n}" for n in range(25, 13, -1))) if (found := shutil.which(name))), None
)


@pytest.mark.skipif(CLANG is None, reason="no clang++ on PATH")
@pytest.mark.parametrize("kernel", FLAGS)
def test_clang_compiles_the_kernel(kernel: str) -> None:
    if kernel != "baseline" and platform.machine() != "x86_64":
        pytest.skip("an instruction set of x86-64")
    assert CLANG is not None
    command = [CLANG, "-std=c++20", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", f"-I{SPLAT}", *FLAGS[kernel]]
    done = subprocess.run([*command, str(SPLAT / "cpu" / f"{kernel}.cpp")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
