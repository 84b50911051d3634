"""The faces that a latent is looked at with: read from facesets, encoded by the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int

from faceswap.errors import ConfigError, ModelError, OutputError
from faceswap.latent.codes import Codes, encode
from faceswap.latent.faces import FACTORS, FaceArrays, Values, read_faces
from faceswap.model.folder import load_model, read_config
from faceswap.model.swap_model import SwapModel
from faceswap_pipelines.common.devices import pick_device
from faceswap_pipelines.common.inputs import named_facesets
from faceswap_pipelines.common.progress import Progress, Run

FEWEST = 10
"""Faces without which nothing can be said of a latent."""


@dataclass(frozen=True, kw_only=True)
class LatentInputs:
    """The model whose latent is looked at, and the faces that are encoded for that."""

    model: Path
    facesets: Mapping[str, Path]
    """By name. The encoder is everybody's: they need not be of persons whom the model can draw."""
    most: int = 1000
    """Faces of all of them together, evenly from each."""
    device: str = "auto"


@dataclass(frozen=True, kw_only=True)
class CodedFaces:
    """Faces of several persons, one person after the other, with their codes."""

    model: SwapModel
    names: tuple[str, ...]
    persons: Int[np.ndarray, " faces"]
    """Whose each face is: a place in `names`."""
    faces: FaceArrays
    codes: Codes

    @property
    def factors(self) -> dict[str, Values]:
        """What each face does and in what light, by the names of FACTORS."""
        return {name: self.faces.measures[name] for name in FACTORS}

    def of(self, name: str) -> Int[np.ndarray, " chosen"]:
        """The places of one person's faces. Raises ConfigError if there are none."""
        if name not in self.names:
            raise ConfigError(f"no faces of '{name}' are given", f"Add {name}=FACESET to the command")
        return np.flatnonzero(self.persons == self.names.index(name))


def facesets_from(model: Path, texts: Sequence[str]) -> dict[str, Path]:
    """Facesets by name, of texts NAME=FACESET; of none, the folders `faces/PERSON` that lie beside the model.

    Raises ConfigError for anything else, or where nothing lies beside the model.
    """
    facesets = named_facesets(texts)
    if not facesets:
        beside = {person: model.parent / "faces" / person for person in read_config(model).model.persons}
        facesets = {person: folder for person, folder in beside.items() if (folder / "faceset.db").is_file()}
    if not facesets:
        raise ConfigError("it is not said whose faces to look at", "Add the facesets, as in: a=faces/alice b=faces/bob")
    return facesets


def latent_folder(model: Path) -> Path:
    """MODEL/latent, where pictures of a latent lie, made if need be. Raises ModelError or OutputError."""
    read_config(model)  # a folder that is no model stays as it is
    folder = model / "latent"
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"the folder {folder} cannot be made ({error})", "Name another place with --out") from error
    return folder


def coded_faces(inputs: LatentInputs, side: int | None = None) -> Run[CodedFaces]:
    """Read and encode the faces, at `side` px, the model's own by default.

    Raises FaceError, ModelError or DeviceError; ModelError also where codes are no numbers.
    """
    model = load_model(inputs.model, pick_device(inputs.device))
    share = max(FEWEST, inputs.most // len(inputs.facesets))

    read: list[FaceArrays] = []
    codes: list[Codes] = []
    for name, folder in inputs.facesets.items():
        yield Progress(title="Encoding faces", done=len(read), total=len(inputs.facesets), unit="facesets", note=name)
        read.append(read_faces(folder, side or model.config.size, share))
        codes.append(encode(model, read[-1].pictures))

    together = np.concatenate(codes)
    if not np.isfinite(together).all():
        raise ModelError(f"the codes of {inputs.model} are no numbers", "Train it again, with a lower learning rate")
    return CodedFaces(
        model=model,
        names=tuple(inputs.facesets),
        persons=np.repeat(np.arange(len(read)), [len(faces) for faces in read]),
        faces=_joined(read),
        codes=together,
    )


def _joined(read: Sequence[FaceArrays]) -> FaceArrays:
    """Everybody's faces, one person after the other; sources are told apart."""
    sources: list[Int[np.ndarray, " faces"]] = []
    for faces in read:
        offset = 1 + max((int(before.max()) for before in sources), default=-1)
        sources.append(faces.sources + offset)

    return FaceArrays(
        pictures=np.concatenate([faces.pictures for faces in read]),
        files=tuple(file for faces in read for file in faces.files),
        sources=np.concatenate(sources),
        seconds=np.concatenate([faces.seconds for faces in read]),
        measures={name: np.concatenate([faces.measures[name] for faces in read]) for name in read[0].measures},
    )
