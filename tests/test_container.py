"""Sets, trained networks and checkpoints are read by one reader: what it refuses, it refuses for all of them."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from easy_data import easy_data, easy_set
from set_files import join_file, some_set, split_file

from gsdd_runtime.distillation.checkpoint import Checkpoint
from gsdd_runtime.errors import InputError
from gsdd_runtime.experts.subject import Subject
from gsdd_runtime.experts.trajectory import About, Trajectory, save_trajectory
from gsdd_runtime.networks import build
from gsdd_runtime.networks.model_file import load_model, save_model
from gsdd_runtime.sets import container
from gsdd_runtime.sets.container import MAX_HEADER_BYTES
from gsdd_runtime.sets.distilled_set import DistilledSet

MANY = 60_000


def a_set(path: Path) -> None:
    some_set().save(path)


def a_network(path: Path) -> None:
    network = build("convnet1-w4", 1, 3, (8, 8), seed=1)
    save_model(network, path, network="convnet1-w4", distilled_set=easy_set(easy_data()))


def an_expert(path: Path) -> None:
    subject = Subject.of("convnet1-w4", easy_data())
    save_trajectory(path, About(subject, {"epochs": 1}, 0, 0), torch.zeros(2, subject.length))


def a_checkpoint(path: Path) -> None:
    Checkpoint("match", 3, {"seed": 0}, "sha256:00", {"parameter/color": torch.ones(3)}).save(path)


KINDS: dict[str, tuple[Callable[[Path], None], Callable[[Path], Any], str]] = {
    "set": (a_set, DistilledSet.load, "gsdd"),
    "network": (a_network, load_model, "gsdd_model"),
    "expert": (an_expert, Trajectory, "gsdd_trajectory"),
    "checkpoint": (a_checkpoint, Checkpoint.load, "gsdd_checkpoint"),
}


class File:
    """A sound file of one kind, its reader and the key of its description."""

    def __init__(self, path: Path, kind: str) -> None:
        self.path = path
        write, self.read, self.key = KINDS[kind]
        write(path)

    def refused(self, *words: str) -> str:
        with pytest.raises(InputError) as caught:
            self.read(self.path)
        message = str(caught.value)
        assert "\n" not in message
        assert message.startswith((str(self.path), f"cannot read {self.path}"))
        for word in words:
            assert word in message, message
        return message

    def described(self, text: str) -> None:
        """The description replaced by any text."""
        header, payload = split_file(self.path)
        header["__metadata__"][self.key] = text
        join_file(self.path, header, payload)

    def description(self) -> dict[str, Any]:
        return json.loads(split_file(self.path)[0]["__metadata__"][self.key])


@pytest.fixture(params=KINDS)
def file(request: pytest.FixtureRequest, tmp_path: Path) -> File:
    return File(tmp_path / "file.safetensors", request.param)


def test_many_keys_of_which_one_comes_twice_are_read_once(file: File) -> None:
    """Looking each key up among all others takes hours for the 8 MB that a header may have."""
    keys = "".join(f'"k{index}":0,' for index in range(MANY))
    file.described('{"format_version":1,' + keys + f'"k{MANY - 1}":0}}')
    file.refused(f"has the key 'k{MANY - 1}' twice")
    file.described('{"format_version":1,"options":{' + keys + f'"k{MANY - 1}":0}}}}')
    file.refused(f"has the key 'k{MANY - 1}' twice")


def test_a_key_twice_in_the_header(file: File) -> None:
    header, payload = split_file(file.path)
    again = json.dumps({"__metadata__": header["__metadata__"]})
    join_file(file.path, json.dumps(header)[:-1] + ", " + again[1:], payload)
    file.refused("the header has the key '__metadata__' twice")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not valid JSON"),
        ("[]", "must be a JSON object"),
        ('{"format_version": 1, "step": NaN}', "must be finite"),
        ('{"format_version": 1, "step": 1e999}', "must be finite"),
        ('{"format_version": 1, "phase": "\\ud800"}', "not valid Unicode"),
        ('{"format_version": 1, "phase": "\\u001b[2J"}', "control character"),
        ('{"format_version": 1, "options": {"\\u202e": [1]}}', "control character"),
        ('{"format_version": 1, "options": ' + "[" * 40 + "]" * 40 + "}", "nested more than"),
        ('{"format_version": 0}', "format version"),
        ("{}", "format version"),
        ('{"format_version": 99}', "upgrade gsdd-rt"),
    ],
)
def test_a_description_that_is_not_sound(file: File, text: str, words: str) -> None:
    file.described(text)
    file.refused(words)


def test_no_message_has_what_a_terminal_obeys(file: File) -> None:
    header, payload = split_file(file.path)
    messages = []
    for odd in ("\x1b[2J", "\x9b31m", "\u202egnp", "\r\n", "\x1b]0;" + "x" * 100_000):
        for change in (
            {odd: {"dtype": "F32", "shape": [0], "data_offsets": [len(payload), len(payload)]}},
            {"odd": {"dtype": odd, "shape": [0], "data_offsets": [0, 0]}},
            {"__metadata__": {odd: "{}"}},
            {"__metadata__": {file.key: f'{{"format_version": "{odd}"}}'}},
            {"__metadata__": {file.key: odd}},
            {"__metadata__": {**header["__metadata__"], odd: odd}, "labels": {}},
        ):
            join_file(file.path, {**header, **change}, payload)
            # What other tensors a checkpoint has is looked at when its run is known.
            try:
                file.read(file.path)
            except InputError as error:
                messages.append(str(error))
    assert len(messages) >= 25
    assert all(message.isprintable() and len(message) < 3000 for message in messages)


def test_an_indented_description_and_foreign_metadata_are_read(file: File) -> None:
    header, payload = split_file(file.path)
    header["__metadata__"] = {file.key: json.dumps(file.description(), indent=2), "note": "two\nlines"}
    join_file(file.path, header, payload)
    file.read(file.path)


def test_a_header_larger_than_allowed(file: File) -> None:
    with open(file.path, "wb") as opened:
        opened.write(struct.pack("<Q", MAX_HEADER_BYTES + 8))
        opened.truncate(MAX_HEADER_BYTES + 4096)
    file.refused(f"at most {MAX_HEADER_BYTES}")


@pytest.mark.parametrize("mapped", [False, True])
def test_a_file_that_does_not_fit_its_header(file: File, mapped: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if mapped:
        monkeypatch.setattr(container, "IN_MEMORY_BYTES", 0)
    whole = file.path.read_bytes()
    file.read(file.path)
    for content in (whole[:-1], whole + b"\0"):
        file.path.write_bytes(content)
        file.refused("is damaged")
    file.path.write_bytes(whole[:20])
    file.refused("ends in its header")


@pytest.mark.parametrize("form", [None, 3, {}, {"dtype": 5}, {"dtype": "F4", "shape": [1], "data_offsets": [0, 0]}])
def test_a_tensor_without_a_form(file: File, form: Any) -> None:
    header, payload = split_file(file.path)
    header["odd"] = form
    join_file(file.path, header, payload)
    file.refused()


def test_a_file_of_another_kind(file: File, tmp_path: Path) -> None:
    for kind in KINDS:
        other = File(tmp_path / kind, kind)
        if other.key != file.key:
            file.path.write_bytes(other.path.read_bytes())
            file.refused("is a .safetensors file but not ", file.key)


def test_what_is_read_does_not_hang_on_the_file(file: File, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mapped network would end the process at the first page that is gone."""
    if file.key in ("gsdd", "gsdd_trajectory"):
        # These are watched instead.
        return
    monkeypatch.setattr(container, "IN_MEMORY_BYTES", 0)
    read = file.read(file.path)
    with open(file.path, "r+b") as opened:
        opened.truncate(0)
    for tensor in read.tensors.values() if file.key == "gsdd_checkpoint" else read.network.state_dict().values():
        assert bool(tensor.isfinite().all())


def test_a_network_takes_no_memory_that_its_file_does_not_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of a few hundred bytes may name a network of a gigabyte."""
    file = File(tmp_path / "model", "network")
    text = json.dumps({**file.description(), "network": "mlp", "height": 1024, "width": 1024})
    file.described(text)
    made = []

    def watched(*arguments: Any, **options: Any) -> Any:
        made.append(torch.get_default_device().type)
        return build(*arguments, **options)

    monkeypatch.setattr("gsdd_runtime.networks.build", watched)
    file.refused("the weights of mlp, which it names, take more")
    assert made == ["meta"]


@pytest.mark.parametrize("training", [{"loss": float("nan")}, {"note": "\ud800"}, {"note": {1, 2}}])
def test_what_could_not_be_read_is_not_written(training: dict[str, Any], tmp_path: Path) -> None:
    network = build("convnet1-w4", 1, 3, (8, 8), seed=1)
    with pytest.raises(InputError):
        save_model(
            network, tmp_path / "model", network="convnet1-w4", distilled_set=easy_set(easy_data()), training=training
        )
    assert list(tmp_path.iterdir()) == []
