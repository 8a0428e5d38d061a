"""Fetches the headers of ONNX Runtime, which its wheels lack: ``python plugins/onnxruntime/fetch_headers.py``.

The smallest source that answers is taken: headers that are installed, the official release archive (11 MB), and, where
only package registries can be reached, an npm package that carries unmodified ones (150 MB, MIT). Both downloads are of
a pinned version and checked against its hash; the headers are kept in the user's cache, where CMake finds them.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "cmake"))

import header_cache  # noqa: E402
from header_cache import UnavailableError  # noqa: E402

# Read by CMake too.
NAME = "onnxruntime-headers-1.29.0"
HEADERS = ("onnxruntime_c_api.h", "onnxruntime_ep_c_api.h", "onnxruntime_error_code.h")

RELEASE = "https://github.com/microsoft/onnxruntime/releases/download/v1.29.0/onnxruntime-linux-{}-1.29.0.tgz"
# Machine: its name in the archives, and the archive's SHA-256.
ARCHIVES = {
    "x86_64": ("x64", "c3fddc4f139a045b0c4902c57410f0694f1c2fdf9b6939fbe38b1aeae7cd14ba"),
    "aarch64": ("aarch64", "e1799098ebc054b370f6176a450f158720f297818c613e5dc99b92e2ec82346f"),
}
PACKAGE = "com.github.asus4.onnxruntime@0.4.9"
PACKAGE_SHA512 = "BkzxduSZ9IkeDP6Q8lz2TFU2ie7hSSvS7ZIfzMooExoq0CNzJnuuGaUJ7IsojBgqO4ouD1jXah8OYyJbCN29Fg=="
INSIDE_PACKAGE = "ios-arm64_x86_64-simulator/onnxruntime.framework/Headers"

SYSTEM = (Path("/usr/include"), Path("/usr/local/include"))
SUBFOLDERS = ("", "onnxruntime", "onnxruntime/core/session")


def installed() -> Path | None:
    """The folder of headers that are there already and new enough, or None."""
    asked = os.environ.get("GSDD_ONNXRUNTIME_HEADERS")
    home = os.environ.get("ONNXRUNTIME_HOME")
    places = [Path(asked)] if asked else [*([Path(home, "include")] if home else []), *SYSTEM]
    folders = [place / sub for place in places for sub in SUBFOLDERS] + [header_cache.folder(NAME)]
    return next((folder for folder in folders if api_version(folder) >= least_api_version()), None)


def api_version(folder: Path) -> int:
    """Of the headers in a folder; 0 where there are none."""
    try:
        text = (folder / HEADERS[0]).read_text(errors="replace")
    except OSError:
        return 0
    found = re.search(r"^#define ORT_API_VERSION (\d+)", text, re.MULTILINE)
    return int(found[1]) if found else 0


def least_api_version() -> int:
    found = re.search(r"set\(GSDD_ONNXRUNTIME_API (\d+)\)", (ROOT / "cmake" / "OnnxRuntimeHeaders.cmake").read_text())
    assert found is not None
    return int(found[1])


def from_release() -> dict[str, bytes]:
    """Of the official release archive."""
    machine = platform.machine()
    if machine not in ARCHIVES:
        raise UnavailableError(f"there is no release archive for {machine}")
    name, digest = ARCHIVES[machine]
    url = RELEASE.format(name)
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            content = answer.read()
    except OSError as error:
        raise UnavailableError(f"{url} does not answer ({error})") from error
    if hashlib.sha256(content).hexdigest() != digest:
        raise UnavailableError(f"{url} does not have the hash that is expected")
    return unpack(content, "include")


def from_npm() -> dict[str, bytes]:
    """Of the npm package, downloaded by npm."""
    npm = shutil.which("npm")
    if npm is None:
        raise UnavailableError("npm is not installed")
    with tempfile.TemporaryDirectory() as temporary:
        print(f"downloading {PACKAGE} (150 MB) from the npm registry", file=sys.stderr)
        command = [npm, "pack", "--silent", "--fetch-retries=1", "--fetch-timeout=60000", PACKAGE]
        done = subprocess.run(command, cwd=temporary, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        archives = list(Path(temporary).glob("*.tgz"))
        if done.returncode != 0 or len(archives) != 1:
            why = " ".join(done.stderr.split())[-200:] or f"status {done.returncode}"
            raise UnavailableError(f"the npm registry does not give {PACKAGE} ({why})")
        content = archives[0].read_bytes()
    if base64.b64encode(hashlib.sha512(content).digest()).decode() != PACKAGE_SHA512:
        raise UnavailableError(f"{PACKAGE} does not have the hash that is expected")
    return unpack(content, INSIDE_PACKAGE)


def unpack(archive: bytes, folder: str) -> dict[str, bytes]:
    """The headers right in the folder of that name, or of that end of its path, inside a gzipped tar archive."""
    found = {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
        for member in packed:
            parent, _, name = member.name.rpartition("/")
            if member.isfile() and name.endswith(".h") and f"/{parent}".endswith(f"/{folder}"):
                content = packed.extractfile(member)
                if content is not None:
                    found[name] = content.read()
    missing = [name for name in HEADERS if name not in found]
    if missing:
        raise UnavailableError(f"the archive holds no {', '.join(missing)}")
    return found


SOURCES: tuple[Callable[[], dict[str, bytes]], ...] = (from_release, from_npm)


def fetch() -> Path:
    """The folder of the headers: found, or fetched from the first source that has them.

    Raises:
        UnavailableError: no source has.
    """
    folder = installed()
    if folder is not None:
        return folder
    reasons = []
    for source in SOURCES:
        try:
            return header_cache.keep(header_cache.folder(NAME), source())
        except (UnavailableError, OSError) as reason:
            reasons.append(str(reason))
    raise UnavailableError("; ".join(reasons))


def main() -> int:
    try:
        print(f"ONNX Runtime headers: {fetch()}")
    except UnavailableError as reason:
        print(
            f"no ONNX Runtime headers, so its library is left out and ONNX models run their own function: {reason}. "
            "Name their folder with GSDD_ONNXRUNTIME_HEADERS=DIR, and run `make headers build`",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
