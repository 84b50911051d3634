"""Faces in the frame that is shown: a click on one says who it becomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from faceswap.errors import ConfigError
from faceswap.types import Box
from faceswap_app.swap_choices import STAYS

# A click, not a drag of the line, as a place in the picture: it may be shown smaller, with bars beside it.
FOLLOW_CLICKS = """() => {
    let down = null;
    document.addEventListener('pointerdown', (event) => { down = [event.clientX, event.clientY]; }, true);
    document.addEventListener('click', (event) => {
        const picture = event.target.closest?.('#before-after')?.querySelector('img');
        const field = document.querySelector('#clicked-face textarea, #clicked-face input');
        if (!picture?.naturalWidth || !field || event.target.closest('button')) return;
        if (down && Math.hypot(event.clientX - down[0], event.clientY - down[1]) > 4) return;

        const frame = picture.getBoundingClientRect();
        const scale = Math.min(frame.width / picture.naturalWidth, frame.height / picture.naturalHeight);
        const x = (event.clientX - frame.left - frame.width / 2) / scale + picture.naturalWidth / 2;
        const y = (event.clientY - frame.top - frame.height / 2) / scale + picture.naturalHeight / 2;
        field.value = `${x.toFixed(1)} ${y.toFixed(1)} ${Date.now()}`;
        field.dispatchEvent(new Event('input', {bubbles: true}));
    }, true);
}"""


@dataclass(frozen=True, kw_only=True)
class Spot:
    """A face in the frame that is shown."""

    box: Box
    """Left, top, right, bottom in pixels of the frame."""
    looks_like: str | None
    """The person, of those whom the model knows; None: like nobody of them."""
    becomes: str | None
    """The person whose face it gets; None: it stays as it is."""


def clicked(spots: Sequence[Spot], text: object) -> Spot | None:
    """The smallest face at the place that the browser names, if there is one.

    Raises ConfigError if it is the face of nobody whom the model knows.
    """
    try:
        x, y = (float(word) for word in str(text).split()[:2])
    except ValueError:  # nothing was clicked yet
        return None

    there = [spot for spot in spots if spot.box[0] <= x <= spot.box[2] and spot.box[1] <= y <= spot.box[3]]
    spot = min(there, key=lambda spot: spot.box[2] - spot.box[0], default=None)
    if spot is not None and spot.looks_like is None:
        raise ConfigError(
            "this face looks like nobody whom the model knows", "Choose it by its size, or as the one seen most"
        )
    return spot


def mapping_of(spots: Sequence[Spot], known: Sequence[str]) -> dict[str, str]:
    """Who becomes whom in the frame that is shown; STAYS for whoever stays as filmed, or is not seen."""
    mapping = dict.fromkeys(known, STAYS)
    for spot in reversed(spots):  # of two who look alike the first one counts
        if spot.looks_like in mapping:
            mapping[spot.looks_like] = spot.becomes or STAYS
    return mapping


def turned(mapping: Mapping[str, str], person: str) -> dict[str, str]:
    """The mapping after a click on the face of a person, who gets the next one's: those of all others in their order,
    then none."""
    choices = [*(other for other in mapping if other != person), STAYS]
    now = mapping[person]
    place = choices.index(now) if now in choices else -1
    return {**mapping, person: choices[(place + 1) % len(choices)]}
