"""Mutations of distilling: matching, real images in batches, the engine and its rates."""

from __future__ import annotations

from mutation import Mutation

AUGMENTATION = "gsdd_runtime/training/augmentation.py"
BATCHES = "gsdd_runtime/distillation/batches.py"
DC = "gsdd_runtime/distillation/objectives/dc.py"
DM = "gsdd_runtime/distillation/objectives/dm.py"
ENGINE = "gsdd_runtime/distillation/engine.py"
MATCHING = "gsdd_runtime/distillation/matching.py"
MEAN_DISTANCE = "gsdd_runtime/distillation/objectives/mean_distance.py"
PROBLEM = "gsdd_runtime/distillation/problem.py"

MATCHING_STEP = ("test_distill_step.py::test_a_step_of_matching_is_its_formula",)
RATES = ("test_distill_step.py::test_learning_rates_are_those_of_schedule_and_kind",)
LINEAR = ("test_distill_engine.py::test_a_linear_loss_moves_each_kind_by_its_rate",)
SIZES = ("test_distill_step.py::test_a_part_of_the_real_images_is_as_large_as_asked",)
DC_STEP = ("test_distill_dc.py::test_a_step_of_gradient_matching_is_its_formula",)
DC_RESUMED = ("test_distill_objectives.py::test_killed_and_resumed_is_the_same_file[dc]",)
RESUMED = ("test_distill_resume.py::test_killed_and_resumed_is_the_same_file[match 11]",)

MUTATIONS = [
    Mutation(
        "plans the memory of one class where several are embedded at once",
        DM,
        "min(own, self._per_pass) * self.options.batch_syn",
        "self.options.batch_syn",
        ("test_distill_log.py::test_a_plan_counts_passes_and_the_images_of_one",),
    ),
    Mutation(
        "matches class c with the real images of class c + 1",
        BATCHES,
        'chosen = [self.drawn(index, count, "match", step, purpose) for index in classes]',
        'chosen = [self.drawn((index + 1) % len(self._members), count, "match", step, purpose) for index in classes]',
        MATCHING_STEP,
        short=True,
    ),
    Mutation(
        "teaches the classes of the next one, as a network sees it",
        BATCHES,
        'chosen = [self.drawn(index, count, "match", step, purpose) for index in classes]',
        'chosen = [self.drawn((index + 1) % len(self._members), count, "match", step, purpose) for index in classes]',
        ("test_whole_way.py::test_a_short_distillation_tells_plainly_distinct_classes_apart",),
    ),
    Mutation(
        "does not normalise real images",
        BATCHES,
        "return self._preparation.apply(self._bytes(positions).float().div_(255.0))",
        "return self._bytes(positions).float().div_(255.0)",
        MATCHING_STEP,
    ),
    Mutation(
        "uses half of batch_real",
        DM,
        "real = self.problem.real(step, classes, self.options.batch_real)",
        "real = self.problem.real(step, classes, self.options.batch_real // 2)",
        SIZES,
        short=True,
    ),
    Mutation(
        "takes one synthetic image a class",
        DM,
        "self.problem.synthetic_batches(step, classes, self.options.batch_syn)",
        "self.problem.synthetic_batches(step, classes, 1)",
        MATCHING_STEP,
    ),
    Mutation(
        "takes the synthetic images of one class for all",
        PROBLEM,
        "return index * self.gpc + members",
        "return members",
        MATCHING_STEP,
    ),
    Mutation(
        "leaves the last pass of classes out",
        PROBLEM,
        "for part in self.own_classes().split(count))",
        "for part in self.own_classes().split(count)[:-1])",
        MATCHING_STEP,
    ),
    Mutation(
        "does not begin a step: one network for the whole run",
        DM,
        'network = self.problem.network.draw("match", step, "network")',
        'network = self.problem.network.draw("match", 0, "network")',
        MATCHING_STEP,
        short=True,
    ),
    Mutation(
        "draws the same augmentation for every class",
        PROBLEM,
        'draw_dsa(self.generator("match", step, "augment", index)) for index',
        'draw_dsa(self.generator("match", step, "augment", 0)) for index',
        MATCHING_STEP,
    ),
    Mutation(
        "augments the synthetic images by other draws than the real ones",
        PROBLEM,
        'draw_dsa(self.generator("match", step, "augment", index)) for index',
        'draw_dsa(self.generator("match", step, "augment", index, *batches.sizes)) for index',
        MATCHING_STEP,
    ),
    Mutation(
        "does not augment the synthetic images",
        DM,
        "embedded(network, self.problem.augmented(step, synthetic))",
        "embedded(network, synthetic.images)",
        MATCHING_STEP,
        short=True,
    ),
    Mutation(
        "gives images that were augmented together back in the order of their kinds",
        AUGMENTATION,
        "back = torch.cat(places).argsort()",
        "back = torch.cat(places)",
        ("test_augmentation.py::test_batches_that_are_changed_together_are_changed_as_each_alone",),
    ),
    Mutation(
        "averages over classes instead of adding",
        MEAN_DISTANCE,
        "return (synthetic - real).square().sum()",
        "return (synthetic - real).square().sum(dim=1).mean()",
        MATCHING_STEP,
    ),
    Mutation(
        "matches sums of embeddings instead of means",
        BATCHES,
        "torch.stack([part.mean(dim=0) for part in values.split(self.sizes)])",
        "torch.stack([part.sum(dim=0) for part in values.split(self.sizes)])",
        MATCHING_STEP,
    ),
    Mutation(
        "never applies the boundary term",
        ENGINE,
        "        if penalty is not None:\n            penalty.backward()\n",
        "        if penalty is not None:\n",
        MATCHING_STEP,
        short=True,
    ),
    Mutation(
        "adds the boundary term twice",
        ENGINE,
        "            penalty.backward()\n",
        "            (2 * penalty).backward()\n",
        ("test_distill_engine.py::test_the_penalty_is_added_once_to_the_loss_and_to_the_gradient",),
    ),
    Mutation(
        "does not tell of the boundary term in the loss",
        ENGINE,
        "            loss = loss + penalty.detach()\n",
        "",
        MATCHING_STEP,
    ),
    Mutation(
        "never keeps the centres inside",
        ENGINE,
        "        state.representation.constrain()\n",
        "",
        ("test_distill_engine.py::test_centres_are_kept_inside_after_every_step",),
        short=True,
    ),
    Mutation(
        "ignores the cosine schedule",
        MATCHING,
        "MATCH, options.iterations, options.learning_rate, options.schedule, self.updates",
        'MATCH, options.iterations, options.learning_rate, "constant", self.updates',
        RATES,
        short=True,
    ),
    Mutation(
        "lets the cosine end at half the rate",
        ENGINE,
        "return 0.5 * (1 + math.cos(math.pi * step / self.steps))",
        "return 0.5 * (1 + math.cos(math.pi / 2 * step / self.steps))",
        LINEAR,
    ),
    Mutation(
        "sets the rates of the schedule once and never again",
        ENGINE,
        "        factor = phase.learning_rate_factor(step)\n",
        "        factor = phase.learning_rate_factor(first)\n",
        LINEAR,
    ),
    Mutation(
        "draws the same real images at every step",
        BATCHES,
        'self.drawn(index, count, "match", step, purpose)',
        'self.drawn(index, count, "match", 0, purpose)',
        ("test_distill_dm.py::test_real_batches_are_different_images_of_the_right_class",),
    ),
    Mutation(
        "matches by networks of another seed than the run's",
        PROBLEM,
        "seed=self.seed, device=self.device, trainable=trainable",
        "seed=0, device=self.device, trainable=trainable",
        MATCHING_STEP,
    ),
    Mutation(
        "resumes one step too late",
        ENGINE,
        "        first = start.step\n",
        "        first = start.step + 1\n",
        RESUMED,
    ),
    Mutation(
        "counts a checkpoint's step one short",
        ENGINE,
        "            writer.write(phase.name, step + 1, state.tensors())",
        "            writer.write(phase.name, step, state.tensors())",
        RESUMED,
    ),
    Mutation(
        "does not stop when a signal asks",
        ENGINE,
        "        if stopping:\n            # Where",
        "        if False:\n            # Where",
        ("test_distill_resume.py::test_interrupted_finishes_its_step_and_says_how_to_go_on",),
    ),
    Mutation(
        "tells of no step",
        ENGINE,
        "        progress(Progress(phase.name, step + 1, phase.steps, loss, parts))\n",
        "",
        ("test_distill.py::test_progress_counts_every_step_of_both_phases",),
    ),
    Mutation(
        "goes on with a loss that is not finite",
        ENGINE,
        "        if not math.isfinite(value):\n",
        "        if False:\n",
        (
            "test_distill.py::test_a_loss_that_is_not_finite_ends_the_run_and_keeps_the_checkpoint",
            "test_distill.py::test_a_gradient_that_is_not_finite_is_noticed_before_it_does_harm",
        ),
    ),
    Mutation(
        "draws a network at every step of gradient matching",
        DC,
        "if step % self.options.outer_loops == 0:",
        "if True:",
        DC_STEP,
    ),
    Mutation(
        "never trains gradient matching's network",
        DC,
        "            self._train(step)\n",
        "            pass\n",
        DC_STEP,
        short=True,
    ),
    Mutation(
        "forgets what gradient matching's network has learned when a run is resumed",
        DC,
        "                kept.copy_(state[name])\n",
        "                pass\n",
        DC_RESUMED,
        short=True,
    ),
    Mutation(
        "counts the gradients of the last real images alone",
        DC,
        "        total += part\n",
        "        total.copy_(part)\n",
        DC_STEP,
    ),
    Mutation(
        "takes the distance of each part of the synthetic images for that of all",
        DC,
        "slopes = torch.autograd.grad(distance, total)",
        "slopes = [torch.ones_like(one) for one in total]",
        DC_STEP,
    ),
    Mutation(
        "moves all classes at once where they are to move in turn",
        DM,
        'self.update = "loss" if options.update == "class" else "step"',
        'self.update = "step"',
        ("test_distill_step.py::test_by_class_there_is_an_update_for_each_class_with_the_penalty_in_each",),
        short=True,
    ),
    Mutation(
        "never moves what an objective learns",
        ENGINE,
        "optimizers = [state.optimizer, *state.learned_optimizers.values()]",
        "optimizers = [state.optimizer]",
        ("test_distill_state.py::test_what_is_learned_moves_by_its_own_optimiser_and_is_in_the_set",),
        short=True,
    ),
    Mutation(
        "lets what is learned leave its bounds",
        ENGINE,
        "one.value.clamp_(one.least, one.most)",
        "pass",
        ("test_distill_state.py::test_a_bound_is_kept_and_said_once",),
    ),
    Mutation(
        "fits to other real images than the start has chosen",
        "gsdd_runtime/distillation/targets.py",
        "self._real.pixels(self._positions[indices.cpu()])",
        "self._real.pixels(self._positions[indices.cpu() // 2])",
        ("test_distill_fit.py::test_a_run_fits_the_images_that_its_start_has_chosen",),
    ),
]
