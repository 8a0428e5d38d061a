"""A headless Chromium that tests look through: driven over a pair of pipes, without a port and without a library."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# WebGL2 without a GPU; a container gives no namespaces and little shared memory.
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--use-gl=angle", "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader", "--disable-extensions", "--disable-background-networking", "--disable-sync",
    "--no-first-run", "--mute-audio", "--remote-debugging-pipe",
)  # fmt: skip
SECONDS = 60


def browser_missing() -> str | None:
    return None if _program() else "no Chromium is installed: apt-get install chromium"


def _program() -> str | None:
    named = os.environ.get("GSDD_BROWSER")
    return named or next(filter(None, map(shutil.which, NAMES)), None)


class NoAnswerError(AssertionError):
    """The browser refused a command: where a page is just left or entered, there is nothing to ask."""


class Browser:
    """A browser with one page. Use it as a context.

    Attributes:
        requests: addresses that the page asked for, in order.
        problems: what it threw or wrote to the console as an error or a warning.
    """

    def __init__(self, profile: Path) -> None:
        to_browser, self._write = os.pipe()
        self._read, from_browser = os.pipe()
        program = _program()
        assert program is not None

        def place() -> None:
            # It reads from 3 and writes to 4; the ends may stand in each other's place.
            one, other = os.dup(to_browser), os.dup(from_browser)
            os.dup2(one, 3)
            os.dup2(other, 4)

        self._process = subprocess.Popen(
            [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            preexec_fn=place, close_fds=False,
        )  # fmt: skip
        os.close(to_browser)
        os.close(from_browser)
        self._buffer = b""
        self._count = 0
        self._session: str | None = None
        self.requests: list[str] = []
        self.problems: list[str] = []
        page = next(one for one in self.send("Target.getTargets")["targetInfos"] if one["type"] == "page")
        self._session = self.send("Target.attachToTarget", targetId=page["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.send(f"{domain}.enable")

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._session = None
            self.send("Browser.close")
            self._process.wait(SECONDS)
        finally:
            self._process.kill()
            self._process.wait()
            os.close(self._write)
            os.close(self._read)

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the DevTools protocol, and its answer."""
        self._count += 1
        message: dict[str, Any] = {"id": self._count, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._write, data) :]
        while True:
            answer = self._next()
            if answer.get("id") == self._count:
                if "error" in answer:
                    raise NoAnswerError(f"{method}: {answer['error']}")
                return answer["result"]

    def _next(self) -> dict[str, Any]:
        """The next message; what it tells besides answers is kept."""
        while b"\0" not in self._buffer:
            assert select.select([self._read], [], [], SECONDS)[0], "the browser does not answer"
            read = os.read(self._read, 1 << 20)
            assert read, "the browser has gone"
            self._buffer += read
        line, _, self._buffer = self._buffer.partition(b"\0")
        told = json.loads(line)
        about, parameters = told.get("method"), told.get("params", {})
        if about == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])
        elif about == "Runtime.exceptionThrown":
            details = parameters["exceptionDetails"]
            self.problems.append(details.get("exception", {}).get("description") or details["text"])
        elif about == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "warning"):
            self.problems.append(" ".join(str(one.get("value", one.get("description"))) for one in parameters["args"]))
        elif about == "Log.entryAdded" and parameters["entry"]["level"] == "error":
            self.problems.append(parameters["entry"]["text"])
        return told

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression in the page, awaited; JSON values alone."""
        answer = self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"].get("exception", answer)
        return answer["result"].get("value")

    def wait(self, condition: str) -> None:
        """Until a JavaScript expression is true."""
        end = time.monotonic() + SECONDS
        while not self._holds(condition):
            assert time.monotonic() < end, f"not within {SECONDS} seconds: {condition}; {self.problems}"
            time.sleep(0.02)

    def _holds(self, condition: str) -> bool:
        try:
            return bool(self.run(f"Boolean({condition})"))
        except NoAnswerError:
            return False

    def open(self, address: str) -> None:
        """Goes to an address, and waits until the page of ours there is ready."""
        self.requests.clear()
        self.problems.clear()
        # Going to a fragment of the same page would not load it anew.
        self.send("Page.navigate", url="about:blank")
        self.wait("location.href === 'about:blank'")
        self.send("Page.navigate", url=address)
        self.wait("document.readyState === 'complete' && document.body.dataset.ready")

    def size(self, width: int, height: int, *, ratio: float = 1, phone: bool = False, dark: bool = False) -> None:
        screen = {"width": width, "height": height, "deviceScaleFactor": ratio, "mobile": phone}
        self.send("Emulation.setDeviceMetricsOverride", **screen)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])

    def press(self, key: str) -> None:
        """A key as a person presses it."""
        codes = {"ArrowLeft": 37, "ArrowRight": 39, "Escape": 27, "Enter": 13, "Tab": 9}
        text = {"text": "\r"} if key == "Enter" else {"text": key} if len(key) == 1 else {}
        code = codes.get(key, ord(key.upper()) if len(key) == 1 else 0)
        self.send("Input.dispatchKeyEvent", type="keyDown", key=key, windowsVirtualKeyCode=code, **text)
        self.send("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    def picture(self, path: Path) -> None:
        """What is seen once all that the page has drawn is on the screen, as a PNG."""
        self.run("new Promise((seen) => requestAnimationFrame(() => requestAnimationFrame(seen)))")
        path.write_bytes(base64.b64decode(self.send("Page.captureScreenshot")["data"]))
