"""Chromium, where this machine has it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Page, sync_playwright

_CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_OPTIONS = (
    "--no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-component-update"
    " --disable-sync"
)

needs_chromium = pytest.mark.skipif(_CHROMIUM is None, reason="there is no Chromium on this machine")


@contextmanager
def open_page(width: int, height: int) -> Iterator[Page]:
    """An empty page of a browser of its own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_CHROMIUM, args=_OPTIONS.split())
        yield browser.new_page(viewport={"width": width, "height": height})
        browser.close()
