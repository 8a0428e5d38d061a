"""An exported ``.onnx`` decoder on a device: the provider of that device where onnxruntime has it, else a line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from gpu_machine import simulate
from test_loader import make_set

from gsdd_runtime.decoders import onnxruntime as decoders
from gsdd_runtime.decoders.onnxruntime import OnnxRuntimeDecoder
from gsdd_runtime.errors import InputError
from gsdd_runtime.export.onnx import export_onnx
from gsdd_runtime.loading import opening

onnxruntime = pytest.importorskip("onnxruntime")
CUDA = ("CUDAExecutionProvider", {"device_id": 1})


class Binding:
    """onnxruntime's own binding, with device memory in the host's."""

    def __init__(self, binding: Any) -> None:
        self._binding, self.bound = binding, {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._binding, name)

    def bind_output(self, name: str, device: str, index: int) -> None:
        self.bound[name] = (device, index)
        self._binding.bind_output(name, "cpu")


class Session:
    """A session of the CPU that says it is one of CUDA, where its provider starts."""

    def __init__(self, where: str, options: Any, providers: list[Any], starts: bool) -> None:
        self._session = onnxruntime.InferenceSession(where, options, providers=["CPUExecutionProvider"])
        self.providers, self._starts = providers, starts

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def get_providers(self) -> list[str]:
        names = [entry if isinstance(entry, str) else entry[0] for entry in self.providers]
        return names if self._starts else names[-1:]

    def io_binding(self) -> Binding:
        self.binding = Binding(self._session.io_binding())
        return self.binding

    def run_with_iobinding(self, binding: Binding) -> None:
        self._session.run_with_iobinding(binding._binding)


class Runtime:
    def __init__(self, available: list[str], starts: bool = True) -> None:
        self._available, self._starts = available, starts

    def __getattr__(self, name: str) -> Any:
        return getattr(onnxruntime, name)

    def get_available_providers(self) -> list[str]:
        return self._available

    def InferenceSession(self, where: str, options: Any, providers: list[Any]) -> Session:
        return Session(where, options, providers, self._starts)


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = export_onnx(make_set(), tmp_path / "decoder.onnx")
    simulate(monkeypatch, architectures="90-real", count=2, current=1)
    return path


def pretend(monkeypatch: pytest.MonkeyPatch, runtime: Runtime) -> None:
    monkeypatch.setattr(decoders, "require_onnxruntime", lambda: runtime)


def test_the_cuda_provider_is_taken_and_images_stay_on_the_device(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pretend(monkeypatch, Runtime(["CUDAExecutionProvider", "CPUExecutionProvider"]))
    decoder = OnnxRuntimeDecoder(model, device="cuda")
    assert decoder.device == torch.device("cuda", 1)
    assert decoder._session.providers == [CUDA, "CPUExecutionProvider"]
    images, labels = decoder.decode([3, 0])
    assert decoder._session.binding.bound == {"images": ("cuda", 1), "labels": ("cuda", 1)}
    torch.testing.assert_close(images, make_set().decode([3, 0]), atol=1e-3, rtol=0)
    assert labels.tolist() == [3, 0]
    assert capsys.readouterr().err == ""


def test_without_the_provider_it_decodes_on_the_cpu_and_says_once_what_to_install(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pretend(monkeypatch, Runtime(["CPUExecutionProvider"]))
    for _ in range(2):
        decoder = OnnxRuntimeDecoder(model, device="cuda")
        assert decoder.device == torch.device("cpu")
        assert decoder._session.providers == ["CPUExecutionProvider"]
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "has no CUDAExecutionProvider" in said
    assert "pip uninstall -y onnxruntime, then pip install 'gsdd-rt[onnxruntime-gpu]'" in said


def test_a_provider_that_does_not_start_is_told(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pretend(monkeypatch, Runtime(["CUDAExecutionProvider", "CPUExecutionProvider"], starts=False))
    decoder = OnnxRuntimeDecoder(model, device="cuda")
    assert decoder.device == torch.device("cpu")
    assert decoder.decode([1])[0].shape == (1, 3, 16, 16)
    assert "its CUDAExecutionProvider does not start" in capsys.readouterr().err


def test_providers_that_are_named_are_taken_as_they_are(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, Runtime(["CUDAExecutionProvider", "CPUExecutionProvider"]))
    decoder = OnnxRuntimeDecoder(model, providers=["CPUExecutionProvider"])
    assert decoder._session.providers == ["CPUExecutionProvider"]
    assert OnnxRuntimeDecoder(model)._session.providers == ["CPUExecutionProvider"]
    with pytest.raises(InputError, match="providers or a device"):
        OnnxRuntimeDecoder(model, providers=["CPUExecutionProvider"], device="cuda")


def test_an_empty_batch_on_the_device(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, Runtime(["CUDAExecutionProvider", "CPUExecutionProvider"]))
    # Nothing can be allocated on a device that is not there.
    monkeypatch.setattr(torch, "empty", lambda *shape, dtype, device: (shape, dtype, device))
    images, labels = OnnxRuntimeDecoder(model, device="cuda").decode([])
    assert images == (((0, 3, 16, 16),), torch.float32, torch.device("cuda", 1))
    assert labels == (((0,),), torch.int64, torch.device("cuda", 1))


def test_the_loader_hands_its_device_on(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def opened(path: Path, *, device: torch.device) -> OnnxRuntimeDecoder:
        seen.append(device)
        return OnnxRuntimeDecoder(path)

    monkeypatch.setattr(decoders, "OnnxRuntimeDecoder", opened)
    opening.open_exported(model, device=torch.device("cuda", 1))
    opening.open_decoder("onnxruntime", make_set(), device=torch.device("cuda", 1))
    assert seen == [torch.device("cuda", 1)] * 2
