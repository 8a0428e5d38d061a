"""Mutations of the op's derivatives: gradients under torch.func, of mean and std, and refusals by name."""

from __future__ import annotations

from mutation import Mutation

DERIVATIVES = "gsdd_runtime/splatting/derivatives.py"
LEVELS = "gsdd_runtime/splatting/levels.py"

MUTATIONS = [
    Mutation(
        "keeps tile lists whatever has moved",
        "gsdd_runtime/splatting/tile_lists.py",
        "kept is not None and kept.hold(centers, half, size)",
        "kept is not None and kept.size == size",
        ("test_tile_lists.py::test_one_gaussian_that_leaves_its_box_makes_them_anew",),
    ),
    Mutation(
        "makes tile lists once more for the gradient",
        "gsdd_runtime/distillation/images.py",
        "self._representation.draw(rows, batch)",
        "self._representation.draw(rows)",
        ("test_tile_lists.py::test_a_step_of_training_makes_its_lists_once_for_the_images_and_for_their_gradient",),
    ),
    Mutation(
        "chooses the renderer without the table",
        "gsdd_runtime/splatting/tiles.py",
        "table.tiles_gain(batch, count, tiles) <= 0",
        "tiles < 160",
        ("test_renderer_table.py::test_auto_follows_the_table_and_says_what_it_is_from",),
        short=True,
    ),
    Mutation(
        "multiplies the image's gradient by no std",
        DERIVATIVES,
        "scale = () if inverse_std is None else (inverse_std,)",
        "scale = ()",
        ("test_splat_derivatives.py::test_the_gradient_of_finished_images_goes_to_the_op_as_it_is",),
    ),
    Mutation(
        "lets a forked process wait for threads that it does not have",
        "gsdd_runtime/splatting/native.py",
        "os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))",
        "pass",
        ("test_endurance.py::test_a_forked_process_computes_with_one_thread",),
    ),
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
