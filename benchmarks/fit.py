"""Fitting Gaussians to images, at the points of the paper's table (GSDD, arXiv 2509.26219: 1000 ImageNette images at
128 x 128, 1000 steps, on an A100), for as many of the images as you ask for.

    python benchmarks/fit.py imagefolder:DIR [--images 8] [--gaussians 21,170,682,2730] [--steps 1000] [--size 128]
        [--device cpu] [--json]

Images are taken evenly from the training images, class after class. What is told is of these images alone and of the
seconds that fitting them took: images times steps a second, which is how the paper's seconds are shown too, and the
mean PSNR of the images as they are stored. Nothing is extrapolated.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import torch

from gsdd_runtime.bench.machine import describe_machine, load_average
from gsdd_runtime.datasets import load_dataset
from gsdd_runtime.devices import resolve_device
from gsdd_runtime.distillation.fit import fit_images
from gsdd_runtime.wording import counted

# By Gaussians an image: seconds for 1000 images and 1000 steps, and PSNR in dB.
PAPER = {21: (10.5, 20.2), 170: (12.9, 26.0), 682: (19.1, 31.1), 2730: (41.5, 36.1)}
PAPER_IMAGES = PAPER_STEPS = 1000


def measured(images: torch.Tensor, count: int, steps: int, device: str) -> dict[str, Any]:
    # The first call loads and compiles what there is to.
    fit_images(images[:1], count, steps=1, device=device)
    began, processor = time.perf_counter(), time.process_time()
    found = fit_images(images, count, steps=steps, device=device)
    seconds = time.perf_counter() - began
    facts: dict[str, Any] = {
        "gaussians": count, "images": len(images), "steps": steps, "seconds": seconds,
        "processor_seconds": time.process_time() - processor,
        "images_steps_per_second": len(images) * steps / seconds, "psnr": float(found.psnr.mean()),
    }  # fmt: skip
    if count in PAPER:
        facts["paper"] = {"images_steps_per_second": PAPER_IMAGES * PAPER_STEPS / PAPER[count][0],
                          "psnr": PAPER[count][1]}  # fmt: skip
    return facts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--gaussians", default=",".join(map(str, PAPER)))
    parser.add_argument("--steps", type=int, default=PAPER_STEPS)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    data = load_dataset(options.dataset, size=(options.size, options.size))
    chosen = torch.linspace(0, len(data.train_labels) - 1, options.images).long()
    images = data.train_images[chosen]
    points = [measured(images, int(count), options.steps, options.device) for count in options.gaussians.split(",")]
    device = resolve_device(options.device)
    told = "cpu" if device.type == "cpu" else torch.cuda.get_device_name(device)
    document = {
        "machine": describe_machine(), "load": load_average(), "device": told, "threads": torch.get_num_threads(),
        "size": options.size, "points": points,
    }  # fmt: skip
    if options.json:
        print(json.dumps(document, indent=2))
        return
    print(f"{counted(options.images, 'image')} of {options.size} x {options.size}, {options.steps} steps, on {told}")
    print("Gaussians   seconds   images x steps / s   PSNR      paper, A100: images x steps / s   PSNR")
    for one in points:
        paper = one.get("paper")
        beside = f"{paper['images_steps_per_second']:29.0f}   {paper['psnr']:7.1f}" if paper else ""
        print(
            f"{one['gaussians']:9d} {one['seconds']:9.1f} {one['images_steps_per_second']:20.0f} {one['psnr']:6.2f} dB "
            f"{beside}"
        )


if __name__ == "__main__":
    main()
