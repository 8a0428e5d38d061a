"""A real distillation on the device: the fit that the paper times, and steps a second of DM and of TM."""

from __future__ import annotations

import shutil
import statistics
import time
from pathlib import Path
from typing import Any

import cuda_bench
import torch
from torch.profiler import ProfilerActivity, profile
from writing import DEVICE, Result, arguments

import gsdd_runtime as gsdd
from gsdd_runtime.experts.making import make_experts
from gsdd_runtime.progress import Progress

# The paper's settings for CIFAR-10 at one image of storage a class (section 4.1).
SETTING = {"ipc": 1, "gpc": 30, "device": DEVICE}


def real_data(folder: str | None, images: int) -> tuple[str, gsdd.RealData]:
    """CIFAR-10 where there is one, else random images of its shape: a step's time is the same."""
    if folder:
        return "CIFAR-10", gsdd.load_dataset("cifar10", folder)
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (images, 3, 32, 32), dtype=torch.uint8, generator=generator)
    names = [str(index) for index in range(10)]
    return "random images", gsdd.RealData.of("random", (pixels, torch.arange(images) % 10), None, names)


# Steps, the last but one of a run, whose operators are looked at.
PROFILED = 5
# Of operators, the longest that are told.
TOLD = 12


class Pace:
    """When each matching step was done, the first ones warming up; and what takes the time of the last ones."""

    def __init__(self) -> None:
        self._ends: list[float] = []
        kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if DEVICE == "cuda" else [])]
        self._profile = profile(activities=kinds)
        self._began: float | None = None
        self._profiled = 0.0

    def __call__(self, progress: Progress) -> None:
        if progress.phase != "match":
            return
        if DEVICE == "cuda":
            torch.cuda.synchronize()
        left = progress.total - progress.step
        if left > PROFILED or self._began is None:
            self._ends.append(time.perf_counter())
        if left == PROFILED:
            self._profile.start()
            self._began = time.perf_counter()
        elif left == 0 and self._began is not None:
            self._profiled = time.perf_counter() - self._began
            self._profile.stop()

    def steps_per_second(self) -> float:
        spans = [after - before for before, after in zip(self._ends, self._ends[1:], strict=False)]
        return 1 / statistics.median(spans[len(spans) // 4 :])

    def where_time_goes(self) -> dict[str, Any] | None:
        """Milliseconds a step: of the step, of the device at work, and of the longest operators on either side.

        The profiler makes a step longer than it is, and its operators too. None of a run of fewer steps.
        """
        if not self._profiled:
            return None
        found = self._profile.key_averages()
        sides = {"host": "self_cpu_time_total", "device": "self_device_time_total"}
        told: dict[str, Any] = {"step": self._profiled * 1e3 / PROFILED}
        for side, name in sides.items():
            times = {one.key: getattr(one, name) / 1e3 / PROFILED for one in found}
            longest = sorted(times.items(), key=lambda item: -item[1])[:TOLD]
            told[side] = {"all": sum(times.values()), **{key[:80]: spent for key, spent in longest if spent > 0}}
        told["operators"] = sum(one.count for one in found if one.key.startswith("aten::")) / PROFILED
        return told


def pace_of(data: gsdd.RealData, name: str, **options: Any) -> dict[str, Any]:
    pace = Pace()
    gsdd.distill(data, progress=pace, **{**SETTING, **options})
    told = {key: value for key, value in options.items() if key not in ("experts",)}
    found = {"data": name, "options": told, "steps_per_second": pace.steps_per_second()}
    return {**found, "milliseconds": pace.where_time_goes()}


def trajectory_pace(data: gsdd.RealData, name: str, folder: Path, network: str, epochs: int, steps: int) -> Any:
    """TM at the published number of unrolled steps, on one expert that is made for it."""
    experts = folder / "experts"
    shutil.rmtree(experts, ignore_errors=True)
    started = time.perf_counter()
    make_experts(data, experts, network=network, count=1, epochs=epochs, device=DEVICE, batch_size=256)
    made = time.perf_counter() - started
    small = {} if DEVICE == "cuda" else {"syn_steps": 2, "gpc": 2}
    found = pace_of(
        data,
        name,
        method="tm",
        experts=str(experts),
        iterations=steps,
        fit_steps=10,
        network=network,
        max_start_epoch=epochs - 2,
        **small,
    )
    return {**found, "expert_seconds_per_epoch": made / epochs}


def main() -> int:
    options = arguments(__doc__)
    small, result = options.rehearse, Result(options.out, strict=options.rehearse)
    name, data = real_data(options.cifar, 60 if small else 50_000)
    images, steps = (2, 2) if small else (1000, 1000)
    result.measure("fit, 170 at 128", lambda: cuda_bench.measure_fit(images, steps))
    network = "convnet3-w4" if small else "convnet3"
    dm = {"method": "dm", "network": network, "iterations": 8 if small else 200, "fit_steps": 2 if small else 200}
    if small:
        dm |= {"batch_real": 2, "gpc": 2}
    result.measure("dm", lambda: pace_of(data, name, **dm))
    epochs, steps = (4, 3) if small else (6, 60)
    result.measure("tm", lambda: trajectory_pace(data, name, options.out, network, epochs, steps))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
