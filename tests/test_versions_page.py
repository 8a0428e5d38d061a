"""docs/versions.md says what pyproject.toml admits, and what constraints, Makefile, .ci/run and CMake install."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from script_folders import first_in_path

ROOT = Path(__file__).parent.parent
with first_in_path(ROOT / "release"):
    import bounds
    import symbols

PROJECT = (ROOT / "pyproject.toml").read_text()
EXTRAS = {
    "export": ("onnx", "onnxscript"),
    "onnxruntime": ("onnxruntime",),
    "gsplat": ("gsplat",),
    "tensorrt": ("tensorrt",),
}
# Rows whose package has a longer name, or another one than the row.
PACKAGES = {"dali": "nvidia-dali-cuda130", "openvino": "openvino"}


def rows() -> dict[str, list[str]]:
    lines = [line for line in (ROOT / "docs" / "versions.md").read_text().splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {name.lower(): versions for name, *versions in cells if name}


def found_in(file: str, pattern: str) -> list[str]:
    found = re.findall(pattern, (ROOT / file).read_text())
    assert found, f"{pattern} is not in {file} any more"
    return found


def constraint(name: str) -> str | None:
    match = re.search(rf"^{re.escape(name)}==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    return match and match[1]


def numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)))


def admitted() -> dict[str, str]:
    wanted = bounds.requirements(PROJECT)
    for extra in EXTRAS:
        wanted = [*wanted, *bounds.requirements(PROJECT, extra)]
    return bounds.lower_bounds(wanted)


def test_every_dependency_has_a_row_with_its_oldest_version() -> None:
    assert {name: rows()[name][0] for name in admitted()} == admitted()
    assert set(admitted()) > {"torch", "numpy", "typer", "onnxruntime", "tensorrt"}


def test_what_every_change_is_tested_with_is_what_is_installed() -> None:
    pinned = {name: constraint(PACKAGES.get(name, name)) for name in rows()}
    for name, version in pinned.items():
        if version is not None:
            assert rows()[name][1].split(", ")[0] == version, name
    assert {name for name, version in pinned.items() if version} > {"torch", "onnx", "onnxruntime", "dali", "openvino"}
    assert rows()["onnxruntime"][1].split(", ")[1:] == found_in("Makefile", r"onnxruntime==([\d.]+)")
    assert [rows()["onnxruntime-web"][1]] == found_in("Makefile", r"onnxruntime-web@([\d.]+)")
    assert {rows()["tensorrt-rtx"][1]} == set(found_in(".ci/run", r"tensorrt-rtx-cu13-\w+==([\d.]+)"))
    (headers,) = found_in("plugins/tensorrt/fetch_headers.py", r'NAME = "tensorrt-headers-([\d.]+)"')
    assert rows()["tensorrt"][1] == f"headers of {headers}"


def test_python_cuda_dali_and_glibc_are_those_of_the_build() -> None:
    assert found_in("pyproject.toml", r'requires-python = ">=([\d.]+)"') == [rows()["python"][0]]
    said = found_in("pyproject.toml", r"Python :: (3\.\d+)")
    built = found_in("pyproject.toml", r'build = "cp3\{([\d,]+)\}')[0].split(",")
    assert said == [f"3.{minor}" for minor in built]
    assert (said[0], said[-1]) == (rows()["python"][0], rows()["python"][2])
    assert found_in("cmake/Cuda.cmake", r"GSDD_CUDA_OLDEST_TOOLKIT (\d+)") == [rows()["cuda"][0]]
    assert found_in("pyproject.toml", r"nvidia-dali-cuda130==([\d.]+)") == [rows()["dali"][0]]
    assert rows()["glibc"][0] == ".".join(map(str, symbols.POLICY["GLIBC"]))


def test_the_native_part_is_built_for_the_oldest_hosts() -> None:
    major, minor = numbers(rows()["torch"][0])
    (target,) = found_in("plugins/torch/CMakeLists.txt", r"TORCH_TARGET_VERSION=0x(\w+)ull")
    assert target == f"{major:02x}{minor:02x}".ljust(16, "0")
    (interface,) = found_in("cmake/OnnxRuntimeHeaders.cmake", r"GSDD_ONNXRUNTIME_API (\d+)")
    assert rows()["onnxruntime"][0] == f"1.{interface}"


@pytest.mark.parametrize("name", rows())
def test_versions_grow_from_left_to_right(name: str) -> None:
    oldest, tested, newest = rows()[name]
    assert numbers(oldest) <= numbers(newest) or oldest == newest
    if re.fullmatch(r"[\d.]+", tested.split(", ")[0]):
        assert numbers(tested.split(", ")[0])[: len(numbers(newest))] <= numbers(newest)


def test_the_oldest_environment_is_of_these_versions(capsys: pytest.CaptureFixture[str]) -> None:
    assert bounds.main(["export", "onnxruntime"]) == 0
    told = capsys.readouterr().out.split()
    assert f"torch=={rows()['torch'][0]}" in told
    assert f"onnxruntime=={rows()['onnxruntime'][0]}" in told
    assert not [requirement for requirement in told if requirement.startswith("tomli")]


def test_the_changelog_begins_with_this_version() -> None:
    from gsdd_runtime.versions import VERSION

    assert found_in("CHANGELOG.md", r"(?m)^## (\S+)")[0] == VERSION
