"""Nothing grows however often sets are loaded and decoded, threads decode at once, and a forked process decodes too."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from gsdd_runtime.errors import LibraryNotBuiltError
from gsdd_runtime.splatting.native import load_torch_library, plugin_library

try:
    plugin_library("torch")
except LibraryNotBuiltError as missing:
    pytest.skip(str(missing), allow_module_level=True)

SCRIPT = Path(__file__).parent / "endurance" / "run.py"


def test_nothing_grows_and_a_forked_process_decodes() -> None:
    """``tests/endurance/run.py`` by itself is for ten thousand of each. What hangs is ended by the time limit."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "2"}
    words = [sys.executable, str(SCRIPT), "100"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(done.stdout.splitlines()) == 9


def test_a_forked_process_computes_with_one_thread() -> None:
    """It has none of the threads of the process that it was forked from, and would wait for them."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        load_torch_library()
        child = os.fork()
        if not child:
            os._exit(torch.get_num_threads())
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    finally:
        torch.set_num_threads(before)
