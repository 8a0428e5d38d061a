"""The numbers of the render specification in C++, in Python and in the op contract are the same."""

from __future__ import annotations

import json
import math
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


# What follows from another constant, and is a literal because no compiler computes it.
DERIVED = {"kThresholdBits": math.log2(255.0)}

# How a number of the specification looks where it is repeated instead of named.
REPEATED = {
    "kAlphaThreshold": r"\b255\b|\b0?\.00392",
    "kThresholdBits": r"\b7\.994",
    "kPixelVariance": r"\b12\.0|/ 12\b|\b0?\.0833",
    "kCholeskyBias": r"(raw|number|gaussian|shape)[\[(].*\+ 0?\.5",
    "kX .. kColor": r"\b(raw|number|grads->of|gradients)[\[(]\d",
    "kColor": r"\b(raw|gradients)\[5 \+",
    "kMaxSide": r"\b16384\b",
}


def header_constants() -> dict[str, float]:
    """Every ``inline constexpr`` number of constants.h: a literal, or a quotient of two."""
    constants = {}
    for name, expression in re.findall(r"inline constexpr \w+ (k\w+) = ([^;]+);", HEADER):
        numerator, *denominator = (float(part.strip().rstrip("f")) for part in expression.split("/"))
        constants[name] = numerator / denominator[0] if denominator else numerator
    return constants


def test_every_constant_is_known_to_python() -> None:
    assert set(header_constants()) == set(PYTHON_NAMES) | set(DERIVED)


@pytest.mark.parametrize("name", DERIVED)
def test_what_is_derived_from_a_constant(name: str) -> None:
    assert header_constants()[name] == pytest.approx(DERIVED[name], rel=1e-15)


def repeated_constants(source: str) -> list[str]:
    """The lines of C++ that write a number of the specification out, each with the name that it should use."""
    found = []
    for line in source.splitlines():
        code = line.split("//")[0]
        found += [f"{name}: {code.strip()}" for name, literal in REPEATED.items() if re.search(literal, code)]
    return found


@pytest.mark.parametrize("path", sorted((ROOT / "plugins/splat/cpu").iterdir()), ids=lambda path: path.name)
def test_the_cpu_kernel_repeats_no_constant(path: Path) -> None:
    assert repeated_constants(path.read_text()) == []


@pytest.mark.parametrize(
    "line",
    [
        "const float a = canvas.scale_x * (static_cast<double>(block.raw[kL11][i]) + 0.5);",
        "constexpr double kVariance = 1.0 / 12.0;",
        "return {a, (1.0 - 1.0 / (samples * samples)) / 12.0};",
        "constexpr float kThresholdBits = 7.9943534f;",
        "const Vec x = number(0) + 1.0f;",
        "pixel[kFirstColor + c] = load(block->raw[5 + c] + i);",
    ],
)
def test_a_repeated_constant_is_found(line: str) -> None:
    assert repeated_constants(line)


def test_the_places_of_the_header_are_those_of_the_contract() -> None:
    (places,) = re.findall(r"enum : int \{ ([^}]+) \};", HEADER)
    order = [name.strip().removeprefix("k").lower() for name in places.split(",")]
    kinds = CONTRACT["position_kinds"]
    assert order == kinds[: len(order)]
    assert kinds[len(order) :] == ["opacity"]


def test_messages_give_the_limits_of_the_header() -> None:
    messages = (ROOT / "plugins/splat/status.cpp").read_text()
    for name, what in (("kMaxSide", "sides"), ("kMaxSupersample", "supersample must be"), ("kMaxChannels", "channels")):
        assert re.search(rf"{what} \(?1 to {header_constants()[name]:.0f}\b", messages), name


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
