"""The CUDA kernels of steps of networks: their source on the CPU, and the layers that take them on a device."""

from __future__ import annotations

from collections.abc import Iterator

import cuda_host
import pytest
import torch
from torch import Tensor, nn

from gsdd_runtime import networks, progress
from gsdd_runtime.networks import device_steps, embedding
from gsdd_runtime.networks.device_steps import difference, have_device_steps
from gsdd_runtime.splatting.native import load_torch_library

needs_compiler = pytest.mark.skipif(cuda_host.missing() is not None, reason=str(cuda_host.missing()))
CPU = torch.device("cpu")

# Planes of fewer numbers than lanes, of odd halves, of more planes than a block has, and as ConvNets have them.
SIZES = [(1, 1, 2, 2), (2, 3, 6, 10), (3, 5, 14, 2), (2, 9, 32, 32), (1, 2, 64, 48)]


def inputs(size: tuple[int, int, int, int]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(sum(size))
    x = torch.randn(size, generator=generator) * 3 + 1
    weight, bias = torch.randn(2, size[1], generator=generator)
    batch, channels, height, width = size
    return x, weight, bias, torch.randn(batch, channels, height // 2, width // 2, generator=generator)


def three_layers(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """In float64, by PyTorch's own."""
    normed = nn.functional.group_norm(x, x.shape[1], weight, bias, eps)
    return nn.functional.avg_pool2d(normed.relu(), 2)


@needs_compiler
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_norm_relu_and_pool_are_the_three_layers_and_their_gradient(size: tuple[int, int, int, int]) -> None:
    x, weight, bias, grad = inputs(size)
    pooled, mean, inverse = cuda_host.norm_relu_pool(x, weight, bias, 1e-5)
    exact = [part.double().requires_grad_() for part in (x, weight, bias)]
    expected = three_layers(*exact, 1e-5)
    expected.backward(grad.double())
    # Worst measured: 1.2e-6; where a number is next to the kink of the ReLU its gradient may be on the other side.
    assert (pooled - expected).abs().max() < 1e-5
    assert (mean - x.mean(dim=(2, 3))).abs().max() < 1e-5
    found = cuda_host.norm_relu_pool_gradient(grad, x, mean, inverse, weight, bias)
    summed = [found[0], found[1].sum(dim=0), found[2].sum(dim=0)]
    for one, of in zip(summed, exact, strict=True):
        assert of.grad is not None
        assert torch.linalg.vector_norm(one - of.grad) < 1e-4 * torch.linalg.vector_norm(of.grad) + 1e-5


@needs_compiler
def test_the_order_in_which_threads_run_does_not_show() -> None:
    x, weight, bias, grad = inputs((2, 9, 10, 6))
    made = [cuda_host.norm_relu_pool(x, weight, bias, 1e-5, order=order) for order in (0, 1, 7)]
    grads = [cuda_host.norm_relu_pool_gradient(grad, x, *made[0][1:], weight, bias, order=order) for order in (0, 1, 7)]
    for several in (made, grads):
        assert all(torch.equal(a, b) for other in several[1:] for a, b in zip(several[0], other, strict=True))


@pytest.fixture(scope="module")
def host_ops() -> Iterator[None]:
    """The operators of a CUDA device, for tensors of the CPU, by the kernels' source."""
    if problem := cuda_host.missing():
        pytest.skip(problem)
    load_torch_library()
    library = torch.library.Library("gsdd", "FRAGMENT")
    if not hasattr(torch.ops.gsdd, "norm_relu_pool_planes"):
        three = "(Tensor, Tensor, Tensor)"
        library.define(f"norm_relu_pool_planes(Tensor x, Tensor weight, Tensor bias, float eps) -> {three}")
        given = "Tensor grad_pooled, Tensor x, Tensor mean, Tensor inverse, Tensor weight, Tensor bias"
        library.define(f"norm_relu_pool_planes_backward({given}) -> {three}")
    library.impl("norm_relu_pool_planes", cuda_host.norm_relu_pool, "CPU")
    library.impl("norm_relu_pool_planes_backward", cuda_host.norm_relu_pool_gradient, "CPU")
    yield
    library._destroy()


def test_a_device_is_asked_once_and_not_while_a_graph_is_captured(
    host_ops: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[torch.device] = []
    monkeypatch.setattr(device_steps, "_known", {})
    monkeypatch.setattr(device_steps, "_agree", lambda device: not tries.append(device))
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 3)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    assert not have_device_steps(torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    assert have_device_steps(torch.device("cuda"))
    assert have_device_steps(torch.device("cuda", 3))
    assert tries == [torch.device("cuda", 3)]
    assert not have_device_steps(CPU)


def test_steps_that_agree_with_pytorch_s_layers_are_taken_and_others_are_not(
    host_ops: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    progress.say_once.cache_clear()
    # Worst measured: 3e-7.
    assert difference(CPU) < 1e-5
    for about in (torch.enable_grad(), torch.no_grad(), torch.inference_mode(), torch.autocast("cpu", torch.bfloat16)):
        with about:
            assert device_steps._agree(CPU)
    right = cuda_host.norm_relu_pool_gradient
    wrong = lambda *given: (right(*given)[0] * 1.01, *right(*given)[1:])  # noqa: E731
    monkeypatch.setattr("gsdd_runtime.networks.norm_relu_pool.torch.ops.gsdd.norm_relu_pool_planes_backward", wrong)
    assert not device_steps._agree(CPU)
    assert "off PyTorch's own here, which are taken instead" in capsys.readouterr().err

    def refused(*given: Tensor) -> None:
        raise RuntimeError("no kernel image\nis available")

    monkeypatch.setattr("gsdd_runtime.networks.norm_relu_pool.torch.ops.gsdd.norm_relu_pool_planes", refused)
    assert not device_steps._agree(CPU)
    assert "do not start here, and PyTorch's own are taken: no kernel image is available" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["convnet3-w8", "convnet2-w4-nopool", "convnet3-w8-batch", "convnet1-w4-maxpool"])
def test_a_network_is_embedded_on_a_device_as_by_its_own_layers(
    host_ops: None, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[tuple[int, ...]] = []
    real = embedding.norm_relu_pool.norm_relu_pool_planes
    monkeypatch.setattr(embedding, "have_device_steps", lambda device: True)
    monkeypatch.setattr(
        embedding.norm_relu_pool, "norm_relu_pool_planes", lambda x, norm: taken.append(x.shape) or real(x, norm)
    )
    network = networks.build(name, 3, 4, (12, 20), seed=1)
    images = torch.randn(5, 3, 12, 20, generator=torch.Generator().manual_seed(0))
    found = []
    for embed in (lambda x: embedding._embed_on_device(network, x), network.embed):
        leaf = images.clone().requires_grad_()
        features = embed(leaf)
        weights = list(network.features.parameters())
        grads = torch.autograd.grad(features.square().sum(), [leaf, *weights])
        found.append([features.detach(), *grads])
    for ours, theirs in zip(*found, strict=True):
        assert torch.linalg.vector_norm(ours - theirs) <= 1e-4 * torch.linalg.vector_norm(theirs) + 1e-4
    # Of 12 x 20 and 6 x 10; 3 x 5 is odd.
    assert taken == ([(5, 8, 12, 20), (5, 8, 6, 10)] if name == "convnet3-w8" else [])


def test_under_autocast_a_network_keeps_its_own_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "have_device_steps", lambda device: True)
    monkeypatch.delattr(embedding.norm_relu_pool, "norm_relu_pool_planes")
    network = networks.build("convnet1-w4", 3, 4, (8, 8), seed=1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        images = torch.randn(2, 3, 8, 8)
        assert torch.equal(embedding._embed_on_device(network, images), network.embed(images))


@pytest.mark.cuda
def test_a_device_has_steps_that_agree_with_pytorch_s_layers() -> None:
    device = torch.device("cuda", torch.cuda.current_device())
    assert difference(device) < 1e-4
    assert have_device_steps(device)
    network = networks.build("convnet3", 3, 10, (32, 32), seed=0).to(device)
    images = torch.randn(8, 3, 32, 32, device=device)
    ours, theirs = embedding._embed_on_device(network, images), network.embed(images)
    assert (ours - theirs).abs().max() < 1e-3 * theirs.abs().max()
