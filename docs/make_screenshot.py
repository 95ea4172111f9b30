"""Draw docs/images/result_page.png: the page's answer for a synthetic sample visit, as Chromium shows it.

Run in the project's environment: `python docs/make_screenshot.py BUNDLE VISIT`, with a bundle folder and a
participant's folder in an fMRIPrep output, such as demo/sample/derivatives/fmriprep/sub-001 of `make run`.
"""

from __future__ import annotations

import argparse
import io
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

IMAGE = Path(__file__).parent / "images/result_page.png"
CHROMIUM = "/usr/bin/chromium"
WIDTH, HEIGHT = 1000, 880
COLOURS = 64  # a page has few; the file must stay small
MAX_BYTES = 200_000


def main() -> None:
    """Serve the visit, score it by the button of the page, and keep what is seen."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("visit", type=Path)
    arguments = parser.parse_args()
    with _service(arguments.bundle.resolve(), arguments.visit.resolve()) as address:
        content = _compact(_picture(address))
    if len(content) > MAX_BYTES:
        sys.exit(f"{len(content)} bytes are more than the {MAX_BYTES} allowed")
    IMAGE.write_bytes(content)
    sys.stdout.write(f"{IMAGE.name}: {len(content)} bytes\n")


@contextmanager
def _service(bundle: Path, visit: Path) -> Iterator[str]:
    """Lend the address of a service with that sample visit."""
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        port = asked.getsockname()[1]
    krp = Path(sys.executable).with_name("krp")
    with tempfile.TemporaryDirectory() as place:
        command = [krp, "serve", "--bundle", bundle, "--sample-visit", visit, "--port", str(port), "--quiet"]
        process = subprocess.Popen(command, cwd=place, env=os.environ | {"KRP_LOG_LEVEL": "error"})
        try:
            _wait(f"http://127.0.0.1:{port}/health/ready", process)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(timeout=30)


def _wait(address: str, process: subprocess.Popen[bytes], *, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=2).close()
            return
        except OSError:
            time.sleep(0.2)
    sys.exit("the service does not answer")


def _picture(address: str) -> bytes:
    """Return the result page of the sample visit."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        page.goto(address)
        page.get_by_role("button", name="Score the sample visit").first.click()
        page.wait_for_url("**/results/*")
        page.wait_for_load_state("networkidle")
        content: Any = page.screenshot()
        browser.close()
    return bytes(content)


def _compact(png: bytes) -> bytes:
    """Return the picture in few colours."""
    image = Image.open(io.BytesIO(png)).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    packed = io.BytesIO()
    image.save(packed, "PNG", optimize=True)
    return packed.getvalue()


if __name__ == "__main__":
    main()
