"""Prints registers, spills and shared memory of each kernel on each architecture, from ptxas.

Exit code 1 where a kernel spills a register to memory, or where the counts of ``instructions.json`` are no longer those
of the compiled code.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import counting

_FUNCTION = re.compile(r"Compiling entry function '(\S+)' for '(sm_\w+)'")
_SPILLS = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
_USED = re.compile(r"Used (\d+) registers")


@dataclass(frozen=True)
class Usage:
    kernel: str
    architecture: str
    registers: int
    stack: int
    spilled: int  # bytes stored and loaded

    @property
    def forbidden(self) -> bool:
        return self.spilled > 0


def parse(text: str) -> list[Usage]:
    """The kernels of one ``-Xptxas -v`` run."""
    found: list[Usage] = []
    kernel = architecture = ""
    stack = spilled = 0
    for line in text.splitlines():
        if match := _FUNCTION.search(line):
            kernel = counting.kernel_name(match[1]) or match[1]
            architecture = match[2]
            stack = spilled = 0
        elif match := _SPILLS.search(line):
            stack, spilled = int(match[1]), int(match[2]) + int(match[3])
        elif (match := _USED.search(line)) and kernel:
            found.append(Usage(kernel, architecture, int(match[1]), stack, spilled))
            kernel = ""
    return found


def table(usages: list[Usage]) -> str:
    """Registers by kernel and architecture; ``+N`` are spilled bytes."""
    architectures = sorted({u.architecture for u in usages}, key=lambda name: int(re.sub(r"\D", "", name)))
    kernels = sorted({u.kernel for u in usages})
    cells = {(u.kernel, u.architecture): f"{u.registers}" + (f"+{u.spilled}" if u.spilled else "") for u in usages}
    lines = [f"{'registers (+ bytes spilled)':28s}" + "".join(f"{name:>9s}" for name in architectures)]
    for kernel in kernels:
        lines.append(f"{kernel:28s}" + "".join(f"{cells.get((kernel, a), '-'):>9s}" for a in architectures))
    lines.append(
        "shared memory: forward 80 bytes a Gaussian of the chunk, up to 20480 a block, and 64; backward 160 a block "
        "(dynamic; no kernel has static shared memory)"
    )
    return "\n".join(lines)


def compile_for(nvcc: str, host_compiler: str | None, flags: list[str], source: Path, architecture: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        host = ["-ccbin", host_compiler] if host_compiler else []
        command = [nvcc, *host, "-std=c++20", "-O3", *flags, f"-arch=sm_{architecture}", "-Xptxas", "-v"]
        command += ["--cubin", "-o", str(Path(folder, "kernel.cubin")), str(source)]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"nvcc failed on {source.name} for sm_{architecture}:\n{done.stderr}")
    return done.stderr + done.stdout


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nvcc", default="nvcc")
    parser.add_argument("--host-compiler")
    parser.add_argument("--architectures", required=True, help="as in CMake: 80-real;90")
    parser.add_argument("--flags", default="", help="of nvcc, separated by semicolons")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument(
        "--counts", choices=("check", "write", "leave"), default="check",
        help="hold instructions.json to the compiled code (where nvdisasm is), write it, or leave it",
    )  # fmt: skip
    parser.add_argument("sources", nargs="+", type=Path)
    options = parser.parse_args(arguments)
    names = options.architectures.split(";")
    numbers = sorted({name.split("-")[0] for name in names if not name.endswith("-virtual")}, key=int)
    flags = [flag for flag in options.flags.split(";") if flag]
    with ThreadPoolExecutor(options.jobs) as pool:
        jobs = [
            pool.submit(compile_for, options.nvcc, options.host_compiler, flags, source, number)
            for source in options.sources
            for number in numbers
        ]
        usages = [usage for job in jobs for usage in parse(job.result())]
    print(table(usages))
    forbidden = [usage for usage in usages if usage.forbidden]
    for usage in forbidden:
        print(f"{usage.kernel} spills {usage.spilled} bytes on {usage.architecture}", file=sys.stderr)
    if not usages:
        print("ptxas reported no kernel", file=sys.stderr)
    return 1 if forbidden or not usages or not counts_agree(options, flags) else 0


def counts_agree(options: argparse.Namespace, flags: list[str]) -> bool:
    """Whether ``instructions.json`` has the compiled code's counts, as far as that can be told; or writes it."""
    if options.counts == "leave":
        return True
    if problem := counting.missing(options.nvcc):
        print(f"instructions not counted: {problem}")
        return True
    found = counting.chosen(counting.compile_and_count(options.sources, flags, options.nvcc))
    if options.counts == "write":
        counting.keep(found)
        return True
    wrong = counting.differences(found)
    for line in wrong:
        print(line, file=sys.stderr)
    if wrong:
        print("write them anew: report.py --counts write", file=sys.stderr)
    else:
        print("instructions.json has the compiled code's counts")
    return not wrong


if __name__ == "__main__":
    sys.exit(main())
