"""One long video in segments: the same film as from one process, whoever does which segment, and whenever."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing, nullcontext
from dataclasses import asdict, replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from faceswap.errors import ConfigError, OutputError
from faceswap.media.pictures import read_picture
from faceswap.media.video import read_frames
from faceswap.media.video_write import write_clip
from faceswap_pipelines.batching import run as engine
from faceswap_pipelines.batching.crew import Ended
from faceswap_pipelines.batching.plan import Task, read_plan
from faceswap_pipelines.batching.segments import in_segments
from faceswap_pipelines.batching.worker import Done, Failed, answer_to, job_of
from faceswap_pipelines.common.models import Models
from faceswap_pipelines.common.progress import run
from faceswap_pipelines.swapping import outputs, segments
from faceswap_pipelines.swapping.job import SegmentJob, SwapJob, SwapResult, SwapSettings
from faceswap_pipelines.swapping.run import swap
from faceswap_pipelines.swapping.segments import borders
from faceswap_pipelines.verification import verify
from support.clips import images, make_clip
from support.studio import Studio

PIECE = 12
FRAMES = 31


@pytest.fixture(autouse=True)
def _short_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a short film has borders."""
    monkeypatch.setattr(outputs, "SEGMENT_FRAMES", PIECE)
    monkeypatch.setattr(segments, "SEGMENT_FRAMES", PIECE)


@pytest.fixture(scope="module")
def models() -> Models:
    """Loaded once for all tests of this file."""
    return Models()


@pytest.fixture(scope="module")
def film(studio: Studio, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two scenes of odd sides, the second one frame behind a border; its frames last longer and shorter; with sound."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    shots = [*images(studio.clips["a"])[: PIECE + 1], *images(studio.clips["b"])]
    ticks = np.cumsum(np.random.default_rng(5).integers(256, 900, FRAMES)).tolist()
    odd = [np.ascontiguousarray(shot[:251, :253]) for shot in shots[:FRAMES]]
    return make_clip(path, odd, ticks, pix_fmt="yuv444p", audio_tracks=1)


def by_turns(job: SwapJob, models: Models) -> SwapResult:
    """A swap in segments, the last one first."""
    with closing(in_segments(Task("film", job))) as stages:
        tasks = next(stages)
        while True:
            answers = [json.dumps(asdict(run(job_of(task.job, models)))) for task in reversed(tasks)]
            try:
                tasks = stages.send(answers[::-1])
            except StopIteration as end:
                result: SwapResult = end.value
                return result


def packets(path: Path) -> list[tuple[object, ...]]:
    """All that is in a file, with its times."""
    with av.open(str(path)) as container:
        return [
            (packet.stream_index, packet.pts, packet.dts, packet.duration, bytes(packet))
            for packet in container.demux()
            if packet.size
        ]


def same_pictures(one: Path, other: Path) -> bool:
    names = sorted(path.name for path in one.iterdir())
    assert names == sorted(path.name for path in other.iterdir())
    return all((read_picture(one / name) == read_picture(other / name)).all() for name in names)


def test_a_film_in_segments_is_the_same_film(film: Path, studio: Studio, models: Models, tmp_path: Path) -> None:
    """To the byte: pictures, masks, times and sound; one sheet, one signature, one file of settings."""
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    job = SwapJob(
        video=film,
        model=studio.model,
        out=tmp_path / "whole/out.mp4",
        mask_out=tmp_path / "whole/mask.mp4",
        settings=SwapSettings(face="all"),
        device="cpu",
    )
    whole = run(swap(job, models))
    cut = replace(job, out=tmp_path / "parts/out.mp4", mask_out=tmp_path / "parts/mask.mp4", segments=3)
    parts = by_turns(cut, models)

    assert whole.swapped > FRAMES // 2
    assert len(packets(job.out)) > FRAMES, "there is no sound"
    for name in ("out.mp4", "mask.mp4"):
        assert packets(tmp_path / "parts" / name) == packets(tmp_path / "whole" / name)
    assert [f.time for f in read_frames(cut.out)] == [f.time for f in read_frames(film)]

    assert (parts.frames, parts.swapped, parts.faded) == (whole.frames, whole.swapped, whole.faded)
    assert parts.notes == whole.notes
    assert (read_picture(Path(parts.sheet)) == read_picture(Path(whole.sheet))).all()
    assert Path(parts.settings).read_text() == Path(whole.settings).read_text()

    beside = [sorted(path.name for path in (tmp_path / name).iterdir()) for name in ("whole", "parts")]
    assert beside[0] == beside[1], "nothing else is left"
    [one, other] = run(verify([job.out, cut.out]))
    assert one.credentials
    assert other.credentials
    assert (one.credentials.state, one.mark) == (other.credentials.state, other.mark)


def test_so_are_its_frames_as_pictures(film: Path, studio: Studio, models: Models, tmp_path: Path) -> None:
    """Of an excerpt that begins and ends anywhere."""
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    job = SwapJob(
        video=film,
        model=studio.model,
        out=tmp_path / "whole/out",
        mask_out=tmp_path / "whole/mask",
        frames=(5, 19),
        device="cpu",
    )
    run(swap(job, models))
    by_turns(replace(job, out=tmp_path / "parts/out", mask_out=tmp_path / "parts/mask", segments=2), models)
    for name in ("out", "mask"):
        assert same_pictures(tmp_path / "parts" / name, tmp_path / "whole" / name)


@pytest.mark.parametrize(
    ("count", "wanted"), [(0, 2), (1, 2), (PIECE, 4), (FRAMES, 3), (FRAMES, 99), (1000, 7), (1000, 1)]
)
def test_borders(count: int, wanted: int) -> None:
    """Every frame lies in one segment; they begin where a writer begins a piece, and are as long as each other."""
    spans = borders(count, wanted)
    assert [frame for begin, stop in spans for frame in range(begin, stop)] == list(range(count))
    assert all(begin % PIECE == 0 for begin, _ in spans)
    assert len(spans) <= wanted
    pieces = [-(-(stop - begin) // PIECE) for begin, stop in spans]
    assert max(pieces) - min(pieces) <= 1


class Hands:
    """A crew in this process: whoever was given a task last does it first."""

    def __init__(self, models: Models, count: int) -> None:
        self._models, self._count = models, count
        self._tasks: list[Task] = []
        self.written: list[int] = []
        """By each segment that was done: how many frames."""
        self.fails: Callable[[Task], bool] = lambda _task: False

    @property
    def busy(self) -> bool:
        return bool(self._tasks)

    @property
    def free(self) -> bool:
        return len(self._tasks) < self._count

    def give(self, task: Task) -> None:
        self._tasks.append(task)

    def answers(self) -> list[Ended]:
        if not self._tasks:
            return []
        task = self._tasks.pop()
        answer = Failed("it was ended") if self.fails(task) else answer_to(task, self._models, lambda _progress: None)
        if isinstance(task.job, SegmentJob) and isinstance(answer, Done):
            self.written.append(json.loads(answer.result)["written"])
        return [Ended(task, answer, 0.0)]

    def note(self) -> str:
        return ""


@pytest.fixture
def hands(models: Models, monkeypatch: pytest.MonkeyPatch) -> Hands:
    """Two that do all batches."""
    crew = Hands(models, 2)
    monkeypatch.setattr(engine, "_crew", lambda *_: nullcontext(crew))
    return crew


def plan(folder: Path, studio: Studio, *films: Path, segments: int = 3) -> Path:
    file = folder / "jobs.toml"
    inputs = json.dumps([film.as_posix() for film in films])
    file.write_text(
        f'[[job]]\nkind = "swap"\ninputs = {inputs}\nsegments = {segments}\n'
        f'model = "{studio.model.as_posix()}"\nout = "{{stem}}.mp4"\n'
    )
    return file


def test_a_batch_tells_of_a_video_in_segments_once(film: Path, studio: Studio, hands: Hands, tmp_path: Path) -> None:
    empty = tmp_path / "in" / "nobody.mp4"
    empty.parent.mkdir()
    write_clip(empty, [np.full((96, 96, 3), 90, np.uint8)] * 20, Fraction(25))
    state = tmp_path / "state.db"

    def done(*films: Path, segments: int = 3) -> engine.BatchResult:
        file = plan(tmp_path, studio, *films, segments=segments)
        return run(engine.batch(lambda: read_plan(file), state, device="cpu"))

    result = done(film, empty)
    by_status = {outcome.status: outcome for outcome in result.outcomes}
    assert len(result.outcomes) == 2
    assert by_status["done"].name == f"swap {film} into {tmp_path / 'film.mp4'}"
    assert "no face was found" in by_status["failed"].reason
    assert len(hands.written) == 3
    assert sum(hands.written) == FRAMES

    # However it is cut, it is the same film: what is done is not done again.
    assert done(film, segments=2).kept == 1
    assert len(hands.written) == 3
    with pytest.raises(ConfigError, match="cut into 0 segments"):
        done(film, segments=0)


def test_a_segment_that_fails_costs_its_own_frames(film: Path, studio: Studio, hands: Hands, tmp_path: Path) -> None:
    file, state = plan(tmp_path, studio, film), tmp_path / "state.db"

    hands.fails = lambda task: isinstance(task.job, SegmentJob) and task.job.span[0] == PIECE
    first = run(engine.batch(lambda: read_plan(file), state, device="cpu"))
    assert [outcome.reason for outcome in first.outcomes] == ["it was ended"]
    assert sum(hands.written) > 0
    assert not (tmp_path / "film.mp4").exists()
    begun = len(hands.written)

    # Cut in another way it goes on all the same.
    hands.fails = lambda _task: False
    file = plan(tmp_path, studio, film, segments=2)
    again = run(engine.batch(lambda: read_plan(file), state, device="cpu"))
    assert again.done == 1
    assert len(hands.written[begun:]) == 2
    assert sum(hands.written) == FRAMES, "what was whole was done again"
    assert not list(tmp_path.glob(".film*"))


def test_others_cannot_write_the_same_meanwhile(
    film: Path, studio: Studio, hands: Hands, models: Models, tmp_path: Path
) -> None:
    file = plan(tmp_path, studio, film)
    job = engine.batch(lambda: read_plan(file), tmp_path / "state.db", device="cpu")
    next(job)  # the first pass is done
    with pytest.raises(OutputError, match="is being written already"):
        run(swap(SwapJob(video=film, model=studio.model, out=tmp_path / "film.mp4", device="cpu"), models))
    job.close()
    assert not hands.written
