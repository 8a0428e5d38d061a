"""Whether libraries load where manylinux_2_28 promises: ``python release/symbols.py WHEEL_OR_LIBRARY...``.

A library names, for each function that it takes from glibc or GCC's libraries, the version that brought it (readelf of
binutils reads them). One that is newer than the policy's is not there on an older machine, where the library then does
not load. ``auditwheel`` says the same of a wheel; this also says it of a library, and which symbols they are.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# The newest of each family that PEP 600 admits for manylinux_2_28 (those of AlmaLinux 8), the same on both machines.
POLICY = {"GLIBC": (2, 28), "GLIBCXX": (3, 4, 24), "CXXABI": (1, 3, 11), "GCC": (7, 0, 0)}
# Of these alone may a library of ours ask the machine; the others come with what loads it.
SYSTEM = {
    "libc",
    "libm",
    "libdl",
    "librt",
    "libpthread",
    "libstdc++",
    "libgcc_s",
    "ld-linux-x86-64",
    "ld-linux-aarch64",
}
HOSTS = {"libtorch", "libtorch_cpu", "libtorch_cuda", "libc10", "libc10_cuda", "libdali", "libdali_core"}


def _readelf(option: str, library: Path) -> str:
    return subprocess.run(["readelf", "--wide", option, library], capture_output=True, text=True, check=True).stdout


def needed_versions(library: Path) -> set[str]:
    """Such as ``GLIBC_2.17``: every version that ``library`` asks another library for."""
    said = _readelf("--version-info", library)
    _, _, needs = said.partition("Version needs section")
    return set(re.findall(r"Name: (\S+)", needs))


def too_new(library: Path) -> list[str]:
    """The versions that ``library`` needs and the policy does not have, sorted; empty where it keeps to the policy."""
    found = []
    for version in sorted(needed_versions(library)):
        family, _, number = version.rpartition("_")
        if family in POLICY and tuple(map(int, number.split("."))) > POLICY[family]:
            found.append(version)
    return found


def symbols_of(library: Path, versions: list[str]) -> list[str]:
    """The functions that ``library`` takes in one of ``versions``."""
    said = _readelf("--dyn-syms", library)
    return sorted({name for name in re.findall(r"UND (\S+)", said) if name.partition("@")[2].strip("@") in versions})


def strange_libraries(library: Path) -> list[str]:
    """The libraries that ``library`` is linked to and that neither the machine nor its host is known to have."""
    names = re.findall(r"\(NEEDED\).*\[(\S+)\]", _readelf("--dynamic", library))
    return sorted(name for name in names if name.partition(".so")[0] not in SYSTEM | HOSTS)


def own_paths(library: Path) -> list[str]:
    """Folders of the building machine that ``library`` would look into when it is loaded."""
    return re.findall(r"\((?:RPATH|RUNPATH)\).*\[(\S+)\]", _readelf("--dynamic", library))


def problems(library: Path) -> list[str]:
    """What is wrong with a library of a wheel, a line each."""
    newer = too_new(library)
    said = [f"needs {', '.join(newer)}: {', '.join(symbols_of(library, newer))}"] if newer else []
    said += [f"is linked to {name}, which nothing brings" for name in strange_libraries(library)]
    return said + [f"looks for libraries in {place}" for place in own_paths(library)]


@contextmanager
def libraries_of(path: Path) -> Iterator[list[Path]]:
    """The libraries in a wheel, unpacked for as long as they are looked at; or ``path`` itself."""
    if path.suffix != ".whl":
        yield [path]
        return
    with tempfile.TemporaryDirectory(prefix="gsdd-symbols-") as folder, zipfile.ZipFile(path) as wheel:
        yield [Path(wheel.extract(name, folder)) for name in sorted(wheel.namelist()) if name.endswith(".so")]


def main(arguments: list[str]) -> int:
    wrong = 0
    for path in map(Path, arguments):
        with libraries_of(path) as libraries:
            for library in libraries:
                found = problems(library)
                wrong += len(found)
                print(f"{library.name}: {'; '.join(found) or 'within manylinux_2_28'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
