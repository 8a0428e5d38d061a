"""Fetches the TensorRT headers, which its wheels lack: ``python plugins/tensorrt/fetch_headers.py [--where-nvcc]``.

An installed TensorRT has them, and so has NVIDIA's open-source repository (Apache-2.0); where neither is at hand, the
wheel named here carries unmodified ones (0.2 MB). It is downloaded by pip, checked against its hash and unpacked, not
installed; the headers are kept in the user's cache, where CMake finds them. With --where-nvcc nothing is done on a
machine without the CUDA compiler, where the plugin cannot be built.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "cmake"))

import header_cache
from header_cache import UnavailableError

# Read by CMake too.
NAME = "tensorrt-headers-10.14"
HEADER = "NvInferRuntime.h"
REQUIREMENT = "kernel-lens==2.0.1 --hash=sha256:07cc714e8b5e7f34b672f7c7fad93febe7c747be5837ba276b1527370134ffe0"
INSIDE = "kernel_lens/include/tensorrt/"
SYSTEM = ("/usr/include", "/usr/local/include", "/usr/local/tensorrt/include", "/usr/src/tensorrt/include")
SUBFOLDERS = ("", "x86_64-linux-gnu", "aarch64-linux-gnu")


def installed() -> Path | None:
    """The folder of headers that are there already, or None."""
    asked, home = os.environ.get("GSDD_TENSORRT_HEADERS"), os.environ.get("TENSORRT_HOME")
    places = [asked] if asked else [*([f"{home}/include"] if home else []), *SYSTEM]
    folders = [Path(place, sub) for place in places for sub in SUBFOLDERS] + [header_cache.folder(NAME)]
    return next((folder for folder in folders if (folder / HEADER).is_file()), None)


def from_wheel() -> dict[str, bytes]:
    """Of the wheel, downloaded by pip, which checks its hash."""
    with tempfile.TemporaryDirectory() as temporary:
        requirements = Path(temporary, "requirements.txt")
        requirements.write_text(REQUIREMENT + "\n")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--only-binary", ":all:", "--require-hashes", "-r", str(requirements), "-d", temporary]
        done = subprocess.run(command, capture_output=True, text=True)
        wheels = list(Path(temporary).glob("*.whl"))
        if done.returncode != 0 or len(wheels) != 1:
            why = " ".join(done.stderr.split())[-200:] or f"status {done.returncode}"
            raise UnavailableError(f"the package index does not give {REQUIREMENT.split()[0]} ({why})")
        with zipfile.ZipFile(wheels[0]) as archive:
            names = [name for name in archive.namelist() if name.startswith(INSIDE) and name.endswith(".h")]
            return {Path(name).name: archive.read(name) for name in names}


def fetch() -> Path:
    """The folder of the headers: found, or fetched.

    Raises:
        UnavailableError: they cannot be had.
    """
    folder = installed()
    if folder is not None:
        return folder
    try:
        return header_cache.keep(header_cache.folder(NAME), from_wheel())
    except OSError as error:
        raise UnavailableError(str(error)) from error


def has_nvcc() -> bool:
    """Where CMake looks for it."""
    homes = [os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"), "/usr/local/cuda"]
    named = [os.environ.get("CUDACXX"), *(f"{home}/bin/nvcc" for home in homes if home)]
    return shutil.which("nvcc") is not None or any(path and os.access(path, os.X_OK) for path in named)


def main() -> int:
    if "--where-nvcc" in sys.argv[1:] and not has_nvcc():
        return 0
    try:
        print(f"TensorRT headers: {fetch()}")
    except UnavailableError as reason:
        print(
            f"no TensorRT headers, so its plugin is left out: {reason}. Name their folder with "
            "GSDD_TENSORRT_HEADERS=DIR, and run `make headers build`",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
