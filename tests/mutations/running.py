"""Mutations of a run of distilling: options, recipes, plans, checkpoints, resuming, the log, choosing."""

from __future__ import annotations

from mutation import Mutation

CHECKPOINT = "gsdd_runtime/distillation/checkpoint.py"
RESUMING = "gsdd_runtime/distillation/resuming.py"
DIVISION = "gsdd_runtime/distillation/division.py"
OUTCOME = "gsdd_runtime/distillation/outcome.py"
RUN = "gsdd_runtime/distillation/run.py"
SHARING = "gsdd_runtime/distillation/sharing.py"
OPTIONS = "gsdd_runtime/distillation/options.py"
STATE = "gsdd_runtime/distillation/state.py"
JOURNAL = "gsdd_runtime/distillation/journal.py"
RECIPES = "gsdd_runtime/distillation/recipes/__init__.py"
CHOOSING = "gsdd_runtime/distillation/choosing.py"

MATCHING_STEP = ("test_distill_step.py::test_a_step_of_matching_is_its_formula",)
FITTING_STEP = ("test_distill_step.py::test_a_step_of_fitting_is_its_formula",)
RATES = ("test_distill_step.py::test_learning_rates_are_those_of_schedule_and_kind",)
RESUMED = ("test_distill_resume.py::test_killed_and_resumed_is_the_same_file[match 11]",)

MUTATIONS = [
    Mutation(
        "leaves half a record where the disk ran full",
        "gsdd_runtime/distillation/journal.py",
        "os.ftruncate(self._file, size)",
        "pass",
        ("test_faults.py::test_a_log_holds_whole_records_after_a_disk_was_full_in_the_middle_of_one",),
    ),
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
        "whole = {**ours, **given}",
        "whole = {**given, **ours}",
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
        "fits at the rate of the matching",
        RUN,
        "self.representation, self._targets, options.fit_steps, options.fit_learning_rate, self._division",
        "self.representation, self._targets, options.fit_steps, options.learning_rate, self._division",
        RATES,
    ),
    Mutation(
        "leaves fitting out",
        RUN,
        "        if options.fit_steps > 0 and self._targets is not None:\n",
        "        if False:\n",
        FITTING_STEP,
    ),
    Mutation(
        "names the objective of a set that no step of it has moved",
        OUTCOME,
        "options.method if options.iterations else FITTED",
        "options.method",
        ("test_distill.py::test_without_a_step_the_first_images_are_kept_as_they_were_fitted",),
    ),
    Mutation(
        "labels images in turn instead of class after class",
        OUTCOME,
        "torch.tensor(classes or range(data.classes)).repeat_interleave(options.gpc)",
        "torch.tensor(classes or range(data.classes)).repeat(options.gpc)",
        MATCHING_STEP,
        short=True,
    ),
    Mutation(
        "writes no seed into the set",
        OUTCOME,
        "            seed=options.seed,\n            fingerprint",
        "            fingerprint",
        ("test_distill.py::test_the_set_tells_all_that_training_on_it_needs",),
    ),
    Mutation(
        "writes the statistics of no data into the set",
        OUTCOME,
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
        "holds the images of the next process's classes",
        DIVISION,
        "return self.ranks.own(self.classes)",
        "return range((self.ranks.rank + 1) % self.ranks.count, self.classes, self.ranks.count)",
        ("test_division.py::test_every_image_has_one_holder_who_has_its_whole_class",),
        short=True,
    ),
    Mutation(
        "gathers the images of the first process alone",
        DIVISION,
        "whole[rank :: self.ranks.count] = part.view(counts[rank], self.gpc, *mine.shape[1:])",
        "whole[0 :: self.ranks.count] = parts[0].view(counts[0], self.gpc, *mine.shape[1:])",
        ("test_division.py::test_the_first_process_gets_all_images_in_their_order",),
        short=True,
    ),
    Mutation(
        "goes on from the first rows of a checkpoint whatever a process holds",
        CHECKPOINT,
        "rows[name] = division.held",
        "rows[name] = division.held - division.held[0]",
        ("test_division.py::test_a_checkpoint_gives_a_process_its_own_rows",),
    ),
    Mutation(
        "gives a picture the images of the first process alone",
        DIVISION,
        "found[holders == rank] = part",
        "found[holders == 0] = parts[0]",
        ("test_division.py::test_a_few_images_come_in_their_order_whoever_holds_them",),
    ),
    Mutation(
        "averages the penalty over the images of a process",
        "gsdd_runtime/distillation/representations/gaussian.py",
        "(self.among or len(self))",
        "len(self)",
        ("test_division.py::test_the_penalty_of_a_part_is_its_share",),
    ),
    Mutation(
        "leaves what is learned beside divided images to the losses of each process",
        SHARING,
        'if not self.divided or not name.startswith("parameter/"):',
        "if not self.divided:",
        ("test_ranks.py::test_what_is_summed_up_over_processes_is_near[sampled]",),
    ),
    Mutation(
        "sees a gradient that is not finite in its own process alone",
        "gsdd_runtime/distillation/engine.py",
        "        loss = loss + _health(optimizers)\n        if shared.divided:\n",
        "        if not shared.divided:\n            loss = loss + _health(optimizers)\n        else:\n",
        ("test_ranks.py::test_what_ends_one_of_two_processes_ends_both",),
    ),
    Mutation(
        "writes a checkpoint at every tenth interval",
        CHECKPOINT,
        "step % self._interval == 0",
        "step % (10 * self._interval) == 0",
        ("test_distill_checkpoint.py::test_it_is_a_safe_file_with_the_state_of_the_step",),
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
        "takes an option of another method without a word",
        OPTIONS,
        "        if name in usable:\n",
        "        if True:\n",
        ("test_distill_options.py::test_a_mistake_gets_one_line_that_names_it",),
        short=True,
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
        OUTCOME,
        "        if over > 0:",
        "        if False:",
        ("test_distill_coding.py::test_pixels_that_take_more_than_the_storage_are_told_of",),
    ),
    Mutation(
        "asks for more Gaussians where pixels leave storage",
        OUTCOME,
        'if options.representation == "pixels"',
        "if False",
        ("test_distill_coding.py::test_storage_that_is_left_is_told_of",),
    ),
    Mutation(
        "tells of an overrun by the bytes without the header",
        OUTCOME,
        "coded_budget(options.room.data, options.ipc) - HEADER_BYTES",
        "coded_budget(options.room.data, options.ipc)",
        ("test_distill_coding.py::test_pixels_that_take_more_than_the_storage_are_told_of",),
    ),
    Mutation(
        "draws by the rule whatever renderer is asked for",
        "gsdd_runtime/distillation/first_images.py",
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
