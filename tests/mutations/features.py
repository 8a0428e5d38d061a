"""Mutations of what is matched in networks between random and trained weights: NCFM and DANCE."""

from __future__ import annotations

from mutation import Mutation

CHARACTERISTIC = "gsdd_runtime/distillation/objectives/characteristic.py"
MIDDLE = "gsdd_runtime/distillation/objectives/middle.py"
NCFM = "gsdd_runtime/distillation/objectives/ncfm.py"

STEP = ("test_distill_middle.py::test_a_step_is_its_formula",)
ASCENT = ("test_distill_middle.py::test_the_sampling_network_ascends_by_its_own_sgd",)

MUTATIONS = [
    Mutation(
        "matches in the trained network and not between it and a random one",
        MIDDLE,
        "self._put(self._middle.module, between(random, trained, share))",
        "self._put(self._middle.module, trained)",
        STEP,
        short=True,
    ),
    Mutation(
        "enters one expert at every step",
        MIDDLE,
        'generator = self.problem.generator("match", step, "expert")',
        'generator = self.problem.generator("match", 0, "expert")',
        STEP,
    ),
    Mutation(
        "calibrates every class as the first",
        MIDDLE,
        "torch.full((len(images),), index, device=logits.device)",
        "torch.full((len(images),), 0, device=logits.device)",
        STEP,
    ),
    Mutation(
        "calibrates without its weight",
        MIDDLE,
        "yield Loss(self._weight * entropy,",
        "yield Loss(entropy,",
        STEP,
    ),
    Mutation(
        "calibrates under the draw that the features were matched by",
        MIDDLE,
        'draw = self.problem.augmentation("match", step, "calibrate", index)',
        'draw = self.problem.augmentation("match", step, "augment", index)',
        STEP,
    ),
    Mutation(
        "compares every class at the same frequencies",
        NCFM,
        'derived_seed(self.problem.seed, "match", step, "frequencies", index)',
        'derived_seed(self.problem.seed, "match", step, "frequencies", 0)',
        STEP,
    ),
    Mutation(
        "takes the weight of amplitudes for phases",
        NCFM,
        "phase_weight=self.options.phase_weight,",
        "phase_weight=self.options.amplitude_weight,",
        STEP,
        short=True,
    ),
    Mutation(
        "leaves real features at their length",
        NCFM,
        "target = unit_features(embedded(network, real))",
        "target = embedded(network, real)",
        STEP,
    ),
    Mutation(
        "leads the sampling network downhill",
        NCFM,
        "parameter.register_hook(torch.neg)",
        "parameter.register_hook(torch.clone)",
        ASCENT,
    ),
    Mutation(
        "counts parts of samples alike, whatever their size",
        CHARACTERISTIC,
        "count += len(features)",
        "count += 1",
        ("test_characteristic.py::test_parts_of_unequal_size_count_by_their_samples",),
    ),
]
