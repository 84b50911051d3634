"""What a training leaves behind, and in which order."""

from __future__ import annotations

from pathlib import Path

import pytest

from faceswap.training.checkpoint import save_checkpoint
from faceswap.training.state import Budget, TrainState
from faceswap_pipelines.common.progress import run
from faceswap_pipelines.training import record
from faceswap_pipelines.training.job import TrainJob
from faceswap_pipelines.training.run import train
from support.studio import DRAWN, Studio


@pytest.mark.parametrize("save_every", [0.0, 1000.0])
def test_where_the_last_checkpoint_is_its_pictures_are(
    save_every: float, studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed then, and run again, a training would go on for as long again, and draw nothing of this one."""
    drawn: dict[int, bool] = {}

    def save(folder: Path, state: TrainState, budget: Budget) -> Path:
        drawn[state.step] = (folder / "previews" / "latest.png").exists()
        (folder / "previews" / "latest.png").unlink(missing_ok=True)
        return save_checkpoint(folder, state, budget)

    monkeypatch.setattr(record, "save_checkpoint", save)
    settings = {"size": 64, "batch_size": 2, "detail": 0}
    run(
        train(
            TrainJob(
                facesets=studio.facesets,
                model=tmp_path / "model",
                steps=2,
                save_every=save_every,
                from_scratch=True,
                settings=settings,
                consent=DRAWN,
                device="cpu",
            )
        )
    )
    assert drawn[2]
    assert list(drawn) == ([1, 2] if save_every == 0 else [2])
