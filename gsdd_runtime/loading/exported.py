"""What is left to do to the images of an exported decoder, by the description in its file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gsdd_runtime.errors import InputError
from gsdd_runtime.sets import checks
from gsdd_runtime.sets.preparation import Preparation


def remaining_preparation(
    path: Path, description: dict[str, Any], normalize: bool, size: tuple[int, int] | None
) -> Preparation | None:
    """What makes the file's images those that are asked for; None where they are so already.

    Args:
        path: of the exported file, for messages.
        description: that the file was exported with; its sizes are checked.
        normalize, size: as of :class:`gsdd_runtime.loading.loader.DistilledLoader`.

    Raises:
        InputError: no preparation does that: another size, plain images of a file exported with ``--normalize``, or
            prepared ones of a file that lacks what it takes; a damaged description.
    """
    channels, *own = (int(description[name]) for name in ("channels", "height", "width"))
    if size is not None and list(size) != own:
        raise InputError(
            f"{path} was exported for images of {own[0]}x{own[1]}, not of {size[0]}x{size[1]}: leave size out, or "
            f"export it again with --size {size[0]}x{size[1]}"
        )
    normalized, whitens = description.get("normalized"), description.get("zca")
    if not isinstance(normalized, bool) or not isinstance(whitens, bool):
        raise InputError(f"{path} does not say whether its images are normalised: export it again")
    if normalized == normalize:
        return None
    if normalized:
        raise InputError(
            f"{path} was exported with --normalize and holds no plain images: take them as a network does "
            "(normalize=True), or export it again without --normalize"
        )
    if whitens:
        raise InputError(
            f"{path} was exported without --normalize and lacks the whitening (zca) that a network takes: export it "
            "again with --normalize, or take plain images (normalize=False)"
        )
    mean, std = description.get("mean"), description.get("std")
    checks.check_normalization(str(path), mean, std, channels)
    mean, std = (None if values is None else tuple(map(float, values)) for values in (mean, std))
    return Preparation(str(path), (channels, own[0], own[1]), mean, std).for_size(*own)
