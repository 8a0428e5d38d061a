"""``gsdd-rt networks``: which networks there are, and how the field trains them."""

from __future__ import annotations

from typing import Any

from gsdd_runtime.commands.shared import JsonOption, print_json

# Sides of the images that parameters are counted for, of three channels and ten classes.
SIDES = (32, 128)
CHANNELS, CLASSES = 3, 10


def command(as_json: JsonOption = False) -> None:
    """List the networks: parameters at 32 and 128 pixels, norm, published learning rate, and where they come from."""
    from gsdd_runtime.networks.catalog import CONVNET_NAME, DEFAULT_NETWORKS, listed_names
    from gsdd_runtime.networks.published import cross_architecture

    rows = [_facts(name) for name in listed_names()]
    defaults = [{"up_to": None if side == float("inf") else side, "network": name} for side, name in DEFAULT_NETWORKS]
    tables = {str(side): cross_architecture((side, side)) for side in SIDES}
    if as_json:
        others = [CONVNET_NAME, "timm:NAME", "timm:NAME@FILE", "module:Class"]
        print_json({
            "networks": rows, "defaults": defaults, "cross_architecture": tables, "other_names": others,
            "images": {"channels": CHANNELS, "classes": CLASSES},
        })  # fmt: skip
        return
    width = max(len(row["name"]) for row in rows)
    print(f"{'network':<{width}}  {'at 32 px':>10}  {'at 128 px':>10}  {'norm':<8}  {'rate':<6}  from")
    for row in rows:
        counts = "  ".join(f"{_count(row['parameters'][str(side)]):>10}" for side in SIDES)
        rate = f"{row['learning_rate']:g}"
        print(f"{row['name']:<{width}}  {counts}  {row['norm']:<8}  {rate:<6}  {row['source']}")
    print("\nParameters for three channels and ten classes; - where the images are too small.")
    print("The rate is that of the cross-architecture tables, with a cosine schedule.")
    print(f"\nAny ConvNet       {CONVNET_NAME}")
    print("A model of timm   timm:NAME, with fresh weights, or timm:NAME@FILE.safetensors (the extra timm)")
    print("A class of yours  module:Class, called with channels, classes and size; naming one runs its code")
    for side, names in tables.items():
        print(f"Cross-architecture at {side:<4}  --networks {','.join(names)}")
    print("Default by the longer side of the images  " + ", ".join(
        f"{row['network']} {'beyond' if row['up_to'] is None else 'to ' + str(row['up_to'])}" for row in defaults
    ))  # fmt: skip


def _facts(name: str) -> dict[str, Any]:
    from gsdd_runtime.networks.catalog import entry
    from gsdd_runtime.networks.published import published_training

    about = entry(name)
    return {
        "name": name,
        "norm": about.norm,
        "parameters": {str(side): _parameters(name, side) for side in SIDES},
        "learning_rate": published_training(name).learning_rate,
        "schedule": published_training(name).schedule,
        "rate_source": published_training(name).source,
        "source": about.source,
    }


def _parameters(name: str, side: int) -> int | None:
    """None where the network cannot take images of that side."""
    import torch

    from gsdd_runtime.errors import InputError
    from gsdd_runtime.networks import build

    try:
        with torch.device("meta"):
            network = build(name, CHANNELS, CLASSES, (side, side), seed=0)
    except InputError:
        return None
    return sum(parameter.numel() for parameter in network.parameters())


def _count(number: int | None) -> str:
    return "-" if number is None else f"{number:,}"
