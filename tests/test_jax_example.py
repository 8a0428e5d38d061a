"""examples/jax: a network in JAX learns a set that the loader decodes, without a copy on the way."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from test_loader import make_set

EXAMPLE = Path(__file__).parent.parent / "examples" / "jax" / "train.py"
# In a process of its own: JAX starts threads, and other tests fork.
PROGRAM = """
import sys; sys.path.insert(0, {folder!r})
import jax, numpy, torch, train
import gsdd_runtime as gsdd

loader = gsdd.DistilledLoader({path!r}, 8, device="cpu", shuffle=False)
images, labels = next(iter(loader))
array = jax.dlpack.from_dlpack(images)
assert array.unsafe_buffer_pointer() == images.data_ptr()
assert numpy.array_equal(numpy.asarray(array), images.numpy())
taken = next(train.batches({path!r}, 1, 8))
assert taken[0].shape == (8, 3, 16, 16) and taken[1].shape == (8,)
half = jax.dlpack.from_dlpack(next(iter(gsdd.DistilledLoader({path!r}, 8, dtype=torch.bfloat16)))[0])
assert half.dtype == jax.numpy.bfloat16
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    if find_spec("jax") is None:
        if os.environ.get("GSDD_REQUIRE_JAX", "") not in ("", "0"):
            pytest.fail("no JAX, and GSDD_REQUIRE_JAX is set")
        pytest.skip("no JAX: make jax")
    make_set(20).save(tmp_path / "set.safetensors")
    return tmp_path / "set.safetensors"


def run(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], env={**os.environ, "JAX_PLATFORMS": "cpu"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_network_in_jax_learns_the_set(path: Path) -> None:
    told = run(str(EXAMPLE), str(path), "400")
    found = re.fullmatch(r"loss ([\d.]+) at first, ([\d.]+) after 400 steps\n", told)
    assert found is not None, told
    assert float(found[2]) < 0.5 * float(found[1])


def test_batches_are_handed_over_without_a_copy(path: Path) -> None:
    run("-c", PROGRAM.format(folder=str(EXAMPLE.parent), path=str(path)))
