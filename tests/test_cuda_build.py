"""Building for CUDA and measuring on it, as far as that goes without a GPU."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from script_folders import first_in_path

ROOT = Path(__file__).parent.parent
with first_in_path(ROOT / "plugins" / "splat" / "cuda", ROOT / "benchmarks"):
    import counting
    import cuda_instructions
    import cuda_roofline
    import report

# As ptxas 13.0 writes it, one kernel with a spill.
PTXAS = """
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '_ZN4gsdd4cuda13splat_forwardILi3ELi2EEEvNS0_11ForwardArgsE' for 'sm_90'
ptxas info    : Function properties for _ZN4gsdd4cuda13splat_forwardILi3ELi2EEEvNS0_11ForwardArgsE
    8 bytes stack frame, {spilled} bytes spill stores, {spilled} bytes spill loads
ptxas info    : Used 64 registers, used 1 barriers, 8 bytes cumulative stack size
ptxas info    : Compiling entry function '_ZN4gsdd4cuda14splat_backwardILi1ELi0EEEvNS0_12BackwardArgsE' for 'sm_120'
    24 bytes stack frame, {spilled} bytes spill stores, {spilled} bytes spill loads
ptxas info    : Used 96 registers, used 1 barriers
"""


def test_the_report_reads_registers_and_spills() -> None:
    forward, backward = report.parse(PTXAS.format(spilled=8))
    assert forward == report.Usage("splat_forward<3, 2>", "sm_90", 64, 8, 16)
    assert backward == report.Usage("splat_backward<1, 0>", "sm_120", 96, 24, 16)
    lines = report.table([forward, backward]).splitlines()
    assert lines[0].split()[-2:] == ["sm_90", "sm_120"]
    assert lines[1].split() == ["splat_backward<1,", "0>", "-", "96+16"]


@pytest.mark.parametrize(("spilled", "code"), [(0, 0), (8, 1)])
def test_a_spill_fails_the_report(
    spilled: int, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(report, "compile_for", lambda *_: PTXAS.format(spilled=spilled))
    assert report.main(["--counts", "leave", "--architectures", "90-real;120-virtual", "kernel.cu"]) == code
    said = capsys.readouterr().err
    for where in ("sm_90", "sm_120"):
        assert (f"spills 16 bytes on {where}" in said) == (code == 1)


def test_a_report_of_nothing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "compile_for", lambda *_: "")
    assert report.main(["--counts", "leave", "--architectures", "90", "kernel.cu"]) == 1


# As nvdisasm -gi writes it: a line of sums.h inlined into one of splat_forward.h, and a number of another file.
DISASSEMBLY = """
.text._ZN4gsdd4cuda13splat_forwardILi3ELi2EEEvNS0_11ForwardArgsE:
	//## File "{folder}/forward.cu", line 18
        /*0000*/                   LDC R1, c[0x0][0x28] ;
	//## File "{folder}/sums.h", line {inner} inlined at "{folder}/splat_forward.h", line {outer}
	//## File "{folder}/splat_forward.h", line {outer}
        /*0010*/                   FFMA R1, R2, R3, R4 ;
        /*0020*/              @!P0 FADD R1, R2, R3 ;
        /*0030*/                   NOP ;
.text._ZN4gsdd4cuda14splat_backwardILi1ELi0EEEvNS0_12BackwardArgsE:
	//## File "/nowhere/else.h", line 3
        /*0000*/                   EXIT ;
"""


def test_instructions_are_counted_for_every_function_on_their_way() -> None:
    folder = ROOT / "plugins" / "splat" / "cuda"

    def line_in(file: str, text: str) -> int:
        return next(k for k, line in enumerate((folder / file).read_text().splitlines(), 1) if text in line) + 1

    inner, outer = line_in("sums.h", "void add_by_runs("), line_in("splat_forward.h", "void draw(")
    counts = counting.count(DISASSEMBLY.format(folder=folder, inner=inner, outer=outer))
    forward = counts["splat_forward<3, 2>"]
    assert (forward["add_by_runs"], forward["draw"], forward["add_smoothly"], forward["all"]) == (2, 2, 0, 3)
    assert counts["splat_backward<1, 0>"] == {"all": 1}


def test_a_count_that_has_drifted_is_told() -> None:
    found = counting.kept()
    assert counting.differences(found) == []
    found["splat_forward<3, 2>"]["add_by_runs"] += 16
    (said,) = counting.differences(found)
    assert "splat_forward<3, 2>: add_by_runs has" in said


@pytest.mark.skipif(counting.missing() is not None, reason=f"instructions cannot be counted: {counting.missing()}")
def test_the_kept_counts_are_those_of_the_compiled_code() -> None:
    flags = re.search(r"set\(GSDD_CUDA_FLAGS (.*)\)", (ROOT / "cmake" / "Cuda.cmake").read_text())
    assert flags is not None
    folder = ROOT / "plugins" / "splat" / "cuda"
    counts = counting.compile_and_count([folder / "forward.cu", folder / "backward.cu"], flags[1].split())
    assert counting.differences(counting.chosen(counts)) == []


def test_estimates_are_made_of_the_kept_counts() -> None:
    counts = counting.kept()
    runs = counts["splat_forward<3, 2>"]["add_by_runs"] - counts["splat_forward<3, 2>"]["add_clipped_by_runs"]
    assert cuda_instructions.forward_sample() == runs / 16
    assert 5.0 < cuda_instructions.forward_sample() < 8.0
    assert 10.0 < cuda_instructions.backward_sample() < 20.0
    half = cuda_roofline.roofline_seconds(cuda_roofline.Gpu("", 1, 1e9, ""), 1e9, 1, 0, backward=False)
    assert half["issue"] == pytest.approx(cuda_instructions.forward_sample() / 128)


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "benchmarks" / "cuda_bench.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_the_benchmark_refuses_politely_without_a_gpu(tmp_path: Path) -> None:
    done = bench("--points", "54,128,4", "--out", str(tmp_path))
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "finds no CUDA device" in done.stderr
    assert not list(tmp_path.iterdir())


def test_the_benchmark_says_what_is_wrong_with_a_point() -> None:
    done = bench("--points", "54,128")
    assert done.returncode == 2
    assert "'54,128' is no point: give N,SIDE,BATCH" in done.stderr


@pytest.mark.cuda
def test_the_benchmark_measures_and_writes(tmp_path: Path) -> None:
    done = bench(
        "--points", "22,32,32", "--rounds", "2", "--fit-images", "8", "--fit-steps", "5", "--out", str(tmp_path)
    )
    assert done.returncode == 0, done.stderr
    assert "of the roofline" in done.stdout
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".md"}
