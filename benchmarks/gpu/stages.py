"""The stages of ``make gpu``, the most valuable first; each is stopped after eight minutes, and leaves what it has."""

from __future__ import annotations

from dataclasses import dataclass

# Rehearsed at this size; the GPU gets the paper's settings (benchmarks/cuda_bench.py).
SMALL_POINT = ["--points", "4,16,3", "--rounds", "1", "--fitting", "2"]
SHORT_TESTS = (
    "test_cuda_kernel and (bits or finished) or test_doors and cuda and (one-gaussian or needles) and not source "
    "or a_device_has_steps"
)


@dataclass(frozen=True)
class Stage:
    """One program, started in the checkout with ``--out OUT/NAME``.

    Attributes:
        name: of the stage and of its folder.
        what: it finds out, for people.
        seconds: after which it is stopped.
        program: what Python runs.
        full, rehearsal: what else it is given, on a GPU and in a rehearsal.
        required: a release has it.
        cifar: it takes ``--cifar``.
        needs: what it is left out without, by the names of ``missing.py``.
    """

    name: str
    what: str
    seconds: int
    program: tuple[str, ...]
    full: tuple[str, ...] = ()
    rehearsal: tuple[str, ...] = ("--rehearse",)
    required: bool = True
    cifar: bool = False
    needs: tuple[str, ...] = ()


STAGES = (
    Stage("parity", "forward and backward against the float64 reference", 300, ("benchmarks/gpu/parity.py",)),
    Stage(
        "tests", "the tests that need a device", 300,
        ("benchmarks/gpu/tests.py",), needs=("pytest",),
    ),
    Stage(
        "kernels", "the kernels beside their peers and the roofline", 480,
        ("benchmarks/cuda_bench.py", "--go-on", "--fit-images", "0"),
        rehearsal=("--rehearse", *SMALL_POINT),
    ),
    Stage(
        "training", "the loader, training steps, CUDA graphs", 240,
        ("benchmarks/gpu/training.py",),
    ),
    Stage(
        "distilling", "the paper's fit; steps of DM and TM", 480,
        ("benchmarks/gpu/distilling.py",), cifar=True,
    ),
    Stage(
        "engines", "exported decoders", 240,
        ("benchmarks/gpu/engines.py",), required=False,
    ),
    Stage(
        "sanitizer", "compute-sanitizer on a short list", 480,
        ("benchmarks/gpu/sanitizer.py",), required=False,
        needs=("pytest", "compute-sanitizer"),
    ),
)  # fmt: skip
