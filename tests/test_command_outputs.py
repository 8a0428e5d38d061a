"""No command writes onto what it reads, nor replaces what it must not; every command that writes is held to it here."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_type_hints

import numpy as np
import pytest
import torch
from PIL import Image
from set_files import saved, some_set
from typer.models import OptionInfo

from gsdd_runtime import DistilledSet
from gsdd_runtime.atomic import sole_writer
from gsdd_runtime.commands import cli, demo, distill, outputs
from gsdd_runtime.commands.cli import run
from gsdd_runtime.networks.model_file import load_model


class Writing(NamedTuple):
    """An option of a command that names a place to write to.

    ``{set}`` in the arguments stands for the file that is read, which bears the suffix of the output; ``quick`` says
    that the command may be run to its end here.
    """

    option: str
    arguments: str
    kind: outputs.Kind
    quick: bool = False


# Of each command, every place that it writes to. A command that writes nothing has none.
WRITES: dict[str, list[Writing]] = {
    "distill": [
        Writing("--out", "--dataset imagefolder:{folder} --size 8", outputs.SET),
        Writing(
            "--tensorboard", "--dataset imagefolder:{folder} --size 8 --out {folder}/../a.safetensors", outputs.RUNS
        ),
    ],
    "experts": [Writing("--out", "--dataset imagefolder:{folder} --size 8", outputs.EXPERTS)],
    "baseline": [
        Writing("--out", "random --ipc 1 --dataset imagefolder:{folder}", outputs.SET),
        Writing("--csv", "random --ipc 1 --dataset imagefolder:{folder}", outputs.CSV),
    ],
    "eval": [Writing("--csv", "{set} --dataset fashion-mnist-sample", outputs.CSV)],
    "verify": [],
    "rank": [],
    "train": [Writing("--out", "{set} --epochs 1 --network convnet1-w4", outputs.MODEL, True)],
    "compress": [Writing("--out", "{set}", outputs.SET, True)],
    "fit": [
        Writing("--out", "{set} --gaussians 2 --steps 1", outputs.SET, True),
        Writing("--out", "imagefolder:{folder} --gaussians 2 --steps 1", outputs.SET),
    ],
    "import": [Writing("--out", "{set}", outputs.SET)],
    "whiten": [Writing("--out", "{set}", outputs.SET)],
    "select": [Writing("--out", "{set} --classes 0", outputs.SET, True)],
    "merge": [Writing("--out", "{set} {set}.missing", outputs.SET)],
    "relabel": [
        Writing("--out", "{set} --teacher {set}.model", outputs.SET),
        Writing("--out", "{set} --teacher {set}.model --views 2", outputs.VIEWS),
    ],
    "export": [
        Writing("--onnx", "{set}", outputs.ONNX, True),
        Writing("--onnx-train-step", "{set}", outputs.ONNX),
        Writing("--torchscript", "{set}", outputs.TORCHSCRIPT),
        Writing("--pt2", "{set}", outputs.PROGRAM),
        Writing("--aot-inductor", "{set}", outputs.PROGRAM),
        Writing("--tensorrt", "{set}", outputs.ENGINE),
        Writing("--triton", "{set}", outputs.REPOSITORY),
    ],
    "decode": [
        Writing("--out", "{set}", outputs.ARRAY, True),
        Writing("--out", "{set}", outputs.ARRAYS, True),
        Writing("--out", "{set}", outputs.PICTURE, True),
    ],
    "report": [Writing("--out", "{set}", outputs.PAGE, True)],
    "watch": [],
    "info": [],
    "datasets": [],
    "networks": [],
    "recipes": [],
    "bench": [
        Writing("--chart", "decode", outputs.DRAWING),
        Writing("--chart", "rate {set} --dataset fashion-mnist-sample", outputs.DRAWING),
    ],
    "doctor": [],
    "completion": [],
}
# Options that name a place to read from.
READS = {
    "--data-dir",
    "--import",
    "--teacher",
    "--again",
    "--normalized-by",
    "--labels",
    "--whitened-by",
    "--bytes-of",
    "--features",
    "--real",
}
CASES = [
    pytest.param(command, writing, id=f"{command} {writing.option} {writing.kind.suffixes[0]}")
    for command, writings in WRITES.items()
    for writing in writings
]
QUICK = [case for case in CASES if case.values[1].quick]
every_output = pytest.mark.parametrize(("command", "writing"), CASES)
every_quick_output = pytest.mark.parametrize(("command", "writing"), QUICK)


def options_of(command: Callable[..., None]) -> dict[str, tuple[Any, OptionInfo]]:
    """Type and declaration of each option."""
    found = {}
    for name, hint in get_type_hints(command, include_extras=True).items():
        for declared in getattr(hint, "__metadata__", ()):
            if isinstance(declared, OptionInfo):
                # In an annotation, the first name takes the place of the default.
                names = [word for word in (declared.default, *(declared.param_decls or ())) if isinstance(word, str)]
                option = (names or [f"--{name.replace('_', '-')}"])[0]
                found[option] = (hint.__origin__, declared)
    return found


def test_every_command_says_here_what_it_writes() -> None:
    commands = {command.name: command.callback for command in cli.app.registered_commands}
    # Its options are put in when it is used.
    commands["distill"] = distill.with_options()
    assert set(commands) == set(WRITES)
    for name, command in commands.items():
        assert name is not None
        assert command is not None
        # The options of distill are declared by the library, and made when they are asked for.
        options = options_of(distill.with_options() if name == "distill" else command)
        places = {
            option
            for option, (type_, declared) in options.items()
            if Path in (type_, *get_args(type_)) or re.search(r"OUT|SET|MODEL|FILE|DIR|PATH", declared.metavar or "")
        }
        assert places - READS == {writing.option for writing in WRITES[name]}, name
        assert ("--overwrite" in options) == bool(WRITES[name]), name


def files_in(folder: Path) -> dict[str, Any]:
    """What is there, links by where they lead."""
    return {
        path.relative_to(folder).as_posix(): os.readlink(path) if path.is_symlink() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


@pytest.fixture
def source(tmp_path: Path) -> Callable[[str, Writing], Path]:
    """Makes what a command reads: a set, whose name ends as the output's, or a folder of images."""

    def make(command: str, writing: Writing) -> Path:
        if "imagefolder:" in writing.arguments:
            for name in ("cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png"):
                file = tmp_path / "images" / name
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.new("L", (8, 8)).save(file)
            return file
        path = tmp_path / f"set{writing.kind.suffixes[0]}"
        some_set().save(path)
        return path

    return make


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a command is refused for, it has read and computed nothing before."""

    def too_late(*arguments: object, **options: object) -> None:
        pytest.fail("it began")

    monkeypatch.setattr(DistilledSet, "load", too_late)
    monkeypatch.setattr("gsdd_runtime.datasets.load_dataset", too_late)
    monkeypatch.setattr("gsdd_runtime.bench.run_decode_bench", too_late)


def line(command: str, writing: Writing, source: Path, out: Path | str, *more: str) -> list[str]:
    words = [word.format(set=source, folder=source.parent.parent) for word in writing.arguments.split()]
    return [command, *words, writing.option, str(out), *more]


def refused(arguments: list[str], folder: Path, capsys: pytest.CaptureFixture[str], *words: str) -> None:
    """The command ends with 2 and one line that says ``words``, and nothing in the folder is another."""
    before = files_in(folder)
    assert run(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    for word in words:
        assert word in captured.err
    assert files_in(folder) == before


def same(path: Path, where: Path, suffix: str) -> Iterator[Path | str]:
    """Names of one file: its own, another spelling, links, all with the suffix."""
    if path.suffix == suffix:
        yield path
        yield os.path.relpath(path)
        yield f"{path.parent}/../{path.parent.name}/./{path.name}"
    symbolic, hard, folder = where / f"link{suffix}", where / f"hard{suffix}", where / "elsewhere"
    symbolic.symlink_to(path)
    hard.hardlink_to(path)
    folder.symlink_to(path.parent)
    yield symbolic
    yield hard
    if path.suffix == suffix:
        yield folder / path.name


@every_output
@pytest.mark.usefixtures("unread")
def test_what_is_read_is_not_written(
    command: str,
    writing: Writing,
    source: Callable[[str, Writing], Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if "{" not in writing.arguments:
        pytest.skip("it reads no file")
    read = source(command, writing)
    for out in list(same(read, tmp_path, writing.kind.suffixes[0])):
        refused(line(command, writing, read, out, "--overwrite"), tmp_path, capsys, "would replace what is read")


@every_output
@pytest.mark.usefixtures("unread")
def test_another_kind_of_file_stays(
    command: str,
    writing: Writing,
    source: Callable[[str, Writing], Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    read = source(command, writing)
    out = tmp_path / f"out{writing.kind.suffixes[0]}"
    # A set by another name, and a text.
    for content in (saved(tmp_path).read_bytes(), b"mine", b""):
        out.write_bytes(content)
        refused(line(command, writing, read, out), tmp_path, capsys, f"{writing.option}: {out} exists", "--overwrite")


@every_output
@pytest.mark.usefixtures("unread")
def test_a_name_of_another_format_is_refused(
    command: str,
    writing: Writing,
    source: Callable[[str, Writing], Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    read = source(command, writing)
    known = (*writing.kind.suffixes, ".png" if command == "decode" else "")
    for suffix in {".pt", ".onnx", ".safetensors", ".png", ".JPG", ".json"}.difference(known):
        out = tmp_path / f"out{suffix}"
        advice = "name it out or out.npz" if command == "decode" else f"name it out{writing.kind.suffixes[0]}"
        refused(line(command, writing, read, out), tmp_path, capsys, f"{writing.option}: {out}", advice)


@every_output
@pytest.mark.usefixtures("unread")
def test_another_run_with_that_output_is_waited_for(
    command: str,
    writing: Writing,
    source: Callable[[str, Writing], Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if writing.kind in (outputs.EXPERTS, outputs.RUNS):
        pytest.skip("several runs fill one folder, see test_experts.py")
    read = source(command, writing)
    out = tmp_path / f"out{writing.kind.suffixes[0]}"
    with sole_writer(out):
        refused(line(command, writing, read, out), tmp_path, capsys, f"{out} is being written by another run")


@every_quick_output
def test_what_was_made_in_moments_is_made_again(
    command: str,
    writing: Writing,
    source: Callable[[str, Writing], Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    read = source(command, writing)
    out = tmp_path / f"out{writing.kind.suffixes[0]}"
    out.write_text("mine")
    assert run(line(command, writing, read, out, "--overwrite")) == 0
    made = out.read_bytes()
    assert made != b"mine"
    capsys.readouterr()
    if writing.kind.is_one is None:
        refused(line(command, writing, read, out), tmp_path, capsys, "exists: add --overwrite")
    else:
        assert run(line(command, writing, read, out)) == 0
        assert out.read_bytes() == made
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([read.name, out.name])


def test_two_targets_of_one_export_do_not_share_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = saved(tmp_path)
    (tmp_path / "elsewhere").symlink_to(tmp_path)
    for first, second in (("a.onnx", "a.onnx"), ("a.onnx", "./a.onnx"), ("a.onnx", "elsewhere/a.onnx")):
        places = ["--onnx", f"{tmp_path}/{first}", "--onnx-train-step", f"{tmp_path}/{second}"]
        refused(["export", str(path), *places], tmp_path, capsys, "--onnx and --onnx-train-step would both write")
    beside = ["--pt2", f"{tmp_path}/a.engine.json", "--tensorrt", f"{tmp_path}/a.engine"]
    refused(["export", str(path), *beside], tmp_path, capsys, "--pt2", "a.engine.json")


def test_an_engine_is_known_by_its_description(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    engine, sidecar = tmp_path / "a.engine", tmp_path / "a.engine.json"
    arguments = ["export", str(saved(tmp_path)), "--tensorrt", str(engine)]
    sidecar.write_text("[1]")
    refused(arguments, tmp_path, capsys, "a.engine.json exists and is not a TensorRT engine")
    engine.write_bytes(b"12345")
    refused(arguments, tmp_path, capsys, "a.engine exists and is not a TensorRT engine")
    sidecar.write_text(json.dumps({"format": 1, "engine_sha256": "", "engine_bytes": 5}))
    assert outputs.ENGINE.is_one is not None
    assert outputs.ENGINE.is_one(engine)
    engine.write_bytes(b"123456")
    assert not outputs.ENGINE.is_one(engine)


def test_a_default_place_is_asked_about_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = saved(tmp_path)
    path.with_suffix(".onnx").write_text("mine")
    refused(["export", str(path), "--onnx"], tmp_path, capsys, "set.onnx exists and is not an ONNX model")
    named = path.rename(tmp_path / "set.pt2")
    refused(["export", str(named), "--pt2", "--overwrite"], tmp_path, capsys, "would replace what is read")


def test_a_folder_of_pictures_is_new_or_empty(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = saved(tmp_path)
    for out in (tmp_path, path, f"{tmp_path}/.", f"{tmp_path}/.."):
        refused(["decode", str(path), "--out", str(out), "--overwrite"], tmp_path, capsys)
    assert run(["decode", str(path), "--out", str(tmp_path / "new")]) == 0
    assert len(list((tmp_path / "new").iterdir())) == 6


def test_a_set_is_distilled_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["distill", "--dataset", "fashion-mnist-sample", "--out", str(saved(tmp_path))]
    refused(arguments, tmp_path, capsys, "--out: ", "exists: add --overwrite to replace it")
    refused([*arguments, "--resume"], tmp_path, capsys, "is of a run on other real data")


def test_the_library_keeps_its_input_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gsdd_runtime.export import program
    from gsdd_runtime.export.onnx import export_onnx
    from gsdd_runtime.export.torchscript import export_torchscript
    from gsdd_runtime.export.train_step import export_train_step
    from gsdd_runtime.networks import build
    from gsdd_runtime.networks.model_file import save_model
    from gsdd_runtime.reports.pictures import write_decoded

    path = saved(tmp_path)
    before = path.read_bytes()
    link = tmp_path / "link"
    link.symlink_to(path)
    distilled = DistilledSet.load(path)
    network = build("convnet1-w4", 1, 3, (12, 10), seed=0)

    def save(distilled_set: DistilledSet, out: Path) -> None:
        save_model(network, out, network="convnet1-w4", distilled_set=distilled_set)

    # Tracing takes seconds, and comes first.
    monkeypatch.setattr(program, "_program", lambda *options: (None, ""))
    exports = [export_onnx, export_train_step, export_torchscript, program.export_program, program.export_aot_inductor]
    for write in (save, *exports):
        for out in (path, link):
            with pytest.raises(outputs.InputError, match="would replace what is read"):
                write(distilled, out)
    for suffix in (".npy", ".npz", ".png"):
        path = path.rename(path.with_suffix(suffix))
        with pytest.raises(outputs.InputError, match="would replace what is read"):
            write_decoded(DistilledSet.load(path), path)
    assert path.read_bytes() == before


def test_the_sample_is_not_made_onto_its_source(tmp_path: Path) -> None:
    from gsdd_runtime.datasets.fashion_mnist import FILES, SAMPLE_FOLDER
    from gsdd_runtime.datasets.make_sample import make_sample
    from gsdd_runtime.splatting.native import installed_file

    for name in FILES.values():
        shutil.copy(str(installed_file(*SAMPLE_FOLDER, f"{name}.gz")), tmp_path)
    before = files_in(tmp_path)
    with pytest.raises(outputs.InputError, match="would replace what is read"):
        make_sample(tmp_path, tmp_path)
    assert files_in(tmp_path) == before


def test_the_demo_replaces_nothing_unasked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pixels.safetensors").write_bytes(b"mine")
    monkeypatch.setattr(sys, "argv", ["demo", "--out", str(tmp_path)])
    assert demo.main() == 2
    assert capsys.readouterr().err.startswith(f"demo: --out: {tmp_path}/pixels.safetensors exists: add --overwrite")
    assert list(files_in(tmp_path)) == ["pixels.safetensors"]


def test_any_name_of_a_set_can_be_trained_on(tmp_path: Path) -> None:
    path = saved(tmp_path).rename(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\n.safetensors"))
    out = tmp_path / "model.safetensors"
    assert run(["train", str(path), "--epochs", "1", "--network", "convnet1-w4", "--out", str(out)]) == 0
    assert load_model(out).training["set"] == r"'\udcff\n.safetensors'"


def test_arrays_hold_images_and_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    soft = torch.nn.functional.one_hot(torch.arange(6) % 3, 3).half() * 0.5 + 0.25
    hard = some_set()
    softly = DistilledSet(hard.gaussians, soft, 12, 10)
    for distilled in (hard, softly):
        path, out = saved(tmp_path, distilled), tmp_path / "out.npz"
        assert run(["decode", str(path), "--out", str(out), "--indices", "1:4", "--size", "6x5"]) == 0
        assert capsys.readouterr().err == ""
        with np.load(out, allow_pickle=False) as arrays:
            assert sorted(arrays) == ["images", "labels"]
            assert np.array_equal(arrays["images"], distilled.decode(slice(1, 4), 6, 5).numpy())
            assert np.array_equal(arrays["labels"], distilled.labels[1:4].numpy())
            assert (arrays["images"].dtype, arrays["labels"].dtype) == (np.float32, distilled.labels.numpy().dtype)


def test_an_array_says_that_it_leaves_the_labels_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.npy"
    assert run(["decode", str(saved(tmp_path)), "--out", str(out)]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{out}: 6 images\n"
    assert captured.err == f"gsdd-rt: {out} holds the images without their labels: name it .npz to have both\n"
