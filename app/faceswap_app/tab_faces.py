"""The second tab: footage of each person, and the faces that were found in it."""

from __future__ import annotations

import html
from functools import partial
from typing import Any

import gradio as gr

from faceswap.errors import ConfigError, FaceswapError
from faceswap_app import cards, commands
from faceswap_app.clips import Clips
from faceswap_app.components import TOLD, Live, number, uploaded, uploads, warn, warns, warns_only
from faceswap_app.desk import Desk
from faceswap_app.gallery import Gallery
from faceswap_app.project import KEYS, Project
from faceswap_app.tab_jobs import TabJobs


class FacesTab:
    """Its parts, and what its buttons do; the faces themselves are in a `Gallery`."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._jobs = TabJobs(desk.queue, "extract", "faces")
        self._gallery, self._shelf = Gallery(desk), Clips(desk)

    def lay_out_hidden(self) -> None:
        """What lies outside of the tab."""
        self._gallery.lay_out_hidden()
        self._shelf.lay_out_hidden()

    def lay_out(self) -> None:
        """Puts everything in its place."""
        self._lay_out_footage()
        self._shelf.lay_out()

        with gr.Row(equal_height=False):
            with gr.Column(scale=1, min_width=220):
                with gr.Row():
                    self._find = gr.Button("Find faces", variant="primary", scale=3, min_width=120, elem_id="find")
                    self._stop = gr.Button("Stop", interactive=False, scale=1, min_width=70)
                with gr.Accordion("Options", open=False):
                    self._similar = gr.Number(
                        value=0,
                        label="Leave out faces like the one before",
                        info="0 keeps all; 2 thins out footage in which little happens.",
                    )
                    self._least = gr.Number(
                        value=None,
                        label="Smallest face, pixels wide",
                        info="Empty: an eighth of the picture's height.",
                    )
            with gr.Column(scale=3, min_width=340):
                self._card = gr.HTML()

        self._gallery.lay_out()
        self.next = gr.Button("Next: train →", size="md")

    def _lay_out_footage(self) -> None:
        self._columns, self._titles, self._files, self._clips = [], [], [], []

        with gr.Row():
            for key in KEYS:
                with gr.Column(min_width=260, visible=key in ("a", "b")) as column:
                    self._titles.append(gr.HTML(f"<h3>Person {key.upper()}</h3>"))
                    with gr.Row(equal_height=True):
                        self._files.append(
                            uploads(label="Add footage", height=124, scale=2, min_width=150, elem_id=f"upload-{key}")
                        )

                        self._clips.append(
                            gr.Dropdown(
                                multiselect=True,
                                label="Seen in these clips",
                                info="Videos or pictures, added here or put into the folder clips/ of the project.",
                                scale=3,
                                min_width=200,
                                elem_id=f"clips-{key}",
                            )
                        )
                self._columns.append(column)

    def connect(self, project: Any, opened: Any) -> list[Any]:
        """Says what happens when; the events after which the page is to look at the disk at once.

        `opened`: the event of this tab's being opened.
        """
        self._gallery.connect(project)
        self._shelf.connect(project, opened)

        asked = [project, self._similar, self._least]
        events = [
            self._find.click(warns_only(self._start), asked, None, **TOLD),
            self._stop.click(warns_only(self._jobs.stop), project, None, **TOLD),
        ]

        for key, files, clips in zip(KEYS, self._files, self._clips, strict=True):
            events.append(files.upload(warns(partial(self._take, key)), [project, files], files, **TOLD))
            events.append(clips.input(warns_only(partial(self._choose, key)), [project, clips], None, **TOLD))

        return events

    @property
    def live(self) -> list[Live]:
        """What follows the disk."""
        live = [
            Live(self._card, self._job_state, lambda project, _fresh: self._job_card(project)),
            self._jobs.stop_button(self._stop),
            Live(self._similar, self._options, lambda p, _fresh: self._options(p)[0] or 0),
            Live(self._least, self._options, lambda p, _fresh: self._options(p)[1]),
            *self._gallery.live,
            *self._shelf.live,
        ]

        for key, column, title, clips in zip(KEYS, self._columns, self._titles, self._clips, strict=True):
            live.append(Live(column, partial(_name, key), partial(_shown, key)))
            live.append(Live(title, partial(_name, key), partial(_titled, key)))
            live.append(Live(clips, partial(_choices, key), partial(_chosen, key)))

        return live

    def _take(self, key: str, name: str | None, files: Any) -> Any:
        """Put uploaded files among the clips, as footage of this person."""
        project = self._desk.projects.open(name)
        for path, called in uploaded(self._desk.projects, files):
            try:
                clip = self._desk.take_clip(project, path, called)
            except FaceswapError as error:  # the others are taken all the same
                warn(error)
                continue
            project.change(key, clips=(*project.persons()[key].clips, clip))
        return None

    def _choose(self, key: str, name: str | None, clips: Any) -> None:
        project = self._desk.projects.open(name)
        project.change(
            key, clips=tuple(project.clip(clip).relative_to(project.folder).as_posix() for clip in clips or ())
        )

    def _start(self, name: str | None, similar: object, least: object) -> None:
        """Extraction of every person who has footage."""
        project = self._desk.projects.open(name)
        persons = {key: person for key, person in project.persons().items() if person.clips}
        if not persons:
            raise ConfigError("there is no footage yet", "Drop a video of each person into the fields above")

        for key, person in persons.items():
            clips = [project.clip(clip) for clip in person.clips]
            words = commands.extract(clips, project.faceset(key), max(0.0, number(similar) or 0.0), number(least))
            self._desk.queue.add(project.name, f"Find faces of {person.name}", words)

    def _options(self, project: Project) -> tuple[float | None, float | None]:
        """As they were the last time: with others all footage would be gone through anew."""
        job = self._desk.queue.latest(project.name, ("extract",))
        return commands.extraction_options(job.arguments if job else ())

    def _shown_jobs(self, project: Project) -> list[Any]:
        """The latest of each person: two are usually started at once."""
        latest: dict[str, Any] = {}
        for job in self._jobs.of(project.name):
            latest.pop(job.title, None)
            latest[job.title] = job
        found = list(latest.values())
        return [job for job in found if not job.over] or found[-2:]

    def _job_state(self, project: Project) -> Any:
        return [(job, self._desk.queue.report(job)) for job in self._shown_jobs(project)]

    def _job_card(self, project: Project) -> str:
        queue = self._desk.queue
        shown = [cards.card(job, queue.report(job), queue.result(job)) for job in self._shown_jobs(project)]
        return f'<div class="jobs">{"".join(shown)}</div>'


def _name(key: str, project: Project) -> str | None:
    person = project.persons().get(key)
    return person.name if person else None


def _shown(key: str, project: Project, _fresh: bool) -> Any:
    return gr.Column(visible=_name(key, project) is not None)


def _titled(key: str, project: Project, _fresh: bool) -> str:
    return f"<h3>{html.escape(_name(key, project) or '')}</h3>"


def _choices(key: str, project: Project) -> Any:
    person = project.persons().get(key)
    return project.clips(), person.clips if person else ()


def _chosen(key: str, project: Project, _fresh: bool) -> Any:
    clips, chosen = _choices(key, project)
    return gr.Dropdown(choices=clips, value=[clip for clip in chosen if clip in clips])
