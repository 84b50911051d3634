"""The clips of a project at a glance: a picture of each, how long and large it is, and a player."""

from __future__ import annotations

import json
from typing import Any

import gradio as gr

from faceswap.errors import ConfigError
from faceswap_app import cards
from faceswap_app.components import TOLD, Live, warns
from faceswap_app.desk import Desk
from faceswap_app.project import Project


class Clips:
    """Its parts, and what they do."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def lay_out_hidden(self) -> None:
        """What tells the browser that there are other clips: outside of the tabs, since those are built when opened."""
        self._version = gr.Textbox(visible="hidden")

    def lay_out(self) -> None:
        """Puts everything in its place."""
        self._names = gr.State([])
        self._gallery = gr.Gallery(
            label="Clips: click one to play it",
            columns=8,
            height=150,
            object_fit="contain",
            allow_preview=False,
            interactive=False,
            format="jpeg",
            buttons=[],
            visible=False,
            elem_id="clips",
        )

        self._player = gr.HTML(elem_id="clip-player")

    def connect(self, project: Any, opened: Any) -> None:
        """Says what happens when; `opened`: the event of the tab's being opened."""
        shown = [self._gallery, self._names, self._player]
        gr.on([self._version.change, opened], warns(self._show), project, shown, **TOLD)
        self._gallery.select(warns(self._play), [project, self._names], self._player, **TOLD)

    @property
    def live(self) -> list[Live]:
        """What follows the disk."""
        return [Live(self._version, _version, lambda p, _fresh: _version(p))]

    def _show(self, name: str | None) -> list[Any]:
        if not name:
            return [gr.skip()] * 3
        from faceswap_app import backend

        project = self._desk.projects.open(name)
        cards_ = [(clip, backend.thumbnail(project.folder / clip)) for clip in project.clips()]
        pictures = [(card.picture, card.caption) for _, card in cards_]
        gallery = gr.Gallery(pictures, visible=bool(pictures), selected_index=None)
        return [gallery, [clip for clip, _ in cards_], ""]

    def _play(self, name: str | None, clips: list[str], event: gr.SelectData) -> str:
        if not isinstance(event.index, int) or not 0 <= event.index < len(clips):
            raise ConfigError("this clip is not there any more", "Click another")
        clip = self._desk.projects.open(name).clip(clips[event.index])
        self._desk.projects.serve(clip)
        return cards.clip(clip)


def _version(project: Project) -> str:
    return json.dumps([project.name, *project.clips()])
