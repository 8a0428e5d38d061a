"""Random numbers that depend on the seed and on what they are for, and on nothing that happened before."""

from __future__ import annotations

import hashlib

import torch


def derived_seed(seed: int, *purpose: str | int) -> int:
    """A 63-bit seed for one purpose of a run, for example ``derived_seed(0, "match", 17, "network")``.

    Step 17 draws the same numbers whether the run started at step 0 or was resumed at step 17: this is what makes an
    interrupted run end in the same bits.
    """
    text = "/".join([str(seed), *map(str, purpose)])
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def derived_generator(seed: int, *purpose: str | int) -> torch.Generator:
    """A fresh CPU generator seeded by ``derived_seed``."""
    return torch.Generator().manual_seed(derived_seed(seed, *purpose))
