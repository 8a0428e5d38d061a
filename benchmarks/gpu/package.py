"""The package as it would be installed, in a folder, and its libraries: nothing is installed into anybody's Python."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "tests"))

from copied_package import FOLDERS, SITECUSTOMIZE  # noqa: E402

# What a build's result is of: its name in the folder of prebuilt libraries.
DIGEST = "plugins.sha256"
LIBRARIES = ("torch", "onnxruntime", "tensorrt", "dali")


def plugins_digest(root: Path = ROOT) -> str:
    """SHA-256 over everything that the libraries are built from: names and contents."""
    digest = hashlib.sha256()
    files = [root / "CMakeLists.txt", *sorted((root / "plugins").rglob("*")), *sorted((root / "cmake").rglob("*"))]
    for path in files:
        if path.is_file() and "__pycache__" not in path.parts and path.suffix not in (".py", ".md", ".pyc"):
            digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def prebuilt(folder: Path) -> Path | None:
    """``folder``, where libraries of these very sources lie in it."""
    mark = folder / DIGEST
    return folder if mark.is_file() and mark.read_text().strip() == plugins_digest() else None


def installed_libraries() -> Path | None:
    """The folder of the libraries of the package that this Python would import."""
    spec = find_spec("gsdd_runtime")
    for place in spec.submodule_search_locations or () if spec else ():
        if list(Path(place, "lib").glob("libgsdd_*.so")):
            return Path(place, "lib")
    return None


def build(folder: Path) -> Path:
    """Builds every library that can be built here, with CUDA, and puts them into ``folder``/lib.

    Raises:
        subprocess.CalledProcessError: CMake or a compiler refused; they have said why.
    """
    cmake = ["cmake", "-S", str(ROOT), "-B", str(folder / "tree"), "-DGSDD_CUDA=ON"]
    cmake += [f"-DPython3_EXECUTABLE={sys.executable}", *(["-G", "Ninja"] if shutil.which("ninja") else [])]
    subprocess.run(cmake, check=True)
    subprocess.run(["cmake", "--build", str(folder / "tree"), "--parallel"], check=True)
    libraries = folder / "lib"
    shutil.rmtree(libraries, ignore_errors=True)
    libraries.mkdir(parents=True)
    for name in LIBRARIES:
        for built in (folder / "tree" / "plugins" / name).glob("libgsdd_*.so"):
            shutil.copy2(built, libraries)
    (libraries / DIGEST).write_text(plugins_digest() + "\n")
    return libraries


def assemble(folder: Path, libraries: Path) -> dict[str, str]:
    """Copies the package into ``folder``; the environment in which Python finds it, the tests and the benchmarks."""
    shutil.rmtree(folder, ignore_errors=True)
    for source, place in FOLDERS.items():
        shutil.copytree(ROOT / source, folder / place, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(ROOT / "plugins" / "op_contract.json", folder / "gsdd_runtime")
    shutil.copytree(libraries, folder / "gsdd_runtime" / "lib")
    (folder / "sitecustomize.py").write_text(SITECUSTOMIZE.format(copy=str(folder)))
    places = [folder, *(ROOT / name for name in ("benchmarks/gpu", "benchmarks", "tests"))]
    earlier = os.environ.get("PYTHONPATH")
    path = os.pathsep.join([*map(str, places), *([earlier] if earlier else [])])
    environment = {name: value for name, value in os.environ.items() if name != "GSDD_PLUGIN_DIR"}
    return {**environment, "PYTHONPATH": path}
