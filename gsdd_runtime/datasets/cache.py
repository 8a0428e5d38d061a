"""Decoded pictures, kept outside the data and mapped: a folder of images is decoded once, and then opens in seconds.

One folder an entry, named by a digest of what was read (paths, sizes, times) and how; in it ``pixels``, the images as
they lie in memory, and ``facts.json``. An entry is written under another name and renamed when it is whole, by one
process at a time; others wait for it. Whatever is lost, is made again.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import math
import mmap
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gsdd_runtime.datasets.packed import AnyPath, PackedPath
from gsdd_runtime.errors import InputError, reading
from gsdd_runtime.progress import say_once
from gsdd_runtime.wording import bytes_in_words

# A folder, or one of OFF: none is kept.
PLACE_VARIABLE = "GSDD_CACHE"
OFF = ("off", "0", "no", "false")
# Gigabytes, of all entries together.
LIMIT_VARIABLE = "GSDD_CACHE_LIMIT"
DEFAULT_LIMIT_GB = 100.0
# Fewer pictures are decoded faster than a cache is worth.
CACHED_FROM = 1000
_UNKNOWN = 1 << 62
_FORMAT = 2
_PIXELS, _FACTS = "pixels", "facts.json"
_PARTIAL, _LOCK = ".partial", ".lock"
# Of Linux; Python knows it from 3.13 on. Without it, mapping more than there is memory would be refused.
_MAP_NORESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000)


@dataclass(frozen=True)
class Kept:
    """An entry: uint8 ``[M, C, H, W]``, mapped, and what its maker wrote of it."""

    images: Tensor
    facts: dict[str, Any]


def cache_folder() -> Path | None:
    """Where entries are kept: ``GSDD_CACHE``, else ``gsdd-rt/images`` in ``XDG_CACHE_HOME`` (``~/.cache``); or None."""
    chosen = os.environ.get(PLACE_VARIABLE, "")
    if chosen.lower() in OFF:
        return None
    if chosen:
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME", "")
    # A relative one is to be ignored, says the specification.
    root = Path(base) if base and Path(base).is_absolute() else Path("~/.cache").expanduser()
    return root / "gsdd-rt" / "images"


def cache_limit() -> int:
    """Bytes that all entries together may take, ``GSDD_CACHE_LIMIT`` in gigabytes.

    Raises:
        InputError: that is no number, or below 0.
    """
    text = os.environ.get(LIMIT_VARIABLE, "")
    try:
        gigabytes = float(text) if text else DEFAULT_LIMIT_GB
    except ValueError:
        gigabytes = math.nan
    if not 0 <= gigabytes < math.inf:
        raise InputError(f"{LIMIT_VARIABLE} must be a number of gigabytes, got {text!r}")
    return int(gigabytes * 1e9)


def cache_size() -> int:
    """Bytes that the entries take now."""
    folder = cache_folder()
    return 0 if folder is None else sum(size for _, size, _ in Cache(folder).entries())


def key_of(paths: Sequence[AnyPath], how: dict[str, Any]) -> str:
    """The name of the entry of these files, as they are now, read in the way ``how`` (JSON values) tells.

    Raises:
        InputError: a file that is gone.
    """
    digest = hashlib.sha256(json.dumps({"format": _FORMAT, **how}, sort_keys=True).encode())
    for path in paths:
        if isinstance(path, PackedPath):
            digest.update(os.fsencode(path.identity) + b"\n")
            continue
        with reading(path):
            status = os.stat(path)
        digest.update(os.fsencode(os.path.abspath(path)) + b"\0")
        digest.update(f"{status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:40]


class UnusableError(Exception):
    """An entry cannot be kept; why, for people. The pictures can be read without."""


class Cache:
    """The entries in a folder.

    Args:
        folder: it need not be there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find(self, key: str) -> Kept | None:
        """The entry, or None where there is none that is whole."""
        place = self.folder / key
        try:
            facts = json.loads((place / _FACTS).read_text(encoding="utf-8"))
            shape = tuple(facts["shape"])
            with open(place / _PIXELS, "rb") as file:
                if os.fstat(file.fileno()).st_size != math.prod(shape):
                    raise ValueError("of another size")
                images = _mapped(file.fileno(), shape, mmap.MAP_PRIVATE | _MAP_NORESERVE)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError):
            self._remove(place)
            return None
        with suppress(OSError):
            os.utime(place)
        return Kept(images, facts)

    def entries(self) -> list[tuple[Path, int, float]]:
        """Place, bytes and time of last use of each, the one that was used longest ago first."""
        found = []
        with suppress(OSError):
            for place in self.folder.iterdir():
                with suppress(OSError):
                    if not place.name.endswith((_PARTIAL, _LOCK)):
                        found.append((place, (place / _PIXELS).stat().st_size, place.stat().st_mtime))
        return sorted(found, key=lambda entry: entry[2])

    @contextmanager
    def sole_maker(self, key: str) -> Iterator[None]:
        """Keeps other processes and threads off an entry while it is made: they wait."""
        place = self.folder / f"{key}{_LOCK}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise UnusableError(f"cannot write {self.folder}: {error.strerror or error}") from error
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._remove_left_behind(key)
            except BlockingIOError:
                say_once("another process is decoding the same pictures: waiting for it")
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            # A file system without locks: both decode, and the first to be done is kept.
            except OSError:
                pass
            yield
        finally:
            place.unlink(missing_ok=True)
            os.close(descriptor)

    @contextmanager
    def making(self, key: str, shape: Sequence[int]) -> Iterator[tuple[Tensor, dict[str, Any]]]:
        """Images to fill and facts to write, which become the entry when the block ends without an exception.

        Raises:
            UnusableError: there is no room for it, or it cannot be written.
        """
        size = math.prod(shape)
        self._make_room(size)
        try:
            place = Path(tempfile.mkdtemp(dir=self.folder, prefix=f"{key}.", suffix=_PARTIAL))
        except OSError as error:
            raise UnusableError(f"cannot write {self.folder}: {error.strerror or error}") from error
        try:
            with open(place / _PIXELS, "w+b") as file:
                try:
                    # Whole now: a disk that fills up under a mapping would end the process.
                    os.posix_fallocate(file.fileno(), 0, size)
                except OSError as error:
                    raise UnusableError(f"cannot write {place}: {error.strerror or error}") from error
                facts: dict[str, Any] = {"shape": list(shape)}
                yield _mapped(file.fileno(), tuple(shape), mmap.MAP_SHARED), facts
                os.fsync(file.fileno())
            with open(place / _FACTS, "w", encoding="utf-8") as text:
                json.dump(facts, text)
                text.flush()
                os.fsync(text.fileno())
            # Fails where another process was faster, whose entry will do.
            with suppress(OSError):
                os.rename(place, self.folder / key)
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def _make_room(self, size: int) -> None:
        limit = cache_limit()
        if size > limit:
            raise UnusableError(f"{bytes_in_words(size)} are more than {LIMIT_VARIABLE}, {bytes_in_words(limit)}")
        entries = self.entries()
        taken = sum(held for _, held, _ in entries)
        while entries and (taken + size > limit or self._free() < size):
            place, held, _ = entries.pop(0)
            self._remove(place)
            taken -= held
        free = self._free()
        if free < size:
            raise UnusableError(
                f"{bytes_in_words(size)} are needed, the disk of {self.folder} has {bytes_in_words(free)} left"
            )

    def _free(self) -> int:
        try:
            disk = shutil.disk_usage(self.folder)
        except OSError:
            return _UNKNOWN
        # Some file systems do not know their size, and say 0.
        return disk.free if disk.total > 0 else _UNKNOWN

    def _remove(self, place: Path) -> None:
        # Renamed first: no one finds half of it. Who has it mapped keeps it.
        with suppress(OSError):
            gone = Path(tempfile.mkdtemp(dir=self.folder, prefix=f"{place.name}.", suffix=_PARTIAL))
            os.rename(place, gone)
            shutil.rmtree(gone, ignore_errors=True)

    def _remove_left_behind(self, ours: str) -> None:
        """Removes what killed processes left half-made: entries whose lock nobody holds, or we do."""
        for place in self.folder.glob(f"*{_PARTIAL}"):
            key = place.name.split(".")[0]
            with suppress(OSError):
                if key == ours or not _is_held(self.folder / f"{key}{_LOCK}"):
                    shutil.rmtree(place, ignore_errors=True)


def _is_held(lock: Path) -> bool:
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _mapped(descriptor: int, shape: tuple[int, ...], flags: int) -> Tensor:
    """The file as a tensor: the system reads what is used, and drops it where memory is short."""
    mapping = mmap.mmap(descriptor, math.prod(shape), flags=flags, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    return torch.frombuffer(mapping, dtype=torch.uint8).view(shape)
