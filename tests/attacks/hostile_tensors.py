"""Feeds exported models hostile tensors in onnxruntime, and ends with 0 where each gave an error or right images.

    python tests/attacks/hostile_tensors.py          10,000 tensors, each to every way of running a model
    python tests/attacks/hostile_tensors.py 200 7    200, from seed 7

A tensor is of an odd shape or type, or a batch of three images of which one is ordinary: numbers of random bits, NaN,
infinities, zeros, the largest and smallest there are. Right are images of the shape that the model says, of which the
ordinary one is what it is alone. A crash ends this process, which is what its caller looks at.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.random import Generator
from onnx import TensorProto
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidArgument, RuntimeException

TESTS = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS))

from awkward import ordinary  # noqa: E402
from onnx_models import gradient_model, session, splat_model  # noqa: E402

from gsdd_runtime.errors import LibraryNotBuiltError  # noqa: E402
from gsdd_runtime.export.inlining import inline_splats  # noqa: E402
from gsdd_runtime.splatting.native import plugin_library  # noqa: E402

CHANNELS, COUNT, HEIGHT, WIDTH = 3, 4, 9, 7
NUMBERS = 6 + CHANNELS
ODD = np.array([np.nan, np.inf, -np.inf, 0, -0.0, 3.4e38, -3.4e38, 1e-45, -1e-45, 1, 1e9, -1e9, 0.5], np.float32)
REFUSALS = (ValueError, RuntimeError, InvalidArgument, Fail, RuntimeException)


def ways() -> dict[str, ort.InferenceSession]:
    """Every way of running a model here, by its name."""
    model = splat_model(CHANNELS, HEIGHT, WIDTH, None, 2)
    fixed = inline_splats(splat_model(CHANNELS, HEIGHT, WIDTH, None, 2, count=COUNT))
    found = {"function": session(model, library=False), "inlined": session(fixed, library=False)}
    try:
        plugin_library("onnxruntime")
    except LibraryNotBuiltError:
        return found
    half = splat_model(CHANNELS, HEIGHT, WIDTH, None, 2, gaussian_type=TensorProto.FLOAT16)
    gradient = gradient_model(CHANNELS, (HEIGHT, WIDTH), 2)
    return {**found, "library": session(model, library=True), "library, float16": session(half, library=True),
            "gradient": session(gradient, library=True)}  # fmt: skip


def hostile_numbers(shape: tuple[int, ...], chance: Generator) -> np.ndarray:
    """float32 numbers of random bits, of odd values, or some of these in ordinary ones."""
    size = int(np.prod(shape))
    kind = chance.integers(4)
    if kind == 0:
        return chance.integers(0, 2**32, size, np.uint32).view(np.float32).reshape(shape)
    if kind == 1:
        return chance.choice(ODD, size).reshape(shape)
    numbers = (chance.random(size, np.float32) * 4 - 2) * 10.0 ** float(chance.integers(-20, 20))
    at = chance.random(size) < 0.2
    numbers[at] = chance.choice(ODD, int(at.sum()))
    return numbers.astype(np.float32).reshape(shape)


def odd_tensor(chance: Generator) -> np.ndarray:
    """Of a shape or a type that no model takes, or of nothing."""
    shape = tuple(int(side) for side in chance.choice((0, 1, 2, NUMBERS, NUMBERS + 1, 6, 40), chance.integers(0, 6)))
    return np.zeros(shape, chance.choice(("f4", "f2", "f8", "i8", "u1", "?")))


def attempt(way: str, running: ort.InferenceSession, chance: Generator, alone: np.ndarray, usual: np.ndarray) -> str:
    """What becomes of one tensor: an error, images, or an AssertionError."""
    feeds = {entry.name: entry for entry in running.get_inputs()}
    dtype = np.float16 if feeds["gaussians"].type == "tensor(float16)" else np.float32
    odd = chance.random() < 0.3
    gaussians = hostile_numbers((3, COUNT, NUMBERS), chance)
    place = int(chance.integers(3))
    gaussians[place] = usual
    with np.errstate(all="ignore"):
        given = {"gaussians": odd_tensor(chance) if odd else gaussians.astype(dtype)}
    if "grad_images" in feeds:
        given["grad_images"] = hostile_numbers((3, CHANNELS, HEIGHT, WIDTH), chance)
        given["grad_images"][place] = 1
    try:
        found = running.run(None, given)[0]
    except REFUSALS as error:
        if not odd:
            raise AssertionError(f"{way}: refused what it must take") from error
        return "refused"
    shape = given["gaussians"].shape
    if "grad_images" in feeds:
        assert found.shape == shape, (way, found.shape, shape)
    else:
        assert found.shape == (shape[0], CHANNELS, HEIGHT, WIDTH), (way, found.shape, shape)
    if not odd:
        np.testing.assert_allclose(found[place], alone, rtol=0, atol=1e-5, err_msg=way)
    return "nothing to draw" if found.size == 0 else "right"


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    chance = np.random.default_rng(int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    usual = ordinary(1, COUNT, CHANNELS, HEIGHT, 1).numpy()[0]
    begun, found = time.perf_counter(), Counter[str]()
    for way, running in ways().items():
        gradient = "grad_images" in {entry.name for entry in running.get_inputs()}
        dtype = np.float16 if running.get_inputs()[-1].type == "tensor(float16)" else np.float32
        feed = {"gaussians": usual[None].astype(dtype)}
        if gradient:
            feed["grad_images"] = np.ones((1, CHANNELS, HEIGHT, WIDTH), np.float32)
        alone = running.run(None, feed)[0][0]
        for _ in range(count):
            found[f"{way}: {attempt(way, running, chance, alone, usual)}"] += 1
    print(f"{count} hostile tensors to each way in {time.perf_counter() - begun:.0f} s")
    for what, many in sorted(found.items()):
        print(f"  {many:>7} {what}")


if __name__ == "__main__":
    main()
