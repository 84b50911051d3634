"""The demo's soundtrack: quiet, always the same, and still there in a film."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from faceswap.media.sound import SAMPLE_RATE
from faceswap.media.video import read_frames
from faceswap.media.video_write import write_clip
from faceswap_pipelines.demo.soundtrack import soundtrack
from support.clips import gradient


def test_it_is_quiet_and_without_clicks() -> None:
    sound = soundtrack(9.0, seed=0)
    assert sound.shape == (2, 9 * SAMPLE_RATE)
    assert np.abs(sound).max() < 0.4
    assert np.abs(sound[:, [0, -1]]).max() < 1e-4
    assert np.abs(np.diff(sound)).max() < 0.05
    seconds = sound[:, SAMPLE_RATE:-SAMPLE_RATE].reshape(2, 7, SAMPLE_RATE)
    loudness = np.sqrt((seconds**2).mean(axis=(0, 2)))
    assert loudness.min() > 0.02
    assert loudness.max() < 0.08


def test_it_is_the_same_each_time_and_another_for_each_film() -> None:
    first, again, other = (soundtrack(2.0, seed) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert np.abs(first - other).max() > 0.01


def test_a_film_keeps_it(tmp_path: Path) -> None:
    sound = soundtrack(2.0, seed=0)
    write_clip(tmp_path / "a.mp4", (gradient(index, 64, 48) for index in range(50)), Fraction(25), sound=sound)

    with av.open(str(tmp_path / "a.mp4")) as container:
        [track] = container.streams.audio
        heard = np.concatenate([frame.to_ndarray() for frame in container.decode(track)], axis=1)
    length = min(heard.shape[1], sound.shape[1])
    assert abs(heard.shape[1] - sound.shape[1]) < 0.05 * SAMPLE_RATE
    assert np.corrcoef(heard[0, :length], sound[0, :length])[0, 1] > 0.99

    times = [frame.time for frame in read_frames(tmp_path / "a.mp4")]
    assert times == [Fraction(index, 25) for index in range(50)]
