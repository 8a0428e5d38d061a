"""What a stranger does first, with the package that the Python running this would import: ``python walk.py [FOLDER]``.

The README comes with the package, as its description. Its lines of "You were given a set" are run as they stand there,
on a set that is distilled here first, and so are its programs; then a network is trained and used. It ends with the
versions that this was done with. Outside a checkout it needs nothing but the package, ``onnx``, ``onnxscript`` and
``onnxruntime``.
"""

from __future__ import annotations

import platform
import re
import shlex
import subprocess
import sys
import sysconfig
import tempfile
from importlib.metadata import distribution, version
from pathlib import Path

DISTILL = """gsdd-rt distill --dataset fashion-mnist-sample --ipc 1 --gpc 4 --iterations 3 --fit-steps 5
--network convnet1-w4 --batch-real 8 --out set.safetensors"""
# After the README's own lines.
AFTER = (
    "gsdd-rt train set.safetensors --out model.safetensors --network convnet1-w4 --epochs 2",
    "gsdd-rt eval set.safetensors --dataset fashion-mnist-sample --networks convnet1-w4 --epochs 2 --seeds 1 --json",
    "gsdd-rt compress set.safetensors --out small.safetensors",
    "gsdd-rt decode small.safetensors --out images.npz --indices 0:10 --size 64x64",
    "gsdd-rt doctor",
)
# The libraries in the package are loaded by their hosts, and draw what the reference draws.
RIGHT = """
import gsdd_runtime as gsdd, numpy as np, onnxruntime

distilled = gsdd.DistilledSet.load("set.safetensors")
images = distilled.decode()[:8]
assert (images - gsdd.reference.splat(distilled.gaussians[:8].float(), 28, 28)).abs().max() < 1e-3

plain = onnxruntime.InferenceSession("decoder.onnx").run(["images"], {"indices": np.arange(8)})[0]
options = onnxruntime.SessionOptions()
options.register_custom_ops_library(str(gsdd.plugin_library("onnxruntime")))
native = onnxruntime.InferenceSession("decoder.onnx", options).run(["images"], {"indices": np.arange(8)})[0]
assert abs(native - plain).max() < 1e-2, abs(native - plain).max()
"""
OF_A_SET = re.compile(r"^gsdd-rt (info|report|export) ")
INSTALLED = ("gsdd-rt", "torch", "numpy", "pillow", "safetensors", "onnx", "onnxruntime")


def blocks_of(text: str) -> list[tuple[str, str]]:
    """Kind and content of each fenced block."""
    return re.findall(r"```(\w+)\n(.*?)```", text, re.DOTALL)


def do(words: list[str], folder: Path) -> str:
    """Runs a command as its user would, away from every checkout."""
    print("$", Path(words[0]).name, *(words[1:] if words[1] != "-c" else ["-c ..."]), flush=True)
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"it ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done.stdout


def walk(folder: Path) -> None:
    command = str(Path(sysconfig.get_path("scripts"), "gsdd-rt"))
    readme = distribution("gsdd-rt").metadata.get_payload() or distribution("gsdd-rt").metadata["Description"]
    blocks = blocks_of(str(readme))
    lines = [line for kind, block in blocks if kind == "sh" for line in block.splitlines()]
    given = [line for line in lines if OF_A_SET.match(line)]
    programs = [block for kind, block in blocks if kind == "python"]
    if len(given) < 3 or len(programs) < 3:
        sys.exit("the package's description is not the README, or that has changed")
    for line in (DISTILL, *given, *AFTER):
        said = do([command, *shlex.split(line)[1:]], folder)
    if "broken" in said or "ok       torch library" not in said:
        sys.exit(f"doctor finds something wrong:\n{said}")
    for program in programs:
        # Each by itself, with the names that the README's earlier ones have.
        do([sys.executable, "-c", program], folder)
    do([sys.executable, "-c", RIGHT], folder)


def main(arguments: list[str]) -> int:
    with tempfile.TemporaryDirectory(prefix="gsdd-walk-") as folder:
        walk(Path(arguments[0]) if arguments else Path(folder))
    print("walked with Python", platform.python_version(), *(f"{name} {version(name)}" for name in INSTALLED))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
