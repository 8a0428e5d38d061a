"""``gsdd-rt export``: write the decoder as a graph for another runtime."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gsdd_runtime.commands import outputs
from gsdd_runtime.commands.parsing import parse_size
from gsdd_runtime.commands.progress_lines import progress_bar
from gsdd_runtime.commands.shared import OverwriteOption, SeedOption, SetArgument, SizeOption, bytes_of
from gsdd_runtime.errors import InputError

if TYPE_CHECKING:
    import torch

# Option of each target, what the name of its file ends in where it is left out, and what it is.
TARGETS = {
    "--onnx": (".onnx", outputs.ONNX),
    "--onnx-train-step": (".train-step.onnx", outputs.ONNX),
    "--torchscript": (".torchscript.pt", outputs.TORCHSCRIPT),
    "--pt2": (".pt2", outputs.PROGRAM),
    "--aot-inductor": (".aot.pt2", outputs.PROGRAM),
    "--tensorrt": (".engine", outputs.ENGINE),
    "--triton": (".triton", outputs.REPOSITORY),
}


def fill_omitted_outputs(arguments: list[str]) -> list[str]:
    """Puts an empty OUT behind each target of `export` that stands without one."""
    if arguments[:1] != ["export"]:
        return arguments
    filled: list[str] = []
    for position, argument in enumerate(arguments):
        filled.append(argument)
        following = arguments[position + 1 : position + 2]
        if argument in TARGETS and (not following or following[0].startswith("-")):
            filled.append("")
    return filled


def command(
    path: SetArgument,
    onnx: Annotated[str | None, typer.Option("--onnx", metavar="[OUT]", help="An ONNX model.")] = None,
    onnx_train_step: Annotated[
        str | None, typer.Option("--onnx-train-step", metavar="[OUT]", help="A whole training step as one ONNX model.")
    ] = None,
    torchscript: Annotated[
        str | None, typer.Option("--torchscript", metavar="[OUT]", help="A TorchScript module (deprecated by PyTorch).")
    ] = None,
    pt2: Annotated[str | None, typer.Option("--pt2", metavar="[OUT]", help="A torch.export program.")] = None,
    aot_inductor: Annotated[
        str | None, typer.Option("--aot-inductor", metavar="[OUT]", help="An AOTInductor package for this machine.")
    ] = None,
    tensorrt: Annotated[str | None, typer.Option("--tensorrt", metavar="[OUT]", help="A TensorRT engine.")] = None,
    triton: Annotated[
        str | None, typer.Option("--triton", metavar="[OUT]", help="A folder: a model repository of Triton.")
    ] = None,
    normalize: Annotated[bool, typer.Option("--normalize", help="Images come out as a network takes them.")] = False,
    size: SizeOption = None,
    dtype: Annotated[str, typer.Option(help="Of the images: float32, float16 or bfloat16.")] = "float32",
    device: Annotated[
        str | None, typer.Option(help="That --pt2 and --aot-inductor run on: auto, cpu or cuda. [default: cpu]")
    ] = None,
    inline: Annotated[
        bool, typer.Option("--inline", help="An ONNX model of standard operators alone, for every runtime.")
    ] = False,
    opset: Annotated[
        int | None, typer.Option(help="Of ONNX models: 18 to 26. [default: 20, as torch.onnx.export writes]")
    ] = None,
    network: Annotated[
        str | None, typer.Option(help="ConvNet that the training step trains. [default: by the images' size]")
    ] = None,
    seed: SeedOption = 0,
    learning_rate: Annotated[
        float | None,
        typer.Option(help="The training step starts with it. [default: that learned with the set, or 0.01]"),
    ] = None,
    momentum: Annotated[float, typer.Option(help="Of the training step.")] = 0.9,
    weight_decay: Annotated[float, typer.Option(help="Of the training step.")] = 0.0,
    set_learning_rate: Annotated[
        float | None, typer.Option(help="The training step trains the set too, at this rate.")
    ] = None,
    min_batch: Annotated[int, typer.Option(help="Smallest batch of the engine.")] = 1,
    opt_batch: Annotated[
        int | None, typer.Option(help="Batch that the engine is tuned for. [default: largest]")
    ] = None,
    max_batch: Annotated[int, typer.Option(help="Largest batch of the engine, or of Triton.")] = 256,
    triton_backend: Annotated[str, typer.Option(help="Of Triton: onnxruntime or tensorrt.")] = "onnxruntime",
    triton_library: Annotated[
        str | None,
        typer.Option(metavar="LIBRARY", help="Our library for onnxruntime, where Triton's machine has it."),
    ] = None,
    builder: Annotated[str, typer.Option(help="Of the engine: auto, tensorrt or tensorrt-rtx.")] = "auto",
    overwrite: OverwriteOption = False,
) -> None:
    """Write the decoder of a set as a graph. OUT may be left out: the file then stands beside the set."""
    from gsdd_runtime.sets.distilled_set import DistilledSet

    wanted = {
        "--onnx": onnx,
        "--onnx-train-step": onnx_train_step,
        "--torchscript": torchscript,
        "--pt2": pt2,
        "--aot-inductor": aot_inductor,
        "--tensorrt": tensorrt,
        "--triton": triton,
    }
    places = [
        outputs.Output(target, Path(out) if out else path.with_suffix(TARGETS[target][0]), TARGETS[target][1])
        for target, out in wanted.items()
        if out is not None
    ]
    if not places:
        raise InputError(f"nothing to export: name a target, one of {', '.join(TARGETS)}")
    on_a_device = {place.option for place in places} & {"--pt2", "--aot-inductor"}
    if device is not None and not on_a_device:
        raise InputError("--device is for --pt2 and --aot-inductor: the others take their device where they run")
    _check_used({place.option for place in places}, {
        "inline": inline, "opset": opset, "network": network, "seed": seed, "learning_rate": learning_rate,
        "momentum": momentum, "weight_decay": weight_decay, "set_learning_rate": set_learning_rate,
        "min_batch": min_batch, "opt_batch": opt_batch, "max_batch": max_batch, "builder": builder,
        "triton_backend": triton_backend, "triton_library": triton_library,
    })  # fmt: skip
    options: dict[str, Any] = {"normalize": normalize, "size": parse_size(size), "dtype": _dtype(dtype)}
    placed = {} if device is None else {"device": device}
    versions = {} if opset is None else {"opset": opset}
    training: dict[str, Any] = {
        "network": network, "learning_rate": learning_rate, "momentum": momentum, "weight_decay": weight_decay,
        "set_learning_rate": set_learning_rate, "seed": seed, "size": options["size"], **versions,
    }  # fmt: skip
    engine = {"min_batch": min_batch, "opt_batch": opt_batch, "max_batch": max_batch, "builder": builder}
    arguments = {
        "--onnx": {**options, **versions, "inline": inline}, "--onnx-train-step": training,
        "--tensorrt": {**engine, **options},
        "--triton": {
            **options, "max_batch": max_batch, "builder": builder, "backend": triton_backend,
            "library": triton_library,
        },
        **{target: {**options, **placed} for target in on_a_device},
    }  # fmt: skip
    for place in places:
        if place.kind.folder:
            outputs.check_folder(place.option, place.path, reads=[path], kind=place.kind)
    # An engine is also built from an ONNX model, such as a decoder and a network in one.
    is_model = path.suffix == ".onnx" and [place.option for place in places] == ["--tensorrt"]
    with outputs.claim(places, reads=[path], overwrite=overwrite):
        source = path if is_model else DistilledSet.load(path)
        for place in places:
            _export(source, place, arguments.get(place.option, options))
            print(f"{place.path}: {bytes_of(place.path)} bytes")


# Options that some targets alone have a use for.
_ENGINES = ("--tensorrt", "--triton")
_FOR: dict[str, tuple[str, ...]] = {
    "inline": ("--onnx",), "opset": ("--onnx", "--onnx-train-step"),
    **dict.fromkeys(
        ("network", "seed", "learning_rate", "momentum", "weight_decay", "set_learning_rate"), ("--onnx-train-step",)
    ),
    "min_batch": ("--tensorrt",), "opt_batch": ("--tensorrt",), "max_batch": _ENGINES, "builder": _ENGINES,
    "triton_backend": ("--triton",), "triton_library": ("--triton",),
}  # fmt: skip


def _check_used(targets: set[str], given: dict[str, Any]) -> None:
    """Refuses an option that is not as it is by default and that no target has a use for."""
    defaults = inspect.signature(command).parameters
    for name, value in given.items():
        if value != defaults[name].default and not targets.intersection(_FOR[name]):
            raise InputError(f"--{name.replace('_', '-')} is for {' and '.join(_FOR[name])}: name it too")


def _export(source: Any, place: outputs.Output, options: dict[str, Any]) -> None:
    """Writes one target; its runtime is imported with it."""
    if place.option == "--tensorrt":
        from gsdd_runtime.export.tensorrt import export_tensorrt

        with progress_bar() as progress:
            export_tensorrt(source, place.path, **options, progress=progress)
    elif place.option == "--triton":
        from gsdd_runtime.export.triton import export_triton

        # A file's name may hold what a model's may not.
        name = re.sub(r"[^A-Za-z0-9_-]", "_", source.path.stem)
        with progress_bar() as progress:
            export_triton(source, place.path, name=name, **options, progress=progress)
    elif place.option == "--onnx-train-step":
        from gsdd_runtime.export.train_step import export_train_step

        # A network always takes normalised images, and trains in float32.
        export_train_step(source, place.path, **options)
    elif place.option == "--onnx":
        from gsdd_runtime.export.onnx import export_onnx

        export_onnx(source, place.path, **options)
    elif place.option == "--torchscript":
        from gsdd_runtime.export.torchscript import export_torchscript

        export_torchscript(source, place.path, **options)
    else:
        from gsdd_runtime.export import program

        write = program.export_program if place.option == "--pt2" else program.export_aot_inductor
        write(source, place.path, **options)


def _dtype(name: str) -> torch.dtype:
    import torch

    dtypes = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
    if name not in dtypes:
        raise InputError(f"--dtype: {name!r} is not supported: choose one of {', '.join(dtypes)}")
    return dtypes[name]
