"""The fourth tab: choose a clip and whose face it gets, look at any frame before and after, render, watch, download.

A clip is a video or a picture.
"""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from faceswap.config import BLENDINGS, COLOURS
from faceswap.media.kinds import is_picture
from faceswap_app import commands
from faceswap_app.components import (
    TOLD,
    Live,
    number,
    one_of,
    uploaded,
    uploads,
    warns,
    warns_only,
)
from faceswap_app.desk import Desk
from faceswap_app.holdings import mask_of
from faceswap_app.preview import Preview
from faceswap_app.project import KEYS, Project
from faceswap_app.results import Results
from faceswap_app.spots import Spot, clicked, mapping_of, turned
from faceswap_app.swap_choices import (
    DEFAULT,
    EACH,
    FACES,
    LOOKS,
    MAPS,
    PREVIEWED,
    STAYS,
    WHO,
    WRITTEN,
    known_persons,
    recognised,
    wanted_swap,
)
from faceswap_app.tab_jobs import TabJobs

_CODECS = [
    ("H.264: plays everywhere", "h264"),
    ("H.265: smaller files", "h265"),
    ("AV1: the smallest files", "av1"),
    ("ProRes: for editing programs", "prores"),
    ("FFV1: without any loss", "ffv1"),
]
_SUFFIX = {"prores": ".mov", "ffv1": ".mkv"}
_PICTURES = (".png", ".jpg", ".jpeg")  # that can be written


class SwapTab:
    """Its parts, and what its buttons do; a frame before and after is in `Preview`, the finished ones in `Results`."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._jobs = TabJobs(desk.queue, "swap")
        self._preview, self._finished = Preview(desk), Results(desk)

    def lay_out_hidden(self) -> None:
        """What tells the browser that persons or models are others: outside of the tabs, built when they are opened."""
        self._cast = gr.Textbox(visible="hidden")
        self._preview.lay_out_hidden()

    def lay_out(self) -> None:
        """Puts everything in its place."""
        with gr.Row(equal_height=False):
            with gr.Column(scale=4, min_width=300):
                self._lay_out_choices()

            with gr.Column(scale=7, min_width=300):
                self._preview.lay_out()
                self._finished.lay_out()

    def _lay_out_choices(self) -> None:
        self._clip = gr.Dropdown(label="Clip", elem_id="clip")
        with gr.Accordion("Add a clip that is only to be swapped", open=False):
            self._upload = uploads(label="Nobody learns from it", height=110, elem_id="upload-swap")
        self._model = gr.Dropdown(label="Model", elem_id="swap-model")

        self._face = gr.Dropdown(FACES, label="In the clip: the face that is replaced", elem_id="face")
        self._to = gr.Dropdown(label="Who gives the new face", elem_id="to")
        self._maps = [
            gr.Dropdown([("stays as filmed", STAYS)], value=STAYS, visible=False, elem_id=MAPS[key]) for key in KEYS
        ]
        self._who = gr.HTML(elem_id="who")

        with gr.Accordion("Only a part of the clip, small faces", open=False):
            with gr.Row():
                self._first = gr.Number(0, label="First frame", info="0: the clip's.", min_width=90, elem_id="first")
                self._last = gr.Number(0, label="Last frame", info="0: the clip's.", min_width=90, elem_id="last")
            with gr.Row():
                self._here_first = gr.Button("Begin at this frame", size="sm", min_width=90, elem_id="begin-here")
                self._here_last = gr.Button("End at this frame", size="sm", min_width=90, elem_id="end-here")
            self._least = gr.Number(
                0, label="Smallest face, pixels wide", info="0: an eighth of the picture's height.", elem_id="least"
            )

        with gr.Accordion("How the face fits in", open=False):
            with gr.Row():
                self._colour = gr.Dropdown(list(COLOURS), label="Match colours", min_width=120)
                self._blending = gr.Dropdown(list(BLENDINGS), label="Blend by", min_width=120)

            self._looks = [
                gr.Slider(least, most, getattr(DEFAULT, name), step=0.01, label=label, info=info)
                for name, label, least, most, info in LOOKS
            ]

        with gr.Accordion("File", open=False):
            self._codec = gr.Dropdown(_CODECS, label="Kind")
            self._crf = gr.Slider(
                0, 51, 18, step=1, label="Quality (CRF)", info="Lower is better and larger; 28 is small."
            )
            self._masks = gr.Checkbox(
                label="Write the masks, too",
                info="Grey pictures of what was swapped, as a second file, for compositing.",
                elem_id="masks",
            )
            self._label = gr.Checkbox(
                label="Write 'AI modified' into the corner",
                info="Every video also gets signed credentials and an invisible mark: see the Verify tab.",
            )

        with gr.Row():
            self._start = gr.Button("Swap", variant="primary", scale=3, min_width=120, elem_id="swap")
            self._stop = gr.Button("Stop", interactive=False, min_width=80)
        self._card = gr.HTML(elem_id="swap-card")

    def _inputs(self, names: Sequence[str]) -> list[Any]:
        """The parts in which these things are chosen."""
        parts = {"clip": self._clip, "model": self._model, "face": self._face, "to": self._to, "least": self._least}
        parts |= {"colour": self._colour, "blending": self._blending}
        parts |= {MAPS[key]: part for key, part in zip(KEYS, self._maps, strict=True)}
        parts |= {name: part for (name, *_), part in zip(LOOKS, self._looks, strict=True)}
        parts |= {"first": self._first, "last": self._last, "codec": self._codec, "crf": self._crf}
        parts |= {"masks": self._masks, "label": self._label}
        return [parts[name] for name in names]

    def connect(self, project: Any, opened: Any) -> list[Any]:
        """Says what happens when; the events after which the page is to look at the disk at once.

        `opened`: the event of this tab's being opened.
        """
        view = self._preview.view(project, self._inputs(PREVIEWED))

        # Who can be put in depends on the model, and who is seen in the clip: first that, then the picture.
        asked = [project, self._clip, self._model, self._face, self._to]
        choices = [self._face, self._to, *self._maps]
        offered = [self._clip.change, self._model.change, self._cast.change, self._face.change]
        gr.on(offered, warns(self._offer), asked, choices, **TOLD).then(**view)

        pointed = [project, self._model, self._preview.clicked, self._preview.spots, self._face, *self._maps]
        said = self._preview.clicked.change(warns(self._point), pointed, [self._face, *self._maps], **TOLD)
        said.then(**view)

        changed = [part.input for part in (self._to, self._colour, self._blending, *self._maps)]
        changed += [look.release for look in self._looks] + [self._least.blur, self._least.submit]
        gr.on([opened, *self._preview.changed, *changed], trigger_mode="always_last", **view)

        self._preview.connect(project, self._clip, self._inputs(PREVIEWED))

        told = [project, self._face, self._to, self._clip, self._model, *self._maps]
        for part in (self._cast, self._clip, self._model, self._face, self._to, *self._maps):
            part.change(warns(self._in_words), told, self._who, **TOLD)

        for button, place in ((self._here_first, self._first), (self._here_last, self._last)):
            button.click(lambda frame: frame, self._preview.frame, place, **TOLD)
        self._finished.connect(project)

        inputs = [project, *self._inputs(WRITTEN)]
        return [
            self._upload.upload(warns(self._take), [project, self._upload], [self._upload, self._clip], **TOLD),
            self._start.click(warns_only(self._render), inputs, None, **TOLD),
            self._stop.click(warns_only(self._jobs.stop), project, None, **TOLD),
        ]

    @property
    def live(self) -> list[Live]:
        """What follows the disk."""
        return [
            Live(self._clip, lambda p: (p.name, p.clips()), _clips),
            Live(self._model, lambda p: (p.name, p.models()), _models),
            Live(self._cast, _cast, lambda p, _fresh: json.dumps(_cast(p))),
            self._jobs.stop_button(self._stop),
            self._jobs.card(self._card),
            *self._finished.live,
        ]

    def _take(self, name: str | None, files: Any) -> list[Any]:
        """Put uploaded files among the clips, and choose the last."""
        project = self._desk.projects.open(name)
        sent = uploaded(self._desk.projects, files)
        taken = [self._desk.take_clip(project, path, called) for path, called in sent]
        return [None, gr.Dropdown(choices=project.clips(), value=taken[-1]) if taken else gr.skip()]

    def _offer(self, name: str | None, clip: str | None, model: str | None, face: object, to: object) -> list[Any]:
        """Whom this model knows, and to begin with somebody who is not seen in this clip."""
        if not name:
            return [gr.skip()] * (2 + len(KEYS))
        persons = self._desk.projects.open(name).persons()
        known = known_persons(self._desk.projects.open(name), model)

        # Which face.
        faces = [*FACES, *((f"whoever looks like {persons[key].name}", f"from:{key}") for key in known)]
        faces += [("several: said for each person", EACH)] * (len(known) > 1)
        chosen = face if face in [value for _, value in faces] else "main"

        # Whose face it gets.
        others = [key for key in known if clip not in persons[key].clips]
        target = to if to in others else next(iter(others[::-1] or known[::-1]), None)
        givers = [(persons[key].name, key) for key in known]

        becomes = [("stays as filmed", STAYS), *((f"gets the face of {text}", key) for text, key in givers)]
        each = chosen == EACH
        maps = [
            gr.Dropdown(
                choices=becomes,
                label=f"Whoever looks like {persons[key].name}" if key in known else key,
                visible=each and key in known,
            )
            for key in KEYS
        ]
        return [
            gr.Dropdown(choices=faces, value=chosen),
            gr.Dropdown(choices=givers, value=target, visible=not each),
            *maps,
        ]

    def _in_words(self, name: str | None, face: object, to: object, clip: object, model: object, *maps: object) -> str:
        """Who is in the video, and who gives the face."""
        if not name or not clip or not model:
            return ""
        project = self._desk.projects.open(name)
        if model not in project.models():
            return ""
        names = {key: person.name for key, person in project.persons().items()}
        missing = [names[key] for key in names if key not in known_persons(project, str(model))]
        unknown = f" This model does not know {' and '.join(missing)}: for that, train a new one." if missing else ""

        if face == EACH:
            pairs = [(key, str(target)) for key, target in zip(KEYS, maps, strict=True)]
            told = [(key, target) for key, target in pairs if key in names and target in names]
            said = "; ".join(f"{names[key]} gets the face of {names[target]}" for key, target in told)
            return f'<p class="note">{html.escape((said or "Everybody stays as filmed") + "." + unknown)}</p>'

        seen = [person.name for person in project.persons().values() if clip in person.clips]
        cast = f", where {' and '.join(seen)} {'is' if len(seen) == 1 else 'are'} seen," if seen else ""
        who = f"whoever looks like {names.get(recognised(face), '')}" if recognised(face) else WHO.get(str(face), "")
        said = f"In {Path(str(clip)).name}{cast} {who} gets the face of {names.get(str(to), '')}."
        return f'<p class="note">{html.escape(said + unknown)}</p>'

    def _point(
        self, name: str | None, model: object, place: object, spots: list[Spot], face: object, *maps: object
    ) -> list[Any]:
        """Have the face that was clicked become somebody else, or stay as it is."""
        spot = clicked(spots, place)
        known = known_persons(self._desk.projects.open(name), model)
        if spot is None or spot.looks_like not in known or len(known) < 2:
            return [gr.skip()] * (1 + len(KEYS))

        said = {key: str(becomes or STAYS) for key, becomes in zip(KEYS, maps, strict=True) if key in known}
        mapping = turned(said if face == EACH else mapping_of(spots, known), spot.looks_like)
        return [EACH, *(mapping.get(key, STAYS) for key in KEYS)]

    def _render(self, name: str | None, *values: object) -> None:
        said = dict(zip(WRITTEN, values, strict=True))
        project = self._desk.projects.open(name)
        file, folder = project.clip(said["clip"]), project.model(said["model"])
        persons = project.persons()

        codec = one_of(said["codec"], (kind for _, kind in _CODECS), "kind of video")
        wanted = wanted_swap(project, folder.name, said)
        givers = [persons[key].name for key in dict.fromkeys(wanted.mapping.values() or [wanted.to])]

        queue = self._desk.queue
        reserved = [job.out for job in queue.jobs() if not job.over]
        out = project.free_result(file, "_".join(givers), _suffix(file, codec), reserved)
        first, last = int(number(said["first"]) or 1), int(number(said["last"]) or 0)
        wanted = replace(
            wanted,
            first=first - 1,
            stop=last or None,
            mask_out=mask_of(out) if said["masks"] else None,
            codec=codec,
            crf=number(said["crf"]) or 0,
            label=bool(said["label"]),
        )
        words = commands.swap(file, folder, wanted)
        queue.add(project.name, f"Swap {file.name}: face of {' and '.join(givers)}", words, str(out))


def _suffix(clip: Path, codec: str) -> str:
    """Of what a clip becomes."""
    if is_picture(clip):
        return clip.suffix.lower() if clip.suffix.lower() in _PICTURES else ".png"
    return _SUFFIX.get(codec, ".mp4")


def _cast(project: Project) -> Any:
    """What the choices of persons depend on."""
    names = {key: [person.name, *person.clips] for key, person in project.persons().items()}
    return [project.name, names, {model: project.known_to(model) for model in project.models()}]


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
