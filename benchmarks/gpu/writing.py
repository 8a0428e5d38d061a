"""What a stage's program is called with, and the file that it writes as it goes."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from gsdd_runtime.errors import GsddError, InputError

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def arguments(what: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("--out", type=Path, required=True, help="folder of the stage")
    parser.add_argument("--rehearse", action="store_true", help="small, on the CPU")
    parser.add_argument("--cifar", help="folder of CIFAR-10 as gsdd-rt reads it")
    given = parser.parse_args()
    if DEVICE == "cpu" and not given.rehearse:
        raise SystemExit(f"torch {torch.__version__} finds no CUDA device: give --rehearse to try it without one")
    return given


class Result:
    """A document that is written whole after every change, so that a stage that is stopped leaves what it has."""

    def __init__(self, folder: Path, *, strict: bool = False) -> None:
        """``strict``: only what this machine lacks may be absent; whatever else goes wrong ends the stage."""
        self._path, self._strict = folder / "result.json", strict
        folder.mkdir(parents=True, exist_ok=True)
        self.values: dict[str, Any] = json.loads(self._path.read_text()) if self._path.exists() else {}

    def put(self, name: str, value: Any) -> None:
        self.values[name] = value
        partial = self._path.with_suffix(".partial")
        partial.write_text(json.dumps(self.values, indent=1) + "\n")
        os.replace(partial, self._path)
        print(f"{name}: {json.dumps(value)[:300]}", flush=True)

    def measure(self, name: str, run: Callable[[], Any]) -> None:
        """Puts what ``run`` returns, unless it is there already; or why there is none, and goes on."""
        known = self.values.get(name)
        if known is not None and not (isinstance(known, dict) and "absent" in known):
            return
        try:
            self.put(name, run())
        except Exception as error:  # one figure less is no reason to lose the others
            if self._strict and (isinstance(error, InputError) or not isinstance(error, (GsddError, ImportError))):
                raise
            self.put(name, {"absent": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"})


def seconds(run: Callable[[], object]) -> float:
    """Of one run, the device's work included."""
    if DEVICE == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    run()
    if DEVICE == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def rate(run: Callable[[], object], images: int, span: float) -> dict[str, float]:
    """Images a second of ``run``, which makes ``images``: the median of five turns of about ``span`` seconds."""
    for _ in range(3):
        run()
    repeats = max(1, round(span / max(seconds(run), 1e-6)))
    turns = sorted(repeats * images / seconds(lambda: [run() for _ in range(repeats)]) for _ in range(5))
    return {"images_per_second": turns[2], "low": turns[0], "high": turns[-1]}
