"""``gsdd-rt distill`` interrupted as a user does it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from gsdd_runtime.distillation.journal import read_log
from gsdd_runtime.formats import log_path

COMMAND = [sys.executable, "-c", "from gsdd_runtime.commands.cli import main; main()", "distill"]
OPTIONS = "--dataset fashion-mnist-sample --gpc 8 --iterations 4000 --fit-steps 10 --network convnet1-w4 --batch-real 2"


def test_ctrl_c_tells_how_to_go_on(tmp_path: Path) -> None:
    out = tmp_path / "set.safetensors"
    command = [*COMMAND, *OPTIONS.split(), "--out", str(out)]
    command += ["--checkpoint-interval", "5"]
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    checkpoint = Path(f"{out}.checkpoint")
    while not checkpoint.exists() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=200)
    assert process.returncode == 1, stderr
    planned, stopped = stderr.splitlines(keepends=True)
    assert planned.startswith("gsdd-rt: 80 images of 28 Gaussians (8 a class")
    assert stopped.startswith("gsdd-rt: stopped after step ")
    assert stopped.endswith(f"saved in {checkpoint}: give the same options and --resume to go on\n")
    assert checkpoint.exists()
    assert read_log(log_path(out))[-1]["record"] == "stopped"
    assert not out.exists()
