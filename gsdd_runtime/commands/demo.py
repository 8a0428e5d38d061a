"""``make demo``: the whole of gsdd-rt on the embedded real images, with a table at the end.

Sets of the same storage are compared: Gaussians, plain and coded, and pixels, all distilled the same way, and real
images chosen at random. Storage is counted in bytes: a Gaussian parameter and a distilled pixel take two, a pixel of a
real image one; coded images take what they were coded to.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Console
from rich.table import Table

from gsdd_runtime.commands import outputs
from gsdd_runtime.commands.exits import exit_code
from gsdd_runtime.commands.progress_lines import progress_bar
from gsdd_runtime.commands.runtimes import what_runs
from gsdd_runtime.datasets import RealData, load_dataset
from gsdd_runtime.distillation import distill
from gsdd_runtime.distillation.checkpoint import checkpoint_path
from gsdd_runtime.errors import InputError
from gsdd_runtime.evaluation.accuracy import evaluate
from gsdd_runtime.evaluation.baselines import random_real_set
from gsdd_runtime.evaluation.result import EvaluationResult, stored_measurement
from gsdd_runtime.reports.comparison import draw_comparison
from gsdd_runtime.reports.zoom import draw_zoom
from gsdd_runtime.sets.distilled_set import DistilledSet
from gsdd_runtime.sets.origins import real_images_method
from gsdd_runtime.wording import counted, percent

if TYPE_CHECKING:
    from gsdd_runtime.progress import Reporter

# Short enough that the demo ends within ten minutes on two cores: the paper's DM takes 20000 iterations of 256 real
# images a class, with a network of 128 filters.
IPC = 1
DISTILL: dict[str, Any] = {
    "method": "dm",
    "iterations": 600,
    "fit_steps": 400,
    "schedule": "cosine",
    "network": "convnet3-w32",
    "batch_real": 64,
}
# The best of those tried: 2e-3, 4e-3, 1e-2 and 3e-2 for Gaussians, 1e-2 and 5e-2 for pixels (docs/distilling.md).
DISTILLED: dict[str, dict[str, Any]] = {
    "gaussians": {"representation": "gaussians", "gpc": 10, "learning_rate": 4e-3, "placement": "uniform"},
    "coded": {
        "representation": "gaussians",
        "gpc": 30,
        "learning_rate": 4e-3,
        "placement": "uniform",
        "coding": "entropy",
    },
    "pixels": {"representation": "pixels", "learning_rate": 1e-2},
}
NAMES = {
    "gaussians": "Gaussians, distilled",
    "coded": "Gaussians, distilled and coded",
    "pixels": "pixels, distilled",
    "random-real": "real images, random",
}
EVALUATE: dict[str, Any] = {"network": "convnet3-w32", "epochs": 300, "repeats": 4, "tests": 5}


# Classes of the picture that zooms in: bag, ankle boot.
ZOOMED = (8, 9)


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    name: str
    distilled: DistilledSet
    seconds: float
    result: EvaluationResult


def main() -> int:
    """Runs the demo and returns its exit code; ``--out`` names the folder of its files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder of the files it writes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--overwrite", action="store_true", help="replace the files that are there")
    arguments = parser.parse_args()
    return exit_code("demo", lambda: run(arguments.out, arguments.seed, arguments.overwrite))


def run(out: Path, seed: int, overwrite: bool = False) -> None:
    """Distills, evaluates, exports and draws into the folder ``out``."""
    started = time.monotonic()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {out}: {error.strerror or error}") from error
    outputs.check(_outputs(out), reads=[], overwrite=overwrite)
    console = Console()
    data = load_dataset("fashion-mnist-sample")
    console.print(
        f"{data.name}: {counted(len(data.train_labels), 'real image')} of {counted(data.classes, 'class')}, "
        f"{data.height}x{data.width}, to be distilled into the storage of {IPC} pixel image a class"
    )
    with progress_bar() as progress:
        rows = {name: _distilled(name, data, out, seed, progress) for name in DISTILLED}
        rows["random-real"] = _random_real(data, out, seed, progress)
    difference = export_and_compare(rows["gaussians"].distilled, out / "decoder.onnx")
    draw_pictures({name: row.distilled for name, row in rows.items()}, out)
    console.print(_table(list(rows.values())))
    console.print(
        f"decoder.onnx in stock onnxruntime: within {difference:.0e} of the float64 reference, "
        f"{(out / 'decoder.onnx').stat().st_size} bytes"
    )
    console.print(f"files in {out}/: {', '.join(sorted(path.name for path in out.iterdir()))}")
    console.print(f"{time.monotonic() - started:.0f} seconds")
    console.print(what_runs(out / "decoder.onnx"), markup=False, soft_wrap=True)


def _outputs(out: Path) -> list[outputs.Output]:
    """All that is written to the folder; of an unfinished run, its checkpoint."""
    sets = [out / f"{name}.safetensors" for name in NAMES]
    kinds = dict.fromkeys(sets, outputs.DISTILLED) | dict.fromkeys(map(checkpoint_path, sets), outputs.UNFINISHED)
    kinds |= {out / "decoder.onnx": outputs.ONNX, out / "distilled.png": outputs.PICTURE}
    kinds[out / "zoom.png"] = outputs.PICTURE
    return [outputs.Output("--out", path, kind) for path, kind in kinds.items()]


def _distilled(name: str, data: RealData, out: Path, seed: int, progress: Reporter) -> Row:
    started = time.monotonic()
    path = out / f"{name}.safetensors"
    checkpoint_path(path).unlink(missing_ok=True)
    distilled = distill(
        data,
        ipc=IPC,
        seed=seed,
        out=path,
        overwrite=True,
        progress=_prefixed(NAMES[name], progress),
        **DISTILL,
        **DISTILLED[name],
    )
    seconds = time.monotonic() - started
    return _evaluated(name, distilled, seconds, data, out, seed, progress)


def _random_real(data: RealData, out: Path, seed: int, progress: Reporter) -> Row:
    # An 8-bit pixel takes a quarter of the float32 pixel that IPC counts.
    distilled = random_real_set(data, per_class=4 * IPC, seed=seed)
    return _evaluated("random-real", distilled, 0.0, data, out, seed, progress)


def _evaluated(
    name: str, distilled: DistilledSet, seconds: float, data: RealData, out: Path, seed: int, progress: Reporter
) -> Row:
    """The row of a set, which states its accuracy from then on."""
    result = evaluate(distilled, data, seed=seed, progress=_prefixed(NAMES[name], progress), **EVALUATE)
    distilled = distilled.changed(accuracy=[stored_measurement(result.to_dict())])
    distilled.save(out / f"{name}.safetensors")
    return Row(NAMES[name], distilled, seconds, result)


def bytes_per_class(distilled: DistilledSet) -> int:
    """Of the images of a set of the demo, as the module counts them."""
    size = distilled.image_nbytes
    if distilled.method == real_images_method("random") and distilled.pixels is not None:
        size = distilled.pixels.numel()
    return size // distilled.classes


def _prefixed(name: str, progress: Reporter) -> Reporter:
    return lambda report: progress(replace(report, phase=f"{name}: {report.phase}"))


def export_and_compare(distilled: DistilledSet, path: Path) -> float:
    """Exports a decoder, runs it in onnxruntime, and returns the worst difference from the float64 reference."""
    import onnxruntime

    from gsdd_runtime.export.onnx import export_onnx
    from gsdd_runtime.splatting import reference

    export_onnx(distilled, path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    indices = torch.arange(len(distilled))
    images = torch.from_numpy(session.run(["images"], {"indices": indices.numpy()})[0])
    assert distilled.gaussians is not None
    exact = reference.splat(distilled.gaussians.double(), distilled.height, distilled.width)
    return (images.double() - exact).abs().max().item()


def draw_pictures(sets: Mapping[str, DistilledSet], out: Path) -> None:
    """``distilled.png`` and ``zoom.png`` of the demo's sets, by their names, into the folder ``out``."""
    captioned = {
        name: (f"{NAMES[name]}: {bytes_per_class(distilled)} bytes a class", distilled)
        for name, distilled in sets.items()
    }
    draw_comparison([captioned[name] for name in ("pixels", "gaussians", "coded")], out / "distilled.png")
    draw_zoom([captioned[name] for name in ("pixels", "gaussians")], ZOOMED, out / "zoom.png")


def _table(rows: list[Row]) -> Table:
    table = Table(title=f"test accuracy of {EVALUATE['network']}, {counted(EVALUATE['repeats'], 'network')} each")
    for header in (
        "set",
        "images a class",
        "bytes a class",
        "last epoch",
        "best epoch (chosen on the test images)",
        "distilled in",
    ):
        table.add_column(header, justify="left" if header == "set" else "right")
    for row in rows:
        repeats = len(row.result.repeats)
        table.add_row(
            row.name,
            str(len(row.distilled) // row.distilled.classes),
            str(bytes_per_class(row.distilled)),
            percent(row.result.last_epoch_mean, row.result.last_epoch_std, repeats, digits=1),
            percent(row.result.best_epoch_mean, row.result.best_epoch_std, repeats, digits=1),
            f"{row.seconds:.0f} s",
        )
    return table


if __name__ == "__main__":
    sys.exit(main())
