"""``gsdd-rt networks``, and the one table of how the field trains each."""

from __future__ import annotations

import json

import pytest

from gsdd_runtime.commands.cli import run
from gsdd_runtime.networks import build
from gsdd_runtime.networks.catalog import listed_names
from gsdd_runtime.networks.published import cross_architecture, published_training


def test_the_list_says_what_is_built(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["networks", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    rows = {row["name"]: row for row in document["networks"]}
    assert tuple(rows) == listed_names()
    for name, side in (("convnet3", 32), ("resnetap10", 128), ("vit-cifar", 32), ("alexnet", 128)):
        network = build(name, 3, 10, (side, side), seed=0)
        assert rows[name]["parameters"][str(side)] == sum(value.numel() for value in network.parameters())
    assert rows["resnet18-imagenet"]["parameters"]["32"] is None
    assert [rows[name]["norm"] for name in ("convnet5", "vgg11-batch", "mlp")] == ["instance", "batch", "none"]
    assert document["defaults"][0] == {"up_to": 32, "network": "convnet3"}


def test_the_printed_list_names_every_network(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["networks"]) == 0
    printed = capsys.readouterr().out
    assert [line.split()[0] for line in printed.splitlines()[1 : 1 + len(listed_names())]] == list(listed_names())
    assert "320,010" in printed
    assert "5e-05" in printed
    assert "--networks alexnet,vgg11,resnet18,vit-cifar" in printed


@pytest.mark.parametrize(
    ("name", "rate"),
    [
        ("alexnet", 1e-3), ("alexnet-batch", 1e-3), ("vit", 5e-5), ("vit-cifar", 1e-3), ("convnet3", 1e-2),
        ("vgg11", 1e-2), ("resnet18-batch", 1e-2), ("resnetap10", 1e-2), ("timm:resnet18", 1e-2),
    ],
)  # fmt: skip
def test_rates_are_the_published_ones(name: str, rate: float) -> None:
    published = published_training(name)
    assert (published.learning_rate, published.schedule) == (rate, "cosine")
    assert "arXiv" in published.source
    assert published.to_dict()["learning_rate"] == rate


@pytest.mark.parametrize("side", [32, 64, 128, 256])
def test_the_networks_of_the_cross_architecture_tables_take_their_images(side: int) -> None:
    names = cross_architecture((side, side))
    assert len(names) == 4
    assert ("vit" in names) == (side > 32)
    for name in names:
        assert build(name, 3, 10, (side, side), seed=0)
