"""The networks of the dataset-distillation field, drawn from an explicit seed.

ConvNet is the network that distilled sets are made and judged with; the others test how far a set carries
over to another architecture. The shapes are those of Dataset Condensation (Zhao et al., arXiv 2006.05929, and
its published code): instance norm as a group norm with one channel per group, and PyTorch's default
initialisation. Batch norm, ResNet-AP, the larger forms and the transformers are those of the repositories that
``catalog`` names. Where the field fixes an input of 32 x 32, the classifier here takes what the features give,
so other sizes work.

Every network has ``embed(x)``: the flattened features before the classifier, ``[batch, features]``.
"""

from __future__ import annotations

from gsdd_runtime.networks.catalog import build, chosen, default_network, known_names
from gsdd_runtime.networks.network import Network, Size

__all__ = ["Network", "Size", "build", "chosen", "default_network", "known_names"]
