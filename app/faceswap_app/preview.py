"""A frame of a clip before and after its swap: any of them, with the faces that were found, and some seconds played."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from faceswap.errors import ConfigError, FaceswapError
from faceswap_app import cards
from faceswap_app.components import QUICK, RAW, check_payload, number, text_of, warns
from faceswap_app.desk import Desk
from faceswap_app.spots import Spot
from faceswap_app.swap_choices import PREVIEWED, asked_to_see, faces_in_words


class Preview:
    """Its parts, and what they do. What is chosen elsewhere comes in the order of PREVIEWED."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def lay_out_hidden(self) -> None:
        """What lies outside of the tab: the place that was clicked, and the faces that can be."""
        self.clicked = gr.Textbox(visible="hidden", elem_id="clicked-face")
        self.spots = gr.State([])

    def lay_out(self) -> None:
        """Puts everything in its place."""
        self._slider = gr.ImageSlider(
            label="Before and after: drag the line; click a face to say who it becomes",
            interactive=False,
            format="jpeg",
            max_height=420,
            buttons=["fullscreen"],
            elem_id="before-after",
        )

        # What is seen, and how.
        self.frame = gr.Slider(1, 2, 1, step=1, label="Frame", elem_id="frame")
        self._note = gr.HTML("Choose a clip and a model to see it swapped.", elem_id="preview-note")
        self._outline = gr.Checkbox(True, label="Outline the faces that are found", elem_id="outline")

        # Moving pictures: a part, and the whole.
        self._play_here = gr.Button("Play two seconds from this frame, swapped", size="sm", elem_id="play-here")
        self._excerpt = gr.HTML(elem_id="excerpt")

    def view(self, project: Any, chosen: Sequence[Any]) -> dict[str, Any]:
        """What an event does that shows the frame as it is after all that was chosen: for gradio."""
        return {
            "fn": self._show,
            "inputs": [project, self.frame, self._outline, *chosen],
            "outputs": [self._slider, self.frame, self._note, self.spots],
            "concurrency_limit": None,  # each visitor has a turn of their own: see Slots
            "show_progress": "minimal",
            "show_progress_on": [self._slider],
            **RAW,
        }

    @property
    def changed(self) -> list[Any]:
        """Events after which it has to be shown anew; arrow keys move the slider without a release."""
        return [self.frame.input, self.frame.release, self._outline.input]

    def connect(self, project: Any, clip: Any, chosen: Sequence[Any]) -> None:
        """Says what happens when something is to be played."""
        playing = {"concurrency_limit": None, "show_progress": "minimal", **RAW}
        self._play_here.click(warns(self._play), [project, self.frame, *chosen], self._excerpt, **playing)
        gr.on([project.change, clip.change], lambda: "", None, self._excerpt, **QUICK)

    def _show(self, name: str | None, frame: object, outline: object, *values: object) -> list[Any]:
        """A frame before and after; what is missing is said below, not in a message: nothing was asked for."""
        said = dict(zip(PREVIEWED, values, strict=True))
        if not name or not said["clip"] or not said["model"]:
            missing = "Train a model first" if said["clip"] else "Add a clip on the Faces tab first"
            return [None, gr.skip(), f"{missing} to see it swapped.", []]
        from faceswap_app import backend

        try:
            for payload in (name, *values):
                check_payload(payload)

            with self._desk.turn():  # before anything is looked at: an earlier question is not to be answered later
                asked = asked_to_see(self._desk.projects.open(name), frame, said)
                shown = backend.before_and_after(asked.clip, asked.model, asked.settings, asked.index, asked.min_face)
        except FaceswapError as error:
            return [gr.skip(), gr.skip(), text_of(error), gr.skip()]

        index, count = asked.index, asked.count
        names = {key: person.name for key, person in asked.project.persons().items()}
        place = f"Frame {index + 1:,} of {count:,} · {backend.timecode(asked.clip, index)}. " if count > 1 else ""
        note = place + faces_in_words(shown.faces, names)
        before = backend.outlined(shown) if outline else shown.before
        # A slider that was moved on meanwhile stays where it is.
        place_again = {} if number(frame) == index + 1 else {"value": index + 1}
        slider = gr.Slider(minimum=1, maximum=max(2, count), visible=count > 1, **place_again)
        spots = [
            Spot(box=box, looks_like=whose, becomes=becomes)
            for (box, becomes), whose in zip(shown.faces, shown.looks_like, strict=True)
        ]
        return [(before, shown.after), slider, html.escape(note), spots]

    def _play(self, name: str | None, frame: object, *values: object) -> str:
        """Some seconds from the frame on that is shown, swapped as the whole clip would be."""
        from faceswap_app import backend

        said = dict(zip(PREVIEWED, values, strict=True))
        asked = asked_to_see(self._desk.projects.open(name), frame, said)
        if asked.count == 1:
            raise ConfigError("a picture does not play", "Look at it above")

        def render(out: Path) -> None:
            backend.excerpt(asked.clip, asked.model, asked.settings, asked.index, out, min_face=asked.min_face)

        return cards.clip(self._desk.excerpt(render))
