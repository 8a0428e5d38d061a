"""``gsdd-rt eval``: test on real images what was trained on sets, or train it first."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gsdd_runtime import ranks
from gsdd_runtime.commands import outputs, repeating
from gsdd_runtime.commands import protocol as protocols
from gsdd_runtime.commands.progress_lines import progress_bar
from gsdd_runtime.commands.protocol import CsvOption, PerClassOption, TrainingOptions, takes_training
from gsdd_runtime.commands.shared import (
    DataOptions,
    JsonOption,
    OverwriteOption,
    check_own_preparation,
    given_options,
    load_data,
    load_set_or_model,
    print_json,
    takes_data,
    warn_of_other_data,
)
from gsdd_runtime.errors import InputError
from gsdd_runtime.wording import counted, percent

if TYPE_CHECKING:
    from gsdd_runtime.networks.model_file import TrainedModel
    from gsdd_runtime.sets.distilled_set import DistilledSet


TestedOption = Annotated[
    str | None, typer.Option("--dataset", help="Real images to test on; named as for distill. Needed.")
]


@takes_data(dataset=TestedOption, without=("size",))
@takes_training()
def command(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[SET ...]|MODEL", help="Distilled sets, or a trained network (.safetensors)."),
    ] = None,
    *,
    data: DataOptions,
    training: TrainingOptions,
    per_class: PerClassOption = False,
    again: Annotated[
        Path | None,
        typer.Option("--again", metavar="FILE", help="Do what made this document (--json) again, and compare."),
    ] = None,
    store: Annotated[
        bool, typer.Option("--store", help="Keep the accuracies in the files of the sets, with their protocol.")
    ] = False,
    as_json: JsonOption = False,
    csv: CsvOption = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Report accuracy on held-out real images: of fresh networks that are trained on sets, or of a trained one."""
    from gsdd_runtime.networks.model_file import TrainedModel

    before = None
    if again is None:
        request = protocols.request(paths or [], data, training)
    else:
        given = [*(["the sets"] if paths else []), *(["--dataset"] if data.dataset else []), *data.given()]
        before = repeating.earlier(
            again, given + given_options(training, "networks", "teacher"), training.networks, training.teacher
        )
        request = repeating.repeated(before)
    reads = [again, *map(Path, request["sets"]), *protocols.read_by(request)]
    with outputs.claim_csv(csv, reads=reads, overwrite=overwrite):
        sources = {path: load_set_or_model(Path(path), training.networks) for path in request["sets"]}
        if not sources:
            raise InputError("there is nothing to evaluate: give a set, or --again FILE")
        path, first = next(iter(sources.items()))
        if isinstance(first, TrainedModel) and len(sources) == 1:
            _test(path, first, data, training, store, as_json)
            return
        sets: dict[str, DistilledSet | None] = {}
        for path, source in sources.items():
            if isinstance(source, TrainedModel):
                raise InputError(f"{path} is a trained network: give it alone")
            sets[path] = source
        document = protocols.evaluated(request, sets)
        if not ranks.joined().first:
            return
        if before is not None and again is not None:
            document["again"] = repeating.compared(again, before, document)
        if store:
            _store(document, sets)
        protocols.show(document, csv, as_json=as_json, per_class=per_class)


def _store(document: dict[str, Any], sets: dict[str, DistilledSet | None]) -> None:
    """Writes each set anew, whole or not at all, with what was measured of it."""
    from gsdd_runtime.atomic import sole_writer
    from gsdd_runtime.evaluation.result import stored_measurement

    for path, one in sets.items():
        if one is None:
            continue
        found = [result for result in document["results"] if result["set"]["name"] == path]
        with sole_writer(Path(path)):
            one.changed(accuracy=[stored_measurement(result) for result in found]).save(path)


def _test(
    path: str, model: TrainedModel, options: DataOptions, training: TrainingOptions, store: bool, as_json: bool
) -> None:
    from gsdd_runtime.evaluation.trained import evaluate_model

    if store:
        raise InputError(f"{path} is a trained network, which keeps no accuracy: leave --store out")
    named_again = ("networks",) if training.networks == model.name else ()
    given = given_options(training, "sizes", "device", *named_again)
    if given:
        option = "--network" if given[0] == "--networks" else given[0]
        raise InputError(f"{path} is a trained network and is tested as it is: leave {option} out")
    if protocols.parse_sizes(training.sizes) not in ([None], [model.size]):
        own = f"{model.size[0]}x{model.size[1]}"
        raise InputError(f"{path} takes images of {own}: leave --size out, the data is scaled to that")
    check_own_preparation(model, options, Path(path))
    with progress_bar() as progress:
        data = load_data(options, model.size, progress)
    warn_of_other_data(model.training.get("data_fingerprint"), model.size, data)
    result = evaluate_model(model, data, device=training.device)
    if as_json:
        print_json(result.to_dict())
        return
    print(
        f"{path}: {model.name}, {percent(result.accuracy, 0.0, 1)} test accuracy on "
        f"{counted(len(data.test_labels), 'image')} of {data.name}"
    )
