"""Who in a video becomes whom: a choice among the faces that were followed through it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from faceswap.errors import ConfigError
from faceswap.faces.identity import SAME_PERSON, distance
from faceswap.faces.person import dominant_identity, pick, tracks_of
from faceswap.faces.trackfile import Track
from faceswap.types import Embedding, Face, FrameFaces

CHOICES = ("main", "all", "largest", "left-to-right", "like=PICTURE", "not=PICTURE")
"""How faces can be chosen: see `select_tracks`."""


_BY_PICTURE = ("like", "not")


@dataclass(frozen=True)
class Selection:
    """Some tracks that show one face to be swapped, and who it becomes."""

    tracks: tuple[int, ...]
    """Of those that are in a frame the first one is swapped: a face can be there twice, as in a mirror."""
    person: str


def check_choice(choice: str, persons: Sequence[str]) -> None:
    """Raises ConfigError unless `choice` is one of CHOICES and can tell apart as many faces as there are persons."""
    name, _, picture = choice.partition("=")
    if name in _BY_PICTURE and not picture:
        raise ConfigError(f"'{choice}' names no picture", f"Write {name}=PICTURE")
    if choice not in CHOICES and name not in _BY_PICTURE:
        raise ConfigError(f"'{choice}' is no way to choose faces", f"Choose one of: {', '.join(CHOICES)}")

    if len(persons) > 1 and choice != "left-to-right":
        raise ConfigError(
            f"one face cannot become {len(persons)} persons", "Name one with --to, or add --face left-to-right"
        )


def select_tracks(
    choice: str,
    persons: Sequence[str],
    tracks: Sequence[Track],
    frames: Callable[[], Iterable[FrameFaces]],
    reference: Embedding | None = None,
) -> list[Selection]:
    """The selections that `choice` describes; none if there is no such face.

    Args:
        way: main (whoever is seen most), all, largest (of those in the picture), left-to-right (the first of
            `persons` for the leftmost face of each scene, and so on), like=... (the person `reference`), or not=...
            (everyone else).
        persons: whom the faces become: one, and more for left-to-right.
        tracks: the faces that were followed.
        frames: gives where they were seen; asked for by left-to-right alone.
        pictured: who is to be seen in the picture that like=... and not=... name.

    Raises ConfigError as `check_choice` does.
    """
    check_choice(choice, persons)

    if choice == "left-to-right":
        columns = _columns(tracks, frames())
        return [Selection(tuple(column), person) for column, person in zip(columns, persons, strict=False)]

    person, by_size = persons[0], [track.number for track in sorted(tracks, key=lambda track: -track.size)]
    if choice == "all":
        return [Selection((number,), person) for number in by_size]
    if choice.startswith("not="):
        alike = () if reference is None else tracks_of(reference, tracks)
        return [Selection((number,), person) for number in by_size if number not in alike]

    if choice == "largest":
        chosen = tuple(by_size)

    else:
        who = dominant_identity(tracks) if choice == "main" else reference
        chosen = () if who is None else tracks_of(who, tracks)

    return [Selection(chosen, person)] if chosen else []


def recognise_tracks(
    known: Mapping[str, Embedding], mapping: Mapping[str, str], tracks: Sequence[Track]
) -> list[Selection]:
    """A selection for each person of `mapping` (who becomes whom) who is to be seen.

    Each track is taken for whom it is nearest to of all that are `known`; where nobody is, nobody is recognised.
    """
    if not known:
        return []

    shown: dict[str, list[int]] = defaultdict(list)
    for track in tracks:
        nearest = min(known, key=lambda person: distance(known[person], track.identity))
        if distance(known[nearest], track.identity) < SAME_PERSON:
            shown[nearest].append(track.number)
    return [Selection(tuple(shown[source]), target) for source, target in mapping.items() if shown[source]]


def selected_faces(selections: Sequence[Selection], faces: Iterable[Face]) -> list[tuple[Face, str]]:
    """The faces of one frame that are to be swapped, and who each becomes; none twice. Larger faces come last, since
    they are nearer."""
    there = {face.track: face for face in faces}
    chosen: dict[int, str] = {}
    for selection in selections:
        seen = pick(there.values(), selection.tracks)
        if seen is not None:
            chosen.setdefault(seen.track, selection.person)
    return sorted(((there[track], person) for track, person in chosen.items()), key=lambda pair: pair[0].size)


def _columns(tracks: Sequence[Track], frames: Iterable[FrameFaces]) -> list[list[int]]:
    """Tracks of all scenes by their place in their scene: the leftmost, those second from the left, ...

    A face that was lost and followed again under another number stays in its column.
    """
    # Where each track is seen, and in which scene.
    where: dict[int, dict[int, float]] = defaultdict(dict)  # by track and frame
    scene_of: dict[int, int] = {}
    scene = 0

    for frame in frames:
        scene += frame.cut
        for face in frame.faces:
            where[face.track][frame.index] = (face.box[0] + face.box[2]) / 2
            scene_of.setdefault(face.track, scene)

    columns: list[list[int]] = []
    for number in sorted(set(scene_of.values())):
        # Tracks of the same person, one behind the other.
        people: list[list[Track]] = []
        for track in tracks:
            if scene_of.get(track.number) == number:
                group = next((group for group in people if _returned(track, group, where)), None)
                if group is None:
                    people.append([track])
                else:
                    group.append(track)

        # From left to right.
        places = sorted(people, key=lambda group: _middle(group, where))
        for place, group in enumerate(places):
            if place == len(columns):
                columns.append([])
            columns[place] += [track.number for track in group]

    return columns


def _returned(track: Track, group: Sequence[Track], where: Mapping[int, Mapping[int, float]]) -> bool:
    """Whether a track shows those of `group` at another time: nobody stands in two places at once."""
    alike = distance(group[0].identity, track.identity) < SAME_PERSON
    return alike and all(where[track.number].keys().isdisjoint(where[other.number]) for other in group)


def _middle(group: Sequence[Track], where: Mapping[int, Mapping[int, float]]) -> float:
    return float(np.mean([x for track in group for x in where[track.number].values()]))
