"""A tab of its own: how good a finished swap is, or a model, measured as a job of the queue, and its report."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import gradio as gr

from faceswap.errors import ConfigError
from faceswap.media.kinds import is_picture
from faceswap_app import commands
from faceswap_app.components import RAW, TOLD, Live, one_of, warns, warns_only
from faceswap_app.desk import Desk
from faceswap_app.files import files, make_folder
from faceswap_app.holdings import settings_of
from faceswap_app.project import Project
from faceswap_app.tab_jobs import TabJobs
from faceswap_pipelines.swapping.origin import origin_of

_REPORTS = "reports"  # the folder of a project's reports
_EMPTY = '<p class="note">The report will appear here.</p>'
# Nothing in the frame may run, or reach the page around it.
_FRAME = '<iframe sandbox title="The report" srcdoc="{}" style="width:100%;height:80vh;border:0"></iframe>'


class EvaluateTab:
    """Its parts, and what its buttons do."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._jobs = TabJobs(desk.queue, "evaluate")

    def lay_out(self) -> None:
        """Puts everything in its place."""
        with gr.Row(equal_height=False):
            with gr.Column(scale=4, min_width=320):
                gr.Markdown(
                    "### How good is it?\nCompares a finished swap with the video that was swapped, frame by frame:"
                    " whose face it shows, whether it moves as the video does, how sharp and how calm it is. It takes"
                    " about as long as swapping did."
                )
                self._result = gr.Dropdown(label="A finished video", elem_id="evaluate-result")
                self._clip = gr.Dropdown(label="The clip that was swapped", elem_id="evaluate-clip")
                self._person = gr.Dropdown(label="Whose face it should show", elem_id="evaluate-person")
                with gr.Row():
                    self._start = gr.Button("Evaluate", variant="primary", min_width=120, elem_id="evaluate")
                    self._stop = gr.Button("Stop", interactive=False, min_width=80)
                with gr.Accordion("Or models, side by side", open=False):
                    gr.Markdown(
                        "How well each gives back the faces of this project's persons, and how they are decoded as each"
                        " other. Training has seen these faces: the figures tell models from each other, not how good"
                        " one is on new footage."
                    )
                    self._models = gr.Dropdown(label="Models", multiselect=True, elem_id="evaluate-models")
                    self._compare = gr.Button("Evaluate the models", elem_id="evaluate-compare")
                self._card = gr.HTML(elem_id="evaluate-card")
                self._chosen = gr.Dropdown(label="Reports", elem_id="evaluate-reports")

            with gr.Column(scale=9, min_width=480):
                self._report = gr.HTML(_EMPTY, elem_id="evaluate-report")

    def connect(self, project: Any) -> list[Any]:
        """Says what happens when; the events after which the page is to look at the disk at once."""
        self._result.change(warns(self._source), [project, self._result], self._clip, **TOLD)
        self._chosen.change(warns(self._read), [project, self._chosen], self._report, concurrency_limit=1, **RAW)
        wanted = [project, self._result, self._clip, self._person]
        return [
            self._start.click(warns_only(self._evaluate), wanted, None, **TOLD),
            self._compare.click(warns_only(self._evaluate_models), [project, self._models], None, **TOLD),
            self._stop.click(warns_only(self._jobs.stop), project, None, **TOLD),
        ]

    @property
    def live(self) -> list[Live]:
        """What follows the disk."""
        return [
            Live(self._result, lambda p: (p.name, _videos(p)), lambda p, _fresh: _first(_videos(p))),
            Live(self._clip, lambda p: (p.name, p.clips()), lambda p, _fresh: gr.Dropdown(choices=p.clips())),
            Live(self._person, lambda p: (p.name, p.persons()), _persons),
            Live(self._models, lambda p: (p.name, p.models()), lambda p, _fresh: gr.Dropdown(choices=p.models())),
            self._jobs.stop_button(self._stop),
            self._jobs.card(self._card),
            Live(self._chosen, lambda p: (p.name, _changes(p)), lambda p, _fresh: _first(list(_reports(p)))),
        ]

    def _source(self, name: str | None, result: str | None) -> Any:
        """The clip that the result was made from, or, where that is not kept, after which it is called."""
        if not name or not result:
            return gr.skip()

        project = self._desk.projects.open(name)
        clips, made = project.clips(), next((path for path in project.finished() if path.name == result), None)
        origin = origin_of(settings_of(made)) if made else None

        named = [clip for clip in clips if origin and Path(clip).name == origin.video]
        named = named or [clip for clip in clips if Path(result).stem.startswith(f"{Path(clip).stem}_as_")]
        return gr.update(value=max(named, key=len, default=None))

    def _evaluate(self, name: str | None, result: object, clip: str | None, person: object) -> None:
        project = self._desk.projects.open(name)
        swapped = {path.name: path for path in project.finished()}
        video = swapped[one_of(result, _videos(project), "finished video")]
        who = project.persons()[one_of(person, project.persons(), "person")].name

        words = commands.evaluate(video, project.clip(clip), project.faceset(str(person)))
        make_folder(project.folder / _REPORTS)
        out = project.folder / _REPORTS / f"{video.stem}.html"
        self._desk.queue.add(project.name, f"Evaluate {video.name}: face of {who}", words, str(out))

    def _evaluate_models(self, name: str | None, chosen: object) -> None:
        project = self._desk.projects.open(name)
        listed = chosen if isinstance(chosen, list) else []
        names = list(dict.fromkeys(one_of(model, project.models(), "model") for model in listed))
        if not names:
            raise ConfigError("no model is chosen", "Choose one or more")

        # The faces of those whom all of them know.
        known = set.intersection(*(set(project.known_to(model)) for model in names))
        facesets = {key: project.faceset(key) for key in project.persons() if key in known}
        there = {key: folder for key, folder in facesets.items() if (folder / "faceset.db").is_file()}
        if not there:
            raise ConfigError("these models have nobody in common whose faces are here", "Choose others")

        words = commands.evaluate_models([project.model(model) for model in names], there)
        make_folder(project.folder / _REPORTS)
        out = project.folder / _REPORTS / f"models {' '.join(names)[:80]}.html"
        self._desk.queue.add(project.name, f"Evaluate {', '.join(names)}", words, str(out))

    def _read(self, name: str | None, chosen: str | None) -> str:
        """The report in a frame of its own."""
        if not name or not chosen:
            return _EMPTY
        report = _reports(self._desk.projects.open(name)).get(chosen)
        if report is None:
            raise ConfigError("this report is not there any more", "Choose another")
        return _FRAME.format(html.escape(report.read_text(encoding="utf-8", errors="replace")))


def _videos(project: Project) -> list[str]:
    """Finished swaps by name, the newest first."""
    return [path.name for path in project.finished() if not is_picture(path)]


def _reports(project: Project) -> dict[str, Path]:
    """Reports by what they are of, the newest first."""
    found = [path for path in files(project.folder / _REPORTS) if path.suffix == ".html"]
    return {path.stem: path for path in sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)}


def _changes(project: Project) -> list[tuple[str, float]]:
    return [(name, path.stat().st_mtime) for name, path in _reports(project).items()]


def _first(names: list[str]) -> Any:
    return gr.Dropdown(choices=names, value=names[0] if names else None)


def _persons(project: Project, fresh: bool) -> Any:
    known = [(person.name, key) for key, person in project.persons().items() if project.faceset(key).is_dir()]
    return gr.Dropdown(choices=known, **({"value": known[-1][1] if known else None} if fresh else {}))
