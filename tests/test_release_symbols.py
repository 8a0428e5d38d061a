"""What a library asks of the machine it is loaded on is read from it, and judged by what manylinux_2_28 has."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from script_folders import first_in_path

ROOT = Path(__file__).parent.parent
with first_in_path(ROOT / "release"):
    import symbols

pytestmark = pytest.mark.skipif(shutil.which("readelf") is None, reason="no readelf: install binutils")
# A function in a version that the policy has, and in one that it has not.
LIBRARY = 'extern "C" int {name}(int); extern "C" int ours(int x) {{ return {name}(x); }}'


def linked(folder: Path, version: str, *options: str) -> Path:
    """A library that takes ``theirs`` in ``version`` from another."""
    compiler = shutil.which("c++")
    if compiler is None:
        pytest.skip("no C++ compiler")
    (folder / "theirs.cpp").write_text('extern "C" int theirs(int x) { return x; }')
    (folder / "theirs.map").write_text(f"{version} {{ global: theirs; local: *; }};")
    (folder / "ours.cpp").write_text(LIBRARY.format(name="theirs"))
    shared = [compiler, "-shared", "-fPIC", "-nostdlib"]
    theirs = folder / "libm.so.6"
    subprocess.run([*shared, folder / "theirs.cpp", "-o", theirs, "-Wl,-soname,libm.so.6",
                    f"-Wl,--version-script={folder / 'theirs.map'}"], check=True)  # fmt: skip
    subprocess.run([*shared, folder / "ours.cpp", "-o", folder / "libours.so", theirs, *options], check=True)
    return folder / "libours.so"


@pytest.mark.parametrize("version", ["GLIBC_2.28", "GLIBC_2.2.5", "GLIBCXX_3.4.24", "CXXABI_1.3.11"])
def test_what_the_policy_has_is_right(tmp_path: Path, version: str) -> None:
    assert symbols.needed_versions(linked(tmp_path, version)) == {version}
    assert symbols.problems(linked(tmp_path, version)) == []


@pytest.mark.parametrize("version", ["GLIBC_2.29", "GLIBC_3.0", "GLIBCXX_3.4.25", "CXXABI_1.3.12", "GCC_12.0.0"])
def test_what_came_later_is_named_with_its_symbol(tmp_path: Path, version: str) -> None:
    library = linked(tmp_path, version)
    assert symbols.problems(library) == [f"needs {version}: theirs@{version}"]
    assert symbols.main([str(library)]) == 1


def test_a_folder_of_the_building_machine_and_a_library_of_nobody_are_seen(tmp_path: Path) -> None:
    other = tmp_path / "libother.so.1"
    subprocess.run(["c++", "-shared", "-x", "c++", "/dev/null", "-o", other, "-Wl,-soname,libother.so.1"], check=True)
    library = linked(tmp_path, "GLIBC_2.28", f"-Wl,-rpath,{tmp_path}", "-Wl,--no-as-needed", str(other))
    assert symbols.problems(library) == [
        "is linked to libother.so.1, which nothing brings",
        f"looks for libraries in {tmp_path}",
    ]
