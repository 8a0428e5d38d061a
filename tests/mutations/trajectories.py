"""Mutations of trajectory matching: its gradient, its draws, what it learns, what it refuses."""

from __future__ import annotations

from mutation import Mutation

DISTANCE = "gsdd_runtime/distillation/objectives/trajectory_distance.py"
LABELS = "gsdd_runtime/distillation/objectives/learned_labels.py"
OPTION = "gsdd_runtime/distillation/objectives/experts_option.py"
TM = "gsdd_runtime/distillation/objectives/tm.py"

PLAIN = ("test_trajectory_distance.py::test_gradients_are_those_of_the_plain_graph",)
STEP = ("test_distill_tm.py::test_a_step_is_its_formula",)
BOUND = ("test_distill_tm.py::test_steps_above_a_loss_move_nothing",)
OWN = ("test_distill_tm.py::test_a_run_goes_on_with_its_own_experts_alone",)

MUTATIONS = [
    Mutation(
        "takes the weights of each step for constants, as TESLA does",
        DISTANCE,
        "by_weights = by_weights + rate * shares[0]",
        "by_weights = by_weights + 0 * shares[0]",
        PLAIN,
        short=True,
    ),
    Mutation(
        "does not divide by the way that the expert went",
        DISTANCE,
        "return (weights[-1] - unrolling.target).square().sum() / ctx.moved",
        "return (weights[-1] - unrolling.target).square().sum()",
        PLAIN,
    ),
    Mutation(
        "keeps the graph of every step",
        DISTANCE,
        "            along, shares = _shares(",
        "            ctx.kept = [*getattr(ctx, 'kept', []), _gradient(unrolling, step, weights[step], images[batch], "
        "labels[batch])]\n            along, shares = _shares(",
        ("test_trajectory_distance.py::test_the_graph_of_one_step_is_kept_however_many_there_are",),
    ),
    Mutation(
        "makes a kept graph again",
        DISTANCE,
        "if step in ctx.graphs:",
        "if step in ():",
        ("test_trajectory_distance.py::test_kept_graphs_give_the_same_bits_and_make_no_step_twice",),
    ),
    Mutation(
        "goes one epoch too few",
        TM,
        "later = epoch + self.options.expert_epochs",
        "later = epoch + self.options.expert_epochs - 1",
        STEP,
        short=True,
    ),
    Mutation(
        "leaves out the steps below the bound of the loss",
        TM,
        "left_out = float(distance.detach()) > most",
        "left_out = float(distance.detach()) <= most",
        BOUND,
    ),
    Mutation(
        "moves what is learned by a step that is left out",
        "gsdd_runtime/distillation/engine.py",
        "        if moves:\n            for",
        "        if True:\n            for",
        BOUND,
    ),
    Mutation(
        "takes the gradient of a step that is left out",
        "gsdd_runtime/distillation/matching.py",
        "if loss.moves:",
        "if True:",
        BOUND,
    ),
    Mutation(
        "draws the same change in every unrolled step",
        TM,
        '("match", step, "augment", *key, inner, count=len(images))',
        '("match", step, "augment", *key, 0, count=len(images))',
        STEP,
    ),
    Mutation(
        "draws one amount for all images of an unrolled step",
        TM,
        '("match", step, "augment", *key, inner, count=len(images))',
        '("match", step, "augment", *key, inner)',
        STEP,
        short=True,
    ),
    Mutation(
        "takes the short remainder last",
        TM,
        "chunks += reversed(torch.randperm",
        "chunks += (torch.randperm",
        ("test_distill_tm.py::test_chunks_use_up_a_permutation_the_short_remainder_first",),
    ),
    Mutation(
        "never raises the range of epochs",
        TM,
        "before = min(options.first_max_start_epoch + rise, options.max_start_epoch)",
        "before = options.first_max_start_epoch",
        ("test_distill_tm.py::test_the_range_of_epochs_rises",),
    ),
    Mutation(
        "lets the learned rate fall below 0",
        TM,
        "Learned(self._rate, rate, least=LEAST_RATE)",
        "Learned(self._rate, rate)",
        ("test_distill_tm.py::test_the_rate_is_kept_above_its_bound_and_that_is_said",),
        short=True,
    ),
    Mutation(
        "does not tell of the learned rate",
        TM,
        'return {"learning_rate": float(self._rate.detach())}',
        "return {}",
        ("test_distill_tm.py::test_the_rate_is_learned_by_its_own_sgd_and_told",),
    ),
    Mutation(
        "begins labels with experts that are wrong",
        LABELS,
        "is_right = (said.argmax(dim=1) == labels).unsqueeze(1)",
        "is_right = (said.argmax(dim=1) != labels).unsqueeze(1)",
        ("test_distill_tm.py::test_learned_labels_begin_with_the_experts_that_are_right",),
    ),
    Mutation(
        "matches with hard labels whatever was learned",
        TM,
        "labels = self._targets()[used.to(device)]",
        "labels = self.problem.labels[used.to(device)]",
        STEP,
    ),
    Mutation(
        "goes on with whatever experts there are",
        OPTION,
        "return replace(options, experts_fingerprint=experts.fingerprint)",
        "return options",
        OWN,
    ),
    Mutation(
        "matches experts of any data",
        OPTION,
        "    experts.check_fits(setting.network, setting.data)\n",
        "",
        ("test_distill_tm.py::test_what_cannot_be_matched_is_refused_first",),
    ),
    Mutation(
        "divides by nothing where an expert stood still",
        TM,
        "if not float((start - target).square().sum()) > 0:",
        "if False:",
        ("test_distill_tm.py::test_an_expert_that_stands_still_is_named",),
    ),
    Mutation(
        "takes experts of images that were prepared otherwise",
        "gsdd_runtime/experts/subject.py",
        "if (self.mean, self.std, self.zca) != (other.mean, other.std, other.zca):",
        "if False:",
        ("test_distill_tm.py::test_whitened_images_are_matched_with_whitened_experts",),
    ),
]
