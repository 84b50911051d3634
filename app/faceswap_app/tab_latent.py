"""What a model knows of faces: a map of all of them to click on, and pictures of its latent, each at the press of a
button."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np

from faceswap.errors import ConfigError
from faceswap_app.components import RAW, Live, number, one_of, warns
from faceswap_app.desk import Desk
from faceswap_app.project import Project

if TYPE_CHECKING:  # it loads torch: not before somebody looks
    from faceswap.visuals.plots import ThumbnailMap
    from faceswap_pipelines.latent.faces import CodedFaces, LatentInputs

_MOST = 600  # faces on a map: it is there in seconds
_SIDE = 700  # pixels of the map
_LARGE = 256  # pixels of the face that was clicked
_LAYOUTS = ("t-SNE", "PCA")
_TOOLS = ("walk", "spectrum", "cluster", "sample", "probe")
_TOLD = ("person", "yaw", "pitch", "mouth", "eyes", "brightness")  # what a probe can be asked for
_TERMS = (
    "**Walk**: the face as its code is moved along one direction after another. **Spectrum**: how much each direction"
    " carries, and how many are used. **Cluster**: groups of faces with codes alike. **Sample**: faces of codes"
    " that were drawn at random, which nobody has filmed. **Probe**: whether something, such as how far a head is"
    " turned, can be told from the code."
)
_ENDS = {"first": "Begin a morph here", "last": "End it here"}
_BUSY = {"concurrency_limit": None, **RAW}
"""Each visitor has a turn of their own: see Slots."""


@dataclass(frozen=True, kw_only=True)
class _Wanted:
    """Everything that a map depends on."""

    model: Path
    facesets: tuple[tuple[str, Path], ...]
    layout: str
    stamps: tuple[int, ...]
    """When its files were written."""

    @classmethod
    def of(cls, inputs: LatentInputs, layout: str) -> _Wanted:
        """As the disk is now."""
        files = [inputs.model / "checkpoint", *(folder / "faceset.db" for folder in inputs.facesets.values())]
        return cls(
            model=inputs.model,
            facesets=tuple(inputs.facesets.items()),
            layout=layout,
            stamps=tuple(file.stat().st_mtime_ns if file.exists() else 0 for file in files),
        )


@dataclass(frozen=True, kw_only=True)
class _Shown:
    """A map on somebody's page, and the faces on it."""

    coded: CodedFaces
    map: ThumbnailMap


@dataclass(frozen=True)
class _Spot:
    """A face that somebody clicked."""

    person: str
    file: str


class LatentTab:
    """Its parts, and what its buttons do."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def lay_out(self) -> None:
        """Puts everything in its place."""
        gr.Markdown(
            "### What the model knows\nEvery face becomes a few hundred numbers, its *code*. Faces with codes alike lie"
            " next to each other on the map: click one to see it. The other buttons ask what the numbers mean."
        )

        # The map, and the face that is clicked.
        with gr.Row():
            self._model = gr.Dropdown(label="Model", min_width=180, elem_id="latent-model")
            self._layout = gr.Radio(
                list(_LAYOUTS),
                value="t-SNE",
                label="Lay out by",
                info="t-SNE keeps neighbours together; PCA shows the two directions in which the codes differ most.",
                min_width=180,
            )
            self._draw = gr.Button("Draw the map", variant="primary", min_width=140, elem_id="latent-map")
        with gr.Row(equal_height=False):
            with gr.Column(scale=7, min_width=400):
                self._map = gr.Image(label="Map", interactive=False, buttons=[], format="png", elem_id="latent-picture")
            with gr.Column(scale=4, min_width=300):
                self._face = gr.Image(label="The face that was clicked", interactive=False, buttons=[], format="png")
                self._about = gr.Markdown()
                self._clicked, self._ends = gr.State(), {end: gr.State() for end in _ENDS}
                with gr.Row():
                    self._mark = {end: gr.Button(title, size="sm", min_width=90) for end, title in _ENDS.items()}
                self._share = gr.Slider(
                    0, 1, value=0.5, step=0.02, label="Morph", info="From the first face to the last.", visible=False
                )
                self._morph = gr.Image(
                    label="Between the two", interactive=False, buttons=[], format="png", visible=False
                )

        # The other pictures.
        gr.Markdown(_TERMS, elem_classes="note")
        with gr.Row():
            self._tools = {name: gr.Button(name.capitalize(), size="sm", min_width=90) for name in _TOOLS}
            self._target = gr.Dropdown(list(_TOLD), value="yaw", label="What to probe for", min_width=140)
        self._said = gr.Textbox(label="What it says", interactive=False, visible=False, lines=4)
        self._picture = gr.Image(label="Picture", interactive=False, buttons=[], format="png", visible=False)

    def connect(self, project: Any) -> None:
        """Says what happens when."""
        chosen = [project, self._model, self._layout]
        self._draw.click(warns(self._show_map), chosen, [self._map, self._about], **_BUSY)
        self._map.select(warns(self._show_face), chosen, [self._face, self._about, self._clicked], **_BUSY)

        ends = [self._ends[end] for end in _ENDS]
        for end, button in self._mark.items():
            marked = button.click(lambda spot: spot, self._clicked, self._ends[end], **RAW)
            marked.then(warns(self._between), [*chosen, *ends, self._share], [self._share, self._morph], **_BUSY)
        self._share.release(warns(self._between), [*chosen, *ends, self._share], [self._share, self._morph], **_BUSY)

        for name, button in self._tools.items():
            button.click(
                warns(functools.partial(self._use, name)),
                [project, self._model, self._target],
                [self._picture, self._said],
                **_BUSY,
            )

    @property
    def live(self) -> list[Live]:
        """What follows the disk."""
        return [Live(self._model, lambda p: (p.name, p.models()), lambda p, _fresh: _choice(p))]

    def _inputs(self, name: str | None, model: object) -> LatentInputs:
        """The model that was chosen, and the faces of the project's persons."""
        from faceswap_pipelines.latent.faces import LatentInputs

        project = self._desk.projects.open(name)
        facesets = {key: project.faceset(key) for key in project.persons()}
        there = {key: folder for key, folder in facesets.items() if (folder / "faceset.db").is_file()}
        if not there:
            raise ConfigError("there are no faces yet", "Find them on the Faces tab")
        return LatentInputs(model=project.model(model), facesets=there, most=_MOST)

    def _shown(self, name: str | None, model: object, layout: object) -> _Shown:
        """The map that was chosen, laid out again only if the model or the faces have changed."""
        inputs = self._inputs(name, model)
        wanted = _Wanted.of(inputs, one_of(layout, _LAYOUTS, "map"))
        with self._desk.turn():
            return _laid_out(wanted)

    def _show_map(self, name: str | None, model: object, layout: object) -> list[Any]:
        shown = self._shown(name, model, layout)
        counts = ", ".join(f"{len(shown.coded.of(person))} of {person}" for person in shown.coded.names)
        return [shown.map.picture, f"{counts}. Click a face."]

    def _show_face(self, name: str | None, model: object, layout: object, event: gr.SelectData) -> list[Any]:
        """The face nearest to the click, as filmed."""
        from faceswap.latent.codes import resized

        shown = self._shown(name, model, layout)
        face = int(np.abs(shown.map.places - _clicked(event.index)).max(axis=1).argmin())

        faces = shown.coded.faces
        measures = ", ".join(f"{key} {values[face]:.2f}" for key, values in shown.coded.factors.items())
        whose = shown.coded.names[shown.coded.persons[face]]
        about = f"**{whose}**, {faces.seconds[face]:.2f} s, `{faces.files[face]}`\n\n{measures}"
        return [resized(faces.pictures[face][None], _LARGE)[0], about, _Spot(whose, faces.files[face])]

    def _between(
        self, name: str | None, model: object, layout: object, first: _Spot | None, last: _Spot | None, share: object
    ) -> list[Any]:
        """The face that lies between two that were clicked, drawn as somebody between their persons."""
        from faceswap.latent.codes import decode_between, interpolate, is_variational, resized

        if first is None or last is None:
            return [gr.skip(), gr.skip()]
        coded = self._shown(name, model, layout).coded
        begin, end = _code_of(coded, first), _code_of(coded, last)

        shares = np.array([min(max(number(share) or 0.0, 0.0), 1.0)])
        code = interpolate(begin, end, shares, spherical=is_variational(coded.model))
        [picture] = decode_between(coded.model, code, (first.person, last.person), shares)
        label = f"{first.person} {first.file} to {last.person} {last.file}"
        return [gr.Slider(visible=True), gr.Image(resized(picture[None], _LARGE)[0], label=label, visible=True)]

    def _use(self, tool: str, name: str | None, model: object, target: object = "yaw") -> list[Any]:
        """The picture that a command makes, and what it says."""
        from faceswap.media.pictures import read_picture
        from faceswap_pipelines.latent.faces import latent_folder

        inputs = self._inputs(name, model)
        out = latent_folder(inputs.model) / f"{tool}.png"
        wanted = one_of(target, _TOLD, "thing to probe for")
        with self._desk.turn():
            said = _run(tool, inputs, out, wanted)
        text = said.rpartition("\n")[0]  # the last line says where the picture lies
        return [gr.Image(read_picture(out), visible=True), gr.Textbox(text, visible=True)]


def _clicked(index: object) -> tuple[float, float]:
    """Where on a picture somebody clicked, in its pixels. Raises ConfigError if that is no place."""
    x, y = map(number, index) if isinstance(index, list | tuple) and len(index) == 2 else (None, None)
    if x is None or y is None:
        raise ConfigError("nothing was clicked", "Click a face on the map")
    return x, y


def _code_of(coded: CodedFaces, spot: _Spot) -> Any:
    """The code of a face that was clicked. Raises ConfigError if it is not on the map any more."""
    found = [place for place in coded.of(spot.person).tolist() if coded.faces.files[place] == spot.file]
    if not found:
        raise ConfigError(f"{spot.file} is not on this map", "Click another face")
    return coded.codes[found[0]]


def _run(tool: str, inputs: LatentInputs, out: Path, target: str) -> str:
    """Run one of the tools as its command does; what that says."""
    from faceswap.model.folder import read_config
    from faceswap_pipelines.common.progress import run

    match tool:
        case "walk":
            from faceswap_pipelines.latent.walk import WalkJob, walk_latent

            job = WalkJob(inputs=inputs, person=next(iter(inputs.facesets)), principal=True, rows=6)
            return run(walk_latent(job, out)).text
        case "cluster":
            from faceswap_pipelines.latent.cluster import ClusterJob, cluster_codes

            return run(cluster_codes(ClusterJob(inputs=inputs), out)).text
        case "sample":
            from faceswap_pipelines.latent.sample import SampleJob, sample_faces

            prior = read_config(inputs.model).model.latent in ("vae", "vq", "vq2")
            return run(sample_faces(SampleJob(model=inputs.model, fit=None if prior else inputs), out)).text
        case "probe":
            from faceswap_pipelines.latent.probe import ProbeJob, probe

            return run(probe(ProbeJob(inputs=inputs, target=target), out)).text
        case _:
            from faceswap_pipelines.latent.spectrum import spectrum

            return run(spectrum(inputs, out)).text


@functools.lru_cache(maxsize=2)
def _laid_out(wanted: _Wanted) -> _Shown:
    from faceswap_pipelines.common.progress import run
    from faceswap_pipelines.latent.faces import LatentInputs, coded_faces
    from faceswap_pipelines.latent.map import faces_on, laid_out

    inputs = LatentInputs(model=wanted.model, facesets=dict(wanted.facesets), most=_MOST)
    coded = run(coded_faces(inputs))
    return _Shown(coded=coded, map=faces_on(coded, laid_out(coded.codes, wanted.layout), _SIDE))


def _choice(project: Project) -> Any:
    models = project.models()
    return gr.Dropdown(choices=models, value=models[-1] if models else None)
