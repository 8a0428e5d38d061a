"""The operator library against the function body in onnxruntime: one exported file, both ways, in turn.

``python benchmarks/onnxruntime_library.py [--threads 2] [--seconds 20] [--json]``
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import torch

from gsdd_runtime import DistilledSet
from gsdd_runtime.decoders.onnxruntime import OnnxRuntimeDecoder, require_onnxruntime
from gsdd_runtime.export.onnx import export_onnx
from gsdd_runtime.splatting.gaussians import initial_gaussians

# Gaussians an image, side in pixels, images a batch: those of the method's paper.
CASES = ((22, 32, 256), (85, 32, 128), (54, 128, 32), (170, 128, 16), (364, 256, 4))

_WAYS = ("library", "function")


def compare(count: int, side: int, batch: int, threads: int, seconds: float) -> dict[str, float]:
    """Images per second of both ways: medians over rounds that take turns, for about ``seconds``."""
    gaussians = initial_gaussians(batch, count, 3, side, side, torch.Generator().manual_seed(0))
    distilled = DistilledSet(gaussians.bfloat16(), torch.zeros(batch, dtype=torch.int64), side, side)
    with tempfile.TemporaryDirectory() as folder:
        path = export_onnx(distilled, Path(folder, "decoder.onnx"))
        decoders = {way: OnnxRuntimeDecoder(path, library=way == "library", threads=threads) for way in _WAYS}
        rates: dict[str, list[float]] = {way: [] for way in _WAYS}
        for decoder in decoders.values():
            decoder.decode(None)
        end = time.perf_counter() + seconds
        while time.perf_counter() < end or len(rates["function"]) < 3:
            for way, decoder in decoders.items():
                start = time.perf_counter()
                decoder.decode(None)
                rates[way].append(batch / (time.perf_counter() - start))
    result = {way: statistics.median(values) for way, values in rates.items()}
    return {**result, "ratio": result["library"] / result["function"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=20.0, help="for all cases together")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    results = {
        f"{count},{side}": compare(count, side, batch, arguments.threads, arguments.seconds / len(CASES))
        for count, side, batch in CASES
    }
    version = require_onnxruntime().__version__
    if arguments.json:
        print(json.dumps({"onnxruntime": version, "threads": arguments.threads, "cases": results}, indent=2))
        return
    print(f"onnxruntime {version}, {arguments.threads} threads, images per second")
    print(f"{'N,R':>10} {'library':>10} {'function':>10} {'ratio':>8}")
    for case, result in results.items():
        print(f"{case:>10} {result['library']:10.0f} {result['function']:10.1f} {result['ratio']:8.1f}")


if __name__ == "__main__":
    main()
