"""The steps of a public host's CI are scripts and targets that are here; the source archive has what a build needs."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LEFT_OUT = (".ci/", ".github/")
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PROJECT = (ROOT / "pyproject.toml").read_text()
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
SCRIPT = re.compile(r"(?:release|benchmarks|\.ci)/[\w./]+")


def steps(workflow: Path) -> list[str]:
    """Each line that a workflow runs."""
    text = workflow.read_text()
    one = re.findall(r"^ +(?:- )?run: (?!\|)(.+)$", text, re.MULTILINE)
    blocks = re.findall(r"^ +- run: \|\n((?: {10}.+\n)+)", text, re.MULTILINE)
    return one + [line.strip() for block in blocks for line in block.splitlines()]


def wrong(step: str) -> str | None:
    """Why a step is not one of this checkout's; None where it is."""
    words = shlex.split(step, comments=True)
    if words[0] == "make":
        missing = [word for word in words[1:] if "=" not in word and word not in TARGETS]
        return f"make has no {missing[0]}" if missing else None
    scripts = SCRIPT.findall(step)
    if not scripts and words[0] != "umask":
        return f"{step!r} runs no script of ours"
    return next((f"there is no {script}" for script in scripts if not (ROOT / script).is_file()), None)


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_each_step_of_a_workflow_is_here(workflow: Path) -> None:
    assert len(steps(workflow)) >= 1
    assert [said for step in steps(workflow) if (said := wrong(step))] == []


def test_a_step_that_is_not_here_is_seen() -> None:
    assert len(WORKFLOWS) == 2
    assert wrong("make wheels") == "make has no wheels"
    assert wrong("sh release/wheel.sh dist") == "there is no release/wheel.sh"
    assert wrong("pip install torch && pytest") is not None
    assert {"bash .ci/run", "sh release/wheels.sh dist"} <= {step for path in WORKFLOWS for step in steps(path)}


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_cibuildwheel_takes_its_options_and_every_python(machine: str) -> None:
    """It checks the whole section; containers need docker, this does not."""
    cibuildwheel = pytest.importorskip("cibuildwheel", reason="cibuildwheel is not installed")
    assert f"cibuildwheel=={cibuildwheel.__version__}\n" in (ROOT / "release" / "wheels.sh").read_text()
    words = ["--print-build-identifiers", "--platform", "linux", "--archs", machine, str(ROOT)]
    asked = subprocess.run([sys.executable, "-m", "cibuildwheel", *words], capture_output=True, text=True, check=False)
    assert asked.returncode == 0, asked.stderr
    pythons = re.findall(r"Python :: 3\.(\d+)", PROJECT)
    assert asked.stdout.split() == [f"cp3{minor}-manylinux_{machine}" for minor in pythons]


def test_the_containers_commands_are_here() -> None:
    section = PROJECT.partition("[tool.cibuildwheel]")[2].partition("\n[")[0]
    commands = re.findall(r'(?:command|before-build) = "(.+)"', section)
    assert len(commands) == 3
    for command in commands:
        assert wrong(command.replace("{project}/", "")) is None
    passed = set(re.findall(r'"([A-Z_]+)"', re.search(r"environment-pass = \[.*\]", section)[0]))
    asked = set(re.findall(r"\$\{?([A-Z][A-Z_]+)", (ROOT / "release" / "container.sh").read_text()))
    assert asked <= passed | {"PATH"}
    assert {"GSDD_WHEEL", "SOURCE_DATE_EPOCH"} <= passed


@pytest.mark.parametrize("script", sorted((ROOT / "release").glob("*.sh")), ids=lambda path: path.stem)
def test_shell_scripts_parse_and_may_be_run(script: Path) -> None:
    subprocess.run(["sh", "-n", script], check=True)
    assert os.access(script, os.X_OK)


def test_both_wheels_ask_for_what_they_have_to_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = pytest.importorskip("scikit_build_core.settings.skbuild_read_settings").SettingsReader

    monkeypatch.delenv("GSDD_WITH_DALI", raising=False)

    def defined(wheel: str) -> tuple[dict[str, str], str | None]:
        settings = reader.from_file(ROOT / "pyproject.toml", env={"GSDD_WHEEL": wheel}).settings
        return settings.cmake.define, settings.metadata["version"].get("result")

    everywhere = {"GSDD_ONNXRUNTIME": "ON", "GSDD_DALI": "OFF"}
    assert defined("cpu") == ({**everywhere, "GSDD_CUDA": "OFF", "GSDD_TENSORRT": "OFF"}, None)
    assert defined("cuda") == ({**everywhere, "GSDD_CUDA": "ON", "GSDD_TENSORRT": "ON"}, "{value}+cu13")
    assert defined("") == ({}, None)
    monkeypatch.setenv("GSDD_WITH_DALI", "ON")
    assert defined("cpu")[0]["GSDD_DALI"] == "ON"


def archive(folder: Path) -> Path:
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}
    command = [sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", folder, ROOT]
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    (made,) = folder.glob("*.tar.gz")
    return made


def test_the_source_archive_holds_what_the_repository_does_and_nothing_else(tmp_path: Path) -> None:
    listed = ["git", "-C", ROOT, "ls-files", "--cached", "--others", "--exclude-standard"]
    said = subprocess.run(listed, capture_output=True, text=True, check=False)
    if said.returncode != 0:
        pytest.skip("not in a repository")
    wanted = {name for name in said.stdout.splitlines() if not name.startswith(LEFT_OUT) and (ROOT / name).exists()}
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    first, second = archive(tmp_path / "a"), archive(tmp_path / "b")
    with tarfile.open(first) as sources:
        inside = {name.partition("/")[2] for name in sources.getnames()}
    assert inside == wanted | {"PKG-INFO"}
    assert {"CMakeLists.txt", "cmake/Door.cmake", "plugins/op_contract.json", "release/wheel.py"} <= inside
    assert first.read_bytes() == second.read_bytes()
