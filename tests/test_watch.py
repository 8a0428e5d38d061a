"""``gsdd-rt watch``: who may see a run, what there is to see, and when it stops."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from distill_data import SMALL, blobs
from test_distill_checkpoint import StopError, stop_at

from gsdd_runtime.commands import watch
from gsdd_runtime.commands.cli import run
from gsdd_runtime.commands.watch_server import RunView, WatchServer
from gsdd_runtime.distillation import distill
from gsdd_runtime.distillation.checkpoint import Checkpoint, checkpoint_path
from gsdd_runtime.distillation.journal import read_log
from gsdd_runtime.distillation.unfinished import has_ended, set_of_checkpoint
from gsdd_runtime.errors import InputError
from gsdd_runtime.formats import log_path

DATA = blobs()
PIXELS = {"representation": "pixels", "gpc": 2}


def stopped_run(out: Path, **options: Any) -> None:
    """A run that was killed in the middle of matching: its log and its checkpoint stand there."""
    with pytest.raises(StopError):
        distill(
            DATA, device="cpu", out=out, checkpoint_interval=2, progress=stop_at("match", 6), **{**SMALL, **options}
        )


@pytest.fixture(scope="module")
def unfinished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "set.safetensors"
    stopped_run(out)
    return out


@pytest.fixture
def running(unfinished: Path) -> Iterator[Path]:
    """The run as if it went on: its log has no end, and its lock names a process that lives."""
    log, lock = log_path(unfinished), unfinished.with_name(f".{unfinished.name}.lock")
    whole = log.read_bytes()
    lines = whole.splitlines(keepends=True)
    log.write_bytes(b"".join(line for line in lines if json.loads(line)["record"] not in ("failed", "stopped")))
    lock.write_text(f"{os.getpid()}\n")
    yield unfinished
    log.write_bytes(whole)
    lock.unlink(missing_ok=True)


def asked(server: WatchServer, path: str, **headers: str) -> tuple[int, bytes, http.client.HTTPMessage]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    try:
        connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.headers
    finally:
        connection.close()


@pytest.mark.parametrize("options", [{}, {"coding": "entropy"}, PIXELS, {**PIXELS, "downscale": 2}])
def test_a_checkpoint_is_seen_as_a_set(options: dict[str, Any], tmp_path: Path) -> None:
    out = tmp_path / "set.safetensors"
    stopped_run(out, **options)
    place = checkpoint_path(out)
    seen = set_of_checkpoint(place, read_log(log_path(out)))
    assert seen is not None
    tensors = Checkpoint.load(place).tensors
    if seen.representation == "pixels":
        assert torch.equal(seen.pixels, tensors["parameter/pixels"].bfloat16())
    else:
        assert torch.equal(seen.gaussians[..., :2], tensors["parameter/position"].bfloat16())
        assert torch.equal(seen.gaussians[..., -1:], tensors["parameter/opacity"].bfloat16())
    assert seen.class_names == DATA.class_names
    assert seen.labels.tolist() == [label for label in range(3) for _ in range(seen.gpc)]
    assert seen.decode().shape == (3 * seen.gpc, 1, 12, 16)
    assert set_of_checkpoint(tmp_path / "none", []) is None


def test_whoever_knows_the_token_sees_the_run(running: Path) -> None:
    with WatchServer(RunView(running)) as server:
        status, page, headers = asked(server, f"/{server.token}/")
        assert status == 200
        assert b"Distilling: set" in page
        assert b"connect-src 'self'" in page
        assert headers["Cache-Control"] == "no-store"
        status, content, headers = asked(server, f"/{server.token}/state.json")
        document = json.loads(content)
        assert (status, document["ended"]) == (200, False)
        (shown,) = document["sets"]
        assert shown["status"].startswith("The run is matching: step")
        assert [curve["title"] for curve in shown["curves"]] == ["Loss, fitting the first images", "Loss, matching"]
        assert shown["gallery"]["labels"] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
        # What the page has already is not sent again; what is new is.
        assert asked(server, f"/{server.token}/state.json", If_None_Match=headers["ETag"])[0] == 304
        with open(log_path(running), "ab") as log:
            record = {"record": "step", "phase": "match", "step": 11, "total": 12, "loss": 0.5}
            log.write(json.dumps(record).encode() + b"\n")
        status, content, _ = asked(server, f"/{server.token}/state.json", If_None_Match=headers["ETag"])
        assert status == 200
        assert json.loads(content)["sets"][0]["curves"][1]["points"][-1] == [11, 0.5]


def test_nobody_else_sees_anything(running: Path) -> None:
    with WatchServer(RunView(running)) as server, WatchServer(RunView(running)) as other:
        assert server.token != other.token
        assert len(server.token) >= 32
        for path in ("/", "/state.json", f"/{other.token}/", f"/{server.token[:-1]}/", f"/{server.token}x/", "//"):
            assert asked(server, path)[0] == 403, path
        assert asked(server, f"/{server.token}/", Host="example.org")[0] == 403
        assert asked(server, f"/{server.token}/", Host=f"localhost:{server.port}")[0] == 200
        for path in ("set.safetensors", "../", "..%2f", "state.json/x"):
            assert asked(server, f"/{server.token}/{path}")[0] == 404, path
        # Bound to loopback alone.
        assert server._server.socket.getsockname()[0] == "127.0.0.1"
        with socket.socket() as client:
            client.settimeout(5)
            assert client.connect_ex(("127.0.0.2", server.port)) != 0


def test_a_run_that_is_gone_has_ended(running: Path, tmp_path: Path) -> None:
    records, lock = read_log(log_path(running)), running.with_name(f".{running.name}.lock")
    assert not has_ended(records, running)
    assert has_ended([*records, {"record": "end"}], running)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    lock.write_text(f"{gone.pid}\n")
    assert has_ended(records, running)
    lock.unlink()
    assert has_ended(records, running)


def test_what_is_no_run_is_refused(unfinished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["watch", str(tmp_path / "none.safetensors")]) == 2
    assert "none.safetensors.log.jsonl is not there" in capsys.readouterr().err
    assert run(["watch", str(unfinished)]) == 2
    assert "has ended: gsdd-rt report" in capsys.readouterr().err
    with WatchServer(RunView(unfinished)) as server, pytest.raises(InputError, match="--port"):
        WatchServer(RunView(unfinished), server.port)


def test_watching_stops_with_the_run(
    running: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended_meanwhile(seconds: float) -> None:
        address = capsys.readouterr().out
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{32,}/\n", address)
        with open(log_path(running), "ab") as log:
            log.write(b'{"record": "end", "total_seconds": 3}\n')

    monkeypatch.setattr(time, "sleep", ended_meanwhile)
    monkeypatch.setattr(watch, "GRACE", 0)
    assert run(["watch", str(running)]) == 0
    assert "has ended" in capsys.readouterr().err


@pytest.mark.browser
def test_the_page_follows_the_run(running: Path, tmp_path: Path) -> None:
    from browser import Browser

    with WatchServer(RunView(running)) as server, Browser(tmp_path / "profile") as browser:
        browser.open(server.address)
        assert browser.run("page.galleries[0].images.length") == 9
        browser.run("document.querySelector('#gallery .thumbnail').click()")
        before = browser.run("document.querySelector('.status').textContent")
        with open(log_path(running), "ab") as log:
            record = {"record": "step", "phase": "match", "step": 12, "total": 12, "loss": 0.5}
            log.write(json.dumps(record).encode() + b"\n")
        browser.wait(f"document.querySelector('.status').textContent !== {json.dumps(before)}")
        assert browser.run("viewer.dialog.open")
        with open(log_path(running), "ab") as log:
            log.write(b'{"record": "end", "total_seconds": 3}\n')
        browser.wait("document.getElementById('following').textContent === 'The run has ended.'")
        assert server.told_end
        assert browser.problems == []
        assert {address.partition(server.token)[0] for address in browser.requests} == {
            f"http://127.0.0.1:{server.port}/"
        }
