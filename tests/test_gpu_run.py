"""``make gpu``: rehearsed end to end on the CPU, gone on with, refused where something is missing; and its figures."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "benchmarks" / "gpu"


def module(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A file of benchmarks/gpu, with its neighbours importable while it is."""
    for folder in (FOLDER, ROOT / "benchmarks"):
        monkeypatch.syspath_prepend(str(folder))
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, made)
    spec.loader.exec_module(made)
    return made


def run(*options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(FOLDER / "run.py"), *options]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_it_is_rehearsed_end_to_end(tmp_path: Path) -> None:
    done = run("--rehearse", "--out", str(tmp_path), "--libraries", str(tmp_path / "none"))
    logs = "\n".join(log.read_text()[-2000:] for log in tmp_path.glob("*/log.txt"))
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{logs}"
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["rehearsal"] is True
    assert summary["device"] == "cpu"
    assert {stage["status"] for stage in summary["stages"].values()} == {"passed"}
    names = ["parity", "tests", "kernels", "training", "distilling", "engines", "sanitizer"]
    assert list(summary["stages"]) == names
    for name in names:
        assert list((tmp_path / name).glob("*.json")), name
    parity = json.loads((tmp_path / "parity" / "result.json").read_text())
    assert parity["broken"] == []
    assert len(parity["cases"]) == 6
    distilling = json.loads((tmp_path / "distilling" / "result.json").read_text())
    assert distilling["tm"]["steps_per_second"] > 0
    spent = distilling["dm"]["milliseconds"]
    assert spent["operators"] > 100
    assert len(spent["host"]) > 5
    # The package that ran is the copy, and the next run has nothing left to do.
    assert (tmp_path / "package" / "gsdd_runtime" / "export" / "onnx.py").exists()
    again = run("--rehearse", "--out", str(tmp_path), "--libraries", str(tmp_path / "none"))
    assert again.returncode == 0
    assert "at most" not in again.stdout


def test_without_a_device_it_says_what_is_missing_and_begins_nothing(tmp_path: Path) -> None:
    done = run("--out", str(tmp_path / "out"), CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 2
    assert "missing! device" in done.stdout
    assert done.stderr.startswith("make gpu: missing: device")
    assert not (tmp_path / "out").exists()


def test_a_failing_and_a_slow_stage_are_told_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = module("run", monkeypatch)
    programs = {"first": "raise SystemExit(3)", "second": "import time; time.sleep(60)", "third": "print('done')"}
    for name, program in programs.items():
        (tmp_path / f"{name}.py").write_text(program)
    stages = tuple(runner.Stage(name, name, 2, (str(tmp_path / f"{name}.py"),)) for name in programs)
    monkeypatch.setattr(runner, "STAGES", stages)
    monkeypatch.setattr(runner.package, "assemble", lambda *_: dict(os.environ))
    monkeypatch.setattr(runner.missing, "look", lambda *_: [])
    monkeypatch.setattr(runner.missing, "ask_torch", lambda: ("2.13.0", "13.0", "", ""))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    options = ["--rehearse", "--out", str(tmp_path / "out")]
    assert runner.main(options) == 1
    ended = json.loads((tmp_path / "out" / "summary.json").read_text())["stages"]
    assert [stage["status"] for stage in ended.values()] == ["failed", "out of time", "passed"]
    (tmp_path / "first.py").write_text("")
    (tmp_path / "second.py").write_text("")
    (tmp_path / "third.py").write_text("raise SystemExit(1)  # has passed, and is not run again")
    assert runner.main(options) == 0
    assert runner.main([*options, "--again", "--stages", "third"]) == 1


DIGEST = "0" * 64


def document(**changes: Any) -> dict[str, Any]:
    stages = {
        name: {"status": "passed", "seconds": 3.0, "result": {}}
        for name in ("parity", "tests", "kernels", "training", "distilling")
    }
    stages["parity"]["result"] = {
        "cases": {"one": {}}, "worst": {"image": 1e-5, "gradient": 2e-5}, "broken": []
    }  # fmt: skip
    stages["distilling"]["result"] = {
        "fit, 170 at 128": {"images": 1000, "steps": 1000, "seconds": 9.5, "psnr": 31.0},
        "dm": {
            "data": "CIFAR-10",
            "steps_per_second": 40.0,
            "milliseconds": {"step": 30.0, "host": {"all": 28.0}, "device": {"all": 21.0}, "operators": 900.0},
        },
    }
    versions = {"torch": "2.15.0", "cuda": "13.0", "python": "3.12", "gsdd_rt": "0.1.0"}
    return {
        "rehearsal": False, "commit": "abc", "changed": False, "plugins": DIGEST, "device": "NVIDIA Pretend",
        "compute_capability": "9.0", "versions": versions, "stages": stages, **changes,
    }  # fmt: skip


def test_a_release_needs_results_of_these_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    release = module("release", monkeypatch)
    assert release.problem([document()], DIGEST) is None
    assert "no results of a GPU" in release.problem([], DIGEST)
    assert "rehearsal" in release.problem([document(rehearsal=True)], DIGEST)
    assert "rehearsal" in release.problem([document(device="cpu")], DIGEST)
    assert "other sources" in release.problem([document(plugins="1" * 64)], DIGEST)
    for name in ("parity", "tests", "kernels", "training", "distilling"):
        for status in ("failed", "out of time", "left out"):
            changed = document()
            changed["stages"][name]["status"] = status
            assert f"the stage {name} is {status}" in release.problem([changed], DIGEST)
    broken = document()
    broken["stages"]["parity"]["result"]["broken"] = ["needles"]
    assert "drawn wrong: needles" in release.problem([broken], DIGEST)
    # One good device is enough, whatever stands beside it.
    assert release.problem([broken, document()], DIGEST) is None


def test_the_command_refuses_as_long_as_there_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release = module("release", monkeypatch)
    monkeypatch.setattr(release.figures, "kept_results", list)
    assert release.main() == 1
    monkeypatch.setattr(release.figures, "kept_results", lambda: [document(plugins=release.package.plugins_digest())])
    assert release.main() == 0
    assert "benchmarks/gpu/release.py" in (ROOT / "Makefile").read_text().split("\nrelease:")[1].split("\n\n")[0]


def test_the_digest_follows_the_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = module("package", monkeypatch)
    (tmp_path / "plugins").mkdir()
    (tmp_path / "CMakeLists.txt").write_text("a")
    kernel = tmp_path / "plugins" / "kernel.cu"
    kernel.write_text("b")
    before = package.plugins_digest(tmp_path)
    kernel.write_text("c")
    assert package.plugins_digest(tmp_path) != before
    kernel.write_text("b")
    assert package.plugins_digest(tmp_path) == before
    libraries = tmp_path / "lib"
    libraries.mkdir()
    assert package.prebuilt(libraries) is None
    (libraries / package.DIGEST).write_text(DIGEST)
    assert package.prebuilt(libraries) is None
    (libraries / package.DIGEST).write_text(package.plugins_digest())
    assert package.prebuilt(libraries) == libraries


def test_pages_say_what_was_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = module("figures", monkeypatch)
    for name in figures.PAGES:
        text = (ROOT / name).read_text()
        assert figures.filled(text, figures.kept_results()) == text, f"run benchmarks/gpu/figures.py: {name}"
    page = (ROOT / "docs" / "gpu.md").read_text()
    pages = "".join((ROOT / name).read_text() for name in figures.PAGES)
    assert sorted(name for _, name, _ in figures._BLOCK.findall(pages)) == sorted(figures.SECTIONS)
    told = figures.filled(page, [document()])
    for words in (
        "| parity | passed | 3.0 |",
        "at most 1.0e-05 in an image",
        "9.5 s, 31.0 dB",
        "40.00 steps a second; of 30 ms, profiled, the device works 21.",
    ):
        assert words in told
    # What a stage has not found out is said to be not run.
    assert told.count(figures.NOT_RUN) == 4
    assert figures.filled(told, []) == figures.filled(page, [])


def test_a_rehearsal_is_kept_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = module("figures", monkeypatch)
    with pytest.raises(SystemExit, match=r"no summary\.json"):
        figures.keep([tmp_path], tmp_path)
    (tmp_path / "summary.json").write_text(json.dumps(document(rehearsal=True)))
    with pytest.raises(SystemExit, match="rehearsal"):
        figures.keep([tmp_path], tmp_path)
    (tmp_path / "summary.json").write_text(json.dumps(document()))
    (tmp_path / "parity").mkdir()
    (tmp_path / "parity" / "result.json").write_text(json.dumps({"broken": []}))
    kept = figures.keep([tmp_path], tmp_path)
    assert kept.name == "nvidia-pretend-gpu.json"
    stored = figures.kept_results(tmp_path)
    assert stored[0]["stages"]["parity"]["result"] == {"broken": []}


def test_runs_of_the_same_sources_on_one_device_are_kept_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = module("figures", monkeypatch)
    first, second = tmp_path / "first", tmp_path / "second"
    passed, stopped = {"status": "passed", "seconds": 1.0}, {"status": "out of time", "seconds": 2.0}
    for out, stages in ((first, {"parity": passed, "tests": stopped}), (second, {"tests": passed})):
        out.mkdir()
        (out / "summary.json").write_text(json.dumps(document() | {"stages": stages}))
    figures.keep([first, second], tmp_path)
    (stored,) = figures.kept_results(tmp_path)
    assert {name: stage["status"] for name, stage in stored["stages"].items()} == {
        "parity": "passed", "tests": "passed",
    }  # fmt: skip
    (second / "summary.json").write_text(json.dumps(document() | {"plugins": "of others"}))
    with pytest.raises(SystemExit, match="same sources"):
        figures.keep([first, second], tmp_path)


def test_a_copy_without_git_is_told_its_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    program = module("run", monkeypatch)
    found = program.described(program.arguments(["--commit", "abc"]), [])
    assert (found["commit"], found["changed"]) == ("abc", False)


def test_a_job_goes_on_from_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sets = module("sets", monkeypatch)
    monkeypatch.setattr("sys.argv", ["sets.py", "--out", str(tmp_path), "--fashion", "DIR", "--networks", "2"])
    options, job = sets.arguments(), sets.JOBS["fashion-ipc1"]

    def left() -> list[str]:
        return [words[0] for words, _ in sets.commands_of("fashion-ipc1", job, options)]

    assert left() == ["distill", "bench", "bench"]
    (tmp_path / "fashion-ipc1.safetensors").touch()
    (tmp_path / "fashion-ipc1.rate.0.json").touch()
    assert left() == ["bench"]
    words, told = sets.commands_of("fashion-ipc1", job, options)[0]
    assert told == tmp_path / "fashion-ipc1.rate.1.json"
    assert words[words.index("--seed") + 1] == "1"
    assert words[words.index("--data-dir") + 1] == "DIR"


@pytest.mark.parametrize("stubborn", [False, True])
def test_a_command_is_asked_to_stop_when_the_time_is_over(
    stubborn: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = module("sets", monkeypatch)
    waits = "import signal, time\n" + ("signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" if stubborn else "")
    waits += "print('begun', flush=True)\ntime.sleep(600)\n"
    monkeypatch.setattr(sets, "PROGRAM", (sys.executable, "-c", waits))
    monkeypatch.setattr(sets, "GRACE", 0.5 if stubborn else 10.0)
    told = tmp_path / "told.json"
    with (tmp_path / "log").open("w") as log:
        # How it ended goes by how far Python had come: the signal may reach it before its first line.
        assert sets.finished([], told, log, dict(os.environ), time.monotonic() + 1.0) != 0
        # What was not finished has not its name.
        assert not told.exists()
        monkeypatch.setattr(sets, "PROGRAM", (sys.executable, "-c", "print('{}')"))
        assert sets.finished([], told, log, dict(os.environ), float("inf")) == 0
    assert told.read_text() == "{}\n"
