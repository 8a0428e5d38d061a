"""Which files of a folder of images belong to which class and part; docs/datasets.md, "Folders of images"."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from gsdd_runtime.datasets.class_choice import choose_classes
from gsdd_runtime.datasets.images import SUFFIXES
from gsdd_runtime.datasets.packed import AnyPath, PackedPath
from gsdd_runtime.errors import InputError
from gsdd_runtime.sets.checks import is_number
from gsdd_runtime.sets.strict_json import check_text
from gsdd_runtime.wording import counted

# Names of the parts, in any case. The test part is the first of these groups that is there.
TRAIN_FOLDERS = ("train", "training")
TEST_FOLDERS = (("test", "testing"), ("val", "valid", "validation"))
# Folders that are left unread and named.
_NAMED = 5
_PART_FOLDERS = (*TRAIN_FOLDERS, *TEST_FOLDERS[0], *TEST_FOLDERS[1])
# Held out of each class where there is no test folder.
DEFAULT_TEST_PART = 0.2
# What systems leave beside images; names that start with a dot are passed over too.
_NO_CLASSES = (
    "__macosx",
    "__pycache__",
    "@eadir",
    "#recycle",
    "$recycle.bin",
    "system volume information",
    "lost+found",
)


@dataclass(frozen=True)
class Layout:
    """The image files of a folder.

    Attributes:
        class_names: in order.
        train, test: a list of files for each class.
        split: what is trained and tested on, and what is left unread, in a sentence.
    """

    class_names: tuple[str, ...]
    train: list[list[AnyPath]]
    test: list[list[AnyPath]]
    split: str


def find_layout(root: AnyPath, test_part: float | None = None, classes: str | Sequence[str] | None = None) -> Layout:
    """Finds ``root/train/<class>/*`` with a test folder beside it or without, or ``root/<class>/*``.

    Args:
        root: the folder, also in an archive.
        test_part: the share of each class, from 0 to below 1, that is held out; 0 reads no test folder either. Left
            out, the test folder where there is one, else ``DEFAULT_TEST_PART``.
        classes: those that are read, see :func:`gsdd_runtime.datasets.class_choice.choose_classes`; all if left out.

    Raises:
        InputError: no class, a class without images, parts of different classes, a layout that has two readings.
    """
    if test_part is not None and not (is_number(test_part) and 0 <= test_part < 1):
        raise InputError(f"the test part must be a share from 0 to below 1, got {test_part!r}")
    train_root = _part(root, TRAIN_FOLDERS)
    if train_root is None:
        names, folders = _chosen(_plain_classes(root), classes, root)
        return _held_out(root, names, folders, test_part, ())
    names, folders = _chosen(_class_folders(train_root, root), classes, train_root)
    test_root = next((part for part in (_part(root, names) for names in TEST_FOLDERS) if part is not None), None)
    if test_root is None or test_part == 0:
        return _held_out(root, names, folders, test_part, (train_root.name,))
    if test_part is not None:
        raise InputError(f"{test_root} is the test part: leave --test-part out, or give 0 to read no test part")
    test_classes = _class_folders(test_root, root)
    if classes is not None:
        test_classes = {name: path for name, path in test_classes.items() if name in folders}
    if set(test_classes) != set(folders):
        odd = sorted(set(test_classes) ^ set(folders))[0]
        parts = (test_root.name, train_root.name)
        here, missing = parts if odd in test_classes else parts[::-1]
        raise InputError(f"{root}: class {odd} is in {here} but not in {missing}: both need the same folders")
    train = [images_of(path) for path in folders.values()]
    test = [images_of(test_classes[name]) for name in folders]
    unread = _unread(root, (train_root.name, test_root.name))
    split = f"{root}: trains on {count_of(train)} of {train_root.name}, tests on {count_of(test)} of {test_root.name}"
    return Layout(names, train, test, split + unread)


def has_test_folder(root: Path) -> bool:
    """Whether a folder of images has a test part of its own, so that nothing is held out to test on."""
    return _part(root, TRAIN_FOLDERS) is not None and any(_part(root, names) for names in TEST_FOLDERS)


def _chosen(
    there: dict[str, AnyPath], classes: str | Sequence[str] | None, where: AnyPath
) -> tuple[tuple[str, ...], dict[str, AnyPath]]:
    """Names of the classes that are read, and their folders by their own names, in order."""
    if classes is None:
        return tuple(there), there
    chosen = choose_classes(classes, tuple(there), str(where))
    return tuple(one.name for one in chosen), {one.key: there[one.key] for one in chosen}


def _part(root: AnyPath, names: Sequence[str]) -> AnyPath | None:
    """The folder of ``names``, in any case, that holds folders of classes."""
    found = [root / name for name in sorted(listed(root)) if name.lower() in names]
    found = [path for path in found if path.is_dir() and _class_folders(path, root)]
    if len(found) > 1:
        raise InputError(f"{root} holds both {found[0].name} and {found[1].name}: leave one of them")
    return found[0] if found else None


def _plain_classes(root: AnyPath) -> dict[str, AnyPath]:
    """The class folders of a folder without a training part."""
    classes = _class_folders(root, root)
    if not classes:
        raise InputError(f"{root} holds no folder of images: make one folder a class, named as the class")
    first = next(iter(classes.values()))
    if all(name.lower() in _PART_FOLDERS and _class_folders(path, root) for name, path in classes.items()):
        raise InputError(f"{root} holds {first.name} and no train: name the folder of the training images train")
    if len(classes) == 1 and _part(first, TRAIN_FOLDERS) is not None:
        raise InputError(f"{root} holds one folder, {first.name}, with the parts in it: give {first}")
    return classes


def _held_out(
    root: AnyPath, names: tuple[str, ...], folders: dict[str, AnyPath], test_part: float | None, parts: tuple[str, ...]
) -> Layout:
    """The layout where the test part is a share of each class, or nothing."""
    share = Fraction(DEFAULT_TEST_PART if test_part is None else test_part).limit_denominator(1_000_000)
    files = {name: images_of(path) for name, path in folders.items()}
    train, test = [], []
    for name, paths in files.items():
        if share > 0 and len(paths) < 2:
            raise InputError(
                f"class {name} has one image ({paths[0]}), and one is to be held out to test on: "
                "add images, or hold out none (--test-part 0)"
            )
        held_out = {path for at, path in enumerate(paths) if int((at + 1) * share) > int(at * share)}
        if share > 0 and not held_out:
            held_out = {paths[-1]}
        train.append([path for path in paths if path not in held_out])
        test.append([path for path in paths if path in held_out])
    how = f" of {parts[0]}" if parts else ""
    split = f"{root}: trains on {count_of(train)}{how}, tests on {count_of(test)}"
    if share > 0:
        split += f" held out of them, {100 * float(share):g} % of each class (--test-part)"
    return Layout(names, train, test, split + (_unread(root, parts) if parts else ""))


def count_of(files: Iterable[Sequence[AnyPath]]) -> str:
    count = sum(map(len, files))
    return counted(count, "image") if count else "nothing"


def _unread(root: AnyPath, parts: tuple[str, ...]) -> str:
    others = [name for name in _class_folders(root, root) if name not in parts]
    more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
    return f"; not read: {', '.join(others[:_NAMED])}{more}" if others else ""


def _class_folders(folder: AnyPath, root: AnyPath) -> dict[str, AnyPath]:
    """The folders in ``folder`` by sorted name, without hidden ones, a system's own and links to a folder above."""
    above: set[Path] = set()
    if isinstance(folder, Path) and isinstance(root, Path):
        above = {root.resolve(), *root.resolve().parents, folder.resolve()}
    found: dict[str, AnyPath] = {}
    for name in sorted(listed(folder)):
        path = folder / name
        if _passed_over(name) or not path.is_dir():
            continue
        if isinstance(path, Path) and path.is_symlink() and path.resolve() in above:
            continue
        check_text(str(folder), "a class folder's name", name)
        found[name] = path
    return found


def _passed_over(name: str) -> bool:
    return name.startswith(".") or name.lower() in _NO_CLASSES


def images_of(folder: AnyPath) -> list[AnyPath]:
    """Image files in a class folder and the folders in it, by sorted path. Follows no link to a folder."""

    def fail(error: OSError) -> None:
        raise InputError(f"cannot read the folder {error.filename}: {error.strerror}") from error

    # Each with its path within the folder.
    files: list[tuple[str, AnyPath]] = []
    if isinstance(folder, PackedPath):
        files = [(within, path) for within, path in _packed_files(folder, "") if _is_image(path.name)]
    else:
        for place, folders, names in os.walk(folder, onerror=fail):
            folders[:] = [name for name in folders if not _passed_over(name)]
            paths = [Path(place, name) for name in names if _is_image(name)]
            files += [(path.relative_to(folder).as_posix(), path) for path in paths]
    if not files:
        raise InputError(f"the class folder {folder} holds no image ({' '.join(SUFFIXES)}): fill it or remove it")
    return [path for _, path in sorted(files, key=lambda file: file[0])]


def _packed_files(folder: PackedPath, within: str) -> Iterator[tuple[str, PackedPath]]:
    for name in folder.names():
        path = folder / name
        if path.is_file():
            yield within + name, path
        elif not _passed_over(name):
            yield from _packed_files(path, f"{within}{name}/")


def _is_image(name: str) -> bool:
    return not name.startswith(".") and name.lower().endswith(SUFFIXES)


def top_of(archive: PackedPath) -> PackedPath:
    """The folder of an archive that the classes, or the parts, are in: a folder around everything is passed through."""
    folders = _class_folders(archive, archive)
    if len(folders) != 1:
        return archive
    (only,) = folders.values()
    inner = _class_folders(only, archive)
    if not inner or only.name.lower() in _PART_FOLDERS:
        return archive
    assert isinstance(only, PackedPath)
    return top_of(only)


def listed(folder: AnyPath) -> list[str]:
    if isinstance(folder, PackedPath):
        return folder.names()
    try:
        return os.listdir(folder)
    except OSError as error:
        raise InputError(f"cannot read the folder {folder}: {error.strerror or error}") from error
