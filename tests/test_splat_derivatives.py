"""Derivatives of ``gsdd.splat``: torch.func, mean and std, what is refused by name, and what a plain call passes by."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from awkward import ordinary
from torch import Tensor, func
from torch._dynamo import compiled_autograd
from torch.autograd import forward_ad
from torch.autograd.functional import jacobian
from torch.utils._python_dispatch import TorchDispatchMode

import gsdd_runtime as gsdd
import gsdd_runtime.splatting.op  # registers torch.ops.gsdd
from gsdd_runtime import reference
from gsdd_runtime.splatting import derivatives, tiles

MEAN, STD = torch.tensor([0.2, 0.4, 0.6]), torch.tensor([0.5, 0.7, 0.9])
SIDE = 8
GAUSSIANS = ordinary(2, 5, 3, SIDE, 30)
MANY = ordinary(8, 5, 3, SIDE, 31).unflatten(0, (4, 2))


def draw(gaussians: Tensor) -> Tensor:
    return gsdd.splat(gaussians, SIDE, SIDE)


def bare(gaussians: Tensor) -> Tensor:
    return torch.ops.gsdd.splat(gaussians, SIDE, SIDE, SIDE, SIDE)


def loss(gaussians: Tensor) -> Tensor:
    return draw(gaussians).square().sum()


def sums(gaussians: Tensor) -> Tensor:
    return draw(gaussians).sum(dim=(2, 3))


def by_autograd(function: Callable[[Tensor], Tensor], tensor: Tensor) -> Tensor:
    leaf = tensor.detach().clone().requires_grad_()
    return torch.autograd.grad(function(leaf), leaf)[0]


def one_by_one(function: Callable[[Tensor], Tensor], many: Tensor = MANY) -> Tensor:
    return torch.stack([function(one) for one in many])


@pytest.fixture(autouse=True)
def _no_slow_fallback() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*performance drop.*")
        yield


@pytest.mark.parametrize("render", [draw, bare], ids=["function", "bare-op"])
def test_grad_and_vjp_give_the_bits_of_autograd(render: Callable[[Tensor], Tensor]) -> None:
    def squares(gaussians: Tensor) -> Tensor:
        return render(gaussians).square().sum()

    expected = by_autograd(loss, GAUSSIANS)
    assert torch.equal(func.grad(squares)(GAUSSIANS), expected)
    value, pull = func.vjp(squares, GAUSSIANS)
    assert torch.equal(pull(torch.ones(()))[0], expected)
    assert torch.equal(value, loss(GAUSSIANS))
    half = func.grad(squares)(GAUSSIANS.bfloat16())
    assert torch.equal(half, by_autograd(loss, GAUSSIANS.bfloat16()))


@pytest.mark.parametrize("render", [draw, bare], ids=["function", "bare-op"])
@pytest.mark.parametrize("dim", [0, 2, -1])
def test_vmap_draws_all_in_one_batch(render: Callable[[Tensor], Tensor], dim: int) -> None:
    images = func.vmap(render, in_dims=dim, out_dims=1)(MANY.movedim(0, dim))
    assert torch.equal(images.movedim(1, 0), one_by_one(draw))


def test_transforms_stack() -> None:
    expected = one_by_one(lambda one: by_autograd(loss, one))
    assert torch.equal(func.vmap(func.grad(loss))(MANY), expected)
    assert torch.equal(func.grad(lambda many: func.vmap(loss)(many).sum())(MANY), expected)
    twice = MANY.unflatten(0, (2, 2))
    assert torch.equal(func.vmap(func.vmap(func.grad(loss)))(twice).flatten(0, 1), expected)
    assert torch.equal(func.functionalize(func.grad(loss))(GAUSSIANS), by_autograd(loss, GAUSSIANS))
    whole = MANY.clone().requires_grad_()
    assert torch.equal(torch.autograd.grad(func.vmap(loss)(whole).sum(), whole)[0], expected)


def test_jacobians_are_rows_of_gradients() -> None:
    rows = torch.stack(
        [by_autograd(lambda g, i=i, c=c: sums(g)[i, c], GAUSSIANS) for i in range(2) for c in range(3)]
    ).unflatten(0, (2, 3))
    assert torch.equal(func.jacrev(sums)(GAUSSIANS), rows)
    assert torch.equal(jacobian(sums, GAUSSIANS, vectorize=True), rows)
    leaf = GAUSSIANS.clone().requires_grad_()
    (batched,) = torch.autograd.grad(sums(leaf).flatten(), leaf, torch.eye(6), is_grads_batched=True)
    assert torch.equal(batched, rows.flatten(0, 1))
    per_example = func.vmap(func.jacrev(sums))(MANY)
    assert torch.equal(per_example, one_by_one(func.jacrev(sums)))


@pytest.mark.parametrize("dims", [(0, 0), (3, 1), (2, None), (None, -1)], ids=str)
def test_vmap_of_the_gradient_takes_any_dimension(dims: tuple[int | None, int | None]) -> None:
    def gather(grad: Tensor, gaussians: Tensor) -> Tensor:
        return torch.ops.gsdd.splat_backward(grad, gaussians, SIDE, SIDE)

    grads = torch.randn(4, 2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(8))
    given = [many if dim is not None else many[0] for many, dim in zip((grads, MANY), dims, strict=True)]
    moved = [many if dim is None else many.movedim(0, dim) for many, dim in zip(given, dims, strict=True)]
    expected = [gather(*(m if d is None else m[i] for m, d in zip(given, dims, strict=True))) for i in range(4)]
    assert torch.equal(func.vmap(gather, in_dims=dims)(*moved), torch.stack(expected))


@pytest.mark.parametrize("dims", [(0, 0, 0), (None, None, 1), (0, None, None)], ids=str)
def test_vmap_of_the_gradient_takes_a_scale_that_differs(dims: tuple[int | None, ...]) -> None:
    def gather(grad: Tensor, gaussians: Tensor, scale: Tensor) -> Tensor:
        return torch.ops.gsdd.splat_backward(grad, gaussians, SIDE, SIDE, 2, scale)

    generator = torch.Generator().manual_seed(8)
    grads, scales = torch.randn(4, 2, 3, SIDE, SIDE, generator=generator), torch.rand(4, 3, generator=generator)
    given = [many if dim is not None else many[0] for many, dim in zip((grads, MANY, scales), dims, strict=True)]
    moved = [many if dim is None else many.movedim(0, dim) for many, dim in zip(given, dims, strict=True)]
    expected = [gather(*(m if d is None else m[i] for m, d in zip(given, dims, strict=True))) for i in range(4)]
    torch.testing.assert_close(func.vmap(gather, in_dims=dims)(*moved), torch.stack(expected))


class Watching(TorchDispatchMode):
    """Notes the ops, and of our gradient the first argument."""

    def __init__(self) -> None:
        super().__init__()
        self.ops: list[Any] = []
        self.given: list[Tensor] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.ops.append(function)
        if function is torch.ops.gsdd.splat_backward.default:
            self.given.append(args[0])
        return function(*args, **(kwargs or {}))


def test_the_gradient_of_finished_images_goes_to_the_op_as_it_is() -> None:
    """No pass over it turns its dtype, its layout or its scale: the kernel reads it once."""
    gaussians = GAUSSIANS.clone().requires_grad_()
    mean, std = torch.full((3,), 0.4), torch.tensor([0.2, 0.25, 0.5])
    images = gsdd.splat(gaussians, SIDE, SIDE, dtype=torch.bfloat16, channels_last=True, mean=mean, std=std)
    given = torch.randn(images.shape, generator=torch.Generator().manual_seed(9)).bfloat16()
    given = given.contiguous(memory_format=torch.channels_last)
    with Watching() as seen:
        (grad,) = torch.autograd.grad(images, gaussians, given)
    assert [str(op) for op in seen.ops if "detach" not in str(op)] == ["gsdd.splat_backward.default"]
    assert seen.given[0].data_ptr() == given.data_ptr()
    plain = (given.float() / std.view(1, -1, 1, 1)).contiguous()
    expected = torch.ops.gsdd.splat_backward(plain, GAUSSIANS, SIDE, SIDE)
    torch.testing.assert_close(grad, expected, rtol=1e-5, atol=1e-5)


def test_a_derivative_of_something_else_passes_through() -> None:
    def scaled(gaussians: Tensor) -> Tensor:
        """The derivative of ``s * draw`` with respect to s: ``draw`` itself, by forward mode."""
        return func.jvp(lambda s: s * draw(gaussians), (torch.ones(()),), (torch.ones(()),))[1]

    assert torch.equal(scaled(GAUSSIANS), draw(GAUSSIANS))
    assert torch.equal(func.grad(lambda g: scaled(g).square().sum())(GAUSSIANS), by_autograd(loss, GAUSSIANS))
    with torch.no_grad():
        assert not draw(GAUSSIANS.clone().requires_grad_()).requires_grad
        assert torch.equal(func.grad(loss)(GAUSSIANS), by_autograd_enabled(GAUSSIANS))


def by_autograd_enabled(gaussians: Tensor) -> Tensor:
    with torch.enable_grad():
        return by_autograd(loss, gaussians)


def test_a_tensor_that_outlives_its_transform_serves() -> None:
    left: list[Tensor] = []
    func.grad(lambda gaussians: (left.append(gaussians), loss(gaussians))[1])(GAUSSIANS)
    assert torch.equal(draw(left[0]), draw(GAUSSIANS))
    leaf = GAUSSIANS.clone().requires_grad_()
    func.grad(lambda gaussians: (left.append(gaussians * 1), loss(gaussians))[1])(leaf)
    (gradient,) = torch.autograd.grad(loss(left[1]), leaf)
    assert torch.equal(gradient, by_autograd(loss, GAUSSIANS))


@pytest.mark.parametrize("batched", ["gaussians", "mean", "std", "mean and std", "all"])
def test_vmap_over_mean_and_std(batched: str) -> None:
    generator = torch.Generator().manual_seed(5)
    tensors = {"gaussians": MANY, "mean": torch.rand(4, 3, generator=generator)}
    tensors["std"] = torch.rand(4, 3, generator=generator) + 0.5
    alone = {"gaussians": GAUSSIANS, "mean": MEAN, "std": STD}
    dims = {name: 0 if name in batched or batched == "all" else None for name in tensors}
    arguments = {name: tensors[name] if dim == 0 else alone[name] for name, dim in dims.items()}

    def normalised(gaussians: Tensor, mean: Tensor, std: Tensor) -> Tensor:
        return gsdd.splat(gaussians, SIDE, SIDE, mean=mean, std=std)

    images = func.vmap(normalised, in_dims=tuple(dims.values()))(*arguments.values())
    expected = torch.stack(
        [normalised(*(arguments[n][i] if d == 0 else arguments[n] for n, d in dims.items())) for i in range(4)]
    )
    # The kernel may multiply and add in another order.
    torch.testing.assert_close(images, expected, rtol=1e-6, atol=2e-6)


def test_vmap_of_the_bare_op_with_arguments_left_out() -> None:
    means = torch.rand(4, 3, generator=torch.Generator().manual_seed(6))
    images = func.vmap(lambda mean: torch.ops.gsdd.splat(GAUSSIANS, SIDE, SIDE, SIDE, SIDE, 2, mean))(means)
    torch.testing.assert_close(images, draw(GAUSSIANS) - means[:, None, :, None, None], rtol=1e-6, atol=2e-6)


def test_vmap_of_nothing_is_nothing() -> None:
    assert func.vmap(draw)(MANY[:, :0]).shape == (4, 0, 3, SIDE, SIDE)
    assert func.vmap(func.grad(loss))(MANY[:, :, :0]).shape == (4, 2, 0, 9)


@pytest.mark.parametrize("transform", ["grad", "vmap", "vmap-grad"])
def test_transforms_compile_whole(transform: str) -> None:
    torch._dynamo.reset()
    functions = {"grad": func.grad(loss), "vmap": func.vmap(draw), "vmap-grad": func.vmap(func.grad(loss))}
    tensor = GAUSSIANS if transform == "grad" else MANY
    compiled = torch.compile(functions[transform], fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(tensor), functions[transform](tensor), rtol=1e-5, atol=1e-5)


def test_compiled_autograd_takes_the_gradient() -> None:
    leaf = GAUSSIANS.clone().requires_grad_()
    with compiled_autograd._enable(lambda graph: graph):
        loss(leaf).backward()
    assert leaf.grad is not None
    assert torch.equal(leaf.grad, by_autograd(loss, GAUSSIANS))


def forward_mode_by_hand(function: Callable[[Tensor], Tensor], tensor: Tensor) -> Tensor:
    with forward_ad.dual_level():
        return forward_ad.unpack_dual(function(forward_ad.make_dual(tensor, torch.ones_like(tensor)))).tangent


def without_grad(gaussians: Tensor) -> Tensor:
    with torch.no_grad():
        return forward_mode_by_hand(draw, gaussians)


FORWARD_MODE: dict[str, Callable[[Tensor], Any]] = {
    "dual": lambda g: forward_mode_by_hand(draw, g),
    "dual-that-requires-grad": lambda g: forward_mode_by_hand(draw, g.clone().requires_grad_()),
    "dual-without-grad": without_grad,
    "dual-bare-op": lambda g: forward_mode_by_hand(bare, g),
    "dual-normalised": lambda g: forward_mode_by_hand(
        lambda g: gsdd.splat(g, SIDE, SIDE, mean=MEAN.clone().requires_grad_(), std=STD), g
    ),
    "dual-backward": lambda g: forward_mode_by_hand(
        lambda grad: torch.ops.gsdd.splat_backward(grad, g, SIDE, SIDE), torch.ones(2, 3, SIDE, SIDE)
    ),
    "jvp": lambda g: func.jvp(draw, (g,), (g,)),
    "jvp-of-the-value-of-vjp": lambda g: func.jvp(lambda g: func.vjp(draw, g)[0], (g,), (g,)),
    "jacfwd": func.jacfwd(sums),
    "hessian": func.hessian(loss),
    "jacfwd-of-jacfwd": func.jacfwd(func.jacfwd(sums)),
    "jacrev-of-jacfwd": func.jacrev(func.jacfwd(sums)),
    "vmap-of-jvp": lambda g: func.vmap(lambda g: func.jvp(draw, (g,), (g,)))(torch.stack([g, g])),
    "jvp-of-vmap": lambda g: func.jvp(func.vmap(draw), (MANY,), (MANY,)),
    "linearize": lambda g: func.linearize(draw, g),
}


@pytest.mark.parametrize("name", FORWARD_MODE)
def test_forward_mode_is_refused_by_name(name: str) -> None:
    with pytest.raises(NotImplementedError, match=r"forward-mode.*reverse mode.*gsdd_runtime\.reference\.splat"):
        FORWARD_MODE[name](GAUSSIANS)


@pytest.mark.parametrize(
    "second",
    [
        func.grad(lambda g: func.grad(loss)(g).sum()),
        func.jacrev(func.jacrev(loss)),
        lambda g: jacobian(grad_of(loss), g),
    ],
    ids=["grad-of-grad", "jacrev-of-jacrev", "autograd"],
)
def test_second_derivatives_are_refused_by_name(second: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises(NotImplementedError, match=r"differentiable once.*gsdd_runtime\.reference\.splat"):
        second(GAUSSIANS)


def grad_of(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    def gradient(tensor: Tensor) -> Tensor:
        return torch.autograd.grad(function(tensor), tensor, create_graph=True)[0]

    return gradient


def test_the_reference_has_what_is_refused_here() -> None:
    gaussians = ordinary(1, 2, 1, 4, 32).double()

    def small(gaussians: Tensor) -> Tensor:
        return reference.splat(gaussians, 4, 4, native_size=(4, 4)).square().sum()

    hessian = func.hessian(small)(gaussians)
    assert hessian.abs().max() > 0
    torch.testing.assert_close(hessian, jacobian(grad_of(small), gaussians), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(func.jacfwd(small)(gaussians), func.grad(small)(gaussians), rtol=1e-9, atol=1e-12)
    both = torch.stack([gaussians, gaussians])
    torch.testing.assert_close(func.vmap(func.grad(small))(both)[1], func.grad(small)(gaussians))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
@pytest.mark.parametrize("channels_last", [False, True], ids=["planar", "channels-last"])
@pytest.mark.parametrize("wanted", ["mean", "std", "gaussians mean std"])
def test_mean_and_std_have_a_gradient(wanted: str, channels_last: bool, dtype: torch.dtype) -> None:
    weights = torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(7)).half()
    results = []
    for render, wide in ((gsdd.splat, torch.float32), (reference.splat, torch.float64)):
        given = {"gaussians": GAUSSIANS, "mean": MEAN, "std": STD}
        given = {n: t.to(wide, copy=True).requires_grad_(n in wanted.split()) for n, t in given.items()}
        images = render(
            given["gaussians"], SIDE, SIDE, mean=given["mean"], std=given["std"], dtype=dtype,
            channels_last=channels_last,
        )  # fmt: skip
        assert images.dtype == dtype
        assert images.is_contiguous(memory_format=torch.channels_last) or not channels_last
        gradients = torch.autograd.grad((images * weights).float().sum(), [given[n] for n in wanted.split()])
        results.append([images.double(), *(gradient.double() for gradient in gradients)])
    # Half precision rounds images, and the gradient on its way in.
    tolerance = 1e-4 if dtype == torch.float32 else 2e-2
    for ours, theirs in zip(*results, strict=True):
        assert (ours - theirs).norm() <= tolerance * theirs.norm()


def test_mean_and_std_have_every_derivative() -> None:
    def by_mean(mean: Tensor, render: Callable[..., Tensor] = gsdd.splat) -> Tensor:
        gaussians = GAUSSIANS.to(mean.dtype)
        return render(gaussians, SIDE, SIDE, mean=mean, std=STD.to(mean.dtype)).square().sum()

    expected = func.grad(lambda mean: by_mean(mean, reference.splat))(MEAN.double()).float()
    for derivative in (func.grad, func.jacfwd, func.jacrev):
        torch.testing.assert_close(derivative(by_mean)(MEAN), expected, rtol=1e-4, atol=1e-3)
    curvature = func.hessian(lambda mean: by_mean(mean, reference.splat))(MEAN.double()).float()
    torch.testing.assert_close(func.hessian(by_mean)(MEAN), curvature, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("wrong", [{"mean": torch.zeros(1)}, {"std": torch.ones(2)}])
def test_a_mean_of_another_length_is_refused_with_a_gradient_too(wrong: dict[str, Tensor]) -> None:
    options = {"mean": MEAN, "std": STD, **wrong}
    with pytest.raises(RuntimeError, match=r"must be float32 \[3\]"):
        gsdd.splat(GAUSSIANS, SIDE, SIDE, **{name: tensor.clone().requires_grad_() for name, tensor in options.items()})


def test_a_gradient_of_mean_compiles_and_passes_opcheck() -> None:
    def normalised(gaussians: Tensor, mean: Tensor) -> Tensor:
        return gsdd.splat(gaussians, SIDE, SIDE, mean=mean, std=STD).square().sum()

    results = []
    torch._dynamo.reset()
    for function in (normalised, torch.compile(normalised, fullgraph=True, backend="aot_eager")):
        gaussians, mean = GAUSSIANS.clone().requires_grad_(), MEAN.clone().requires_grad_()
        results.append(torch.autograd.grad(function(gaussians, mean), (gaussians, mean)))
    torch.testing.assert_close(results[0], results[1], rtol=1e-5, atol=1e-4)
    options = {"mean": MEAN.clone().requires_grad_(), "inverse_std": STD.clone().requires_grad_()}
    torch.library.opcheck(torch.ops.gsdd.splat.default, (gaussians, SIDE, SIDE, SIDE, SIDE), options)


def test_a_plain_call_passes_by_the_autograd_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    def raises(*_: Any) -> Tensor:
        raise AssertionError("the autograd kernel ran")

    expected = draw(GAUSSIANS)
    leaf = GAUSSIANS.clone().requires_grad_()
    monkeypatch.setattr(derivatives, "render", raises)
    assert torch.equal(draw(GAUSSIANS), expected)
    with torch.no_grad():
        assert torch.equal(draw(leaf), expected)
    with torch.inference_mode():
        assert torch.equal(draw(GAUSSIANS), expected)
    with pytest.raises(AssertionError, match="kernel ran"):
        draw(leaf)


def test_the_tiled_way_has_the_same_derivatives(monkeypatch: pytest.MonkeyPatch) -> None:
    def draw_by_lists(gaussians: Tensor, *options: Any) -> Tensor:
        with torch.no_grad():
            return torch.ops.gsdd.splat(gaussians, *options)

    def tiled(gaussians: Tensor, mean: Tensor | None = None) -> Tensor:
        return tiles.splat_tiled(gaussians, SIDE, SIDE, SIDE, SIDE, 2, mean, None, None, False)

    # The lists and the kernel that reads them need a GPU; everything around them does not.
    monkeypatch.setattr(tiles._TiledSplat, "draw", staticmethod(draw_by_lists))
    assert torch.equal(by_autograd(lambda g: tiled(g).square().sum(), GAUSSIANS), by_autograd(loss, GAUSSIANS))
    mean = MEAN.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(tiled(GAUSSIANS, mean).sum(), mean)
    torch.testing.assert_close(gradient, torch.full((3,), -2.0 * SIDE * SIDE))
    with pytest.raises(NotImplementedError, match="forward-mode"):
        forward_mode_by_hand(tiled, GAUSSIANS)
    with pytest.raises(NotImplementedError, match="differentiable once"):
        jacobian(grad_of(lambda g: tiled(g).square().sum()), GAUSSIANS)


def test_tiles_stay_out_of_transforms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    monkeypatch.setenv(tiles.VARIABLE, "tiled")
    monkeypatch.setattr(tiles, "gsplat_problem", lambda: None)
    assert tiles.pays_here(GAUSSIANS, SIDE, SIDE)
    seen = []
    func.vmap(lambda g: (seen.append(tiles.pays_here(g, SIDE, SIDE)), draw(g))[1])(MANY)
    assert seen == [False]
