"""What is built, what is found, and whether it decodes: one finding a part, each with its remedy."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from importlib.util import find_spec
from typing import Any

from gsdd_runtime.errors import GsddError
from gsdd_runtime.splatting.native import load_torch_library, plugin_library
from gsdd_runtime.versions import VERSION
from gsdd_runtime.wording import counted

# Worst difference from the reference that a healthy renderer shows (render specification, "What may differ").
_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Finding:
    """One part: its ``status`` is ``ok``, ``missing`` or ``broken``; ``required`` parts make the exit code."""

    part: str
    status: str
    detail: str
    remedy: str | None = None
    required: bool = False

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def examine() -> list[Finding]:
    """Every part of the installation, checked by running it where it can run."""
    return [
        _host(),
        _package("torch", required=True),
        _torch_decode(),
        _cuda(),
        *(_package(name, extra="export") for name in ("onnx", "onnxscript")),
        _onnxruntime(),
        _onnxruntime_decode("onnx function", library=False),
        _library("onnxruntime", lambda: _onnxruntime_decode("onnxruntime library", library=True)),
        _library("tensorrt"),
        tensorrt_engine(),
        _library("dali", _dali_decode),
        _gsplat(),
    ]


def _host() -> Finding:
    detail = f"gsdd-rt {VERSION}, Python {platform.python_version()}, {platform.machine()}"
    return Finding("host", "ok", f"{detail}, {counted(os.cpu_count() or 1, 'core')}, {sys.platform}")


def _package(name: str, *, extra: str | None = None, required: bool = False) -> Finding:
    try:
        return Finding(name, "ok", f"version {metadata.version(name)}", required=required)
    except metadata.PackageNotFoundError:
        wanted = f"gsdd-rt[{extra}]" if extra else name
        return Finding(name, "missing", "not installed", f"pip install '{wanted}'", required)


def _checked(part: str, difference: Callable[[], float], detail: str, remedy: str, *, required: bool) -> Finding:
    """A finding from decoding once and comparing with the reference."""
    try:
        worst = difference()
    except Exception as error:  # whatever a runtime throws is the finding
        return Finding(part, "broken", " ".join(str(error).split())[:300], remedy, required)
    if not worst <= _TOLERANCE:
        return Finding(part, "broken", f"{detail}; differs from the reference by {worst:.1e}", remedy, required)
    return Finding(part, "ok", f"{detail}; decodes within {worst:.0e} of the reference", required=required)


def _sample() -> Any:
    import torch

    from gsdd_runtime.splatting.gaussians import initial_gaussians

    return initial_gaussians(2, 16, 3, 24, 24, torch.Generator().manual_seed(0)).bfloat16()


def _reference(gaussians: Any) -> Any:
    from gsdd_runtime.splatting import reference

    return reference.splat(gaussians.double(), 24, 24)


def _torch_decode() -> Finding:
    import torch

    from gsdd_runtime.splatting.op import splat

    def difference() -> float:
        gaussians = _sample()
        return (splat(gaussians, 24, 24).double() - _reference(gaussians)).abs().max().item()

    try:
        path = load_torch_library()
        detail = f"{path}, {counted(torch.get_num_threads(), 'thread')}, {torch.ops.gsdd.cpu_kernel()} kernel"
    except GsddError as error:
        return Finding("torch library", "missing", str(error), "make build", required=True)
    return _checked("torch library", difference, detail, "rebuild with `make build`", required=True)


def _cuda() -> Finding:
    import torch

    if not torch.cuda.is_available():
        return Finding(
            "cuda", "missing", f"torch {torch.__version__} sees no CUDA device", "nothing, unless there is one"
        )
    from gsdd_runtime.devices import cuda_index, cuda_problem, kernel_architectures
    from gsdd_runtime.splatting.op import splat

    index = cuda_index()
    detail = f"{torch.cuda.get_device_name(index)}, CUDA {torch.version.cuda}"
    problem = cuda_problem(index)
    if problem is not None:
        text, _, remedy = problem.rpartition(": ")
        return Finding("cuda", "missing", f"{detail}: {text}", remedy)

    def difference() -> float:
        gaussians = _sample()
        images = splat(gaussians.to(torch.device("cuda", index)), 24, 24)
        return (images.cpu().double() - _reference(gaussians)).abs().max().item()

    detail += f", kernel for {kernel_architectures()}"
    return _checked("cuda", difference, detail, "build again with `make build` (docs/building.md)", required=False)


def _onnxruntime() -> Finding:
    if find_spec("onnxruntime") is None:
        return Finding("onnxruntime", "missing", "not installed", "pip install 'gsdd-rt[onnxruntime]'")
    # They have one module, and each overwrites the files of the other.
    installed = sorted(set(metadata.packages_distributions().get("onnxruntime", ())))
    if len(installed) > 1:
        names = " and ".join(f"{name} {metadata.version(name)}" for name in installed)
        wanted = "onnxruntime-gpu" if "onnxruntime-gpu" in installed else "onnxruntime"
        remedy = f"pip uninstall -y {' '.join(installed)}, then pip install 'gsdd-rt[{wanted}]'"
        detail = f"{names} are both installed, and overwrite each other's files"
        return Finding("onnxruntime", "broken", detail, remedy)
    import onnxruntime

    return Finding(
        "onnxruntime", "ok", f"version {onnxruntime.__version__}, {', '.join(onnxruntime.get_available_providers())}"
    )


def _gsplat() -> Finding:
    """The package, and its compiled part, which tiled drawing on CUDA needs; nothing is compiled."""
    if find_spec("gsplat") is None:
        return Finding("gsplat", "missing", "not installed", "pip install 'gsdd-rt[gsplat]'")
    from gsdd_runtime.splatting.gsplat_backend import gsplat_problem

    problem = gsplat_problem()
    if problem is not None:
        text, _, remedy = problem.partition(": ")
        return Finding("gsplat", "missing", text, remedy)
    return Finding("gsplat", "ok", f"version {metadata.version('gsplat')}, compiled")


def _library(runtime: str, decode: Callable[[], Finding] | None = None) -> Finding:
    """Whether a native library is there and, where it can be, whether it decodes."""
    part = f"{runtime} library"
    try:
        path = str(plugin_library(runtime))
    except GsddError as error:
        text, _, remedy = str(error).partition(": ")
        return Finding(part, "missing", text, remedy)
    if decode is None:
        return Finding(part, "ok", path)
    decoded = decode()
    return replace(decoded, detail=f"{path}: {decoded.detail}")


def _onnxruntime_decode(part: str, *, library: bool) -> Finding:
    """Exports a decoder and runs it, by our operator library or by the function that the model carries."""
    if find_spec("onnx") is None or find_spec("onnxruntime") is None:
        return Finding(part, "missing", "needs onnx and onnxruntime", "pip install 'gsdd-rt[export,onnxruntime]'")

    def difference() -> float:
        import tempfile
        from pathlib import Path

        import torch

        from gsdd_runtime.decoders.onnxruntime import OnnxRuntimeDecoder
        from gsdd_runtime.export.onnx import export_onnx
        from gsdd_runtime.sets.distilled_set import DistilledSet

        gaussians = _sample()
        with tempfile.TemporaryDirectory() as folder:
            model = export_onnx(DistilledSet(gaussians, torch.tensor([0, 1]), 24, 24), Path(folder, "decoder.onnx"))
            images, _ = OnnxRuntimeDecoder(model, library=library).decode(torch.tensor([0, 1]))
        return (torch.as_tensor(images).double() - _reference(gaussians)).abs().max().item()

    remedy = "rebuild with `make build`" if library else "pip install --force-reinstall 'gsdd-rt[export,onnxruntime]'"
    return _checked(part, difference, "an exported model runs", remedy, required=False)


def _dali_decode() -> Finding:
    """Runs a pipeline of DALI on the CPU."""
    import torch

    from gsdd_runtime.decoders.dali_operator import dali_problem, load_operator
    from gsdd_runtime.loading.dali import pipeline
    from gsdd_runtime.sets.distilled_set import DistilledSet

    problem, remedy = dali_problem(), "build it again with `make dali build` (docs/dali.md)"
    if problem is not None:
        text, _, remedy = problem.partition(": ")
        return Finding("dali library", "missing", text, remedy)

    def difference() -> float:
        gaussians = _sample()
        distilled = DistilledSet(gaussians, torch.tensor([0, 1]), 24, 24)
        images, _ = pipeline(distilled, 2, device="cpu", shuffle=False, normalize=False).run()
        return (torch.as_tensor(images.as_array()).double() - _reference(gaussians)).abs().max().item()

    try:
        detail = f"a pipeline of DALI {load_operator().__version__} runs"
    except GsddError as error:
        return Finding("dali library", "broken", str(error)[:300], remedy)
    return _checked("dali library", difference, detail, remedy, required=False)


def tensorrt_engine() -> Finding:
    """Builds an engine with TensorRT or TensorRT-RTX, and decodes with it where there is a device."""
    import tempfile
    from pathlib import Path

    import torch

    from gsdd_runtime.decoders.tensorrt_plugins import require_module

    part = "tensorrt engine"
    try:
        require_module("auto")
        plugin_library("tensorrt")
    except GsddError as error:
        text, _, remedy = str(error).partition(": ")
        return Finding(part, "missing", text, remedy)
    if find_spec("onnx") is None:
        return Finding(part, "missing", "needs onnx", "pip install 'gsdd-rt[export]'")
    from gsdd_runtime.decoders.tensorrt import TensorRTDecoder, read_engine
    from gsdd_runtime.export.tensorrt import export_tensorrt
    from gsdd_runtime.sets.distilled_set import DistilledSet

    gaussians, remedy = _sample(), "see docs/tensorrt.md"
    with tempfile.TemporaryDirectory() as folder:
        try:
            engine = export_tensorrt(DistilledSet(gaussians, torch.tensor([0, 1]), 24, 24), Path(folder, "out.engine"))
            built = read_engine(engine)[1]
        except GsddError as error:
            return Finding(part, "broken", str(error)[:300], remedy)
        detail = f"built by {built['builder']} {built['builder_version']}"
        if not torch.cuda.is_available():
            return Finding(part, "ok", f"{detail}; not run, there is no CUDA device")

        def difference() -> float:
            images, _ = TensorRTDecoder(engine).decode([0, 1])
            return (images.cpu().double() - _reference(gaussians)).abs().max().item()

        return _checked(part, difference, detail, remedy, required=False)
