"""Writing a file whole or not at all, where there is room for it, one writer at a time, never onto what is read."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gsdd_runtime.errors import BusyError, InputError
from gsdd_runtime.wording import bytes_in_words

_PathLike = str | os.PathLike[str]

_PARTIAL = ".partial"
# File systems, some of those on a network, that know no locks.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


@contextmanager
def atomic_path(path: _PathLike, *, size: int = 0, inputs: Iterable[_PathLike | None] = ()) -> Iterator[Path]:
    """A temporary path that takes the place of ``path``, synced, when the block ends without an exception.

    Otherwise the temporary file is removed and an earlier file at ``path`` stays as it was. It stands in a folder of
    its own beside ``path``, which goes with whatever a library writes beside its file: a kill leaves that folder, and
    the next writer removes it (:func:`sole_writer`).

    Args:
        path: the file.
        size: bytes that will be written, as far as they are known.
        inputs: files that the new one is made from; None among them is passed over.

    Raises:
        InputError: the folder is missing or cannot be written, ``path`` is one of the inputs, there is no room for
            ``size`` bytes, or the disk is full.
    """
    target = Path(path)
    check_place(target)
    check_not_read(target, inputs)
    check_room(target, size)
    try:
        folder = Path(tempfile.mkdtemp(dir=target.parent, prefix=_prefix(target), suffix=_PARTIAL))
    except OSError as error:
        raise _cannot_write(target, error) from error
    temporary = folder / target.name
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        os.replace(temporary, target)
        _sync_folder(target.parent)
    except OSError as error:
        raise _cannot_write(target, error) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def atomic_folder(path: _PathLike) -> Iterator[Path]:
    """A temporary folder beside ``path`` that takes its place when the block ends without an exception.

    Raises:
        InputError: ``path`` is a file or a folder with something in it, or it cannot be written.
    """
    target = Path(path)
    check_folder_place(target)
    temporary: Path | None = None
    try:
        temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=_prefix(target), suffix=_PARTIAL))
        yield temporary
        temporary.chmod(0o777 & ~_umask())
        os.replace(temporary, target)
    except OSError as error:
        raise _cannot_write(target, error) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def sole_writer(path: _PathLike, *, folder: bool = False) -> Iterator[None]:
    """Keeps other runs off ``path`` while the block lasts, and removes what killed ones left half-written there.

    ``folder`` says that it may be a folder. The lock is that of the system (``flock``) on a file beside ``path``, which
    goes with the block: it ends with the process, however that ends, and a file that was left behind is taken over.
    File systems without locks have none.

    Raises:
        BusyError: another run, of this process too, is writing it.
        InputError: nothing can be written there.
    """
    target = Path(path)
    check_place(target, folder=folder)
    place = target.with_name(f".{target.name}.lock")
    try:
        descriptor = _locked(target, place)
    except OSError as error:
        raise _cannot_write(target, error) from error
    try:
        remove_partial_files(target)
        yield
    finally:
        with suppress(FileNotFoundError):
            place.unlink()
        os.close(descriptor)


def remove_partial_files(path: _PathLike) -> None:
    """Removes what a killed run left of ``path`` half-written. Its sole writer may call it, no one else."""
    target = Path(path)
    # The characters are those of tempfile's names: no dot, so that no longer name matches.
    pattern = re.compile(re.escape(_prefix(target)) + "[a-z0-9_]+" + re.escape(_PARTIAL))
    for entry in target.parent.iterdir():
        if pattern.fullmatch(entry.name):
            if entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)


def check_place(path: _PathLike, *, folder: bool = False) -> None:
    """Before long work: can ``path`` be written at all?

    Raises:
        InputError: it is a folder, unless ``folder`` says that it may be, or a device; or its folder is missing or
            cannot be written.
    """
    target = Path(path)
    if target.is_dir() and not folder:
        raise InputError(f"{target} is a folder: give the name of a file")
    if target.exists() and not target.is_file() and not target.is_dir():
        # Renaming over a device such as /dev/null would take it away from the whole machine.
        raise InputError(f"{target} is not an ordinary file: choose another place")
    if not target.parent.is_dir():
        raise InputError(f"the folder {target.parent} does not exist: make it, or choose another place")
    if not os.access(target.parent, os.W_OK):
        raise InputError(f"the folder {target.parent} cannot be written: choose another place")


def check_folder_place(path: _PathLike) -> None:
    """Before long work: can ``path`` become a folder of files?

    Raises:
        InputError: it is a file or a folder with something in it, or as for :func:`check_place`.
    """
    target = Path(path)
    if target.exists() and not target.is_dir():
        raise InputError(f"{target} is a file: give the name of a folder, new or empty")
    if target.name in ("", ".."):
        raise InputError(f"{target} cannot be replaced: give the name of a folder, new or empty")
    check_place(target, folder=True)
    if target.is_dir() and any(target.iterdir()):
        raise InputError(f"the folder {target} holds something already: empty it, or choose another")


def check_not_read(path: _PathLike, inputs: Iterable[_PathLike | None]) -> None:
    """Raises InputError where ``path`` is one of ``inputs``, by whatever name, or a file in a folder among them."""
    target = Path(path)
    if not target.exists():
        return
    present = target.stat()
    for source in inputs:
        if source is not None and any(os.path.samestat(present, found) for found in _files(Path(source))):
            raise InputError(f"{target} would replace what is read, {source}: choose another place")


def check_room(path: _PathLike, size: int) -> None:
    """Raises InputError where the disk of ``path`` has fewer than ``size`` bytes left."""
    try:
        disk = shutil.disk_usage(Path(path).parent)
    except OSError:
        return
    # Some file systems do not know their size, and say 0.
    if size > disk.free and disk.total > 0:
        raise InputError(
            f"{path} takes {bytes_in_words(size)}, its disk has {bytes_in_words(disk.free)} left: "
            "make room, or choose another place"
        )


def _locked(target: Path, place: Path) -> int:
    """A descriptor of the file ``place`` with this process's number in it, and the lock on it."""
    while True:
        descriptor = os.open(place, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(descriptor, 20, 0).decode(errors="replace").strip()
            os.close(descriptor)
            which = f" (process {owner})" if owner else ""
            raise BusyError(
                f"{target} is being written by another run{which}: wait for its end, or choose another place"
            ) from None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                os.close(descriptor)
                raise
        # The one who held it before may have removed the file since it was opened here.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), os.stat(place)):
                try:
                    os.ftruncate(descriptor, 0)
                    os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
                except OSError:
                    place.unlink()
                    os.close(descriptor)
                    raise
                return descriptor
        os.close(descriptor)


def _files(source: Path) -> Iterator[os.stat_result]:
    """The file, or the files in the folder; a link stands for what it leads to."""
    places = [source] if not source.is_dir() else (Path(at, name) for at, _, names in os.walk(source) for name in names)
    for place in places:
        with suppress(OSError):
            yield place.stat()


def _prefix(target: Path) -> str:
    return f".{target.name}."


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask


def _cannot_write(target: Path, error: OSError) -> InputError:
    return InputError(f"cannot write {target}: {error.strerror or error}")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
