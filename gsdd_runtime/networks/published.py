"""How the field trains each network where it compares architectures: one table."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from gsdd_runtime.errors import check_type
from gsdd_runtime.networks.network import Size

# The longer side up to which the tables of CIFAR are repeated, in pixels; beyond, those of the ImageNet subsets.
SMALL_SIDE = 32
# The networks of the cross-architecture tables.
CROSS_SMALL = ("alexnet", "vgg11", "resnet18", "vit-cifar")
CROSS_LARGE = ("alexnet", "vgg11-imagenet", "resnet18", "vit")

_GSDD = "GSDD (arXiv 2509.26219), cross-architecture evaluation"
_GLAD = "GLaD (arXiv 2305.01649), cross-architecture evaluation"


@dataclass(frozen=True)
class PublishedTraining:
    """What a cross-architecture table is trained with: SGD with momentum 0.9 and weight decay 5e-4 besides.

    Attributes:
        learning_rate: that training begins with.
        schedule: ``cosine``: from there to 0 over all epochs.
        source: that prints it.
    """

    learning_rate: float
    schedule: str
    source: str

    def to_dict(self) -> dict[str, object]:
        return asdict(self)


_OTHERS = PublishedTraining(1e-2, "cosine", _GSDD)
_TABLE = {
    "alexnet": PublishedTraining(1e-3, "cosine", _GSDD),
    "vit": PublishedTraining(5e-5, "cosine", _GSDD),
    # GSDD has no figure for it: at 32 pixels it shows no other architecture.
    "vit-cifar": PublishedTraining(1e-3, "cosine", _GLAD),
}


def published_training(name: str) -> PublishedTraining:
    """Of the network of this name, whatever its norm: the rate is the architecture's."""
    check_type("network", name, str, "a name", "choose one that `gsdd-rt networks` lists")
    return _TABLE.get(name.removesuffix("-batch"), _OTHERS)


def cross_architecture(size: Size) -> tuple[str, ...]:
    """The other architectures that the field tests a set of images of ``size`` with."""
    return CROSS_SMALL if max(size) <= SMALL_SIDE else CROSS_LARGE
