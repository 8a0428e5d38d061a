"""The operator library among others in a process: in several copies of onnxruntime, and in a session's own threads."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from gsdd_runtime import plugin_library
from gsdd_runtime.errors import LibraryNotBuiltError

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

from onnx_models import splat_model  # noqa: E402
from other_runtimes import older_onnxruntimes  # noqa: E402

POOL = Path(__file__).parent / "native" / "onnxruntime_pool"


@pytest.fixture(scope="module")
def library() -> str:
    try:
        return str(plugin_library("onnxruntime"))
    except LibraryNotBuiltError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("models") / "splat.onnx"
    onnx.save_model(splat_model(3, 64, 64, None, 2, function=False), path)
    return str(path)


def run(program: str, *arguments: str) -> str:
    ran = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True)
    assert ran.returncode == 0, f"{ran.returncode}: {ran.stderr[-2000:]}"
    return ran.stdout


COPIES = """
import importlib, sys
import numpy as np

model, library, folder = sys.argv[1:]

def load(folder):
    for name in [name for name in sys.modules if name.split(".")[0] == "onnxruntime"]:
        del sys.modules[name]
    sys.path.insert(0, folder)
    return importlib.import_module("onnxruntime")

copies = [load("."), load(folder)]
assert copies[0].__version__ != copies[1].__version__
gaussians = np.random.default_rng(0).uniform(0.1, 1.0, (3, 5, 9)).astype(np.float32)
sessions, images = [], []
for runtime in copies * 2:
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 2
    options.log_severity_level = 4
    options.register_custom_ops_library(library)
    sessions.append(runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"]))
    # Whichever came last, all of them run, and fail, by their own functions.
    for session in sessions:
        images.append(session.run(None, {"gaussians": gaussians})[0])
for runtime in copies:
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    options.register_custom_ops_library(library)
    bad = open(model, "rb").read().replace(b"native_height", b"native_heighd")
    try:
        runtime.InferenceSession(bad, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        assert "native_height is missing" in str(error), error
    else:
        raise AssertionError("the model was taken")
assert all(np.array_equal(image, images[0]) for image in images)
print(len(images), "runs")
"""


@pytest.mark.skipif(not older_onnxruntimes(), reason="there is one onnxruntime alone: make runtimes")
@pytest.mark.parametrize("folder", older_onnxruntimes(), ids=lambda folder: Path(folder).name)
def test_two_copies_of_onnxruntime_in_one_process(model: str, library: str, folder: str) -> None:
    assert run(COPIES, model, library, folder) == "10 runs\n"


THREADS = """
import os, sys
import numpy as np, onnxruntime as ort

model, library, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])

def ticks():
    "Of the processor, by each thread of this process."
    found = {}
    for thread in os.listdir("/proc/self/task"):
        fields = open(f"/proc/self/task/{thread}/stat").read().rsplit(")", 1)[1].split()
        found[int(thread)] = int(fields[11]) + int(fields[12])
    return found

options = ort.SessionOptions()
options.intra_op_num_threads = threads
options.add_session_config_entry("session.intra_op.allow_spinning", "0")
options.register_custom_ops_library(library)
before = ticks()
session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
pool = set(ticks()) - set(before)
gaussians = np.random.default_rng(0).uniform(-1.0, 1.0, (64, 200, 9)).astype(np.float32)
gaussians[..., 2:5] *= 4
caller, quiet = os.getpid(), False
# What keeps house, or goes on with its own start, does so now and then; what takes work takes it in every stretch.
for _ in range(10):
    last = ticks()
    for _ in range(400):
        session.run(None, {"gaussians": gaussians})
        now = ticks()
        if now[caller] - last[caller] >= 20 and all(now[thread] - before.get(thread, 0) >= 2 for thread in pool):
            break
    idle = sum(now[thread] - last.get(thread, 0) for thread in now if thread != caller and thread not in pool)
    quiet = 10 * idle <= now[caller] - last[caller]
    if quiet:
        break
strangers = [thread for thread in now if thread not in before and thread not in pool]
spent = {thread: now[thread] - before.get(thread, 0) for thread in pool}
print(len(pool), len(strangers), quiet, all(spent[thread] > 0 for thread in pool))
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads the threads from /proc")
@pytest.mark.parametrize(("threads", "others"), [(1, 0), (2, 1)])
def test_the_work_is_that_of_the_sessions_threads(model: str, library: str, threads: int, others: int) -> None:
    """A pool of n has n - 1 threads beside the caller: they work, nobody else does, and nobody is added."""
    assert run(THREADS, model, library, str(threads)) == f"{others} 0 True True\n"


def test_work_is_cut_for_the_sessions_pool() -> None:
    cmake = [sys.executable, "-m", "cmake"] if find_spec("cmake") else ["cmake"]
    generator = ["-G", "Ninja"] if find_spec("ninja") else []
    environment = {**os.environ, "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
    with tempfile.TemporaryDirectory(prefix="gsdd-onnxruntime-pool-") as folder:
        for arguments in ([*generator, "-S", str(POOL), "-B", folder], ["--build", folder]):
            ran = subprocess.run([*cmake, *arguments], capture_output=True, text=True, env=environment)
            if ran.returncode and "headers" in ran.stderr:
                pytest.skip(" ".join(ran.stderr.split()))
            assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-4000:]
        ran = subprocess.run([f"{folder}/onnxruntime_pool"], capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (0, "")
