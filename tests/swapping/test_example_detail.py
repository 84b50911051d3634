"""Detail from examples: what a picture shows and its drawing lacks comes back, where it belongs, and nowhere else."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import cv2
import numpy as np
import pytest
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from faceswap.config import ModelConfig, SwapConfig
from faceswap.faces.align import align
from faceswap.faces.masks import eye_and_brow_mask, mouth_and_beard_mask
from faceswap.geometry import Similarity
from faceswap.model.detail import Window, enlarged
from faceswap.model.swap_model import Decoded, Rendered, SwapModel, build_model
from faceswap.swapping import example_detail
from faceswap.swapping.convert import Target, converted
from faceswap.swapping.drawing import Drawn, draw
from faceswap.swapping.example_detail import ExampleDetail, _reach, _side_for
from faceswap.swapping.infer import Swapper
from faceswap.types import AlignedFace, Frame, Picture
from support.heads import head

SIDE = 192
"""Of examples, and of what is drawn."""
SMALL = ModelConfig(persons=("a", "b"), size=48, width=8, max_width=16, latent_size=16, detail=4)
FACE = align(np.zeros((256, 256, 3), np.uint8), head(Similarity(45.0, 0.0, 128.0, 110.0)), SMALL.size)


class Tracer(SwapModel):
    """Draws what it is shown, as soft as a small picture that is enlarged."""

    def encode(self, pictures: Float[Tensor, "batch 3 h w"]) -> Tensor:
        return pictures.flatten(1)

    def decode(self, latent: Tensor, person: object) -> Decoded:
        seen = latent.unflatten(1, (3, self.config.size, self.config.size))
        return Decoded(seen, torch.ones_like(seen[:, :1]), seen)

    def render(self, latent: Tensor, person: object, window: Window | None = None) -> Rendered:
        assert window is not None
        coarse = self.decode(latent, person)
        fine = window.of(enlarged(coarse.picture, self.config.detail), self.config.size)
        return Rendered(Decoded(fine, fine[:, :1], fine), coarse)


class DarkTracer(Tracer):
    """... and a little darker."""

    def decode(self, latent: Tensor, person: object) -> Decoded:
        return super().decode(latent - DARKER, person)

    def render(self, latent: Tensor, person: object, window: Window | None = None) -> Rendered:
        return super().render(latent - DARKER, person, window)


DARKER = 0.08
MODEL = Tracer(SMALL).eval().requires_grad_(False)


def picture(seed: int, moved: int = 0) -> Picture:
    """Broad spots, which decoders draw, and fine ones, which they do not."""
    rng = np.random.default_rng(seed)
    broad = cv2.resize(
        rng.uniform(60, 190, (10, 10, 3)).astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC
    )
    fine = 40 * cv2.GaussianBlur(rng.normal(size=(SIDE, SIDE)).astype(np.float32), (0, 0), 1.0)
    shown = np.rint(broad + fine[..., None]).clip(0, 255).astype(np.uint8)
    return np.roll(shown, moved, axis=1)


def drawn(shown: Picture) -> Drawn:
    """What the decoder makes of it."""
    pixels = torch.from_numpy(shown).permute(2, 0, 1)[None].float() / 255
    small = functional.interpolate(pixels, size=SMALL.size, mode="area")
    (made,) = draw(MODEL, MODEL.encode(small), "a", SIDE)
    return made


EXAMPLES = [picture(seed) for seed in range(5)]
FEATURES = np.maximum(*(of(FACE.points_at(SIDE), SIDE) for of in (eye_and_brow_mask, mouth_and_beard_mask))) / 255.0


def detailed(one: Drawn, face: AlignedFace = FACE, examples: list[Picture] = EXAMPLES) -> Drawn:
    return ExampleDetail(MODEL, "a", examples).added_to(one, face, 1.0)


def missing(one: Drawn, shown: Picture, where: np.ndarray = FEATURES) -> float:
    """How much of the fine spots is not there, 0..1: 1 in what a decoder draws."""
    error, whole = (
        np.abs(shown / 255.0 - made.picture.permute(1, 2, 0).numpy()).mean(axis=2) for made in (one, drawn(shown))
    )
    return float((error * where).sum() / (whole * where).sum())


class TestOneFace:
    def test_a_face_like_an_example_gets_what_its_drawing_lacks_of_it(self) -> None:
        assert missing(detailed(drawn(EXAMPLES[2])), EXAMPLES[2], FEATURES > 0.95) < 0.35

    def test_detail_is_moved_to_where_the_face_has_it(self) -> None:
        shown = picture(2, moved=5)
        assert missing(detailed(drawn(shown)), shown, FEATURES > 0.95) < 0.6

    def test_a_face_like_no_example_stays_nearly_as_it_is(self) -> None:
        stranger = drawn(picture(77))
        change = np.abs((detailed(stranger).picture - stranger.picture).numpy()).mean()
        own = drawn(EXAMPLES[2])
        assert change < 0.5 * np.abs((detailed(own).picture - own.picture).numpy()).mean()

    def test_nothing_changes_beside_eyes_and_mouth(self) -> None:
        one = drawn(EXAMPLES[0])
        beside = torch.from_numpy(FEATURES) == 0
        torch.testing.assert_close(detailed(one).picture[:, beside], one.picture[:, beside], rtol=0, atol=0.02)

    def test_broad_light_is_not_taken_over(self) -> None:
        one = drawn(EXAMPLES[1])
        dark = DarkTracer(SMALL).eval().requires_grad_(False)
        made = ExampleDetail(dark, "a", EXAMPLES).added_to(one, FACE, 1.0)
        change = (made.picture - one.picture).mean(dim=0)[torch.from_numpy(FEATURES > 0.95)].mean()
        assert abs(float(change)) < 0.2 * DARKER

    def test_drawings_that_differ_a_little_get_details_that_do(self) -> None:
        """From one example to another in thirty steps."""
        one, other = (drawn(EXAMPLES[n]) for n in (0, 3))
        detail = ExampleDetail(MODEL, "a", EXAMPLES)
        added = []
        for share in torch.linspace(0, 1, 31):
            mixed = Drawn(
                picture=one.picture.lerp(other.picture, share),
                coarse=one.coarse.lerp(other.coarse, share),
                mask=one.mask,
            )
            added.append((detail.added_to(mixed, FACE, 1.0).picture - mixed.picture).numpy())
        steps = [np.abs(b - a).mean() for a, b in pairwise(added)]
        assert max(steps) < 0.35 * np.abs(added[-1] - added[0]).mean()

    @pytest.mark.parametrize("place", [(0, 1), (60, 1), (127, 1), (3, 100), (0, 128)])
    def test_a_feature_that_is_hardly_seen_is_looked_at_with_enough_around_it(self, place: tuple[int, int]) -> None:
        start, length = place
        seen = np.zeros(128, np.uint8)
        seen[start : start + length] = 255
        reach = _reach(seen)
        assert 0 <= reach.start <= start < start + length <= reach.stop <= 128
        assert reach.stop - reach.start >= 24

    def test_few_examples_are_kept_in_memory_and_made_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        whole = [detailed(drawn(shown)).picture for shown in EXAMPLES]
        monkeypatch.setattr(example_detail, "_KEPT", 3 * SIDE**2)
        detail = ExampleDetail(MODEL, "a", EXAMPLES)
        again = [detail.added_to(drawn(shown), FACE, 1.0).picture for shown in EXAMPLES]
        assert len(detail._examples) == 1
        assert all(torch.equal(one, other) for one, other in zip(whole, again, strict=True))

    def test_one_example_is_enough(self) -> None:
        assert missing(detailed(drawn(EXAMPLES[2]), examples=EXAMPLES[2:3]), EXAMPLES[2], FEATURES > 0.95) < 0.35

    def test_the_number_of_threads_changes_nothing(self) -> None:
        shown, threads = picture(2, moved=5), cv2.getNumThreads()
        try:
            made = []
            for count in (1, 2, 4):
                cv2.setNumThreads(count)
                made.append(detailed(drawn(shown)).picture)
        finally:
            cv2.setNumThreads(threads)
        assert torch.equal(made[0], made[1])
        assert torch.equal(made[0], made[2])


@pytest.mark.parametrize(
    ("wanted", "side"), [(100, 256), (256, 256), (280, 256), (300, 384), (425, 384), (500, 512), (3000, 512)]
)
def test_pictures_are_as_large_as_the_video_can_show(wanted: float, side: int) -> None:
    assert _side_for(256, wanted) == side


def test_a_face_that_is_large_in_the_video_is_drawn_larger() -> None:
    near = align(np.zeros((1200, 1200, 3), np.uint8), head(Similarity(250.0, 0.0, 600.0, 600.0)), SMALL.size)
    made = detailed(drawn(EXAMPLES[0]), near)
    assert made.picture.shape == (3, 2 * SIDE, 2 * SIDE)
    assert made.mask.shape == (2 * SIDE, 2 * SIDE)


def test_only_who_has_examples_gets_detail_and_only_if_it_is_wanted() -> None:
    torch.manual_seed(0)
    model = build_model(SMALL).eval().requires_grad_(False)
    image = np.random.default_rng(1).integers(0, 255, (256, 256, 3), np.uint8)
    frames = [(Frame(image, 0, Fraction(0)), [Target(head(), "b")])]

    def swap(swapper: Swapper, features: float) -> Picture:
        [made] = converted(frames, swapper, SwapConfig(occlusion=0, grain=0, sharpen=0, features=features))
        return made.image

    given, without = Swapper(model, examples={"b": EXAMPLES}), Swapper(model, examples={"a": EXAMPLES})
    plain = swap(without, 1.0)
    np.testing.assert_array_equal(swap(given, 0.0), plain)
    whole, half = (np.abs(swap(given, amount).astype(int) - plain).mean() for amount in (1.0, 0.5))
    assert whole > half > 0
