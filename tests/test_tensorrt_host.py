"""The TensorRT plugins without TensorRT: a host in C++ calls their interfaces and their enqueue."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from awkward import CASES
from oracle import oracle
from tensorrt_host import Enqueue, Host, built_host, enqueue

import gsdd_runtime as gsdd
from gsdd_runtime.errors import LibraryNotBuiltError
from gsdd_runtime.splatting import contract
from gsdd_runtime.splatting.gaussians import CHOLESKY, COLOR, POSITION

KINDS = {"position": POSITION, "cholesky": CHOLESKY, "color": COLOR, "opacity": slice(-1, None)}
SOME_CASES = ("odd-size", "channels-1", "stretched-output", "supersample-3", "fitted-color-32", "no-gaussians")
# The last place of 16-bit images of about one.
ROUNDING = {torch.float32: 0.0, torch.float16: 2.0**-11, torch.bfloat16: 2.0**-8}


def real_library() -> Path:
    try:
        return gsdd.plugin_library("tensorrt")
    except LibraryNotBuiltError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("variant", ["", "_sanitized"])
def test_every_interface_with_good_and_bad_arguments(variant: str) -> None:
    host = built_host()
    done = host.run(f"tensorrt_host{variant}", host.path(f"libgsdd_tensorrt_cpu{variant}.so"), "interfaces")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\n0 failures\n" in done.stdout
    assert done.stdout.count("\nok ") > 100
    # What is said where the plugins may use no logger; sanitizers would say more.
    assert set(done.stderr.splitlines()) == {"gsdd::GaussianSplat: the attribute 'height' is missing"}


def test_the_built_library_passes_the_same_checks() -> None:
    done = built_host().run("tensorrt_host", real_library(), "interfaces")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_attributes_are_those_of_the_contract() -> None:
    host = built_host()
    lines = host.run("tensorrt_host", host.library_on_cpu, "interfaces").stdout.splitlines()
    fields = [line.split()[1:] for line in lines if line.startswith("field ")]
    for op, description in contract.read()["ops"].items():
        assert [name for owner, name in fields if owner == op] == list(description["attributes"])


def check_images(host: Host, library: Path, folder: Path) -> None:
    images = enqueue(host, library, [Enqueue(oracle(name).inputs) for name in CASES], folder)
    for name, rendered in zip(CASES, images, strict=True):
        expected = oracle(name)
        assert rendered.shape == expected.images.shape
        excess = (rendered.double() - expected.images).abs() - expected.flips
        assert excess.numel() == 0 or excess.max() <= 1e-3, name


def check_dtypes(host: Host, library: Path, folder: Path) -> None:
    for gaussian_dtype in ROUNDING:
        for image_dtype, rounding in ROUNDING.items():
            inputs = {name: oracle(name).inputs for name in SOME_CASES}
            rounded = {
                name: case._replace(gaussians=case.gaussians.to(gaussian_dtype).float())
                for name, case in inputs.items()
            }
            calls = [Enqueue(case, gaussian_dtype, image_dtype) for case in rounded.values()]
            plain = enqueue(host, library, [Enqueue(case) for case in rounded.values()], folder)
            for name, got, wanted in zip(SOME_CASES, enqueue(host, library, calls, folder), plain, strict=True):
                assert got.dtype == image_dtype
                limit = rounding * wanted.abs() + 1e-7
                assert ((got.float() - wanted).abs() <= limit).all(), (name, gaussian_dtype, image_dtype)


def check_gradients(host: Host, library: Path, folder: Path) -> None:
    names = [name for name in CASES if oracle(name).images.numel()]
    calls = [Enqueue(oracle(name).inputs, grad_images=oracle(name).grad_images) for name in names]
    for name, gradients in zip(names, enqueue(host, library, calls, folder), strict=True):
        expected = oracle(name).gradients
        assert gradients.shape == expected.shape
        for kind, where in KINDS.items():
            error = torch.linalg.vector_norm(gradients[..., where].double() - expected[..., where])
            assert error <= 1e-3 * torch.linalg.vector_norm(expected[..., where]), (name, kind)


@pytest.mark.parametrize("check", [check_images, check_dtypes, check_gradients], ids=lambda check: check.__name__)
def test_enqueue_hands_the_kernel_what_tensorrt_gave(check, tmp_path: Path) -> None:
    host = built_host()
    check(host, host.library_on_cpu, tmp_path)


@pytest.mark.cuda
@pytest.mark.parametrize("check", [check_images, check_dtypes, check_gradients], ids=lambda check: check.__name__)
def test_enqueue_on_the_device_and_in_a_cuda_graph(check, tmp_path: Path) -> None:
    check(built_host(cuda=True), real_library(), tmp_path)


@pytest.mark.parametrize("gradient", [False, True])
def test_a_failed_launch_is_returned_with_the_devices_error(
    gradient: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GSDD_HOST_LAUNCH_FAILS", "719")
    host = built_host()
    inputs = oracle("odd-size").inputs
    grad_images = torch.zeros(2, 3, inputs.height, inputs.width) if gradient else None
    with pytest.raises(
        RuntimeError, match=f"gsdd::GaussianSplat{'Grad' if gradient else ''}: the device refused"
    ) as raised:
        enqueue(host, host.library_on_cpu, [Enqueue(inputs, grad_images=grad_images)], tmp_path)
    assert "the launch: error 719" in str(raised.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_device_the_built_library_returns_the_drivers_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="gsdd::GaussianSplat: the device refused the launch: ") as raised:
        enqueue(built_host(), real_library(), [Enqueue(oracle("odd-size").inputs)], tmp_path)
    assert "driver" in str(raised.value)
    assert "no error" not in str(raised.value)


def test_enqueue_says_why_it_refuses(tmp_path: Path) -> None:
    host = built_host()
    (tmp_path / "gaussians").write_bytes(bytes(4 * 5 * 9))
    line = f"GaussianSplat float32 float32 1 5 9 8 8 8 8 9 {tmp_path}/gaussians {tmp_path}/images\n"
    (tmp_path / "requests").write_text(line)
    done = host.run("tensorrt_host", host.library_on_cpu, "enqueue", str(tmp_path / "requests"))
    assert done.returncode == 1
    assert "gsdd::GaussianSplat: the attribute 'supersample' must be 1 to 8, not 9" in done.stderr
    assert not (tmp_path / "images").exists()
