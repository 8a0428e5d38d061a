"""Builds one engine, in a process of its own: ``python -m gsdd_runtime.export.tensorrt_build JOB.json``.

Writes one JSON object a line to stdout: progress (``phase``, ``step``, ``total``), and last either what the
engine is or ``error``. Whatever else the process prints goes to stderr.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, TextIO

from gsdd_runtime.decoders.tensorrt_plugins import load_plugin_library, make_logger, reason
from gsdd_runtime.errors import GsddError, LibraryNotBuiltError


class Report:
    """Lines to the parent process; several builder threads may write."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def send(self, message: dict[str, Any]) -> bool:
        """False where nobody listens any more."""
        try:
            with self._lock:
                print(json.dumps(message), file=self._stream, flush=True)
        except OSError:
            return False
        return True


def make_monitor(trt: ModuleType, report: Report) -> Any:
    """A progress monitor that reports every phase, and ends the build when the parent has gone."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._totals: dict[str, int] = {}

        def phase_start(self, phase: str, parent: str | None, steps: int) -> None:
            self._totals[phase] = steps
            report.send({"phase": phase, "step": 0, "total": steps})

        def step_complete(self, phase: str, step: int) -> bool:
            # Steps count from 0, and the last one is the phase's end.
            return report.send({"phase": phase, "step": step + 1, "total": self._totals[phase]})

        def phase_finish(self, phase: str) -> None:
            report.send({"phase": phase, "step": self._totals[phase], "total": self._totals[phase]})

    return Monitor()


def build(job: dict[str, Any], report: Report) -> dict[str, Any]:
    """Parses, checks, builds and writes; returns the engine's tensors and the builder's version."""
    try:
        trt = import_module(job["module"])
    except Exception as error:  # a wheel without its libraries raises one of several
        raise GsddError(f"{job['module']} is installed and cannot be imported: {error}") from error
    logger = make_logger(trt)
    load_plugin_library(trt, logger)
    builder = trt.Builder(logger)
    network = parse(trt, logger, builder, job)
    config = builder.create_builder_config()
    monitor = make_monitor(trt, report)
    config.progress_monitor = monitor
    add_profile(builder, network, config, job["profile"])
    if job["builder"] == "tensorrt-rtx":
        set_capabilities(trt, config, job["compute_capabilities"])
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise GsddError(f"{trt.__name__} {trt.__version__} cannot build the engine: {reason(logger)}")
    Path(job["engine"]).write_bytes(engine)
    return {
        "builder_version": trt.__version__,
        "inputs": [_describe(network.get_input(i)) for i in range(network.num_inputs)],
        "outputs": [_describe(network.get_output(i)) for i in range(network.num_outputs)],
    }


def parse(trt: ModuleType, logger: Any, builder: Any, job: dict[str, Any]) -> Any:
    """The network of the model, strongly typed, with each of our operators a plugin."""
    strongly_typed = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    network = builder.create_network(0 if strongly_typed is None else 1 << int(strongly_typed))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(job["model"]):
        errors = [" ".join(parser.get_error(i).desc().split()) for i in range(parser.num_errors)]
        raise GsddError(f"{trt.__name__} {trt.__version__} cannot parse the model: {reason(logger, *errors)}")
    layers = [network.get_layer(i) for i in range(network.num_layers)]
    plugins = sum(layer.type == trt.LayerType.PLUGIN_V3 for layer in layers)
    if plugins < job["plugin_nodes"]:
        kinds = ", ".join(sorted({layer.type.name for layer in layers}))
        raise GsddError(
            f"only {plugins} of {job['plugin_nodes']} Gaussian layers became plugins (layers: {kinds}): "
            "the engine would not use the plugin library"
        )
    return network


def add_profile(builder: Any, network: Any, config: Any, shapes: dict[str, dict[str, list[int]]]) -> None:
    if not shapes:
        return
    profile = builder.create_optimization_profile()
    for name, shape in shapes.items():
        profile.set_shape(name, shape["min"], shape["opt"], shape["max"])
    if config.add_optimization_profile(profile) < 0:
        raise GsddError(f"the builder refused the batch sizes {shapes}")


def set_capabilities(trt: ModuleType, config: Any, capabilities: list[str]) -> None:
    """For TensorRT-RTX, which builds for devices that are not there."""
    config.num_compute_capabilities = len(capabilities)
    for index, capability in enumerate(capabilities):
        value = getattr(trt.ComputeCapability, "SM" + capability.replace(".", ""), None)
        if value is None or not config.set_compute_capability(value, index):
            known = sorted(int(n[2:]) for n in trt.ComputeCapability.__members__ if n.startswith("SM"))
            raise GsddError(
                f"{trt.__name__} {trt.__version__} does not build for compute capability {capability}: "
                f"choose among {', '.join(f'{n // 10}.{n % 10}' for n in known)}"
            )


def _describe(tensor: Any) -> dict[str, Any]:
    return {"name": tensor.name, "dtype": tensor.dtype.name, "shape": list(tensor.shape)}


def main() -> int:
    job = json.loads(Path(sys.argv[1]).read_text())
    # TensorRT's own libraries print where they like: stdout is kept for the report.
    report = Report(os.fdopen(os.dup(1), "w"))
    os.dup2(2, 1)
    os.environ["GSDD_PLUGIN_DIR"] = str(Path(job["library"]).parent)
    try:
        report.send(build(job, report))
    except GsddError as error:
        report.send({"error": str(error), "library": isinstance(error, LibraryNotBuiltError)})
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
