"""A plain soundtrack for the demo's films, made by formulae: the quiet of a room, and slow, soft chords."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from faceswap.media.sound import SAMPLE_RATE, Sound

Wave = Float[np.ndarray, " samples"]

_CHORDS = ((57, 60, 64, 71), (53, 57, 60, 67), (48, 55, 64, 67), (55, 59, 62, 69))
"""A minor, F, C and G, each with a ninth or in an open position; as MIDI numbers, of which 69 is 440 Hz."""
_BAR = 4.0  # seconds from one chord to the next
_SWELL = 1.5  # seconds in which a chord comes, and goes while the next one comes
_OVERTONES = (1.0, 0.35, 0.12, 0.05)  # how loud each multiple of a note's frequency is: dark and soft
_DETUNED = 0.0015  # share of its frequency by which a note differs on the left and on the right: it seems wide
_CHORD_LEVEL, _ROOM_LEVEL = 0.045, 0.003  # root mean square, of 1
_ROOM = 60.0, 900.0  # hertz: below and above, a room is quieter
_FADE = 1.0  # seconds at the beginning and at the end


def soundtrack(seconds: float, seed: int) -> Sound:
    """So many seconds of it; always the same for one seed, which decides with which chord it begins."""
    rng = np.random.default_rng(seed)
    count = round(seconds * SAMPLE_RATE)
    first = int(rng.integers(len(_CHORDS)))
    sides = [_chords(count, first, 1 + side * _DETUNED) + _room(count, rng) for side in (-1, 1)]

    # Nothing begins or ends with a click.
    time = np.arange(count) / SAMPLE_RATE
    edges = np.clip(np.minimum(time, time[::-1]) / _FADE, 0, 1)
    return np.stack(sides).astype(np.float32) * _smooth(edges).astype(np.float32)


def _chords(count: int, first: int, detuned: float) -> Wave:
    """One chord after the other, each swelling while the one before it goes."""
    wave = np.zeros(count)
    length = round((_BAR + _SWELL) * SAMPLE_RATE)
    within = np.arange(length) / SAMPLE_RATE
    loudness = _smooth(np.clip(np.minimum(within, within[::-1]) / _SWELL, 0, 1))

    for bar, start in enumerate(range(0, count, round(_BAR * SAMPLE_RATE))):
        part = slice(0, min(length, count - start))
        tones = sum(_tone(note, within[part], detuned) for note in _CHORDS[(first + bar) % len(_CHORDS)])
        wave[start : start + length] += tones * loudness[part]
    return _levelled(wave, _CHORD_LEVEL)


def _tone(note: int, time: Wave, detuned: float) -> Wave:
    frequency = 440 * 2 ** ((note - 69) / 12) * detuned
    parts = [level * np.sin(2 * np.pi * frequency * times * time) for times, level in enumerate(_OVERTONES, start=1)]
    return np.asarray(np.sum(parts, axis=0))


def _room(count: int, rng: np.random.Generator) -> Wave:
    """Noise as air and distant things make it: the less, the higher."""
    spectrum = np.fft.rfft(rng.standard_normal(count))
    frequency = np.fft.rfftfreq(count, 1 / SAMPLE_RATE)
    low, high = _ROOM
    shape = 1 / np.sqrt((1 + (low / np.maximum(frequency, 1)) ** 4) * (1 + (frequency / high) ** 4))
    pink = 1 / np.sqrt(np.maximum(frequency, low))
    return _levelled(np.fft.irfft(spectrum * shape * pink, count), _ROOM_LEVEL)


def _levelled(wave: Wave, level: float) -> Wave:
    return np.asarray(wave * (level / max(1e-9, float(np.sqrt(np.mean(wave**2))))))


def _smooth(share: Wave) -> Wave:
    """0..1 without corners, so that two that cross stay as loud together."""
    return np.asarray(np.sin(np.pi / 2 * share) ** 2)
