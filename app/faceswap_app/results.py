"""What was swapped: watched beside the clip that it was made from, or beside another one; from what, how; downloads."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import gradio as gr

from faceswap.config import SwapConfig
from faceswap.errors import ConfigError
from faceswap_app import cards
from faceswap_app.components import TOLD, Live, warns
from faceswap_app.desk import Desk
from faceswap_app.holdings import mask_of, settings_of
from faceswap_app.project import Project
from faceswap_app.swap_choices import DEFAULT, WHO
from faceswap_pipelines.swapping.origin import Origin, origin_of

_CLIP, _ALONE = "", "/"  # what is shown beside a result: no file can be called so


class Results:
    """Its parts, and what they do."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def lay_out(self) -> None:
        """Puts everything in its place."""
        with gr.Row():
            self._chosen = gr.Dropdown(label="Result", elem_id="results", visible=False, min_width=150)
            self._beside = gr.Dropdown(label="Beside it", elem_id="beside", visible=False, min_width=150)
        self._player = gr.HTML(elem_id="player")

    def connect(self, project: Any) -> None:
        """Says what happens when."""
        asked = [project, self._chosen, self._beside]
        gr.on([self._chosen.change, self._beside.change], warns(self._play), asked, self._player, **TOLD)

    @property
    def live(self) -> list[Live]:
        """What follows the disk."""
        return [
            Live(self._chosen, lambda p: [path.name for path in p.finished()], _results),
            Live(self._beside, lambda p: [path.name for path in p.finished()], _others),
        ]

    def _play(self, name: str | None, result: str | None, beside: str | None) -> str:
        project = self._desk.projects.open(name) if name else None
        swapped = _named(project, result) if project else None
        if project is None or swapped is None:
            return ""

        origin = origin_of(settings_of(swapped))
        other, start = self._other(project, origin, beside)

        for path in (swapped, mask_of(swapped), settings_of(swapped), *([other] if other else [])):
            if path.is_file():
                self._desk.projects.serve(path)

        names = {key: person.name for key, person in project.persons().items()}
        return cards.player(swapped, other, start) + _facts(swapped, origin, names)

    def _other(self, project: Project, origin: Origin | None, beside: str | None) -> tuple[Path | None, float]:
        """What is shown beside a result, and its time at the result's first frame, in seconds."""
        if beside == _ALONE or (beside and _named(project, beside)):
            return _named(project, beside), 0.0
        clips = [clip for clip in project.clips() if origin and Path(clip).name == origin.video]
        if not clips or origin is None:
            return None, 0.0

        from faceswap_app import backend

        clip = project.clip(clips[0])
        return clip, backend.seconds_at(clip, origin.first)


def in_words(file: Path, names: Mapping[str, str]) -> str:
    """Who became whom in a result, how it was made where that is not as by default, and the kind of file."""
    from faceswap_pipelines.swapping.job import settings_from

    try:
        settings = settings_from(file, {})
    except ConfigError:
        return "they cannot be read"

    look = {field.name: getattr(settings.look, field.name) for field in fields(SwapConfig)}
    changed = [f"{name} {value}" for name, value in look.items() if value != getattr(DEFAULT, name)]
    mapping = settings.mapping or {WHO.get(settings.face, settings.face): settings.to[0]}
    who = ", ".join(f"{names.get(one, one)} gets the face of {names.get(to, to)}" for one, to in mapping.items())
    return "; ".join([who, *changed, settings.encoding.codec])


def _facts(result: Path, origin: Origin | None, names: Mapping[str, str]) -> str:
    """What a result was made from and how, and what else can be downloaded."""
    made = ""
    if origin is not None:
        part = ""
        if origin.first or origin.stop is not None:
            part = f", frames {origin.first + 1:,} to {'the end' if origin.stop is None else f'{origin.stop:,}'}"
        made = f"From {origin.video}{part}, with {origin.model} after {origin.steps:,} steps. "

    links = [(mask_of(result), "Masks"), (settings_of(result), "Settings")]
    more = " · ".join(cards.link(path, text) for path, text in links if path.is_file())
    return f'<p class="note">{html.escape(f"{made}Settings: {in_words(settings_of(result), names)}.")} {more}</p>'


def _named(project: Project, result: object) -> Path | None:
    return next((path for path in project.finished() if path.name == result), None)


def _results(project: Project, _fresh: bool) -> Any:
    names = [path.name for path in project.finished()]
    return gr.Dropdown(choices=names, value=names[0] if names else None, visible=bool(names))


def _others(project: Project, _fresh: bool) -> Any:
    names = [(path.name, path.name) for path in project.finished()]
    choices = [("the clip as filmed", _CLIP), ("nothing", _ALONE), *names]
    return gr.Dropdown(choices=choices, value=_CLIP, visible=bool(names))
