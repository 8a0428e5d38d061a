"""Builds the wheel of a commit twice, in two folders, and compares the bytes: ``python release/reproduce.py [COMMIT]``.

The folders have names of different lengths, the files other times and another umask's rights. Ends with 1 where a byte
differs, after a list of the files of the wheel that do.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def checkout(commit: str, folder: Path, umask: int) -> Path:
    """The files of ``commit``, in ``folder``, with today's times."""
    folder.mkdir(parents=True)
    archive = subprocess.run(["git", "-C", ROOT, "archive", commit], check=True, capture_output=True).stdout
    unpack = ["tar", "--extract", "--touch", "--no-same-permissions", "-C", folder]
    subprocess.run(unpack, check=True, input=archive, umask=umask)
    return folder


def wheel_of(source: Path, out: Path, epoch: str, umask: int) -> Path:
    command = [sys.executable, source / "release" / "wheel.py", "--source", source, "--out", out]
    subprocess.run(command, check=True, cwd=source, umask=umask, env={**os.environ, "SOURCE_DATE_EPOCH": epoch})
    (wheel,) = out.glob("*.whl")
    return wheel


def contents(wheel: Path) -> dict[str, tuple[str, int, tuple[int, ...]]]:
    """Hash, rights and time of each file."""
    with zipfile.ZipFile(wheel) as archive:
        return {
            info.filename: (hashlib.sha256(archive.read(info)).hexdigest(), info.external_attr >> 16, info.date_time)
            for info in archive.infolist()
        }


def differences(first: Path, second: Path) -> list[str]:
    """What differs between two wheels, a line each; empty where their bytes are equal."""
    if first.read_bytes() == second.read_bytes():
        return []
    before, after = contents(first), contents(second)
    said = [f"{name}: {before.get(name)} and {after.get(name)}" for name in sorted(before.keys() | after.keys())
            if before.get(name) != after.get(name)]  # fmt: skip
    return said or ["the files are equal, and their order or compression is not"]


def main(arguments: list[str]) -> int:
    # Named once: a branch may move on while the first wheel is built.
    asked = ["git", "-C", ROOT, "log", "-1", "--format=%H %ct", arguments[0] if arguments else "HEAD"]
    commit, epoch = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.split()
    with tempfile.TemporaryDirectory(prefix="gsdd-reproduce-") as name:
        folder = Path(name)
        made = []
        for place, umask in (("a", 0o022), ("another/folder with a longer name", 0o077)):
            source = checkout(commit, folder / place / "source", umask)
            made.append(wheel_of(source, folder / place / "out", epoch, umask))
        found = differences(*made)
        print(*(f"differs: {line}" for line in found), sep="\n")
        if not found:
            print(hashlib.sha256(made[0].read_bytes()).hexdigest(), made[0].name, "twice, with equal bytes")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
