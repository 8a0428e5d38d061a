"""Every mutation, from the file of its subject."""

from __future__ import annotations

import architectures
import commands
import distilling
import embedding
import evaluating
import experts
import features
import loading
import reading
import recovering
import reporting
import representing
import running
import splatting
import trajectories

MUTATIONS = [
    *architectures.MUTATIONS,
    *distilling.MUTATIONS,
    *running.MUTATIONS,
    *representing.MUTATIONS,
    *embedding.MUTATIONS,
    *evaluating.MUTATIONS,
    *experts.MUTATIONS,
    *features.MUTATIONS,
    *trajectories.MUTATIONS,
    *loading.MUTATIONS,
    *reading.MUTATIONS,
    *recovering.MUTATIONS,
    *reporting.MUTATIONS,
    *commands.MUTATIONS,
    *splatting.MUTATIONS,
]
