"""What a command may write. Every command with an output asks here, before it reads or computes anything.

No command writes onto what it reads, by whatever name. What stands in the place of an output is replaced without
``--overwrite`` only where it is of the output's own kind and made again in moments; a set and a trained network took
hours. A folder of pictures has to be new or empty in any case. A name may not end as that of another format.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from gsdd_runtime import ranks
from gsdd_runtime.atomic import check_folder_place, check_not_read, check_place, sole_writer
from gsdd_runtime.errors import InputError
from gsdd_runtime.formats import SUFFIXES, best_path, log_path, suffix_of


@dataclass(frozen=True)
class Kind:
    """What an output is.

    Attributes:
        name: with its article.
        suffixes: that its name may end in, besides those that say nothing.
        is_one: whether the file of that name is of this kind; None where its own kind is not replaced either.
        beside: names of the files that are written along with it.
        folder: it is a folder of files.
    """

    name: str
    suffixes: tuple[str, ...]
    is_one: Callable[[Path], bool] | None = None
    beside: Callable[[Path], tuple[Path, ...]] = lambda path: ()
    folder: bool = False


@dataclass(frozen=True)
class Output:
    """A place that an option names, and what is to be written there."""

    option: str
    path: Path
    kind: Kind

    @property
    def files(self) -> tuple[Path, ...]:
        return (self.path, *self.kind.beside(self.path))


@contextmanager
def claim(outputs: Iterable[Output], *, reads: Iterable[Path | None], overwrite: bool) -> Iterator[None]:
    """Checks the outputs, and keeps other commands off them while the block lasts; the first process of a run does.

    Args:
        outputs: of one command, all of them.
        reads: files and folders that the command reads; None among them is passed over.
        overwrite: whether ``--overwrite`` was given.

    Raises:
        InputError: an output may not be written, or another run is writing it.
    """
    outputs = list(outputs)
    if not ranks.joined().first:
        # It writes nothing.
        yield
        return
    _check(outputs, list(reads), overwrite)
    with ExitStack() as stack:
        for output in outputs:
            stack.enter_context(sole_writer(output.path, folder=output.kind.folder))
        yield


def check(outputs: Iterable[Output], *, reads: Iterable[Path | None], overwrite: bool) -> None:
    """As :func:`claim`, let go at once: for a command whose library function keeps other runs off by itself."""
    with claim(outputs, reads=reads, overwrite=overwrite):
        pass


def check_folder(option: str, folder: Path, *, reads: Iterable[Path | None], kind: Kind | None = None) -> None:
    """A folder of files that are written one by one, by several runs at once: what it holds is for the library.

    Raises:
        InputError: it is a file or bears the name of one, its own folder is missing or cannot be written, or it is one
            that is read, or lies in one.
    """
    _check_suffix(Output(option, folder, kind or EXPERTS))
    reads = list(reads)
    check_not_read(folder, reads)
    if folder.exists() and not folder.is_dir():
        raise InputError(
            f"{option}: {folder} exists and is not a folder: --overwrite does not replace it, choose another"
        )
    check_place(folder, folder=True)
    for source in reads:
        if source is not None and source.resolve() in (folder.resolve(), *folder.resolve().parents):
            raise InputError(f"{option}: {folder} would replace what is read, {source}: choose another place")


def _check(outputs: list[Output], reads: list[Path | None], overwrite: bool) -> None:
    taken: dict[tuple[Path, str], Output] = {}
    for output in outputs:
        _check_suffix(output)
        for path in output.files:
            _check_place(output, path)
            check_not_read(path, reads)
            # Not the file that a link leads to: what is written takes the place of the link.
            place = (path.parent.resolve(), path.name)
            if place in taken:
                other = taken[place].option
                raise InputError(f"{other} and {output.option} would both write {path}: give them different names")
            taken[place] = output
        _check_earlier(output, overwrite)


@contextmanager
def claim_csv(path: Path | None, *, reads: Iterable[Path | None], overwrite: bool) -> Iterator[None]:
    """As :func:`claim`, for a table of ``--csv``; nothing is claimed where there is none."""
    places = [] if path is None else [Output("--csv", path, CSV)]
    with claim(places, reads=reads, overwrite=overwrite):
        yield


def kind_of_decoded(path: Path) -> Kind:
    """What decoded images are written as, by the end of the name."""
    return next((kind for kind in (ARRAY, ARRAYS, PICTURE) if path.suffix.lower() in kind.suffixes), PICTURES)


def _check_suffix(output: Output) -> None:
    suffix, kind, path = suffix_of(output.path), output.kind, output.path
    if suffix and suffix not in kind.suffixes and not (kind.folder and path.is_dir()):
        names = [path.with_suffix(known).name for known in kind.suffixes]
        raise InputError(
            f"{output.option}: {path} is the name of {SUFFIXES[suffix]}, and {kind.name} is to be written: "
            f"name it {' or '.join(names)}"
        )


def _check_place(output: Output, path: Path) -> None:
    if output.kind.folder:
        check_folder_place(path)
    else:
        check_place(path)


def _check_earlier(output: Output, overwrite: bool) -> None:
    kind, path = output.kind, output.path
    earlier = next((file for file in output.files if file.exists()), None)
    if overwrite or kind.folder or earlier is None:
        return
    if kind.is_one is None:
        raise InputError(f"{output.option}: {earlier} exists: add --overwrite to replace it, or choose another place")
    if not kind.is_one(path):
        raise InputError(
            f"{output.option}: {earlier} exists and is not {kind.name}: "
            "choose another place, or add --overwrite to replace it"
        )


def _starts_with(magic: bytes) -> Callable[[Path], bool]:
    return lambda path: _head(path, len(magic)) == magic


def _head(path: Path, length: int) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(length)
    except OSError:
        return b""


def _is_onnx(path: Path) -> bool:
    """A protobuf message whose first field is the IR version, followed by another field of an ONNX model."""
    head = _head(path, 3)
    return len(head) == 3 and head[0] == 0x08 and head[1] < 0x80 and head[2] in b"\x12\x1a\x22\x28\x32\x3a\x42\x72"


def _is_archive(holds: Callable[[list[str]], bool]) -> Callable[[Path], bool]:
    def is_one(path: Path) -> bool:
        try:
            with zipfile.ZipFile(path) as archive:
                return holds(archive.namelist())
        except (OSError, ValueError, zipfile.BadZipFile):
            return False

    return is_one


def _is_drawing(path: Path) -> bool:
    return b"<svg" in _head(path, 512)


def _is_page(path: Path) -> bool:
    return b'<meta name="generator" content="gsdd-rt' in _head(path, 1024)


def _sidecar(engine: Path) -> tuple[Path, ...]:
    from gsdd_runtime.decoders.tensorrt import sidecar_path

    return (sidecar_path(engine),)


def _is_engine(path: Path) -> bool:
    """An engine of ours has its description beside it."""
    try:
        facts = json.loads(_sidecar(path)[0].read_bytes())
        return isinstance(facts["engine_sha256"], str) and (
            not path.exists() or bool(facts["engine_bytes"] == path.stat().st_size)
        )
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return False


SET = Kind("a distilled set", (".safetensors",))
# With the log of its run, and the best set where sets are judged on the way.
DISTILLED = Kind("a distilled set", (".safetensors",), beside=lambda path: (log_path(path),))
JUDGED = Kind("a distilled set", (".safetensors",), beside=lambda path: (log_path(path), best_path(path)))
MODEL = Kind("a trained network", (".safetensors",))
VIEWS = Kind("labels of views", (".safetensors",))
UNFINISHED = Kind("an unfinished run", (".checkpoint",))
ONNX = Kind("an ONNX model", (".onnx",), _is_onnx)
TORCHSCRIPT = Kind(
    "a TorchScript module", (".pt", ".pth"), _is_archive(lambda names: any("/code/" in name for name in names))
)
PROGRAM = Kind(
    "a torch.export program",
    (".pt2",),
    _is_archive(lambda names: any(name.endswith("/archive_format") for name in names)),
)
ENGINE = Kind("a TensorRT engine", (".engine", ".plan"), _is_engine, _sidecar)
ARRAY = Kind("an array", (".npy",), _starts_with(b"\x93NUMPY"))
ARRAYS = Kind(
    "a file of arrays", (".npz",), _is_archive(lambda names: bool(names) and all(n.endswith(".npy") for n in names))
)
PICTURE = Kind("a PNG picture", (".png",), _starts_with(b"\x89PNG\r\n\x1a\n"))
PAGE = Kind("a page", (".html",), _is_page)
DRAWING = Kind("an SVG drawing", (".svg",), _is_drawing)
# Hours of training are in it: it is not replaced either.
CSV = Kind("a table", (".csv",))
PICTURES = Kind("a folder of pictures", ("", ".npz", ".npy", ".png"), folder=True)
REPOSITORY = Kind("a model repository", ("",), folder=True)
RUNS = Kind("a folder of TensorBoard's runs", ("",), folder=True)
EXPERTS = Kind("a folder of experts", ("",), folder=True)
