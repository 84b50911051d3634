"""Laws of the crop convention, of masks, and of steadying faces over time."""

from __future__ import annotations

from fractions import Fraction

import cv2
import numpy as np
import pytest

from faceswap.faces.align import align, crop_transform, natural_side
from faceswap.faces.landmarks import LIPS_OUTER, FaceMesh, five_points, mean_mesh
from faceswap.faces.masks import face_mask, feature_mask
from faceswap.faces.steady import stabilised
from faceswap.geometry import Similarity
from faceswap.types import Detection, Face, FrameFaces
from faceswap_pipelines.demo.actors import CAST, Stage, perform
from support.heads import UPRIGHT, head

RNG = np.random.default_rng(0)
SIZE = 256


def corners(face: Face) -> np.ndarray:
    """Of the face's crop, in the frame's pixels."""
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1.0]]) * SIZE
    return crop_transform(face.points, SIZE).inverse().apply(square)


def in_crop(face: Face, size: int = SIZE) -> np.ndarray:
    return face.points_after(crop_transform(face.points, size))


@pytest.mark.parametrize("place", [UPRIGHT, Similarity(20.0, 11.0, 40.0, 300.0), Similarity(0.0, -90.0, 700.0, 5.0)])
def test_a_face_comes_to_lie_in_the_crop_however_it_lies_in_the_frame(place: Similarity) -> None:
    points = in_crop(head(place))
    np.testing.assert_allclose(points, in_crop(head()), atol=0.01)
    left, right = five_points(points)[:2]
    assert right[0] - left[0] == pytest.approx(0.285 * SIZE, abs=0.003 * SIZE)
    assert left[1] == pytest.approx(right[1], abs=0.5)
    assert (left[0] + right[0]) / 2 == pytest.approx(SIZE / 2, abs=1)
    assert points[:, 1].min() > 0.08 * SIZE
    assert 0.88 * SIZE < points[:, 1].max() < 0.96 * SIZE


@pytest.mark.parametrize("yaw", [-50.0, -25.0, 25.0, 50.0])
def test_turning_the_head_neither_zooms_nor_tilts_the_crop(yaw: float) -> None:
    frontal, turned = crop_transform(head().points, SIZE), crop_transform(head(angles=(yaw, 0, 0)).points, SIZE)
    assert turned.scale == pytest.approx(frontal.scale, rel=1e-3)
    assert turned.b == pytest.approx(0, abs=1e-3)


def test_speaking_and_blinking_do_not_move_the_crop() -> None:
    face = head()
    moved = face.points.copy()
    moved[list(LIPS_OUTER), 1] += 15
    moved[[159, 145, 386, 374], 1] += 4  # lids
    moved[152, 1] += 20  # chin
    np.testing.assert_array_equal(corners(Face(moved, 1.0)), corners(face))


def test_the_crop_does_not_depend_on_how_the_frame_lies() -> None:
    """A face filmed larger and tilted gives the same crop."""
    big = cv2.GaussianBlur(RNG.integers(0, 255, (400, 400, 3), np.uint8), (0, 0), 6)
    tilt = Similarity(0.85, 0.3, -20.0, -60.0)
    tilted = cv2.warpAffine(big, tilt.matrix, (400, 400), flags=cv2.INTER_CUBIC)
    face = head(Similarity(40.0, 0.0, 200.0, 200.0))
    straight = align(big, face, 96).image.astype(int)
    same = align(tilted, Face(face.points_after(tilt), 1.0), 96).image.astype(int)
    assert np.abs(straight - same)[16:80, 16:80].mean() < 1.5


def test_a_face_is_as_large_in_a_crop_of_its_natural_side_as_in_the_frame() -> None:
    points = head(Similarity(30.0, 12.0, 200.0, 180.0)).points
    side = natural_side(points)
    assert crop_transform(points, round(side)).scale == pytest.approx(1, abs=1 / side)
    assert natural_side(points * 2) == pytest.approx(2 * side)


@pytest.mark.parametrize("angles", [(0, 0, 0), (35, 0, 0), (-35, 10, 20)])
def test_masks_lie_where_the_face_is(angles: tuple[float, float, float]) -> None:
    points = in_crop(head(angles=angles))
    mask, features = face_mask(points, SIZE), feature_mask(points, SIZE)
    hull = cv2.convexHull(np.ascontiguousarray(points[:, :2]))[:, 0]
    centre = hull.mean(axis=0)

    def at(mask: np.ndarray, share: float) -> np.ndarray:
        """The mask's values on the way from the face's middle to its outline."""
        x, y = (centre + share * (hull - centre)).round().astype(int).clip(0, SIZE - 1).T
        return mask[y, x]

    assert at(mask, 0.65).min() > 230
    assert at(mask, 1.15).max() < 25
    assert mask[0].max() == 0
    for x, y in five_points(points)[[0, 1]].round().astype(int):
        assert features[y, x] > 240
    x, y = points[list(LIPS_OUTER), :2].mean(axis=0).round().astype(int)
    assert features[y, x] > 240
    x, y = points[1, :2].round().astype(int)  # the nose is no feature
    assert features[y, x] < 60
    assert (features > 127).mean() < 0.35 * (mask > 127).mean()


def test_masks_agree_with_the_drawn_truth() -> None:
    """Over four actors who turn by 24 degrees: hardly any of the mask beside the face, hardly any face without it."""
    mesh, beside, without = FaceMesh(), [], []
    for actor in CAST.values():
        stage = Stage(actor, SIZE)
        for index in range(0, 150, 30):
            drawn = stage.render(perform(index, 1))
            face = mesh.locate(drawn.image, [Detection((0.0, 0.0, 1.0, 1.0), 1.0, drawn.landmarks.astype(float))])[0]
            face = mesh.locate(drawn.image, [face])[0]
            mask, truth = face_mask(face.points, SIZE) / 255, drawn.face_mask / 255
            beside.append((mask * (1 - truth)).sum() / truth.sum())
            without.append(((1 - mask) * truth).sum() / truth.sum())
    assert np.mean(beside) < 0.05
    assert np.mean(without) < 0.20


def test_masks_turn_with_the_face() -> None:
    upright = Face(in_crop(head()), 1.0)
    quarter = Similarity(0.0, 1.0, SIZE - 1.0, 0.0)
    for draw in (face_mask, feature_mask):
        turned = draw(upright.points_after(quarter), SIZE).astype(int)
        assert np.abs(turned - np.rot90(draw(upright.points, SIZE), -1).astype(int)).max() <= 20


def test_a_face_without_extent_has_empty_masks() -> None:
    point = np.full((468, 3), 5.0, np.float32)
    assert face_mask(point, 64).max() == feature_mask(point, 64).max() == 0


def film(faces: list[Face], cuts: tuple[int, ...] = (), rate: int = 25) -> list[FrameFaces]:
    return [FrameFaces(index=i, time=Fraction(i, rate), cut=i in cuts, faces=(face,)) for i, face in enumerate(faces)]


def wandering(count: int, noise: float = 0.0) -> list[Face]:
    """A head that sways, nods and comes nearer; `noise` shakes all its points together, in pixels."""
    faces = []
    for i in range(count):
        t = i / 25
        place = Similarity(60 + 3 * t, 4 * np.sin(1.7 * t), 128 + 20 * np.sin(2 * t), 110 + 9 * np.sin(3 * t))
        face = head(place, (15 * np.sin(t), 0, 0))
        shake = Similarity(1 + noise * RNG.normal() / 200, noise * RNG.normal() / 200, *(noise * RNG.normal(size=2)))
        faces.append(Face(face.points_after(shake), 1.0, 1))
    return faces


def test_steadying_follows_acceleration_exactly() -> None:
    faces = [head(Similarity(60.0, 0.0, 100 + 3 * i + 0.4 * i * i, 90 - 2.0 * i)) for i in range(12)]
    for before, after in zip(faces, stabilised(film(faces)), strict=True):
        np.testing.assert_allclose(after.faces[0].points, before.points, atol=0.01)


def test_steadying_takes_out_tremor_without_lag() -> None:
    truth = np.array([corners(face) for face in wandering(150)])
    shaken = wandering(150, noise=1.0)
    steady = np.array([corners(frame.faces[0]) for frame in stabilised(film(shaken))])
    before = np.array([corners(face) for face in shaken])

    def second(x: np.ndarray) -> float:
        return float(np.sqrt((np.diff(x, 2, axis=0) ** 2).mean()))

    assert second(steady) < second(before) / 5
    assert np.abs(steady - truth).mean() < 0.6 * np.abs(before - truth).mean()
    lags = range(-4, 5)
    misses = [float(np.abs(steady[10 + lag : 140 + lag] - truth[10:140]).mean()) for lag in lags]
    assert lags[int(np.argmin(misses))] == 0


def test_steadying_leaves_expressions_as_they_are() -> None:
    faces = wandering(20, noise=1.0)
    faces[9].points[list(LIPS_OUTER), 1] += 9
    after = [frame.faces[0] for frame in stabilised(film(faces))]
    np.testing.assert_allclose(in_crop(after[9]), in_crop(faces[9]), atol=0.02)


def test_steadying_stops_where_a_track_ends_and_at_jumps() -> None:
    still, elsewhere = head(), head(Similarity(60.0, 0.0, 600.0, 110.0))
    other = Face(head(Similarity(63.0, 0.0, 130.0, 110.0)).points, 1.0, 2)
    for second in (elsewhere, other):
        faces = [still] * 6 + [second] * 6
        for before, after in zip(faces, stabilised(film(faces)), strict=True):
            np.testing.assert_allclose(after.faces[0].points, before.points, atol=1e-3)


def test_frames_without_a_face_and_gaps_in_time_pass_through() -> None:
    empty, late = (
        FrameFaces(index=6, time=Fraction(1), cut=False, faces=()),
        FrameFaces(index=7, time=Fraction(9), cut=True, faces=(head(),)),
    )
    frames = [*film(wandering(6)), empty, late]
    after = list(stabilised(frames))
    assert [(f.index, f.time, f.cut, len(f.faces)) for f in after] == [
        (f.index, f.time, f.cut, len(f.faces)) for f in frames
    ]
    np.testing.assert_array_equal(after[-1].faces[0].points, frames[-1].faces[0].points)


def test_the_mean_face_fills_the_crop_as_stated() -> None:
    top, bottom = mean_mesh()[10, :2], mean_mesh()[152, :2]
    face = head()
    crop = crop_transform(face.points, SIZE)
    assert crop.apply(UPRIGHT.apply(np.array([top, bottom])))[:, 1] / SIZE == pytest.approx([0.167, 0.93], abs=0.005)
