"""A tab of its own: what a file says of its making, whoever has made it."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import gradio as gr

from faceswap.documents import one_line
from faceswap.errors import ConfigError
from faceswap_app.components import QUICK, RAW, Live, uploaded, uploads, warns
from faceswap_app.desk import Desk
from faceswap_app.project import Project

_LONGEST_LABEL = 30  # characters before a colon that name what follows


class VerifyTab:
    """Its parts, and what its buttons do."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def lay_out(self) -> None:
        """Puts everything in its place."""
        with gr.Row(equal_height=False):
            with gr.Column(scale=4, min_width=320):
                gr.Markdown(
                    "### Was this file changed by AI?\nLooks for signed content credentials (C2PA), for the invisible"
                    " mark that faceswap leaves in every picture, and for what the file declares of itself. The file is"
                    " looked at here and not kept."
                )
                self._file = uploads(label="Add pictures or videos", height=150, elem_id="verify-upload")
                self._result = gr.Dropdown(label="Or a finished video of this project", elem_id="verify-result")

            with gr.Column(scale=7, min_width=400):
                self._report = gr.HTML('<p class="note">The report will appear here.</p>', elem_id="verify-report")

    def connect(self, project: Any) -> None:
        """Says what happens when."""
        busy = {"concurrency_limit": None, "show_progress": "hidden", **RAW}
        self._file.upload(_looking, None, self._report, **QUICK).then(
            warns(self._look_at_uploads), self._file, [self._report, self._file], **busy
        )
        self._result.select(_looking, None, self._report, **QUICK).then(
            warns(self._look_at_result), [project, self._result], self._report, **busy
        )

    @property
    def live(self) -> list[Live]:
        """What follows the disk."""
        return [Live(self._result, lambda p: (p.name, _names(p)), lambda p, _fresh: _choice(p))]

    def _look_at_uploads(self, files: Any) -> list[Any]:
        reports = []
        for path, name in uploaded(self._desk.projects, files):
            try:
                with self._desk.turn():
                    reports.append(_report(path, name))
            finally:
                path.unlink(missing_ok=True)
        return ["".join(reports), None]

    def _look_at_result(self, name: str, result: object) -> str:
        chosen = [path for path in self._desk.projects.open(name).finished() if path.name == result]
        if not chosen:
            raise ConfigError("this video is not there any more", "Choose another")
        with self._desk.turn():
            return _report(chosen[0], chosen[0].name)


def _looking() -> str:
    return '<p class="note">Looking…</p>'


def _report(path: Path, name: str) -> str:
    """What a file says, as HTML: the verdict, then what it stands on."""
    from faceswap_pipelines.common.progress import run
    from faceswap_pipelines.verification import in_words, verify

    [report] = run(verify([path]))
    verdict, *lines = in_words(report).replace(str(path), one_line(name)).splitlines()
    kind = "ai" if report.says_ai else ""
    said = "".join(f'<li class="{"part" if line.startswith("    ") else ""}">{_line(line)}</li>' for line in lines)
    return f'<div class="verdict {kind}"><b>{html.escape(verdict)}</b><ul>{said}</ul></div>'


def _line(text: str) -> str:
    what, colon, rest = text.strip().partition(": ")
    what, rest = html.escape(f"{what[:1].upper()}{what[1:]}"), html.escape(rest)
    return f"<span>{what}</span>{rest}" if colon and len(what) < _LONGEST_LABEL else html.escape(text.strip())


def _names(project: Project) -> list[str]:
    return [path.name for path in project.finished()]


def _choice(project: Project) -> Any:
    return gr.Dropdown(choices=_names(project), value=None)
