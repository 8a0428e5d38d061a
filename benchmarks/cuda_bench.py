"""Measures the CUDA kernels on this machine's GPU beside their peers, and keeps the result.

Usage: python benchmarks/cuda_bench.py [--points 54,128,2000 ...] [--authors FOLDER] [--out benchmarks/results]

It needs a GPU, a CUDA build of PyTorch, and nvcc the first time: where the installed torch library has no CUDA
kernel, it builds one into build/cuda-bench. gsplat is measured where it is installed. The GSDD authors' operator
(github.com/j-cyoung/gsplat) is measured where --authors names a folder in which it was built, outside this checkout:
`git clone --recursive ... && cd gsplat && python setup.py build_ext --inplace`.

Written after every point: GPU-cuda.json and GPU-cuda.md; --go-on keeps the points that are there. Exit code 2 where
there is no GPU, unless it is rehearsed (--rehearse): then the CPU stands in for one.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from gsdd_runtime.wording import counted

ROOT = Path(__file__).parent.parent
# Gaussians, side, batch: the paper's settings, and one that binning is for.
POINTS = ((22, 32, 512), (22, 32, 2000), (54, 128, 2000), (170, 128, 160), (364, 256, 512), (20000, 1024, 1))
OURS, TILED = "gsdd, direct", "gsdd, by gsplat's tiles"


def point(text: str) -> tuple[int, int, int]:
    try:
        count, side, batch = (int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no point: give N,SIDE,BATCH") from None
    if min(count, side, batch) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no point: each number is at least 1")
    return count, side, batch


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure the CUDA kernels beside their peers.")
    parser.add_argument("--points", type=point, nargs="+", default=POINTS, metavar="N,SIDE,BATCH")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--authors", type=Path, help="folder with j-cyoung/gsplat, built")
    parser.add_argument("--fitting", type=int, default=600, help="steps that the points' parameters are fitted for")
    parser.add_argument("--go-on", action="store_true", help="leave out points that were measured already")
    parser.add_argument("--rehearse", action="store_true", help="on the CPU where there is no GPU")
    parser.add_argument("--fit-images", type=int, default=1000, help="images of the fit; 0 leaves it out")
    parser.add_argument("--fit-steps", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    return parser.parse_args(given)


def build_with_cuda() -> None:
    """Puts a torch library with CUDA kernels in the way of the installed one, before it is loaded."""
    folder = ROOT / "build" / "cuda-bench"
    configure = ["cmake", "-S", str(ROOT), "-B", str(folder), "-DGSDD_CUDA=ON", "-DGSDD_ONNXRUNTIME=OFF"]
    configure += ["-DGSDD_TENSORRT=OFF", f"-DPython3_EXECUTABLE={sys.executable}"]
    for command in (configure, ["cmake", "--build", str(folder), "--target", "gsdd_torch", "--parallel"]):
        subprocess.run(command, check=True, stdout=sys.stderr)
    os.environ["GSDD_PLUGIN_DIR"] = str(folder / "plugins" / "torch")


def has_cuda_kernel() -> bool:
    """Whether the torch library that would be loaded here has CUDA kernels; asked in another process."""
    code = "import torch, gsdd_runtime.splatting.op; raise SystemExit(not torch.ops.gsdd.cuda_architectures())"
    return subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def measure_point(count: int, side: int, batch: int, options: argparse.Namespace, gpu: Any) -> dict[str, Any]:
    import cuda_subjects
    import torch
    from cuda_roofline import roofline_seconds, touched_samples
    from cuda_timing import DEVICE, interleaved

    from gsdd_runtime.bench.images import real_images
    from gsdd_runtime.bench.points import Point, fitted_workload, random_workload
    from gsdd_runtime.splatting import tiles

    at = Point(count, side)
    # Fitted parameters where fitting is quick; they have needles and uneven sizes that random ones lack.
    fitted = count * side**2 <= 364 * 256**2
    workload = (
        fitted_workload(at, real_images(), 16, options.fitting, 0, DEVICE) if fitted else random_workload(at, 1, 0)
    )
    stored = workload.gaussians.to(DEVICE)
    gaussians = stored.repeat(-(-batch // len(stored)), 1, 1)[:batch].contiguous()
    case = cuda_subjects.Case(gaussians, side, torch.randn(batch, 3, side, side, device=DEVICE))
    makers: list[Any] = [cuda_subjects.direct, cuda_subjects.direct_graph]
    absent = {}
    if problem := tiles.gsplat_problem():
        absent["gsplat"] = problem
    else:
        makers += [cuda_subjects.tiled, cuda_subjects.gsplat_rasterizer]
    makers += [cuda_subjects.dense_compiled, cuda_subjects.siren]
    if options.authors is None:
        absent["GSDD authors' operator"] = "--authors names no folder"
    else:
        package = cuda_subjects.import_authors(options.authors.resolve())
        makers.append(lambda c: cuda_subjects.authors(c, package))
    subjects = []
    for make in makers:
        try:
            subjects.append(tried(make(case)))
        except (RuntimeError, torch.OutOfMemoryError) as error:
            absent[getattr(make, "__name__", "authors")] = str(error).splitlines()[0]
    forward = interleaved({s.name: s.forward for s in subjects}, options.rounds)
    both = interleaved({s.name: s.both for s in subjects if s.both}, options.rounds)
    samples = touched_samples(stored, side)
    image_bytes = 3 * side * side * 4
    return {
        "point": name_of(count, side, batch),
        "size": [count, side, batch],
        "parameters": workload.parameters,
        "choice": tiles.choose(batch, count, side, side)._asdict(),
        "touched_samples_per_image": samples,
        "images": {s.name: s.images for s in subjects},
        "notes": {s.name: s.note for s in subjects if s.note},
        "absent": absent,
        "forward": forward,
        "forward_and_backward": both,
        "roofline_forward": roofline_seconds(gpu, samples, batch, image_bytes, backward=False),
        "roofline_both": roofline_seconds(gpu, samples, batch, image_bytes, backward=True),
    }


def tried(subject: Any) -> Any:
    """``subject``, once it has run: what it is compiled to, and takes, shows then."""
    subject.forward()
    if subject.both:
        subject.both()
    return subject


def measure_fit(images: int, steps: int) -> dict[str, Any]:
    """Fitting ``images`` images at 128 with 170 Gaussians, as the paper times it (12.9 s on an A100)."""
    import torch
    from cuda_timing import DEVICE

    from gsdd_runtime.bench.images import real_images
    from gsdd_runtime.distillation.fit import fit_images

    real = real_images().at(128, 3, images)
    fit_images(real[:8], 170, steps=5, seed=0, device=DEVICE)
    if DEVICE == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    result = fit_images(real, 170, steps=steps, seed=0, device=DEVICE)
    if DEVICE == "cuda":
        torch.cuda.synchronize()
    seconds = time.perf_counter() - start
    return {"images": images, "steps": steps, "seconds": seconds, "psnr": result.psnr.mean().item()}


def rate(entry: dict[str, Any], phase: str, name: str) -> float:
    """Images a second, by the median."""
    return float(entry["images"][name] / entry[phase][name]["median"])


def markdown(result: dict[str, Any]) -> str:
    gpu = result["gpu"]
    lines = [f"# CUDA kernels on {gpu['name']}", ""]
    lines.append(f"Driver {gpu['driver']}, torch {result['torch']}, CUDA {result['cuda']}. Medians of rounds.")
    for entry in result["points"]:
        lines += ["", f"## {entry['point']} ({entry['parameters']} parameters)", ""]
        lines.append(
            f"{entry['touched_samples_per_image']:.0f} samples touched an image; gsdd.splat chooses "
            f"{entry['choice']['method']} ({entry['choice']['reason']})."
        )
        for phase, title in (("forward", "forward"), ("forward_and_backward", "forward and backward")):
            roof = entry["roofline_forward" if phase == "forward" else "roofline_both"]["roofline"]
            ours = rate(entry, phase, OURS)
            lines += ["", f"| {title} | images/s | gsdd is faster by | of the roofline |", "|---|---|---|---|"]
            for name in entry[phase]:
                speed = rate(entry, phase, name)
                share = roof * speed / entry["images"][OURS]
                lines.append(f"| {name} | {speed:,.0f} | {ours / speed:.2f} | {share:.0%} |")
        lines += [f"\n- {name}: {note}" for name, note in entry["notes"].items()]
        lines += [f"\n- not measured: {name}: {why}" for name, why in entry["absent"].items()]
    if fit := result["fit"]:
        lines += ["", "## Fitting", ""]
        lines.append(
            f"{counted(fit['images'], 'image')} at 128x128 with 170 Gaussians, {counted(fit['steps'], 'step')}: "
            f"{fit['seconds']:.2f} s, {fit['psnr']:.1f} dB (the paper: 12.9 s on an A100)."
        )
    return "\n".join(lines) + "\n"


def main(given: list[str] | None = None) -> int:
    options = arguments(given)
    import torch

    if not torch.cuda.is_available() and not options.rehearse:
        print(
            f"benchmarks/cuda_bench.py: torch {torch.__version__} finds no CUDA device: run it on a machine with "
            "an NVIDIA GPU and a CUDA build of PyTorch",
            file=sys.stderr,
        )
        return 2
    if not options.rehearse and not has_cuda_kernel():
        build_with_cuda()
    from dataclasses import asdict

    from cuda_roofline import describe_gpu

    gpu = describe_gpu()
    stem = options.out / (re.sub(r"[^a-z0-9]+", "-", gpu.name.lower()).strip("-") + "-cuda")
    result: dict[str, Any] = {
        "gpu": asdict(gpu),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "python": platform.python_version(),
        "points": [],
        "fit": None,
    }
    if options.go_on and stem.with_suffix(".json").exists():
        result["points"] = json.loads(stem.with_suffix(".json").read_text())["points"]
    measured = [entry["point"] for entry in result["points"]]
    for count, side, batch in options.points:
        if name_of(count, side, batch) in measured:
            continue
        print(f"measuring {counted(count, 'Gaussian')} at {side}, batch {batch}", file=sys.stderr, flush=True)
        result["points"].append(measure_point(count, side, batch, options, gpu))
        result["renderers"] = renderer_costs(result)
        write(result, stem)
        # Each point compiles the dense formula anew, and a process may do that eight times.
        torch.compiler.reset()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    result["renderers"] = renderer_costs(result)
    result["fit"] = measure_fit(options.fit_images, options.fit_steps) if options.fit_images else None
    write(result, stem)
    print(markdown(result))
    return 0


def renderer_costs(result: dict[str, Any]) -> dict[str, Any] | None:
    """What ``--renderer auto`` is to follow, of the points where both ways were measured; None where they are few."""
    from dataclasses import asdict, replace

    from gsdd_runtime.splatting.renderers import Measured, costs, fitted
    from gsdd_runtime.splatting.tile_lists import TILE

    points = []
    for entry in result["points"]:
        if TILED not in entry["forward"]:
            continue
        count, side, batch = entry["size"]
        direct, tiled = (entry["forward"][name]["median"] for name in (OURS, TILED))
        points.append(Measured(batch, count, (-(-side // TILE)) ** 2, direct, tiled))
    source = f"measured on {result['gpu']['name']}, torch {result['torch']}"
    found = fitted(points, source)
    if found is not None and found.pair == 0:
        found = replace(found, pair=costs().pair, source=f"{source}; a pair as it was before, too small to be measured")
    return None if found is None else asdict(found)


def name_of(count: int, side: int, batch: int) -> str:
    return f"{count} at {side}x{side}, batch {batch}"


def write(result: dict[str, Any], stem: Path) -> None:
    from gsdd_runtime.atomic import atomic_path

    stem.parent.mkdir(parents=True, exist_ok=True)
    for suffix, text in ((".json", json.dumps(result, indent=1) + "\n"), (".md", markdown(result))):
        with atomic_path(stem.with_suffix(suffix)) as temporary:
            temporary.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
