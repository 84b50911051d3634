"""What the tabs share: the desk that they work at, parts of the page that follow the disk, and safe components."""

from __future__ import annotations

import functools
import html
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import gradio as gr

from faceswap.errors import ConfigError, FaceswapError
from faceswap_app.projects import Project, Projects
from faceswap_app.queue import Queue

QUICK = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
"""Of all events that answer at once."""
_LONGEST_PROBLEM = 400  # characters

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Desk:
    """What the page works with."""

    projects: Projects
    queue: Queue


@dataclass(frozen=True)
class Live:
    """A part of the page that follows what is on disk, whoever has changed it."""

    component: Any
    state: Callable[[Project], object]
    """What it depends on; quick, since every open page asks once a second."""
    show: Callable[[Project, bool], Any]
    """Its update when that has changed; True: the project has only just been opened."""


def told(handler: Callable[P, R]) -> Callable[P, R]:
    """The handler of an event; an error that the visitor can mend becomes a message on the page, with the remedy."""

    @functools.wraps(handler)
    def safe(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return handler(*args, **kwargs)
        except FaceswapError as error:
            raise gr.Error(text_of(error), duration=12, title="", print_exception=False) from None

    return safe


def text_of(error: FaceswapError) -> str:
    """The error in two sentences that fit on the page, as HTML."""
    problem = textwrap.shorten(error.problem, _LONGEST_PROBLEM, placeholder=" …")
    return html.escape(f"{problem[:1].upper()}{problem[1:]}. {error.remedy}.", quote=False)


def choice(**options: Any) -> gr.Dropdown:
    """A dropdown whose choice is checked where it is used: gradio's own check knows only the list that the page was
    built with, and logs a traceback. (Set on the object: gradio writes a .pyi file beside each subclass.)"""
    dropdown = gr.Dropdown([], **options)
    many = options.get("multiselect")
    dropdown.preprocess = lambda payload: _texts(payload) if many else payload if isinstance(payload, str) else None
    return dropdown


def radio(choices: list[tuple[str, str]], **options: Any) -> gr.Radio:
    """A choice of few, checked where it is used, as `choice` is."""
    buttons = gr.Radio(choices, **options)
    buttons.preprocess = lambda payload: payload if isinstance(payload, str) else ""
    return buttons


def slider(least: float, most: float, value: float, **options: Any) -> gr.Slider:
    """A number, held between the ends that its text names instead of refused with a traceback."""
    made = gr.Slider(least, most, value, **options)
    made.preprocess = lambda payload: number(payload) or 0.0
    return made


def number_box(**options: Any) -> gr.Number:
    """A number or nothing, checked where it is used."""
    box = gr.Number(**options)
    box.preprocess = number
    return box


def uploads(**options: Any) -> gr.File:
    """Files from the visitor's computer and nowhere else: gradio would also fetch one from the network."""
    files = gr.File(file_count="multiple", type="filepath", **options)
    move = files.async_move_resource_to_block_cache

    async def move_local(place: str | Path | None) -> Any:
        if "://" in str(place):
            error = ConfigError("clips are not fetched from the network", "Upload the file itself")
            raise gr.Error(text_of(error), title="", print_exception=False)
        return await move(place)

    files.async_move_resource_to_block_cache = move_local
    return files


def number(payload: object) -> float | None:
    """A number that was typed, if it is one."""
    try:
        value = float(str(payload))
    except ValueError:
        return None
    return value if abs(value) < 1e9 else None  # neither infinity nor no number at all


def _texts(payload: object) -> list[str]:
    return [text for text in payload if isinstance(text, str)] if isinstance(payload, Iterable) else []
