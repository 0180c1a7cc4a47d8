"""A browser without a window, for tests of pages; skipped where there is none."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM, DRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")
ARGUMENTS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--autoplay-policy=no-user-gesture-required",
)


@contextmanager
def browser(*arguments: str) -> Iterator[Any]:
    """Chromium, driven by Selenium with the driver of this machine: nothing is downloaded."""
    for path in (CHROMIUM, DRIVER):
        if not path.exists():
            pytest.skip(f"no browser: {path} is missing (Debian: chromium, chromium-driver)")
    webdriver = pytest.importorskip(
        "selenium.webdriver", reason="no selenium: pip install '.[dev]'"
    )
    from selenium.webdriver.chrome.service import Service

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = str(CHROMIUM)
        for argument in (*ARGUMENTS, *arguments, f"--user-data-dir={profile}"):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        driver = webdriver.Chrome(options, Service(str(DRIVER)))
        try:
            driver.get("about:blank")  # the page of a new tab makes requests of its own
            driver.get_log("performance")
            yield driver
        finally:
            driver.quit()


def errors(driver: Any) -> list[str]:
    """Messages of the console since the last call, but for those of the lowest levels."""
    return [each["message"] for each in driver.get_log("browser") if each["level"] != "DEBUG"]


def requested(driver: Any) -> set[str]:
    """The addresses that were requested since the last call, without the content of data URLs."""
    found = set()
    for each in driver.get_log("performance"):
        message = json.loads(each["message"])["message"]
        if message["method"] in ("Network.requestWillBeSent", "Network.webSocketCreated"):
            params = message["params"]
            found.add(str(params.get("request", params)["url"]).partition(",")[0])
    return found


def emulate(driver: Any, *, width: int = 1280, scheme: str = "light", media: str = "") -> None:
    """The width of the window in pixels, the scheme of colours, and `print` for printing."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": features})
