"""Fetches the ONNX Runtime headers from the npm registry: ``python plugins/onnxruntime/fetch_headers.py [FOLDER]``.

onnxruntime's wheels carry no headers. Its release archives have them; where only package registries can be reached,
the npm package named here carries unmodified ones (MIT). It is downloaded by npm (150 MB), checked against its hash,
and the three headers of the C interface are unpacked. CMake looks for them where this puts them.
"""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

PACKAGE = "com.github.asus4.onnxruntime@0.4.9"
SHA512 = "BkzxduSZ9IkeDP6Q8lz2TFU2ie7hSSvS7ZIfzMooExoq0CNzJnuuGaUJ7IsojBgqO4ouD1jXah8OYyJbCN29Fg=="
INSIDE = "package/Plugins/iOS~/onnxruntime.xcframework/ios-arm64_x86_64-simulator/onnxruntime.framework/Headers"
HEADERS = ("onnxruntime_c_api.h", "onnxruntime_ep_c_api.h", "onnxruntime_error_code.h")
FOLDER = Path(__file__).resolve().parents[2] / "build" / "onnxruntime-headers"


def fetch(folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        sys.exit(
            "npm is not installed: take the headers from a release archive of onnxruntime instead, "
            "and configure with -DGSDD_ONNXRUNTIME_HEADERS=DIR"
        )
    with tempfile.TemporaryDirectory() as temporary:
        subprocess.run([npm, "pack", "--silent", PACKAGE], cwd=temporary, check=True, stdout=subprocess.DEVNULL)
        (archive,) = Path(temporary).glob("*.tgz")
        digest = hashlib.sha512(archive.read_bytes()).digest()
        if base64.b64encode(digest).decode() != SHA512:
            sys.exit(f"{PACKAGE} does not have the hash that is expected: nothing was unpacked")
        folder.mkdir(parents=True, exist_ok=True)
        with tarfile.open(archive) as packed:
            for name in HEADERS:
                content = packed.extractfile(f"{INSIDE}/{name}")
                if content is None:
                    sys.exit(f"{PACKAGE} holds no {name}")
                (folder / name).write_bytes(content.read())


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    fetch(target)
    print(f"the ONNX Runtime headers are in {target}")
