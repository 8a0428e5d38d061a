"""Which device a name stands for: CUDA where the kernel can run on it, and one line on why where it cannot."""

from __future__ import annotations

import pytest
import torch
from gpu_machine import simulate

from gsdd_runtime.devices import cuda_problem, resolve_device
from gsdd_runtime.errors import InputError, LibraryNotBuiltError


def test_auto_without_a_device_is_the_cpu_and_says_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto") == torch.device("cpu")
    assert capsys.readouterr() == ("", "")


def test_auto_takes_the_device_that_the_kernel_was_built_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    simulate(monkeypatch, architectures="80-real 90-real")
    assert resolve_device("auto") == torch.device("cuda", 0)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("machine", "why", "remedy"),
    [
        ({"architectures": ""}, "built without its CUDA kernel", "make build"),
        (
            {"architectures": "80-real 90-real", "capability": (7, 5)},
            "not for compute capability 7.5 (NVIDIA Pretend)",
            "CMAKE_CUDA_ARCHITECTURES=75",
        ),
        ({"architectures": "90-real", "refusal": "CUDA driver version is insufficient"}, "is insufficient", "doctor"),
    ],
)
def test_a_device_that_the_kernel_cannot_run_on(
    machine: dict[str, object],
    why: str,
    remedy: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    simulate(monkeypatch, **machine)
    for _ in range(3):
        assert resolve_device("auto") == torch.device("cpu")
    out, said = capsys.readouterr()
    assert out == ""
    assert said.count("\n") == 1
    assert said.startswith("gsdd-rt: ")
    assert why in said
    assert remedy in said
    with pytest.raises(InputError) as caught:
        resolve_device("cuda")
    assert why in str(caught.value)
    assert remedy in str(caught.value)
    assert "choose cpu" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_library_that_is_not_built_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    simulate(monkeypatch)

    def missing() -> str:
        raise LibraryNotBuiltError("libgsdd_torch.so is not built: run `make build`")

    monkeypatch.setattr("gsdd_runtime.devices.kernel_architectures", missing)
    assert cuda_problem(0) == "libgsdd_torch.so is not built: run `make build`"


@pytest.mark.parametrize(
    ("architectures", "capability", "fits"),
    [
        ("75-real 80-real", (8, 0), True),
        # Machine code serves later minor versions of its major one, PTX everything later.
        ("75-real 80-real", (8, 9), True),
        ("89-real", (8, 6), False),
        ("80-real", (9, 0), False),
        ("80-virtual", (12, 0), True),
        ("80", (9, 0), True),
        ("90-virtual", (8, 9), False),
        ("100-real 120-real 120-virtual", (10, 3), True),
        ("120-real", (1, 2), False),
        # Machine code of one device alone, and of its family.
        ("90a-real", (9, 0), True),
        ("100a-real", (10, 3), False),
        ("100f-real", (10, 3), True),
    ],
)
def test_what_the_kernel_was_built_for(
    architectures: str, capability: tuple[int, int], fits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulate(monkeypatch, architectures=architectures, capability=capability)
    assert (cuda_problem(0) is None) == fits


def test_the_library_says_what_it_was_built_for() -> None:
    from gsdd_runtime.devices import kernel_architectures

    words = kernel_architectures().split()
    assert all(word.split("-")[0].rstrip("af").isdigit() for word in words)


def test_cuda_is_the_current_device(monkeypatch: pytest.MonkeyPatch) -> None:
    simulate(monkeypatch, architectures="90-real", count=4, current=2)
    assert resolve_device("cuda") == torch.device("cuda", 2)
    assert resolve_device("auto") == torch.device("cuda", 2)
    assert resolve_device("cuda:1") == torch.device("cuda", 1)
    assert resolve_device(torch.device("cuda", 3)) == torch.device("cuda", 3)


def test_cuda_is_the_device_of_the_local_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    simulate(monkeypatch, architectures="90-real", count=4)
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert resolve_device("cuda") == torch.device("cuda", 3)
    assert resolve_device("auto") == torch.device("cuda", 3)
    assert resolve_device("cuda:0") == torch.device("cuda", 0)
    # A device that the program made current is not overruled.
    simulate(monkeypatch, architectures="90-real", count=4, current=1)
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert resolve_device("cuda") == torch.device("cuda", 1)
    # A launcher that shows each process its own device alone.
    simulate(monkeypatch, architectures="90-real", count=1)
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert resolve_device("cuda") == torch.device("cuda", 0)


def test_more_ranks_than_devices_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    simulate(monkeypatch, architectures="90-real", count=2)
    monkeypatch.setenv("LOCAL_RANK", "2")
    for name in ("cuda", "auto"):
        with pytest.raises(InputError, match="LOCAL_RANK is 2, and there are 2 CUDA devices"):
            resolve_device(name)


def test_ranks_without_a_kernel_all_stay_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    simulate(monkeypatch, count=2)
    monkeypatch.setenv("LOCAL_RANK", "2")
    assert resolve_device("auto") == torch.device("cpu")


def test_a_tensorrt_engine_runs_on_the_device_of_the_local_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    from gsdd_runtime.decoders import tensorrt

    simulate(monkeypatch, count=4)
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert tensorrt._cuda_device(None) == torch.device("cuda", 3)
    assert tensorrt._cuda_device("cuda:1") == torch.device("cuda", 1)


def test_a_device_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    simulate(monkeypatch, architectures="90-real", count=2)
    with pytest.raises(InputError, match=r"'cuda:2' was asked for, and torch .* sees 2 CUDA devices: choose"):
        resolve_device("cuda:2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(InputError, match=r"'cuda' was asked for, and torch .* sees no CUDA device: choose cpu"):
        resolve_device("cuda")
    with pytest.raises(InputError, match="'tpu' is not known"):
        resolve_device("tpu")
    with pytest.raises(InputError, match="'meta' is not supported"):
        resolve_device("meta")
