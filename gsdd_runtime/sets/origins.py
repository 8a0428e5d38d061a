"""How the images of a set came about: the methods that are no objectives, and each in words."""

from __future__ import annotations

# Images were fitted, to real ones or to those of another set, and not matched since.
FITTED = "fit"
# Read from the file of another program.
IMPORTED = "imported"
# Of sets that were made by different methods.
MERGED = "merged"


def real_images_method(choice: str) -> str:
    """The method of a set of real images that were chosen by ``choice``."""
    return f"{choice}-real"


_CHOSEN = {
    real_images_method(choice): words
    for choice, words in (("random", "at random"), ("herding", "by herding"), ("kcenter", "by kcenter"))
}


def is_objective(method: str) -> bool:
    """Whether ``method`` names what the images of a set were matched by."""
    return method not in (FITTED, IMPORTED, MERGED, *_CHOSEN)


def in_words(method: str, data: str | None = None) -> str:
    """``"distilled from DATA by the objective METHOD"``, or what else was done.

    Args:
        method: as a set has it.
        data: name of the real data, where it is known.
    """
    if method == FITTED:
        return "fitted to images" if data is None else f"fitted to images of {data}, without matching"
    if method == IMPORTED:
        return "imported from another program"
    if method == MERGED:
        return "merged from sets of different methods"
    source = "" if data is None else f" of {data}"
    if method in _CHOSEN:
        return f"real images{source}, chosen {_CHOSEN[method]}"
    return f"distilled{'' if data is None else f' from {data}'} by the objective {method}"
