"""The whole job in a browser, as a new user does it: nothing is called but what can be clicked."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from faceswap.media.pictures import write_picture
from faceswap.media.video import probe, read_frames
from support.visit import Site, open_site

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OPTIONS = (
    "--no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-component-update"
    " --disable-sync"
)
PATIENCE = 240_000  # milliseconds: a command takes seconds to load, and the machine may be busy

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine"),
    pytest.mark.timeout(900),
]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with open_site(tmp_path) as site:
        yield site


@pytest.fixture
def page(site: Site) -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS.split())
        page = browser.new_page(viewport={"width": 1366, "height": 768})
        page.set_default_timeout(PATIENCE)
        strangers: list[str] = []
        page.on(
            "request",
            lambda asked: None if asked.url.startswith((site.url, "data:", "blob:")) else strangers.append(asked.url),
        )
        page.goto(site.url)
        yield page
        browser.close()
        assert strangers == []  # nothing is fetched from anywhere else


def open_tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name).click()


def press(page: Page, part: str) -> None:
    page.locator(f"#{part}").click()


def expect_message(page: Page, text: str) -> None:
    toast = page.locator(".toast-body", has_text=text).first
    expect(toast).to_be_visible(timeout=PATIENCE)
    toast.locator("button").first.click()


def test_the_whole_job(page: Page, site: Site, clips: dict[str, Path], tmp_path: Path) -> None:
    make_project(page)
    add_footage(page, clips, tmp_path)
    find_faces(page)
    train_and_come_back(page)
    swap_and_download(page, tmp_path)
    swap_a_picture(page, clips, tmp_path)
    look_at_the_queue(page)
    assert "Traceback" not in site.log.read_text()


def make_project(page: Page) -> None:
    page.locator("#new-name").locator("input, textarea").fill("../pair")
    press(page, "create")
    expect_message(page, "cannot be a project's name")
    page.locator("#new-name").locator("input, textarea").fill("pair")
    press(page, "create")
    for key, name in (("a", "Bruno"), ("b", "Ada")):
        box = page.locator(f"#name-{key}").locator("input, textarea")
        box.fill(name)
        box.blur()
        page.locator(f"#consent-{key} label").nth(1).click()
    expect(page.locator(".steps .ready", has_text="Persons")).to_be_visible(timeout=PATIENCE)


def add_footage(page: Page, clips: dict[str, Path], folder: Path) -> None:
    open_tab(page, "2 Faces")
    (folder / "text.mp4").write_text("no video")
    page.locator("#upload-a input[type=file]").set_input_files(folder / "text.mp4")
    expect_message(page, "text.mp4")
    for key, clip in clips.items():
        page.locator(f"#upload-{key} input[type=file]").set_input_files(clip)
        expect(page.locator(f"#clips-{key}")).to_contain_text(f"clips/{clip.name}", timeout=PATIENCE)


def find_faces(page: Page) -> None:
    press(page, "find")
    expect(page.locator(".job.done")).to_have_count(2, timeout=PATIENCE)
    faces = page.locator("#faces .thumbnail-item, #faces .gallery-item")
    expect(faces.first).to_be_visible(timeout=PATIENCE)
    faces.nth(1).click()
    expect(page.locator("#faces")).to_contain_text("by hand")
    faces.nth(1).click()
    expect(page.locator("#faces")).not_to_contain_text("by hand")


def train_and_come_back(page: Page) -> None:
    """The page is loaded anew while it trains, a second window tries to start the same, and it is paused."""
    open_tab(page, "3 Train")
    minutes = page.locator("#minutes input")
    minutes.fill("0")
    press(page, "train")
    expect_message(page, "0 minutes")
    minutes.fill("5")
    press(page, "train")
    running = page.locator("#train-card .job.running")
    expect(running).to_contain_text("faces/s", timeout=PATIENCE)
    page.reload()  # the address names the tab
    expect(page.get_by_role("tab", name="3 Train")).to_have_attribute("aria-selected", "true", timeout=PATIENCE)
    expect(running).to_contain_text("left", timeout=PATIENCE)
    expect(page.locator("#train")).to_be_disabled()
    expect(page.locator(".chart svg polyline")).to_have_count(2, timeout=PATIENCE)
    expect(page.locator("#preview img")).to_be_visible(timeout=PATIENCE)
    press(page, "pause")
    expect(page.locator("#train-card .job.stopped")).to_be_visible(timeout=PATIENCE)
    expect(page.locator("#pause")).to_have_text("Resume")


def swap_and_download(page: Page, folder: Path) -> None:
    open_tab(page, "4 Swap")
    pictures = page.locator("#before-after img")
    expect(pictures.first).to_be_visible(timeout=PATIENCE)
    frame = page.locator("#frame input[type=number]")
    frame.fill("20")
    frame.press("Enter")
    frame.blur()
    expect(page.locator("#preview-note")).to_contain_text("Frame 20 of 48", timeout=PATIENCE)
    press(page, "swap")
    link = page.locator("a.download")
    expect(link).to_be_visible(timeout=PATIENCE)
    expect(page.locator("#player video")).to_have_js_property("readyState", 4, timeout=PATIENCE)
    with page.expect_download() as download:
        link.click()
    download.value.save_as(folder / "swapped.mp4")
    assert probe(folder / "swapped.mp4").frame_count == 48


def swap_a_picture(page: Page, clips: dict[str, Path], folder: Path) -> None:
    write_picture(folder / "still.png", next(read_frames(clips["a"])).image)
    open_tab(page, "2 Faces")
    page.locator("#upload-a input[type=file]").set_input_files(folder / "still.png")
    expect(page.locator("#clips-a")).to_contain_text("clips/still.png", timeout=PATIENCE)
    open_tab(page, "4 Swap")
    page.locator("#clip input").click()
    page.get_by_role("option", name="clips/still.png").click()
    expect(page.locator("#frame")).to_be_hidden(timeout=PATIENCE)
    press(page, "swap")
    expect(page.locator("#player img")).to_have_js_property("naturalWidth", 256, timeout=PATIENCE)


def look_at_the_queue(page: Page) -> None:
    open_tab(page, "Queue")
    rows = page.locator(".task")
    expect(rows).to_have_count(5, timeout=PATIENCE)
    rows.first.locator("summary").click()
    expect(rows.first.locator("code")).to_have_text(
        re.compile(r"^faceswap swap .*still\.png --model .* --out .*\.png$")
    )
    rows.first.get_by_role("button", name="Remove").click()
    expect(rows).to_have_count(4, timeout=PATIENCE)
