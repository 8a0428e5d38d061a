"""The file of an expert: what it has to hold, and how it is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from expert_data import EPOCHS, FILES, LENGTH, made
from set_files import join_file, split_file
from torch import Tensor

from gsdd_runtime.errors import InputError
from gsdd_runtime.experts import ExpertFolder
from gsdd_runtime.experts.trajectory import Trajectory
from gsdd_runtime.sets import container


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two experts; not to be changed."""
    path = tmp_path_factory.mktemp("experts") / "folder"
    made(path)
    return path


def changed(folder: Path, place: Path, tensors: dict[str, Tensor] | None = None, **fields: Any) -> Path:
    """A copy of an expert's file with other tensors, or with other values in its description."""
    place.mkdir(exist_ok=True)
    path = place / FILES[0]
    header, _ = split_file(folder / FILES[0])
    about = {**json.loads(header["__metadata__"]["gsdd_trajectory"]), **fields}
    kept = safetensors.torch.load_file(folder / FILES[0]) if tensors is None else tensors
    safetensors.torch.save_file(kept, path, metadata={"gsdd_trajectory": json.dumps(about)})
    return path


ROWS = torch.zeros(EPOCHS + 1, LENGTH)


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({"weights": ROWS}, "the tensors must be 'parameters' alone, got 'weights'"),
        ({"parameters": ROWS, "b": ROWS.clone()}, "the tensors must be 'parameters' alone, got 'b', 'parameters'"),
        ({"parameters": ROWS.double()}, f"parameters must be F32 [4, {LENGTH}], got F64 [4, {LENGTH}]"),
        ({"parameters": ROWS[1:].clone()}, f"parameters must be F32 [4, {LENGTH}], got F32 [3, {LENGTH}]"),
        ({"parameters": ROWS[:, 1:].clone()}, f"parameters must be F32 [4, {LENGTH}], got F32 [4, {LENGTH - 1}]"),
    ],
)
def test_tensors_that_break_a_rule_are_refused(
    tensors: dict[str, Tensor], words: str, folder: Path, tmp_path: Path
) -> None:
    path = changed(folder, tmp_path, tensors)
    with pytest.raises(InputError) as caught:
        ExpertFolder(tmp_path)
    assert str(caught.value).startswith(f"{path}: {words}")


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("network", 3, "network must be a text, got 3"),
        ("network", "convnet1-w5", "its parameters are not those of convnet1-w5 here"),
        ("network", "convnet99", "unknown network 'convnet99'"),
        ("classes", "3", "classes must be a whole number"),
        ("class_names", ["a", "b"], "2 class names for 3 classes"),
        ("mean", [1.0, 2.0], "mean has 2 numbers for 1 channel"),
        ("zca", 1, "zca must be a digest or null"),
        ("parameters", [], "its parameters are not those of convnet1-w4 here"),
        ("protocol", {}, "protocol must be a JSON object with the number of epochs"),
        ("protocol", {"epochs": 0}, "protocol must be a JSON object with the number of epochs"),
        ("seed", "5", "seed must be a whole number or null"),
        ("number", -1, "number must be a whole number from 0"),
        ("accuracies", [[1, 1.5]], "accuracies must be a list of pairs"),
        ("accuracies", [[9, 0.5]], "accuracies must be a list of pairs"),
        ("versions", None, "versions must be a JSON object"),
    ],
)
def test_descriptions_that_break_a_rule_are_refused(
    field: str, value: Any, words: str, folder: Path, tmp_path: Path
) -> None:
    path = changed(folder, tmp_path, **{field: value})
    with pytest.raises(InputError) as caught:
        ExpertFolder(tmp_path)
    assert str(caught.value).startswith(f"{path}: ")
    assert words in str(caught.value)


def test_weights_are_looked_at_when_they_are_read(folder: Path, tmp_path: Path) -> None:
    rows = ROWS.clone()
    rows[2, 3] = float("nan")
    changed(folder, tmp_path, {"parameters": rows})
    experts = ExpertFolder(tmp_path)
    assert experts.parameters(0, 1).eq(0).all()
    with pytest.raises(InputError, match=r"trajectory-0000.safetensors: the weights of epoch 2 hold a NaN"):
        experts.parameters(0, 2)


def test_an_epoch_that_a_trajectory_lacks_is_refused(folder: Path) -> None:
    trajectory = Trajectory(folder / "trajectory-0000.safetensors")
    epochs = trajectory.about.epochs
    assert torch.equal(trajectory.parameters(-1), trajectory.parameters(epochs))
    for epoch in (-2, epochs + 1):
        with pytest.raises(InputError, match=rf"has epochs 0 to {epochs}, not {epoch}"):
            trajectory.parameters(epoch)


def test_a_large_file_is_mapped_and_watched(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = ExpertFolder(folder).parameters(0, 2)
    monkeypatch.setattr(container, "IN_MEMORY_BYTES", 0)
    path = tmp_path / FILES[0]
    path.write_bytes((folder / FILES[0]).read_bytes())
    experts = ExpertFolder(tmp_path)
    row = experts.parameters(0, 2)
    assert torch.equal(row, small)
    # A copy: nobody writes into the mapped file.
    row.zero_()
    assert torch.equal(experts.parameters(0, 2), small)
    with open(path, "ab") as file:
        file.write(b"more")
    with pytest.raises(InputError, match="was changed while in use"):
        experts.parameters(0, 2)


def test_a_file_that_was_replaced_meanwhile_is_noticed(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / FILES[0]
    path.write_bytes((folder / FILES[0]).read_bytes())
    experts = ExpertFolder(tmp_path)
    changed(folder, tmp_path, seed=9)
    with pytest.raises(InputError, match="was replaced while the folder was in use"):
        experts.parameters(0, 0)


def test_few_files_are_open_at_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gsdd_runtime.experts.folder._OPEN", 1)
    experts = ExpertFolder(folder)
    rows = [experts.parameters(number, 1) for number in (0, 1, 0)]
    assert torch.equal(rows[0], rows[2])
    assert not torch.equal(rows[0], rows[1])
    assert len(experts._open) == 1


def test_a_damaged_file_is_refused_by_name(folder: Path, tmp_path: Path) -> None:
    header, payload = split_file(folder / FILES[0])
    join_file(tmp_path / FILES[0], header, payload[:-4])
    with pytest.raises(InputError, match=r"trajectory-0000.safetensors is damaged"):
        ExpertFolder(tmp_path)
    (tmp_path / FILES[0]).write_bytes(b"x")
    with pytest.raises(InputError, match=r"not a \.safetensors file"):
        Trajectory(tmp_path / FILES[0])
