"""From a checkout to figures on a GPU, in stages, the most valuable first: ``make gpu``, or

    python benchmarks/gpu/run.py --out gpu-results [--budget 800] [--cifar FOLDER] [--rehearse]

It needs torch with CUDA, the toolkit, and a few packages of Python: what is missing is said at once, and nothing is
installed and nothing fetched. Each stage is a program with a time limit, writes OUT/STAGE/result.json as it goes, and
is left out by the next run once it has passed; a stage that was stopped goes on. OUT/summary.json says how each ended,
with the commit, the device and the versions. Exit code 0 where every stage that was begun passed, 1 where one failed,
2 where something required is missing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import missing
import package
from stages import STAGES, Stage

ROOT = package.ROOT
PASSED, FAILED, STOPPED, LEFT_OUT = "passed", "failed", "out of time", "left out"


def arguments(given: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "gpu-results")
    parser.add_argument("--stages", nargs="+", choices=[stage.name for stage in STAGES], help="these alone")
    parser.add_argument("--budget", type=float, default=float("inf"), help="seconds after which no stage is begun")
    parser.add_argument("--cifar", help="folder of CIFAR-10, as gsdd-rt reads it")
    parser.add_argument("--libraries", type=Path, default=ROOT / "build" / "gpu" / "lib", help="built before")
    parser.add_argument("--again", action="store_true", help="also stages that have passed")
    parser.add_argument("--commit", help="of a copy without git and without changes")
    parser.add_argument("--missing", action="store_true", help="say what is missing, and end")
    parser.add_argument("--rehearse", action="store_true", help="small, with the CPU standing in for the device")
    return parser.parse_args(given)


def described(options: argparse.Namespace, found: list[missing.Found]) -> dict[str, Any]:
    """What every result is of: the sources, the machine, the versions."""
    version, cuda, device, capability = missing.ask_torch()

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True)
        return done.stdout.strip() if done.returncode == 0 else "unknown"

    return {
        "rehearsal": options.rehearse,
        "commit": options.commit or git("rev-parse", "HEAD"),
        "changed": options.commit is None and git("status", "--porcelain", "--untracked-files=no") != "",
        "plugins": package.plugins_digest(),
        "device": device or "cpu",
        "compute_capability": capability,
        "versions": {"torch": version, "cuda": cuda, "python": platform.python_version(), "gsdd_rt": _version()},
        "missing": [one.name for one in found if not one.there],
    }


def _version() -> str:
    text = (ROOT / "gsdd_runtime" / "versions.py").read_text()
    return text.split('VERSION = "')[1].split('"')[0]


def libraries_for(options: argparse.Namespace) -> Path:
    """Built before, or now; in a rehearsal those that are installed."""
    ready = package.prebuilt(options.libraries) or package.prebuilt(options.out / "build" / "lib")
    if ready is None and options.rehearse:
        ready = package.installed_libraries()
    if ready is not None:
        return ready
    print("building the libraries", flush=True)
    return package.build(options.out / "build")


def run_stage(stage: Stage, options: argparse.Namespace, environment: dict[str, str]) -> dict[str, Any]:
    """Runs one stage within its time; how it ended, and after how long."""
    folder = options.out / stage.name
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, *stage.program, "--out", str(folder)]
    command += stage.rehearsal if options.rehearse else stage.full
    if stage.cifar and options.cifar and not options.rehearse:
        command += ["--cifar", options.cifar]
    started = time.monotonic()
    with (folder / "log.txt").open("a") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            code = process.wait(stage.seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            code = None
    status = STOPPED if code is None else PASSED if code == 0 else FAILED
    return {"status": status, "exit": code, "seconds": round(time.monotonic() - started, 1)}


def write(summary: dict[str, Any], path: Path) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(summary, indent=1) + "\n")
    os.replace(partial, path)


def earlier_stages(path: Path, now: dict[str, Any]) -> dict[str, Any]:
    """Stages of an earlier run of the same sources on the same device."""
    if not path.exists():
        return {}
    earlier = json.loads(path.read_text())
    same = all(earlier[name] == now[name] for name in ("rehearsal", "plugins", "device"))
    return earlier["stages"] if same else {}


def main(given: list[str] | None = None) -> int:
    options = arguments(given)
    options.out = options.out.resolve()
    started = time.monotonic()
    if options.rehearse:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    found = missing.look(package.prebuilt(options.libraries), options.cifar)
    print(missing.table(found), flush=True)
    lacking = [one.name for one in found if one.required and not one.there]
    if options.missing or (lacking and not options.rehearse):
        if lacking:
            print(f"make gpu: missing: {', '.join(lacking)}", file=sys.stderr)
        return 2 if lacking else 0
    options.out.mkdir(parents=True, exist_ok=True)
    summary = described(options, found)
    place = options.out / "summary.json"
    summary["stages"] = earlier_stages(place, summary)
    environment = package.assemble(options.out / "package", libraries_for(options))
    absent = set() if options.rehearse else {one.name for one in found if not one.there}
    for stage in STAGES:
        known = summary["stages"].get(stage.name, {}).get("status")
        if (options.stages and stage.name not in options.stages) or (known == PASSED and not options.again):
            continue
        if lack := absent.intersection(stage.needs):
            summary["stages"][stage.name] = {"status": LEFT_OUT, "why": f"no {', '.join(sorted(lack))}"}
        elif time.monotonic() - started > options.budget:
            summary["stages"][stage.name] = {"status": LEFT_OUT, "why": "the budget is spent"}
        else:
            print(f"{stage.name}: {stage.what} (at most {stage.seconds} s)", flush=True)
            summary["stages"][stage.name] = run_stage(stage, options, environment)
        print(f"{stage.name}: {json.dumps(summary['stages'][stage.name])}", flush=True)
        write(summary, place)
    statuses = [stage["status"] for stage in summary["stages"].values()]
    print(f"{place}: {', '.join(f'{statuses.count(kind)} {kind}' for kind in dict.fromkeys(statuses))}")
    return 1 if FAILED in statuses or STOPPED in statuses else 0


if __name__ == "__main__":
    sys.exit(main())
