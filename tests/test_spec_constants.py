"""The numbers of the render specification in C++, in Python and in the op contract are the same."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

import gsdd_runtime as gsdd
from gsdd_runtime.splatting import gaussians

ROOT = Path(__file__).parents[1]
HEADER = (ROOT / "plugins/splat/constants.h").read_text()
CONTRACT = json.loads((ROOT / "plugins/op_contract.json").read_text())

PYTHON_NAMES = {
    "kAlphaThreshold": "ALPHA_THRESHOLD",
    "kAlphaLimit": "ALPHA_LIMIT",
    "kCholeskyBias": "CHOLESKY_BIAS",
    "kPixelVariance": "PIXEL_VARIANCE",
    "kDefaultSupersample": "DEFAULT_SUPERSAMPLE",
    "kShapeParameters": "SHAPE_PARAMETERS",
    "kMaxSide": "MAX_SIDE",
    "kMaxSupersample": "MAX_SUPERSAMPLE",
    "kMaxChannels": "MAX_CHANNELS",
}


def header_constants() -> dict[str, float]:
    """Every ``inline constexpr`` number of constants.h: a literal, or a quotient of two."""
    constants = {}
    for name, expression in re.findall(r"inline constexpr \w+ (k\w+) = ([^;]+);", HEADER):
        numerator, *denominator = (float(part.strip().rstrip("f")) for part in expression.split("/"))
        constants[name] = numerator / denominator[0] if denominator else numerator
    return constants


def test_every_constant_is_known_to_python() -> None:
    assert set(header_constants()) == set(PYTHON_NAMES)


@pytest.mark.parametrize(("header_name", "python_name"), PYTHON_NAMES.items())
def test_python_has_the_numbers_of_the_header(header_name: str, python_name: str) -> None:
    assert getattr(gaussians, python_name) == header_constants()[header_name]


@pytest.mark.parametrize(
    ("limit", "header_name"),
    [("max_side", "kMaxSide"), ("max_supersample", "kMaxSupersample"), ("max_channels", "kMaxChannels")],
)
def test_the_contract_has_the_limits_of_the_header(limit: str, header_name: str) -> None:
    assert CONTRACT["limits"][limit] == header_constants()[header_name]


def test_the_layout_of_a_gaussian() -> None:
    order = CONTRACT["position_kinds"]
    assert len(order) - 1 == gaussians.SHAPE_PARAMETERS
    assert order[gaussians.POSITION] == ["x", "y"]
    assert order[gaussians.CHOLESKY] == ["l11", "l21", "l22"]
    assert order[gaussians.COLOR] == ["color"]
    assert order[gaussians.OPACITY] == "opacity"


@pytest.mark.parametrize("op", CONTRACT["ops"].values(), ids=CONTRACT["ops"].keys())
def test_the_torch_op_has_the_names_of_the_contract(op: dict) -> None:
    gsdd.splat(torch.zeros(1, 1, 7), 1, 1)
    namespace, name = op["torch"].split("::")
    schema = getattr(getattr(torch.ops, namespace), name).default._schema
    arguments = {argument.name: argument for argument in schema.arguments}
    assert [argument.name for argument in schema.arguments][: len(op["inputs"])] == op["inputs"]
    for attribute, rule in op["attributes"].items():
        assert attribute in arguments
        # Coded values, such as a dtype's number, have no default in torch: it says None for the same.
        expected = None if "values" in rule else rule.get("default")
        assert arguments[attribute].default_value == expected
    supersample = op["attributes"]["supersample"]
    assert supersample["default"] == gaussians.DEFAULT_SUPERSAMPLE
