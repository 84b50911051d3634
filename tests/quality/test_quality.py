"""What measures of quality say: of drawn actors whose truth is known, of a good swap, and of swaps that are bad in one
way each, which the measure meant for that has to tell from the good one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import pytest
import torch

from faceswap.config import ModelConfig
from faceswap.faces.identity import Identifier, typical
from faceswap.faces.irises import IrisFinder
from faceswap.faces.landmarks import FaceMesh, five_points
from faceswap.model.decoder import Person
from faceswap.model.detail import Window
from faceswap.model.swap_model import Decoded, SwapModel
from faceswap.model.swap_model import Rendered as Made
from faceswap.quality import likeness, looks, motion, reconstruction
from faceswap.quality.eyes import watch_eyes
from faceswap.quality.looks import FrameLooks, frame_looks
from faceswap.quality.motion import Gestures, gestures
from faceswap.quality.reconstruction import rebuild
from faceswap.types import Detection, Embeddings, Face, Picture
from faceswap_pipelines.demo.actors import CAST, Rendering, frames

FRAMES = 32
SEED = 0
Film = list[Picture]


@dataclass(frozen=True)
class Scene:
    """Bruno on film, and with Ada's face put in as well as drawings allow: both play the same."""

    bruno: list[Rendering]
    ada: list[Rendering]
    carl: list[Rendering]
    mesh: FaceMesh
    identifier: Identifier

    @cached_property
    def video(self) -> Film:
        return [shot.image for shot in self.bruno]

    @cached_property
    def faces(self) -> list[Face]:
        return located(self.mesh, self.bruno)

    @cached_property
    def good(self) -> Film:
        return swapped(self.bruno, self.ada)

    @cached_property
    def gestures(self) -> Gestures:
        return gestures(self.faces)

    def after(self, film: Film) -> Gestures:
        """What the face in a swap does: looked for where the video's is."""
        return gestures(self.mesh.locate_each(list(zip(film, self.faces, strict=True))))

    def looks(self, film: Film) -> list[FrameLooks]:
        pairs = list(zip(self.video, film, strict=True))
        before = [None, *pairs[:-1]]
        return [
            frame_looks(video, swap, face, previous, [])
            for (video, swap), face, previous in zip(pairs, self.faces, before, strict=True)
        ]

    def embeddings(self, film: Sequence[Picture], faces: Sequence[Face]) -> Embeddings:
        return self.identifier.embed(
            [(image, five_points(face.points)) for image, face in zip(film, faces, strict=True)]
        )


def located(mesh: FaceMesh, shots: Sequence[Rendering]) -> list[Face]:
    """The faces of drawn frames: looked for twice, the second time where the first mesh lies."""
    places = [(shot.image, Detection((0, 0, 0, 0), 1.0, shot.landmarks)) for shot in shots]
    first = mesh.locate_each(places)
    return mesh.locate_each([(shot.image, face) for shot, face in zip(shots, first, strict=True)])


def swapped(below: Sequence[Rendering], above: Sequence[Rendering], edge: float = 4.0, light: float = 0.0) -> Film:
    """One actor's face on another: in the light of the one below, or so much lighter, with an edge so soft."""
    made = []
    for shot, other in zip(below, above, strict=True):
        common = cv2.erode(np.minimum(shot.face_mask, other.face_mask), np.ones((9, 9), np.uint8))
        alpha = (cv2.GaussianBlur(common, (0, 0), edge) if edge else common)[..., None] / 255
        inside = common > 127
        face = other.image + (light + shot.image[inside].mean(axis=0) - other.image[inside].mean(axis=0))
        made.append(np.clip(np.rint(shot.image * (1 - alpha) + face * alpha), 0, 255).astype(np.uint8))
    return made


@pytest.fixture(scope="module")
def scene() -> Scene:
    bruno, ada, carl = (list(frames(CAST[name], FRAMES, 256, SEED)) for name in ("bruno", "ada", "carl"))
    return Scene(bruno, ada, carl, FaceMesh(), Identifier())


@pytest.fixture(scope="module")
def irises() -> IrisFinder:
    return IrisFinder()


def face_only(scene: Scene, film: Film, change: Callable[[int, Picture], Picture]) -> Film:
    """The film with each face, and nothing else, changed."""
    made = []
    for index, (picture, shot) in enumerate(zip(film, scene.bruno, strict=True)):
        alpha = cv2.GaussianBlur(shot.face_mask, (0, 0), 3)[..., None] / 255
        mixed = picture * (1 - alpha) + change(index, picture) * alpha
        made.append(np.clip(np.rint(mixed), 0, 255).astype(np.uint8))
    return made


def test_a_video_compared_with_itself_has_nothing_wrong(scene: Scene) -> None:
    before, seen = scene.gestures, scene.looks(scene.video)
    assert motion.pose_errors(before.turns, before.turns).max() < 0.1
    assert motion.expression_errors(before.shapes, before.shapes).max() == 0
    assert motion.gain(before.mouth, before.mouth) == pytest.approx(1)
    assert motion.delay(before.channels, before.channels) == 0
    assert looks.sharpness(seen).tolist() == pytest.approx([1] * FRAMES)
    assert looks.boiling(seen) == pytest.approx(1)
    assert looks.flicker(looks.colour_shifts(seen)) == looks.drift(looks.colour_shifts(seen)) == 0
    assert {frame.seam for frame in seen} == {0}
    assert looks.psnr(seen[0].background) == looks.BEST_PSNR


def test_the_good_swap_is_called_good(scene: Scene) -> None:
    before, after, seen = scene.gestures, scene.after(scene.good), scene.looks(scene.good)
    assert motion.correlation(before.mouth, after.mouth) > 0.9
    assert motion.gain(before.mouth, after.mouth) == pytest.approx(1, abs=0.5)
    assert np.median(motion.pose_errors(before.turns, after.turns)) < 6
    assert motion.delay(before.channels, after.channels) == 0
    assert not looks.unswapped(seen).any()
    assert not looks.standing(seen).any()
    assert looks.flicker(looks.colour_shifts(seen)) < 0.6
    assert looks.psnr(float(np.mean(looks.column(seen, "background")))) > 60


def test_pose_errors_are_the_angle_between_two_turns() -> None:
    turned = cv2.Rodrigues(np.array([[0.0], [np.radians(7)], [0.0]]))[0]
    assert motion.pose_errors(np.eye(3)[None], turned[None])[0] == pytest.approx(7)


def test_a_frame_without_a_face_does_not_count(scene: Scene) -> None:
    faces: list[Face | None] = list(scene.faces)
    faces[5] = None
    gaps = gestures(faces)
    scenes = np.zeros(FRAMES, int)
    assert np.isnan(motion.pose_errors(scene.gestures.turns, gaps.turns)).tolist() == [i == 5 for i in range(FRAMES)]
    assert motion.correlation(scene.gestures.mouth, gaps.mouth) == pytest.approx(1)
    shakes = motion.shakes(gaps.meshes, scene.gestures.sizes, scenes)
    assert np.isnan(shakes).nonzero()[0].tolist() == [0, 4, 5, 6, FRAMES - 1]


def test_nothing_trembles_across_a_cut(scene: Scene) -> None:
    scenes = np.array([0] * 10 + [1] * (FRAMES - 10))
    shakes = motion.shakes(scene.gestures.meshes, scene.gestures.sizes, scenes)
    assert np.isnan(shakes).nonzero()[0].tolist() == [0, 9, 10, FRAMES - 1]


def test_no_swap_is_noticed(scene: Scene) -> None:
    noise = np.random.default_rng(0).normal(0, 1.5, scene.video[0].shape)
    copied = [np.clip(np.rint(image + noise), 0, 255).astype(np.uint8) for image in scene.video]
    assert looks.unswapped(scene.looks(copied)).all()
    mixed = [*scene.good[:20], *copied[20:]]
    assert looks.unswapped(scene.looks(mixed)).nonzero()[0].tolist() == list(range(20, FRAMES))


def test_the_wrong_person_is_noticed(scene: Scene) -> None:
    known = {
        name: typical(scene.embeddings([shot.image for shot in shots], located(scene.mesh, shots)))
        for name, shots in (("bruno", scene.bruno), ("ada", scene.ada), ("carl", scene.carl))
    }
    others = [known["bruno"], known["carl"]]

    def judged(film: Film) -> tuple[float, float, float]:
        faces = scene.mesh.locate_each(list(zip(film, scene.faces, strict=True)))
        found = scene.embeddings(film, faces)
        return (
            float(likeness.distances(found, known["ada"]).mean()),
            float(likeness.way(found, known["bruno"], known["ada"]).mean()),
            float((likeness.ranks(found, known["ada"], others) == 1).mean()),
        )

    good, wrong, none = judged(scene.good), judged(swapped(scene.bruno, scene.carl)), judged(scene.video)
    assert good[0] < min(wrong[0], none[0])
    assert good[1] > max(wrong[1], none[1]) + 0.2
    assert good[2] > max(wrong[2], none[2])
    assert none[1] == pytest.approx(0, abs=0.05)


def test_a_frozen_frame_is_noticed(scene: Scene) -> None:
    frozen = [*scene.good[:8], *[scene.good[8]] * 8, *scene.good[16:]]
    seen = looks.standing(scene.looks(frozen))
    assert seen[9:16].all()
    assert not seen[:9].any()
    assert not seen[17:].any()
    before, good, bad = scene.gestures, scene.after(scene.good), scene.after(frozen)
    assert motion.correlation(before.mouth, bad.mouth) < motion.correlation(before.mouth, good.mouth) - 0.1
    errors = [motion.expression_errors(before.shapes, after.shapes) for after in (good, bad)]
    assert errors[1].mean() > 1.2 * errors[0].mean()


@pytest.mark.parametrize("late", [3, -2])
def test_a_late_swap_is_noticed(scene: Scene, late: int) -> None:
    moved = [scene.good[min(max(index - late, 0), FRAMES - 1)] for index in range(FRAMES)]
    assert motion.delay(scene.gestures.channels, scene.after(moved).channels) == late


def test_shaking_is_noticed(scene: Scene) -> None:
    shaken = [np.roll(image, (-1) ** index, axis=1) for index, image in enumerate(scene.good)]
    before, scenes = scene.gestures, np.zeros(FRAMES, int)
    own, good, bad = (
        motion.shakes(meshes, before.sizes, scenes)
        for meshes in (before.meshes, scene.after(scene.good).meshes, scene.after(shaken).meshes)
    )
    assert motion.trembling(own, bad) > 1.5 * motion.trembling(own, good)


def test_a_still_mouth_has_no_gain(scene: Scene) -> None:
    before = scene.gestures
    half = before.mouth.mean() + 0.5 * (before.mouth - before.mouth.mean())
    assert motion.gain(before.mouth, half) == pytest.approx(0.5)
    assert motion.gain(before.mouth, np.full(FRAMES, 0.1)) == pytest.approx(0)
    assert motion.correlation(before.mouth, np.full(FRAMES, 0.1)) == 0


def test_what_drawn_eyes_do_is_seen(scene: Scene, irises: IrisFinder) -> None:
    for shots in (scene.bruno, scene.ada):
        faces = located(scene.mesh, shots)
        eyes = watch_eyes(irises, [(shot.image, face.points) for shot, face in zip(shots, faces, strict=True)])
        assert motion.correlation(np.array([shot.performance.gaze[0] for shot in shots]), eyes.gazes) > 0.9
        assert motion.correlation(np.array([shot.performance.lid for shot in shots]), eyes.openings) > 0.9


def test_a_gaze_that_does_not_follow_is_noticed(scene: Scene, irises: IrisFinder) -> None:
    def seen_in(film: Film) -> np.ndarray:
        faces = scene.mesh.locate_each(list(zip(film, scene.faces, strict=True)))
        return watch_eyes(irises, [(picture, face.points) for picture, face in zip(film, faces, strict=True)]).gazes

    video, good, other = seen_in(scene.video), seen_in(scene.good), seen_in(scene.good[::-1])
    assert motion.correlation(video, good) > 0.9
    assert motion.correlation(video, other) < 0.2


def test_a_shut_eye_looks_nowhere(scene: Scene, irises: IrisFinder) -> None:
    shown = [(shot.image, face.points) for shot, face in zip(scene.bruno, scene.faces, strict=True)]
    looks = watch_eyes(irises, shown).gazes
    lids = np.array([shot.performance.lid for shot in scene.bruno])
    assert np.isnan(looks[lids.argmin()])
    assert np.isfinite(looks[lids > 0.8]).all()


def test_blur_is_noticed(scene: Scene) -> None:
    blurred = face_only(scene, scene.good, lambda _, image: cv2.GaussianBlur(image, (0, 0), 2))
    good, bad = scene.looks(scene.good), scene.looks(blurred)
    assert looks.sharpness(bad).mean() < 0.4 * looks.sharpness(good).mean()


def test_boiling_is_noticed(scene: Scene) -> None:
    rng = np.random.default_rng(0)
    noisy = face_only(scene, scene.good, lambda _, image: image + rng.normal(0, 6, (*image.shape[:2], 1)))
    assert looks.boiling(scene.looks(noisy)) > 1.2 * looks.boiling(scene.looks(scene.good))


def test_flickering_brightness_is_noticed(scene: Scene) -> None:
    flickering = face_only(scene, scene.good, lambda index, image: image * (1 + 0.03 * (-1) ** index))
    good, bad = (looks.colour_shifts(scene.looks(film)) for film in (scene.good, flickering))
    assert looks.flicker(bad) > 2 + looks.flicker(good)


def test_drifting_colour_is_noticed(scene: Scene) -> None:
    drifting = face_only(scene, scene.good, lambda index, image: image + np.array([index, 0, -index]) * 0.8)
    good, bad = (looks.colour_shifts(scene.looks(film)) for film in (scene.good, drifting))
    assert looks.drift(bad, reach=4) > 2 + looks.drift(good, reach=4)
    assert looks.flicker(bad) < 1


def test_a_visible_seam_is_noticed(scene: Scene) -> None:
    films = [swapped(scene.bruno, scene.ada, edge, light=15) for edge in (8, 4, 0)]
    softest, soft, hard = (looks.column(scene.looks(film), "seam").mean() for film in films)
    assert softest < soft
    assert hard > 1.4 * soft


def test_poisson_blending_leaves_less_of_a_seam(scene: Scene) -> None:
    shot, other = scene.bruno[0], scene.ada[0]
    mask = cv2.erode(np.minimum(shot.face_mask, other.face_mask), np.ones((9, 9), np.uint8))
    left, top, width, height = cv2.boundingRect(mask)
    centre = (left + width // 2, top + height // 2)
    cloned = cv2.seamlessClone(other.image, shot.image, mask, centre, cv2.NORMAL_CLONE)
    pasted = swapped([shot], [other], edge=0)[0]
    before, good, bad = (looks.luminance(np.asarray(image, np.uint8)) for image in (shot.image, cloned, pasted))
    points = scene.faces[0].points
    assert looks.seam_step(before, bad, points) > 1.25 * looks.seam_step(before, good, points)


def test_a_damaged_background_is_noticed(scene: Scene) -> None:
    damaged = [image.copy() for image in scene.good]
    for image in damaged:
        image[:12] = cv2.GaussianBlur(image, (0, 0), 5)[:12] // 2
    good, bad = (looks.column(scene.looks(film), "background").mean() for film in (scene.good, damaged))
    assert looks.psnr(bad) < 35 < looks.psnr(good)


def test_a_spectrum_tells_which_details_are_lost() -> None:
    picture = torch.from_numpy(np.stack([shot.image for shot in frames(CAST["dina"], 1, 256)]))
    grey = picture.float().mean(dim=3)[:, None] / 255
    blurred = torch.nn.functional.avg_pool2d(grey, 5, 1, 2)
    yy, xx = torch.meshgrid(*[torch.linspace(-1, 1, 256)] * 2, indexing="ij")
    mask = torch.exp(-4 * (xx**2 + yy**2))[None, None]
    power = reconstruction.band_power(torch.cat([blurred, grey], dim=1), mask)[0]
    shares = (power[0] / power[1]).tolist()
    assert reconstruction.bands(256) == ["4-8", "8-16", "16-32", "32-64", "64-128"]
    assert shares[0] > 0.9
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] < 0.2


class Copyist(SwapModel):
    """A model that has learnt nothing and gives back what it was shown, but blurred over so many pixels."""

    def __init__(self, true: torch.Tensor, blur: int) -> None:
        super().__init__(ModelConfig(persons=("a", "b"), size=64, detail=4, width=8, max_width=32, latent_size=16))
        self._fine = torch.nn.functional.avg_pool2d(true.float() / 255, blur, 1, blur // 2)

    def encode(self, pictures: torch.Tensor) -> torch.Tensor:
        return pictures

    def render(self, latent: torch.Tensor, person: Person, window: Window | None = None) -> Made:
        coarse = torch.nn.functional.adaptive_avg_pool2d(self._fine, 64)
        return Made(*(Decoded(planes[:, :3], planes[:, 3:4], planes[:, :3]) for planes in (self._fine, coarse)))


def test_a_blurred_copy_is_told_from_a_perfect_one() -> None:
    shots = list(frames(CAST["dina"], 4, 256))
    planes = [np.dstack([shot.image, shot.face_mask, shot.face_mask]).transpose(2, 0, 1) for shot in shots]
    faces = torch.from_numpy(np.stack(planes))
    perfect, blurred = (rebuild(Copyist(faces[:, :4], blur), faces, "a").mean(256) for blur in (1, 7))

    assert perfect.face == perfect.crop == perfect.large == pytest.approx(1, abs=1e-4)
    assert perfect.detail == perfect.sharpness == perfect.overlap == pytest.approx(1, abs=1e-4)
    assert perfect.psnr > 60
    assert list(perfect.spectrum.values()) == pytest.approx([1] * 5, abs=1e-3)

    assert blurred.large < 0.98
    assert blurred.psnr < 40
    assert blurred.detail < 0.5
    assert blurred.sharpness < 0.2
    assert blurred.spectrum["4-8"] > 0.9
    assert blurred.spectrum["64-128"] < 0.2
