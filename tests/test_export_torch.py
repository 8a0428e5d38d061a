"""The TorchScript, torch.export and AOTInductor decoders, loaded as users load them, against the float64 reference."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from awkward import ordinary
from torch import Tensor

from gsdd_runtime import DistilledSet, plugin_library, reference
from gsdd_runtime.commands import outputs
from gsdd_runtime.errors import InputError, LibraryNotBuiltError
from gsdd_runtime.export.program import export_aot_inductor, export_program
from gsdd_runtime.export.torchscript import export_torchscript

try:
    plugin_library("torch")
except LibraryNotBuiltError as missing:
    pytest.skip(str(missing), allow_module_level=True)

EXAMPLE = Path(__file__).parents[1] / "examples" / "torchscript"
Decode = Callable[[Tensor], tuple[Tensor, Tensor]]
Export = Callable[..., Path]


def make_set(channels: int = 3, soft: bool = False, **fields: object) -> DistilledSet:
    labels = torch.arange(10) % 3
    if soft:
        labels = torch.nn.functional.one_hot(labels, 3).half() * 0.5 + 0.125
    mean, std = [0.2, 0.3, 0.4, 0.5][:channels], [0.5, 0.4, 0.3, 0.2][:channels]
    gaussians = ordinary(10, 15, channels, 20, 40 + channels).bfloat16()
    return DistilledSet(gaussians, labels, 18, 21, mean=mean, std=std, **fields)


def expected(distilled: DistilledSet, indices: Tensor, size: tuple[int, int] = (18, 21)) -> Tensor:
    assert distilled.gaussians is not None
    return reference.splat(distilled.gaussians[indices].double(), *size, native_size=(18, 21))


def load_script(path: Path) -> Decode:
    return torch.jit.load(path)


def load_program(path: Path) -> Decode:
    return torch.export.load(path).module()


TARGETS = [
    pytest.param(export_torchscript, load_script, id="torchscript"),
    pytest.param(export_program, load_program, id="program"),
]


@pytest.mark.parametrize(("channels", "soft"), [(1, False), (3, True), (4, False)])
@pytest.mark.parametrize(("export", "load"), TARGETS)
def test_any_batch_decodes(
    tmp_path: Path, export: Export, load: Callable[[Path], Decode], channels: int, soft: bool
) -> None:
    distilled = make_set(channels, soft)
    decode = load(export(distilled, tmp_path / "decoder"))
    for indices in ([], [3], [9, 0, -1, -10], list(range(10))):
        chosen = torch.tensor(indices, dtype=torch.int64)
        images, labels = decode(chosen)
        # The kernel's own tolerance; measured 5e-5.
        torch.testing.assert_close(images.double(), expected(distilled, chosen), atol=1e-3, rtol=0)
        assert torch.equal(labels, distilled.labels[chosen])


@pytest.mark.parametrize(("export", "load"), TARGETS)
def test_size_dtype_and_normalisation(tmp_path: Path, export: Export, load: Callable[[Path], Decode]) -> None:
    distilled = make_set()
    chosen = torch.arange(10)
    mean, std = (torch.tensor(values).double().view(1, -1, 1, 1) for values in (distilled.mean, distilled.std))
    wanted = (expected(distilled, chosen, (30, 25)) - mean) / std
    for dtype, step in ((torch.float32, 0.0), (torch.float16, 2e-3), (torch.bfloat16, 2e-2)):
        decode = load(export(distilled, tmp_path / "decoder", normalize=True, size=(30, 25), dtype=dtype))
        images, _ = decode(chosen)
        assert images.dtype == dtype
        # Divided by a deviation of 0.3; the second term is a step of the type. Measured 2e-4, 1.6e-3, 1.3e-2.
        torch.testing.assert_close(images.double(), wanted, atol=4e-3 + step, rtol=step / 2)


@pytest.mark.parametrize(("export", "load"), TARGETS)
@pytest.mark.parametrize("index", [10, -11])
def test_an_index_out_of_range_is_an_error(
    tmp_path: Path, export: Export, load: Callable[[Path], Decode], index: int
) -> None:
    decode = load(export(make_set(), tmp_path / "decoder"))
    with pytest.raises((IndexError, RuntimeError), match="out of bounds"):
        decode(torch.tensor([index]))
    assert decode(torch.tensor([0]))[0].shape == (1, 3, 18, 21)


def test_torchscript_carries_the_description_and_bfloat16(tmp_path: Path) -> None:
    distilled = make_set(class_names=["ant", "bee", "cat"])
    extra = {"gsdd": ""}
    module = torch.jit.load(export_torchscript(distilled, tmp_path / "decoder.pt"), _extra_files=extra)
    assert json.loads(extra["gsdd"])["class_names"] == ["ant", "bee", "cat"]
    assert dict(module.named_buffers())["gaussians"].dtype == torch.bfloat16
    torch.save({}, tmp_path / "weights.pt")
    assert outputs.TORCHSCRIPT.is_one(tmp_path / "decoder.pt")
    assert not outputs.TORCHSCRIPT.is_one(tmp_path / "weights.pt")


def test_a_program_carries_the_description_and_bfloat16(tmp_path: Path) -> None:
    distilled = make_set(class_names=["ant", "bee", "cat"])
    extra = {"gsdd": ""}
    program = torch.export.load(export_program(distilled, tmp_path / "decoder.pt2"), extra_files=extra)
    assert json.loads(extra["gsdd"])["class_names"] == ["ant", "bee", "cat"]
    assert program.state_dict["gaussians"].dtype == torch.bfloat16
    assert any("gsdd.splat" in str(node.target) for node in program.graph.nodes)
    assert outputs.PROGRAM.is_one(tmp_path / "decoder.pt2")
    assert not outputs.TORCHSCRIPT.is_one(tmp_path / "decoder.pt2")


@pytest.mark.parametrize("export", [export_torchscript, export_program, export_aot_inductor])
def test_what_cannot_be_exported_leaves_no_file(tmp_path: Path, export: Export) -> None:
    pixels = DistilledSet(None, torch.zeros(2, dtype=torch.int64), 4, 4, pixels=torch.zeros(2, 1, 4, 4).bfloat16())
    with pytest.raises(InputError, match="pixels"):
        export(pixels, tmp_path / "decoder")
    with pytest.raises(InputError, match="width of the images must be 1 to 16384, got 0"):
        export(make_set(), tmp_path / "decoder", size=(4, 0))
    with pytest.raises(InputError, match="not float64"):
        export(make_set(), tmp_path / "decoder", dtype=torch.float64)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_an_aot_inductor_package_decodes_any_batch(tmp_path: Path) -> None:
    distilled = make_set()
    decode = torch._inductor.aoti_load_package(str(export_aot_inductor(distilled, tmp_path / "decoder.pt2")))
    assert [file.name for file in tmp_path.iterdir()] == ["decoder.pt2"]
    assert outputs.PROGRAM.is_one(tmp_path / "decoder.pt2")
    for indices in ([], [3], [9, 0, -1, -10], list(range(10))):
        chosen = torch.tensor(indices, dtype=torch.int64)
        images, labels = decode(chosen)
        torch.testing.assert_close(images.double(), expected(distilled, chosen), atol=1e-3, rtol=0)
        assert torch.equal(labels, distilled.labels[chosen])


@pytest.mark.slow
def test_a_cpp_program_decodes_a_torchscript_file(tmp_path: Path) -> None:
    prefix = torch.utils.cmake_prefix_path
    build = tmp_path / "build"
    configure = ["cmake", "-S", str(EXAMPLE), "-B", str(build), "-G", "Ninja", f"-DCMAKE_PREFIX_PATH={prefix}"]
    # The environment's own cmake and ninja, which need not be on the path of the tests.
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for command in (configure, ["cmake", "--build", str(build)]):
        subprocess.run(command, check=True, capture_output=True, env=environment)
    distilled = make_set()
    decoder = export_torchscript(distilled, tmp_path / "decoder.pt", normalize=False)
    program = [str(build / "decode"), str(plugin_library("torch")), str(decoder), str(tmp_path / "images.raw")]
    ran = subprocess.run([*program, "7", "0", "-1"], check=True, capture_output=True, text=True)
    assert "[3, 3, 18, 21]" in ran.stdout
    images = torch.from_numpy(np.fromfile(tmp_path / "images.raw", dtype=np.float32)).view(3, 3, 18, 21)
    wanted = expected(distilled, torch.tensor([7, 0, 9]))
    torch.testing.assert_close(images.double(), wanted, atol=1e-3, rtol=0)
    refused = subprocess.run([*program, "10"], capture_output=True, text=True)
    assert refused.returncode == 1
    assert "index 10 is out of bounds" in refused.stderr
    program[1] = str(tmp_path / "missing.so")
    refused = subprocess.run([*program, "0"], capture_output=True, text=True)
    assert refused.returncode == 1
    assert "missing.so" in refused.stderr
