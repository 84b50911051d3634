"""Laws of fitting a swapped face into a frame: colours, sharpness, grain, seam, mask, time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np
import pytest
import torch
from torch.nn import functional

from faceswap.config import BLENDINGS, COLOURS, SwapConfig
from faceswap.errors import ConfigError, ModelError
from faceswap.faces.skin import Skin
from faceswap.geometry import Similarity
from faceswap.model.swap_model import build_model
from faceswap.streams import time_windows
from faceswap.swapping import blend
from faceswap.swapping.blend import paste, sampled, sampled_by_opencv
from faceswap.swapping.color import Palette, linear, match, palette, reinhard, to_lab, to_log, to_rgb, with_own_eyes
from faceswap.swapping.convert import Converted, Target, converted
from faceswap.swapping.detail import fine_detail, grain, noise_level, sharpened, sharpening
from faceswap.swapping.fade import faded
from faceswap.swapping.fitting import prepare, shaped
from faceswap.swapping.infer import FrameSwaps, Swap, Swapper
from faceswap.swapping.seam import closed, pyramid_blended
from faceswap.swapping.smooth import smoothed_over_time
from faceswap.swapping.texture import SkinOnFace, Texture
from faceswap.types import Face, Frame, FrameFaces
from support.heads import head
from support.tiny import CPU, SMALL

RNG = np.random.default_rng(1)
FRAME = RNG.integers(0, 255, (120, 160, 3), np.uint8)
FROM_FRAME = Similarity(0.7, 0.2, -30.0, -40.0)
SIDE = 64
NOISE = SwapConfig(occlusion=0)  # of which no network can say what lies in front of what
PLAIN = SwapConfig(colour="none", blending="alpha", sharpen=0, grain=0)


def smooth(seed: int, side: int = SIDE) -> torch.Tensor:
    """A picture of soft colours, 3 x side x side."""
    chance = torch.Generator().manual_seed(seed)
    return functional.interpolate(torch.rand((1, 3, 6, 6), generator=chance), size=(side, side), mode="bicubic")[
        0
    ].clamp(0.05, 0.95)


def spot(value: float = 1.0, soft: bool = False) -> torch.Tensor:
    mask = torch.zeros((SIDE, SIDE))
    mask[20:44, 22:42] = value
    return functional.avg_pool2d(mask[None], 5, 1, 2)[0] if soft else mask


def a_swap(mask: torch.Tensor, to_crop: Similarity = FROM_FRAME, picture: torch.Tensor | None = None) -> Swap:
    picture = torch.tensor([200.0, 30, 90])[:, None, None].expand(3, SIDE, SIDE) / 255 if picture is None else picture
    original = smooth(3)
    colours = palette(picture[None], original[None], mask[None])
    one = Palette(colours.ours[0], colours.theirs[0], colours.weights[0])
    return Swap(
        picture=picture,
        coarse=picture,
        original=original,
        mask=mask,
        eyes=torch.zeros_like(original[0]),
        colours=one,
        tone=(50.0, 0.0, 0.0),
        to_crop=to_crop,
        track=1,
    )


def some_skin() -> SkinOnFace:
    """Spots all over, and a field that lays them straight."""
    spots = np.random.default_rng(2).normal(size=(80, 80)).astype(np.float32) * 0.1
    skin = Skin(detail=spots, known=np.ones((80, 80), np.float32), turns=(-10.0, 10.0))
    y, x = torch.meshgrid(torch.linspace(0, 1, 16), torch.linspace(0, 1, 16), indexing="ij")
    return SkinOnFace(Texture.of(skin, CPU), torch.stack([x, y, torch.ones_like(x)]))


def pasted(swap: Swap, config: SwapConfig = PLAIN, frame: np.ndarray = FRAME) -> np.ndarray:
    image = frame.copy()
    patches = [patch for patch in prepare([swap], config, frame.shape[1], frame.shape[0]) if patch]
    paste([image], [patches], [0], config.blending)
    return image


class TestPasting:
    def test_an_empty_mask_changes_nothing(self) -> None:
        assert prepare([a_swap(spot(0.0))], PLAIN, 160, 120) == [None]

    @pytest.mark.parametrize("blending", BLENDINGS)
    @pytest.mark.parametrize("colour", COLOURS)
    def test_outside_the_mask_every_byte_stays(self, blending: str, colour: str) -> None:
        config, swap = SwapConfig(colour=colour, blending=blending), replace(a_swap(spot(soft=True)), noise=4.0)
        image = pasted(swap, config)
        covered = cv2.warpAffine(
            (spot(soft=True).numpy() > 0).astype(np.float32), FROM_FRAME.inverse().matrix, (160, 120)
        )
        reach = cv2.dilate(covered, np.ones((9, 9), np.uint8)) > 0
        np.testing.assert_array_equal(image[~reach], FRAME[~reach])
        assert (image[covered > 0.9] != FRAME[covered > 0.9]).mean() > 0.8
        [patch] = prepare([swap], config, 160, 120)
        assert patch is not None
        left, top, right, bottom = patch.box
        inside = np.zeros((120, 160), bool)
        inside[top:bottom, left:right] = True
        np.testing.assert_array_equal(image[~inside], FRAME[~inside])

    def test_a_full_mask_shows_the_face_and_a_half_mask_half_of_it(self) -> None:
        upright = Similarity(1.0, 0.0, -40.0, -30.0)
        inner = (slice(30 + 22, 30 + 42), slice(40 + 24, 40 + 40))
        whole = pasted(a_swap(spot(), upright))
        np.testing.assert_array_equal(whole[inner], np.broadcast_to((200, 30, 90), whole[inner].shape))
        wanted = FRAME[inner] + 0.5 * (np.array([200, 30, 90.0]) - FRAME[inner])
        for half in (pasted(a_swap(spot(0.5), upright)), pasted(a_swap(spot(), upright), replace(PLAIN, opacity=0.5))):
            assert np.abs(half[inner].astype(float) - wanted).max() <= 1

    def test_what_lies_in_front_of_the_face_stays(self) -> None:
        upright, visible = Similarity(1.0, 0.0, -40.0, -30.0), torch.ones(128, 128)
        visible[:, 64:] = 0  # a board before the right half
        swap = replace(a_swap(spot(), upright), visible=visible)
        left, right = (slice(52, 72), slice(66, 70)), (slice(52, 72), slice(75, 80))
        image = pasted(swap)
        np.testing.assert_array_equal(image[right], FRAME[right])
        np.testing.assert_array_equal(image[left], np.broadcast_to((200, 30, 90), image[left].shape))
        np.testing.assert_array_equal(pasted(swap, replace(PLAIN, occlusion=0.0)), pasted(a_swap(spot(), upright)))

    def test_no_opacity_is_no_change(self) -> None:
        np.testing.assert_array_equal(pasted(a_swap(spot()), SwapConfig(opacity=0.0)), FRAME)

    @pytest.mark.parametrize("shift", [(-400.0, 0.0), (0.0, 400.0), (-190.0, -130.0), (0.0, 0.0)])
    def test_a_face_beyond_the_picture_is_cut_off_not_an_error(self, shift: tuple[float, float]) -> None:
        assert pasted(a_swap(spot(), Similarity(1.0, 0.0, *shift))).shape == FRAME.shape

    @pytest.mark.parametrize("scale", [0.05, 0.3, 1.0, 3.0, 9.0])
    def test_a_face_of_any_size_covers_its_area(self, scale: float) -> None:
        frame = np.full((700, 700, 3), 128, np.uint8)
        to_crop = Similarity(scale, 0, 32 - 350 * scale, 32 - 350 * scale)
        changed = (pasted(a_swap(spot(), to_crop), frame=frame) != frame).any(axis=2).sum()
        # Within two of the crop's pixels on each side, or a few of the frame's.
        assert (24 - 4) * (20 - 4) / scale**2 - 8 < changed < (24 + 4) * (20 + 4) / scale**2 + 64

    @pytest.mark.parametrize("scale", [0.2, 0.7, 2.5])
    @pytest.mark.parametrize("with_skin", [False, True])
    def test_a_large_face_is_pasted_in_strips_as_it_would_be_at_once(
        self, scale: float, with_skin: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        frame = np.random.default_rng(5).integers(60, 190, (400, 400, 3), np.uint8)
        to_crop = Similarity(scale, 0.05, 32 - 200 * scale, 32 - 200 * scale)
        swap = replace(a_swap(spot(soft=True), to_crop, smooth(4)), noise=3.0, skin=some_skin() if with_skin else None)
        config, masks = replace(PLAIN, sharpen=1, grain=1), [np.zeros((400, 400), np.uint8) for _ in range(2)]
        patches = [prepare([swap], config, 400, 400)]

        whole, strips = frame.copy(), frame.copy()
        paste([whole], patches, [0], "alpha", [masks[0]])
        for name, value in (("_AT_ONCE", 64), ("_STRIP", 64), ("_LEAST_STRIP", 7)):
            monkeypatch.setattr(blend, name, value)
        paste([strips], patches, [0], "alpha", [masks[1]])

        # OpenCV rounds where it samples to a 32nd of a pixel.
        assert (whole != frame).any()
        assert np.abs(whole.astype(int) - strips).max() <= 2
        assert np.abs(masks[0].astype(int) - masks[1]).max() <= 2

    def test_faces_of_one_frame_do_not_undo_each_other(self) -> None:
        left, right = (a_swap(spot(), Similarity(1.0, 0.0, -x, -30.0)) for x in (20.0, 60.0))
        both = FRAME.copy()
        patches = [patch for patch in prepare([left, right], PLAIN, 160, 120) if patch]
        paste([both], [patches], [0], "alpha")
        one_by_one = pasted(right, frame=pasted(left))
        np.testing.assert_array_equal(both, one_by_one)

    def test_the_mask_says_what_was_pasted(self) -> None:
        [patch] = prepare([a_swap(spot(soft=True))], PLAIN, 160, 120)
        assert patch is not None
        image, mask = FRAME.copy(), np.zeros((120, 160), np.uint8)
        paste([image], [[patch]], [0], "alpha", [mask])
        wanted = FRAME + mask[..., None] / 255 * (np.array([200, 30, 90.0]) - FRAME)
        assert np.abs(image - wanted).max() <= 2
        assert mask.max() == 255

    def test_opencv_samples_as_torch_does(self) -> None:
        pictures = torch.stack([smooth(1), smooth(2)])
        moves = [Similarity(0.4, 0.1, 3.0, -2.0), Similarity(1.2, -0.2, -20.0, 9.0)]
        assert (sampled(pictures, moves, (70, 90)) - sampled_by_opencv(pictures, moves, (70, 90))).abs().max() < 0.02


class TestMask:
    def test_eroding_draws_the_edge_in_by_a_share_of_the_side(self) -> None:
        for share, lost in ((1 / 64, 1), (3 / 64, 3), (1.5 / 64, 1.5)):
            area = shaped(spot()[None], share, 0.0).sum()
            smaller, larger = ((24 - 2 * n) * (20 - 2 * n) for n in (int(np.ceil(lost)), int(lost)))
            assert smaller <= area <= larger

    def test_feathering_softens_inwards_only(self) -> None:
        soft = shaped(spot()[None], 0.0, 0.05)[0]
        assert (soft <= spot()).all()
        assert 0 < soft[20, 32] < 0.5
        assert soft[32, 32] > 0.9

    def test_nothing_of_the_crops_border_is_pasted(self) -> None:
        assert shaped(torch.ones((1, SIDE, SIDE)), 0.0, 0.0)[0, 0].max() == 0


class TestSeam:
    def test_towards_the_edge_the_face_takes_on_the_colours_around_it_and_in_the_middle_it_keeps_its_own(self) -> None:
        mask = torch.zeros((1, SIDE, SIDE))
        mask[:, 8:56, 8:56] = 1
        ours, theirs = torch.full((1, 3, SIDE, SIDE), 0.7), torch.full((1, 3, SIDE, SIDE), 0.4)
        made = pyramid_blended(ours, theirs, mask)[0, 0]
        assert made[32, 32] == pytest.approx(0.7, abs=0.02)
        assert abs(made[9, 32] - 0.4) < 0.5 * abs(made[9, 32] - 0.7) + 0.1
        along = made[8:33, 32]
        assert (along.diff() > -0.01).all()
        assert along.diff().max() < 0.06  # no step

    def test_what_lies_outside_the_mask_does_not_leak_in(self) -> None:
        mask = spot(soft=True)[None]
        ours, theirs = smooth(1)[None], smooth(2)[None]
        wild = torch.where(mask > 0, ours, 1 - ours)
        inside = mask[0] > 0.05
        one, other = (pyramid_blended(picture, theirs, mask)[0][:, inside] for picture in (ours, wild))
        assert (one - other).abs().max() < 1e-5

    def test_fine_detail_stays_up_to_the_edge(self) -> None:
        stripes = 0.5 + 0.2 * (torch.arange(SIDE) % 2 * 2 - 1).float().expand(1, 3, SIDE, SIDE)
        made = pyramid_blended(stripes, torch.full_like(stripes, 0.5), spot()[None])
        assert (made - stripes)[:, :, 23:41, 25:39].abs().max() < 0.02

    def test_a_closed_seam_is_gone_at_the_edge_and_nothing_has_changed_inside(self) -> None:
        ours, theirs = smooth(1)[None] * 0.5 + 0.3, smooth(2)[None] * 0.5 + 0.2
        mask = torch.zeros((1, SIDE, SIDE))
        mask[:, 12:52, 12:52] = 1
        made = closed(ours, theirs, mask)
        assert torch.allclose(made[:, :, 24:40, 24:40], ours[:, :, 24:40, 24:40], atol=1e-5)
        edge = (0, slice(None), slice(24, 40), 12)
        assert (made - theirs)[edge].abs().mean() < 0.3 * (ours - theirs)[edge].abs().mean()


class TestColour:
    def test_light_is_matched_and_a_beard_is_not(self) -> None:
        """Theirs is ours under a dimmer, warmer light, with a dark beard."""
        ours, mask = smooth(1)[None] * 0.1 + 0.5, torch.ones((1, SIDE, SIDE))
        lit = ours * torch.tensor([0.9, 0.8, 0.7])[None, :, None, None]
        bearded = lit.clone()
        bearded[:, :, 48:] *= 0.3
        made = match(ours, palette(ours, bearded, mask), "light")
        assert (made - lit).abs().mean() < 0.25 * (ours - lit).abs().mean()
        assert (made - lit)[:, :, 52:].abs().mean() < 0.3 * (bearded - lit)[:, :, 52:].abs().mean()

    def test_eyes_keep_their_hue_and_half_of_their_brightness(self) -> None:
        ours = torch.rand((1, 3, SIDE, SIDE), generator=torch.Generator().manual_seed(0)) * 0.5 + 0.3
        matched = (ours + 0.1) * torch.tensor([0.9, 0.6, 0.5])[None, :, None, None] - 0.1  # another skin, darker
        eyes = torch.zeros((1, SIDE, SIDE))
        eyes[:, 8:16, 8:16] = 1
        made = with_own_eyes(ours, matched, eyes)
        torch.testing.assert_close(made[:, :, 20:], matched[:, :, 20:].clamp(0, 1))
        ratio = ((made + 0.1) / (ours + 0.1))[:, :, 9:15, 9:15]
        assert (ratio.amax(1) - ratio.amin(1)).max() < 1e-3  # no channel is moved more than another
        assert abs(float(ratio.mean()) - (0.9 * 0.6 * 0.5) ** (1 / 6)) < 0.01

    def test_the_eyes_that_keep_their_hue_grow_with_the_face(self) -> None:
        picture = torch.full((3, SIDE, SIDE), 0.5)
        swap = a_swap(spot(), picture=picture)
        eyes = torch.zeros(SIDE, SIDE)
        eyes[20:24, 20:24] = 1
        redder = Palette(swap.colours.ours, swap.colours.ours * torch.tensor([1.0, 0.6, 0.6]), swap.colours.weights)
        config = replace(PLAIN, colour="linear", scale=1.5)
        (patch,) = prepare([replace(swap, eyes=eyes, colours=redder)], config, 160, 120)
        assert patch is not None
        tint = patch.picture[0] - patch.picture[1]
        middle = (SIDE - 1) / 2
        at = round(middle + 1.5 * (21.5 - middle))  # where the eye has moved to
        assert tint[at, at] < 0.3 * tint.median()

    def test_lab_is_what_opencv_says_and_back(self) -> None:
        rgb = torch.rand((500, 3), generator=torch.Generator().manual_seed(0))
        theirs = cv2.cvtColor(rgb.numpy()[None], cv2.COLOR_RGB2Lab)[0]
        assert np.abs(to_lab(rgb).numpy() - theirs).max() < 0.6  # OpenCV's tables are coarse
        assert (to_rgb(to_lab(rgb)) - rgb).abs().max() < 1e-3

    @pytest.mark.parametrize("method", COLOURS)
    def test_matching_a_picture_to_itself_or_under_no_mask_changes_nothing(self, method: str) -> None:
        picture = smooth(1)[None]
        same = match(picture, palette(picture, picture, spot()[None]), method)
        assert (same - picture).abs().max() < 0.02
        none = match(picture, palette(picture, smooth(2)[None], spot(0.0)[None]), method)
        assert (none - picture).abs().max() < 1e-3

    @pytest.mark.parametrize("method", [m for m in COLOURS if m != "none"])
    def test_matching_moves_the_mean_to_the_reference(self, method: str) -> None:
        ours, mask = smooth(1)[None] * 0.5 + 0.2, spot()[None]
        theirs = ours * torch.tensor([0.9, 1.05, 1.1])[None, :, None, None] - 0.05
        before, after, wanted = (
            x[0][:, mask[0] > 0].mean(dim=1) for x in (ours, match(ours, palette(ours, theirs, mask), method), theirs)
        )
        assert (after - wanted).norm() < 0.25 * (before - wanted).norm()

    def test_contrast_is_changed_by_15_per_cent_at_most(self) -> None:
        ours, mask = smooth(1)[None], torch.ones((1, SIDE, SIDE))
        colours = palette(ours, (ours - 0.5) * 3 + 0.5, mask)
        pixels = ours.flatten(2).mT
        for move, space in ((linear, to_log), (reinhard, to_lab)):
            was, got = space(pixels).std(dim=1), space(move(pixels, colours)).std(dim=1)
            assert (got / was).max() < 1.16

    def test_odd_pixels_of_no_weight_do_not_count(self) -> None:
        ours, theirs, mask = smooth(1)[None], smooth(2)[None], torch.zeros((1, SIDE, SIDE))
        mask[:, 16:48, 16:48] = 1
        spoilt = theirs.clone()
        spoilt[:, :, :12] = 0
        for method in COLOURS:
            one, other = (match(ours, palette(ours, x, mask), method) for x in (theirs, spoilt))
            assert (one - other).abs().max() < 1e-5


def as_sharp(faces: torch.Tensor, below: torch.Tensor, how_far: float) -> torch.Tensor:
    """Faces brought to the sharpness of the pictures below."""
    fine = fine_detail(faces)
    return sharpened(faces, fine, sharpening([(fine, fine_detail(below), torch.ones_like(fine))], [how_far]))


class TestDetail:
    def test_sharpening_brings_a_blurred_face_nearer_and_never_beyond(self) -> None:
        sharp = (smooth(1) * 0.6 + 0.2 * torch.rand((3, SIDE, SIDE), generator=torch.Generator().manual_seed(0)))[None]
        blurred = functional.avg_pool2d(functional.pad(sharp, (1, 1, 1, 1), mode="replicate"), 3, 1)
        after = as_sharp(blurred, sharp, 1.0)
        has, got, wanted = (float(fine_detail(x).square().mean()) for x in (blurred, after, sharp))
        assert has < got <= wanted * 1.001
        assert torch.equal(as_sharp(sharp, blurred, 1.0), sharp)  # nothing is blurred
        assert torch.equal(as_sharp(blurred, sharp, 0.0), blurred)

    @pytest.mark.parametrize("level", [0.0, 2.0, 6.0])
    def test_the_noise_of_a_picture_is_found_and_added(self, level: float) -> None:
        shape = (256, 256)
        clean = cv2.GaussianBlur(RNG.uniform(40, 210, (*shape, 3)), (0, 0), 12)
        noise = grain([level], [7], shape, CPU, slice(0, 256))[0, 0].numpy()
        assert noise.std() == pytest.approx(level, rel=0.05)
        noisy = (clean + noise[..., None]).clip(0, 255).round().astype(np.uint8)
        assert noise_level(noisy, (0.0, 0.0, 256.0, 256.0)) == pytest.approx(level, abs=0.35)

    def test_grain_differs_from_frame_to_frame_and_is_the_same_again(self) -> None:
        one, other = grain([3.0, 3.0], [1, 2], (40, 50), CPU, slice(0, 40))
        assert torch.equal(grain([3.0], [1], (40, 50), CPU, slice(10, 30))[0], one[:, 10:30])
        assert abs(np.corrcoef(one.numpy().ravel(), other.numpy().ravel())[0, 1]) < 0.1

    def test_a_box_beyond_the_picture_has_no_noise(self) -> None:
        assert noise_level(FRAME, (-400.0, -300.0, -200.0, -100.0)) == 0
        assert noise_level(FRAME, (158.0, 110.0, 300.0, 300.0)) >= 0


def frames_of(swaps: Sequence[Swap]) -> list[FrameSwaps]:
    return [FrameSwaps(Frame(FRAME, i, Fraction(i, 25)), [swap]) for i, swap in enumerate(swaps)]


class TestSettling:
    def test_measurements_that_tremble_come_out_calm_and_without_lag(self) -> None:
        # Rising evenly, with noise on it: the noise goes, the slope stays.
        truth = np.linspace(0.02, 0.06, 40)
        noisy = truth + RNG.normal(0, 0.004, 40)
        swaps = [replace(a_swap(spot()), noise=value) for value in noisy]
        got = np.array([each.swaps[0].noise for each in smoothed_over_time(frames_of(swaps), 0.2)])
        middle = slice(6, -6)
        assert np.abs(got - truth)[middle].mean() < 0.6 * np.abs(noisy - truth)[middle].mean()
        assert abs((got - truth)[middle].mean()) < 0.001

    def test_a_flash_is_followed_at_once(self) -> None:
        dark, bright = a_swap(spot()), replace(a_swap(spot()), tone=(90.0, 0.0, 0.0), noise=9.0)
        result = [
            each.swaps[0].noise for each in smoothed_over_time(frames_of([*[dark] * 6, bright, *[dark] * 6]), 0.2)
        ]
        assert result[6] > 8.5
        assert max(result[:6]) < 0.5

    def test_a_hand_is_steadied_by_the_frames_beside_it_and_not_by_more(self) -> None:
        hand = torch.zeros(128, 128)
        seen = [torch.ones(128, 128), torch.ones(128, 128), hand, torch.ones(128, 128), torch.ones(128, 128)]
        frames = frames_of([replace(a_swap(spot()), visible=visible) for visible in seen])
        shares = [float(each.swaps[0].visible.mean()) for each in smoothed_over_time(frames, 0.2)]  # type: ignore[union-attr]
        assert shares[0] == shares[4] == 1
        assert 0 < shares[2] < shares[1] < 1
        assert shares[1] == pytest.approx(shares[3])

    def test_nothing_is_mixed_between_tracks_or_changed_with_no_reach(self) -> None:
        one, other = a_swap(spot()), replace(a_swap(spot()), track=2, noise=9.0)
        mixed = list(smoothed_over_time(frames_of([one, other, one, other]), 0.2))
        assert [each.swaps[0].noise for each in mixed] == pytest.approx([0, 9, 0, 9])
        assert [each.swaps[0] for each in smoothed_over_time(frames_of([one, other]), 0.0)] == [one, other]

    def test_a_window_holds_its_neighbours_and_no_more(self) -> None:
        times = [Fraction(n) for n in (0, 1, 2, 5, 6, 20)]
        seen = [(list(window), window[at]) for window, at in time_windows(times, lambda time: time, 1.5)]
        assert [item for _, item in seen] == times
        for window, item in seen:
            assert {t for t in times if abs(t - item) <= 1.5} <= set(window)
            assert len(window) <= 4


def followed(present: Sequence[bool], cuts: Sequence[int] = ()) -> list[FrameFaces]:
    face = Face(np.zeros((468, 3), np.float32), 1.0, 1)
    return [
        FrameFaces(index=i, time=Fraction(i, 25), cut=i in cuts, faces=(face,) if there else ())
        for i, there in enumerate(present)
    ]


class TestFading:
    def test_a_face_fades_in_and_out_where_it_is_found_and_lost(self) -> None:
        frames = followed([False] * 5 + [True] * 10 + [False] * 5)
        opacity = [fades.get(1) for _, fades in faded(frames, 0.16)]
        assert opacity[5:15] == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1, 1, 0.75, 0.5, 0.25])

    def test_it_does_not_where_the_video_begins_and_ends_or_the_scene_changes(self) -> None:
        assert all(fades[1] == 1 for _, fades in faded(followed([True] * 8), 0.16))
        frames = followed([False] * 5 + [True] * 5 + [False] * 5, cuts=(5, 10))
        assert [fades[1] for _, fades in faded(frames, 0.16) if fades] == [1] * 5

    def test_no_seconds_are_no_fading(self) -> None:
        assert all(fades.get(1, 1) == 1 for _, fades in faded(followed([False, True, False]), 0.0))


def film(count: int) -> list[tuple[Frame, list[Target]]]:
    """A head that moves evenly through frames of soft noise."""
    made = []
    for i in range(count):
        face = replace(head(Similarity(14.0, 0.3, 60.0 + i, 55.0)), track=1)
        image = cv2.GaussianBlur(np.random.default_rng(i).integers(0, 255, (120, 160, 3), np.uint8), (0, 0), 2)
        made.append((Frame(image.astype(np.uint8), i, Fraction(i, 25)), [Target(face, "b")]))
    return made


@pytest.fixture(scope="module")
def swapper() -> Swapper:
    torch.manual_seed(0)
    model = build_model(SMALL).eval().requires_grad_(False)
    for weight in model.parameters():  # before training all persons look alike
        weight += 0.1 * torch.randn_like(weight)
    return Swapper(model)


class TestConverting:
    def test_frames_come_out_in_order_with_faces_changed_inside_their_boxes_only(self, swapper: Swapper) -> None:
        frames = film(19)
        frames[4] = (frames[4][0], [])
        made = list(converted(frames, swapper, NOISE, with_masks=True))
        assert [one.frame.index for one in made] == list(range(19))
        for one in made:
            changed = (one.image != one.frame.image).any(axis=2)
            assert one.mask is not None
            assert bool(changed.any()) == bool(one.boxes) == (one.frame.index != 4) == bool(one.mask.any())
            for left, top, right, bottom in one.boxes:
                changed[top:bottom, left:right] = False
            assert not changed.any()

    def test_what_a_frame_becomes_depends_on_its_neighbours_alone(self, swapper: Swapper) -> None:
        """So a resumed run, which begins a batch earlier, makes the same pictures."""
        whole = list(converted(film(32), swapper, NOISE))
        late = list(converted(film(32)[8:], swapper, NOISE))
        for one, other in zip(whole[16:], late[8:], strict=True):
            np.testing.assert_array_equal(one.image, other.image)

    def test_each_face_becomes_its_own_person(self, swapper: Swapper) -> None:
        def made(*persons: str) -> Converted:
            faces = [replace(head(Similarity(9.0, 0, x, 60.0)), track=int(x)) for x in (40.0, 120.0)]
            targets = [Target(face, person) for face, person in zip(faces, persons, strict=True)]
            return next(converted([(Frame(FRAME, 0, Fraction(0)), targets)], swapper, NOISE))

        both = made("a", "b").image
        np.testing.assert_array_equal(both[:, :80], made("a", "a").image[:, :80])
        np.testing.assert_array_equal(both[:, 80:], made("b", "b").image[:, 80:])
        assert not np.array_equal(both, made("b", "a").image)

    def test_a_larger_face_is_larger(self, swapper: Swapper) -> None:
        [frame] = film(1)
        plain, large = (next(converted([frame], swapper, replace(NOISE, scale=scale))) for scale in (1.0, 1.3))
        assert not np.array_equal(plain.image, large.image)
        assert plain.boxes == large.boxes

    def test_a_stranger_is_refused(self, swapper: Swapper) -> None:
        with pytest.raises(ModelError, match="a, b"):
            swapper.check("carol")


@pytest.mark.parametrize(
    "wrong", [{"colour": "pink"}, {"opacity": 1.5}, {"erode": -0.1}, {"smooth": 99.0}, {"scale": 0.0}, {"blending": ""}]
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, float | str]) -> None:
    with pytest.raises(ConfigError):
        SwapConfig(**wrong)  # type: ignore[arg-type]  # that is the point
