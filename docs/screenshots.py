"""Make the pictures of the README: run the example suite twice, and look at the report with a browser.

    pip install -e '.[browser]'
    python docs/screenshots.py

Needs a chromium on the path, or at ``ARENA_CHROMIUM``. The pictures land in ``docs/images``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
SIZE = {"width": 1100, "height": 760}
PICTURES: Mapping[str, Mapping[str, Any]] = {
    "report": {"address": "", "color_scheme": "light"},
    "transcript": {"address": "#run=impatient-customer", "color_scheme": "dark"},
}


def make_report(folder: Path) -> Path:
    """A report of the examples, with the same examples as its baseline."""
    for name in ("main", "arena-results"):
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:asyncio",
            str(ROOT / "examples"),
        ]
        command += [str(ROOT / "examples"), f"--arena-results={name}"]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    report = folder / "report.html"
    command = [sys.executable, "-m", "pytest_arena_state.cli", "report", "arena-results", "--baseline", "main"]
    subprocess.run([*command, "-o", str(report)], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return report


def main() -> None:
    """Write every picture."""
    chromium = os.environ.get("ARENA_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        report = make_report(Path(folder))
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name, how in PICTURES.items():
            page = browser.new_page(viewport=SIZE, color_scheme=how["color_scheme"], reduced_motion="reduce")
            page.goto(f"{report.as_uri()}{how['address']}")
            page.wait_for_selector("html[data-ready]")
            page.screenshot(path=IMAGES / f"{name}.png")
            print(IMAGES / f"{name}.png")
        browser.close()


if __name__ == "__main__":
    main()
