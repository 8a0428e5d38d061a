"""A small file can ask for more memory than there is, or for hours of drawing: refused before anything is spent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from set_files import edited, pixel_set, saved, some_set

import gsdd_runtime as gsdd
from gsdd_runtime import memory
from gsdd_runtime.commands.cli import run
from gsdd_runtime.decoders import check_batch_memory
from gsdd_runtime.decoders.torch import TorchDecoder
from gsdd_runtime.errors import InputError
from gsdd_runtime.export.onnx import export_onnx
from gsdd_runtime.reports.pictures import write_decoded
from gsdd_runtime.sets import cost
from gsdd_runtime.sets.compression import compress
from gsdd_runtime.sets.cost import check_image_memory


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> int:
    """A megabyte is free."""
    monkeypatch.setattr(memory, "UNASKED_BYTES", 0)
    monkeypatch.setattr(memory, "available_memory", lambda: 10**6)
    return 10**6


def heavy(images: int = 300, count: int = 300) -> gsdd.DistilledSet:
    """A file of half a megabyte whose Gaussians all cover the largest image there is: 2.4e13 pairs."""
    gaussians = torch.zeros(images, count, 7)
    gaussians[..., 2] = gaussians[..., 4] = 30_000
    gaussians[..., 5:] = 1
    return gsdd.DistilledSet(gaussians.bfloat16(), torch.zeros(images).long(), 16384, 16384, mean=[0.0], std=[1.0])


# Memory


def test_the_machine_and_each_cgroup_bound_what_is_free(tmp_path: Path) -> None:
    def put(name: str, text: str) -> None:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    def free() -> int:
        return memory.available_memory(tmp_path)

    assert free() > 0
    put("proc/meminfo", "MemTotal: 64000 kB\nMemFree: 10 kB\nMemAvailable:   32000 kB\n")
    assert free() == 32_768_000
    put("proc/self/cgroup", "0::/work/job\n")
    put("sys/fs/cgroup/work/job/memory.max", "max\n")
    put("sys/fs/cgroup/work/job/memory.current", "3000000\n")
    assert free() == 32_768_000
    put("sys/fs/cgroup/work/memory.max", "9000000\n")
    put("sys/fs/cgroup/work/memory.current", "5000000\n")
    put("sys/fs/cgroup/work/memory.stat", "anon 1\ninactive_file 300\nactive_file 20\n")
    assert free() == 4_000_320
    put("sys/fs/cgroup/work/job/memory.max", "1000000\n")
    put("sys/fs/cgroup/work/job/memory.stat", "anon 1\n")
    assert free() == 0
    put("proc/self/cgroup", "9:cpu:/\n4:cpu,memory:/docker/0123\n")
    put("sys/fs/cgroup/memory/memory.limit_in_bytes", "2000000\n")
    put("sys/fs/cgroup/memory/memory.usage_in_bytes", "1900000\n")
    put("sys/fs/cgroup/memory/memory.stat", "inactive_file 5\ntotal_inactive_file 7\ntotal_active_file 8\n")
    assert free() == 100_015


def test_this_machine_has_memory_left() -> None:
    assert 10**6 < memory.available_memory() < 10**15


DECODES: dict[str, Callable[[gsdd.DistilledSet], object]] = {
    "decode": lambda distilled: distilled.decode(height=200, width=200),
    "decoder": lambda distilled: TorchDecoder(distilled, size=(200, 200)).decode(range(12)),
    "loader": lambda distilled: gsdd.DistilledLoader(distilled, 12, device="cpu", size=(200, 200)),
    "dataset": lambda distilled: gsdd.DistilledDataset(distilled, size=(200, 200)).__getitems__(range(12)),
}


@pytest.mark.parametrize("name", DECODES)
@pytest.mark.usefixtures("little_memory")
def test_images_that_do_not_fit_the_free_memory_are_refused_with_the_number(name: str) -> None:
    with pytest.raises(InputError, match=r"decoding 12 images at once would take 1\.9 MB, 1\.0 MB of memory are free"):
        DECODES[name](some_set(images=12))


@pytest.mark.usefixtures("little_memory")
def test_what_fits_is_decoded() -> None:
    assert some_set(images=12).decode(range(5), 200, 200).shape == (5, 1, 200, 200)
    with pytest.raises(InputError, match="at once would take"):
        some_set(images=12).decode(range(7), 200, 200)
    assert some_set(images=12).decode(range(7), 200, 200, dtype=torch.float16).shape[0] == 7


@pytest.mark.usefixtures("little_memory")
def test_working_copies_and_rows_count() -> None:
    pixels = pixel_set()
    assert pixels.decode(range(2), 180, 180).shape[0] == 2
    for options in ({"normalize": True}, {"dtype": torch.float16}):
        with pytest.raises(InputError, match="at once would take"):
            pixels.decode(range(2), 180, 180, **options)
    with pytest.raises(InputError, match="decoding 20000 images at once"):
        some_set().decode([0] * 20_000, 1, 1)


@pytest.mark.usefixtures("little_memory")
def test_batches_of_exported_decoders_are_asked_for(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    from gsdd_runtime.decoders.onnxruntime import OnnxRuntimeDecoder

    path = export_onnx(some_set(images=12), tmp_path / "decoder.onnx", size=(200, 200))
    with pytest.raises(InputError, match="take smaller batches"):
        gsdd.DistilledLoader(path, 12, device="cpu")
    decoder = OnnxRuntimeDecoder(path)
    assert decoder.decode(range(3))[0].shape[0] == 3
    with pytest.raises(InputError, match=r"decoding 12 images at once would take 1\.9 MB"):
        decoder.decode(None)


def test_a_coded_file_is_not_opened_where_its_numbers_do_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path, compress(some_set(images=3000)).distilled_set)
    monkeypatch.setattr(memory, "UNASKED_BYTES", 0)
    monkeypatch.setattr(memory, "available_memory", lambda: 10**6)
    with pytest.raises(InputError, match=r"decoding its coded images would take 1\.5 MB, 1\.0 MB of memory are free"):
        gsdd.DistilledSet.load(path)


def test_a_cuda_device_is_asked_for_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    class Properties:
        total_memory = 10**9

    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: Properties)
    device = torch.device("cuda", 0)
    check_image_memory(10, 10**8, device, "")
    with pytest.raises(InputError, match=r"would take 1\.1 GB, cuda:0 has 1\.0 GB: decode fewer"):
        check_image_memory(11, 10**8, device, "decode fewer")

    class Decoder:
        channels, height, width, dtype = 1, 10**4, 10**4, torch.bfloat16

    Decoder.device = device
    check_batch_memory(Decoder, 5)
    with pytest.raises(InputError, match="smaller batches"):
        check_batch_memory(Decoder, 6)


def test_the_command_says_how_much_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The numbers of a machine: 4 GB for one image, where 2 GB are free."""
    monkeypatch.setattr(memory, "available_memory", lambda: 2 * 10**9)
    path = saved(tmp_path, some_set(channels=4))
    assert run(["decode", str(path), "--out", str(tmp_path / "out.npy"), "--size", "16384x16384"]) == 2
    assert "would take 4.3 GB, 2.0 GB of memory are free" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [path]


# Drawing

DRAWS: dict[str, Callable[[gsdd.DistilledSet, Path], object]] = {
    "decoder": lambda distilled, folder: TorchDecoder(distilled),
    "loader": lambda distilled, folder: gsdd.DistilledLoader(distilled, 1, device="cpu"),
    "dataset": lambda distilled, folder: gsdd.DistilledDataset(distilled),
    "folder": lambda distilled, folder: write_decoded(distilled, folder / "out"),
    "array": lambda distilled, folder: write_decoded(distilled, folder / "out.npy", range(299)),
    "onnx": lambda distilled, folder: export_onnx(distilled, folder / "out.onnx"),
}


@pytest.mark.parametrize("name", DRAWS)
def test_hours_of_drawing_are_refused_with_the_number(name: str, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"is hours of work, 2\.4e\+13 pairs of a Gaussian and a pixel, at most 1e\+13"
    ):
        DRAWS[name](heavy(), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_one_call_of_hours_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_memory", lambda: 10**15)
    for indices in (None, range(1, 200), torch.arange(150)):
        with pytest.raises(InputError, match="is hours of work"):
            heavy().decode(indices)


def test_many_gaussians_that_cover_little_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """All pixels times all Gaussians are beyond the limit; those that meet are not."""
    distilled = some_set()
    everything = 6 * 4 * 400 * 400
    monkeypatch.setattr(cost, "MAX_PAIRS", everything - 1)
    gaussians = torch.zeros(6, 4, 7)
    gaussians[..., 5:] = 1
    small = gsdd.DistilledSet(gaussians.bfloat16(), distilled.labels, 400, 400)
    assert small.decode().shape == (6, 1, 400, 400)
    small.check_drawing([0, 3, 3])
    monkeypatch.setattr(cost, "MAX_PAIRS", 6 * 4 * 4)
    with pytest.raises(InputError, match="is hours of work"):
        small.check_drawing()
    gaussians[..., 2] = gaussians[..., 4] = 3000
    monkeypatch.setattr(cost, "MAX_PAIRS", everything - 1)
    wide = gsdd.DistilledSet(gaussians.bfloat16(), distilled.labels, 400, 400)
    with pytest.raises(InputError, match=f"{everything:.1e} pairs".replace("+", r"\+")):
        wide.check_drawing()
    wide.check_drawing(range(5))


def test_parts_are_looked_at_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    distilled = heavy(40, 30)
    monkeypatch.setattr(cost, "MAX_PAIRS", 10**10)
    seen = []
    for part in (7, 100):
        monkeypatch.setattr(cost, "_PART", part)
        for indices in (None, torch.arange(40).flip(0)):
            with pytest.raises(InputError) as caught:
                distilled.check_drawing(indices)
            seen.append(str(caught.value))
    assert len(set(seen)) == 1
    assert f"{40 * 30 * 16384**2:.1e} pairs" in seen[0]


def test_what_costs_nothing_to_draw_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of a large set is read on opening it."""
    monkeypatch.setattr(gsdd.DistilledSet, "rows", None)
    some_set().check_drawing()


def test_a_stranger_file_of_huge_images_is_refused_by_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = saved(tmp_path, heavy())
    assert run(["decode", str(path), "--out", str(tmp_path / "out")]) == 2
    assert "is hours of work" in capsys.readouterr().err
    edited(path, lambda fields: fields.update(height=12, width=10))
    assert run(["decode", str(path), "--out", str(tmp_path / "out"), "--indices", "0:2"]) == 0
