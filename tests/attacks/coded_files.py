"""Damages coded sets in every way that comes to mind, and counts what becomes of them.

    python tests/attacks/coded_files.py             10,000 files
    python tests/attacks/coded_files.py 500 7       500 files, from seed 7

A damaged file is a valid set or is refused by an InputError of one line that names it. Whatever else happens ends the
run, and the file and the number that it was made from are kept for a look.
"""

from __future__ import annotations

import json
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import torch

TESTS = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS))

from set_files import join_file, pixel_set, saved, some_gaussians, some_set, split_file  # noqa: E402
from test_file_format_fuzz import check  # noqa: E402

from gsdd_runtime.sets.compression import compress  # noqa: E402
from gsdd_runtime.sets.distilled_set import DistilledSet  # noqa: E402

FILES = 10_000
# What a whole file takes at most here, many times over: a small one must not keep its reader.
SLOWEST_SECONDS = 5.0

# Header, payload and a source of chance: a damage changes what it is given.
Damage = Callable[[dict[str, Any], bytearray, Random], None]


def sets() -> dict[str, DistilledSet]:
    """Coded sets of every kind, a few hundred bytes to some thousands."""
    soft = torch.rand(6, 3, generator=torch.Generator().manual_seed(0)).half()
    small = pixel_set()
    half = DistilledSet(None, small.labels, 24, 20, pixels=small.pixels, mean=small.mean, std=small.std)
    plain = {
        "gaussians": some_set(),
        "color": some_set(60, channels=3),
        "many": DistilledSet(some_gaussians(400, 6, 3), torch.arange(400) % 3, 12, 10),
        "soft labels": DistilledSet(some_gaussians(), soft, 12, 10),
    }
    found = {name: compress(one).distilled_set for name, one in plain.items()}
    found |= {f"pixels of {bits} bits": compress(small, pixel_bits=bits).distilled_set for bits in (1, 2, 8, 12)}
    return {**found, "pixels at half the size": compress(half, pixel_bits=4).distilled_set}


def span(header: dict[str, Any], name: str = "coded") -> tuple[int, int]:
    first, last = header[name]["data_offsets"]
    return int(first), int(last)


def flipped_bits(header: dict[str, Any], payload: bytearray, chance: Random) -> None:
    for _ in range(chance.randint(1, 4)):
        payload[chance.randrange(len(payload))] ^= 1 << chance.randrange(8)


def tables(header: dict[str, Any], payload: bytearray, chance: Random) -> None:
    """Bytes of the stream's header and of its tables."""
    first, last = span(header)
    for _ in range(chance.randint(1, 6)):
        payload[first + chance.randrange(min(last - first, 120))] = chance.choice((0, 1, 15, 127, 128, 254, 255))


def counts(header: dict[str, Any], payload: bytearray, chance: Random) -> None:
    """Lanes, words or bytes of plain bits, perhaps so that the length is right."""
    first, _ = span(header)
    numbers = list(struct.unpack_from("<III", payload, first + 1))
    which, change = chance.randrange(3), chance.choice((-2, -1, 1, 2, 4, 1 << chance.randrange(32)))
    numbers[which] = max(0, numbers[which] + change) % 2**32
    if chance.random() < 0.7:
        width = (4, 2, 1)
        other = (which + chance.randint(1, 2)) % 3
        numbers[other] = max(0, numbers[other] - change * width[which] // width[other]) % 2**32
    struct.pack_into("<III", payload, first + 1, *numbers)


def another_length(header: dict[str, Any], payload: bytearray, chance: Random) -> None:
    """Bytes of the stream cut out or put in, the container being told."""
    first, last = span(header)
    at = chance.randint(first, last)
    until = min(last, at + chance.choice((0, 1, 2, 4, 30, last)))
    added = chance.randbytes(chance.choice((0, 1, 2, 4, 50)))
    payload[at:until] = added
    change = len(added) - (until - at)
    for name, entry in header.items():
        if name != "__metadata__":
            entry["data_offsets"] = [place + change if place >= last else place for place in entry["data_offsets"]]
    header["coded"]["shape"] = [last + change - first]


def chance_bytes(header: dict[str, Any], payload: bytearray, chance: Random) -> None:
    """A stream that is chance from some place on."""
    first, last = span(header)
    place = chance.choice((first, first + 1, first + 14, chance.randint(first, last)))
    payload[place:last] = chance.randbytes(max(0, last - place))


def coding_fields(header: dict[str, Any], payload: bytearray, chance: Random) -> None:
    """Another shape, steps, sizes: the same bytes read as something else."""
    fields = json.loads(header["__metadata__"]["gsdd"])
    coding = fields["coding"]
    for _ in range(chance.randint(1, 2)):
        kind = chance.choice(("shape", "shape", "steps", "size", "labels", "kind"))
        if kind == "shape":
            place = chance.randrange(len(coding["shape"]))
            coding["shape"][place] = chance.choice(
                (0, 1, 2, coding["shape"][place] + chance.randint(-2, 2), 2**20, 2**60)
            )
        elif kind == "steps":
            name = chance.choice(list(coding["steps"]))
            coding["steps"][name] = chance.choice((0, 1, 2, 12, 2.0**-16, 256, -1e4, 1e300, None, "1", True))
        elif kind == "size":
            fields[chance.choice(("height", "width"))] = chance.choice((0, 1, 12, 24, 36, 16384, 16385, 2.5))
        elif kind == "labels":
            coding["labels"] = not coding["labels"]
        else:
            fields["representation"] = chance.choice(("pixels", "gaussians", "coded"))
    header["__metadata__"]["gsdd"] = json.dumps(fields)


def any_field(header: dict[str, Any], payload: bytearray, chance: Random) -> None:
    """Anything in the place of anything of the description or of a tensor's entry."""
    value = chance.choice((None, True, -1, 0, 2**64, 1e308, "", "\n", [], [[]], {}, {"a": None}, [0, 1], float("nan")))
    fields = json.loads(header["__metadata__"]["gsdd"])
    name = chance.choice([*fields, *(f"coding {key}" for key in fields["coding"]), "entry"])
    if name == "entry":
        header["coded"][chance.choice(("dtype", "shape", "data_offsets"))] = value
        return
    if name.startswith("coding "):
        fields["coding"][name.removeprefix("coding ")] = value
    else:
        fields[name] = value
    header["__metadata__"]["gsdd"] = json.dumps(fields)


DAMAGES: tuple[Damage, ...] = (
    flipped_bits, tables, counts, another_length, chance_bytes, coding_fields, any_field,
)  # fmt: skip


def damaged(originals: dict[str, Path], number: int, seed: int, path: Path) -> tuple[str, str]:
    """Writes file ``number`` to ``path``; says what was damaged, and how."""
    chance = Random(f"{seed} {number}")
    name = chance.choice(list(originals))
    if chance.random() < 0.15:
        content = bytearray(originals[name].read_bytes())
        at, until = sorted(chance.randrange(len(content)) for _ in range(2))
        content[at : chance.choice((at, at + 1, until, len(content)))] = chance.randbytes(chance.choice((0, 1, 8)))
        path.write_bytes(content)
        return name, "cut or filled"
    header, payload = split_file(originals[name])
    content = bytearray(payload)
    damage = chance.choice(DAMAGES)
    damage(header, content, chance)
    join_file(path, header, bytes(content))
    return name, damage.__name__.replace("_", " ")


def attack(files: int, seed: int, folder: Path) -> dict[str, Counter[str]]:
    """Outcomes by the damage: valid sets, and refusals; and the refusals by their words, under ``refusals``.

    Raises:
        Whatever a file raised that is no InputError; the file is then ``folder / "damaged.safetensors"``.
    """
    originals = {}
    for name, one in sets().items():
        (folder / name).mkdir()
        originals[name] = saved(folder / name, one)
    found: dict[str, Counter[str]] = {"refusals": Counter()}
    path = folder / "damaged.safetensors"
    for number in range(files):
        name, damage = damaged(originals, number, seed, path)
        begun = time.perf_counter()
        try:
            refusal = check(path)
        except BaseException:
            print(f"file {number} of seed {seed}, {name}, {damage}: {path}", file=sys.stderr)
            raise
        if time.perf_counter() - begun > SLOWEST_SECONDS:
            raise TimeoutError(
                f"file {number} of seed {seed}, {name}, {damage}, took {time.perf_counter() - begun:.1f} s"
            )
        found.setdefault(damage, Counter())["refused" if refusal else "valid"] += 1
        if refusal:
            found["refusals"]["".join(c for c in refusal.removeprefix(f"{path}: ")[:40] if not c.isdigit())] += 1
    return found


def main() -> None:
    files = int(sys.argv[1]) if len(sys.argv) > 1 else FILES
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    folder = Path(tempfile.mkdtemp(prefix="gsdd-attack-"))
    begun = time.perf_counter()
    found = attack(files, seed, folder)
    refusals = found.pop("refusals")
    print(f"{files} damaged coded files of seed {seed} in {time.perf_counter() - begun:.0f} s")
    for damage, outcomes in sorted(found.items()):
        print(f"  {damage:<16} {outcomes['refused']:>6} refused {outcomes['valid']:>6} valid")
    total = sum(found.values(), Counter())
    print(f"  {'all':<16} {total['refused']:>6} refused {total['valid']:>6} valid")
    print("refused most often for:")
    for words, count in refusals.most_common(15):
        print(f"  {count:>6} {words}")


if __name__ == "__main__":
    main()
