"""The CUDA kernels' own source, run on the CPU: what does not need the hardware to be known.

The whole awkward table goes through the same source as the door ``cuda-source-on-host`` (test_doors.py).
"""

from __future__ import annotations

import cuda_host
import pytest
import torch
from awkward import CASES, ordinary
from oracle import oracle

from gsdd_runtime import reference
from gsdd_runtime.splatting.gaussians import ALPHA_LIMIT, ALPHA_THRESHOLD

pytestmark = pytest.mark.skipif(cuda_host.missing() is not None, reason=str(cuda_host.missing()))


# Worst measured: 9e-7 on every magnitude. The product of the two roots of the determinant must also be right, or
# needles would be too long.
@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3, 1e9, 1e15, 1e25, 1e37])
@pytest.mark.parametrize("scale", [(1.0, 1.0), (0.37, 4.2), (512.0, 512.0)])
def test_the_float_ellipse_is_that_of_the_double_one(size: float, scale: tuple[float, float]) -> None:
    generator = torch.Generator().manual_seed(3)
    shapes = torch.randn(4000, 5, generator=generator)
    shapes[:, 2:] *= size
    # Each of the three alone enormous, and needles across each axis.
    shapes[:1000:4, 2] = -0.5
    shapes[1:1000:4, 3] = 0.0
    shapes[2:1000:4, 4] = -0.5
    shapes[1000:2000, 2:] *= 10.0 ** torch.empty(1000, 3).uniform_(-38, 0, generator=generator)
    made, wanted = cuda_host.conics(shapes, *scale)
    spread = wanted[:, 0].sqrt() * wanted[:, 2].sqrt()
    # What is below 1e-30 is flat over any image, and leaves float32's range.
    for k, size_of in ((0, wanted[:, 0]), (1, spread), (2, wanted[:, 2])):
        visible = wanted[:, k].abs().sqrt() > 1e-15
        error = (made[:, k] - wanted[:, k]).abs()[visible] / size_of[visible]
        assert error.numel() == 0 or error.max() < 2e-6
        assert (made[:, k].abs()[~visible] < 1e-25).all()


@pytest.mark.parametrize("origin", [(0, 0), (32, 64)])
def test_culling_keeps_what_is_drawn_and_drops_most_of_the_rest(origin: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(5)
    side = 128
    gaussians = ordinary(1, 6000, 1, side, 6)[0]
    gaussians[:, 2:5] *= 10 ** torch.empty(6000, 1).uniform_(-1.0, 2.0, generator=generator)
    gaussians[::3, 2] = -0.5  # needles
    gaussians[1::7, 3] *= 20
    gaussians[:, -1] = torch.empty(6000).uniform_(0.0, 3.0, generator=generator)
    shapes = torch.cat([gaussians[:, :5], gaussians[:, -1:]], dim=1)
    patch_x, patch_y, width, height = origin[0] + 16, origin[1] + 8, 16, 8
    points = torch.tensor([patch_x - origin[0] + 0.25, patch_x - origin[0] + width - 0.25,
                           patch_y - origin[1] + 0.25, patch_y - origin[1] + height - 0.25])  # fmt: skip
    found = cuda_host.covers(shapes, side, side, origin, points)
    alphas = reference.sample_alphas(
        gaussians[None].double(), torch.ones(2).double(), torch.full((2,), float(side)).double(),
        2 * patch_y, 2 * (patch_y + height), 2 * side, 2, clipped=False,
    )[0, :, :, 2 * patch_x : 2 * (patch_x + width)].flatten(1)  # fmt: skip
    drawn = (alphas > ALPHA_THRESHOLD * 1.001).any(dim=1)
    assert (found[drawn] > 0).all()
    smooth = found == 2
    assert smooth.sum() > 100
    assert (alphas[smooth] >= ALPHA_THRESHOLD).all()
    assert (alphas[smooth] <= ALPHA_LIMIT).all()
    # Touching the box between two samples is no fault; it must stay rare.
    assert (found[~drawn] > 0).float().mean() < 0.1


def test_many_gaussians_and_many_images_match_the_reference() -> None:
    # As the table's cases of 100,000, which the emulated threads would take half a minute for.
    inputs = CASES["many-gaussians"]()
    some = inputs.gaussians[:, :3000]
    images = cuda_host.render(some, 8, 8, inputs.native_size, 1)
    expected = reference.splat(some.double(), 8, 8, native_size=inputs.native_size, supersample=1)
    assert (images - expected).abs().max() < 2e-3  # measured 4e-4: 3000 Gaussians flip a few samples
    many = ordinary(2000, 2, 1, 3, 54)
    images = cuda_host.render(many, 3, 2, None, 1)
    expected = reference.splat(many.double(), 3, 2, supersample=1)
    assert ((images - expected).abs() > 1e-5).sum() < 12  # flips


@pytest.mark.parametrize("size", [1e20, 1e37, 3.3e38])
def test_the_largest_numbers_of_bfloat16(size: float) -> None:
    # Each shape parameter at its largest in turn, then all: flat over the image, or a needle of endless length.
    gaussians = ordinary(1, 12, 3, 16, 64)
    for k in range(3):
        gaussians[0, k::4, 2 + k] = size
    gaussians[0, 3::4, 2:5] = size
    gaussians[0, 4:, 2:5] *= torch.tensor([1.0, -1.0]).repeat(4)[:, None]
    gaussians[..., 5:8] *= 0.3
    images = cuda_host.render(gaussians, 16, 24)
    assert (images - reference.splat(gaussians.double(), 16, 24)).abs().max() < 1e-4  # measured 3e-7
    assert cuda_host.gradient(torch.ones(1, 3, 16, 24), gaussians).isfinite().all()


@pytest.mark.parametrize("name", ["odd-size", "one-pixel", "width-32", "channels-2", "supersample-3", "needles"])
def test_the_order_in_which_threads_run_does_not_show(name: str) -> None:
    gaussians, height, width, native_size, supersample = oracle(name).inputs
    grad_images = oracle(name).grad_images
    images = cuda_host.render(gaussians, height, width, native_size, supersample)
    grads = cuda_host.gradient(grad_images, gaussians, native_size, supersample)
    for order in (1, 2, 3):
        again = cuda_host.render(gaussians, height, width, native_size, supersample, order=order)
        assert torch.equal(images, again)
        again = cuda_host.gradient(grad_images, gaussians, native_size, supersample, order=order)
        assert torch.equal(grads, again)


# float16 knows 11 bits, bfloat16 8; the images are of order one, their normalised numbers up to about 4.
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float16, 5e-3), (torch.bfloat16, 3e-2)])
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize(("channels", "width"), [(3, 24), (3, 23), (1, 20), (2, 16), (4, 12)])
def test_layouts_dtypes_and_normalisation(
    dtype: torch.dtype, tolerance: float, channels_last: bool, channels: int, width: int
) -> None:
    gaussians = ordinary(3, 12, channels, 20, 60).to(dtype)
    mean, std = torch.linspace(0.3, 0.6, channels), torch.linspace(0.2, 0.3, channels)
    images = cuda_host.render(gaussians, 21, width, dtype=dtype, channels_last=channels_last, mean=mean, std=std)
    expected = reference.splat(gaussians.double(), 21, width, mean=mean, std=std)
    assert images.dtype == dtype
    off = (images.double() - expected).abs() > tolerance
    assert off.sum() <= 3  # samples on the threshold, 1/255 of a colour over std


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize(("channels", "width"), [(3, 24), (3, 23), (1, 20), (2, 16), (4, 12)])
def test_the_gradient_takes_that_of_the_image_as_it_comes(
    dtype: torch.dtype, channels_last: bool, channels: int, width: int
) -> None:
    gaussians = ordinary(2, 9, channels, 20, 66)
    grad_images = torch.randn(2, channels, 21, width, generator=torch.Generator().manual_seed(1)).to(dtype)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    scale = torch.linspace(2.0, 5.0, channels)
    found = cuda_host.gradient(grad_images.contiguous(memory_format=layout), gaussians, scale=scale)
    plain = cuda_host.gradient(grad_images.float() * scale.view(1, -1, 1, 1), gaussians)
    assert torch.linalg.vector_norm(found - plain) <= 1e-5 * torch.linalg.vector_norm(plain)


def tile_lists(gaussians: torch.Tensor, height: int, width: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Every Gaussian that touches a tile of 32 x 32 pixels, and some that do not, in an order of their own."""
    generator = torch.Generator().manual_seed(seed)
    batch, count, _ = gaussians.shape
    offsets, ids = [], []
    for image in range(batch):
        alphas = reference.sample_alphas(
            gaussians[image : image + 1].double(), torch.ones(2).double(),
            torch.tensor([width, height]).double(), 0, 2 * height, 2 * width, 2,
        )[0]  # fmt: skip
        for y in range(0, height, 32):
            for x in range(0, width, 32):
                touching = (alphas[:, 2 * y : 2 * y + 64, 2 * x : 2 * x + 64] > 0).flatten(1).any(dim=1)
                touching |= torch.rand(count, generator=generator) < 0.2
                offsets.append(sum(map(len, ids)))
                chosen = touching.nonzero()[:, 0]
                ids.append(chosen[torch.randperm(len(chosen), generator=generator)] + image * count)
    return torch.tensor(offsets, dtype=torch.int32), torch.cat(ids).int()


@pytest.mark.parametrize("size", [(64, 96), (40, 33), (20, 12)])
def test_tile_lists_draw_the_same_image(size: tuple[int, int]) -> None:
    gaussians = ordinary(2, 30, 3, 60, 61)
    tiles = tile_lists(gaussians, *size, seed=1)
    images = cuda_host.render(gaussians, *size, tiles=tiles)
    assert (images - cuda_host.render(gaussians, *size)).abs().max() < 1e-5


def test_wrong_tile_lists_stay_inside_memory() -> None:
    gaussians = ordinary(1, 4, 3, 30, 62)
    offsets = torch.tensor([-5, 100, 3, 2], dtype=torch.int32)
    ids = torch.tensor([-1, 3, 4, 2**30, 0], dtype=torch.int32)
    assert cuda_host.render(gaussians, 64, 64, tiles=(offsets, ids)).isfinite().all()


def test_one_gaussian_shared_by_a_block_has_the_same_gradient() -> None:
    # 64 x 64 pixels and few Gaussians: all warps of a block share each; the same Gaussians in images that a warp
    # each serves must give the same numbers but for the order of their sums.
    gaussians = ordinary(1, 8, 3, 64, 63)
    grad_images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    shared = cuda_host.gradient(grad_images, gaussians)
    alone = cuda_host.gradient(grad_images.expand(600, -1, -1, -1), gaussians.repeat(600, 1, 1))
    assert (shared[0] - alone[0]).abs().max() <= 1e-4 * shared.abs().max()


def all_in_each_list(gaussians: torch.Tensor, height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Tile lists that leave nothing out."""
    tiles = -(-height // 32) * -(-width // 32)
    batch, count = gaussians.shape[:2]
    offsets = torch.arange(batch * tiles, dtype=torch.int32) * count
    ids = (torch.arange(batch)[:, None, None] * count + torch.arange(count)).expand(batch, tiles, count)
    return offsets, ids.reshape(-1).int().contiguous()


@pytest.mark.parametrize(
    "name", ["off-canvas", "far-off-canvas", "long-needles", "giants", "opacity-range", "not-finite"]
)
def test_leaving_out_what_misses_a_tile_changes_no_bit(name: str) -> None:
    gaussians, height, width, _, supersample = CASES[name]()
    height, width = 3 * height, 4 * width
    whole = cuda_host.render(
        gaussians, height, width, None, supersample, tiles=all_in_each_list(gaussians, height, width)
    )
    assert torch.equal(cuda_host.render(gaussians, height, width, None, supersample), whole)


@pytest.mark.parametrize(("size", "count"), [((48, 40), 1100), ((20, 40), 300)])
def test_packing_in_many_rounds_keeps_the_order(size: tuple[int, int], count: int) -> None:
    """More Gaussians than fit at once, some rounds of which leave few; and tiles of fewer warps than eight."""
    gaussians = ordinary(1, count, 3, 48, 64)
    gaussians[:, 256:700, 0] = -5.0  # nothing to pack
    gaussians[:, 700:, 2:5] *= 0.2
    whole = cuda_host.render(gaussians, *size, tiles=all_in_each_list(gaussians, *size))
    for order in (0, 1, 2, 3):
        assert torch.equal(cuda_host.render(gaussians, *size, order=order), whole)


def test_what_is_clipped_is_told_by_the_opacity_alone() -> None:
    """Opacities of 1 and less take the way without a clip, in one warp with those above 1."""
    gaussians = ordinary(1, 24, 3, 32, 65)
    gaussians[..., 2:5] = torch.tensor([1.0, 0.3, 0.8])
    gaussians[..., -1] = torch.tensor([1.0, 0.5, 1.5, 200.0]).repeat(6)
    images = cuda_host.render(gaussians, 32, 32)
    assert (images - reference.splat(gaussians.double(), 32, 32)).abs().max() < 1e-4
