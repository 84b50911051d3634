"""What training leaves behind beside the model: checkpoints, figures and pictures."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from faceswap.documents import parse_json
from faceswap.errors import DependencyError
from faceswap.files import replaced
from faceswap.media.pictures import write_picture
from faceswap.provenance.consent import NOBODY, read_consent
from faceswap.training.checkpoint import save_checkpoint
from faceswap.training.preview import Row
from faceswap.training.stages import DETAIL
from faceswap.training.state import Budget, TrainState
from faceswap.training.step import Metrics
from faceswap.types import Picture
from faceswap.visuals.charts import Curve, curves
from faceswap.visuals.sheets import sheet
from faceswap_pipelines.common.marks import seal_of, write_marked

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

_PREVIEW_GROWTH = 1.25  # each preview waits this much longer than the one before, so that a night leaves few files
_LARGEST_PREVIEW = 256  # pixels of a face's side
_NOTE_EVERY = 1.0, 2000  # seconds between two lines of stats.jsonl, and into how many parts a long training is cut
_PARTS = ("pixel", "structure", "mask", "total")


class Recorder:
    """Writes stats.jsonl, checkpoints, previews and the plot of the losses; of several ranks only the first does."""

    def __init__(
        self,
        model: Path,
        save_every: float,
        state: TrainState,
        budget: Budget,
        *,
        rows: Callable[[], list[Row]],
        tensorboard: bool,
    ) -> None:
        self._model, self._save_every, self._state, self._rows = model, save_every, state, rows
        self._budget = budget

        self._stats = model / "stats.jsonl"
        self._noted, self._saved = -math.inf, time.monotonic()
        self._next_preview = 0.0
        self._saved_step: int | None = None

        self._boards = _open_boards(model / "tensorboard", state.step) if tensorboard and state.ranks.first else None
        self.preview = model / "previews" / "latest.png"
        self._seal = seal_of(model)

        if state.ranks.first:
            self.preview.parent.mkdir(exist_ok=True)
            _forget_after(self._stats, state.step)

    def note(self, metrics: Metrics, budget: Budget) -> None:
        """Called after every step; does each thing when its time has come."""
        self._budget = budget
        if not self._state.ranks.first:
            return

        now = time.monotonic()
        at_least, parts = _NOTE_EVERY
        if now - self._noted >= max(at_least, metrics.seconds / parts):
            self._noted = now
            self._write_line(metrics)
        is_last = budget.progress(metrics.step, metrics.seconds) >= 1  # which `finish` saves
        if now - self._saved >= self._save_every and not is_last:
            self.save()
            self._saved = time.monotonic()

    def save(self) -> None:
        """Checkpoint, then a preview. Nothing if no step was made since the last time."""
        if self._has_news:
            self._checkpoint()
            self._show()

    def finish(self) -> None:
        """The same with the checkpoint last: where that of the last step is, a training is finished, and whoever kills
        it now finds nothing missing."""
        if self._has_news:
            self._show()
            self._checkpoint()

    @property
    def _has_news(self) -> bool:
        return self._state.step not in (0, self._saved_step) and self._state.ranks.first

    def _checkpoint(self) -> None:
        save_checkpoint(self._model, self._state, self._budget)
        self._saved_step = self._state.step

    def _show(self) -> None:
        """The latest preview and the curves; now and then a preview that is kept."""
        picture = sheet(self._rows(), side=min(_LARGEST_PREVIEW, max(128, self._state.model.config.output_size)))
        write_marked(self.preview, picture, self._seal)
        write_picture(self.preview.with_name("losses.png"), _plot(self._stats))
        if self._state.seconds >= self._next_preview:
            write_marked(self.preview.with_name(f"{self._state.step:08d}.png"), picture, self._seal)
            self._next_preview = self._state.seconds * _PREVIEW_GROWTH

    def close(self) -> None:
        """Have TensorBoard's files written."""
        if self._boards is not None:
            self._boards.close()

    def _write_line(self, metrics: Metrics) -> None:
        line = _as_line(metrics, self._state.held_out)
        with self._stats.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        if self._boards is not None:
            for name, value in _flat(line).items():
                self._boards.add_scalar(name, value, metrics.step)


def shown_names(model: Path) -> dict[str, str]:
    """What the persons are called on pictures, as far as they exist and letters for it can be drawn."""
    consent = read_consent(model)
    known = consent.persons if consent else {}
    return {person: who for person, who in known.items() if who != NOBODY and who.isascii()}


@contextmanager
def recording(recorder: Recorder) -> Iterator[None]:
    """Saves once more however training ends, unless the state may be broken."""
    try:
        yield
    except GeneratorExit:  # stopped between two steps: the state is whole
        recorder.save()  # the checkpoint first: whoever stops it may be in a hurry
        raise
    else:
        recorder.finish()
    finally:
        recorder.close()


def _open_boards(folder: Path, step: int) -> SummaryWriter:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise DependencyError(
            "TensorBoard is not installed", "Install it with: pip install tensorboard; or leave out --tensorboard"
        ) from error
    return SummaryWriter(str(folder), purge_step=step)


def _forget_after(stats: Path, step: int) -> None:
    """Drop the lines of steps that are about to be made again, and one that a kill has cut short."""
    if not stats.exists():
        return
    kept = [line for line in read_stats(stats) if line["step"] <= step]
    with replaced(stats) as fresh:
        fresh.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")


def read_stats(stats: Path) -> list[dict[str, Any]]:
    """The lines of stats.jsonl that are whole, the oldest first; those that are damaged are passed over."""
    whole = []
    for text in stats.read_bytes().splitlines() if stats.exists() else []:
        try:
            line = parse_json(text)
        except ValueError:
            continue
        if _is_whole(line):
            whole.append(line)
    return whole


def _is_whole(line: object) -> bool:
    """Whether a line has what is drawn of it: step, seconds, and of each person's losses their figures."""
    if not isinstance(line, dict):
        return False

    losses = line.get("losses", {})
    if not isinstance(losses, dict) or not all(isinstance(loss, dict) for loss in losses.values()):
        return False

    figures = [figure for loss in losses.values() for figure in loss.values()]
    return (
        isinstance(line.get("step"), int)
        and isinstance(line.get("seconds"), int | float)
        and all(figure is None or isinstance(figure, int | float) for figure in figures)
    )


def _as_line(metrics: Metrics, held_out: list[tuple[int, float]]) -> dict[str, object]:
    losses = {
        person: {part: _rounded(getattr(loss, part)) for part in _PARTS} for person, loss in metrics.losses.items()
    }

    return {
        "step": metrics.step,
        "stage": metrics.stage,
        "seconds": round(metrics.seconds, 2),
        "losses": losses,
        "latent": {name: _rounded(value) for name, value in metrics.latent.items()},
        **({"held_out": round(held_out[-1][1], 5)} if held_out else {}),
        "learning_rate": metrics.learning_rate,
        "faces_per_second": round(metrics.faces_per_second, 1),
        "waited": round(metrics.waited, 3),
    }


def _rounded(value: Tensor) -> float | None:
    """For JSON, which has no infinities."""
    number = float(value)
    return round(number, 5) if math.isfinite(number) else None


def _flat(values: Mapping[str, object], above: str = "") -> dict[str, float]:
    """Numbers by their path, as in losses/a/total."""
    flat: dict[str, float] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{above}{name}/")
        elif isinstance(value, int | float):
            flat[f"{above}{name}"] = float(value)
    return flat


def _plot(stats: Path) -> Picture:
    """Every figure of stats.jsonl over the steps: a panel for each part of the loss and each of the latent's.

    The detail stage has panels of its own: its losses are those of larger pictures.
    """
    series: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for line in read_stats(stats):
        stage = "detail: " if line.get("stage") == DETAIL else ""
        for name, value in _flat(line).items():
            series.setdefault((stage, name), []).append((float(line["step"]), value))

    panels: dict[str, list[Curve]] = {}
    for (stage, name), points in series.items():
        group, _, rest = name.partition("/")
        if group == "losses":
            person, _, part = rest.partition("/")
            panels.setdefault(f"{stage}{part} loss", []).append(Curve(person, points))
        elif group in ("latent", "held_out"):
            panels.setdefault(rest or "held-out loss", []).append(Curve("", points))
    return curves(panels, "steps")
