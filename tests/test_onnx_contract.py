"""The exported nodes, their functions and the library against plugins/op_contract.json, the one list of all doors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from awkward import ordinary

from gsdd_runtime import DistilledSet
from gsdd_runtime.splatting import contract

for package in ("onnx", "onnxscript"):
    pytest.importorskip(package)

import onnx  # noqa: E402

from gsdd_runtime.export.gradient_function import gradient_function  # noqa: E402
from gsdd_runtime.export.onnx import OPSET, gradient_node, splat_node  # noqa: E402
from gsdd_runtime.export.splat_function import splat_function  # noqa: E402

FUNCTIONS = {contract.FORWARD: splat_function, contract.BACKWARD: gradient_function}
SOURCES = Path(__file__).parents[1] / "plugins"


def make_set() -> DistilledSet:
    return DistilledSet(ordinary(2, 3, 3, 8, 1).bfloat16(), torch.tensor([0, 1]), 8, 9)


def test_the_installed_contract_is_that_of_the_checkout() -> None:
    assert contract.read() == json.loads((SOURCES / "op_contract.json").read_text())


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_have_the_names_and_attributes_of_the_contract(name: str) -> None:
    function, stated = FUNCTIONS[name](OPSET), contract.read()["ops"][name]
    assert (function.domain, function.name) == (contract.DOMAIN, name)
    assert list(function.input) == stated["inputs"]
    assert len(function.output) == len(stated["outputs"])
    required = {key for key, rule in stated["attributes"].items() if rule.get("required")}
    defaults = {key: rule["default"] for key, rule in stated["attributes"].items() if "default" in rule}
    assert set(function.attribute) == required
    assert {attribute.name: attribute.i for attribute in function.attribute_proto} == defaults
    assert [(opset.domain, opset.version) for opset in function.opset_import] == [("", OPSET)]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_nodes_have_every_attribute_of_the_contract(name: str) -> None:
    distilled = make_set()
    nodes = {
        contract.FORWARD: splat_node("gaussians", "images", distilled, 8, 9, onnx.TensorProto.FLOAT),
        contract.BACKWARD: gradient_node("grad_images", "gaussians", "grad_gaussians", distilled),
    }
    stated = contract.read()
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in nodes[name].attribute}
    for key, value in stated["node_attributes"].items():
        assert attributes.pop(key) == value.encode()
    assert set(attributes) == set(stated["ops"][name]["attributes"])
    assert all(isinstance(value, int) for value in attributes.values())


def test_the_types_of_the_contract_are_those_of_onnx() -> None:
    values = contract.read()["ops"][contract.FORWARD]["attributes"]["dtype"]["values"]
    for name, code in values.items():
        assert onnx.helper.tensor_dtype_to_np_dtype(code).name == name


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_library_reads_every_attribute_of_the_contract(name: str) -> None:
    source = "".join(path.read_text() for path in sorted((SOURCES / "onnxruntime").glob("*.cpp")))
    assert f'"{name}"' in source
    for attribute in contract.read()["ops"][name]["attributes"]:
        assert f'"{attribute}"' in source
