"""What several commands share: the options of real data and others, opening what they name, JSON output."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from gsdd_runtime.commands.parsing import parse_size
from gsdd_runtime.errors import InputError
from gsdd_runtime.progress import Reporter, say_once, silent

if TYPE_CHECKING:
    from gsdd_runtime.datasets import RealData
    from gsdd_runtime.networks.model_file import TrainedModel
    from gsdd_runtime.sets.distilled_set import DistilledSet

DatasetOption = Annotated[
    str,
    typer.Option("--dataset", help="fashion-mnist-sample (embedded), cifar10, ... (with --data-dir), imagefolder:DIR."),
]
DataDirOption = Annotated[
    Path | None, typer.Option("--data-dir", help="The folder of the dataset's files, where it has any.")
]
TestPartOption = Annotated[
    float | None,
    typer.Option(
        "--test-part",
        metavar="SHARE",
        help="Of an imagefolder without a test folder: the share of each class held out to test on, 0 for none. "
        "[default: 0.2]",
    ),
]
ClassesOption = Annotated[
    str | None,
    typer.Option(
        "--classes",
        help="nette, woof, fruit, yellow, meow, squawk, a to e, imagenet (all, by readable names), names with commas "
        "between them, or a file of names. [default: all]",
    ),
]
ResizeOption = Annotated[
    str, typer.Option("--resize", help="To --size: cover (and cut the centre) or squash, of pictures of another shape.")
]
NormalizationOption = Annotated[
    str,
    typer.Option("--normalization", help="Mean and deviation: computed from the training images, or published ones."),
]
ZcaOption = Annotated[
    bool, typer.Option("--zca", help="Networks take ZCA-whitened images, fitted on the training images.")
]
CacheOption = Annotated[
    bool,
    typer.Option(
        "--cache/--no-cache",
        help="Keep the decoded pictures of a folder, to start in seconds the next time (GSDD_CACHE, GSDD_CACHE_LIMIT).",
    ),
]
SizeOption = Annotated[str | None, typer.Option("--size", metavar="HxW", help="Size of the images, in pixels.")]
MeanOption = Annotated[
    str | None, typer.Option("--mean", metavar="R,G,B", help="A number a channel, in pixel units 0 to 1.")
]
StdOption = Annotated[str | None, typer.Option("--std", metavar="R,G,B", help="The deviation likewise.")]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Fixes the result on a device.")]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
NetworkOption = Annotated[
    str | None, typer.Option("--network", help="Architecture to train. [default: a ConvNet by the images' size]")
]
OverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Replace the file that is there, whatever it is; never one that is read.")
]
SetArgument = Annotated[Path, typer.Argument(metavar="SET", help="A distilled set (.safetensors).")]


# Of a command that has to know what was given, such as one that takes a recipe: None stands for what was not.
OPTIONAL_DATA: dict[str, Any] = {
    "dataset": Annotated[
        str | None,
        typer.Option("--dataset", help="fashion-mnist-sample (embedded), cifar10, ... (with --data-dir), "
                     "imagefolder:DIR; a recipe may name it."),
    ],
    "resize": Annotated[
        str | None,
        typer.Option("--resize", help="To --size: cover (and cut the centre) or squash, of pictures of another shape. "
                     "[default: cover]"),
    ],
    "normalization": Annotated[
        str | None,
        typer.Option("--normalization", help="Mean and deviation: computed from the training images, or published "
                     "ones. [default: computed]"),
    ],
    "zca": Annotated[
        bool | None,
        typer.Option("--zca/--no-zca", help="Networks take ZCA-whitened images, fitted on the training images."),
    ],
}  # fmt: skip


@dataclass(frozen=True)
class DataOptions:
    """What a command that reads real data is told of it: declared here alone, see :func:`takes_data`."""

    dataset: DatasetOption
    data_dir: DataDirOption = None
    size: SizeOption = None
    test_part: TestPartOption = None
    classes: ClassesOption = None
    resize: ResizeOption = "cover"
    normalization: NormalizationOption = "computed"
    zca: ZcaOption = False
    cache: CacheOption = True

    def given(self) -> list[str]:
        """The options, besides --dataset, that are not what they are by default."""
        return given_options(self, "dataset")

    def folders(self) -> list[Path]:
        """What will be read from."""
        from gsdd_runtime.datasets import folders_of

        listed = Path(self.classes or "")
        return [*folders_of(self.dataset or "", self.data_dir), *([listed] if listed.is_file() else [])]


def given_options(options: Any, *but: str) -> list[str]:
    """The options of a dataclass, besides fields ``but``, that are not what they are by default."""
    others = [field for field in fields(options) if field.name not in but]
    return [_option(field.name) for field in others if getattr(options, field.name) != field.default]


def takes_data(*, dataset: Any = None, without: Sequence[str] = ()) -> Callable[[Callable[..., Any]], Any]:
    """For a command with a parameter ``data``: it gets DataOptions, and its command line an option for each.

    Args:
        dataset: the annotation of an option that may be left out; ``data.dataset`` is None then.
        without: fields that the command has no option for; they keep their defaults.
    """
    return takes_options("data", DataOptions, {} if dataset is None else {"dataset": dataset}, without)


def takes_options(
    place: str, kind: Any, optional: Mapping[str, Any], without: Sequence[str] = ()
) -> Callable[[Callable[..., Any]], Any]:
    """For a command with a parameter ``place``: it gets a ``kind``, and its command line an option for each field.

    Args:
        place: of the parameter.
        kind: a dataclass whose fields are annotated as options.
        optional: other annotations of fields that may be left out, by name; they are None then.
        without: fields that the command has no option for; they keep their defaults, or are None.
    """
    # Of those, what has no default.
    missing = {field.name: None for field in fields(kind) if field.name in without and field.default is MISSING}

    def expand(command: Callable[..., Any]) -> Callable[..., Any]:
        parameters: list[inspect.Parameter] = []
        ours = get_type_hints(kind, include_extras=True)
        names = [field.name for field in fields(kind) if field.name not in without]
        # Not by get_type_hints: until Python 3.11 it wraps what has None as default, and an argument becomes an option.
        for parameter in inspect.signature(command, eval_str=True).parameters.values():
            kept = parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            if parameter.name != place:
                parameters.append(kept)
                continue
            for field in fields(kind):
                default = inspect.Parameter.empty if field.default is MISSING else field.default
                if field.name in names:
                    parameters.append(kept.replace(
                        name=field.name,
                        annotation=optional.get(field.name, ours[field.name]),
                        default=None if field.name in optional else default,
                    ))  # fmt: skip

        def call(**arguments: Any) -> Any:
            given = kind(**missing, **{name: arguments.pop(name) for name in names})
            return command(**arguments, **{place: given})

        call.__name__, call.__doc__ = command.__name__, command.__doc__
        call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return call

    return expand


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def load_data(options: DataOptions, size: tuple[int, int] | None = None, progress: Reporter = silent) -> RealData:
    """The real data that the options name, at ``size`` where one is given; says what is held out of a folder."""
    from gsdd_runtime.datasets import load_dataset

    data = load_dataset(
        options.dataset,
        data_dir=options.data_dir,
        size=parse_size(options.size) if size is None else size,
        test_part=options.test_part,
        classes=options.classes,
        resize=options.resize,
        normalization=options.normalization,
        zca=options.zca,
        cache=options.cache,
        progress=progress,
    )
    if data.split is not None:
        say_once(data.split)
    return data


def load_data_for(
    source: DistilledSet, options: DataOptions, path: Path, progress: Reporter = silent
) -> RealData | None:
    """The real data that the options name, at the size of a set, the file ``path``; None where they name none.

    Raises:
        InputError: options of data without a dataset, or that a set with a preparation of its own does not take.
    """
    if options.dataset is None:
        given = options.given()
        if given:
            raise InputError(f"{given[0]} needs --dataset: name the data too")
        return None
    check_own_preparation(source, options, path)
    return load_data(options, (source.height, source.width), progress)


def check_own_preparation(source: DistilledSet | TrainedModel, options: DataOptions, path: Path) -> None:
    """Raises InputError where the options ask for another preparation of images than a set or network has."""
    asked = [option for option in options.given() if option in ("--zca", "--normalization")]
    if asked and (source.mean is not None or source.zca is not None):
        raise InputError(f"{path} says itself how a network takes images: leave {asked[0]} out")


def load_set_or_model(path: Path, network: str | None = None) -> DistilledSet | TrainedModel:
    """What the file holds, by its metadata; a file that is neither is explained as no set.

    ``network`` names the architecture of a trained network again where that is code of the user's own.
    """
    from gsdd_runtime.networks import model_file
    from gsdd_runtime.sets.container import is_of_kind
    from gsdd_runtime.sets.distilled_set import DistilledSet

    if is_of_kind(path, model_file.KIND):
        return model_file.load_model(path, network=network)
    return DistilledSet.load(path)


def warn_of_other_data(fingerprint: str | None, size: tuple[int, int], data: RealData) -> None:
    """Says on stderr where test images may be among those that a set was made from: another split, say."""
    if fingerprint is not None and size == (data.height, data.width) and not data.has_fingerprint(fingerprint):
        say_once(
            f"{data.name} is not the data that the set was made from, or is split otherwise (--test-part): "
            "test images that it was made from would be no test"
        )


def print_json(document: dict[str, Any]) -> None:
    """One JSON document on stdout."""
    print(json.dumps(document, indent=2))


def bytes_of(path: Path) -> int:
    """Of a file, or of all in a folder."""
    return sum(file.stat().st_size for file in (path.rglob("*") if path.is_dir() else [path]) if file.is_file())
