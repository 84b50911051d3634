"""The fourth tab: choose a clip and whose face it gets, look at any frame before and after, render, watch, download.

A clip is a video or a picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from faceswap.config import BLENDINGS, COLOURS, SwapConfig
from faceswap.errors import FaceswapError
from faceswap.media.kinds import is_picture
from faceswap_app import cards, commands
from faceswap_app.components import RAW, TOLD, Desk, Live, check_payload, number, one_of, text_of, warns, warns_only
from faceswap_app.projects import Project

KINDS = ("swap",)
_FACES = [("the one seen most", "main"), ("every face", "all"), ("the largest", "largest")]
_CODECS = [
    ("H.264: plays everywhere", "h264"),
    ("H.265: smaller files", "h265"),
    ("AV1: the smallest files", "av1"),
    ("ProRes: for editing programs", "prores"),
    ("FFV1: without any loss", "ffv1"),
]
_SUFFIX = {"prores": ".mov", "ffv1": ".mkv"}
_PICTURES = (".png", ".jpg", ".jpeg")  # that can be written
_DEFAULT = SwapConfig()
# Name, label, least, most, and what it means.
_LOOKS = [
    ("opacity", "Opacity", 0, 1, "Of the new face."),
    ("skin", "Skin", 0, 1, "How much of the new person's own pores, stubble and wrinkles is laid on."),
    ("sharpen", "Sharpness", 0, 1, "How far it is brought to the video's."),
    ("grain", "Grain", 0, 2, "How much of the video's noise is added."),
    ("occlusion", "Keep what lies in front", 0, 1, "Hands, hair, a cup: 0 paints over them."),
    ("erode", "Draw the edge in", 0, 0.2, "Try 0.03 where an edge shows."),
    ("feather", "Soften the edge", 0, 0.2, "Try 0.03."),
    ("scale", "Size", 0.8, 1.25, "Of the new face."),
]


class SwapTab:
    """Its parts, and what its buttons do."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def lay_out(self) -> None:
        """Puts everything in its place."""
        with gr.Row(equal_height=False):
            with gr.Column(scale=4, min_width=320):
                self._lay_out_choices()
            with gr.Column(scale=7, min_width=400):
                self._slider = gr.ImageSlider(
                    label="Before and after: drag the line",
                    interactive=False,
                    format="jpeg",
                    max_height=420,
                    buttons=["fullscreen"],
                    elem_id="before-after",
                )

                self._frame = gr.Slider(0, 1, 0, step=1, label="Frame", elem_id="frame")
                self._note = gr.HTML("Choose a clip and a model to see it swapped.", elem_id="preview-note")
                self._results = gr.Dropdown(label="Results", elem_id="results", visible=False)
                self._player = gr.HTML(elem_id="player")

    def _lay_out_choices(self) -> None:
        self._clip = gr.Dropdown(label="Clip", elem_id="clip")

        with gr.Row():
            self._face = gr.Dropdown(_FACES, label="Whose face is replaced", min_width=130)
            self._to = gr.Dropdown(label="By the face of", min_width=130, elem_id="to")
        self._model = gr.Dropdown(label="Model", elem_id="swap-model")

        with gr.Accordion("How the face fits in", open=False):
            with gr.Row():
                self._colour = gr.Dropdown(list(COLOURS), label="Match colours", min_width=120)
                self._blending = gr.Dropdown(list(BLENDINGS), label="Blend by", min_width=120)

            self._looks = [
                gr.Slider(least, most, getattr(_DEFAULT, name), step=0.01, label=label, info=info)
                for name, label, least, most, info in _LOOKS
            ]

        with gr.Accordion("File", open=False):
            self._codec = gr.Dropdown(_CODECS, label="Kind")
            self._crf = gr.Slider(
                0, 51, 18, step=1, label="Quality (CRF)", info="Lower is better and larger; 28 is small."
            )
            self._label = gr.Checkbox(
                label="Write 'AI modified' into the corner",
                info="Every video also gets signed credentials and an invisible mark: see the Verify tab.",
            )

        with gr.Row():
            self._start = gr.Button("Swap", variant="primary", scale=3, min_width=120, elem_id="swap")
            self._stop = gr.Button("Stop", interactive=False, min_width=80)
        self._card = gr.HTML(elem_id="swap-card")

    def connect(self, project: Any, opened: Any) -> list[Any]:
        """Says what happens when; the events after which the page is to look at the disk at once.

        `opened`: the event of this tab's being opened.
        """
        looks = [self._colour, self._blending, *self._looks]

        wanted = [project, self._clip, self._model, self._face, self._to]
        view = {
            "fn": self._preview,
            "inputs": [*wanted, self._frame, *looks],
            "outputs": [self._slider, self._frame, self._note],
            "concurrency_limit": 1,
            "concurrency_id": "preview",
            "show_progress": "minimal",
            "show_progress_on": [self._slider],
            **RAW,
        }

        changed = [part.input for part in (self._model, self._face, self._to, self._colour, self._blending)]
        changed += [look.release for look in self._looks]
        gr.on([opened, self._frame.release, *changed], trigger_mode="always_last", **view)

        # Who is put in depends on who is seen in the clip: first that, then the picture.
        self._clip.change(warns(self._other), [project, self._clip], self._to, **TOLD).then(**view)
        self._results.change(warns(self._play), [project, self._results], self._player, **TOLD)

        return [
            self._start.click(
                warns_only(self._render), [*wanted, *looks, self._codec, self._crf, self._label], None, **TOLD
            ),
            self._stop.click(warns_only(self._end), project, None, **TOLD),
        ]

    @property
    def live(self) -> list[Live]:
        """What follows the disk."""
        return [
            Live(self._clip, lambda p: (p.name, p.clips()), _clips),
            Live(self._model, lambda p: (p.name, p.models()), _models),
            Live(self._face, lambda p: (p.name, p.persons()), _faces),
            Live(self._stop, self._runs, lambda p, _fresh: gr.Button(interactive=self._runs(p))),
            Live(self._card, self._job_state, lambda p, _fresh: cards.card(*self._job_state(p))),
            Live(self._results, lambda p: [path.name for path in p.finished()], _results),
        ]

    def _other(self, name: str | None, clip: str | None) -> Any:
        """Somebody who is not seen in this clip."""
        if not name:
            return gr.skip()
        persons = self._desk.projects.open(name).persons()
        others = [key for key, person in persons.items() if clip not in person.clips]
        return gr.update(value=others[-1] if others else "b")

    def _preview(
        self,
        name: str | None,
        clip: str | None,
        model: str | None,
        face: object,
        to: object,
        frame: object,
        *looks: object,
    ) -> list[Any]:
        """A frame before and after; what is missing is said below, not in a message: nothing was asked for."""
        if not name or not clip or not model:
            missing = "Train a model first" if clip else "Add a clip on the Faces tab first"
            return [None, gr.skip(), f"{missing} to see it swapped."]
        from faceswap_app import backend

        try:
            for payload in (name, clip, model, face, to):
                check_payload(payload)

            project = self._desk.projects.open(name)
            file, folder = project.clip(clip), project.model(model)
            last = backend.frame_count(file) - 1
            index = int(min(max(0, number(frame) or 0), last))

            settings = _changes(looks) | {"face": _way(face), "to": [one_of(to, project.persons(), "person")]}
            before, after, swapped = backend.before_and_after(file, folder, settings, index)
        except FaceswapError as error:
            return [gr.skip(), gr.skip(), text_of(error)]

        note = f"Frame {index:,} of {last + 1:,}. " if last else ""
        note += "" if swapped else "No face is found here: it stays as it is."
        return [(before, after), gr.Slider(maximum=max(1, last), value=index, visible=last > 0), note]

    def _render(
        self,
        name: str | None,
        clip: str | None,
        model: str | None,
        face: object,
        to: object,
        *choices: object,
    ) -> None:
        *looks, codec, crf, label = choices

        project = self._desk.projects.open(name)
        file, folder = project.clip(clip), project.model(model)
        persons = project.persons()

        to, codec = one_of(to, persons, "person"), one_of(codec, (kind for _, kind in _CODECS), "kind of video")
        source = _person(face)
        look = commands.Look(settings=_changes(looks), codec=codec, crf=number(crf) or 0, label=bool(label))
        words = commands.swap(file, folder, to, source and one_of(source, persons, "person"), _way(face), look)

        queue = self._desk.queue
        reserved = [job.out for job in queue.jobs() if not job.over]
        out = project.free_result(file, persons[to].name, _suffix(file, codec), reserved)
        queue.add(project.name, f"Swap {file.name}: face of {persons[to].name}", words, str(out))

    def _end(self, name: str | None) -> None:
        for job in self._desk.queue.jobs():
            if job.project == name and job.kind in KINDS and not job.over:
                self._desk.queue.stop(job.id)

    def _play(self, name: str | None, result: str | None) -> str:
        finished = self._desk.projects.open(name).finished() if name else []
        chosen = next((path for path in finished if path.name == result), None)
        if chosen is None:
            return ""
        self._desk.projects.serve(chosen)
        return cards.player(chosen)

    def _runs(self, project: Project) -> bool:
        job = self._desk.queue.latest(project.name, KINDS)
        return job is not None and not job.over

    def _job_state(self, project: Project) -> Any:
        queue = self._desk.queue
        job = queue.latest(project.name, KINDS)
        return job, queue.report(job) if job else None, queue.result(job) if job else {}


def _changes(looks: Sequence[object]) -> dict[str, object]:
    """What differs from the defaults, by the settings' names. Raises ConfigError."""
    colour, blending, *numbers = looks
    chosen: dict[str, object] = {
        "colour": one_of(colour, COLOURS, "way to match colours"),
        "blending": one_of(blending, BLENDINGS, "way to blend"),
    }
    chosen |= {name: number(value) or 0.0 for (name, *_), value in zip(_LOOKS, numbers, strict=True)}
    return {name: value for name, value in chosen.items() if value != getattr(_DEFAULT, name)}


def _suffix(clip: Path, codec: str) -> str:
    """Of what a clip becomes."""
    if is_picture(clip):
        return clip.suffix.lower() if clip.suffix.lower() in _PICTURES else ".png"
    return _SUFFIX.get(codec, ".mp4")


def _way(face: object) -> str:
    """How a face is chosen. Raises ConfigError for other ways: the command line also knows pictures, by their paths."""
    return "main" if _person(face) else one_of(face, (way for _, way in _FACES), "way to choose a face")


def _person(face: object) -> str:
    """The person whose face is to be recognised, if that is how it is chosen."""
    return str(face).removeprefix("from:") if str(face).startswith("from:") else ""


def _clips(project: Project, fresh: bool) -> Any:
    """The first of person a's clips to begin with: b's face goes into it."""
    clips = project.clips()
    if not fresh and len(clips) > 1:
        return gr.Dropdown(choices=clips)
    own = [clip for clip in project.persons()["a"].clips if clip in clips]
    return gr.Dropdown(choices=clips, value=next(iter([*own, *clips]), None))


def _models(project: Project, _fresh: bool) -> Any:
    models = project.models()
    return gr.Dropdown(choices=models, value=models[-1] if models else None)


def _faces(project: Project, fresh: bool) -> Any:
    known = [(f"whoever looks like {person.name}", f"from:{key}") for key, person in project.persons().items()]
    return gr.Dropdown(choices=[*_FACES, *known], **({"value": "main"} if fresh else {}))


def _targets(project: Project, fresh: bool) -> Any:
    persons = [(person.name, key) for key, person in project.persons().items()]
    return gr.Dropdown(choices=persons, **({"value": "b"} if fresh else {}))


def _results(project: Project, _fresh: bool) -> Any:
    names = [path.name for path in project.finished()]
    return gr.Dropdown(choices=names, value=names[0] if names else None, visible=bool(names))
