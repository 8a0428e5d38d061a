"""``gsdd.splat`` as a citizen of PyTorch: opcheck, compile, export, TorchScript, threads, dtypes, errors."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from awkward import ordinary
from torch import Tensor, nn

import gsdd_runtime as gsdd
import gsdd_runtime.splatting.op  # registers torch.ops.gsdd
from gsdd_runtime import InputError, reference

CHANNEL_NUMBERS = torch.tensor([0.2, 0.4, 0.6])

OPCHECK_SAMPLES: dict[str, tuple[Tensor, dict[str, Any]]] = {
    "plain": (ordinary(2, 5, 3, 9, 1), {}),
    "gray": (ordinary(2, 5, 1, 9, 2), {"supersample": 3}),
    "bfloat16": (ordinary(2, 5, 3, 9, 3).bfloat16(), {}),
    "float16": (ordinary(2, 5, 3, 9, 4).half(), {}),
    "strided": (ordinary(4, 10, 3, 9, 5)[::2, ::2], {}),
    "empty": (ordinary(2, 0, 3, 9, 6), {}),
    "normalised": (ordinary(2, 5, 3, 9, 7), {"mean": CHANNEL_NUMBERS, "inverse_std": 1 / CHANNEL_NUMBERS}),
    "half-output": (ordinary(2, 5, 3, 9, 8), {"dtype": torch.float16}),
    "bfloat16-channels-last": (ordinary(2, 5, 3, 9, 9), {"dtype": torch.bfloat16, "channels_last": True}),
}


@pytest.mark.parametrize("name", OPCHECK_SAMPLES)
@pytest.mark.parametrize("gradient", [False, True], ids=["inference", "gradient"])
def test_opcheck(name: str, gradient: bool) -> None:
    gaussians, options = OPCHECK_SAMPLES[name]
    gaussians = gaussians.clone().requires_grad_(gradient)
    torch.library.opcheck(torch.ops.gsdd.splat.default, (gaussians, 7, 11, 9, 9), options)


@pytest.mark.parametrize("name", ["plain", "gray", "bfloat16", "strided", "empty"])
def test_opcheck_backward(name: str) -> None:
    gaussians, _ = OPCHECK_SAMPLES[name]
    grad_images = torch.ones(2, gaussians.shape[2] - 6, 7, 11)
    torch.library.opcheck(torch.ops.gsdd.splat_backward.default, (grad_images, gaussians, 9, 9), {})


def weighted_sum(gaussians: Tensor, weights: Tensor) -> Tensor:
    return (gsdd.splat(gaussians, 10, 12, native_size=(8, 8)) * weights).sum(dim=(1, 2, 3))


def test_compiles_whole_forward_and_backward_with_any_batch() -> None:
    torch._dynamo.reset()
    compiled = torch.compile(weighted_sum, fullgraph=True, dynamic=True)
    weights = torch.randn(3, 10, 12, generator=torch.Generator().manual_seed(0))
    for batch in (2, 3, 5):
        results = []
        for function in (compiled, weighted_sum):
            gaussians = ordinary(batch, 6, 3, 8, 20).requires_grad_()
            sums = function(gaussians, weights)
            sums.sum().backward()
            results.append((sums.detach(), gaussians.grad))
        # Inductor may sum in another order; worst measured: 2e-6.
        torch.testing.assert_close(results[0], results[1], rtol=1e-4, atol=1e-4)


class Decoder(nn.Module):
    """Parameters in bfloat16, decoded by index: what an exported program holds."""

    gaussians: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("gaussians", ordinary(9, 6, 3, 8, 21).bfloat16())

    def forward(self, indices: Tensor) -> Tensor:
        return gsdd.splat(self.gaussians[indices], 10, 12, native_size=(8, 8))


def test_exports_with_a_dynamic_batch() -> None:
    decoder = Decoder()
    example = torch.tensor([0, 1, 2])
    program = torch.export.export(decoder, (example,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    buffer.seek(0)
    loaded = torch.export.load(buffer).module()
    for batch in (1, 2, 7, 30):
        indices = torch.arange(batch) % 9
        assert torch.equal(loaded(indices), decoder(indices))


def torchscript(gaussians: Tensor) -> Tensor:
    return torch.ops.gsdd.splat(gaussians, 10, 12, 8, 8, 2, None, None, None, False)


@pytest.mark.parametrize("how", ["script", "trace"])
def test_torchscript_works_though_deprecated(how: str) -> None:
    gaussians = ordinary(2, 6, 3, 8, 22)
    made = torch.jit.script(torchscript) if how == "script" else torch.jit.trace(torchscript, (gaussians,))
    buffer = io.BytesIO()
    torch.jit.save(made, buffer)
    buffer.seek(0)
    loaded = torch.jit.load(buffer)
    results = []
    for function in (loaded, torchscript):
        parameters = ordinary(4, 6, 3, 8, 23).requires_grad_()
        images = function(parameters)
        images.square().sum().backward()
        results.append((images.detach(), parameters.grad))
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=0)


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


# Many small images are shared out whole, a few large ones in pieces.
@pytest.mark.parametrize(("batch", "count", "size"), [(37, 9, (11, 13)), (1, 200, (90, 70)), (3, 54, (64, 128))])
@pytest.mark.usefixtures("threads")
def test_the_same_bits_on_any_number_of_threads(batch: int, count: int, size: tuple[int, int]) -> None:
    gaussians = ordinary(batch, count, 3, size[1], 24)
    grad_images = torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(3))
    results = []
    for number in (1, 2, 3, 4, 2):
        torch.set_num_threads(number)
        images = gsdd.splat(gaussians, *size)
        results.append((images, torch.ops.gsdd.splat_backward(grad_images, gaussians, *size)))
    for images, gradients in results[1:]:
        assert torch.equal(images, results[0][0])
        assert torch.equal(gradients, results[0][1])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_storage_dtypes_are_read_as_the_numbers_they_hold(dtype: torch.dtype) -> None:
    stored = ordinary(3, 20, 3, 16, 25).to(dtype)
    assert torch.equal(gsdd.splat(stored, 16, 16), gsdd.splat(stored.float(), 16, 16))
    gradients = []
    for gaussians in (stored.clone().requires_grad_(), stored.float().requires_grad_()):
        gsdd.splat(gaussians, 16, 16).square().sum().backward()
        assert gaussians.grad is not None
        assert gaussians.grad.dtype == gaussians.dtype
        gradients.append(gaussians.grad)
    assert torch.equal(gradients[0], gradients[1].to(dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("channels_last", [False, True], ids=["planar", "channels-last"])
@pytest.mark.parametrize("normalised", [False, True], ids=["as-is", "normalised"])
@pytest.mark.parametrize("channels", [1, 3])
def test_output_options(dtype: torch.dtype, channels_last: bool, normalised: bool, channels: int) -> None:
    numbers = CHANNEL_NUMBERS[:channels]
    options: dict[str, Any] = {"mean": numbers, "std": numbers * 0.7} if normalised else {}
    gaussians = ordinary(2, 20, channels, 16, 26)
    images = gsdd.splat(gaussians, 16, 19, dtype=dtype, channels_last=channels_last, **options)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    assert images.dtype == dtype
    assert images.is_contiguous(memory_format=layout)
    # One rounding of the float32 result; torch may multiply and add in another order before it.
    expected = gsdd.splat(gaussians, 16, 19)
    if normalised:
        expected = (expected - options["mean"].view(1, -1, 1, 1)) / options["std"].view(1, -1, 1, 1)
    tolerance = {torch.float32: 1e-6, torch.float16: 1e-3, torch.bfloat16: 8e-3}[dtype]
    torch.testing.assert_close(images.float(), expected, rtol=tolerance, atol=max(tolerance * 1e-2, 2e-6))


def test_the_gradient_passes_normalisation_and_the_output_dtype() -> None:
    gaussians = ordinary(2, 8, 3, 16, 27)
    weights = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(4)).half().float()
    gradients = []
    for render, dtype in ((gsdd.splat, torch.float32), (reference.splat, torch.float64)):
        parameters = gaussians.detach().to(dtype, copy=True).requires_grad_()
        images = render(parameters, 16, 16, mean=CHANNEL_NUMBERS, std=CHANNEL_NUMBERS)
        (images * weights).sum().backward()
        assert parameters.grad is not None
        gradients.append(parameters.grad.double())
    # Worst measured: 3e-7 of the gradient's norm.
    assert (gradients[0] - gradients[1]).norm() <= 1e-3 * gradients[1].norm()


def test_meta_and_fake_tensors_have_the_shape_and_no_numbers() -> None:
    images = gsdd.splat(torch.empty(4, 5, 7, device="meta"), 6, 8, dtype=torch.bfloat16)
    assert (images.device.type, images.shape, images.dtype) == ("meta", (4, 1, 6, 8), torch.bfloat16)
    grad = torch.ops.gsdd.splat_backward(images.float(), torch.empty(4, 5, 7, device="meta"), 6, 8)
    assert (grad.device.type, grad.shape, grad.dtype) == ("meta", (4, 5, 7), torch.float32)
    with torch._subclasses.FakeTensorMode():
        fake = gsdd.splat(torch.empty(4, 5, 9), 6, 8, channels_last=True)
    assert fake.shape == (4, 3, 6, 8)
    assert fake.is_contiguous(memory_format=torch.channels_last)


def test_a_second_derivative_is_refused() -> None:
    gaussians = ordinary(1, 3, 3, 8, 28).requires_grad_()
    images = gsdd.splat(gaussians, 8, 8)
    (gradient,) = torch.autograd.grad(images.square().sum(), gaussians, create_graph=True)
    with pytest.raises(NotImplementedError, match="differentiable once"):
        gradient.sum().backward()


def test_the_chosen_instruction_set_has_a_name() -> None:
    assert torch.ops.gsdd.cpu_kernel() in ("avx512", "avx2", "baseline")


@pytest.mark.parametrize(
    ("gaussians", "options", "message"),
    [
        (torch.zeros(4, 9), {}, r"must be \[batch, count, 6 \+ channels\]"),
        (torch.zeros(1, 4, 6), {}, "1 to 4 channels"),
        (torch.zeros(1, 4, 11), {}, "1 to 4 channels"),
        (torch.zeros(1, 4, 9, dtype=torch.float64), {}, "float32, float16 or bfloat16"),
        (torch.zeros(1, 4, 9, dtype=torch.int32), {}, "float32, float16 or bfloat16"),
        (torch.zeros(1, 4, 9), {"height": 0}, "height must be 1 to 16384"),
        (torch.zeros(1, 4, 9), {"width": 16385}, "width must be 1 to 16384"),
        (torch.zeros(1, 4, 9), {"supersample": 9}, "supersample must be 1 to 8"),
        (torch.zeros(1, 4, 9), {"native_size": (0, 8)}, "native_size must be at least 1"),
    ],
)
def test_wrong_input_is_refused_in_words(gaussians: Tensor, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        gsdd.splat(gaussians, **{"height": 8, "width": 8, **options})


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((torch.zeros(4, 9), 8, 8, 8, 8), {}, "gaussians must be"),
        ((torch.zeros(1, 4, 20), 8, 8, 8, 8), {}, "1 to 4 channels"),
        ((torch.zeros(1, 4, 9).double(), 8, 8, 8, 8), {}, "float32, float16 or bfloat16"),
        ((torch.zeros(1, 4, 9), -1, 8, 8, 8), {}, "height must be 1 to 16384"),
        ((torch.zeros(1, 4, 9), 8, 1 << 40, 8, 8), {}, "width must be 1 to 16384"),
        ((torch.zeros(1, 4, 9), 8, 8, 0, 8), {}, "native_height must be 1"),
        ((torch.zeros(1, 4, 9), 8, 8, 8, 8, 0), {}, "supersample must be 1 to 8"),
        ((torch.zeros(1, 4, 9), 8, 8, 8, 8), {"dtype": torch.float64}, "dtype must be"),
        ((torch.zeros(1, 4, 9), 8, 8, 8, 8), {"mean": torch.zeros(2)}, "mean must be float32"),
        ((torch.zeros(1, 4, 9), 8, 8, 8, 8), {"inverse_std": torch.ones(3).double()}, "inverse_std must be"),
    ],
)
def test_the_bare_op_checks_for_itself(arguments: tuple, options: dict[str, Any], message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        torch.ops.gsdd.splat(*arguments, **options)


@pytest.mark.parametrize(
    ("grad_shape", "message"), [((1, 3, 8), "grad_images must be"), ((2, 3, 8, 8), "differ in batch")]
)
def test_the_bare_backward_op_checks_for_itself(grad_shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        torch.ops.gsdd.splat_backward(torch.zeros(grad_shape), torch.zeros(1, 4, 9), 8, 8)
