"""Mutations of distilled images: representations, fitting, what they start from."""

from __future__ import annotations

from mutation import Mutation

CODED_GAUSSIAN = "gsdd_runtime/distillation/representations/coded_gaussian.py"
CODED_PIXEL = "gsdd_runtime/distillation/representations/coded_pixel.py"
FIT = "gsdd_runtime/distillation/fit.py"
GAUSSIAN = "gsdd_runtime/distillation/representations/gaussian.py"
IMAGES = "gsdd_runtime/distillation/images.py"
PIXEL = "gsdd_runtime/distillation/representations/pixel.py"
REAL = "gsdd_runtime/distillation/starts/real.py"
ROUNDING = "gsdd_runtime/distillation/representations/rounding.py"
EARLIER_SET = "gsdd_runtime/distillation/starts/earlier_set.py"
HERDING = "gsdd_runtime/distillation/starts/herding.py"
KMEANS = "gsdd_runtime/distillation/starts/kmeans.py"

MATCHING_STEP = ("test_distill_step.py::test_a_step_of_matching_is_its_formula",)
FITTING_STEP = ("test_distill_step.py::test_a_step_of_fitting_is_its_formula",)
RATES = ("test_distill_step.py::test_learning_rates_are_those_of_schedule_and_kind",)
LINEAR = ("test_distill_engine.py::test_a_linear_loss_moves_each_kind_by_its_rate",)
KEPT = ("test_distill_step.py::test_every_kind_of_parameter_moves_and_the_last_step_is_kept",)

MUTATIONS = [
    Mutation(
        "starts Gaussians anywhere whatever is asked for",
        "gsdd_runtime/distillation/representations/gaussian.py",
        "if targets is not None and options.placement == EDGES:",
        "if False:",
        ("test_placement.py::test_a_run_starts_at_the_edges_of_its_images_unless_it_is_told_otherwise",),
    ),
    Mutation(
        "places Gaussians by the columns of another image's rows",
        "gsdd_runtime/distillation/placement.py",
        "inverse_of_sums(density[image, row], drawn[..., :1])",
        "inverse_of_sums(density[0, row], drawn[..., :1])",
        ("test_placement.py::test_an_image_without_edges_leaves_them_as_they_were_drawn_and_each_is_placed_by_itself",),
    ),
    Mutation(
        "takes the color of another place",
        "gsdd_runtime/distillation/placement.py",
        "images.permute(0, 2, 3, 1)[image, row, column]",
        "images.permute(0, 2, 3, 1)[image, row, row]",
        ("test_placement.py::test_they_are_narrower_and_of_the_color_of_their_pixel",),
    ),
    Mutation(
        "does not normalise synthetic images",
        IMAGES,
        "self._preparation.apply(self._representation.render(part, (batch, k)))",
        "self._representation.render(part, (batch, k))",
        MATCHING_STEP,
        short=True,
    ),
    Mutation(
        "leaves the preparation out of the gradient",
        IMAGES,
        "self._preparation.apply(self._representation.draw(rows, batch)).backward(gradient)",
        "self._representation.draw(rows, batch).backward(gradient)",
        MATCHING_STEP,
    ),
    Mutation(
        "gives every part of the images the gradient of the first",
        IMAGES,
        "self._spread(part, share, (batch, k))",
        "self._spread(part, gradient[: len(part)], (batch, k))",
        ("test_distill_images.py::test_parts_of_the_images_get_their_own_gradients",),
    ),
    Mutation(
        "ignores the weight of the boundary term",
        GAUSSIAN,
        "data.width, boundary_weight=options.boundary_weight)",
        "data.width, boundary_weight=1.0)",
        MATCHING_STEP,
    ),
    Mutation(
        "fits at a constant rate",
        FIT,
        'return Phase(FIT, steps, learning_rate, "cosine", updates)',
        'return Phase(FIT, steps, learning_rate, "constant", updates)',
        RATES,
    ),
    Mutation(
        "never learns opacity",
        GAUSSIAN,
        'LEARNING_RATE_SHARES = {"position": 0.5, "cholesky": 3.0, "color": 0.5, "opacity": 0.5}',
        'LEARNING_RATE_SHARES = {"position": 0.5, "cholesky": 3.0, "color": 0.5, "opacity": 0.0}',
        KEPT,
        short=True,
    ),
    Mutation(
        "gives the optimiser no opacity",
        GAUSSIAN,
        "for name, part in self._masters.items()]",
        'for name, part in self._masters.items() if name != "opacity"]',
        LINEAR,
    ),
    Mutation(
        "takes one rate for every kind of parameter",
        GAUSSIAN,
        '"lr": lr * LEARNING_RATE_SHARES[name]',
        '"lr": lr',
        RATES,
    ),
    Mutation(
        "draws the masters instead of their rounding",
        GAUSSIAN,
        "return round_to_bfloat16(masters)",
        "return masters",
        MATCHING_STEP,
    ),
    Mutation(
        "trains pixels that are not rounded",
        PIXEL,
        "return round_to_bfloat16(pixels)",
        "return pixels",
        MATCHING_STEP,
    ),
    Mutation(
        "rounds the gradient as well",
        ROUNDING,
        "        return grad, None\n",
        "        return grad.bfloat16().float(), None\n",
        MATCHING_STEP,
    ),
    Mutation(
        "draws coded Gaussians as they are before coding",
        CODED_GAUSSIAN,
        "return round_to_steps(masters, self.height, self.width, self.steps)",
        "return masters",
        MATCHING_STEP,
    ),
    Mutation(
        "drops the boundary term where bits have a weight",
        CODED_GAUSSIAN,
        "return rate if boundary is None else rate + boundary",
        "return rate",
        MATCHING_STEP,
    ),
    Mutation(
        "ignores the weight of bits",
        CODED_GAUSSIAN,
        "rate_weight=options.rate_weight",
        "rate_weight=0.0",
        MATCHING_STEP,
    ),
    Mutation(
        "turns the gradient of enlarged pixels round",
        "gsdd_runtime/distillation/representations/scaling.py",
        "return rows.T @ grad @ columns, None",
        "return rows.T @ grad.flip(2) @ columns, None",
        MATCHING_STEP,
    ),
    Mutation(
        "fits every image to the next one's target",
        FIT,
        "difference = representation.render(indices, k) - targets[indices]",
        "difference = representation.render(indices, k) - targets[indices].roll(1, 0)",
        FITTING_STEP,
    ),
    Mutation(
        "fits by the mean over pixels",
        FIT,
        "loss = difference.square().sum() / images",
        "loss = difference.square().mean()",
        FITTING_STEP,
    ),
    Mutation(
        "starts from real images of the next class",
        REAL,
        'return source.real.drawn(index, source.gpc, "init")',
        'return source.real.drawn(index - 1, source.gpc, "init")',
        FITTING_STEP,
        short=True,
    ),
    Mutation(
        "starts every run from the same random Gaussians",
        GAUSSIAN,
        'derived_generator(seed, "init", "values")',
        'derived_generator(0, "init", "values")',
        ("test_distill_step.py::test_the_seed_fixes_where_a_run_starts",),
    ),
    Mutation(
        "herds towards twice the mean",
        HERDING,
        "(total - number * mean)",
        "(total - 2 * number * mean)",
        ("test_distill_starts.py::test_herding_takes_at_each_turn_the_row_that_brings_the_mean_nearest",),
    ),
    Mutation(
        "never moves the centres of k-means",
        KMEANS,
        "centres[index] = features[part].mean(dim=0)",
        "pass",
        ("test_distill_starts.py::test_kmeans_takes_a_row_of_each_of_some_plain_clusters",),
    ),
    Mutation(
        "starts from the images of a set class by class in reverse",
        EARLIER_SET,
        "members = self._members(index)[: source.gpc]\n",
        "members = self._members(source.data.classes - 1 - index)[: source.gpc]\n",
        ("test_distill_starts.py::test_fewer_images_are_filled_up_with_real_ones_and_all_are_fitted",),
    ),
    Mutation(
        "measures coded pixels of whole images where smaller ones are kept",
        CODED_PIXEL,
        "(room.data.height // options.downscale, room.data.width // options.downscale)",
        "(room.data.height, room.data.width)",
        ("test_distill_options.py::test_the_storage_holds_four_times_as_many_pixel_images_at_half_the_size",),
    ),
    Mutation(
        "plans coded pixels by images that were not trained",
        "gsdd_runtime/distillation/representations/pixel_rate.py",
        "scattered = some + scatter * learning_rate * noise",
        "scattered = some",
        ("test_distill_coding.py::test_pixels_are_planned_by_how_far_training_will_scatter_them",),
    ),
    Mutation(
        "never moves the levels of coded pixels apart",
        CODED_PIXEL,
        "self._look(self._budget)\n            self._fit()",
        "self._fit()",
        ("test_distill_coding.py::test_levels_lie_further_apart_where_the_pixels_would_take_more_than_the_budget",),
    ),
    Mutation(
        "starts from the crops that a teacher knows least",
        "gsdd_runtime/distillation/starts/crops.py",
        "found.append(-teacher.labels(",
        "found.append(teacher.labels(",
        ("test_distill_crops.py::test_each_image_is_four_crops_of_its_class_that_the_teacher_knows_best",),
    ),
]
