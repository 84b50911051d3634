"""Batches on a cluster: every job is done once, whichever machine dies."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from faceswap.errors import ClusterError
from faceswap.media.codecs import Encoding
from faceswap.media.video import read_frames
from faceswap.media.video_write import write_clip
from faceswap_pipelines.batching.plan import read_plan
from faceswap_pipelines.batching.run import batch
from faceswap_pipelines.common.progress import run
from faceswap_pipelines.swapping.job import SwapJob, SwapSettings
from faceswap_pipelines.swapping.run import swap
from pipelines.test_batching import films, outputs, swaps
from support.clips import images
from support.studio import Studio

if TYPE_CHECKING:
    from ray.cluster_utils import Cluster

pytest.importorskip("ray", reason="the extra `cluster` is not installed")

CLIPS = 6
LOSSLESS = SwapSettings(encoding=Encoding(codec="ffv1"))


@pytest.fixture(scope="module")
def machines() -> Iterator[Cluster]:
    """Three, on this one: the first does nothing but know of the others."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        cluster.add_node(num_cpus=1)
        cluster.add_node(num_cpus=1)
        yield cluster
    finally:
        cluster.shutdown()


@pytest.mark.cluster
def test_a_machine_that_dies_costs_nothing_but_time(machines: Cluster, studio: Studio, tmp_path: Path) -> None:
    films(tmp_path, studio, CLIPS, frames=4)
    file, state = swaps(tmp_path, studio), tmp_path / "state.db"

    # One dies when some are done, while it has another.
    job, early = batch(lambda: read_plan(file), state, device="cpu", ray=machines.address), {}
    try:
        while True:
            progress = next(job)
            if progress.done >= 2 and not early:
                early = outputs(tmp_path)
                machines.remove_node(next(iter(machines.worker_nodes)), allow_graceful=False)
    except StopIteration as end:
        result = end.value
    machines.add_node(num_cpus=1)

    assert (result.done, result.failed) == (CLIPS, 0)
    late = outputs(tmp_path)
    assert len(late) == CLIPS
    assert len(early) >= 2
    assert all(late[name] == early[name] for name in early), "what was done was done again"
    assert all(len(list(read_frames(tmp_path / "out" / name))) == 4 for name in late)

    # What a cluster has begun one machine goes on with.
    again = run(batch(lambda: read_plan(file), state, workers=1, device="cpu"))
    assert (again.kept, again.done, again.failed) == (CLIPS, 0, 0)


@pytest.mark.cluster
def test_one_long_video_by_several_machines_is_the_same(machines: Cluster, studio: Studio, tmp_path: Path) -> None:
    """Though one of them dies while it has a segment."""
    (tmp_path / "in").mkdir()
    film, shots = tmp_path / "in" / "long.mp4", images(studio.clips["a"])
    write_clip(film, [*shots, *shots[::-1]] * 6, Fraction(25))  # long enough that one dies in the middle of it
    file = swaps(tmp_path, studio, out="out/{stem}.mkv")
    file.write_text(f'{file.read_text()}segments = 3\nsettings = {{ codec = "ffv1" }}\n')

    job, dead = batch(lambda: read_plan(file), tmp_path / "state.db", device="cpu", ray=machines.address), False
    try:
        while True:
            next(job)
            if not dead and any(tmp_path.glob("out/.long.mkv.partial/*")):
                machines.remove_node(next(iter(machines.worker_nodes)), allow_graceful=False)
                dead = True
    except StopIteration as end:
        result = end.value
    machines.add_node(num_cpus=1)
    assert dead
    assert (result.done, result.failed) == (1, 0), result.outcomes

    run(swap(SwapJob(video=film, model=studio.model, out=tmp_path / "one.mkv", settings=LOSSLESS, device="cpu")))
    together, alone = (read_frames(path) for path in (tmp_path / "out/long.mkv", tmp_path / "one.mkv"))
    for one, other in zip(together, alone, strict=True):
        assert one.time == other.time
        assert (one.image == other.image).all()


@pytest.mark.cluster
def test_a_batch_that_is_stopped_leaves_no_half_film_under_its_name(
    machines: Cluster, studio: Studio, tmp_path: Path
) -> None:
    films(tmp_path, studio, 2, frames=4)
    file = swaps(tmp_path, studio)
    job = batch(lambda: read_plan(file), tmp_path / "state.db", device="cpu", ray=machines.address)
    while "starting" not in next(job).note:
        pass
    job.close()

    assert all(len(list(read_frames(tmp_path / "out" / name))) == 4 for name in outputs(tmp_path))


def test_a_machine_that_cannot_take_part_is_told(tmp_path: Path) -> None:
    from faceswap_pipelines.batching.cluster import _node_report, _NodeReport, _trouble

    state = tmp_path / "state.db"
    assert "a folder that all machines share" in str(_trouble(_node_report(state), state))
    state.touch()
    assert _trouble(_node_report(state), state) is None

    good = _node_report(state)
    assert "has version 0.0.1" in str(_trouble(_NodeReport("0.0.1", sees_batch=True, free=good.free), state))
    assert "are free" in str(_trouble(_NodeReport(good.version, sees_batch=True, free=2**30), state))
    assert _trouble("it is gone", state) == "it is gone"


def test_what_a_job_takes_of_a_machine() -> None:
    from faceswap_pipelines.batching.cluster import Cluster as Crew

    def needs(*nodes: dict[str, float], device: str = "auto", workers: int | None = None) -> dict[str, int]:
        crew = Crew.__new__(Crew)  # nobody is connected
        crew._device, crew._workers = device, workers
        return crew._needs(nodes)

    assert needs({"CPU": 16}, {"CPU": 0}) == {"CPU": 4}
    assert needs({"CPU": 2}, {}) == {"CPU": 2}
    assert needs({"CPU": 2}, workers=2) == {"CPU": 1}
    assert needs({"CPU": 16}, {"CPU": 8, "GPU": 2}) == {"CPU": 1, "GPU": 1}
    assert needs({"CPU": 16, "GPU": 1}, device="cpu") == {"CPU": 4}


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "127.0.0.1:x"])
def test_an_address_where_nobody_is(tmp_path: Path, address: str) -> None:
    from faceswap_pipelines.batching import cluster as on_ray

    with pytest.raises(ClusterError, match="no Ray cluster answers"):
        on_ray.connected(address, tmp_path / "state.db", "cpu", None).__enter__()


def test_without_the_extra_it_is_said_how_to_get_it(studio: Studio, tmp_path: Path) -> None:
    films(tmp_path, studio, 1)
    program = "import sys; sys.modules['ray'] = None; from faceswap_cli.start import main; main()"
    command = [sys.executable, "-c", program, "batch", str(swaps(tmp_path, studio)), "--ray", "local"]
    refused = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert refused.returncode == 3
    assert refused.stderr.strip().splitlines()[-1].endswith("Run `uv sync --extra cluster`, on all machines.")
