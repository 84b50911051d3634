"""The face mesh: equal to the original network, lawful as geometry, and truthful about actors whose truth is known.

`data/face_mesh_reference.npz` holds 192 px pictures (four actors, noise, black) and what MediaPipe's own
`face_landmark.tflite` made of them under ai-edge-litert 2: points in pixels, presence as a logit.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from faceswap import weights
from faceswap.errors import ModelError
from faceswap.faces import landmarks
from faceswap.faces.landmarks import INPUT_SIZE, STABLE, FaceMesh, Place, Pose, eye_opening, mouth_opening, pose
from faceswap.geometry import Similarity
from faceswap.types import Detection, Face, Picture
from faceswap_pipelines.demo.actors import CAST, LEADS, Performance, Rendering, Stage, perform
from support.heads import turn

pytestmark = pytest.mark.usefixtures("one_thread")

PARITY = 0.01
"""Pixels of 192, and units of the logit; 0.0002 is reached."""


@dataclass(frozen=True)
class Take:
    """Frames of one actor with the meshes found in them."""

    actor: str
    renderings: list[Rendering]
    meshes: list[Face]

    def true(self, name: str) -> np.ndarray:
        return np.array([getattr(r.performance, name) for r in self.renderings])

    def seen(self, measure: Callable[[np.ndarray], float]) -> np.ndarray:
        return np.array([measure(mesh.points) for mesh in self.meshes])


def face(rendering: Rendering) -> Detection:
    return Detection((0.0, 0.0, 1.0, 1.0), 1.0, rendering.landmarks.astype(np.float64))


def both_eyes(points: np.ndarray) -> float:
    return float(np.mean(eye_opening(points)))


def degrees(points: np.ndarray) -> np.ndarray:
    found = pose(points)
    return np.array([found.yaw, found.pitch, found.roll])


@pytest.fixture(scope="module")
def finder() -> FaceMesh:
    return FaceMesh()


@pytest.fixture(scope="module")
def stages() -> dict[str, Stage]:
    return {name: Stage(actor) for name, actor in CAST.items()}


@pytest.fixture(scope="module")
def takes(finder: FaceMesh, stages: dict[str, Stage]) -> list[Take]:
    """Ten frames of each actor, spread over a clip of six seconds, each looked at twice."""
    takes = []
    for name, stage in stages.items():
        renderings = [stage.render(perform(15 * i + 1, seed=1)) for i in range(10)]
        first = finder.locate_each([(r.image, face(r)) for r in renderings])
        meshes = finder.locate_each([(r.image, mesh) for r, mesh in zip(renderings, first, strict=True)])
        takes.append(Take(name, renderings, meshes))
    return takes


@pytest.fixture(scope="module")
def still(stages: dict[str, Stage]) -> Rendering:
    return stages[LEADS[0].name].render(Performance(yaw=12, jaw=0.4))


def test_equals_the_original_network() -> None:
    with np.load(Path(__file__).parents[1] / "data" / "face_mesh_reference.npz", allow_pickle=False) as reference:
        pictures = torch.from_numpy(reference["pictures"]).permute(0, 3, 1, 2).float() / 255
        with torch.inference_mode():
            points, presence = landmarks.load_mesh_network(torch.device("cpu"))(pictures)
        assert np.abs(points.numpy() - reference["points"]).max() < PARITY
        assert np.abs(presence.numpy() - reference["presence"]).max() < PARITY


def test_presence_tells_faces_from_the_rest(finder: FaceMesh, takes: list[Take], still: Rendering) -> None:
    assert min(mesh.presence for take in takes for mesh in take.meshes) > 0.99
    noise = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)
    box = (60.0, 40.0, 180.0, 160.0)
    elsewhere = [(still.image, (0.0, 0.0, 50.0, 50.0)), (still.image, (170.0, 190.0, 250.0, 250.0))]
    found = finder.locate_each([(noise, box), (np.zeros_like(noise), box), *elsewhere])
    assert max(mesh.presence for mesh in found) < 0.05


def test_a_batch_gives_what_single_pictures_give(finder: FaceMesh, takes: list[Take]) -> None:
    pairs: list[tuple[Picture, Place]] = [(r.image, face(r)) for r in takes[0].renderings[:3]]
    pairs.append((takes[1].renderings[0].image, takes[1].meshes[0]))
    pairs.append((np.ascontiguousarray(pairs[0][0][:200]), pairs[0][1]))  # of another size
    for (image, place), together in zip(pairs, finder.locate_each(pairs), strict=True):
        alone = finder.locate(image, [place])[0]
        assert np.allclose(alone.points, together.points, atol=1e-3)
        assert alone.presence == pytest.approx(together.presence, abs=1e-5)


def test_no_faces_no_meshes(finder: FaceMesh, still: Rendering) -> None:
    assert finder.locate(still.image, []) == []


def test_eyes_nose_and_mouth_lie_where_they_were_drawn(takes: list[Take]) -> None:
    corners = ([33, 133], [362, 263], [4], [61], [291])  # of Detection.landmarks
    for take in takes:
        for rendering, mesh in zip(take.renderings, take.meshes, strict=True):
            found = np.stack([mesh.points[index, :2].mean(axis=0) for index in corners])
            eyes = np.linalg.norm(rendering.landmarks[1] - rendering.landmarks[0])
            assert np.linalg.norm(found - rendering.landmarks, axis=1).max() < 0.33 * eyes


@pytest.mark.parametrize(
    "move", [Similarity(1.2, 0.5, 90.0, -20.0), Similarity(0.6, -0.25, 40.0, 110.0), Similarity(0.0, 1.5, 380.0, 5.0)]
)
def test_moving_the_picture_moves_the_mesh(finder: FaceMesh, still: Rendering, move: Similarity) -> None:
    first = finder.locate(still.image, [face(still)])[0]
    moved = cv2.warpAffine(still.image, move.matrix, (400, 400), borderMode=cv2.BORDER_REPLICATE)
    place = Detection((0.0, 0.0, 1.0, 1.0), 1.0, move.apply(face(still).landmarks))
    second = finder.locate(moved, [place])[0]
    width = np.ptp(second.points[:, 0])
    assert np.abs(second.points[:, :2] - move.apply(first.points[:, :2])).max() < 0.015 * width
    assert np.abs(second.points[:, 2] - move.scale * first.points[:, 2]).max() < 0.015 * width


def test_a_mesh_sits_upright_in_its_own_square(takes: list[Take]) -> None:
    for mesh in takes[1].meshes:
        inside = landmarks.input_square(mesh).apply(mesh.points[:, :2])
        assert inside[33, 1] == pytest.approx(inside[263, 1])
        low, high = inside.min(axis=0), inside.max(axis=0)
        assert (high - low).max() == pytest.approx(INPUT_SIZE / 1.5)
        assert np.allclose((low + high) / 2, (INPUT_SIZE - 1) / 2)


def test_every_kind_of_place_leads_to_the_same_face(finder: FaceMesh, still: Rendering) -> None:
    mesh = finder.locate(still.image, [face(still)])[0]
    left, _, right, _ = mesh.box
    square = landmarks.input_square(mesh)
    again, by_box, by_square = finder.locate(still.image, [mesh, mesh.box, square])
    assert np.array_equal(again.points, by_square.points)
    for other in (again, by_box):
        assert np.linalg.norm((other.points - mesh.points)[:, :2], axis=1).mean() < 0.03 * (right - left)


@pytest.mark.parametrize("angles", [(0, 0, 0), (30, 0, 0), (0, -20, 0), (0, 0, 45), (-25, 12, -33), (60, 20, 170)])
def test_pose_reads_the_angles_of_a_rigid_head(angles: tuple[float, float, float]) -> None:
    head = landmarks.mean_mesh() @ turn(*angles).T
    assert degrees(3.0 * head + [100, 50, 7]) == pytest.approx(angles)


def test_pose_has_the_signs_it_states() -> None:
    nose, chin = landmarks.mean_mesh()[4], landmarks.mean_mesh()[152]
    assert (turn(20, 0, 0) @ nose)[0] > 0  # to the viewer's right
    assert (turn(0, 20, 0) @ nose)[1] > nose[1]  # down
    assert (turn(0, 0, 20) @ chin)[0] < 0  # clockwise: what is below goes to the left
    assert nose[2] < 0 < chin[1]  # towards the viewer; below


def test_a_mirrored_face_has_the_mirrored_pose(finder: FaceMesh, still: Rendering) -> None:
    mesh = finder.locate(still.image, [face(still)])[0]
    mirrored: Picture = np.ascontiguousarray(still.image[:, ::-1])
    points = face(still).landmarks[[1, 0, 2, 4, 3]] * [-1, 1] + [still.image.shape[1] - 1, 0]
    other = finder.locate(mirrored, [Detection((0.0, 0.0, 1.0, 1.0), 1.0, points)])[0]
    assert degrees(other.points) == pytest.approx(degrees(mesh.points) * [-1, 1, -1], abs=3.5)


@pytest.mark.parametrize("name", [actor.name for actor in LEADS])
def test_pose_follows_the_actor(finder: FaceMesh, stages: dict[str, Stage], name: str) -> None:
    def measured(act: Performance) -> Pose:
        rendering = stages[name].render(act)
        mesh = finder.locate(rendering.image, [face(rendering)])[0]
        return pose(finder.locate(rendering.image, [mesh])[0].points)

    rest = measured(Performance())
    for sign in (-1, 1):
        assert measured(Performance(yaw=20.0 * sign)).yaw - rest.yaw == pytest.approx(20 * sign, abs=6)
        assert measured(Performance(pitch=-10.0 * sign)).pitch - rest.pitch == pytest.approx(10 * sign, abs=6)
        assert measured(Performance(roll=15.0 * sign)).roll - rest.roll == pytest.approx(15 * sign, abs=3)


def test_pose_errs_little_over_many_frames(takes: list[Take]) -> None:
    errors = []
    for take in takes:
        true = np.stack([take.true("yaw"), -take.true("pitch"), take.true("roll")], axis=1)
        errors.append(np.stack([degrees(mesh.points) for mesh in take.meshes]) - true)
    rms = np.sqrt((np.concatenate(errors) ** 2).mean(axis=0))
    assert np.all(rms < [5, 5.5, 3]), rms
    # Much of the pitch error is one constant per actor: features that sit higher or lower than the mean face's.
    changes = np.concatenate([error - error.mean(axis=0) for error in errors])
    assert np.sqrt((changes**2).mean(axis=0))[1] < 3


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a, b)[0, 1])


def test_the_mouth_opens_with_the_jaw(takes: list[Take]) -> None:
    for take in takes:
        assert correlation(take.seen(mouth_opening), take.true("jaw")) > 0.8, take.actor


def test_the_eyes_close_with_the_lids(finder: FaceMesh, stages: dict[str, Stage]) -> None:
    """Only without glasses: behind them the network hardly sees a lid."""
    for actor in (a for a in CAST.values() if not a.glasses):
        lids, yaws = np.tile([0.0, 0.3, 0.6, 1.0], 2), np.repeat([-12.0, 12.0], 4)
        renderings = [
            stages[actor.name].render(Performance(yaw=yaw, lid=lid)) for yaw, lid in zip(yaws, lids, strict=True)
        ]
        meshes = finder.locate_each([(r.image, face(r)) for r in renderings])
        opening = np.array([both_eyes(mesh.points) for mesh in meshes])
        assert correlation(opening, lids) > 0.8, actor.name
        assert opening[lids == 0].max() < opening[lids == 1].min()


def test_the_named_points_are_what_their_names_say() -> None:
    mean = landmarks.mean_mesh()
    loops = ("FACE_OVAL", "LIPS_OUTER", "LIPS_INNER", "LEFT_EYE", "RIGHT_EYE", "LEFT_BROW", "RIGHT_BROW")
    for name in (*loops, "STABLE"):
        index = getattr(landmarks, name)
        assert len(set(index)) == len(index)
        assert set(index) <= set(range(468))
        side = -1 if name.startswith("LEFT") else 1 if name.startswith("RIGHT") else 0
        assert np.sign(np.round(mean[list(index), 0].mean(), 3)) == side
    lids = {*landmarks.LEFT_EYE, *landmarks.RIGHT_EYE} - {33, 133, 263, 362}
    jaw = set(landmarks.FACE_OVAL[9:28])
    assert not set(STABLE) & {*landmarks.LIPS_OUTER, *landmarks.LIPS_INNER, *lids, *jaw}


def test_the_mean_face_is_symmetric_and_to_scale() -> None:
    mean = landmarks.mean_mesh()
    mirrored = mean * [-1, 1, 1]
    assert np.linalg.norm(mean[:, None] - mirrored[None], axis=2).min(axis=1).max() < 1e-6
    assert np.sqrt((mean**2).sum(axis=1).mean()) == pytest.approx(1, abs=1e-6)
    assert np.allclose(mean[list(STABLE)].mean(axis=0), 0, atol=1e-6)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the weights where an installed wheel has them, which `fresh` then finds."""
    folder = tmp_path / "faceswap" / "_weights"
    folder.mkdir(parents=True)
    source = weights.weight_file("face_mesh")
    for path in (source, source.with_name("manifest.toml")):
        shutil.copy(path, folder)
    monkeypatch.setattr(weights, "__file__", str(tmp_path / "faceswap" / "weights.py"))
    return folder


fresh = partial(weights.weight_file.__wrapped__, "face_mesh")


def test_weights_are_found_in_a_wheel(installed: Path) -> None:
    assert fresh() == installed / "face_mesh.safetensors"


def test_damaged_missing_and_unknown_weights_are_refused(installed: Path) -> None:
    with pytest.raises(ModelError, match=r"no weights called 'nose'.*face_mesh"):
        weights.weight_file("nose")
    path = installed / "face_mesh.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ModelError, match=r"damaged.*Install"):
        fresh()
    path.unlink()
    with pytest.raises(ModelError, match="cannot be read"):
        fresh()
    (installed / "manifest.toml").unlink()
    with pytest.raises(ModelError, match=r"manifest\.toml"):
        fresh()
