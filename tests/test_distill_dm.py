"""Distribution matching, against its formula written out."""

from __future__ import annotations

import pytest
import torch
from distill_data import blobs, matching_of, problem_of

from gsdd_runtime import networks
from gsdd_runtime.distillation.batches import ClassBatches, RealImages
from gsdd_runtime.distillation.matching import Matching
from gsdd_runtime.distillation.objectives import DistributionMatching
from gsdd_runtime.distillation.representations import PixelRepresentation
from gsdd_runtime.seeds import derived_generator, derived_seed
from gsdd_runtime.training import real_images
from gsdd_runtime.training.augmentation import draw_dsa
from gsdd_runtime.training.real_images import near

CPU = torch.device("cpu")
NETWORK, SIZE = "convnet2-w8", (12, 16)


def batches(sizes: tuple[int, ...], seed: int) -> ClassBatches:
    images = torch.randn(sum(sizes), 1, *SIZE, generator=torch.Generator().manual_seed(seed))
    return ClassBatches(images, tuple(range(len(sizes))), sizes)


class Given(DistributionMatching):
    """The objective on batches that are given to it."""

    def on(self, step: int, real: ClassBatches, synthetic: ClassBatches) -> torch.Tensor:
        self.problem.synthetic_batches = lambda *_: synthetic  # type: ignore[method-assign]
        return self._distance(step, self.problem.network.draw("match", step, "network"), real, [0, 1, 2])


def objective(augment: str = "dsa", seed: int = 5) -> Given:
    problem, options = problem_of(blobs(), network=NETWORK, augment=augment, seed=seed)
    return Given(problem, options.method_options)


def by_formula(real: ClassBatches, synthetic: ClassBatches, step: int, augment: str, seed: int = 5) -> float:
    network = networks.build(NETWORK, 1, 3, SIZE, seed=derived_seed(seed, "match", step, "network"))
    total = 0.0
    pairs = zip(real.images.split(real.sizes), synthetic.images.split(synthetic.sizes), strict=True)
    for index, (these, those) in enumerate(pairs):
        if augment == "dsa":
            draw = draw_dsa(derived_generator(seed, "match", step, "augment", index))
            these, those = draw.apply(these), draw.apply(those)
        with torch.no_grad():
            difference = network.embed(these).double().mean(0) - network.embed(those).double().mean(0)
        total += difference.square().sum().item()
    return total


@pytest.mark.parametrize("augment", ["dsa", "none"])
@pytest.mark.parametrize("step", [0, 7])
def test_loss_is_the_sum_over_classes_of_squared_distances(augment: str, step: int) -> None:
    real, synthetic = batches((9, 4, 6), 1), batches((2, 2, 2), 2)
    ours = objective(augment)
    # Measured: 1.7e-7, relative.
    expected = by_formula(real, synthetic, step, augment)
    assert ours.on(step, real, synthetic).item() == pytest.approx(expected, rel=1e-5)


def test_equal_images_under_the_same_draw_have_no_distance() -> None:
    real = batches((4, 4, 4), 1)
    ours = objective()
    for step in range(12):
        # Measured: 0. Another draw for the synthetic side gives 7.8 or more.
        assert ours.on(step, real, real).item() < 1e-10


def test_gradient_flows_to_synthetic_images_alone() -> None:
    real, synthetic = batches((4, 4, 4), 1), batches((2, 2, 2), 2)
    real.images.requires_grad_()
    synthetic.images.requires_grad_()
    objective().on(0, real, synthetic).backward()
    assert real.images.grad is None
    assert synthetic.images.grad is not None
    assert (synthetic.images.grad.flatten(1).norm(dim=1) > 0).all()


def test_a_step_depends_on_seed_and_step_and_not_on_what_came_before() -> None:
    real, synthetic = batches((4, 4, 4), 1), batches((2, 2, 2), 2)

    def at(step: int, ours: Given) -> float:
        return ours.on(step, real, synthetic).item()

    walked = objective()
    losses = [at(step, walked) for step in range(5)]
    assert at(3, objective()) == losses[3]
    assert len(set(losses)) == 5
    assert at(3, objective(seed=6)) != losses[3]


def matching(classes_per_pass: int, batch_syn: int = 2) -> tuple[Matching, PixelRepresentation]:
    data = blobs()
    start = torch.rand(6, 1, data.height, data.width, generator=torch.Generator().manual_seed(4))
    representation = PixelRepresentation(start)
    options = {"network": "convnet1-w8", "batch_real": 6, "batch_syn": batch_syn, "classes_per_pass": classes_per_pass}
    return matching_of(data, representation, **options)[0], representation


def test_passes_add_up_to_the_whole() -> None:
    results = []
    for classes_per_pass in (1, 2, 3):
        ours, representation = matching(classes_per_pass)
        [told] = ours.updates(3)
        grad = representation.parameters()["pixels"].grad
        assert grad is not None
        results.append((told.loss, grad))
    for loss, grad in results[1:]:
        # Measured: 1e-7 for the loss, 0 for the gradient, relative.
        assert loss.item() == pytest.approx(results[0][0].item(), rel=1e-5)
        assert (grad - results[0][1]).norm() < 1e-5 * results[0][1].norm()


def test_batch_syn_takes_that_many_images_of_each_class() -> None:
    ours, representation = matching(3, batch_syn=1)
    seen = set()
    for step in range(8):
        representation.parameters()["pixels"].grad = None
        assert len(list(ours.updates(step))) == 1
        grad = representation.parameters()["pixels"].grad
        assert grad is not None
        touched = (grad.flatten(1).norm(dim=1) > 0).tolist()
        assert [sum(touched[first : first + 2]) for first in (0, 2, 4)] == [1, 1, 1]
        seen.add(tuple(touched))
    assert len(seen) > 1


def test_real_batches_are_different_images_of_the_right_class() -> None:
    data = blobs(per_class=10)
    real = RealImages(data, 0, CPU)
    drawn = real.batches(0, [2, 0], 6)
    assert drawn.sizes == (6, 6)
    normalised = data.normalized(data.train_images)
    for position, index in enumerate((2, 0)):
        own = normalised[data.train_labels == index].flatten(1)
        images = drawn.images[6 * position : 6 * position + 6].flatten(1)
        which = [int((own == image).all(dim=1).nonzero().item()) for image in images]
        assert len(set(which)) == 6
    assert real.batches(0, [1], 50).sizes == (10,)
    assert not torch.equal(real.batches(0, [1], 6).images, real.batches(1, [1], 6).images)


def test_real_images_are_kept_where_they_are_seen_unless_there_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    data, meta = blobs(per_class=10), torch.device("meta")
    assert near(data.train_images, meta).device == meta
    monkeypatch.setattr(real_images, "ON_DEVICE_BYTES", data.train_images.numel() - 1)
    assert near(data.train_images, meta) is data.train_images
    small = type("Properties", (), {"total_memory": 8 * data.train_images.numel() - 8})
    with monkeypatch.context() as patch:
        patch.setattr(real_images, "ON_DEVICE_BYTES", 1 << 32)
        patch.setattr(torch.cuda, "get_device_properties", lambda device: small)
        assert near(data.train_images, torch.device("cuda")) is data.train_images
    # What is drawn goes to the device from there.
    real = RealImages(data, 0, meta)
    assert real.pixels(torch.arange(3)).device == meta
    assert real.inputs(torch.arange(3)).device == meta
