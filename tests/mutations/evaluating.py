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
        "images = dsa(images, generator)",
        "images = dsa(images, generator, shared=True)",
        RECIPE,
    ),
    Mutation(
        "never augments",
        TRAINER,
        "        if recipe.augment is not None:\n            images = dsa(images, generator)\n",
        "",
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
        TRAINER,
        "optimiser = recipe.optimiser(network, rate / 10)",
        "optimiser = recipe.optimiser(network, rate)",
        RECIPE,
        short=True,
    ),
    Mutation(
        "keeps the momentum of the first half",
        TRAINER,
        "                optimiser = recipe.optimiser(network, rate / 10)\n",
        "                for group in optimiser.param_groups:\n                    group['lr'] = rate / 10\n",
        RECIPE,
    ),
    Mutation(
        "trains without weight decay",
        TRAINER,
        "weight_decay=self.weight_decay",
        "weight_decay=0.0",
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
        'train_network(fresh, examples, recipe, derived_generator(seed, "training"), report)',
        'train_network(fresh, examples, recipe, derived_generator(0, "training"), report)',
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
        ACCURACY,
        "return self.accuracies[-1]",
        "return self.accuracies[0]",
        ("test_evaluate.py::test_means_and_deviations_are_over_the_repeats",),
    ),
    Mutation(
        "reports the deviation of a sample",
        ACCURACY,
        "return statistics.pstdev(repeat.at_last_epoch for repeat in self.repeats)",
        "return statistics.stdev(repeat.at_last_epoch for repeat in self.repeats)",
        ("test_evaluate.py::test_means_and_deviations_are_over_the_repeats",),
    ),
    Mutation(
        "trains with the default recipe whatever is asked",
        ACCURACY,
        "recipe = Recipe(epochs, batch_size, learning_rate, momentum, weight_decay, augment)",
        "recipe = Recipe(epochs)",
        REPEAT,
    ),
    Mutation(
        "evaluates at the set's own size whatever is asked",
        ACCURACY,
        "examples = Examples(distilled_set, where, shape)",
        "examples = Examples(distilled_set, where)",
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
        "== send(labels, self._device)).sum()",
        "== send(labels, self._device).flip(0)).sum()",
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
]
