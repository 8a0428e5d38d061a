"""The example page decodes an exported set in a browser, by onnxruntime-web in WebAssembly, as the reference does."""

from __future__ import annotations

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from shutil import copy

import numpy as np
import pytest
from browser import Browser
from other_runtimes import WEB, web_missing
from set_files import some_set

from gsdd_runtime import reference
from gsdd_runtime.commands.cli import run

PAGE = Path(__file__).parents[1] / "examples" / "web" / "decode.html"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.mark.browser
def test_the_example_decodes_a_set_in_webassembly(tmp_path: Path) -> None:
    reason = web_missing()
    if reason is not None:
        pytest.skip(reason)
    folder = tmp_path / "site"
    folder.mkdir()
    distilled = some_set(channels=3)
    distilled.save(tmp_path / "set.safetensors")
    assert run(["export", str(tmp_path / "set.safetensors"), "--onnx", str(folder / "decoder.onnx")]) == 0
    copy(PAGE, folder)
    (folder / "ort").symlink_to(WEB / "node_modules" / "onnxruntime-web" / "dist")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        with Browser(tmp_path / "profile") as browser:
            browser.open(f"http://127.0.0.1:{server.server_address[1]}/decode.html?indices=5,0,3")
            decoded = browser.run("decoded")
            pixel = browser.run("""(() => { const c = document.querySelectorAll("canvas")[1];
                return [...c.getContext("2d").getImageData(0, 0, c.width, c.height).data]; })()""")
    finally:
        server.shutdown()
        server.server_close()
    chosen = [5, 0, 3]
    exact = reference.splat(distilled.rows(chosen).double(), 12, 10)
    found = np.array(decoded["images"]).reshape(exact.shape)
    assert np.abs(found - exact.numpy()).max() < 1e-5
    assert decoded["labels"] == distilled.labels[chosen].tolist()
    shown = np.array(pixel).reshape(12, 10, 4)[..., :3]
    assert np.abs(shown - 255 * exact[1].clamp(0, 1).permute(1, 2, 0).numpy()).max() <= 0.51
