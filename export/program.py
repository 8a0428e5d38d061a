"""A distilled set as a ``torch.export`` program (``.pt2``), and compiled ahead of time by AOTInductor."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch.export import Dim, ExportedProgram

from gsdd_runtime.devices import resolve_device
from gsdd_runtime.errors import GsddError
from gsdd_runtime.export.decoder_module import DecoderModule, description_json
from gsdd_runtime.export.description import METADATA_KEY, written
from gsdd_runtime.sets.distilled_set import DistilledSet


def export_program(
    distilled_set: DistilledSet,
    out: str | os.PathLike[str],
    *,
    normalize: bool = False,
    size: tuple[int, int] | None = None,
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
) -> Path:
    """Writes the decoder for ``torch.export.load(out).module()``, whole or not at all, with a dynamic batch.

    Whoever loads the file imports ``gsdd_runtime.splatting.op`` first, which loads our library and registers the
    operator.
    Indices and outputs are those of :class:`gsdd_runtime.export.decoder_module.DecoderModule`; the set's description is
    the extra file ``gsdd``.

    Args:
        distilled_set: of Gaussians.
        out: the file.
        normalize, size, dtype: of the images, as for ``export_onnx``.
        device: that the program runs on, as :func:`gsdd_runtime.devices.resolve_device` takes it. Indices are to be
            there too, and images and labels come out there.

    Raises:
        InputError: whatever the set or the options cannot give, a device that our kernel cannot run on, or a file that
            cannot be written.
        LibraryNotBuiltError: the native library is not installed.
    """
    program, description = _program(distilled_set, normalize, size, dtype, resolve_device(device))
    target = Path(out)
    with written(target, distilled_set) as temporary, open(temporary, "wb") as file:
        # By a file object: torch would otherwise warn of the temporary name's suffix.
        torch.export.save(program, file, extra_files={METADATA_KEY: description})
    return target


def export_aot_inductor(
    distilled_set: DistilledSet,
    out: str | os.PathLike[str],
    *,
    normalize: bool = False,
    size: tuple[int, int] | None = None,
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
) -> Path:
    """Compiles the decoder with AOTInductor, for this kind of machine, whole or not at all.

    ``torch._inductor.aoti_load_package(out)`` runs it in Python, ``AOTIModelPackageLoader`` in C++; our torch library
    has to be loaded first. The splatting itself stays our native kernel. Needs a C++ compiler. Arguments and what is
    raised are those of :func:`export_program`.

    Raises:
        GsddError: AOTInductor could not compile it; the message names the cause.
    """
    program, description = _program(distilled_set, normalize, size, dtype, resolve_device(device))
    target = Path(out)
    with written(target, distilled_set) as temporary:
        # AOTInductor insists on the suffix.
        package = temporary.with_name(f"{temporary.name}.pt2")
        try:
            torch._inductor.aoti_compile_and_package(
                program,
                package_path=str(package),
                inductor_configs={"aot_inductor.metadata": {METADATA_KEY: description}},
            )
            os.replace(package, temporary)
        except OSError:
            raise
        except Exception as error:  # whatever the compiler and its tools throw
            raise GsddError(
                f"AOTInductor could not compile the decoder: {' '.join(str(error).split())[:500]}"
            ) from error
        finally:
            package.unlink(missing_ok=True)
    return target


def _program(
    distilled_set: DistilledSet,
    normalize: bool,
    size: tuple[int, int] | None,
    dtype: torch.dtype,
    device: torch.device,
) -> tuple[ExportedProgram, str]:
    module = DecoderModule(distilled_set, normalize=normalize, size=size, dtype=dtype).to(device)
    # Two: torch.export takes 0 and 1 for constants.
    indices = torch.zeros(2, dtype=torch.int64, device=device)
    program = torch.export.export(module, (indices,), dynamic_shapes={"indices": {0: Dim("batch", min=0)}})
    return program, description_json(distilled_set, normalize, module)
