"""Building for CUDA and measuring on it, as far as that goes without a GPU."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "plugins" / "splat" / "cuda"))

import report  # noqa: E402

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
    assert report.main(["--architectures", "90-real;120-virtual", "kernel.cu"]) == code
    said = capsys.readouterr().err
    for where in ("sm_90", "sm_120"):
        assert (f"spills 16 bytes on {where}" in said) == (code == 1)


def test_a_report_of_nothing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "compile_for", lambda *_: "")
    assert report.main(["--architectures", "90", "kernel.cu"]) == 1


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
