"""A distilled set, or an ONNX model with our operators in it, as a TensorRT or TensorRT-RTX engine.

The engine is built in a process of its own (``tensorrt_build``): TensorRT-RTX needs an environment variable
set before its process starts, and a builder that ends its process does not end the caller's.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from gsdd_runtime.atomic import atomic_path
from gsdd_runtime.decoders.tensorrt import SIDECAR_FORMAT, sidecar_path
from gsdd_runtime.decoders.tensorrt_plugins import installed_module, require_module
from gsdd_runtime.errors import GsddError, InputError, LibraryNotBuiltError, check_type
from gsdd_runtime.export.onnx import METADATA_KEY, decoder_model, our_nodes, require_onnx
from gsdd_runtime.export.tensorrt_model import (
    Profile,
    describe_plugin,
    input_shapes,
    plugin_model,
    widen_parameters,
)
from gsdd_runtime.progress import Progress, Reporter, silent
from gsdd_runtime.sets.distilled_set import DistilledSet
from gsdd_runtime.splatting.native import plugin_library
from gsdd_runtime.versions import VERSION

if TYPE_CHECKING:
    import onnx

# What TensorRT-RTX builds for when it is not told; TensorRT builds for the device at hand.
RTX_CAPABILITIES = ("8.0", "8.6", "8.9", "12.0")

# TensorRT computes in bfloat16 from this compute capability on. Before, parameters are float32 in the engine.
BFLOAT16_FROM = 8.0

# A protobuf message ends at 2 GiB; beyond this the weights go to a file beside the model.
_MAX_MODEL_BYTES = (1 << 31) - (1 << 20)


def export_tensorrt(
    source: DistilledSet | str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    min_batch: int = 1,
    opt_batch: int | None = None,
    max_batch: int = 256,
    builder: str = "auto",
    normalize: bool = False,
    size: tuple[int, int] | None = None,
    dtype: torch.dtype = torch.float32,
    compute_capabilities: Sequence[str] | None = None,
    progress: Reporter = silent,
) -> Path:
    """Builds an engine with ``gsdd::GaussianSplat`` as a plugin in it, and a description of it beside it.

    The engine is strongly typed; its parameters are bfloat16, or float32 for a compute capability below 8.0. It is
    written whole or not at all; the description has its name and ``.json``.
    Whatever deserialises the engine has to load the plugin library first (docs/tensorrt.md), as
    ``gsdd_runtime.decoders.tensorrt.TensorRTDecoder`` does.

    Args:
        source: a set or its file; or an ONNX model (``.onnx``) with our operators in it: a decoder, or a
            decoder and a network in one. Every dynamic dimension of such a model has to be the first of an
            input: the batch.
        out: the file of the engine.
        min_batch, opt_batch, max_batch: the batch sizes that the engine takes, and the one that it is tuned
            for, the largest if left out.
        builder: ``"tensorrt"``, which needs a CUDA device and builds for that; ``"tensorrt-rtx"``, which
            needs none; or ``"auto"``: the first of the two that can build here.
        normalize, size, dtype: as of :func:`gsdd_runtime.export.onnx.export_onnx`, for a set alone.
        compute_capabilities: for TensorRT-RTX, such as ``("8.6", "12.0")``: 8.0, 8.6, 8.9 and 12.0 if left
            out.
        progress: told of the builder's phases and their steps.

    Raises:
        InputError: an option out of range, a file that is neither, a model without our operators.
        LibraryNotBuiltError: the plugin library is missing, or this TensorRT cannot load it.
        GsddError: onnx or TensorRT is not installed, or TensorRT cannot build the model: the reason is
            TensorRT's.
    """
    remedy = "give a gsdd.DistilledSet, its file, or an ONNX model"
    check_type("source", source, (DistilledSet, str, os.PathLike), "a DistilledSet or a path", remedy)
    profile = Profile.checked(min_batch, opt_batch, max_batch)
    name, module = require_module(_choice(builder))
    job: dict[str, Any] = {
        "builder": name,
        "module": module,
        "library": str(plugin_library("tensorrt")),
        "compute_capabilities": _capabilities(name, compute_capabilities),
    }
    model = plugin_model(_model(source, normalize=normalize, size=size, dtype=dtype))
    if any(_lacks_bfloat16(capability) for capability in job["compute_capabilities"]):
        widen_parameters(model)
    job["plugin_nodes"] = len(our_nodes(model))
    job["profile"] = input_shapes(model, profile)
    origin = _origin(source)
    target = Path(out)
    with tempfile.TemporaryDirectory(prefix="gsdd-tensorrt-") as folder:
        job["model"] = str(_save(model, Path(folder, "model.onnx")))
        with atomic_path(target, size=model.ByteSize(), inputs=[_file_of(source)]) as temporary:
            job["engine"] = str(temporary)
            built = _build(job, Path(folder), progress)
            content = temporary.read_bytes()
    description = {prop.key: prop.value for prop in model.metadata_props}.get(METADATA_KEY)
    sidecar = {
        "format": SIDECAR_FORMAT,
        "builder": name,
        **built,
        "compute_capabilities": job["compute_capabilities"],
        "profile": job["profile"],
        "plugins": [describe_plugin(node) for node in our_nodes(model)],
        "source": origin,
        "description": json.loads(description) if description else None,
        "gsdd_rt": VERSION,
        "engine_bytes": len(content),
        "engine_sha256": hashlib.sha256(content).hexdigest(),
    }
    with atomic_path(sidecar_path(target)) as temporary:
        temporary.write_text(json.dumps(sidecar, indent=1) + "\n")
    return target


def _choice(builder: str) -> str:
    """TensorRT itself builds nothing without a device, so ``auto`` does not choose it there."""
    if builder == "auto" and not torch.cuda.is_available() and installed_module("tensorrt-rtx") is not None:
        return "tensorrt-rtx"
    if builder == "tensorrt" and not torch.cuda.is_available():
        require_module(builder)
        raise InputError("TensorRT builds on a CUDA device and there is none: choose the builder tensorrt-rtx")
    return builder


def _capabilities(builder: str, asked: Sequence[str] | None) -> list[str]:
    if builder == "tensorrt-rtx":
        return list(RTX_CAPABILITIES if asked is None else asked)
    if asked is not None:
        raise InputError("TensorRT builds for the device at hand: compute capabilities are for tensorrt-rtx alone")
    if not torch.cuda.is_available():
        raise InputError("TensorRT builds on a CUDA device and there is none: install TensorRT-RTX to build without")
    major, minor = torch.cuda.get_device_capability()
    return [f"{major}.{minor}"]


def _lacks_bfloat16(capability: str) -> bool:
    try:
        return float(capability) < BFLOAT16_FROM
    except ValueError:
        return False  # the builder says what is wrong with it


def _model(
    source: DistilledSet | str | os.PathLike[str],
    *,
    normalize: bool,
    size: tuple[int, int] | None,
    dtype: torch.dtype,
) -> onnx.ModelProto:
    onnx = require_onnx()
    if isinstance(source, DistilledSet):
        return decoder_model(source, normalize=normalize, size=size, dtype=dtype)
    path = Path(source)
    if path.suffix != ".onnx":
        return decoder_model(DistilledSet.load(path), normalize=normalize, size=size, dtype=dtype)
    if normalize or size is not None or dtype != torch.float32:
        raise InputError(f"{path} is a finished model: normalize, size and dtype are for a set")
    try:
        return onnx.load(path)
    except Exception as error:  # onnx passes on what protobuf raises
        raise InputError(f"cannot read {path} as an ONNX model: {' '.join(str(error).split())}") from error


def _save(model: onnx.ModelProto, path: Path) -> Path:
    onnx = require_onnx()
    external = model.ByteSize() > _MAX_MODEL_BYTES
    onnx.save_model(model, path, save_as_external_data=external, location="weights.bin" if external else None)
    return path


def _file_of(source: DistilledSet | str | os.PathLike[str]) -> str | os.PathLike[str] | None:
    return source if isinstance(source, (str, os.PathLike)) else source.path


def _origin(source: DistilledSet | str | os.PathLike[str]) -> dict[str, str] | None:
    """The file that the engine is made from, or None for a set that has none."""
    path = _file_of(source)
    if path is None:
        return None
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError:
        # An open set outlives its file.
        return None
    return {"file": Path(path).name, "sha256": digest.hexdigest()}


def _build(job: dict[str, Any], folder: Path, progress: Reporter) -> dict[str, Any]:
    """Runs ``tensorrt_build`` on the job and returns what it found out."""
    job_file = folder / "job.json"
    job_file.write_text(json.dumps(job))
    environment = {**os.environ, "PYTHONSAFEPATH": "1"}
    if job["builder"] == "tensorrt-rtx":
        libraries = [str(_rtx_link(folder)), os.environ.get("LD_LIBRARY_PATH", "")]
        environment["LD_LIBRARY_PATH"] = os.pathsep.join(filter(None, libraries))
    command = [sys.executable, "-m", "gsdd_runtime.export.tensorrt_build", str(job_file)]
    result: dict[str, Any] | None = None
    with open(folder / "stderr.txt", "w+", errors="replace") as stderr:
        pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": stderr}
        with subprocess.Popen(command, env=environment, text=True, **pipes) as process:
            try:
                for line in process.stdout or ():
                    message = json.loads(line)
                    if "phase" in message:
                        progress(Progress(message["phase"], message["step"], message["total"]))
                    else:
                        result = message
            except BaseException:
                process.kill()
                raise
        stderr.seek(0)
        said = " ".join(stderr.read()[-500:].split())
    if result is None:
        raise GsddError(f"the builder ended with status {process.returncode} and no result: {said or 'no message'}")
    if "error" in result:
        raise (LibraryNotBuiltError if result["library"] else GsddError)(result["error"])
    return result


def _rtx_link(folder: Path) -> Path:
    """A folder with ``libtensorrt_rtx.so``, which the ONNX parser opens by that name.

    The wheel has the library under its versioned name alone; without the other one the parser ends its process.
    """
    links = folder / "lib"
    links.mkdir()
    spec = find_spec("tensorrt_rtx_libs")
    for home in (spec.submodule_search_locations or ()) if spec is not None else ():
        for library in sorted(Path(home).glob("libtensorrt_rtx.so*"))[:1]:
            (links / "libtensorrt_rtx.so").symlink_to(library)
    return links
