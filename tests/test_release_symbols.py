"""What a library asks of the machine it is loaded on is read from it, and judged by what manylinux_2_28 has."""

from __future__ import annotations

import ctypes
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


PROJECT = """cmake_minimum_required(VERSION 3.22)
project(tried LANGUAGES CXX)
include({root}/cmake/OlderGlibc.cmake)
gsdd_add_older_glibc()
foreach(name IN ITEMS plain older)
  add_library(${{name}} MODULE tried.cpp)
endforeach()
target_link_libraries(older PRIVATE gsdd_older_glibc)
target_link_libraries(plain PRIVATE ${{CMAKE_DL_LIBS}} pthread)
"""
TRIED = """#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>
static void* started(void* counted) { sem_post(static_cast<sem_t*>(counted)); return nullptr; }
extern "C" int tried() {
  sem_t counted;
  pthread_t thread;
  if (sem_init(&counted, 0, 0) != 0 || pthread_create(&thread, nullptr, started, &counted) != 0) return 1;
  sem_wait(&counted);
  pthread_join(thread, nullptr);
  return dlsym(dlopen(nullptr, RTLD_NOW), "getpid") == nullptr ? 2 : 0;
}
"""


def test_what_glibc_moved_is_taken_from_where_older_ones_have_it(tmp_path: Path) -> None:
    if shutil.which("c++") is None or shutil.which("cmake") is None:
        pytest.skip("no C++ compiler, or no CMake")
    (tmp_path / "CMakeLists.txt").write_text(PROJECT.format(root=ROOT))
    (tmp_path / "tried.cpp").write_text(TRIED)
    for command in (["-S", tmp_path, "-B", tmp_path / "tree"], ["--build", tmp_path / "tree"]):
        subprocess.run(["cmake", *command], check=True, capture_output=True)
    older = tmp_path / "tree" / "libolder.so"
    assert symbols.too_new(older) == []
    needed = symbols.needed_versions(older)
    assert symbols.needed_versions(tmp_path / "tree" / "libplain.so") != needed or "GLIBC_2.34" not in needed
    # The machine's own glibc, whatever it is, has them.
    assert ctypes.CDLL(str(older)).tried() == 0
