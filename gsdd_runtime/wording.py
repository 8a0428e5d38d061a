"""Words around numbers, for messages and tables: counted things, and accuracies with their deviation."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """``"1 image"``, ``"2 images"``, ``"3 classes"``: the noun is given in the singular."""
    return f"{number} {noun if number == 1 else plural(noun)}"


def plural(noun: str) -> str:
    """Of a regular English noun."""
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}es" if noun.endswith(("s", "tch")) else f"{noun}s"


def percent(mean: float, std: float, count: int, *, digits: int = 2) -> str:
    """Shares from 0 to 1 in per cent, with the deviation of ``count`` of them: one alone has none."""
    if count == 1:
        return f"{100 * mean:.{digits}f} %"
    return f"{100 * mean:.{digits}f} +- {100 * std:.{digits}f} %"


def bytes_in_words(size: int) -> str:
    """``"1.5 GB"``, ``"0.2 MB"``, ``"0.1 kB"``."""
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"


def time_in_words(seconds: float) -> str:
    """``"8 s"``, ``"12 min"``, ``"3.4 h"``, ``"2.1 days"``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"
