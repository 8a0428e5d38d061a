"""Mutations of evaluating and training: the recipe, augmentation, the test, repeats, baselines."""

from __future__ import annotations

from mutation import Mutation

ACCURACY = "gsdd_runtime/evaluation/accuracy.py"
AUGMENTATION = "gsdd_runtime/training/augmentation.py"
BASELINES = "gsdd_runtime/evaluation/baselines.py"
RATE = "gsdd_runtime/bench/rate.py"
RATE_CHART = "gsdd_runtime/bench/rate_chart.py"
REAL_TEST = "gsdd_runtime/training/real_images.py"
TRAINER = "gsdd_runtime/training/trainer.py"
RECIPES = "gsdd_runtime/training/recipe.py"
MIXING = "gsdd_runtime/training/mixing.py"
TEACHER = "gsdd_runtime/training/teacher.py"
RESULT = "gsdd_runtime/evaluation/result.py"
COMPARISON = "gsdd_runtime/evaluation/comparison.py"

RECIPE = ("test_training.py::test_training_is_the_recipe",)
SEED = ("test_evaluate.py::test_the_seed_fixes_everything",)
SEEDED = ("test_training.py::test_train_is_the_recipe_from_its_seed",)
REPEAT = ("test_evaluate.py::test_a_repeat_is_a_network_trained_by_the_recipe_and_tested_on_the_test_images",)
LEARNS = ("test_evaluate.py::test_networks_learn_what_the_set_shows",)

MUTATIONS = [
    Mutation(
        "draws one DSA amount for a whole batch",
        AUGMENTATION,
        "return draw_dsa(generator, 1 if shared else images.shape[0], strategy=strategy).apply(images)",
        "return draw_dsa(generator, 1, strategy=strategy).apply(images)",
        ("test_augmentation.py::test_dsa_draws_amounts_for_every_image_of_a_batch",),
        short=True,
    ),
    Mutation(
        "trains with one amount for a whole batch",
        TRAINER,
        "else dsa(images, generator), None",
        "else dsa(images, generator, shared=True), None",
        RECIPE,
    ),
    Mutation(
        "never augments",
        TRAINER,
        "return images if recipe.augment is None else dsa(images, generator), None",
        "return images, None",
        RECIPE,
        short=True,
    ),
    Mutation(
        "trains in the same order every epoch",
        TRAINER,
        "torch.randperm(len(examples), generator=generator)",
        "torch.arange(len(examples))",
        RECIPE,
    ),
    Mutation(
        "never lowers the rate",
        RECIPES,
        "return self.learning_rate / (10 if 0 < self.epochs // 2 < epoch else 1)",
        "return self.learning_rate",
        RECIPE,
        short=True,
    ),
    Mutation(
        "keeps the momentum of the first half",
        TRAINER,
        "            if recipe.fresh_optimiser_after(epoch):\n",
        "            if False:\n",
        RECIPE,
    ),
    Mutation(
        "trains without weight decay",
        RECIPES,
        "momentum=self.momentum, weight_decay=self.weight_decay",
        "momentum=self.momentum, weight_decay=0.0",
        RECIPE,
    ),
    Mutation(
        "trains on images that are not normalised",
        TRAINER,
        "self._kept = self._set.decode(None, *self._size, normalize=True)",
        "self._kept = self._set.decode(None, *self._size)",
        RECIPE,
    ),
    Mutation(
        "gives every image its neighbour's label",
        TRAINER,
        "self._labels[send(indices, self._labels.device)]",
        "self._labels[send(indices, self._labels.device) - 1]",
        RECIPE,
        short=True,
    ),
    Mutation(
        "leaves a trained network in training mode",
        TRAINER,
        "return fresh.eval()",
        "return fresh.train()",
        ("test_training.py::test_a_trained_network_knows_its_images",),
    ),
    Mutation(
        "trains from one seed",
        TRAINER,
        'train_network(fresh, examples, chosen, derived_generator(seed, "training"), report, teacher)',
        'train_network(fresh, examples, chosen, derived_generator(0, "training"), report, teacher)',
        SEEDED,
    ),
    Mutation(
        "starts every network of train from the same weights",
        TRAINER,
        'derived_generator(seed, "network")',
        'derived_generator(0, "network")',
        SEEDED,
    ),
    Mutation(
        "trains every repeat from the same seed",
        ACCURACY,
        'generator = derived_generator(seed, "evaluate", index)',
        'generator = derived_generator(seed, "evaluate", 0)',
        SEED,
        short=True,
    ),
    Mutation(
        "evaluates from one seed",
        ACCURACY,
        'generator = derived_generator(seed, "evaluate", index)',
        'generator = derived_generator(0, "evaluate", index)',
        SEED,
    ),
    Mutation(
        "tests on the training images",
        REAL_TEST,
        "        self._images = data.test_images\n        self._labels = data.test_labels\n",
        "        self._images = data.train_images\n        self._labels = data.train_labels\n",
        ("test_evaluate.py::test_test_images_are_normalised_as_the_set_is",),
        short=True,
    ),
    Mutation(
        "does not normalise the test images",
        REAL_TEST,
        "self._preparation.apply(send(images, self._device).float() / 255)",
        "send(images, self._device).float() / 255",
        ("test_evaluate.py::test_test_images_are_normalised_as_the_set_is",),
    ),
    Mutation(
        "leaves the last test images out and divides by all",
        REAL_TEST,
        "for images, labels in pairs:",
        "for images, labels in list(pairs)[:1]:",
        ("test_evaluate.py::test_test_images_are_normalised_as_the_set_is",),
    ),
    Mutation(
        "reports the first test as the last epoch",
        RESULT,
        "return self.accuracies[-1]",
        "return self.accuracies[0]",
        ("test_evaluate.py::test_means_and_deviations_are_over_the_repeats",),
    ),
    Mutation(
        "reports the deviation of a sample",
        RESULT,
        "return statistics.pstdev(repeat.at_last_epoch for repeat in self.repeats)",
        "return statistics.stdev(repeat.at_last_epoch for repeat in self.repeats)",
        ("test_evaluate.py::test_means_and_deviations_are_over_the_repeats",),
    ),
    Mutation(
        "trains with the default recipe whatever is asked",
        ACCURACY,
        "batch_size=batch_size, learning_rate=learning_rate,\n        momentum=momentum,",
        "",
        REPEAT,
    ),
    Mutation(
        "evaluates at the set's own size whatever is asked",
        ACCURACY,
        "Examples(distilled_set, where, shape), distilled_set.preparation",
        "Examples(distilled_set, where), distilled_set.preparation",
        ("test_evaluate.py::test_gaussians_are_decoded_at_another_size",),
    ),
    Mutation(
        "builds a network other than the one that is named",
        ACCURACY,
        "fresh = networks.build(network, data.channels",
        'fresh = networks.build("convnet1-w8", data.channels',
        REPEAT,
    ),
    Mutation(
        "tests against labels that are turned round",
        REAL_TEST,
        "expected = send(labels, self._device)",
        "expected = send(labels, self._device).flip(0)",
        LEARNS,
    ),
    Mutation(
        "chooses real images of any class",
        BASELINES,
        "members = torch.nonzero(data.train_labels == index).flatten()",
        "members = torch.arange(len(data.train_labels))",
        ("test_baselines.py::test_images_are_different_real_ones_of_their_class",),
    ),
    Mutation(
        "counts the bits of a set's images alone",
        RATE,
        '"bits_per_class": 8 * one.nbytes / one.classes',
        '"bits_per_class": 8 * one.image_nbytes / one.classes',
        ("test_bench_rate.py::test_bits_are_those_of_all_that_the_file_holds_but_its_header",),
    ),
    Mutation(
        "trains on the set as it is for every coding of it",
        RATE,
        "                point.distilled_set, data,",
        "                sets[point.name], data,",
        ("test_bench_rate.py::test_accuracies_are_those_of_eval",),
    ),
    Mutation(
        "measures the codings of a set by the default seed",
        RATE,
        "seed=seed,",
        "seed=0,",
        ("test_bench_rate.py::test_accuracies_are_those_of_eval",),
    ),
    Mutation(
        "fills the mark of a plain set and not of a coded one",
        RATE_CHART,
        'point["steps"] is not None',
        'point["steps"] is None',
        ("test_bench_rate.py::test_the_chart_has_a_mark_for_every_point_where_it_belongs",),
    ),
    Mutation(
        "takes a set's learned rate for no recipe",
        RECIPES,
        'given["learning_rate"], source = learned, "set"',
        'source = "set"',
        ("test_recipes.py::test_mtt_trains_at_the_rate_learned_with_the_set",),
    ),
    Mutation(
        "trains every network across architectures at one rate",
        RECIPES,
        'given["learning_rate"], source = published.learning_rate, "network"',
        'source = "network"',
        ("test_recipes.py::test_the_result_across_architectures_says_the_rate_of_its_network",),
    ),
    Mutation(
        "takes the rate of the default network across architectures",
        ACCURACY,
        "recipe, distilled_set, network=network, epochs=epochs",
        'recipe, distilled_set, network="convnet3", epochs=epochs',
        ("test_recipes.py::test_the_result_across_architectures_says_the_rate_of_its_network[alexnet-0.001]",),
        short=True,
    ),
    Mutation(
        "spares nothing from AdamW's weight decay",
        RECIPES,
        '{"params": others, "weight_decay": 0.0}',
        '{"params": others, "weight_decay": self.weight_decay}',
        ("test_recipes.py::test_training_with_soft_labels_is_adamw_at_a_temperature",),
    ),
    Mutation(
        "labels the teacher's images before they are mixed",
        TRAINER,
        "labels = teacher.labels(images, recipe.temperature)",
        "labels = teacher.labels(examples.batch(indices)[0], recipe.temperature)",
        ("test_recipes.py::test_a_teacher_labels_what_the_network_sees",),
    ),
    Mutation(
        "mixes images and not their labels",
        MIXING,
        "return self.share * soft + (1 - self.share) * soft[send(self.partners, soft.device)]",
        "return soft",
        ("test_mixing.py::test_mixed_labels_go_by_area",),
    ),
    Mutation(
        "tells the deviation over networks as that over sets",
        COMPARISON,
        '"last_epoch": figures([result.last_epoch_mean for result in group]),',
        '"last_epoch": figures([each.at_last_epoch for result in group for each in result.repeats]),',
        ("test_comparison.py::test_deviations_over_networks_and_over_sets_are_told_apart",),
    ),
    Mutation(
        "compares one size only",
        COMPARISON,
        "evaluate(one, data[size], network=kind, size=size,",
        "evaluate(one, data[size], network=kind,",
        ("test_comparison.py::test_a_set_is_drawn_at_every_size",),
    ),
    Mutation(
        "numbers chosen classes as before",
        "gsdd_runtime/sets/selection.py",
        "numbers[positions] = torch.arange(len(positions))",
        "numbers[positions] = torch.tensor(positions)",
        ("test_selection.py::test_chosen_classes_are_numbered_in_their_order",),
    ),
    Mutation(
        "merges labels without regard to names",
        "gsdd_runtime/sets/selection.py",
        "        return places[one.labels]\n",
        "        return one.labels\n",
        ("test_selection.py::test_sets_of_other_classes_give_more_classes",),
    ),
    Mutation(
        "imports tensors as they were normalised",
        "gsdd_runtime/sets/foreign.py",
        "pixels = given.undo(pixels)",
        "given.undo(pixels)",
        ("test_foreign_sets.py::test_a_set_of_another_repository_trains_as_it_did_there",),
        short=True,
    ),
    Mutation(
        "unpickles what a released file holds",
        "gsdd_runtime/sets/foreign.py",
        "weights_only=True",
        "weights_only=False",
        ("test_foreign_sets.py::test_no_code_of_a_file_is_run",),
        short=True,
    ),
    Mutation(
        "gives fitted Gaussians the labels of other images",
        "gsdd_runtime/distillation/fitted_set.py",
        "labels=distilled_set.labels[rows],",
        "labels=distilled_set.labels[rows.sort().values],",
        ("test_fitted_sets.py::test_a_fitted_set_is_its_images_as_gaussians",),
    ),
    Mutation(
        "relabels at no temperature",
        "gsdd_runtime/training/relabeling.py",
        "teacher.labels(images.to(where), temperature)",
        "teacher.labels(images.to(where))",
        ("test_relabel.py::test_labels_are_the_teachers_softmax_at_a_temperature",),
        short=True,
    ),
    Mutation(
        "shows the teacher images that are prepared for others",
        "gsdd_runtime/training/teacher.py",
        "        if not self._prepared:\n            images = self.preparation.apply(images)\n",
        "",
        ("test_relabel.py::test_a_teacher_of_another_preparation_or_size_sees_the_same_images",),
    ),
    Mutation(
        "asks the first expert alone",
        "gsdd_runtime/experts/teaching.py",
        "for number in range(len(folder))]",
        "for number in range(1)]",
        ("test_relabel.py::test_experts_are_averaged_at_their_last_epoch",),
    ),
    Mutation(
        "starts k-center where it likes",
        BASELINES,
        "first = int((features - features.mean(dim=0)).square().sum(dim=1).argmin())",
        "first = 0",
        ("test_baselines.py::test_centers_are_each_the_farthest_from_those_before",),
    ),
    Mutation(
        "takes the test images for the whole of the data",
        "gsdd_runtime/evaluation/accuracy.py",
        "        RealExamples(data, where), data.preparation",
        "        Examples(DistilledSet(None, data.test_labels, *size, pixels=(data.test_images / 255).bfloat16(),\n"
        "        mean=data.mean, std=data.std), where), data.preparation",
        ("test_baselines.py::test_the_whole_is_all_training_images",),
    ),
    Mutation(
        "counts a set's images alone for equal bytes",
        "gsdd_runtime/commands/baseline.py",
        "return (one.nbytes - shared) // one.classes",
        "return one.image_nbytes // one.classes",
        ("test_baseline_command.py::test_equal_bytes_are_those_of_everything_a_user_needs",),
        short=True,
    ),
    Mutation(
        "verifies by another seed",
        "gsdd_runtime/evaluation/verification.py",
        'seed=stated["seed"],',
        'seed=stated["seed"] + 1,',
        ("test_verification.py::test_the_stated_protocol_is_repeated",),
    ),
    Mutation(
        "finds every accuracy confirmed",
        "gsdd_runtime/evaluation/verification.py",
        '"agrees": abs(difference) <= tolerance,',
        '"agrees": difference <= 1,',
        ("test_verification.py::test_a_difference_beyond_the_deviation_is_another_accuracy",),
        short=True,
    ),
    Mutation(
        "keeps an accuracy with other images",
        "gsdd_runtime/sets/distilled_set.py",
        '            fields.pop("accuracy", None)\n        if {"gaussians", "pixels"}',
        '            pass\n        if {"gaussians", "pixels"}',
        ("test_verification.py::test_an_accuracy_is_forgotten_with_what_it_was_of",),
    ),
    Mutation(
        "ranks by the set's own labels alone",
        "gsdd_runtime/evaluation/ranking.py",
        "hard = distilled_set.changed(labels=distilled_set.hard_labels, class_names=data.class_names)",
        "hard = distilled_set",
        ("test_ranking.py::test_each_network_is_trained_on_what_its_measure_asks_for",),
    ),
    Mutation(
        "takes a form of pixels for plain ones",
        "gsdd_runtime/distillation/options.py",
        "return chosen | stands_for",
        'return chosen | {"representation": "pixels"} if stands_for else chosen',
        ("test_distill_options.py::test_a_form_of_pixels_is_what_it_stands_for",),
    ),
]
