"""Instructions of the compiled kernels by the function of the source that they come from.

nvdisasm says for every instruction which line it comes from, and through which inlined calls; each of the functions on
that way has it. Counts are of the code, not of a run: a loop's body counts once. ``instructions.json`` keeps those
that estimates are made of, for one GPU; ``report.py --counts`` holds it to the compiled code.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sysconfig
import tempfile
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from functools import cache
from pathlib import Path

KEPT = Path(__file__).parent / "instructions.json"
ARCHITECTURE = "90"
# What the benchmarks and the choice of a renderer are estimated from; all of three colours and 2 x 2 samples.
COUNTED = {
    "splat_forward<3, 2>": (
        "add_by_runs", "add_clipped_by_runs", "add_smoothly", "cover", "draw", "meets_tile", "pack", "prepare",
    ),
    "splat_backward<3, 2>": (
        "add_row", "gather_cell", "gather_clipped_row_by_runs", "gather_row_by_runs", "gather_row_by_samples",
        "lane_holding", "load_gradients",
    ),
}  # fmt: skip
# Another compiler schedules otherwise: a kept count may be off by so much of it, and by so many instructions.
TOLERANCE, SLACK = 0.05, 4

# splat_forward<3, 2> as the compiler writes it.
NAME = re.compile(r"(splat_forward|splat_backward)ILi(\d+)ELi(\d+)E")
_LINE = re.compile(r'//## File "([^"]+)", line (\d+)')
_INSTRUCTION = re.compile(r"^\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)")
_FUNCTION = re.compile(r"^(?:GSDD_DEVICE|GSDD_HOST_DEVICE|__global__)\b[^;=]*?(\w+)\(", re.MULTILINE)


def kernel_name(mangled: str) -> str | None:
    """``splat_forward<3, 2>`` of a compiler's name for it; None for what is no kernel of ours."""
    found = NAME.search(mangled)
    return f"{found[1]}<{found[2]}, {found[3]}>" if found else None


def missing(nvcc: str = "nvcc") -> str | None:
    """Why nothing can be counted here, and what to do; None where it can."""
    if shutil.which(nvcc) is None:
        return f"no {nvcc}: install the CUDA toolkit"
    if disassembler() is None:
        return "no nvdisasm: pip install nvidia-cuda-nvdisasm"
    return None


@cache
def disassembler() -> str | None:
    """nvdisasm of the toolkit or of the package nvidia-cuda-nvdisasm."""
    if found := shutil.which("nvdisasm"):
        return found
    packages = Path(sysconfig.get_path("purelib"), "nvidia")
    return next((str(path) for path in sorted(packages.glob("*/bin/nvdisasm"))), None)


@cache
def _functions(path: str) -> tuple[list[int], list[str]]:
    """First lines and names of the functions in a source file, in order; a body ends where the next one begins."""
    text = Path(path).read_text()
    found = [(text.count("\n", 0, match.start()) + 1, match[1]) for match in _FUNCTION.finditer(text)]
    return [line for line, _ in found], [name for _, name in found]


def _function(path: str, line: int) -> str | None:
    if not Path(path).is_file():
        return None
    firsts, names = _functions(path)
    place = bisect_right(firsts, line)
    return names[place - 1] if place else None


def count(disassembly: str) -> dict[str, Counter[str]]:
    """For every kernel, how many of its instructions each function has, its inlined calls included.

    Args:
        disassembly: of ``nvdisasm -gi -c`` on a cubin that was compiled with ``-lineinfo``.
    """
    counts: dict[str, Counter[str]] = {}
    kernel: Counter[str] | None = None
    frames: list[tuple[str, int]] = []
    fresh = True
    for line in disassembly.splitlines():
        if line.startswith(".text.") and line.endswith(":"):
            name = kernel_name(line)
            kernel, frames = (None if name is None else counts.setdefault(name, Counter())), []
        elif match := _LINE.search(line):
            if fresh:
                frames, fresh = [], False
            frames.append((match[1], int(match[2])))
        elif (match := _INSTRUCTION.match(line)) and kernel is not None:
            fresh = True
            if not match[1].startswith("NOP"):
                kernel.update({name for name in (_function(*frame) for frame in frames) if name} | {"all"})
    return counts


def compile_and_count(sources: Iterable[Path], flags: Iterable[str], nvcc: str = "nvcc") -> dict[str, Counter[str]]:
    """:func:`count` of the sources' kernels of three colours and 2 x 2 samples, compiled for ``ARCHITECTURE``.

    Raises:
        SystemExit: nvcc or nvdisasm fails, or is not there.
    """
    if problem := missing(nvcc):
        raise SystemExit(problem)
    counts: dict[str, Counter[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        cubin = Path(folder, "kernel.cubin")
        for source in sources:
            command = [nvcc, "-std=c++20", "-O3", *flags, f"-arch=sm_{ARCHITECTURE}", "-lineinfo", "--cubin"]
            command.append("-DGSDD_COUNTED_VARIANT")
            _output([*command, "-o", str(cubin), str(source.resolve())])
            counts |= count(_output([str(disassembler()), "-gi", "-c", str(cubin)]))
    return counts


def _output(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{Path(command[0]).name} failed:\n{done.stderr}")
    return done.stdout


def chosen(counts: dict[str, Counter[str]]) -> dict[str, dict[str, int]]:
    """What ``instructions.json`` keeps of :func:`count`."""
    return {kernel: {name: counts[kernel][name] for name in names} for kernel, names in COUNTED.items()}


def kept() -> dict[str, dict[str, int]]:
    """The counts of ``instructions.json``."""
    counts: dict[str, dict[str, int]] = json.loads(KEPT.read_text())["counts"]
    return counts


def differences(found: dict[str, dict[str, int]]) -> list[str]:
    """Where ``instructions.json`` says something else than the compiled code, in words."""
    stated = kept()
    return [
        f"{kernel}: {name} has {number} instructions, and instructions.json says {stated[kernel][name]}"
        for kernel, names in found.items()
        for name, number in names.items()
        if abs(number - stated[kernel][name]) > max(SLACK, TOLERANCE * number)
    ]


def keep(found: dict[str, dict[str, int]]) -> None:
    text = {"architecture": f"sm_{ARCHITECTURE}", "counts": found}
    KEPT.write_text(json.dumps(text, indent=2) + "\n")
