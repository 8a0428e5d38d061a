"""Judging the sets of a run on the way: one network, a tenth of the epochs."""

from __future__ import annotations

from gsdd_runtime.datasets import RealData
from gsdd_runtime.distillation.choosing import Choosing
from gsdd_runtime.errors import InputError
from gsdd_runtime.evaluation.accuracy import evaluate
from gsdd_runtime.sets.distilled_set import DistilledSet

HELD_OUT, TEST = "held-out", "test"
PLACES = (HELD_OUT, TEST)
DEFAULT_EPOCHS = 100
# Of each class's training images, where they are what sets are judged on.
DEFAULT_HELD_OUT = 0.1


def light_choosing(
    every: int, *, on: str = HELD_OUT, epochs: int = DEFAULT_EPOCHS, seed: int = 0, device: str = "auto"
) -> Choosing:
    """Judges a set by one fresh network of the run's own kind, trained on it by the field's recipe in ``epochs``.

    Args:
        every: matching steps between two judgements.
        on: ``"held-out"``, training images that the run does not see, or ``"test"``: a best set that is chosen on test
            images is no figure for them.
        epochs: of the training.
        seed: of the network.
        device: that it is trained on.

    Raises:
        InputError: another place, or a number out of range.
    """
    if on not in PLACES:
        raise InputError(f"eval_on {on!r} is not known: choose one of {', '.join(PLACES)}")
    if epochs < 1:
        raise InputError(f"eval_epochs must be at least 1, got {epochs}")

    def judge(distilled_set: DistilledSet, data: RealData) -> float:
        network = distilled_set.options.get("network")
        result = evaluate(distilled_set, data, network=network, epochs=epochs, repeats=1, seed=seed, device=device)
        return result.last_epoch_mean

    protocol = {"on": on, "networks": 1, "epochs": epochs, "seed": seed}
    return Choosing(every, judge, protocol, on_test=on == TEST)
