"""``gsdd-rt baseline``: what a set has to beat, trained and tested as sets are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gsdd_runtime.commands import outputs
from gsdd_runtime.commands import protocol as protocols
from gsdd_runtime.commands.progress_lines import progress_bar
from gsdd_runtime.commands.protocol import CsvOption, PerClassOption, TrainingOptions, takes_training
from gsdd_runtime.commands.shared import (
    DataOptions,
    JsonOption,
    OverwriteOption,
    load_data,
    takes_data,
)
from gsdd_runtime.errors import InputError
from gsdd_runtime.wording import counted

if TYPE_CHECKING:
    from torch import Tensor

    from gsdd_runtime.datasets import RealData
    from gsdd_runtime.sets.distilled_set import DistilledSet

WHOLE = "whole"


@takes_data()
@takes_training(without=("sizes", "teacher"))
def command(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="random, herding, kcenter, or whole: all of the data.")],
    *,
    data: DataOptions,
    bytes_of: Annotated[
        Path | None, typer.Option("--bytes-of", metavar="SET", help="As many real images as take this set's bytes.")
    ] = None,
    ipc: Annotated[int | None, typer.Option(min=1, help="Real images of each class, instead.")] = None,
    pixel_bytes: Annotated[
        int, typer.Option(min=1, max=4, help="Counted for a pixel and channel of a real image; the field counts 4.")
    ] = 1,
    draws: Annotated[int, typer.Option(min=1, help="Of random: so many choices, each from its own seed.")] = 1,
    features: Annotated[
        Path | None, typer.Option("--features", metavar="MODEL", help="Chooses. [default: a fresh seeded network]")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="SET", help="Write the chosen images as a set, too, which compress codes."),
    ] = None,
    training: TrainingOptions,
    per_class: PerClassOption = False,
    as_json: JsonOption = False,
    csv: CsvOption = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Report the accuracy of networks trained on chosen real images, or on all of them, by the recipe of eval."""
    _check(kind, bytes_of, ipc, draws, features, out)
    places = [] if out is None else [outputs.Output("--out", out, outputs.SET)]
    places += [] if csv is None else [outputs.Output("--csv", csv, outputs.CSV)]
    with outputs.claim(places, reads=[bytes_of, features, *data.folders()], overwrite=overwrite):
        with progress_bar() as progress:
            real = load_data(data, progress=progress)
        storage = None if bytes_of is None else _bytes_per_class(bytes_of, real)
        request = {
            **protocols.request([], data, training),
            "baseline": {
                "kind": kind, "bytes_of": bytes_of and str(bytes_of), "bytes_per_class": storage, "ipc": ipc,
                "pixel_bytes": pixel_bytes, "draws": draws, "features": features and str(features),
            },
        }  # fmt: skip
        sets: dict[str, DistilledSet | None] = {WHOLE: None}
        if kind != WHOLE:
            sets = _chosen(real, request, _embed(kind, features, real, request))
        if out is not None:
            next(one for one in sets.values() if one is not None).save(out)
        document = protocols.evaluated(request, sets, real)
        _count(document, real, pixel_bytes)
        protocols.show(document, csv, as_json=as_json, per_class=per_class)


def _check(
    kind: str, bytes_of: Path | None, ipc: int | None, draws: int, features: Path | None, out: Path | None
) -> None:
    from gsdd_runtime.evaluation.baselines import CHOICES

    if kind not in (*CHOICES, WHOLE):
        raise InputError(f"no baseline {kind!r}: choose one of {', '.join((*CHOICES, WHOLE))}")
    given = {"--bytes-of": bytes_of, "--ipc": ipc, "--features": features, "--out": out}
    if kind == WHOLE:
        wrong = next((option for option, value in given.items() if value is not None), None)
        if wrong is not None:
            raise InputError(f"baseline whole takes all of the data: leave {wrong} out")
    elif (bytes_of is None) == (ipc is None):
        raise InputError(f"baseline {kind}: give either --bytes-of SET or --ipc")
    if kind != "random" and draws != 1:
        raise InputError(f"baseline {kind} has one choice: leave --draws out")
    if kind == "random" and features is not None:
        raise InputError("baseline random chooses by no features: leave --features out")


def _bytes_per_class(path: Path, real: RealData) -> int:
    """Of everything that training on the set needs and training on real images does not: whitening may be both's."""
    from gsdd_runtime.sets.distilled_set import DistilledSet

    one = DistilledSet.load(path)
    if one.classes != real.classes:
        theirs = counted(real.classes, "class")
        raise InputError(f"{path} has {counted(one.classes, 'class')}, {real.name} {theirs}: compare like with like")
    shared = 0 if one.zca is None or real.zca is None else one.zca.nbytes
    return (one.nbytes - shared) // one.classes


def _embed(
    kind: str, features: Path | None, real: RealData, request: dict[str, Any]
) -> Callable[[Tensor], Tensor] | None:
    """What chooses by features."""
    from gsdd_runtime import networks
    from gsdd_runtime.devices import resolve_device
    from gsdd_runtime.evaluation.baselines import embedding
    from gsdd_runtime.evaluation.real_test import check_fit
    from gsdd_runtime.networks.model_file import load_model
    from gsdd_runtime.seeds import derived_generator

    if kind == "random":
        return None
    device, size = resolve_device(request["device"]), (real.height, real.width)
    if features is not None:
        model = load_model(features)
        check_fit(model, real, model.size, what="network")
        return embedding(model.network, model.preparation, device)
    generator = derived_generator(request["seed"], "baseline", "features")
    name = networks.chosen(request["networks"][0], size)
    return embedding(networks.build(name, real.channels, real.classes, size, generator), real.preparation, device)


def _chosen(
    real: RealData, request: dict[str, Any], embed: Callable[[Tensor], Tensor] | None
) -> dict[str, DistilledSet | None]:
    from gsdd_runtime.evaluation.baselines import real_set

    asked = request["baseline"]
    made: dict[str, DistilledSet | None] = {}
    for draw in range(asked["draws"]):
        one = real_set(
            real, asked["kind"], asked["bytes_per_class"], per_class=asked["ipc"], pixel_bytes=asked["pixel_bytes"],
            embed=embed, seed=request["seed"] + draw,
        )  # fmt: skip
        number = f" {draw + 1}" if asked["draws"] > 1 else ""
        made[f"{asked['kind']}{number}, {counted(one.gpc or 0, 'image')} a class"] = one
    return made


def _count(document: dict[str, Any], real: RealData, pixel_bytes: int) -> None:
    """Real images are counted as asked, not as the file of a set keeps them."""
    for result in document["results"]:
        size = result["set"]["images"] * real.train_images[0].numel() * pixel_bytes
        size += 0 if real.zca is None else real.zca.nbytes
        result["set"] |= {"bytes": size, "bits_per_class": 8 * size / real.classes}
