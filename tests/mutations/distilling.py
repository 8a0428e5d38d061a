"""Mutations of distilling: matching, fitting, the engine, representations, options, checkpoints, resuming."""

from __future__ import annotations

from mutation import Mutation

AUGMENTATION = "gsdd_runtime/training/augmentation.py"
EMBEDDING = "gsdd_runtime/networks/embedding.py"
NORM_RELU_POOL = "gsdd_runtime/networks/norm_relu_pool.py"
WINOGRAD = "gsdd_runtime/networks/winograd.py"
FEATURES = ("test_embedding.py::test_features_and_gradients_are_those_of_the_network",)
BATCHES = "gsdd_runtime/distillation/batches.py"
CODED = "gsdd_runtime/distillation/representations/coded.py"
CHECKPOINT = "gsdd_runtime/distillation/checkpoint.py"
DC = "gsdd_runtime/distillation/objectives/dc.py"
DM = "gsdd_runtime/distillation/objectives/dm.py"
ENGINE = "gsdd_runtime/distillation/engine.py"
FIT = "gsdd_runtime/distillation/fit.py"
GAUSSIAN = "gsdd_runtime/distillation/representations/gaussian.py"
IMAGES = "gsdd_runtime/distillation/images.py"
MATCHING = "gsdd_runtime/distillation/matching.py"
MEAN_DISTANCE = "gsdd_runtime/distillation/objectives/mean_distance.py"
PIXEL = "gsdd_runtime/distillation/representations/pixel.py"
PROBLEM = "gsdd_runtime/distillation/problem.py"
REAL = "gsdd_runtime/distillation/starts/real.py"
RESUMING = "gsdd_runtime/distillation/resuming.py"
ROUNDING = "gsdd_runtime/distillation/representations/rounding.py"
RUN = "gsdd_runtime/distillation/run.py"
EARLIER_SET = "gsdd_runtime/distillation/starts/earlier_set.py"
HERDING = "gsdd_runtime/distillation/starts/herding.py"
KMEANS = "gsdd_runtime/distillation/starts/kmeans.py"
OPTIONS = "gsdd_runtime/distillation/options.py"
STATE = "gsdd_runtime/distillation/state.py"

MATCHING_STEP = ("test_distill_step.py::test_a_step_of_matching_is_its_formula",)
FITTING_STEP = ("test_distill_step.py::test_a_step_of_fitting_is_its_formula",)
RATES = ("test_distill_step.py::test_learning_rates_are_those_of_schedule_and_kind",)
LINEAR = ("test_distill_engine.py::test_a_linear_loss_moves_each_kind_by_its_rate",)
KEPT = ("test_distill_step.py::test_every_kind_of_parameter_moves_and_the_last_step_is_kept",)
SIZES = ("test_distill_step.py::test_a_part_of_the_real_images_is_as_large_as_asked",)
DC_STEP = ("test_distill_dc.py::test_a_step_of_gradient_matching_is_its_formula",)
DC_RESUMED = ("test_distill_objectives.py::test_killed_and_resumed_is_the_same_file[dc]",)
RESUMED = ("test_distill_resume.py::test_killed_and_resumed_is_the_same_file[match 11]",)

JOURNAL = "gsdd_runtime/distillation/journal.py"

RECIPES = "gsdd_runtime/distillation/recipes/__init__.py"

CHOOSING = "gsdd_runtime/distillation/choosing.py"

MUTATIONS = [
    Mutation(
        "follows no recipe",
        "gsdd_runtime/distillation/__init__.py",
        "return resolve(chosen.options, data, chosen.record())",
        "return resolve(options, data, chosen.record())",
        ("test_golden_losses.py::test_the_first_steps_lose_what_they_always_lost[dm]",),
    ),
    Mutation(
        "lets a run see the images that are held out",
        "gsdd_runtime/distillation/options.py",
        "data, judged = hold_out(data, common.held_out, common.seed)",
        "_, judged = hold_out(data, common.held_out, common.seed)",
        ("test_distill_choosing.py::test_a_run_never_sees_what_is_held_out",),
        short=True,
    ),
    Mutation(
        "keeps the last set as the best",
        CHOOSING,
        'if earlier is None or accuracy > earlier["accuracy"]:',
        "if earlier is None or earlier:",
        ("test_distill_choosing.py::test_the_best_set_is_kept_beside_the_last",),
    ),
    Mutation(
        "writes no checkpoint after a judgement",
        CHOOSING,
        "        return True\n",
        "        return False\n",
        ("test_distill_choosing.py::test_a_killed_run_keeps_its_best_and_ends_the_same[10]",),
    ),
    Mutation(
        "makes every set of several with one seed",
        "gsdd_runtime/commands/distill.py",
        '{} if seed is None else {"seed": seed}',
        "{}",
        ("test_distill_choosing.py::test_several_seeds_make_sets_and_one_table",),
    ),
    Mutation(
        "lets a recipe win over an option that is given",
        RECIPES,
        "return Chosen(name, {**ours, **given}, changed)",
        "return Chosen(name, {**given, **ours}, changed)",
        ("test_distill_recipes.py::test_an_option_given_beside_a_recipe_takes_its_place",),
        short=True,
    ),
    Mutation(
        "leaves the recipe out of the record",
        "gsdd_runtime/distillation/__init__.py",
        "return resolve(chosen.options, data, chosen.record())",
        "return resolve(chosen.options, data)",
        ("test_distill_recipes.py::test_a_recipe_is_on_record_and_does_what_its_options_do",),
    ),
    Mutation(
        "takes no data from a recipe",
        "gsdd_runtime/commands/distill.py",
        "given = {**known, **given}",
        'given = {"dataset": known.get("dataset"), **given}',
        ("test_distill_recipes.py::test_the_command_takes_the_data_of_a_recipe",),
    ),
    Mutation(
        "keeps records in the log that come again",
        JOURNAL,
        '(phases.index(record["phase"]), record["step"]) <= here',
        'phases.index(record["phase"]) <= here[0]',
        ("test_distill_log.py::test_a_resumed_run_loses_no_record_and_repeats_none",),
        short=True,
    ),
    Mutation(
        "does not say in the log that a run failed",
        "gsdd_runtime/distillation/run.py",
        'journal.write("failed", error=type(error).__name__, message=str(error))',
        "pass",
        ("test_distill_log.py::test_a_loss_that_is_not_finite_is_in_the_log",),
    ),
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
        "does not normalise synthetic images",
        IMAGES,
        "parts = [self._preparation.apply(self._representation.render(part)) for part in self._parts(indices)]",
        "parts = [self._representation.render(part) for part in self._parts(indices)]",
        MATCHING_STEP,
        short=True,
    ),
    Mutation(
        "leaves the preparation out of the gradient",
        IMAGES,
        "self._preparation.apply(self._representation.draw(rows)).backward(gradient)",
        "self._representation.draw(rows).backward(gradient)",
        MATCHING_STEP,
    ),
    Mutation(
        "gives every part of the images the gradient of the first",
        IMAGES,
        "self._spread(part, share)",
        "self._spread(part, gradient[: len(part)])",
        ("test_distill_images.py::test_parts_of_the_images_get_their_own_gradients",),
    ),
    Mutation(
        "does not normalise real images",
        BATCHES,
        "return self._preparation.apply(images.float().div_(255.0))",
        "return images.float().div_(255.0)",
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
        "takes the gradient of a norm's weights from one image",
        NORM_RELU_POOL,
        "g.sum(dim=0) if wanted",
        "g[0] if wanted",
        ("test_embedding.py::test_a_network_trains_by_the_faster_steps_as_by_its_own",),
        short=True,
    ),
    Mutation(
        "takes the gradient of a convolution by Winograd's products with the weights of the way there",
        WINOGRAD,
        "weight.flip(2, 3).transpose(0, 1) if backward else weight",
        "weight.transpose(0, 1) if backward else weight",
        ("test_embedding.py::test_winograd_s_gradient_is_the_convolution_s_whatever_the_channels",),
    ),
    Mutation(
        "keeps the first weights of a network for Winograd's products",
        WINOGRAD,
        "if version != layer.weight._version:",
        "if version is None:",
        ("test_embedding.py::test_winograd_gives_what_the_convolution_gives_and_follows_its_weights",),
    ),
    Mutation(
        "takes the statistics of a batch from each of its pieces",
        EMBEDDING,
        "joint = (_BatchNorm, Dropout, nn.Dropout)",
        "joint = (Dropout, nn.Dropout)",
        ("test_embedding.py::test_statistics_of_a_batch_are_those_of_the_whole",),
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
        "ignores the weight of the boundary term",
        GAUSSIAN,
        "data.width, boundary_weight=options.boundary_weight)",
        "data.width, boundary_weight=1.0)",
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
        "fits at a constant rate",
        FIT,
        'return Phase(FIT, steps, learning_rate, "cosine", updates)',
        'return Phase(FIT, steps, learning_rate, "constant", updates)',
        RATES,
    ),
    Mutation(
        "fits at the rate of the matching",
        RUN,
        "fit_phase(self.representation, self._targets, options.fit_steps, options.fit_learning_rate)",
        "fit_phase(self.representation, self._targets, options.fit_steps, options.learning_rate)",
        RATES,
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
        CODED,
        "return round_to_steps(masters, self.height, self.width, self.steps)",
        "return masters",
        MATCHING_STEP,
    ),
    Mutation(
        "drops the boundary term where bits have a weight",
        CODED,
        "return rate if boundary is None else rate + boundary",
        "return rate",
        MATCHING_STEP,
    ),
    Mutation(
        "ignores the weight of bits",
        CODED,
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
        "difference = representation.render(indices) - targets[indices]",
        "difference = representation.render(indices) - targets[indices].roll(1, 0)",
        FITTING_STEP,
    ),
    Mutation(
        "fits by the mean over pixels",
        FIT,
        "loss = difference.square().sum() / len(targets)",
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
        "leaves fitting out",
        RUN,
        "        if options.fit_steps > 0 and self._targets is not None:\n",
        "        if False:\n",
        FITTING_STEP,
    ),
    Mutation(
        "draws the same real images at every step",
        BATCHES,
        'self.drawn(index, count, "match", step, purpose)',
        'self.drawn(index, count, "match", 0, purpose)',
        ("test_distill_dm.py::test_real_batches_are_different_images_of_the_right_class",),
    ),
    Mutation(
        "starts every run from the same random Gaussians",
        GAUSSIAN,
        'derived_generator(seed, "init", "values")',
        'derived_generator(0, "init", "values")',
        ("test_distill_step.py::test_the_seed_fixes_where_a_run_starts",),
    ),
    Mutation(
        "matches by networks of another seed than the run's",
        PROBLEM,
        "seed=self.seed, device=self.device, trainable=trainable",
        "seed=0, device=self.device, trainable=trainable",
        MATCHING_STEP,
    ),
    Mutation(
        "labels images in turn instead of class after class",
        RUN,
        "torch.arange(data.classes).repeat_interleave(options.gpc)",
        "torch.arange(data.classes).repeat(options.gpc)",
        MATCHING_STEP,
        short=True,
    ),
    Mutation(
        "writes no seed into the set",
        RUN,
        "            seed=options.seed,\n            fingerprint",
        "            fingerprint",
        ("test_distill.py::test_the_set_tells_all_that_training_on_it_needs",),
    ),
    Mutation(
        "writes the statistics of no data into the set",
        RUN,
        "            mean=data.mean,\n            std=data.std,\n",
        "",
        ("test_distill.py::test_the_set_tells_all_that_training_on_it_needs",),
    ),
    Mutation(
        "restores the masters without the optimiser's moments",
        STATE,
        'optimizer.state[value][own] = kept.clone() if own == "step" else kept.to(value.device)',
        "pass",
        RESUMED,
        short=True,
    ),
    Mutation(
        "restores Adam's step count as 0",
        STATE,
        'kept.clone() if own == "step" else',
        'kept.zero_() if own == "step" else',
        RESUMED,
    ),
    Mutation(
        "resumes one step too late",
        ENGINE,
        "        first = start.step\n",
        "        first = start.step + 1\n",
        RESUMED,
    ),
    Mutation(
        "starts a resumed phase from its beginning",
        RUN,
        "state = start if start is not None and start.phase == phase.name else None",
        "state = None",
        RESUMED,
    ),
    Mutation(
        "repeats the phases before the checkpoint's",
        RUN,
        "for phase in phases[first:]:",
        "for phase in phases:",
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
        "writes a checkpoint at every tenth interval",
        CHECKPOINT,
        "step % self._interval == 0",
        "step % (10 * self._interval) == 0",
        ("test_distill_checkpoint.py::test_it_is_a_safe_file_with_the_state_of_the_step",),
    ),
    Mutation(
        "does not stop when a signal asks",
        ENGINE,
        "        if stopping:\n            raise",
        "        if False:\n            raise",
        ("test_distill_resume.py::test_interrupted_finishes_its_step_and_says_how_to_go_on",),
    ),
    Mutation(
        "keeps the checkpoint of a finished run",
        RUN,
        "            checkpoint.unlink(missing_ok=True)\n",
        "",
        ("test_distill.py::test_the_set_tells_all_that_training_on_it_needs",),
    ),
    Mutation(
        "goes on from a checkpoint of other options",
        RESUMING,
        "        if not _allowed(rules.get(name), before, now):\n",
        "        if False:\n",
        ("test_distill_checkpoint.py::test_other_options_are_refused_by_name",),
    ),
    Mutation(
        "goes on from a checkpoint of other data",
        RESUMING,
        "    if not ours.room.data.has_fingerprint(fingerprint):\n",
        "    if False:\n",
        ("test_distill_checkpoint.py::test_other_data_are_refused",),
    ),
    Mutation(
        "overwrites a finished set without being asked",
        "gsdd_runtime/distillation/saving.py",
        "                return None\n            raise taken\n",
        "                return None\n            return None\n",
        ("test_distill_outputs.py",),
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
        "takes an option of another method without a word",
        OPTIONS,
        "        if name in usable:\n",
        "        if True:\n",
        ("test_distill_options.py::test_a_mistake_gets_one_line_that_names_it",),
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
        "writes no checkpoint by time",
        CHECKPOINT,
        " or self._clock() - self._last >= self._seconds",
        "",
        ("test_distill_state.py::test_a_checkpoint_is_due_by_steps_and_by_time",),
    ),
    Mutation(
        "lets a resumed run raise its rate",
        RESUMING,
        'return bool(now > before) if rule == "raise" else bool(now < before)',
        "return True",
        ("test_distill_resuming.py::test_what_decides_the_result_is_refused_by_name",),
    ),
    Mutation(
        "tells of no coded pixels that overrun the storage",
        RUN,
        "        if over > 0:",
        "        if False:",
        ("test_distill_coding.py::test_pixels_that_take_more_than_the_storage_are_told_of",),
    ),
    Mutation(
        "tells of an overrun by the bytes without the header",
        "gsdd_runtime/distillation/storage.py",
        "return image_bytes + HEADER_BYTES - coded_budget(data, ipc)",
        "return image_bytes - coded_budget(data, ipc)",
        ("test_distill_coding.py::test_pixels_that_take_more_than_the_storage_are_told_of",),
    ),
    Mutation(
        "counts coded pixels of smaller images like those of whole ones",
        CODED,
        "smaller=options.downscale > 1",
        "smaller=False",
        ("test_distill_options.py::test_the_storage_holds_four_times_as_many_pixel_images_at_half_the_size",),
    ),
    Mutation(
        "draws by the rule whatever renderer is asked for",
        "gsdd_runtime/distillation/run.py",
        "first.renderer = options.renderer",
        "pass",
        ("test_renderer.py::test_the_choice_reaches_every_drawing_of_a_run_and_its_record",),
    ),
    Mutation(
        "draws on the CPU where gsplat was asked for",
        "gsdd_runtime/distillation/options.py",
        '    if torch.device(device).type != "cuda":\n        raise InputError("renderer',
        '    if False:\n        raise InputError("renderer',
        ("test_renderer.py::test_gsplat_is_refused_where_it_cannot_draw",),
    ),
]
