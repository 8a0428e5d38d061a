"""Every mutation, from the file of its subject."""

from __future__ import annotations

import commands
import distilling
import evaluating
import loading
import splatting

MUTATIONS = [
    *distilling.MUTATIONS,
    *evaluating.MUTATIONS,
    *loading.MUTATIONS,
    *commands.MUTATIONS,
    *splatting.MUTATIONS,
]
