"""Mutations of recovery from a teacher, and of what processes share when one of them ends."""

from __future__ import annotations

from mutation import Mutation

SQUEEZE = "gsdd_runtime/distillation/objectives/squeeze.py"
DISTANCE = "gsdd_runtime/distillation/objectives/statistics_distance.py"
STEP = ("test_distill_squeeze.py::test_a_step_is_its_formula",)

MUTATIONS = [
    Mutation(
        "matches variances with the correction of a sample",
        DISTANCE,
        "correction=0",
        "correction=1",
        ("test_distill_squeeze.py::test_the_loss_is_that_of_its_authors",),
        short=True,
    ),
    Mutation("weighs the last norm as the first", DISTANCE, "if number == 0 else", "if number else", STEP),
    Mutation(
        "labels recovered images by their place in the batch",
        SQUEEZE,
        "self.problem.labels[indices.to(logits.device)]",
        "torch.arange(len(indices)) % self.problem.classes",
        STEP,
    ),
    Mutation(
        "crops every batch alike",
        SQUEEZE,
        '"match", step, "crops", number)',
        '"match", step, "crops", 0)',
        STEP,
    ),
    Mutation(
        "gives a teacher images that are prepared for another",
        SQUEEZE,
        "self._teacher.taken(images)",
        "images",
        ("test_distill_squeeze.py::test_a_teacher_of_another_preparation_sees_the_same_images",),
    ),
    Mutation(
        "recovers all batches in every process",
        SQUEEZE,
        "for number in self.problem.own(len(self._batches)):",
        "for number in range(len(self._batches)):",
        ("test_ranks.py::test_three_processes_write_what_one_writes",),
    ),
    Mutation(
        "writes onto the teacher that it learns from",
        "gsdd_runtime/distillation/options.py",
        "return (self.start.reads, *self.objective_type.reads(self.method_options))",
        "return (self.start.reads,)",
        ("test_distill_squeeze.py::test_nothing_is_written_onto_the_teacher",),
    ),
    Mutation(
        "goes on by itself when another process has ended",
        "gsdd_runtime/ranks.py",
        "raise RankLostError(",
        "return\n        raise RankLostError(",
        ("test_rank_kills.py::test_distilling_goes_on_from_the_step_before[dm]",),
    ),
]
