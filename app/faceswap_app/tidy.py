"""Below the first tab: what the project holds and how much disk that uses; rename, throw away, take back, delete."""

from __future__ import annotations

import html
import time
from typing import Any

import gradio as gr

from faceswap.errors import ConfigError
from faceswap_app.bin import Entry
from faceswap_app.components import TOLD, Live, warns, warns_only
from faceswap_app.desk import Desk
from faceswap_app.holdings import PERSON, PROJECT, Holding, holding, holdings, in_words, showing, size_of
from faceswap_app.project import Project

_BIN, _NOW = "bin", "now"
_HOW = [("Into the bin: it can be taken back for a week", _BIN), ("For good, at once", _NOW)]


class Tidy:
    """Its parts, and what they do."""

    def __init__(self, desk: Desk) -> None:
        self._desk, self._keeper = desk, desk.keeper

    def lay_out(self) -> None:
        """Puts everything in its place."""
        self._use = gr.HTML(elem_id="disk-use")
        with gr.Row(equal_height=False):
            with gr.Column(min_width=300):
                self._what = gr.Dropdown(label="What", elem_id="tidy-what")
                with gr.Row(equal_height=True):
                    self._new = gr.Textbox(label="New name", max_lines=1, min_width=160, scale=3, elem_id="tidy-new")
                    self._rename = gr.Button("Rename", min_width=80, elem_id="tidy-rename")

            with gr.Column(min_width=300):
                self._how = gr.Radio(_HOW, value=_BIN, label="Delete", elem_id="tidy-how")
                self._everything = gr.Checkbox(
                    label="With all that shows this person",
                    info="Clips in which they are seen, models that know them, and what was made with these.",
                    visible=False,
                    elem_id="tidy-everything",
                )
                self._goes = gr.HTML(elem_id="tidy-goes")
                self._delete = gr.Button("Delete", variant="stop", elem_id="tidy-delete")

            with gr.Column(min_width=300):
                self._thrown = gr.Dropdown(label="In the bin", elem_id="bin")
                with gr.Row():
                    self._back = gr.Button("Take back", min_width=80, elem_id="take-back")
                    self._gone = gr.Button("Delete for good", variant="stop", min_width=80, elem_id="gone")

    def connect(self, project: Any) -> list[Any]:
        """Says what happens when; the events after which the page is to look at the disk at once."""
        chosen = [project, self._what, self._how, self._everything]
        for part in (self._what, self._how, self._everything):
            part.change(warns(self._describe), chosen, [self._goes, self._everything, self._delete], **TOLD)

        renamed = [project, self._what, self._new]
        return [
            self._rename.click(warns(self._give_name), renamed, [project, self._new, self._what], **TOLD),
            self._delete.click(warns(self._throw_away), chosen, [project, self._how, self._what], **TOLD),
            self._back.click(warns(self._take_back), [project, self._thrown], project, **TOLD),
            self._gone.click(warns_only(self._delete_thrown), self._thrown, None, **TOLD),
        ]

    @property
    def live(self) -> list[Live]:
        """What follows the disk."""
        return [
            Live(self._what, lambda p: (p.name, [one.title for one in holdings(p)]), _choices),
            Live(self._use, self._changes, lambda p, _fresh: self._disk_use(p)),
            Live(self._thrown, lambda _p: self._keeper.thrown(), lambda _p, _fresh: self._thrown_choices()),
        ]

    def remove(self, name: str | None, key: str) -> None:
        """Throw a person of a project away, and say where to."""
        [entry] = self._keeper.throw_away(self._desk.projects.open(name), PERSON, key)
        self._note("thrown away", [entry])
        gr.Info(html.escape(f"In the bin: {entry.title}. Tidy up, below, takes that back."), title="")

    def _changes(self, project: Project) -> Any:
        """What the use of the disk depends on; while a job runs it is looked at every ten minutes."""
        jobs = [(job.id, job.status) for job in self._desk.queue.jobs()]
        return (
            project.name,
            [one.title for one in holdings(project)],
            jobs,
            self._keeper.thrown(),
            time.time() // 600,
        )

    def _disk_use(self, project: Project) -> str:
        thrown = sum(self._keeper.size(entry) for entry in self._keeper.thrown())
        who = self._desk.projects.who()
        everything = size_of(self._desk.projects.folder) if who is None else self._desk.quota.used(who)

        parts = {
            "this project": size_of(project.folder),
            "all projects" if who is None else f"all projects of {html.escape(who)}": everything,
            "of that in the bin" if who is None else "in the bin": thrown,
        }

        return (
            '<p class="note">' + " · ".join(f"{what}: <b>{in_words(size)}</b>" for what, size in parts.items()) + "</p>"
        )

    def _thrown_choices(self) -> Any:
        choices = [(_line(entry, self._keeper.size(entry)), entry.id) for entry in self._keeper.thrown()]
        return gr.Dropdown(choices=choices, value=choices[0][1] if choices else None)

    def _holding(self, name: str | None, what: object) -> tuple[Project, Holding]:
        project = self._desk.projects.open(name)
        kind, colon, called = str(what).partition(":")
        if not colon:
            raise ConfigError("nothing is chosen", "Choose what to rename or delete")
        return project, holding(project, kind, called)

    def _wanted(self, project: Project, one: Holding, everything: object) -> list[Holding]:
        """All that would go."""
        return [*(showing(project, one.name) if one.kind == PERSON and everything else ()), one]

    def _describe(self, name: str | None, what: object, how: object, everything: object) -> list[Any]:
        if not name or not what:
            return ["", gr.skip(), gr.skip()]
        project, one = self._holding(name, what)
        going = "; ".join(f"{each.title} ({in_words(each.bytes)})" for each in self._wanted(project, one, everything))
        said = f'<p class="note">Goes: {html.escape(going)}.</p>'
        text = "Delete for good" if how == _NOW else "Move into the bin"
        return [said, gr.Checkbox(visible=one.kind == PERSON), gr.Button(text)]

    def _give_name(self, name: str | None, what: object, new: object) -> list[Any]:
        project, one = self._holding(name, what)
        called = self._keeper.rename(project, one.kind, one.name, str(new or ""))
        self._desk.scribe.note("renamed", project=project.name, what=one.title, to=called)
        opened = called if one.kind == PROJECT else project.name
        return [gr.Dropdown(choices=self._desk.projects.names(), value=opened), "", None]

    def _throw_away(self, name: str | None, what: object, how: object, everything: object) -> list[Any]:
        project, one = self._holding(name, what)
        if how == _NOW:
            self._desk.projects.check_owner(project)

        with_all = bool(everything) and one.kind == PERSON
        entries = self._keeper.throw_away(project, one.kind, one.name, everything=with_all)
        if how == _NOW:
            self._keeper.delete(entries)
        self._note("deleted for good" if how == _NOW else "thrown away", entries)

        where = "Deleted for good" if how == _NOW else "In the bin for a week"
        gr.Info(html.escape(f"{where}: {'; '.join(entry.title for entry in entries)}."), title="")
        return [self._projects_now(name), _BIN, None]

    def _take_back(self, name: str | None, key: object) -> Any:
        entry = self._keeper.entry(key)
        self._keeper.take_back(entry)
        self._note("taken back", [entry])
        gr.Info(html.escape(f"Taken back: {entry.title}."), title="")
        return self._projects_now(entry.project if entry.kind == PROJECT else name)

    def _delete_thrown(self, key: object) -> None:
        entry = self._keeper.entry(key)
        self._keeper.delete([entry])
        self._note("deleted for good", [entry])
        gr.Info(html.escape(f"Deleted for good: {entry.title}."), title="")

    def _note(self, did: str, entries: list[Entry]) -> None:
        for entry in entries:
            self._desk.scribe.note(did, project=entry.project, what=entry.title)

    def _projects_now(self, name: str | None) -> Any:
        names = self._desk.projects.names()
        return gr.Dropdown(choices=names, value=name if name in names else self._desk.projects.last())


def _choices(project: Project, fresh: bool) -> Any:
    """What is chosen stays so while other things come and go."""
    choices = [(f"{one.title} · {in_words(one.bytes)}", f"{one.kind}:{one.name}") for one in holdings(project)]
    return gr.Dropdown(choices=choices, value=None) if fresh else gr.Dropdown(choices=choices)


def _line(entry: Entry, size: int) -> str:
    return f"{entry.title} · {entry.project} · {in_words(size)} · {entry.days_left:.0f} days more"
