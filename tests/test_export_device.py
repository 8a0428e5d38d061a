"""The device of ``.pt2`` programs and AOTInductor packages: asked for by name, and where the program's tensors are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from gpu_machine import simulate
from test_loader import make_set

from gsdd_runtime.commands.cli import run
from gsdd_runtime.errors import GsddError, InputError
from gsdd_runtime.export import program
from gsdd_runtime.export.program import export_aot_inductor, export_program

Export = Any
EXPORTS = [export_program, export_aot_inductor]


def test_a_program_lives_on_its_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The one device besides the CPU that every torch has.
    monkeypatch.setattr(program, "resolve_device", torch.device)
    loaded = torch.export.load(export_program(make_set(), tmp_path / "decoder.pt2", normalize=True, device="meta"))
    assert {tensor.device.type for tensor in loaded.state_dict.values()} == {"meta"}
    (placeholder,) = [node for node in loaded.graph.nodes if node.name == "indices"]
    assert placeholder.meta["val"].device.type == "meta"
    images, labels = loaded.module()(torch.zeros(5, dtype=torch.int64, device="meta"))
    assert (images.shape, images.device.type) == ((5, 3, 16, 16), "meta")
    assert (labels.shape, labels.device.type) == ((5,), "meta")


@pytest.mark.parametrize("export", EXPORTS)
def test_a_device_is_resolved_before_anything_is_written(
    export: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def refuse(*arguments: object) -> None:
        seen.append(arguments[-1])
        raise GsddError("seen")

    monkeypatch.setattr(program, "_program", refuse)
    simulate(monkeypatch, architectures="90-real", count=2, current=1)
    for device in ("cuda", "auto", "cpu", torch.device("cuda", 0)):
        with pytest.raises(GsddError, match="seen"):
            export(make_set(), tmp_path / "decoder.pt2", device=device)
    with pytest.raises(GsddError, match="seen"):
        export(make_set(), tmp_path / "decoder.pt2")
    expected = [torch.device("cuda", 1)] * 2 + [torch.device("cpu"), torch.device("cuda", 0), torch.device("cpu")]
    assert seen == expected
    simulate(monkeypatch)
    with pytest.raises(InputError, match="built without its CUDA kernel"):
        export(make_set(), tmp_path / "decoder.pt2", device="cuda")
    assert list(tmp_path.iterdir()) == []


def test_the_command_without_the_kernel_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    simulate(monkeypatch)
    make_set().save(tmp_path / "set.safetensors")
    assert run(["export", str(tmp_path / "set.safetensors"), "--pt2", "--device", "cuda"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "built without its CUDA kernel" in err
    assert [path.name for path in tmp_path.iterdir()] == ["set.safetensors"]


def test_a_device_without_a_target_that_has_one_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_set().save(tmp_path / "set.safetensors")
    assert run(["export", str(tmp_path / "set.safetensors"), "--onnx", "--device", "cpu"]) == 2
    assert "--device is for --pt2 and --aot-inductor" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["set.safetensors"]
