"""Every network computes what the published one does, from the same weights: outputs kept as data, with the commit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from reference_weights import fill, images, outputs

from gsdd_runtime.networks import build
from gsdd_runtime.networks.catalog import listed_names

CASES = json.loads((Path(__file__).parent / "data" / "reference_networks.json").read_text())


def label(case: dict[str, Any]) -> str:
    return f"{case['network']}-{case['channels']}x{case['side']}"


@pytest.mark.parametrize("case", CASES, ids=label)
def test_outputs_are_those_of_the_published_network(case: dict[str, Any]) -> None:
    side = case["side"]
    network = fill(build(case["network"], case["channels"], 10, (side, side), seed=0))
    found = outputs(network, network.classifier, images(2, case["channels"], side, side))
    assert set(found) == set(case) - {"network", "channels", "side", "reference"}
    for part, values in found.items():
        # Of the largest: differences measured stay below 1e-12 of it.
        scale = max(map(abs, case[part]))
        torch.testing.assert_close(torch.tensor(values), torch.tensor(case[part]), rtol=0, atol=1e-10 * scale)


def test_every_network_is_held_to_a_published_one() -> None:
    held = {case["network"] for case in CASES}
    # A ConvNet of another width is one all the same.
    assert {name.partition("-w")[0] for name in held} >= set(listed_names())
    assert {"convnet3-batch", "convnet3-group", "convnet3-layer", "convnet3-nonorm"} <= held
    assert all(len(case["reference"].split()[1]) == 40 or "torchvision" in case["reference"] for case in CASES)
