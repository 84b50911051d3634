"""Real, small data for all tests: two drawn actors on film, their facesets, and a model that has begun to learn.

Shapes in annotations are checked at run time: jaxtyping's hook wraps every function of the library.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # there are as many test processes as cores; threads would wait for each other

from jaxtyping import install_import_hook

from support import typecheck

install_import_hook("faceswap", f"{typecheck.__name__}.check")

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest

from faceswap.media.video_write import write_clip
from faceswap.training import losses
from faceswap_pipelines.common.progress import run
from faceswap_pipelines.demo.actors import LEADS, frames
from faceswap_pipelines.extraction.job import ExtractJob
from faceswap_pipelines.extraction.run import extract
from faceswap_pipelines.training.job import TrainJob
from faceswap_pipelines.training.run import train
from support.studio import CLIP_FRAMES, DRAWN, Studio


@pytest.fixture(scope="session", autouse=True)
def _own_keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The tests sign with keys of their own, not with those of whoever runs them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _same_numbers_on_every_processor() -> Iterator[None]:
    """Processors that are faster with bfloat16 round otherwise: what this process trains, it trains in float32."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(losses, "multiplies_in_bfloat16", lambda device: device.type == "cuda")
        yield


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """By person: a film of 48 frames, 256 px, 25 a second."""
    folder = tmp_path_factory.mktemp("clips")
    films = {person: folder / f"{actor.name}.mp4" for person, actor in zip("ab", LEADS, strict=True)}
    for number, path in enumerate(films.values()):
        drawn = (rendering.image for rendering in frames(LEADS[number], CLIP_FRAMES, 256, seed=number))
        write_clip(path, drawn, Fraction(25))
    return films


@pytest.fixture(scope="session")
def facesets(clips: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """By person: the faces of their film."""
    folder = tmp_path_factory.mktemp("facesets")
    for person, clip in clips.items():
        run(extract(ExtractJob(inputs=(clip,), out=folder / person, device="cpu")))
    return {person: folder / person for person in clips}


@pytest.fixture(scope="session")
def studio(clips: dict[str, Path], facesets: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Studio:
    """Films, facesets, and a model after 30 steps: it shows blurred faces, which is all that most tests need."""
    model = tmp_path_factory.mktemp("models") / "model"
    run(train(TrainJob(facesets=facesets, model=model, steps=30, device="cpu", consent=DRAWN)))
    return Studio(clips, facesets, model)
