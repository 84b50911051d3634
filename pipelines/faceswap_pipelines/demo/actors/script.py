"""What an actor does: pose and expression over time."""

from __future__ import annotations

from dataclasses import dataclass
from math import sin


@dataclass(frozen=True, kw_only=True)
class Performance:
    """Pose, expression and light of one frame."""

    yaw: float = 0.0
    """Degrees; positive turns the nose to the viewer's right."""
    pitch: float = 0.0
    """Degrees; positive raises the nose."""
    roll: float = 0.0
    """Degrees; positive turns the head clockwise as the viewer sees it."""
    jaw: float = 0.0
    """0 closed .. 1 wide open."""
    smile: float = 0.0
    """0 neutral .. 1."""
    lid: float = 1.0
    """0 closed .. 1 open."""
    gaze: tuple[float, float] = (0.0, 0.0)
    """Where the irises look: -1..1 to the viewer's right, -1..1 down."""
    light: tuple[float, float, float] = (-0.45, -0.55, 0.75)
    """Towards the key light: right, down, to the viewer; any length."""
    gain: float = 1.0
    """Brightness of the light on the actor."""
    at: tuple[float, float] = (0.0, 0.0)
    """How far the head is off its place, right and down, in frame widths."""


_BLINK_SECONDS = 2.12
_BLINK_HALF = 0.12
"""From open to closed, in seconds; as long again to open."""
_BLINK_HOLD = 0.03


def _lid(seconds: float, phase: float) -> float:
    """1, but for a short blink in each period; the first one comes half a second into the clip or later."""
    since = (seconds + 0.68 * phase) % _BLINK_SECONDS - 0.5
    return min(1.0, max(0.0, (abs(since) - _BLINK_HOLD) / _BLINK_HALF))


def _jaw(seconds: float, phase: float) -> float:
    """Syllables under a slower swell, with a pause now and then."""
    syllables = max(0.0, sin(7.1 * seconds + phase))
    swell = 0.55 + 0.45 * sin(2.3 * seconds + phase)
    speaking = min(1.0, max(0.0, 3.0 * (sin(0.9 * seconds + phase) + 0.5)))
    return syllables * swell * speaking


def perform(frame_index: int, seed: int, frame_rate: float = 25.0) -> Performance:
    """The performance at one frame of an endless, smooth clip that depends on nothing but the arguments.

    Someone who talks, blinks every two seconds, smiles now and then and turns the head within yaw +-24, pitch +-8 and
    roll +-7 degrees while the light drifts. Another seed starts elsewhere in the movement.
    """
    seconds, phase = frame_index / frame_rate, 1.7 * seed

    return Performance(
        yaw=24 * sin(1.1 * seconds + phase),
        pitch=8 * sin(1.7 * seconds + 2 * phase),
        roll=7 * sin(0.8 * seconds + phase + 1),
        jaw=_jaw(seconds, phase),
        smile=0.5 + 0.5 * sin(0.63 * seconds + phase),
        lid=_lid(seconds, seed),
        gaze=(0.8 * sin(0.9 * seconds + 2 * phase), 0.5 * sin(1.3 * seconds)),
        light=(-0.45 + 0.25 * sin(0.5 * seconds), -0.50, 0.78),
        gain=1 + 0.06 * sin(0.7 * seconds),
        at=(0.02 * sin(0.6 * seconds), 0.012 * sin(0.9 * seconds)),
    )
