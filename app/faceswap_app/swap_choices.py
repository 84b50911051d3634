"""What can be chosen on the Swap tab, and what of it has to do with which: faces, persons and settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faceswap.config import BLENDINGS, COLOURS, SwapConfig
from faceswap.errors import ConfigError
from faceswap_app import commands
from faceswap_app.components import number, one_of
from faceswap_app.project import KEYS, Project

EACH = "each"  # it is said for each person whom they become
STAYS = ""
FACES = [("the one seen most", "main"), ("every face", "all"), ("the largest", "largest")]
WHO = {"main": "the one seen most", "all": "everybody", "largest": "the largest face"}
DEFAULT = SwapConfig()
# Name, label, least, most, and what it means.
LOOKS = [
    ("opacity", "Opacity", 0, 1, "Of the new face."),
    ("skin", "Skin", 0, 1, "How much of the new person's own pores, stubble and wrinkles is laid on."),
    (
        "features",
        "Eyes and mouth",
        0,
        1,
        "How much lashes, teeth and brows are those of the new person's own pictures.",
    ),
    ("gaze", "Gaze", 0, 1, "How far the eyes are moved to look where the video's look, and to shut when they do."),
    ("sharpen", "Sharpness", 0, 1, "How far it is brought to the video's."),
    ("grain", "Grain", 0, 2, "How much of the video's noise is added."),
    ("occlusion", "Keep what lies in front", 0, 1, "Hands, hair, a cup: 0 paints over them."),
    (
        "profiles",
        "Profiles",
        0,
        1,
        "Heads turned further than the person was filmed: 0 fades the swap out, 1 keeps it.",
    ),
    ("erode", "Draw the edge in", 0, 0.2, "Try 0.03 where an edge shows."),
    ("feather", "Soften the edge", 0, 0.2, "Try 0.03."),
    ("scale", "Size", 0.8, 1.25, "Of the new face."),
    ("smooth", "Even out over time", 0, 1, "Colours and edge, over so many seconds. Not to be seen in a single frame."),
    ("fade", "Come and go", 0, 1, "In so many seconds, where a face is found or lost. Not in a single frame."),
]
MAPS = {key: f"map-{key}" for key in KEYS}
"""What is chosen of each person where it is said for each whom they become."""
PREVIEWED = (
    "clip",
    "model",
    "face",
    "to",
    "least",
    "colour",
    "blending",
    *MAPS.values(),
    *(name for name, *_ in LOOKS),
)
"""What a preview depends on, in the order in which the page says it."""
WRITTEN = (*PREVIEWED, "first", "last", "codec", "crf", "masks", "label")
"""And a file."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What somebody wants to see swapped before it is made."""

    project: Project
    clip: Path
    model: Path
    index: int
    """Of the frame, counted from 0."""
    count: int
    """Frames of the clip."""
    settings: Mapping[str, object]
    """By the settings' names."""
    min_face: int | None


def asked_to_see(project: Project, frame: object, said: Mapping[str, object]) -> Asked:
    """What is chosen, checked. Raises ConfigError or MediaError."""
    from faceswap_app import backend

    clip, model = project.clip(said["clip"]), project.model(said["model"])
    count = backend.frame_count(clip)
    index = int(min(max(1, number(frame) or 1), count)) - 1

    wanted = wanted_swap(project, model.name, said)
    mapping = [f"{source}={target}" for source, target in wanted.mapping.items()]
    return Asked(
        project=project,
        clip=clip,
        model=model,
        index=index,
        count=count,
        settings={**wanted.settings, "face": wanted.face, "to": [wanted.to], "map": mapping},
        min_face=int(wanted.min_face) if wanted.min_face else None,
    )


def wanted_swap(project: Project, model: str, said: Mapping[str, object]) -> commands.Swap:
    """What is chosen, as far as a preview needs it. Raises ConfigError for somebody whom the model does not know."""
    known = known_persons(project, model)
    mapping: dict[str, str] = {}
    face, source = str(said["face"]), recognised(said["face"])

    if face == EACH:
        chosen = {key: said[MAPS[key]] for key in known}
        mapping = {key: one_of(to, known, "person in this model") for key, to in chosen.items() if to != STAYS}
        if not mapping:
            raise ConfigError("everybody stays as filmed", "Say of somebody whose face they get")
    elif source:
        target = one_of(said["to"], known, "person in this model")
        mapping = {one_of(source, known, "person in this model"): target}

    return commands.Swap(
        face="main" if mapping else one_of(said["face"], (way for _, way in FACES), "way to choose a face"),
        to="b" if mapping and face == EACH else one_of(said["to"], known, "person in this model"),
        mapping=mapping,
        settings=_changes(said),
        min_face=number(said["least"]),
    )


def _changes(said: Mapping[str, object]) -> dict[str, object]:
    """What differs from the defaults, by the settings' names. Raises ConfigError."""
    chosen: dict[str, object] = {
        "colour": one_of(said["colour"], COLOURS, "way to match colours"),
        "blending": one_of(said["blending"], BLENDINGS, "way to blend"),
    }
    chosen |= {name: number(said[name]) or 0.0 for name, *_ in LOOKS}
    return {name: value for name, value in chosen.items() if value != getattr(DEFAULT, name)}


def faces_in_words(faces: Any, names: Mapping[str, str]) -> str:
    """What becomes of the faces in a frame."""
    if not faces:
        return "No face is found here: it stays as it is."
    if len(faces) == 1:
        person = faces[0][1]
        return f"The face gets that of {names.get(person, person)}." if person else "The face stays as filmed."
    parts = [
        f"{number} gets the face of {names.get(who, who)}" if who else f"{number} stays as filmed"
        for number, (_, who) in enumerate(faces, 1)
    ]
    return "Of the faces, from left to right: " + "; ".join(parts) + "."


def recognised(face: object) -> str:
    """The person whose face is to be recognised, if that is how it is chosen."""
    return str(face).removeprefix("from:") if str(face).startswith("from:") else ""


def known_persons(project: Project, model: object) -> list[str]:
    """Whom a model has learnt, of the project's persons: nobody else can be put in."""
    return [key for key in project.persons() if key in project.known_to(str(model))]
