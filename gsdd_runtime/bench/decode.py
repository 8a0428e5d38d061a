"""``gsdd-rt bench decode``: the decoder against its peers, point by point."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from gsdd_runtime.bench.images import fashion_images, real_images
from gsdd_runtime.bench.machine import describe_machine, load_average, usable_cores
from gsdd_runtime.bench.peers import Peer
from gsdd_runtime.bench.peers.dense import Dense
from gsdd_runtime.bench.peers.gaussians import Gaussians, GaussiansBackward
from gsdd_runtime.bench.peers.jpeg import Encoding, Jpeg, at_equal_bytes, at_equal_quality, library
from gsdd_runtime.bench.peers.raw import Raw
from gsdd_runtime.bench.peers.siren import Siren
from gsdd_runtime.bench.points import DEFAULT_POINTS, Point, Workload, fitted_workload, random_workload
from gsdd_runtime.bench.timing import Timed, interleaved_rounds, summary
from gsdd_runtime.errors import InputError
from gsdd_runtime.progress import Progress, Reporter, silent
from gsdd_runtime.splatting.op import splat

IMAGES = 16
FIT_STEPS = 600
SEED = 0
# Contestants of one workload at most: what the progress display counts with.
_FITTED_CONTESTANTS, _RANDOM_CONTESTANTS = 7, 3


def run_decode_bench(
    points: Sequence[Point] | None = None,
    *,
    rounds: int = 5,
    threads: int | None = None,
    images: int = IMAGES,
    fit_steps: int = FIT_STEPS,
    progress: Reporter = silent,
) -> dict[str, Any]:
    """Measures decoding into float32 ``[batch, C, H, W]`` on the CPU.

    Every point is measured with parameters fitted to real images, and on all threads with random ones too. The
    contestants of a point run interleaved, ``rounds`` times; a ratio is formed within a round, and its median and
    extremes over the rounds are reported, so that a busy machine slows all alike.

    Args:
        points: what to measure; DEFAULT_POINTS if left out.
        rounds: at least 1.
        threads: of torch; left out, one thread and then as many as this process may use cores.
        images: that parameters are fitted to, at each point.
        fit_steps: of that fit.
        progress: told of every fit and every timing.

    Returns:
        A document of plain JSON types: ``machine``, ``settings``, ``fidelity`` (one entry a point) and ``results``
        (one entry for each point, kind of parameters and number of threads).

    Raises:
        InputError: an option out of range.
        LibraryNotBuiltError: the native library is not installed.
    """
    points = DEFAULT_POINTS if points is None else tuple(points)
    for name, value in (("rounds", rounds), ("threads", threads), ("images", images), ("fit_steps", fit_steps)):
        if value is not None and value < 1:
            raise InputError(f"{name} must be at least 1, got {value}")
    thread_counts = sorted({1, usable_cores()}) if threads is None else [threads]
    contestants = len(thread_counts) * _FITTED_CONTESTANTS + _RANDOM_CONTESTANTS
    tick = _ticker(progress, len(points) * (1 + contestants * (rounds + 1)))
    machine = describe_machine()
    photographs, fashion = real_images(), fashion_images()
    fidelity, results = [], []
    for point in points:
        source = fashion if point == Point(28, 28, 1) else photographs
        fitted = fitted_workload(point, source, images, fit_steps, SEED)
        tick()
        encodings = _encodings(fitted)
        fidelity.append(_fidelity(fitted, encodings, source.name))
        torch._dynamo.reset()
        workloads = [(fitted, count) for count in thread_counts]
        for workload, count in [*workloads, (random_workload(point, images, SEED), thread_counts[-1])]:
            with _torch_threads(count):
                peers, skipped = _contestants(workload, encodings, count)
                subjects = {peer.name: Timed(peer.decode, peer.images) for peer in peers}
                load = load_average()
                speeds = interleaved_rounds(subjects, rounds, tick)
            results.append(_result(workload, count, load, peers, speeds, skipped))
    return {
        "benchmark": "decode",
        "machine": machine,
        "settings": {"rounds": rounds, "images": images, "fit_steps": fit_steps, "jpeg": library()},
        "fidelity": fidelity,
        "results": results,
    }


def _contestants(workload: Workload, encodings: dict[str, Encoding], threads: int) -> tuple[list[Peer], dict[str, str]]:
    """Those that run here, and why the others do not. Random parameters decode to no image worth compressing."""
    makers: list[Callable[[], Peer]] = [
        lambda: Gaussians(workload),
        lambda: GaussiansBackward(workload),
        lambda: Dense(workload),
    ]
    if workload.images is not None:
        makers += [lambda: Siren(workload), lambda: Raw(workload)]
        makers += [lambda kind=kind: Jpeg(workload, encodings[kind], kind, threads) for kind in encodings]  # type: ignore[misc]
    peers, skipped = [], {}
    for maker in makers:
        peer = maker()
        try:
            peer.decode()
        except torch._dynamo.exc.TorchDynamoException as error:
            # torch.compile needs a C++ compiler at run time, which a machine that only decodes may lack.
            skipped[peer.name] = str(error).strip().splitlines()[0]
            continue
        peers.append(peer)
    return peers, skipped


def _result(
    workload: Workload,
    threads: int,
    load: float | None,
    peers: list[Peer],
    speeds: dict[str, list[float]],
    skipped: dict[str, str],
) -> dict[str, Any]:
    ours = speeds[Gaussians.name]
    entries = {}
    for peer in peers:
        theirs = speeds[peer.name]
        entries[peer.name] = {
            "times_slower_than_gsdd": summary([our / their for our, their in zip(ours, theirs, strict=True)]),
            "images_per_second": summary(theirs),
            "rounds": theirs,
            "images_at_once": peer.images,
            "bytes_per_image": peer.bytes_per_image,
            "note": peer.note,
        }
    return {
        **_describe(workload.point),
        "parameters": workload.parameters,
        "threads": threads,
        "load_average": load,
        "contestants": entries,
        "skipped": skipped,
    }


def _describe(point: Point) -> dict[str, Any]:
    return {"gaussians": point.count, "side": point.side, "channels": point.channels, "point": point.name}


def _encodings(workload: Workload) -> dict[str, Encoding]:
    return {
        "bytes": at_equal_bytes(workload.real_images, workload.point.bytes_per_image),
        "quality": at_equal_quality(workload.real_images, _psnr(workload)),
    }


def _psnr(workload: Workload) -> float:
    """Mean over the images of the peak signal to noise ratio in dB, clamped to what uint8 pixels can show."""
    side = workload.point.side
    decoded = splat(workload.gaussians, side, side).clamp(0, 1)
    errors = (decoded - workload.real_images / 255).square().mean(dim=(1, 2, 3))
    return float((-10 * errors.log10()).mean())


def _fidelity(workload: Workload, encodings: dict[str, Encoding], source: str) -> dict[str, Any]:
    return {
        **_describe(workload.point),
        "images": source,
        "gsdd": {"bytes_per_image": workload.point.bytes_per_image, "psnr": _psnr(workload)},
        **{
            f"jpeg_at_equal_{kind}": {
                "bytes_per_image": encoding.bytes_per_image, "psnr": encoding.psnr, "quality": encoding.quality,
            }
            for kind, encoding in encodings.items()
        },
    }  # fmt: skip


@contextmanager
def _torch_threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _ticker(progress: Reporter, total: int) -> Callable[[], None]:
    done = 0

    def tick() -> None:
        nonlocal done
        done = min(done + 1, total)
        progress(Progress("bench", done, total))

    return tick
