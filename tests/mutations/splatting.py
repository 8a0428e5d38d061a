"""Mutations of the op's derivatives: gradients under torch.func, of mean and std, and refusals by name."""

from __future__ import annotations

from mutation import Mutation

DERIVATIVES = "gsdd_runtime/splatting/derivatives.py"
LEVELS = "gsdd_runtime/splatting/levels.py"

MUTATIONS = [
    Mutation(
        "drops a tangent without a word",
        DERIVATIVES,
        "    if has_tangent(gaussians):",
        "    if False:",
        ("test_splat_derivatives.py::test_forward_mode_is_refused_by_name",),
        short=True,
    ),
    Mutation(
        "forgets the levels below the one that records",
        LEVELS,
        "    with torch.enable_grad(), forward_ad._set_fwd_grad_enabled(True):\n        return call",
        "    return call",
        ("test_splat_derivatives.py::test_second_derivatives_are_refused_by_name",),
    ),
    Mutation(
        "has no gradient for mean and std",
        DERIVATIVES,
        "    if is_derived_from(mean) or is_derived_from(inverse_std):",
        "    if False:",
        ("test_splat_derivatives.py::test_mean_and_std_have_a_gradient",),
    ),
    Mutation(
        "takes the first dimension for that of a vmap",
        DERIVATIVES,
        "tensor.expand(size, *tensor.shape) if dim is None else tensor.movedim(dim, 0)",
        "tensor.expand(size, *tensor.shape) if dim is None else tensor",
        ("test_splat_derivatives.py::test_vmap_of_the_gradient_takes_any_dimension",),
    ),
    Mutation(
        "goes through the autograd kernel where nothing is derived",
        "gsdd_runtime/splatting/op.py",
        "torch.compiler.is_compiling() or not needs_no_levels(gaussians, mean, inverse_std)",
        "True",
        ("test_splat_derivatives.py::test_a_plain_call_passes_by_the_autograd_kernel",),
    ),
]
