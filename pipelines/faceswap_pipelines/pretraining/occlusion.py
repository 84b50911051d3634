"""Make the weights of the network that sees what lies in front of faces."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from faceswap.config import TrainConfig
from faceswap.errors import ConfigError
from faceswap.faces.occlusion import SIDE, OcclusionNetwork
from faceswap.files import replaced
from faceswap.media.pictures import write_picture
from faceswap.training.base_weights.portraits import PortraitBank
from faceswap.training.base_weights.pretraining import hold_out
from faceswap.training.occlusion.learning import Measured, measure, new_network, train
from faceswap.training.occlusion.occluders import HELD_OUT, TRAINED
from faceswap.training.occlusion.samples import FacePlanes, batch_of, draw_sample
from faceswap.types import Picture
from faceswap.visuals.sheets import sheet
from faceswap_pipelines.common.progress import Progress, Run
from faceswap_pipelines.pretraining.run import People, gathered_people
from faceswap_pipelines.training.data import MARGIN

_SHOWN = 10
_AT_ONCE = 64  # faces that are made to act between two reports of progress
_KINDS = dict(TRAINED) | dict(HELD_OUT)


@dataclass(frozen=True, kw_only=True)
class OcclusionJob:
    """What to learn from, and how long. On the processor: the network is small."""

    portraits: Path
    """A folder of pictures, or of folders of them; one face in each is looked at."""
    out: Path
    minutes: float
    begin: Path | None = None
    """Weights to begin with, such as those that ship; None: the first layers know ImageNet, the others nothing."""


@dataclass(frozen=True, kw_only=True)
class OcclusionResult:
    """What came of it."""

    weights: str
    sha256: str
    megabytes: float
    steps: int
    trained: Measured
    """Of people who were held out, before whom lie things of the kinds that were trained on."""
    held_out: Measured
    """The same with kinds of things that were held out, too."""
    sheet: str


def pretrain_occlusion(job: OcclusionJob) -> Run[OcclusionResult]:
    """Extract the faces of all portraits, learn, measure on people who are held out, and write what ships."""
    if job.minutes <= 0:
        raise ConfigError("training needs some time", "Add for example --minutes 20")

    # Faces of many people, some of whom the network never sees.
    people = yield from gathered_people(job.portraits, job.out / "faces", round(MARGIN * SIDE), "cpu")
    unknown = hold_out(people.persons, seed=0)
    known = yield from _with_acting(people.some(~unknown), seed=0)
    strangers = yield from _with_acting(people.some(unknown), seed=1)

    # Learn.
    network = new_network() if job.begin is None else _begun(job.begin)
    step = None
    for step in train(network, known, job.minutes * 60):
        done = round(100 * step.progress)
        note = f"step {step.number}, loss {step.loss:.3f}"
        yield Progress(title="Learning what lies in front of faces", done=done, total=100, unit="%", note=note)

    # Keep and measure.
    weights = job.out / "occlusion.safetensors"
    with replaced(weights) as fresh:
        kept = {k: v for k, v in network.state_dict().items() if "num_batches" not in k}
        save_file({name: value.half().contiguous() for name, value in kept.items()}, fresh)
    yield Progress(title="Measuring", done=0, total=None, unit="")
    picture = job.out / "occlusion.png"
    rows = [(name, _shown(network, strangers, name)) for name in _KINDS]
    write_picture(picture, sheet(rows, side=SIDE))
    return OcclusionResult(
        weights=str(weights),
        sha256=hashlib.sha256(weights.read_bytes()).hexdigest(),
        megabytes=weights.stat().st_size / 1e6,
        steps=step.number if step else 0,
        trained=measure(network, strangers, TRAINED),
        held_out=measure(network, strangers, HELD_OUT),
        sheet=str(picture),
    )


@torch.inference_mode()
def _with_acting(people: People, seed: int) -> Run[FacePlanes]:
    """The faces, and the same that act: portraits hardly show opened mouths, which are not to be taken for things."""
    side = people.faces.shape[-1]
    faces = [people.faces]

    for some in np.array_split(np.arange(len(people.faces)), math.ceil(len(people.faces) / _AT_ONCE)):
        yield Progress(title="Having portraits act", done=int(some[0]), total=len(people.faces), unit="faces")
        chosen = people.some(np.isin(np.arange(len(people.faces)), some))
        bank = PortraitBank(
            chosen.faces, chosen.meshes, chosen.persons, size=side, config=TrainConfig(), device=torch.device("cpu")
        )
        shown = bank.show(len(some), seed)
        planes = torch.cat([shown.target, shown.mask, shown.features], dim=1)
        faces.append((255 * planes).round().to(torch.uint8))

    return torch.cat(faces)


def _begun(weights: Path) -> OcclusionNetwork:
    """Raises ConfigError unless these are weights of this network."""
    network = new_network()
    try:
        kept = {name: value.float() for name, value in load_file(weights).items()}
        lacking, unknown = network.load_state_dict(kept, strict=False)
    except (OSError, SafetensorError, RuntimeError) as error:
        raise ConfigError(f"{weights} cannot be begun with ({error})", "Name an occlusion.safetensors") from error

    if unknown or any("num_batches" not in name for name in lacking):
        raise ConfigError(f"{weights} is of another network", "Name an occlusion.safetensors")
    return network


@torch.inference_mode()
def _shown(network: OcclusionNetwork, faces: FacePlanes, name: str) -> list[Picture]:
    """Samples of a kind, and what the network takes for covered tinted."""
    pictures = []
    for number in range(min(_SHOWN, len(faces))):
        sample = draw_sample(faces, number, {name: _KINDS[name]}, np.random.default_rng(number))
        covered = torch.sigmoid(network(batch_of([sample])[0]))[0].numpy()[..., None]
        tinted = sample.picture + 0.5 * covered * (np.array([0.0, 1.0, 0.0]) - sample.picture)
        pictures.append((255 * tinted).round().astype(np.uint8))
    return pictures
