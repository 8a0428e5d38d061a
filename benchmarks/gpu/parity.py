"""Forward and backward of the device on the table of awkward inputs, against the float64 reference."""

from __future__ import annotations

from typing import Any

import doors
import torch
from awkward import CASES
from oracle import oracle
from writing import DEVICE, Result, arguments

from gsdd_runtime.splatting.gaussians import CHOLESKY, COLOR, POSITION

# In a rehearsal: the quickest, one of each kind.
FEW = ("no-gaussians", "one-gaussian", "needles", "channels-4", "stretched-output", "strided")
KINDS = {"position": POSITION, "cholesky": CHOLESKY, "color": COLOR, "opacity": slice(-1, None)}
# As op_contract.json has them, and tests/test_doors.py holds every door to.
IMAGE_ABSOLUTE, GRADIENT_RELATIVE = 1e-3, 1e-3


def compare(name: str, door: doors.Door) -> dict[str, Any]:
    """The worst differences of one case, and whether they are within the tolerances."""
    expected = oracle(name)
    gaussians, height, width, native_size, supersample = expected.inputs
    images = door.render(gaussians, height, width, native_size, supersample)
    excess = ((images.double() - expected.images).abs() - expected.flips).flatten()
    finite = bool(images.isfinite().all())
    image = float(excess.max().clamp(min=0)) if excess.numel() else 0.0
    assert door.gradient is not None
    gradients = door.gradient(expected.grad_images, gaussians, native_size, supersample)
    worst = 0.0
    for where in KINDS.values():
        error = torch.linalg.vector_norm(gradients[..., where].double() - expected.gradients[..., where])
        norm = torch.linalg.vector_norm(expected.gradients[..., where])
        if error > 0:
            worst = max(worst, float(error / norm) if norm > 0 else float("inf"))
    held = finite and image <= IMAGE_ABSOLUTE and worst <= GRADIENT_RELATIVE
    return {"image": image, "gradient": worst, "held": held}


def main() -> int:
    options = arguments(__doc__)
    result = Result(options.out, strict=options.rehearse)
    wanted = "cuda" if DEVICE == "cuda" else "native"
    (door,) = [door for door in doors.DOORS if door.name == wanted]
    result.put("door", door.name)
    cases = {name: case for name, case in result.values.get("cases", {}).items() if case.get("held")}
    for name in FEW if options.rehearse else CASES:
        if name not in cases:
            cases[name] = compare(name, door)
        result.put("cases", cases)
    result.put("worst", {kind: max(case[kind] for case in cases.values()) for kind in ("image", "gradient")})
    broken = [name for name, case in cases.items() if not case["held"]]
    result.put("broken", broken)
    return 1 if broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
