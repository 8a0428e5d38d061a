"""Mutations of experts: how they are trained, resumed, kept and imported."""

from __future__ import annotations

from mutation import Mutation

FOLDER = "gsdd_runtime/experts/folder.py"
FOREIGN = "gsdd_runtime/experts/foreign.py"
MAKING = "gsdd_runtime/experts/making.py"
REAL = "gsdd_runtime/training/real_images.py"
SUBJECT = "gsdd_runtime/experts/subject.py"
TRAJECTORY = "gsdd_runtime/experts/trajectory.py"

SGD = ("test_experts.py::test_an_expert_is_sgd_on_the_prepared_real_images",)
STOPPED = ("test_experts.py::test_a_stopped_run_goes_on_at_its_epoch_and_ends_in_the_same_bytes",)
OTHER_RUN = ("test_experts.py::test_another_run_does_not_fill_the_folder",)

MUTATIONS = [
    Mutation(
        "trains experts on images that are not prepared",
        REAL,
        "return self._preparation.apply(send(images, device).float() / 255), self._labels[chosen]",
        "return send(images, device).float() / 255, self._labels[chosen]",
        SGD,
        short=True,
    ),
    Mutation(
        "trains every expert from the same weights",
        MAKING,
        'seed=derived_seed(seed, "expert", number, "network")',
        'seed=derived_seed(seed, "expert", 0, "network")',
        SGD,
    ),
    Mutation(
        "orders every epoch of an expert alike",
        MAKING,
        'derived_generator(seed, "expert", number, "epoch", epoch)',
        'derived_generator(seed, "expert", number, "epoch", 1)',
        SGD,
    ),
    Mutation(
        "keeps the weights before the epoch",
        MAKING,
        "                rows[epoch] = flattened(network)\n                if not",
        "                rows[epoch] = rows[epoch - 1]\n                if not",
        SGD,
        short=True,
    ),
    Mutation(
        "goes on without the momentum",
        MAKING,
        "if state.momentum is not None and len(state.rows) > 1:",
        "if False:",
        STOPPED,
    ),
    Mutation(
        "trains an unfinished expert from its first epoch",
        MAKING,
        "        if unfinished.exists():\n            state",
        "        if False:\n            state",
        STOPPED,
    ),
    Mutation(
        "does not save when it is stopped",
        MAKING,
        "        except KeyboardInterrupt:\n            saver.save()\n",
        "        except KeyboardInterrupt:\n",
        STOPPED,
    ),
    Mutation(
        "goes on with whatever the folder holds",
        MAKING,
        "        check_same_run(path, Trajectory(path).about, about)\n",
        "        pass\n",
        OTHER_RUN,
        short=True,
    ),
    Mutation(
        "takes experts of any data",
        SUBJECT,
        "if self.fingerprint != other.fingerprint:",
        "if False:",
        ("test_experts.py::test_whoever_needs_other_experts_is_told",),
    ),
    Mutation(
        "takes experts of any whitening",
        FOLDER,
        "theirs = (preparation.mean, preparation.std, zca_digest(preparation))",
        "theirs = (preparation.mean, preparation.std, self.subject.zca)",
        ("test_experts.py::test_whoever_needs_other_experts_is_told",),
    ),
    Mutation(
        "gives the row of the epoch before",
        TRAJECTORY,
        "row = self._rows[epoch].clone()",
        "row = self._rows[epoch - 1].clone()",
        SGD,
    ),
    Mutation(
        "gives a view of the mapped file",
        TRAJECTORY,
        "row = self._rows[epoch].clone()",
        "row = self._rows[epoch]",
        ("test_expert_files.py::test_a_large_file_is_mapped_and_watched",),
    ),
    Mutation(
        "unpickles whatever a buffer holds",
        "gsdd_runtime/sets/foreign_tensors.py",
        "weights_only=True",
        "weights_only=False",
        ("test_expert_import.py::test_nothing_but_tensors_is_unpickled",),
        short=True,
    ),
    Mutation(
        "does not look at the shapes of a buffer",
        FOREIGN,
        "if tuple(part.shape) != shape:",
        "if False:",
        ("test_expert_import.py::test_what_is_no_buffer_of_the_network_is_refused",),
    ),
]
