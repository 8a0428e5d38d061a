"""``gsdd-rt compress``: the same images in fewer bytes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gsdd_runtime.commands import outputs
from gsdd_runtime.commands.progress_lines import progress_bar
from gsdd_runtime.commands.shared import (
    DataOptions,
    DeviceOption,
    JsonOption,
    OverwriteOption,
    SeedOption,
    SetArgument,
    load_data_for,
    print_json,
    takes_data,
)
from gsdd_runtime.wording import counted, percent

if TYPE_CHECKING:
    pass


MeasuredOption = Annotated[
    str | None, typer.Option("--dataset", help="Real images to measure the accuracy on, before and after.")
]


@takes_data(dataset=MeasuredOption, without=("size",))
def command(
    path: SetArgument,
    out: Annotated[Path, typer.Option("--out", metavar="SET", help="The file to write (.safetensors).")],
    psnr: Annotated[float | None, typer.Option(metavar="DB", help="Keep the images this close, on average.")] = None,
    bits_per_gaussian: Annotated[
        float | None, typer.Option(metavar="B", help="Take at most so many bits each.")
    ] = None,
    nbytes: Annotated[int | None, typer.Option("--bytes", metavar="N", help="Take at most so many bytes.")] = None,
    pixel_bits: Annotated[
        int | None, typer.Option(min=1, max=12, help="Of a pixel, for a set of pixels. [default: 8]")
    ] = None,
    *,
    data: DataOptions,
    epochs: Annotated[int, typer.Option(min=1, help="Of that measurement.")] = 300,
    repeats: Annotated[int, typer.Option(min=1, help="Networks of that measurement.")] = 5,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Round the images of a set and code them; with no aim, so that the set keeps its accuracy."""
    from gsdd_runtime.sets.compression import compress
    from gsdd_runtime.sets.distilled_set import DistilledSet

    place = outputs.Output("--out", out, outputs.SET)
    with outputs.claim([place], reads=[path, *data.folders()], overwrite=overwrite):
        original = DistilledSet.load(path)
        # The real data is read first: a wrong name costs nothing then.
        with progress_bar() as progress:
            measured_on = load_data_for(original, data, path, progress)
        result = compress(
            original, psnr=psnr, bits_per_gaussian=bits_per_gaussian, nbytes=nbytes, pixel_bits=pixel_bits
        )
        result.distilled_set.save(out)
    coded = result.distilled_set.coded
    assert coded is not None
    facts: dict[str, Any] = {
        "file": str(out),
        "file_bytes": out.stat().st_size,
        "image_bytes_before": result.bytes_before,
        "image_bytes": result.bytes_after,
        "psnr": result.psnr,
        "bits_per_gaussian": result.bits_per_gaussian,
        "bits": {**coded.bits, "tables": 8 * result.bytes_after - sum(coded.bits.values())},
        "coding": coded.to_fields(),
    }
    if measured_on is not None:
        from gsdd_runtime.evaluation.accuracy import evaluate

        with progress_bar() as progress:
            for name, one in (("before", original), ("after", result.distilled_set)):
                measured = evaluate(
                    one, measured_on, epochs=epochs, repeats=repeats, seed=seed, device=device, progress=progress
                )
                facts[f"accuracy_{name}"] = {
                    "last_epoch": {"mean": measured.last_epoch_mean, "std": measured.last_epoch_std},
                    "network": measured.network, "epochs": epochs, "repeats": repeats,
                }  # fmt: skip
    if as_json:
        print_json(facts)
        return
    print(
        f"{out}: {result.bytes_before} bytes of images in {result.bytes_after}, {result.psnr:.1f} dB to the originals"
    )
    numbers = result.distilled_set.rows().shape[:2] if result.bits_per_gaussian else None
    if numbers is not None:
        each = ", ".join(f"{kind} {bits / numbers.numel():.1f}" for kind, bits in facts["bits"].items())
        print(f"  {result.bits_per_gaussian:.1f} bits a Gaussian: {each}")
    for name in ("before", "after"):
        found = facts.get(f"accuracy_{name}")
        if found:
            last = found["last_epoch"]
            print(
                f"  accuracy {name}: {percent(last['mean'], last['std'], repeats)} (last of {counted(epochs, 'epoch')})"
            )
