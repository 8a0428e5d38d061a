"""Fetches the TensorRT headers from the package index: ``python plugins/tensorrt/fetch_headers.py [FOLDER]``.

TensorRT's own wheels carry no headers. An installed TensorRT has them, and so has NVIDIA's open-source
repository (Apache-2.0); where neither is at hand, the wheel named here carries unmodified ones. It is
downloaded by pip, checked against its hash and unpacked, not installed. CMake looks for them where this puts
them.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

REQUIREMENT = "kernel-lens==2.0.1 --hash=sha256:07cc714e8b5e7f34b672f7c7fad93febe7c747be5837ba276b1527370134ffe0"
INSIDE = "kernel_lens/include/tensorrt/"
FOLDER = Path(__file__).resolve().parents[2] / "build" / "tensorrt-headers"


def fetch(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        requirements = Path(temporary, "requirements.txt")
        requirements.write_text(REQUIREMENT + "\n")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        subprocess.run([*command, "--require-hashes", "-r", requirements, "-d", temporary], check=True)
        (wheel,) = Path(temporary).glob("*.whl")
        folder.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                if name.startswith(INSIDE) and name.endswith(".h"):
                    (folder / Path(name).name).write_bytes(archive.read(name))


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    fetch(target)
    print(f"TensorRT headers are in {target}")
