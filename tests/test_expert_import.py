"""Buffers of expert trajectories that other programs wrote, read as data alone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from easy_data import easy_data, folder_of
from expert_data import DATA, FILES, LENGTH, NETWORK, contents, made
from torch import Tensor

from gsdd_runtime import networks
from gsdd_runtime.commands.cli import run
from gsdd_runtime.errors import InputError
from gsdd_runtime.experts import ExpertFolder, import_experts
from gsdd_runtime.progress import say_once

EPOCHS = 2


def trajectory(seed: int) -> list[list[Tensor]]:
    """What the published code keeps of a network: the list of its parameters, several times over."""
    network = networks.build(NETWORK, 1, 3, (8, 8), seed=seed)
    return [[part.detach() + epoch for part in network.parameters()] for epoch in range(EPOCHS + 1)]


def buffer(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


def test_each_trajectory_becomes_an_expert(tmp_path: Path) -> None:
    files = [buffer(tmp_path / "replay_buffer_0.pt", [trajectory(1), trajectory(2)])]
    files.append(buffer(tmp_path / "replay_buffer_1.pt", [trajectory(3)]))
    experts = import_experts(files, DATA, tmp_path / "experts", network=NETWORK, device="cpu")
    assert (len(experts), experts.epochs) == (3, EPOCHS)
    for number in range(3):
        for epoch, parts in enumerate(trajectory(number + 1)):
            assert torch.equal(experts.parameters(number, epoch), torch.cat([part.flatten() for part in parts]))
    assert dict(experts.about[2].protocol) == {"imported": "replay_buffer_1.pt", "epochs": EPOCHS}
    assert (experts.about[2].seed, experts.about[2].number) == (None, 2)
    images = (DATA.test_images.float() / 255 - DATA.mean[0]) / DATA.std[0]
    right = (experts.network(1)(images).argmax(dim=1) == DATA.test_labels).double().mean().item()
    assert experts.about[1].accuracies == ((EPOCHS, right),)


def test_experts_exported_and_imported_are_the_same(tmp_path: Path) -> None:
    ours = made(tmp_path / "ours")
    shapes = ours.subject.unflattened
    content = [[list(shapes(ours.parameters(i, epoch)).values()) for epoch in range(ours.epochs + 1)] for i in range(2)]
    path = buffer(tmp_path / "buffer.pt", content)
    theirs = import_experts([path], DATA, tmp_path / "theirs", network=NETWORK, device="cpu")
    for expert in range(2):
        for epoch in range(ours.epochs + 1):
            assert torch.equal(theirs.parameters(expert, epoch), ours.parameters(expert, epoch))
    assert theirs.about[0].accuracies == ours.about[0].accuracies[-1:]


def test_experts_no_better_than_chance_are_spoken_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    say_once.cache_clear()
    good = made(tmp_path / "ours", epochs=4, learning_rate=0.1)
    parts = list(good.subject.unflattened(good.parameters(0, -1)).values())
    path = buffer(tmp_path / "good.pt", [[parts, parts]])
    import_experts([path], DATA, tmp_path / "good", network=NETWORK, device="cpu")
    assert capsys.readouterr().err == ""
    flat = [[torch.zeros_like(part) for part in parts]] * 2
    import_experts([buffer(tmp_path / "bad.pt", [flat])], DATA, tmp_path / "bad", network=NETWORK, device="cpu")
    assert capsys.readouterr().err == (
        f"gsdd-rt: an expert of {tmp_path}/bad.pt gets 33.3 % of the test images of easy right, hardly more than "
        "chance: it was likely trained on other data, or on images prepared otherwise (ZCA)\n"
    )


def without_last(parts: list[Tensor]) -> list[Tensor]:
    return parts[:-1]


PARTS = trajectory(1)[0]
WIDE = [part.detach() for part in networks.build("convnet1-w5", 1, 3, (8, 8), seed=1).parameters()]
NAN = [torch.full_like(part, float("nan")) for part in PARTS]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"a": 1}, "holds dict, not a list of trajectories"),
        ([], "holds list, not a list of trajectories"),
        ([PARTS[0]], "trajectory 0 must be a list of at least two epochs"),
        ([[PARTS]], "trajectory 0 must be a list of at least two epochs"),
        ([[PARTS, 3]], "trajectory 0, epoch 1: must be a list of the network's parameters"),
        ([[PARTS, [part.long() for part in PARTS]]], "trajectory 0, epoch 1: must be a list of the network's"),
        ([[PARTS, PARTS[:-1]]], "trajectory 0, epoch 1 has 5 parameters, convnet1-w4 has 6: name the network"),
        ([[PARTS, PARTS], [WIDE, WIDE]], "trajectory 1, epoch 0: parameter features.0.weight is [5, 1, 3, 3], convnet"),
        ([[PARTS, NAN]], "trajectory 0 holds a NaN or an infinity"),
    ],
)
def test_what_is_no_buffer_of_the_network_is_refused(content: Any, words: str, tmp_path: Path) -> None:
    path = buffer(tmp_path / "buffer.pt", content)
    with pytest.raises(InputError) as caught:
        import_experts([path], DATA, tmp_path / "experts", network=NETWORK, device="cpu")
    assert str(caught.value).startswith(str(path))
    assert words in str(caught.value)
    assert not (tmp_path / "experts").exists()


class Evil:
    def __reduce__(self) -> Any:
        return os.mkdir, ("evil",)


def test_nothing_but_tensors_is_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = buffer(tmp_path / "buffer.pt", [[PARTS, Evil()]])
    with pytest.raises(InputError, match="holds more than lists of tensors, or is damaged"):
        import_experts([path], DATA, tmp_path / "experts", network=NETWORK)
    path.write_bytes(b"no buffer")
    with pytest.raises(InputError, match="holds more than lists of tensors, or is damaged"):
        import_experts([path], DATA, tmp_path / "experts", network=NETWORK)
    for bad in (tmp_path / "none.pt", tmp_path):
        with pytest.raises(InputError, match=f"{bad}"):
            import_experts([bad], DATA, tmp_path / "experts", network=NETWORK)
    assert [path.name for path in tmp_path.iterdir()] == ["buffer.pt"]


def test_a_folder_with_experts_is_replaced_when_told(tmp_path: Path) -> None:
    made(tmp_path / "experts")
    before = contents(tmp_path / "experts")
    path = buffer(tmp_path / "buffer.pt", [trajectory(1)])
    with pytest.raises(InputError, match="holds experts"):
        import_experts([path], DATA, tmp_path / "experts", network=NETWORK, device="cpu")
    assert contents(tmp_path / "experts") == before
    import_experts([path], DATA, tmp_path / "experts", network=NETWORK, device="cpu", overwrite=True)
    assert sorted(contents(tmp_path / "experts")) == FILES[:1]


def test_the_command_imports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = folder_of(easy_data(class_names=("bottom", "middle", "top")), tmp_path / "photos")
    path = buffer(tmp_path / "buffer.pt", [trajectory(1), trajectory(2)])
    words = ["experts", "--dataset", dataset, "--network", NETWORK, "--device", "cpu", "--import", str(path)]
    assert run([*words, "--out", str(tmp_path / "experts")]) == 0
    told = capsys.readouterr().out
    assert f"2 experts of {NETWORK}, 2 epochs each, {LENGTH} parameters" in told
    assert len(ExpertFolder(tmp_path / "experts")) == 2
    link = tmp_path / "link"
    link.hardlink_to(path)
    assert run([*words, "--out", str(link), "--overwrite"]) == 2
    assert "would replace what is read" in capsys.readouterr().err
