"""The CUDA kernels on the device, through the torch op. The awkward table runs as the door ``cuda``."""

from __future__ import annotations

import pytest
import torch
from awkward import ordinary
from torch import Tensor

import gsdd_runtime as gsdd
from gsdd_runtime import reference
from gsdd_runtime.errors import LibraryNotBuiltError

try:
    gsdd.plugin_library("torch")
except LibraryNotBuiltError as error:
    pytest.skip(str(error), allow_module_level=True)


def on_cuda_key(op: str, *arguments: object) -> None:
    """Calls an op's CUDA kernel with the CPU tensors it is given."""
    keys = torch._C.DispatchKeySet(torch._C.DispatchKey.CUDA)
    getattr(torch.ops.gsdd, op).default.redispatch(keys, *arguments)


def test_a_library_without_cuda_says_so_and_one_with_it_wants_cuda_tensors() -> None:
    import gsdd_runtime.splatting.op

    assert gsdd_runtime.splatting.op
    gaussians = torch.rand(1, 2, 9)
    built = bool(torch.ops.gsdd.cuda_architectures())
    wanted = "must be on the CUDA device" if built else "has no CUDA kernel.*make build"
    with pytest.raises(RuntimeError, match=wanted):
        on_cuda_key("splat", gaussians, 8, 8, 8, 8)
    with pytest.raises(RuntimeError, match=wanted):
        on_cuda_key("splat_backward", torch.rand(1, 3, 8, 8), gaussians, 8, 8)


def close(images: Tensor, expected: Tensor, allowed_flips: int = 8) -> bool:
    return int(((images.cpu().double() - expected.cpu()).abs() > 1e-3).sum()) <= allowed_flips


@pytest.mark.cuda
def test_every_run_gives_the_same_bits() -> None:
    gaussians = ordinary(64, 170, 3, 128, 80).bfloat16().cuda()
    grad_images = torch.randn(64, 3, 128, 128, device="cuda")
    images = gsdd.splat(gaussians, 128, 128)
    grads = torch.ops.gsdd.splat_backward(grad_images, gaussians, 128, 128)
    for _ in range(5):
        assert torch.equal(gsdd.splat(gaussians, 128, 128), images)
        assert torch.equal(torch.ops.gsdd.splat_backward(grad_images, gaussians, 128, 128), grads)


@pytest.mark.cuda
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("width", [32, 37])
def test_finished_images(dtype: torch.dtype, channels_last: bool, width: int) -> None:
    gaussians = ordinary(5, 22, 3, 32, 81).bfloat16()
    mean, std = torch.tensor([0.4, 0.5, 0.6]), torch.tensor([0.2, 0.25, 0.3])
    images = gsdd.splat(gaussians.cuda(), 32, width, dtype=dtype, channels_last=channels_last, mean=mean, std=std)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    assert images.dtype == dtype
    assert images.is_contiguous(memory_format=layout)
    expected = reference.splat(gaussians.double(), 32, width, mean=mean, std=std)
    tolerance = {torch.float32: 1e-3, torch.float16: 5e-3, torch.bfloat16: 4e-2}[dtype]
    assert ((images.cpu().double() - expected).abs() > tolerance).sum() <= 12


@pytest.mark.cuda
def test_work_is_queued_on_the_current_stream() -> None:
    gaussians = ordinary(16, 54, 3, 128, 82).cuda()
    expected = gsdd.splat(gaussians, 128, 128)
    torch.cuda.synchronize()
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        # A read on another stream would see the numbers before they are written.
        torch.cuda._sleep(50_000_000)
        late = gaussians * 1.0
        images = gsdd.splat(late, 128, 128)
        assert not side.query()
    side.synchronize()
    assert torch.equal(images, expected)


@pytest.mark.cuda
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
def test_work_runs_where_the_tensor_is() -> None:
    gaussians = ordinary(4, 20, 3, 32, 83)
    images = gsdd.splat(gaussians.to("cuda:1"), 32, 32)
    assert images.device == torch.device("cuda:1")
    assert torch.cuda.current_device() == 0
    assert torch.equal(images.cpu(), gsdd.splat(gaussians.to("cuda:0"), 32, 32).cpu())


@pytest.mark.cuda
def test_a_cuda_graph_captures_forward_and_backward() -> None:
    gaussians = ordinary(8, 54, 3, 64, 84).cuda().requires_grad_()
    grad_images = torch.randn(8, 3, 64, 64, device="cuda")

    def step() -> tuple[Tensor, Tensor]:
        images = gsdd.splat(gaussians, 64, 64)
        return images, torch.autograd.grad(images, gaussians, grad_images)[0]

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        images, grads = step()
    with torch.no_grad():
        gaussians.copy_(ordinary(8, 54, 3, 64, 85))
    graph.replay()
    expected_images, expected_grads = step()
    assert torch.equal(images, expected_images)
    assert torch.equal(grads, expected_grads)


@pytest.mark.cuda
def test_compiled_training_step() -> None:
    @torch.compile(fullgraph=True)
    def loss(gaussians: Tensor) -> Tensor:
        return (gsdd.splat(gaussians, 32, 32, native_size=(32, 32)) ** 2).mean()

    gaussians = ordinary(4, 22, 3, 32, 86)
    on_device = gaussians.cuda().requires_grad_()
    loss(on_device).backward()
    expected = gaussians.double().requires_grad_()
    (reference.splat(expected, 32, 32) ** 2).mean().backward()
    assert on_device.grad is not None
    assert expected.grad is not None
    error = torch.linalg.vector_norm(on_device.grad.cpu() - expected.grad)
    assert error <= 1e-2 * torch.linalg.vector_norm(expected.grad)  # with what flipped samples do


@pytest.mark.cuda
def test_opcheck() -> None:
    gaussians = ordinary(2, 5, 3, 16, 87).cuda().requires_grad_()
    torch.library.opcheck(torch.ops.gsdd.splat.default, (gaussians, 16, 16, 16, 16))


@pytest.mark.cuda
def test_a_large_batch_of_small_images_and_a_large_image() -> None:
    many = ordinary(100_000, 22, 3, 32, 88).cuda()
    assert close(gsdd.splat(many, 32, 32)[-2:], reference.splat(many[-2:].double().cpu(), 32, 32))
    one = ordinary(1, 3, 1, 4096, 89).cuda().requires_grad_()
    images = gsdd.splat(one, 4096, 4096)
    assert close(images.detach()[:, :, :8], reference.splat(one.detach().double().cpu(), 4096, 4096)[:, :, :8])
    images.sum().backward()
    assert one.grad is not None
    assert one.grad.isfinite().all()


@pytest.mark.cuda
def test_wrong_arguments_are_refused() -> None:
    gaussians = ordinary(2, 5, 3, 16, 90).cuda()
    with pytest.raises(RuntimeError, match="same device"):
        torch.ops.gsdd.splat_backward(torch.rand(2, 3, 16, 16), gaussians, 16, 16)
    offsets, ids = torch.zeros(7, dtype=torch.int32).cuda(), torch.zeros(1, dtype=torch.int32).cuda()
    with pytest.raises(RuntimeError, match="must have 2 numbers"):
        torch.ops.gsdd.splat_tiles(gaussians, offsets, ids, 16, 16, 16, 16)
