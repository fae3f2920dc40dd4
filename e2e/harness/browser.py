"""Headless Chromium, from Debian, and the accessibility checker axe-core, from npm.

    python -m e2e.harness.browser      installs what is missing

Where Chromium can't be had, tests of pages are skipped, loudly; with REQUIRE_BROWSER=1 they fail.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

from e2e.harness.build import CACHE
from e2e.harness.debian import NotInstalled, install

_PACKAGES = ("chromium", "chromium-driver")
_AXE = "axe-core-4.14.1.tgz"
_AXE_SHA512 = "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="
"""As npm tells it: `npm view axe-core@4.14.1 dist.integrity`."""
_FLAGS = (
    "--headless=new",
    "--no-sandbox",  # root in a container; it only sees pages of ours
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-proxy-server",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--disable-lcd-text",
    "--lang=en",
)


class NoBrowser(Exception):
    """Chromium is not there and can't be installed; says why."""


def ensure_chromium() -> None:
    """Install Chromium and its driver if they are missing and we may. Raises NoBrowser."""
    if all(map(shutil.which, ("chromium", "chromedriver"))):
        return
    try:
        install(_PACKAGES, "browser", "133 MB, about 15 s")
    except NotInstalled as reason:
        raise NoBrowser(f"{reason}, or go without the tests of pages") from reason


def axe() -> str:
    """The source of axe-core, the very one that is pinned here. Raises NoBrowser if it can't be fetched."""
    archive = CACHE / "axe" / _AXE
    if not archive.exists():
        archive.parent.mkdir(parents=True, exist_ok=True)
        package = _AXE.removesuffix(".tgz").replace("core-", "core@")
        _say(f"fetching {package} from npm")
        with tempfile.TemporaryDirectory(dir=archive.parent) as folder:
            command = ["npm", "pack", "--silent", package]
            try:
                subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=120)
            except (OSError, subprocess.SubprocessError) as error:
                raise NoBrowser(f"npm pack {package}: {error}") from error
            (Path(folder) / _AXE).rename(archive)
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if digest != _AXE_SHA512:
        archive.unlink()
        raise AssertionError(f"{_AXE} is not what it was: sha512 {digest}")
    with tarfile.open(archive) as tar:
        member = tar.extractfile("package/axe.min.js")
        assert member is not None
        return member.read().decode()


class Browser:
    """One Chromium with one page."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def open(self, url: str) -> None:
        self.driver.get(url)

    def size(self, width: int, height: int) -> None:
        """CSS pixels of the page."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def scheme(self, name: str) -> None:
        """light or dark, as the reader's system has it."""
        feature = {"name": "prefers-color-scheme", "value": name}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})

    def scripts(self, on: bool) -> None:
        self.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not on})

    def picture(self, path: Path, height: int | None = None) -> None:
        """A PNG of the page, all of it unless a height is given."""
        if height is None:
            metrics = self.driver.execute_cdp_cmd("Page.getLayoutMetrics", {})["cssContentSize"]
            box = {"x": 0, "y": 0, "width": metrics["width"], "height": metrics["height"], "scale": 1}
            shot = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": box})
        else:
            shot = self.driver.execute_cdp_cmd("Page.captureScreenshot", {})
        path.write_bytes(base64.b64decode(shot["data"]))

    def complaints(self) -> list[str]:
        """What the console has said since this was last asked for."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """URLs that were asked for since this was last asked for."""
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        return [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]

    def violations(self) -> list[str]:
        """What axe-core finds wrong with the page, by its rules for WCAG 2.2 AA and best practice."""
        self.driver.execute_script(axe())
        found: dict[str, Any] = self.driver.execute_async_script(
            "const done = arguments[0];axe.run(document, {resultTypes: ['violations']}).then(done, e => done({error: String(e)}))"
        )
        assert "error" not in found, found
        return [f"{rule['id']}: {[node['html'][:200] for node in rule['nodes'][:3]]}" for rule in found["violations"]]


@contextmanager
def open_browser() -> Iterator[Browser]:
    """A browser that ends with the context. Raises NoBrowser."""
    ensure_chromium()
    options = Options()
    options.binary_location = shutil.which("chromium") or ""
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as profile:
        for flag in (*_FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
        try:
            driver.set_page_load_timeout(30)
            driver.set_script_timeout(60)
            yield Browser(driver)
        finally:
            driver.quit()


def _say(text: str) -> None:
    print(f"[browser] {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        ensure_chromium()
        axe()
    except NoBrowser as reason:
        raise SystemExit(f"[browser] {reason}") from reason
