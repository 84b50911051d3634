"""The page: what is on it, and what its buttons do. The work itself is in `work`."""

from __future__ import annotations

import html
import textwrap
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder

from faceswap.errors import ConfigError, FaceswapError
from faceswap_app.work import Workshop
from faceswap_pipelines.job import Progress
from faceswap_pipelines.swap import SwapResult

_KEPT = 86_400  # seconds that uploads, and copies of results for watching, are kept
_DEVICE = {"concurrency_limit": 1, "concurrency_id": "device"}  # of all events that compute: one at a time
_QUICK = {"queue": False, "show_progress": "hidden"}  # of all others: they answer while a job runs
_LONGEST_PROBLEM = 400  # characters
_BEFORE = "The swapped clip will appear here."

# Fonts that every system has: none is fetched.
THEME = gr.themes.Default(
    primary_hue="indigo", neutral_hue="slate", font=["system-ui", "sans-serif"], font_mono=["monospace"]
)
CSS = """
.gradio-container { width: 100% !important; max-width: 1240px !important; margin: 0 auto !important; }
#empty { border-left: 4px solid var(--color-accent); border-radius: 4px; padding: .8rem 1.2rem !important;
         background: var(--block-background-fill); }
#upload, #upload button { border: none !important; outline: none !important; box-shadow: none !important; }
#upload button:focus-visible { outline: 2px solid var(--color-accent) !important; outline-offset: -4px; }
footer { display: none !important; }
"""


def build_page(projects: Path) -> gr.Blocks:
    """The page over a folder of projects; its `stop_jobs()` has all jobs stop at their next report."""
    workshop = Workshop(projects, Path(get_upload_folder()))
    with gr.Blocks(title="faceswap", analytics_enabled=False, delete_cache=(_KEPT, _KEPT), fill_width=True) as blocks:
        page = _Page(workshop)
        page.lay_out()
        page.connect(blocks)
    blocks.stop_jobs = page.stop_all
    return blocks


def _choice(**options: Any) -> gr.Dropdown:
    """A dropdown whose choice is checked where it is used: gradio's own check knows only the list that the page was
    built with, and logs a traceback. (Set on the object: gradio writes a .pyi file beside each subclass.)"""
    dropdown = gr.Dropdown([], **options)
    dropdown.preprocess = lambda payload: payload if isinstance(payload, str) else None
    return dropdown


def _upload(**options: Any) -> gr.Video:
    """A video from the visitor's computer and nowhere else: gradio would also fetch one from the network."""
    video = gr.Video(sources=["upload"], **options)
    move = video.async_move_resource_to_block_cache

    async def move_local(place: str | Path | None) -> Any:
        if "://" in str(place):
            raise _message(ConfigError("clips are not fetched from the network", "Upload the file itself"))
        return await move(place)

    video.async_move_resource_to_block_cache = move_local
    return video


class _StoppedError(Exception):
    """The visitor pressed Stop."""


class _Page:
    """The components by name, and the handlers of their events."""

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop
        self._stops: dict[str, threading.Event] = {}  # by session: set when its job is to stop

    def lay_out(self) -> None:
        """Puts everything in its place."""
        gr.Markdown(
            "# faceswap\nPut one person's face into another's video: choose a trained model and a clip, and press"
            " **Swap**. Nothing leaves the computer that runs this page."
        )
        self.empty = gr.Markdown(_how_to_begin(self._workshop), elem_id="empty", visible=False)
        with gr.Row():
            with gr.Column(scale=5, min_width=340):
                self._lay_out_choices()
            with gr.Column(scale=6, min_width=340):
                self._lay_out_results()

    def _lay_out_choices(self) -> None:
        with gr.Group():
            self.model = _choice(label="Model", info="What 'faceswap train' has made of two persons' footage.")
            with gr.Row():
                self.source = _choice(label="From", info="The person in the clip.", min_width=120)
                self.target = _choice(label="To", info="The person whose face it gets.", min_width=120)
        with gr.Group():
            self.clip = _choice(label="Clip", info="A video in the projects folder. Or upload one:")
            self.upload = _upload(show_label=False, height=180, elem_id="upload")
        self.crf = gr.Slider(
            0,
            51,
            18,
            step=1,
            label="Quality (CRF)",
            info="Lower looks better and makes a larger file: 18 looks like the original, 28 is small.",
        )
        with gr.Row():
            self.start = gr.Button("Swap", variant="primary", scale=3, min_width=120)
            self.stop = gr.Button("Stop", variant="stop", interactive=False, min_width=80)
        self.refresh = gr.Button("Look for new models and clips", size="sm")

    def _lay_out_results(self) -> None:
        self.video = gr.Video(label="Result", interactive=False, height=400, buttons=[])
        self.note = gr.Markdown(_BEFORE)
        self.file = gr.DownloadButton("Download the video", visible=False)
        self.sheet = gr.Image(
            label="Before and after", interactive=False, type="filepath", visible=False, buttons=["fullscreen"]
        )

    def connect(self, blocks: gr.Blocks) -> None:
        """Says what happens when."""
        private = {**_QUICK, "api_visibility": "private"}
        everything = [self.empty, self.model, self.source, self.target, self.clip]
        blocks.load(self._look, [self.model, self.clip], everything, **private)
        self.refresh.click(self._look, [self.model, self.clip], everything, **private)
        self.model.input(self._persons, self.model, [self.source, self.target], **private)
        # A clip is either chosen or uploaded: what was done last counts.
        self.clip.input(lambda: None, None, self.upload, **private)
        self.upload.upload(lambda: None, None, self.clip, **private)

        results = [self.video, self.note, self.file, self.sheet]
        buttons = [self.start, self.stop]
        choices = [self.model, self.source, self.target, self.clip, self.upload, self.crf]
        begun = self.start.click(self._begin, None, [*buttons, *results], **private)
        swapped = begun.then(self._swap, choices, results, api_name="swap", show_progress_on=self.video, **_DEVICE)
        ready = [gr.update(interactive=True), gr.update(interactive=False)]
        swapped.success(lambda: ready, None, buttons, **private)
        # Not .then() for both: in a browser it did not come after an error (gradio 6.31).
        swapped.failure(lambda: [*ready, _BEFORE], None, [*buttons, self.note], **private)
        self.stop.click(self._stop, None, self.note, api_name="stop", **_QUICK)

    def _look(self, model: str | None, clip: str | None) -> list[Any]:
        """What there is to choose from now, keeping what is chosen if it is still there."""
        models, clips = self._workshop.models(), self._workshop.clips()
        model = model if model in models else next(iter(models), None)
        persons = self._persons(model) if model else [gr.Dropdown(choices=[], value=None)] * 2
        return [
            gr.Markdown(visible=not models),
            gr.Dropdown(choices=models, value=model),
            *persons,
            gr.Dropdown(choices=clips, value=clip if clip in clips else None),
        ]

    def _persons(self, model: str | None) -> list[Any]:
        """The model's persons, for 'from' and 'to'."""
        try:
            persons = list(self._workshop.persons(model))
        except FaceswapError as error:  # a warning, not an error: the page's other choices are still filled
            gr.Warning(_text(error))
            persons = []
        first, second, *_ = [*persons, None, None]
        return [gr.Dropdown(choices=persons, value=first), gr.Dropdown(choices=persons, value=second)]

    def _begin(self, request: gr.Request) -> list[Any]:
        """Before each job: a page without results, and Stop instead of Swap."""
        self._stops[str(request.session_hash)] = threading.Event()
        fresh = [
            None,
            "You may close this page: the job goes on, and the result will be in the results folder.",
            gr.DownloadButton(visible=False),
            gr.Image(visible=False),
        ]
        return [gr.Button(interactive=False), gr.Button(interactive=True), *fresh]

    def _swap(
        self,
        model: str | None,
        source: str | None,
        target: str | None,
        clip: str | None,
        upload: str | None,
        crf: float,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008  # how gradio learns that progress is wanted
    ) -> list[Any]:
        """The job itself."""
        stop = self._stops.setdefault(str(request.session_hash), threading.Event())

        def watch(report: Progress) -> None:
            if stop.is_set():
                raise _StoppedError
            total = None if report.total is None else round(report.total)
            text = f"{report.title}, {report.note}" if report.note else report.title
            progress((round(report.done), total), desc=text, unit=report.unit)

        try:
            with _messages():
                result = self._workshop.swap((model, source, target, upload or clip), round(crf), watch)
        except _StoppedError:
            return [None, "Stopped. No result was written.", gr.skip(), gr.skip()]
        finally:
            self._stops.pop(str(request.session_hash), None)
        return self._shown(result)

    def _shown(self, result: SwapResult) -> list[Any]:
        name = self._workshop.shown(result.out)
        missed = result.frames - result.swapped
        note = f"**{result.swapped} of {result.frames} frames swapped**, {result.frames_per_second:.1f} a second."
        note += f" {missed} showed no face and stayed as they were." if missed else ""
        return [
            result.out,
            f"{note} Saved as `{name}`.",
            gr.DownloadButton(value=result.out, visible=True),
            gr.Image(value=result.sheet or None, visible=bool(result.sheet)),
        ]

    def _stop(self, request: gr.Request) -> str:
        """Sets the session's job to stop at its next report."""
        event = self._stops.get(str(request.session_hash))
        if event is None:
            return "Nothing is running."
        event.set()
        return "Stopping…"

    def stop_all(self) -> None:
        """Has every job stop at its next report."""
        for event in list(self._stops.values()):
            event.set()


@contextmanager
def _messages() -> Iterator[None]:
    """Errors that a visitor can mend become messages on the page; all others go to the server's log."""
    try:
        yield
    except FaceswapError as error:
        raise _message(error) from None


def _message(error: FaceswapError) -> gr.Error:
    return gr.Error(_text(error), duration=None, print_exception=False)


def _text(error: FaceswapError) -> str:
    """The error in two sentences that fit on the page; gradio shows messages as HTML."""
    problem = textwrap.shorten(error.problem, _LONGEST_PROBLEM, placeholder=" …")
    return html.escape(f"{problem[:1].upper()}{problem[1:]}. {error.remedy}.", quote=False)


def _how_to_begin(workshop: Workshop) -> str:
    folder = workshop.projects
    return (
        "### There is no trained model yet\n"
        f"This page looks for models in `{folder}`. Make one in a terminal, then press *Look for new models*:\n\n"
        f"- `faceswap demo --out {folder / 'demo'}` films two drawn actors and trains on them: under ten minutes.\n"
        f"- `faceswap extract` and `faceswap train ... --model {folder / 'NAME'}` do the same with your own footage."
    )
