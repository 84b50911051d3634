"""The faces of a person: filtered, sorted, page by page; a click rejects one or takes it back. And what they show."""

from __future__ import annotations

import html
import json
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from faceswap.errors import ConfigError, FaceError
from faceswap_app import commands
from faceswap_app.components import QUICK, TOLD, Live, number, one_of, warns, warns_only
from faceswap_app.desk import Desk
from faceswap_app.project import Project

_KEPT = "kept"
_ORDERS = ["time", "sharpness", "size", "brightness", "yaw", "pitch", "roll", "eyes", "mouth"]


class Gallery:
    """Its parts, and what they do."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def lay_out_hidden(self) -> None:
        """What tells the browser that there are other faces: outside of the tabs, since those are built when opened."""
        self._version = gr.Textbox(visible="hidden")

    def lay_out(self) -> None:
        """Puts everything in its place."""
        self._page, self._files = gr.State(0), gr.State([])

        with gr.Row(equal_height=False):
            with gr.Column(scale=7, min_width=400):
                with gr.Row():
                    self._person = gr.Dropdown(
                        [("Person A", "a")], value="a", label="Faces of", min_width=120, elem_id="faces-of"
                    )
                    self._wanted = gr.Dropdown([_KEPT], label="Show", min_width=140)
                    self._by = gr.Dropdown(_ORDERS, label="Sorted by", min_width=120)
                    self._down = gr.Checkbox(label="Largest first", min_width=100)

                self._faces = gr.Gallery(
                    show_label=False,
                    columns=7,
                    height=404,
                    object_fit="cover",
                    allow_preview=False,
                    interactive=False,
                    format="jpeg",
                    buttons=[],
                    elem_id="faces",
                )

                self._note = gr.Markdown(elem_id="faces-note")
                with gr.Row():
                    self._back = gr.Button("← Previous", size="sm", min_width=80, elem_id="faces-previous")
                    self._on = gr.Button("Next →", size="sm", min_width=80, elem_id="faces-next")
                    self._undo = gr.Button("Undo", size="sm", min_width=80)

            with gr.Column(scale=4, min_width=300):
                with gr.Accordion("What they show", open=True):
                    self._chart = gr.HTML()
                with gr.Accordion("Clean up", open=False):
                    self._lay_out_cleaning()

    def _lay_out_cleaning(self) -> None:
        gr.Markdown("Nothing is deleted: what is left out can be brought back with *Undo* or a click.")
        self._strangers = gr.Checkbox(label="Leave out everybody else in the picture")
        self._same = gr.Checkbox(label="Leave out near-duplicates")
        self._sharp = gr.Number(label="Leave out faces with a sharpness under", info="Try 0.08; look at the chart.")
        self._balance = gr.Number(label="Keep only so many", info="Even over poses and expressions, the sharpest.")
        self._clean = gr.Button("Clean up")

    def connect(self, project: Any) -> None:
        """Says what happens when."""
        view = [project, self._person, self._wanted, self._by, self._down, self._page]
        shown = [self._faces, self._files, self._note, self._wanted, self._page, self._chart]

        refresh = {"fn": warns(self._refresh), "inputs": view, "outputs": shown, **TOLD}

        for chosen in (self._person, self._wanted, self._by, self._down):
            chosen.input(lambda: 0, None, self._page, **QUICK).then(**refresh)
        self._version.change(**refresh)

        for button, by in ((self._back, -1), (self._on, 1)):
            button.click(partial(_turned, by), self._page, self._page, **QUICK).then(**refresh)

        clicked = [project, self._person, self._by, self._wanted, self._files]
        self._faces.select(warns(self._toggle), clicked, [self._faces, self._wanted, self._chart], **TOLD)

        person = [project, self._person]
        self._undo.click(warns_only(self._take_back), person, None, **TOLD).then(**refresh)
        cleaning = [self._strangers, self._same, self._sharp, self._balance]
        self._clean.click(warns_only(self._reject), [*person, *cleaning], None, **TOLD)

    @property
    def live(self) -> list[Live]:
        """What follows the disk."""
        return [
            Live(self._person, _persons, _person_choice),
            Live(self._wanted, lambda p: p.name, lambda _p, _fresh: gr.Dropdown(choices=[_KEPT], value=_KEPT)),
            Live(self._page, lambda p: p.name, lambda _p, _fresh: 0),
            Live(self._version, self._changes, lambda p, _fresh: self._changes(p)),
        ]

    def _changes(self, project: Project) -> str:
        """What the faces depend on besides clicks on them; while they are found, not every new one."""
        queue = self._desk.queue
        jobs = [job for job in queue.jobs() if job.project == project.name and job.kind != "swap"]
        reports = {job.id: queue.report(job) for job in jobs if not job.over}
        found = [(report.title, report.done // 250) for report in reports.values() if report]
        return json.dumps([project.name, *(job.id for job in jobs if job.over), *found])

    def _faceset(self, name: str | None, key: str | None) -> Path:
        project = self._desk.projects.open(name)
        if key not in project.persons():
            raise ConfigError("nobody is chosen", "Choose whose faces to look at")
        return project.faceset(str(key))

    def _refresh(self, name: str | None, key: str | None, wanted: str, by: str, down: bool, page: int) -> list[Any]:
        """One page of the faces that are wanted."""
        from faceswap_app import backend

        nothing = [[], [], "No faces yet: add footage above and press *Find faces*.", gr.skip(), 0, ""]
        if not name or key is None:
            return nothing

        faceset = self._faceset(name, key)
        by = one_of(by, _ORDERS, "order")

        try:
            found = backend.faces(faceset, wanted, by, down, page)
            if not found.files and page:  # there are fewer now
                page, found = 0, backend.faces(faceset, wanted, by, down, 0)
        except FaceError:
            return nothing

        first = page * backend.PAGE + 1
        note = f"{first}-{first + len(found.files) - 1} of {found.total:,}. " if found.files else "None. "
        note += "Click a face to leave it out, or to take it back: nothing is deleted."

        filters = gr.Dropdown(choices=found.filters, value=wanted)
        gallery = gr.Gallery(backend.pictures(faceset, found.files, by), selected_index=None)
        return [gallery, found.files, note, filters, page, backend.chart(faceset)]

    def _toggle(  # gradio gives them by position
        self, name: str | None, key: str | None, by: str, wanted: str, files: list[str], event: gr.SelectData
    ) -> list[Any]:
        """Leave the clicked face out, or take it back; all stay where they are, and the counts follow."""
        from faceswap_app import backend

        faceset = self._faceset(name, key)
        if not isinstance(event.index, int) or not 0 <= event.index < len(files):
            raise ConfigError("this face is not shown any more", "Click another")
        backend.toggle(faceset, files[event.index])
        pictures = backend.pictures(faceset, files, one_of(by, _ORDERS, "order"))
        filters = gr.Dropdown(choices=backend.faces(faceset, wanted, by, False, 0).filters, value=wanted)
        return [gr.Gallery(pictures, selected_index=None), filters, backend.chart(faceset)]

    def _take_back(self, name: str | None, key: str | None) -> None:
        from faceswap_app import backend

        gr.Info(html.escape(backend.undo(self._faceset(name, key))), title="")

    def _reject(
        self,
        name: str | None,
        key: str | None,
        strangers: bool,
        same: bool,
        sharpness: object,
        balance: object,
    ) -> None:
        words = commands.reject(
            self._faceset(name, key), bool(strangers), bool(same), number(sharpness), number(balance)
        )
        project = self._desk.projects.open(name)
        self._desk.queue.add(project.name, f"Clean up faces of {project.persons()[str(key)].name}", words)


def _turned(by: int, page: int) -> int:
    return max(0, page + by)


def _persons(project: Project) -> list[tuple[str, str]]:
    return [(person.name, key) for key, person in project.persons().items()]


def _person_choice(project: Project, fresh: bool) -> Any:
    choices = _persons(project)
    return gr.Dropdown(choices=choices, value="a") if fresh else gr.Dropdown(choices=choices)
