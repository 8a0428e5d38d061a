"""Trains a small network in JAX from a distilled set: the loader decodes with PyTorch, DLPack hands the batches over.

    python examples/jax/train.py SET.safetensors [STEPS]

Nothing is copied between the two, on the CPU as on a GPU; JAX takes int64 labels as int32, which it copies.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import jax
import jax.numpy as jnp
from jax import Array

import gsdd_runtime as gsdd

Parameters = dict[str, Array]


def batches(path: str, steps: int, batch_size: int) -> Iterator[tuple[Array, Array]]:
    """Images ``[B, C, H, W]`` as a network takes them, and labels ``[B]``, as arrays of JAX."""
    for images, labels in gsdd.DistilledLoader(path, batch_size, steps=steps, drop_last=True):
        yield jax.dlpack.from_dlpack(images.contiguous()), jax.dlpack.from_dlpack(labels.int())


def initial(key: Array, numbers: int, classes: int, width: int = 64) -> Parameters:
    first, second = jax.random.split(key)
    return {
        "w1": jax.random.normal(first, (numbers, width)) * numbers**-0.5,
        "b1": jnp.zeros(width),
        "w2": jax.random.normal(second, (width, classes)) * width**-0.5,
        "b2": jnp.zeros(classes),
    }


def loss(parameters: Parameters, images: Array, labels: Array) -> Array:
    """Mean cross-entropy of a network with one hidden layer."""
    hidden = jax.nn.relu(images.reshape(len(images), -1) @ parameters["w1"] + parameters["b1"])
    logits = hidden @ parameters["w2"] + parameters["b2"]
    return -jnp.mean(jax.nn.log_softmax(logits)[jnp.arange(len(labels)), labels])


@jax.jit
def step(parameters: Parameters, images: Array, labels: Array) -> tuple[Parameters, Array]:
    value, gradients = jax.value_and_grad(loss)(parameters, images, labels)
    return jax.tree.map(lambda number, slope: number - 0.01 * slope, parameters, gradients), value


def train(path: str, steps: int = 200, batch_size: int = 10) -> list[float]:
    """The loss of every step."""
    distilled = gsdd.DistilledSet.load(path)
    numbers = distilled.channels * distilled.height * distilled.width
    parameters, losses = initial(jax.random.key(0), numbers, distilled.classes), []
    for images, labels in batches(path, steps, batch_size):
        parameters, value = step(parameters, images, labels)
        losses.append(float(value))
    return losses


if __name__ == "__main__":
    losses = train(sys.argv[1], *map(int, sys.argv[2:]))
    print(f"loss {losses[0]:.3f} at first, {losses[-1]:.3f} after {len(losses)} steps")
