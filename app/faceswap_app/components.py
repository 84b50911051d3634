"""What the tabs share: parts of the page that follow the disk, and safe components."""

from __future__ import annotations

import functools
import html
import os
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec

import gradio as gr

from faceswap.documents import is_text, one_line
from faceswap.errors import ConfigError, FaceswapError, OutputError
from faceswap_app.project import Project
from faceswap_app.projects import UPLOADS, Projects

RAW = {"preprocess": False, "api_visibility": "private"}
"""Of all events. What comes from a visitor is checked where it is used: gradio's own check knows only the choices that
this window was given, so that it fails after the server was started anew, and it logs a traceback."""
QUICK = {"queue": False, "show_progress": "hidden", **RAW}
"""Of all events that answer at once."""
TOLD = {"concurrency_limit": None, "show_progress": "hidden", **RAW}
"""Of those that may have something to say: messages travel by gradio's queue."""
_LONGEST_PROBLEM = 400  # characters
_LONGEST_TEXT = 4096  # characters of one thing that a visitor says: paths of uploads are the longest

P = ParamSpec("P")


@dataclass(frozen=True)
class Live:
    """A part of the page that follows what is on disk, whoever has changed it."""

    component: Any
    state: Callable[[Project], object]
    """What it depends on; quick, since every open page asks every other second."""
    show: Callable[[Project, bool], Any]
    """Its update when that has changed; True: the project has only just been opened."""


def warns(handler: Callable[P, Any]) -> Callable[P, Any]:
    """The handler of an event, to which nothing comes that is no text; of an error that the visitor can mend the page
    is told, and nothing on it changes."""

    @functools.wraps(handler)
    def safe(*args: P.args, **kwargs: P.kwargs) -> Any:
        try:
            for payload in args:
                check_payload(payload)
            return handler(*args, **kwargs)
        except FaceswapError as error:
            warn(error)
        except OSError as error:
            warn(OutputError(f"the disk does not let the page do that ({error.strerror})", "Check its space"))
        return gr.skip()

    return safe


def warns_only(handler: Callable[P, None]) -> Callable[P, None]:
    """The same for one that changes nothing on the page by itself."""

    @functools.wraps(handler)
    def safe(*args: P.args, **kwargs: P.kwargs) -> None:
        warns(handler)(*args, **kwargs)

    return safe


def check_payload(payload: object) -> None:
    """Raises ConfigError for a visitor's input with anything in it that is no text on one line, or far too much."""
    if isinstance(payload, str) and not (len(payload) <= _LONGEST_TEXT and is_text(payload)):
        raise ConfigError("what was typed is too long, or no text", "Use letters, digits and spaces")
    if isinstance(payload, dict):
        payload = [*payload, *payload.values()]
    if isinstance(payload, list):
        for item in payload:
            check_payload(item)


def warn(error: FaceswapError) -> None:
    """Show an error on the page, with its remedy."""
    gr.Warning(text_of(error), duration=12, title="That did not work")


def text_of(error: FaceswapError) -> str:
    """The error in two sentences that fit on the page, as HTML."""
    problem = textwrap.shorten(one_line(error.problem), _LONGEST_PROBLEM, placeholder=" …")
    return html.escape(f"{problem[:1].upper()}{problem[1:]}. {one_line(error.remedy)}.", quote=False)


def uploads(**options: Any) -> gr.File:
    """Files from the visitor's computer and nowhere else: gradio would also fetch one from the network."""
    files = gr.File(file_count="multiple", type="filepath", **options)
    move = files.async_move_resource_to_block_cache

    async def move_local(place: str | Path | None) -> Any:
        if "://" in str(place):
            error = ConfigError("clips are not fetched from the network", "Upload the file itself")
            raise gr.Error(text_of(error), title="That did not work", print_exception=False)
        return await move(place)

    files.async_move_resource_to_block_cache = move_local
    return files


def uploaded(projects: Projects, files: Any) -> list[tuple[Path, str]]:
    """Where uploaded files lie, and what they were called.

    Raises ConfigError for anything else than what visitors have sent: another one's clip, for example.
    """
    uploads_folder = Path(os.environ.get("GRADIO_TEMP_DIR", projects.folder / UPLOADS)).resolve()
    found = []

    for file in files if isinstance(files, list) else []:
        path = Path(file["path"]).resolve()
        if uploads_folder not in path.parents:
            raise ConfigError("this file was not uploaded", "Upload the file itself")
        found.append((path, Path(file.get("orig_name") or path).name))
    return found


def number(payload: object) -> float | None:
    """A number that was typed or set, if it is one."""
    try:
        value = float(str(payload))
    except ValueError:
        return None
    return value if abs(value) < 1e9 else None  # neither infinity nor no number at all


def one_of(payload: object, known: Iterable[str], what: str) -> str:
    """The visitor's choice. Raises ConfigError if it is none of those that there are."""
    if isinstance(payload, str) and payload in known:
        return payload
    raise ConfigError(f"there is no {what} '{payload}'", "Choose one of those shown")
