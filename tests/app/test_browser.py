"""The whole job in a browser, as a new user does it: nothing is called but what can be clicked."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from faceswap.media.pictures import write_picture
from faceswap.media.video import probe, read_frames
from faceswap_app.project import INVENTED, Project
from faceswap_app.projects import Projects
from support.browser import needs_chromium, open_page
from support.studio import Studio
from support.visit import Site, open_site

PATIENCE = 240_000  # milliseconds: a command takes seconds to load, and the machine may be busy
CLICKS = 4  # on a face, at most
# As if another window were in front, and its user had allowed to be told things.
IN_THE_BACKGROUND = """() => {
    Object.defineProperty(document, 'hidden', {get: () => true});
    window.told = [];
    window.Notification = class {
        static permission = 'granted';
        constructor(_title, {body}) { window.told.push(body); }
    };
}"""

pytestmark = [
    needs_chromium,
    pytest.mark.timeout(900),
]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with open_site(tmp_path) as site:
        yield site


@pytest.fixture
def finished(tmp_path: Path, studio: Studio) -> Project:
    """A project of two persons with everything but results."""
    (tmp_path / "projects").mkdir()
    project = Projects(tmp_path / "projects").create("pair")
    for key, name in (("a", "Bruno"), ("b", "Ada")):
        shutil.copy(studio.clips[key], project.folder / "clips" / f"{name}.mp4")
        shutil.copytree(studio.facesets[key], project.faceset(key))
        project.change(key, name=name, consent=INVENTED, clips=(f"clips/{name}.mp4",))
    shutil.copytree(studio.model, project.folder / "model")
    return project


@pytest.fixture
def page(site: Site) -> Iterator[Page]:
    with open_page(1366, 768) as page:
        page.set_default_timeout(PATIENCE)
        expect.set_options(timeout=PATIENCE)
        strangers: list[str] = []
        page.on(
            "request",
            lambda asked: None if asked.url.startswith((site.url, "data:", "blob:")) else strangers.append(asked.url),
        )
        page.goto(site.url)
        yield page
    assert strangers == []  # nothing is fetched from anywhere else


def open_tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name).click()


def press(page: Page, part: str) -> None:
    page.locator(f"#{part}").click()


def expect_message(page: Page, text: str) -> None:
    toast = page.locator(".toast-body", has_text=text).first
    expect(toast).to_be_visible()
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


def test_a_finished_project(finished: Project, page: Page, site: Site) -> None:
    """What somebody who edits video does with it: look, cut, compare, add a person, tidy up."""
    look_at_frames(page)
    swap_a_part_and_compare(page)
    add_a_person_and_think_again(page)
    tidy_up(page, finished)
    assert "Traceback" not in site.log.read_text()


def look_at_frames(page: Page) -> None:
    open_tab(page, "2 Faces")
    page.locator("#clips .thumbnail-item, #clips .gallery-item").first.click()
    expect(page.locator("#clip-player video")).to_have_js_property("readyState", 4)
    expect(page.locator("#clips")).to_contain_text("0:02 · Ada.mp4")

    open_tab(page, "4 Swap")
    note = page.locator("#preview-note")
    expect(note).to_contain_text("Frame 1 of 48 · 00:00:00:00. The face gets that of Ada.")
    expect(page.locator("#who")).to_contain_text(
        "In Bruno.mp4, where Bruno is seen, the one seen most gets the face of Ada."
    )
    slider = page.locator("#frame input[type=range]")
    slider.focus()
    for _ in range(3):
        slider.press("ArrowRight")
    expect(note).to_contain_text("Frame 4 of 48 · 00:00:00:03")
    expect(page.locator("#frame input[type=number]")).to_have_value("4")

    page.locator("#face input").click()
    page.get_by_role("option", name="several").click()
    expect(note).to_contain_text("Everybody stays as filmed")
    page.locator("#map-a input").click()
    page.get_by_role("option", name="gets the face of Ada").click()
    expect(note).to_contain_text("The face gets that of Ada")
    expect(page.locator("#who")).to_contain_text("Bruno gets the face of Ada.")

    # A click on the face says the next: that it stays, and again that it gets Ada's. The drawn face is in the middle.
    click_on_the_face(page, "Everybody stays as filmed")
    click_on_the_face(page, "The face gets that of Ada")

    press(page, "play-here")
    expect(page.locator("#excerpt video")).to_have_js_property("readyState", 4)
    assert page.locator("#excerpt video").evaluate("film => film.duration") == pytest.approx(45 / 25, abs=0.1)


def click_on_the_face(page: Page, said: str) -> None:
    """Until the page says so: a click is lost while a picture is being put in the place of another."""
    picture = page.locator("#before-after img").first
    for attempt in range(CLICKS):
        picture.scroll_into_view_if_needed()
        page.wait_for_function("document.querySelector('#before-after img').complete")
        frame = picture.bounding_box()
        assert frame is not None
        beside_the_handle = {"x": 0.4 * frame["width"], "y": 0.5 * frame["height"]}
        picture.click(position=beside_the_handle, force=True)  # the handle's layer lies over it
        try:
            expect(page.locator("#preview-note")).to_contain_text(said, timeout=PATIENCE / CLICKS)
        except AssertionError:
            if attempt == CLICKS - 1:
                raise
        else:
            return


def swap_a_part_and_compare(page: Page) -> None:
    page.get_by_text("Only a part of the clip").click()
    press(page, "begin-here")
    expect(page.locator("#first input")).to_have_value("4")
    page.locator("#last input").fill("9")
    page.locator("button.label-wrap", has_text="File").click()
    page.locator("#masks input").check()
    page.evaluate(IN_THE_BACKGROUND)
    press(page, "swap")
    expect(page).to_have_title(re.compile("Swap Bruno.mp4"))

    film, beside = page.locator("#player video.after"), page.locator("#player video.before")
    expect(film).to_have_js_property("readyState", 4)
    expect(page).to_have_title("Swap Bruno.mp4: face of Ada: done · faceswap")
    assert page.evaluate("window.told") == ["Swap Bruno.mp4: face of Ada: done"]
    told = page.locator("#player")
    expect(told).to_contain_text("From Bruno.mp4, frames 4 to 9, with model after 30 steps.")
    expect(told).to_contain_text("Settings: Bruno gets the face of Ada; h264.")
    expect(told.locator("a", has_text="Masks")).to_be_visible()

    # One slider for both: the part begins at the clip's fourth frame.
    film.evaluate("film => { film.currentTime = 0.08 }")
    page.wait_for_function("Math.abs(document.querySelector('#player video.before').currentTime - 0.2) < 0.02")
    expect(beside).to_have_js_property("muted", True)


def add_a_person_and_think_again(page: Page) -> None:
    open_tab(page, "1 Project")
    press(page, "add-person")
    expect(page.locator("#name-c input, #name-c textarea")).to_have_value("Person C")
    open_tab(page, "4 Swap")
    expect(page.locator("#who")).to_contain_text("does not know Person C")
    page.locator("#face input").click()
    page.get_by_role("option", name="the largest").click()
    page.locator("#to input").click()
    expect(page.get_by_role("option")).to_contain_text(["Bruno", "Ada"])
    page.get_by_role("option", name="Ada").click()
    expect(page.locator("#preview-note")).to_contain_text("The face gets that of Ada")

    open_tab(page, "1 Project")
    press(page, "remove-c")
    expect_message(page, "In the bin: Person C")
    expect(page.locator("#name-c")).to_be_hidden()


def tidy_up(page: Page, project: Project) -> None:
    page.get_by_text("Tidy up: rename").click()
    expect(page.locator("#disk-use")).to_contain_text("MB")

    choose(page, "tidy-what", "the clip clips/Ada.mp4")
    page.locator("#tidy-new input, #tidy-new textarea").fill("holiday")
    press(page, "tidy-rename")
    expect(page.locator("#tidy-new input, #tidy-new textarea")).to_have_value("")
    assert (project.folder / "clips" / "holiday.mp4").is_file()

    choose(page, "tidy-what", "the model model")
    press(page, "tidy-delete")
    expect_message(page, "In the bin for a week: the model model")
    assert not (project.folder / "model").exists()
    expect(page.locator("#bin input")).to_have_value(re.compile("the model model"))
    press(page, "take-back")
    expect_message(page, "Taken back: the model model")
    assert (project.folder / "model" / "config.toml").is_file()

    choose(page, "tidy-what", "Bruno, with all faces")
    page.locator("#tidy-how label").nth(1).click()
    page.locator("#tidy-everything input").check()
    expect(page.locator("#tidy-goes")).to_contain_text("the model model")
    expect(page.locator("#tidy-delete")).to_have_text("Delete for good")
    press(page, "tidy-delete")
    expect_message(page, "Deleted for good: the clip clips/Bruno.mp4; the model model; the result")
    assert [path.name for path in (project.folder / "faces").iterdir()] == ["b"]
    assert list(project.results.iterdir()) == []


def choose(page: Page, part: str, option: str) -> None:
    page.locator(f"#{part} input").click()
    page.get_by_role("option", name=option).click()


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
    expect(page.locator(".steps .ready", has_text="Persons")).to_be_visible()


def add_footage(page: Page, clips: dict[str, Path], folder: Path) -> None:
    open_tab(page, "2 Faces")
    (folder / "text.mp4").write_text("no video")
    page.locator("#upload-a input[type=file]").set_input_files(folder / "text.mp4")
    expect_message(page, "text.mp4")
    for key, clip in clips.items():
        page.locator(f"#upload-{key} input[type=file]").set_input_files(clip)
        expect(page.locator(f"#clips-{key}")).to_contain_text(f"clips/{clip.name}")


def find_faces(page: Page) -> None:
    press(page, "find")
    expect(page.locator(".job.done")).to_have_count(2)
    faces = page.locator("#faces .thumbnail-item, #faces .gallery-item")
    expect(faces.first).to_be_visible()
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
    expect(running).to_contain_text("faces/s")
    page.reload()  # the address names the tab
    expect(page.get_by_role("tab", name="3 Train")).to_have_attribute("aria-selected", "true")
    expect(running).to_contain_text("left")
    expect(page.locator("#train")).to_be_disabled()
    expect(page.locator(".chart svg polyline")).to_have_count(2)
    expect(page.locator("#preview img")).to_be_visible()
    press(page, "pause")
    expect(page.locator("#train-card .job.stopped")).to_be_visible()
    expect(page.locator("#pause")).to_have_text("Resume")


def swap_and_download(page: Page, folder: Path) -> None:
    open_tab(page, "4 Swap")
    pictures = page.locator("#before-after img")
    expect(pictures.first).to_be_visible()
    frame = page.locator("#frame input[type=number]")
    frame.fill("20")
    frame.press("Enter")
    frame.blur()
    expect(page.locator("#preview-note")).to_contain_text("Frame 20 of 48")
    press(page, "swap")
    link = page.locator("a.download")
    expect(link).to_be_visible()
    expect(page.locator("#player video.after")).to_have_js_property("readyState", 4)
    with page.expect_download() as download:
        link.click()
    download.value.save_as(folder / "swapped.mp4")
    assert probe(folder / "swapped.mp4").frame_count == 48


def swap_a_picture(page: Page, clips: dict[str, Path], folder: Path) -> None:
    write_picture(folder / "still.png", next(read_frames(clips["a"])).image)
    open_tab(page, "2 Faces")
    page.locator("#upload-a input[type=file]").set_input_files(folder / "still.png")
    expect(page.locator("#clips-a")).to_contain_text("clips/still.png")
    open_tab(page, "4 Swap")
    page.locator("#clip input").click()
    page.get_by_role("option", name="clips/still.png").click()
    expect(page.locator("#frame")).to_be_hidden()
    press(page, "swap")
    expect(page.locator("#player img.after")).to_have_js_property("naturalWidth", 256)


def look_at_the_queue(page: Page) -> None:
    open_tab(page, "Queue")
    rows = page.locator(".task")
    expect(rows).to_have_count(5)
    rows.first.locator("summary").click()
    expect(rows.first.locator("code")).to_have_text(
        re.compile(r"^faceswap swap .*still\.png --model .* --out .*\.png$")
    )
    rows.first.get_by_role("button", name="Remove").click()
    expect(rows).to_have_count(4)
