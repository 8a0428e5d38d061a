"""Words of the command line that stand for sizes, numbers and ranges."""

from __future__ import annotations

import re

from gsdd_runtime.errors import InputError


def parse_size(text: str | None, option: str = "--size") -> tuple[int, int] | None:
    """``"HxW"`` or ``"S"`` as (height, width), or None for None.

    Raises:
        InputError: anything else.
    """
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,6})(?:x(\d{1,6}))?", text)
    if match is None or int(match[1]) == 0 or int(match[2] or match[1]) == 0:
        raise InputError(f"{option}: {text!r} is not a size: give HxW in pixels, such as 32x32")
    return int(match[1]), int(match[2] or match[1])


def parse_numbers(option: str, text: str | None) -> list[float] | None:
    """``"0.5,0.25"`` as numbers; None for None.

    Raises:
        InputError: anything else.
    """
    if text is None:
        return None
    try:
        return [float(number) for number in text.split(",")]
    except ValueError as error:
        raise InputError(f"{option}: {text!r} are no numbers: give one a channel, such as 0.49,0.48,0.45") from error


def parse_range(text: str | None, length: int) -> range:
    """``"A:B"``, ``"A:"``, ``":B"`` or ``"A"`` as a range within ``length``; all of it for None.

    Raises:
        InputError: anything else, or a range that leaves the set.
    """
    if text is None:
        return range(length)
    match = re.fullmatch(r"(\d*):(\d*)|(\d+)", text)
    if match is None:
        raise InputError(f"--indices: {text!r} is not a range: give A:B, A:, :B or A")
    first = int(match[3] or match[1] or 0)
    last = first + 1 if match[3] else int(match[2] or length)
    if not first < last <= length:
        raise InputError(f"--indices: {text!r} selects nothing or leaves the set, which holds 0:{length}")
    return range(first, last)
