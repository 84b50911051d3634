"""The first tab: make a project, say who the persons are, see how far everything is."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import count
from typing import Any

import gradio as gr

from faceswap.errors import FaceswapError
from faceswap_app import cards, commands
from faceswap_app.access import owns
from faceswap_app.components import TOLD, Live, number, warns, warns_only
from faceswap_app.desk import Desk
from faceswap_app.project import AGREES, INVENTED, KEYS, Person, Project
from faceswap_app.tidy import Tidy

_DEMO = "demo"
_SHARED = "Shared: everybody who logs in here sees this project, and may work in it"
_CONSENT = [("Agrees to this use of their face", AGREES), ("Does not exist: drawn or generated", INVENTED)]
_WELCOME = (
    "### Put one person's face into another person's video\n"
    "Give the project a name, add footage of two people, and press three buttons: **Find faces**, **Train**, **Swap**."
    " Nothing leaves the computer that runs this page."
)


class ProjectTab:
    """Its parts, and what its buttons do."""

    def __init__(self, desk: Desk) -> None:
        self._desk, self._tidy = desk, Tidy(desk)

    def lay_out(self) -> None:
        """Puts everything in its place."""
        with gr.Row():
            with gr.Column(scale=5, min_width=340):
                gr.Markdown(_WELCOME)
                with gr.Group():
                    self._name = gr.Textbox(
                        label="New project", placeholder="For example: ada-and-bruno", max_lines=1, elem_id="new-name"
                    )
                    self._create = gr.Button("Make the project", variant="primary", elem_id="create")
                with gr.Accordion("Or first try it with two people who do not exist", open=False):
                    gr.Markdown(
                        "Films two people who do not exist, finds their faces, trains on them and swaps:"
                        " everything that you would do, in a few minutes, in a project called *demo*."
                    )
                    self._minutes = gr.Number(value=3, label="Minutes to train", minimum=0.1, maximum=60)
                    self._demo = gr.Button("Make the demo")
                self._card = gr.HTML()
                self._steps = gr.HTML()

            with gr.Column(scale=6, min_width=340):
                self._open = gr.Column(visible=False)
                with self._open:
                    self._lay_out_persons()

        with gr.Accordion("Tidy up: rename, delete, take back", open=False, elem_id="tidy"):
            self._tidy.lay_out()

    def _lay_out_persons(self) -> None:
        gr.Markdown("### Who they are\nA model is trained only of people who agree to it, or who do not exist.")

        self._rows, self._names, self._consents, self._removes = [], [], [], []
        for key in KEYS:
            with gr.Row(visible=key in ("a", "b"), elem_classes="person") as row:
                self._names.append(
                    gr.Textbox(
                        label=f"Person {key.upper()}", max_lines=1, min_width=120, scale=2, elem_id=f"name-{key}"
                    )
                )
                self._consents.append(
                    gr.Radio(_CONSENT, label="This person", min_width=260, scale=5, elem_id=f"consent-{key}")
                )
                self._removes.append(
                    gr.Button("Remove", size="sm", min_width=70, scale=0, visible=False, elem_id=f"remove-{key}")
                )
            self._rows.append(row)

        self._shared = gr.Checkbox(
            label=_SHARED,
            visible=False,
            elem_id="shared",
        )
        self._more = gr.Button("Add a person", size="sm", elem_id="add-person")
        self.next = gr.Button("Next: add footage →", variant="primary")

    def connect(self, project: Any) -> list[Any]:
        """Says what happens when; the events after which the page is to look at the disk at once."""
        # The name is set on the page only when the project is there: that opens it.
        made = gr.on(
            [self._create.click, self._name.submit], warns(self._make), self._name, [project, self._name], **TOLD
        )
        demo = self._demo.click(warns(self._make_demo), self._minutes, project, **TOLD)

        events = [made, demo, self._more.click(warns_only(self._add), project, None, **TOLD)]
        events.append(self._shared.input(warns_only(self._share), [project, self._shared], None, **TOLD))
        events += self._tidy.connect(project)

        for key, name, consent, remove in zip(KEYS, self._names, self._consents, self._removes, strict=True):
            events.append(remove.click(warns_only(partial(self._remove, key)), project, None, **TOLD))
            gr.on([name.blur, name.submit], warns(partial(self._rename, key)), [project, name], name, **TOLD)
            events.append(consent.input(warns_only(partial(self._agree, key)), [project, consent], None, **TOLD))

        return events

    @property
    def live(self) -> list[Live]:
        """What follows the disk."""
        live = [
            Live(self._open, lambda project: project.name, lambda _project, _fresh: gr.Column(visible=True)),
            Live(self._card, self._demo_state, lambda project, _fresh: self._demo_card(project)),
            Live(self._steps, _progress, lambda project, _fresh: cards.steps(_steps_of(project))),
            Live(self._more, lambda p: len(p.persons()), lambda p, _: gr.Button(visible=len(p.persons()) < len(KEYS))),
            Live(self._shared, self._sharing, lambda p, _fresh: gr.Checkbox(**self._sharing(p))),
            *self._tidy.live,
        ]

        parts = zip(KEYS, self._rows, self._names, self._consents, self._removes, strict=True)
        for key, row, name, consent, remove in parts:
            live.append(Live(remove, partial(_is_third, key), partial(_removable, key)))
            live.append(Live(row, partial(_is_there, key), partial(_visible, key)))
            live.append(Live(name, partial(_name_of, key), partial(_shown_name, key)))
            live.append(Live(consent, partial(_consent_of, key), partial(_shown_consent, key)))

        return live

    def _make(self, name: object) -> list[Any]:
        project = self._desk.keeper.create(str(name))
        self._desk.scribe.note("project made", project=project.name)
        return [gr.Dropdown(choices=self._desk.projects.names(), value=project.name), ""]

    def _make_demo(self, minutes: object) -> Any:
        from faceswap_pipelines.demo.run import leads

        projects = self._desk.projects
        name = self._demo_name()
        if name not in projects.names():
            project = self._desk.keeper.create(name)
            for key, lead in zip("ab", leads(drawn=False), strict=True):
                project.change(key, name=lead.capitalize(), consent=INVENTED, clips=(f"{lead}.mp4",))

        words = commands.demo(projects.folder / name, number(minutes) or 3.0)
        self._desk.queue.add(name, "Demo", words)
        return gr.Dropdown(choices=projects.names(), value=name)

    def _demo_name(self) -> str:
        """Of the visitor's own demo, or a free one: others may have theirs."""
        names = (_DEMO if number == 1 else f"{_DEMO}_{number}" for number in count(1))
        return next(name for name in names if self._is_own(name) or self._desk.keeper.is_free(name))

    def _is_own(self, name: str) -> bool:
        projects = self._desk.projects
        return name in projects.names() and owns(projects.who(), projects.standing(name))

    def _share(self, name: str | None, shared: object) -> None:
        project = self._desk.projects.open(name)
        self._desk.keeper.give(project, replace(project.standing, shared=bool(shared)))
        self._desk.scribe.note("shared" if shared else "no longer shared", project=project.name)

    def _sharing(self, project: Project) -> dict[str, Any]:
        """Whether the project can be shared, and is."""
        standing, who = project.standing, self._desk.projects.who()
        own = owns(who, standing)
        label = _SHARED if own else f"Shared by {standing.owner or 'nobody'}"
        return {"visible": who is not None, "interactive": own, "value": standing.shared, "label": label}

    def _add(self, name: str | None) -> None:
        self._desk.projects.open(name).add_person()

    def _remove(self, key: str, name: str | None) -> None:
        self._tidy.remove(name, key)

    def _rename(self, key: str, name: str | None, text: str) -> str:
        project = self._desk.projects.open(name)
        if project.persons()[key].name != text:
            project.change(key, name=str(text))
        return project.persons()[key].name

    def _agree(self, key: str, name: str | None, consent: str) -> None:
        project = self._desk.projects.open(name)
        project.change(key, consent=consent)
        self._desk.scribe.note("consent said", project=project.name, person=key, consent=consent)

    def _demo_state(self, project: Project) -> Any:
        job = self._desk.queue.latest(project.name, ("demo",))
        return job, self._desk.queue.report(job) if job else None

    def _demo_card(self, project: Project) -> str:
        queue, job = self._desk.queue, self._desk.queue.latest(project.name, ("demo",))
        return cards.card(job, queue.report(job), queue.result(job)) if job else ""


def _person(key: str, project: Project) -> Person | None:
    return project.persons().get(key)


def _is_there(key: str, project: Project) -> bool:
    return _person(key, project) is not None


def _visible(key: str, project: Project, _fresh: bool) -> Any:
    return gr.Row(visible=_is_there(key, project))


def _is_third(key: str, project: Project) -> bool:
    """Whether it is somebody besides the two whom every project has."""
    return key not in KEYS[:2] and _is_there(key, project)


def _removable(key: str, project: Project, _fresh: bool) -> Any:
    return gr.Button(visible=_is_third(key, project))


def _name_of(key: str, project: Project) -> str:
    person = _person(key, project)
    return person.name if person else ""


def _consent_of(key: str, project: Project) -> str:
    person = _person(key, project)
    return person.consent if person else ""


def _progress(project: Project) -> Any:
    """What the steps depend on."""
    changed = [path.stat().st_mtime_ns for path in sorted(project.folder.glob("faces/*/faceset.db*"))]
    return changed, project.clips(), project.models(), len(project.finished()), project.persons()


def _steps_of(project: Project) -> list[tuple[str, str, bool]]:
    from faceswap_app import backend

    persons, clips = project.persons(), project.clips()
    kept = {key: backend.counts(project.faceset(key))[0] for key in persons}
    faces = ", ".join(f"{kept[key]:,} of {person.name}" for key, person in persons.items() if kept[key])
    models = project.models()

    try:
        model = backend.model(project.folder / models[-1]).text if models else "none yet"
    except FaceswapError as error:
        model = error.problem

    results = len(project.finished())
    said = all(person.consent for person in persons.values())

    return [
        ("Persons", "named, and asked" if said else "say for each whether they agree", said),
        ("Footage", f"{len(clips)} clip{'s' * (len(clips) != 1)} in {project.folder / 'clips'}", bool(clips)),
        ("Faces", faces or "none yet", all(kept.values())),
        ("Model", model, bool(models)),
        ("Results", f"{results} swapped file{'s' * (results != 1)}", bool(results)),
    ]


def _shown_name(key: str, project: Project, _fresh: bool) -> str:
    return _name_of(key, project)


def _shown_consent(key: str, project: Project, _fresh: bool) -> str | None:
    return _consent_of(key, project) or None
