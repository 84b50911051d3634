"""The third tab: train a model of the persons' faces, and watch it learn."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import gradio as gr

from faceswap.config import DECODERS, LATENTS, PRESETS
from faceswap.errors import ConfigError, FaceswapError
from faceswap_app import commands
from faceswap_app.charts import curves
from faceswap_app.components import TOLD, Live, number, one_of, warns, warns_only
from faceswap_app.desk import Desk
from faceswap_app.jobs import FAILED, HALTED
from faceswap_app.project import Project
from faceswap_app.tab_jobs import TabJobs

_NEW = "a new model"
_PRESETS = [
    ("what suits this computer: nano, or base with a GPU", commands.AUTO),
    ("nano: 256 px, good soonest", "nano"),
    ("base: 512 px, sharper; three times as long on a processor", "base"),
    ("large: 512 px from a larger network, wants a GPU", "large"),
]
_LATENTS = [
    ("plain: the default", "plain"),
    ("sparse: few numbers active at once", "sparse"),
    ("vae: smooth, can be sampled", "vae"),
    ("vq: a codebook", "vq"),
    ("vq2: codebooks of two levels", "vq2"),
]
_DECODERS = [("separate: one for each person", "separate"), ("conditional: one for all", "conditional")]


class TrainTab:
    """Its parts, and what its buttons do."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._jobs = TabJobs(desk.queue, "train")

    def lay_out(self) -> None:
        """Puts everything in its place."""
        with gr.Row(equal_height=False):
            with gr.Column(scale=4, min_width=320):
                self._lay_out_choices()
            with gr.Column(scale=7, min_width=400):
                self._curves = gr.HTML()
                self._before = gr.HTML()
                self._preview = gr.Image(
                    show_label=False,
                    interactive=False,
                    format="jpeg",
                    buttons=["fullscreen"],
                    visible=False,
                    elem_id="preview",
                )

    def _lay_out_choices(self) -> None:
        self._model = gr.Dropdown(label="Model", elem_id="train-model")

        self._about = gr.Markdown(elem_classes="note")
        self._shape = gr.Group()
        with self._shape:
            self._preset = gr.Radio(_PRESETS, value=commands.AUTO, label="Size of the faces it makes")
            with gr.Accordion("Kind of network", open=False):
                self._latent = gr.Dropdown(_LATENTS, value="plain", label="What lies between encoder and decoder")
                self._decoder = gr.Radio(_DECODERS, value="separate", label="Decoder")
                self._scratch = gr.Checkbox(
                    label="Begin with random weights",
                    info="Not with those that know faces already. Takes much longer to get good.",
                )

        with gr.Group():
            self._minutes = gr.Number(
                value=10,
                label="Minutes",
                info="Of this run: 3 to see that it works, 10 for a first result, 60 and more for a good one.",
                elem_id="minutes",
            )
            self._plateau = gr.Checkbox(label="Instead: until it no longer gets better")

        with gr.Row():
            self._start = gr.Button("Train", variant="primary", scale=3, min_width=120, elem_id="train")
            self._stop = gr.Button("Pause", interactive=False, min_width=80, elem_id="pause")
        self._card = gr.HTML(elem_id="train-card")
        self.next = gr.Button("Next: swap →")

    def connect(self, project: Any) -> list[Any]:
        """Says what happens when; the events after which the page is to look at the disk at once."""
        shape = [self._preset, self._latent, self._decoder, self._scratch, self._minutes, self._plateau]
        self._model.change(warns(self._opened), [project, self._model], [self._shape, self._about], **TOLD)
        return [
            self._start.click(warns_only(self._train), [project, self._model, *shape], None, **TOLD),
            self._stop.click(warns_only(self._pause), project, None, **TOLD),
        ]

    @property
    def live(self) -> list[Live]:
        """What follows the disk."""
        return [
            Live(self._model, lambda p: (p.name, p.models()), _models),
            Live(self._start, self._jobs.run, lambda p, _fresh: gr.Button(interactive=not self._jobs.run(p))),
            Live(self._stop, self._pausing, lambda p, _fresh: gr.Button(**self._pausing(p))),
            self._jobs.card(self._card),
            Live(self._curves, lambda p: _changed(_shown(p) / "stats.jsonl"), _curves),
            Live(self._preview, lambda p: _changed(_picture(p)), _preview),
            Live(self._before, lambda p: (_changed(_picture(p)) is None, p.persons()), _before),
        ]

    def _opened(self, name: str | None, model: str | None) -> list[Any]:
        """What can be said of a model that is there; what can be chosen for a new one."""
        if not name or not model or model == _NEW:
            return [gr.Group(visible=True), ""]
        from faceswap_app import backend

        project = self._desk.projects.open(name)
        about = backend.model(project.model(model))
        names = {key: person.name for key, person in project.persons().items()}
        known = " and ".join(html.escape(names.get(key, key)) for key in about.persons)
        unknown = " and ".join(html.escape(text) for key, text in names.items() if key not in about.persons)
        more = f" It will not learn {unknown}: for that choose *{_NEW}*." if unknown else ""
        return [gr.Group(visible=False), f"Knows {known}; {about.text}. *Train* goes on with it.{more}"]

    def _train(  # noqa: PLR0917  # gradio gives them by position
        self,
        name: str | None,
        model: str | None,
        preset: object,
        latent: object,
        decoder: object,
        scratch: object,
        minutes: object,
        plateau: object,
    ) -> None:
        project = self._desk.projects.open(name)

        pending = {job.kind for job in self._desk.queue.jobs() if job.project == project.name and not job.over}
        if "train" in pending:
            raise ConfigError("a model of this project is being trained already", "Pause it first")

        training = commands.Training(
            preset=one_of(preset, (commands.AUTO, *PRESETS), "preset"),
            latent=one_of(latent, LATENTS, "latent"),
            decoder=one_of(decoder, DECODERS, "decoder"),
            from_scratch=bool(scratch),
            minutes=number(minutes),
            until_plateau=bool(plateau),
        )

        new = not model or model == _NEW
        folder = project.folder / project.new_model() if new else project.model(model)
        keys = _persons_of(project, None if new else folder)

        missing = [key for key in keys if not (project.faceset(key) / "faceset.db").is_file()]
        if missing and "extract" not in pending:  # otherwise they will be there when its turn comes
            who = " and ".join(project.persons()[key].name for key in missing)
            raise ConfigError(f"there are no faces of {who} yet", "Find them on the Faces tab")

        facesets = {key: project.faceset(key) for key in keys}
        words = commands.train(facesets, project.consent(), folder, training, new)
        self._desk.queue.add(project.name, f"Train {folder.name}", words)

    def _pause(self, name: str) -> None:
        """Stop the training that runs; or go on with the one that was stopped, for what was left of its time."""
        job = self._jobs.latest(name)
        if job is None:
            raise ConfigError("nothing is being trained", "Press Train")
        if job.over:
            self._desk.queue.again(job.id)
        else:
            self._desk.queue.stop(job.id)

    def _pausing(self, project: Project) -> dict[str, Any]:
        """What the button beside Train does."""
        job = self._jobs.latest(project.name)
        halted = job is not None and job.status in (HALTED, FAILED)
        return {"value": "Resume" if halted else "Pause", "interactive": halted or self._jobs.run(project)}


def _persons_of(project: Project, model: Path | None) -> list[str]:
    """Whom a model is trained of: those that it knows; or, for a new one, all who agree and of whom there is footage.

    Raises ConfigError if not all of them are said to agree.
    """
    if model is not None:
        from faceswap_app import backend

        return list(backend.model(model).persons)
    persons = project.persons()
    keys = [key for key in persons if key in ("a", "b") or persons[key].clips or project.faceset(key).is_dir()]
    project.check_consent(keys)
    return keys


def _models(project: Project, _fresh: bool) -> Any:
    """The newest model, or a new one, unless another was chosen."""
    models = project.models()
    return gr.Dropdown(choices=[*models, _NEW], value=models[-1] if models else _NEW)


def _shown(project: Project) -> Path:
    """The model that was trained last, whose curves and faces are shown."""
    models = project.models()
    stats = [project.folder / name / "stats.jsonl" for name in models]
    trained = [path for path in stats if path.is_file()]
    latest = max(trained, key=lambda path: path.stat().st_mtime, default=None)
    return latest.parent if latest else project.folder / (models[-1] if models else "model")


def _picture(project: Project) -> Path:
    return _shown(project) / "previews" / "latest.png"


def _changed(path: Path) -> Any:
    return (str(path), path.stat().st_mtime) if path.is_file() else None


def _curves(project: Project, _fresh: bool) -> str:
    from faceswap_app import backend

    names = {key: person.name for key, person in project.persons().items()}
    chart = curves(backend.losses(_shown(project), names), "loss over minutes of training")
    said = "How far rebuilt faces are from the filmed ones: the lower, the better. It jumps where larger faces begin."
    return f'{chart}<p class="note">{said}</p>' if chart else ""


def _preview(project: Project, _fresh: bool) -> Any:
    from faceswap.media.pictures import read_picture

    path = _picture(project)
    try:
        return gr.Image(read_picture(path), visible=True) if path.is_file() else gr.Image(None, visible=False)
    except FaceswapError:  # it is just being replaced
        return gr.skip()


def _before(project: Project, _fresh: bool) -> str:
    if _picture(project).is_file():
        names = "; ".join(f"{key}: {html.escape(who.name)}" for key, who in project.persons().items())
        return (
            '<p class="note">Each person as filmed, with the face of the other, and rebuilt: given back as they are.'
            f" Last the masks, white where pixels are replaced. {names}.</p>"
        )
    return '<p class="note">While it trains, the loss and faces are drawn here: the first ones after half a minute.</p>'
