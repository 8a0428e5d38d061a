"""Distills and judges sets on the device, as far as the time goes: ``make gpu-sets``, or

    python benchmarks/gpu/sets.py --out gpu-sets --seconds 400 --fashion FOLDER --cifar FOLDER [--jobs NAME ...]

Experts are made first, once for all jobs of the same data. Each job distills into OUT/JOB.safetensors, and judges the
set by one network after another, each of a seed of its own, into OUT/JOB.rate.SEED.json
(``benchmarks/rate_tables.py --join`` makes one of them). Jobs run side by side, with few threads each. When the time is
over they write a checkpoint and end; the same command goes on from what lies in OUT. OUT/JOB.log has what was printed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import package

PROGRAM = (sys.executable, "-m", "gsdd_runtime")
# Sixteen threads in each of four jobs on sixteen cores made a step ten times as long.
THREADS = "2"
# Seconds that a command may take to write its checkpoint and end.
GRACE = 20.0
# Longer than any wait: the system takes no number without an end.
FOREVER = 1e7


@dataclass(frozen=True)
class Job:
    """One set.

    Attributes:
        data: ``fashion`` or ``cifar``.
        distill: options of ``distill`` beside those of all jobs.
        epochs: of each network that judges.
    """

    data: str
    distill: tuple[str, ...]
    epochs: int


# One method, chosen on held-out training images of Fashion-MNIST (docs/coding.md); images a class grow with the storage
# as in the paper's table.
JOBS = {
    "fashion-ipc1": Job("fashion", ("--ipc", "1", "--gpc", "49", "--iterations", "600"), 1000),
    "fashion-ipc10": Job("fashion", ("--ipc", "10", "--gpc", "400", "--iterations", "500"), 300),
    "fashion-ipc50": Job("fashion", ("--ipc", "50", "--gpc", "1000", "--iterations", "250", "--batch-syn", "256"), 150),
    "cifar-ipc1": Job("cifar", ("--ipc", "1", "--gpc", "126", "--iterations", "800"), 300),
    "cifar-ipc10": Job("cifar", ("--ipc", "10", "--gpc", "400", "--iterations", "500", "--batch-syn", "256"), 150),
}
OF_ALL = (
    "--method", "ncfm", "--coding", "entropy", "--learning-rate", "4e-3", "--schedule", "cosine", "--batch-real", "128",
    "--fit-steps", "400", "--resume",
)  # fmt: skip
EXPERTS = ("--count", "4", "--epochs", "8", "--momentum", "0.9", "--resume")
SMALL = {
    "sample": Job(
        "sample", ("--ipc", "1", "--gpc", "12", "--iterations", "2", "--fit-steps", "2", "--batch-real", "4"), 1
    ),
}
SMALL_EXPERTS = ("--count", "1", "--epochs", "2", "--batch-size", "500", "--resume")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="after which every job is asked to stop")
    parser.add_argument("--fashion", help="folder of Fashion-MNIST's files")
    parser.add_argument("--cifar", help="folder of CIFAR-10, as gsdd-rt reads it, or of class folders")
    parser.add_argument("--jobs", nargs="+", choices=list(JOBS), help="these alone; else those whose data is given")
    parser.add_argument("--networks", type=int, default=5, help="that judge each set")
    parser.add_argument("--libraries", type=Path, default=package.ROOT / "build" / "gpu" / "lib", help="built before")
    parser.add_argument("--rehearse", action="store_true", help="one small job of the embedded sample, on the CPU")
    return parser.parse_args()


def data_of(job: Job, options: argparse.Namespace) -> list[str]:
    """What a command is told of a job's data."""
    if job.data == "sample":
        return ["--dataset", "fashion-mnist-sample"]
    if job.data == "fashion":
        return ["--dataset", "fashion-mnist", "--data-dir", options.fashion]
    if Path(options.cifar, "train").is_dir():
        return ["--dataset", f"imagefolder:{options.cifar}"]
    return ["--dataset", "cifar10", "--data-dir", options.cifar]


def network_of(options: argparse.Namespace) -> list[str]:
    return ["--network", "convnet1-w4" if options.rehearse else "convnet3"]


def experts_of(job: Job, options: argparse.Namespace) -> Path:
    return Path(options.out, f"{job.data}-experts")


def make_experts(job: Job, options: argparse.Namespace, environment: dict[str, str], ends: float) -> int:
    """The experts of a job's data; they are there at once where an earlier run has made them."""
    made = SMALL_EXPERTS if options.rehearse else EXPERTS
    command = ["experts", *data_of(job, options), *network_of(options), *made, "--out", str(experts_of(job, options))]
    with (options.out / f"{job.data}-experts.log").open("a") as log:
        return finished(command, None, log, environment, ends)


def commands_of(name: str, job: Job, options: argparse.Namespace) -> list[tuple[list[str], Path | None]]:
    """What is left to do of a job, in order, and the file that each command prints."""
    data, network, distilled = data_of(job, options), network_of(options), options.out / f"{name}.safetensors"
    commands: list[tuple[list[str], Path | None]] = []
    if not distilled.exists():
        experts = ["--experts", str(experts_of(job, options))]
        commands.append((["distill", *data, *network, *OF_ALL, *job.distill, *experts, "--out", str(distilled)], None))
    judging = [*network, "--epochs", str(job.epochs), "--repeats", "1", "--json"]
    for seed in range(options.networks):
        told = options.out / f"{name}.rate.{seed}.json"
        if not told.exists():
            commands.append((["bench", "rate", str(distilled), *data, *judging, "--seed", str(seed)], told))
    return commands


def finished(words: list[str], told: Path | None, log: IO[str], environment: dict[str, str], ends: float) -> int:
    """Runs a command, which is asked to stop when the time is over; its exit code. ``told`` gets what it prints."""
    partial = None if told is None else told.with_suffix(".partial")
    with contextlib.ExitStack() as stack:
        printed = log if partial is None else stack.enter_context(partial.open("w"))
        process = subprocess.Popen(
            [*PROGRAM, *words], env=environment, stdout=printed, stderr=log, start_new_session=True
        )
        try:
            code = process.wait(max(0.0, min(ends - time.monotonic(), FOREVER)))
        except subprocess.TimeoutExpired:
            # What a shell starts in the background does not hear an interrupt.
            os.killpg(process.pid, signal.SIGTERM)
            try:
                code = process.wait(GRACE)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                code = process.wait()
    if partial is not None and told is not None and code == 0:
        os.replace(partial, told)
    return code


def run_job(name: str, job: Job, options: argparse.Namespace, environment: dict[str, str], ends: float) -> int:
    """The commands of a job until one fails or the time is over; the exit code of the last."""
    with (options.out / f"{name}.log").open("a") as log:
        for words, told in commands_of(name, job, options):
            code = finished(words, told, log, environment, ends)
            if code != 0 or time.monotonic() > ends:
                return code
    return 0


def outcome(name: str, code: int, options: argparse.Namespace) -> str:
    """What there is of a job, in a line."""
    judged = sorted(options.out.glob(f"{name}.rate.*.json"))
    accuracies = [json.loads(path.read_text())["points"][0]["last_epoch"]["mean"] for path in judged]
    made = "made" if (options.out / f"{name}.safetensors").exists() else "not finished"
    said = ", ".join(f"{100 * one:.1f} %" for one in accuracies) or "not judged"
    return f"{name}: {made}; {said}; exit code {code}"


def main() -> int:
    options = arguments()
    ends = time.monotonic() + options.seconds
    given = {"fashion": options.fashion, "cifar": options.cifar}
    jobs = SMALL if options.rehearse else {
        name: job for name, job in JOBS.items() if name in (options.jobs or JOBS) and given[job.data]
    }  # fmt: skip
    if not jobs:
        print("sets.py: no job has its data: give --fashion or --cifar", file=sys.stderr)
        return 2
    options.out.mkdir(parents=True, exist_ok=True)
    libraries = package.prebuilt(options.libraries) or package.installed_libraries()
    environment = package.assemble(options.out / "package", libraries or package.build(options.out / "build"))
    environment |= {"OMP_NUM_THREADS": THREADS} | ({"CUDA_VISIBLE_DEVICES": ""} if options.rehearse else {})
    of_data = {job.data: job for job in jobs.values()}
    with ThreadPoolExecutor(len(jobs)) as pool:
        made = list(pool.map(lambda job: make_experts(job, options, environment, ends), of_data.values()))
        if any(made):
            print(f"sets.py: experts are not made: exit codes {made}; see the logs in {options.out}", file=sys.stderr)
            return 1
        running = {name: pool.submit(run_job, name, job, options, environment, ends) for name, job in jobs.items()}
    codes = {name: one.result() for name, one in running.items()}
    for name, code in codes.items():
        print(outcome(name, code, options), flush=True)
    return max(codes.values(), key=abs)


if __name__ == "__main__":
    raise SystemExit(main())
