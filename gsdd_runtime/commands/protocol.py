"""The options that say how networks are trained and tested, for the commands that do: eval, baseline, verify."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from gsdd_runtime.commands.parsing import parse_size
from gsdd_runtime.commands.progress_lines import progress_bar
from gsdd_runtime.commands.shared import (
    DataOptions,
    DeviceOption,
    check_own_preparation,
    load_data,
    print_json,
    takes_options,
    warn_of_other_data,
)
from gsdd_runtime.errors import InputError

if TYPE_CHECKING:
    from gsdd_runtime.datasets import RealData
    from gsdd_runtime.networks import Size
    from gsdd_runtime.progress import Reporter
    from gsdd_runtime.sets.distilled_set import DistilledSet

NetworksOption = Annotated[
    str | None,
    typer.Option(
        "--networks", "--network", metavar="A,B,...", help="Architectures. [default: a ConvNet by the images' size]"
    ),
]
SizesOption = Annotated[
    str | None,
    typer.Option("--sizes", "--size", metavar="HxW,...", help="Draw the sets, and read the data, at these sizes."),
]
RecipeOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="dm, dc, mtt, sre2l, rded, ncfm, or cross: a rate for each network. [default: mtt where the set has a "
        "learned rate, else dm]",
    ),
]
EpochsOption = Annotated[int | None, typer.Option(min=1, help="Passes over a set. [default: the recipe's]")]
RateOption = Annotated[float | None, typer.Option("--learning-rate", help="[default: the set's, or the recipe's]")]
BatchOption = Annotated[int | None, typer.Option("--batch-size", min=1, help="[default: the recipe's]")]
AugmentOption = Annotated[
    str | None, typer.Option("--augment", help="dsa, cutmix, dsa-cutmix or none. [default: the recipe's]")
]
RepeatsOption = Annotated[
    int | None,
    typer.Option("--repeats", "--seeds", min=1, help="Networks of each kind, each from its own seed. [default: 5]"),
]
SeedsSeedOption = Annotated[
    int | None, typer.Option("--seed", min=0, help="Fixes the result on a device. [default: 0]")
]
TestsOption = Annotated[
    int | None,
    typer.Option(
        "--tests", min=1, help="Tests of a network over its epochs: above 1, the best of them is told too. [default: 1]"
    ),
]
AccuracyAtOption = Annotated[
    str | None, typer.Option("--accuracy-at", metavar="N,N,...", help="Test after these epochs as well.")
]
TeacherOption = Annotated[
    Path | None,
    typer.Option(
        "--teacher",
        metavar="MODEL|DIR|VIEWS",
        help="A network, or experts, that label every batch as it is augmented; module:Class@MODEL of your own. "
        "Or what relabel --views wrote: its views and labels, by its recipe.",
    ),
]
PerClassOption = Annotated[bool, typer.Option("--per-class", help="Print the accuracy of each class too.")]
CsvOption = Annotated[
    Path | None, typer.Option("--csv", metavar="FILE", help="Write the table to this file as well (.csv).")
]

REPEATS, SEED, TESTS = 5, 0, 1


@dataclass(frozen=True)
class TrainingOptions:
    """How networks are trained and tested: declared here alone, see :func:`takes_training`."""

    networks: NetworksOption = None
    sizes: SizesOption = None
    recipe: RecipeOption = None
    epochs: EpochsOption = None
    learning_rate: RateOption = None
    batch_size: BatchOption = None
    augment: AugmentOption = None
    teacher: TeacherOption = None
    repeats: RepeatsOption = None
    seed: SeedsSeedOption = None
    tests: TestsOption = None
    accuracy_at: AccuracyAtOption = None
    device: DeviceOption = "auto"


def takes_training(*, without: Sequence[str] = ()) -> Callable[[Callable[..., Any]], Any]:
    """For a command with a parameter ``training``: it gets TrainingOptions, and its command line an option for each."""
    return takes_options("training", TrainingOptions, {}, without)


def request(sets: Sequence[Path], data: DataOptions, training: TrainingOptions) -> dict[str, Any]:
    """The protocol that the options ask for, JSON values: what a document keeps so that it can be done again.

    Raises:
        InputError: an option that is no list of what it names, two sets of one name, or no dataset.
    """
    if data.dataset is None:
        raise InputError("give --dataset: the real images to test on")
    paths = [str(path) for path in sets]
    twice = next((path for path in paths if paths.count(path) > 1), None)
    if twice is not None:
        raise InputError(f"{twice} is given twice: leave one out")
    return {
        "sets": paths,
        "data": {**asdict(data), "data_dir": None if data.data_dir is None else str(data.data_dir)},
        **asdict(training),
        "teacher": None if training.teacher is None else str(training.teacher),
        "sizes": [None if size is None else list(size) for size in parse_sizes(training.sizes)],
        "networks": parse_names(training.networks),
        "accuracy_at": list(parse_epochs(training.accuracy_at)),
        "repeats": training.repeats or REPEATS,
        "seed": SEED if training.seed is None else training.seed,
        "tests": training.tests or TESTS,
        **sums_of(paths),
    }


def evaluated(
    request: Mapping[str, Any], sets: Mapping[str, DistilledSet | None], data: RealData | None = None
) -> dict[str, Any]:
    """The document of an evaluation by a protocol; of ``data`` where that was read before."""
    from gsdd_runtime.evaluation.comparison import compare, comparison_document

    with progress_bar() as progress:
        found = compare(
            sets,
            reader(request, sets, progress) if data is None else lambda size: data,
            architectures=request["networks"],
            sizes=[None if size is None else (size[0], size[1]) for size in request["sizes"]],
            progress=progress,
            **training_of(request, sets),
        )
    return comparison_document(found, request)


def show(document: dict[str, Any], csv: Path | None, *, as_json: bool, per_class: bool) -> None:
    """Writes the table to ``csv`` and prints it, or the document."""
    from gsdd_runtime.evaluation.report import comparison_csv, comparison_text, per_class_text

    if csv is not None:
        from gsdd_runtime.atomic import atomic_path

        with atomic_path(csv) as temporary:
            temporary.write_text(comparison_csv(document), encoding="utf-8")
    if as_json:
        print_json(document)
        return
    print(comparison_text(document))
    if per_class:
        print(per_class_text(document))
    if "again" in document:
        print(document["again"]["words"])


def data_options(protocol: Mapping[str, Any]) -> DataOptions:
    """The options of real data that a protocol was made by.

    Raises:
        InputError: one that there is none of, or of another type.
    """
    known = {field.name for field in fields(DataOptions)}
    values = dict(protocol["data"])
    wrong = next((name for name in values if name not in known), None)
    if wrong is not None or not isinstance(values.get("dataset"), str):
        raise InputError(f"the protocol's data has {wrong or 'no dataset'}: give a document of gsdd-rt eval --json")
    if isinstance(values.get("data_dir"), str):
        values["data_dir"] = Path(values["data_dir"])
    types = get_type_hints(DataOptions)
    wrong = next((name for name, value in values.items() if not isinstance(value, types[name])), None)
    if wrong is not None:
        raise InputError(f"the protocol's {wrong} is of another type: give a document of gsdd-rt eval --json")
    return DataOptions(**values)


def reader(
    protocol: Mapping[str, Any], sets: Mapping[str, DistilledSet | None], progress: Reporter
) -> Callable[[Size | None], RealData]:
    """Reads the real data at a size, and says where sets were made from other data."""
    options = data_options(protocol)
    known = {path: one for path, one in sets.items() if one is not None}
    for path, one in known.items():
        check_own_preparation(one, options, Path(path))

    def read(size: Size | None) -> RealData:
        data = load_data(options, size, progress)
        for one in known.values():
            warn_of_other_data(one.fingerprint, (one.height, one.width), data)
        return data

    return read


def read_by(protocol: Mapping[str, Any]) -> list[Path]:
    """Folders and files that are read, besides the sets."""
    from gsdd_runtime.experts.teaching import teacher_path

    teacher = [] if protocol["teacher"] is None else [teacher_path(Path(protocol["teacher"]))]
    return [*data_options(protocol).folders(), *teacher]


def sums_of(sets: Sequence[str]) -> dict[str, Any]:
    """The digest of each set's file, for a protocol."""
    return {"sha256": {path: _sha256(Path(path)) for path in sets}}


def _sha256(path: Path) -> str | None:
    """Of a set's file, without the accuracies in it; None where there is none to read: whoever loads it says so."""
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            digest.update(_without_accuracy(file.read(min(length, 1 << 28))))
            while part := file.read(1 << 20):
                digest.update(part)
    except OSError:
        return None
    return digest.hexdigest()


def _without_accuracy(header: bytes) -> bytes:
    try:
        found = json.loads(header)
        description = json.loads(found["__metadata__"]["gsdd"])
        description.pop("accuracy", None)
        found["__metadata__"]["gsdd"] = description
        return json.dumps(found, sort_keys=True).encode()
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return header


def parse_names(text: str | None) -> list[str | None]:
    """``"a,b"`` as names; one None where there are none."""
    names = [name.strip() for name in (text or "").split(",") if name.strip()]
    return list(dict.fromkeys(names)) or [None]


def parse_sizes(text: str | None) -> list[Size | None]:
    """``"32x32,64"`` as sizes; one None where there are none.

    Raises:
        InputError: something that is no size.
    """
    return [parse_size(name, "--sizes") for name in parse_names(text)]


def parse_epochs(text: str | None) -> tuple[int, ...]:
    """``"30,100"`` as numbers from 1, ascending.

    Raises:
        InputError: anything else.
    """
    if text is None:
        return ()
    if not re.fullmatch(r"[1-9]\d{0,8}(,[1-9]\d{0,8})*", text):
        raise InputError(f"--accuracy-at: {text!r} are no epochs: give numbers from 1, such as 30,100")
    return tuple(sorted({int(number) for number in text.split(",")}))


def training_of(request: Mapping[str, Any], sets: Mapping[str, DistilledSet | None]) -> dict[str, Any]:
    """What :func:`gsdd_runtime.evaluation.accuracy.evaluate` takes, of the protocol of a document."""
    from gsdd_runtime.experts.teaching import load_labels
    from gsdd_runtime.training.recipe import AS_RECIPE

    teacher = None
    first = next(iter(sets.values()))
    if request["teacher"] is not None:
        teacher = load_labels(Path(request["teacher"]), None if first is None else first.preparation)
    names = ("recipe", "epochs", "learning_rate", "batch_size", "repeats", "seed", "tests", "device")
    return {
        **{name: request[name] for name in names},
        "augment": AS_RECIPE if request["augment"] is None else request["augment"],
        "accuracy_at": tuple(request["accuracy_at"]),
        "teacher": teacher,
    }
