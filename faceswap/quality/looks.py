"""How a swapped face looks beside the face that it replaced: sharpness, texture and colour over time, seam, background.

Pictures are RGB uint8. Each measure compares the same frame of the video (`before`) and of the swap (`after`), at the
place where the video's face is; so all that video and swap have in common cancels out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float

from faceswap.faces.align import crop_transform
from faceswap.faces.landmarks import FACE_OVAL, LEFT_BROW, LEFT_EYE, LIPS_OUTER, RIGHT_BROW, RIGHT_EYE
from faceswap.types import Face, MeshPoints, Picture

Grey = Float[np.ndarray, "height width"]
"""Luminance, 0..255."""
Inside = Bool[np.ndarray, "height width"]
Series = Float[np.ndarray, " frames"]
Colour = Float[np.ndarray, "3"]
"""CIE Lab, L 0..100."""
Colours = Float[np.ndarray, "frames 3"]

BEST_PSNR = 99.0
"""dB: what two equal pictures are said to have."""
UNSWAPPED = 2.0
"""Levels (of 255): a face whose coarse luminance differs less from the video's was not swapped. Encoding it again
changes it by 0.5."""
STANDING = 0.25
"""Of the video's movement: a face that moves less stands still while it should not."""
_MOVES = 1.0  # levels from frame to frame: with less, nothing moves in the video either

_FINE = 5  # px: what is finer than a mean over this is texture
_HULL = [*LEFT_EYE, *RIGHT_EYE, *LEFT_BROW, *RIGHT_BROW, *LIPS_OUTER]

_SEAM = (0.01, 0.03)  # of the face's height: how far inside its edge the swap is looked at
_LEAST_SWAPPED = 0.2  # of the face's height: the side of a square as large as the least region that counts as swapped


@dataclass(frozen=True, kw_only=True)
class FrameLooks:
    """One frame, before and after. NaN: it has no face, or no frame before it in its scene."""

    sharp_before: float
    sharp_after: float
    """Variance of the Laplacian in the hull of eyes, brows and mouth, in levels squared."""
    texture_before: float
    texture_after: float
    """Mean of what is finer than a 5 px mean, there, in levels."""
    boil_before: float
    boil_after: float
    """Mean change of that since the frame before, in levels."""
    move_before: float
    move_after: float
    """Mean change of luminance since the frame before, there, in levels."""
    colour: tuple[float, float, float]
    """By how much the mean colour there differs, after from before, in CIE Lab."""
    changed: float
    """Mean difference of luminance there without texture, in levels."""
    seam: float
    """See `seam_step`."""
    background: float
    """Mean squared error outside the faces, in levels squared."""


def frame_looks(
    before: Picture, after: Picture, face: Face, previous: tuple[Picture, Picture] | None, others: Sequence[Face]
) -> FrameLooks:
    """All measures of one frame.

    Args:
        before: as filmed.
        after: swapped, of the same size.
        face: the video's face that was swapped.
        previous: the frame before it, as filmed and swapped; None where a scene begins.
        others: all faces in the video's frame, which do not belong to the background.
    """
    box = patch_box(face.points, before.shape[:2])
    points = face.points - np.array([box[1].start, box[0].start, 0], np.float32)
    inside = feature_hull(points, before[box].shape[:2])
    if not inside.any():
        return missing_looks(background_error(before, after, [face, *others]))

    # The frame alone.
    now = [luminance(picture[box]) for picture in (before, after)]
    fine = [texture(grey) for grey in now]
    coarse = [grey - detail for grey, detail in zip(now, fine, strict=True)]
    sharp = [laplacian_variance(grey, inside) for grey in now]
    colours = [mean_colour(picture[box], inside) for picture in (before, after)]
    shift = (colours[1] - colours[0]).tolist()

    # And since the one before, at the same place.
    boil, move = [np.nan, np.nan], [np.nan, np.nan]
    if previous is not None:
        then = [luminance(picture[box]) for picture in previous]
        boil = [mean_change(texture(a), b, inside) for a, b in zip(then, fine, strict=True)]
        move = [mean_change(a, b, inside) for a, b in zip(then, now, strict=True)]

    still = np.zeros_like(now[0])
    return FrameLooks(
        sharp_before=sharp[0],
        sharp_after=sharp[1],
        texture_before=mean_change(still, fine[0], inside),
        texture_after=mean_change(still, fine[1], inside),
        boil_before=boil[0],
        boil_after=boil[1],
        move_before=move[0],
        move_after=move[1],
        colour=(shift[0], shift[1], shift[2]),
        changed=mean_change(coarse[0], coarse[1], inside),
        seam=seam_step(now[0], now[1], points),
        background=background_error(before, after, [face, *others]),
    )


def missing_looks(background: float) -> FrameLooks:
    """Of a frame in which there is no face to compare."""
    nan = float("nan")
    return FrameLooks(
        sharp_before=nan,
        sharp_after=nan,
        texture_before=nan,
        texture_after=nan,
        boil_before=nan,
        boil_after=nan,
        move_before=nan,
        move_after=nan,
        colour=(nan, nan, nan),
        changed=nan,
        seam=nan,
        background=background,
    )


def patch_box(points: MeshPoints, shape: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns that a face's crop covers in a frame of `shape`: nothing outside them is ever pasted."""
    corners = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])  # of a crop of one pixel
    seen = crop_transform(points, 1).inverse().apply(corners)
    low, high = np.floor(seen.min(axis=0)).astype(int), np.ceil(seen.max(axis=0)).astype(int) + 1
    height, width = shape
    left, right = np.clip([low[0], high[0]], 0, width).tolist()
    top, bottom = np.clip([low[1], high[1]], 0, height).tolist()
    return slice(top, bottom), slice(left, right)


def feature_hull(points: MeshPoints, shape: tuple[int, int]) -> Inside:
    """Which pixels of a picture of `shape` lie in the hull of eyes, brows and mouth."""
    mask = np.zeros(shape, np.uint8)
    if mask.size:
        cv2.fillPoly(mask, [cv2.convexHull(points[_HULL, :2].astype(np.int32))], 1)
    return mask.astype(bool)


def luminance(picture: Picture) -> Grey:
    """The weighted mean of red, green and blue (ITU-R BT.601), 0..255."""
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.float32)


def texture(grey: Grey) -> Grey:
    """What is finer than a mean over 5 x 5 pixels."""
    return np.asarray(grey - cv2.blur(grey, (_FINE, _FINE)))


def laplacian_variance(grey: Grey, inside: Inside) -> float:
    """How sharp a picture is there, in levels squared (Pech-Pacheco et al., 2000)."""
    return float(cv2.Laplacian(grey, cv2.CV_32F)[inside].var())


def mean_change(before: Grey, after: Grey, inside: Inside) -> float:
    """The mean absolute difference there, in levels."""
    return float(np.abs(after - before)[inside].mean())


def mean_colour(picture: Picture, inside: Inside) -> Colour:
    """The mean colour there, in CIE Lab (D65)."""
    pixels = picture[inside][None].astype(np.float32) / 255
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2Lab)[0].mean(axis=0), np.float64)


def seam_step(before: Grey, after: Grey, points: MeshPoints) -> float:
    """How abruptly the swap sets in at its edge, in levels: 0 where it does so imperceptibly.

    The edge is that of the largest region in which the swap differs from the video at all. By how much it differs
    already on a line 1 to 3 % of the face's height inside that edge is the step that a viewer sees as a seam: a soft
    transition has only begun there. What the video has there itself, such as the edge of the jaw, is in both and
    cancels. A measure of our own, after the boundary condition of Perez et al., "Poisson image editing" (2003), under
    which the difference is 0 all along the edge.
    """
    height = float(np.linalg.norm(points[FACE_OVAL[0], :2] - points[FACE_OVAL[len(FACE_OVAL) // 2], :2]))
    difference = np.abs(cv2.blur(after - before, (3, 3)))

    # The region that was swapped, without holes where swap and video happen to be alike.
    changed = np.asarray(difference > UNSWAPPED, np.uint8)
    outlines, _ = cv2.findContours(changed, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    largest = max(outlines, key=cv2.contourArea, default=None)
    if largest is None or cv2.contourArea(largest) < (_LEAST_SWAPPED * height) ** 2:
        return 0.0
    region = cv2.drawContours(np.zeros_like(changed), [largest], -1, 1, cv2.FILLED)

    inwards = cv2.distanceTransform(region, cv2.DIST_L2, 5) / height
    line = (inwards > _SEAM[0]) & (inwards <= _SEAM[1])
    return float(difference[line].mean()) if line.any() else 0.0


def background_error(before: Picture, after: Picture, faces: Sequence[Face]) -> float:
    """The mean squared error where no face's crop lies, in levels squared; NaN where faces fill the picture."""
    outside = np.ones(before.shape[:2], bool)
    for face in faces:
        outside[patch_box(face.points, before.shape[:2])] = False
    if not outside.any():
        return float("nan")
    squared = cv2.absdiff(before, after)[outside].astype(np.float32) ** 2
    return float(squared.mean())


def psnr(error: float) -> float:
    """The peak signal-to-noise ratio of a mean squared error in levels squared, in dB."""
    return min(BEST_PSNR, float(10 * np.log10(255**2 / max(error, 1e-12))))


def column(frames: Sequence[FrameLooks], name: str) -> Series:
    """One of the measures over time."""
    return np.array([getattr(frame, name) for frame in frames], np.float64)


def sharpness(frames: Sequence[FrameLooks]) -> Series:
    """The swap's variance of the Laplacian by the video's, frame by frame."""
    return np.asarray(column(frames, "sharp_after") / np.maximum(column(frames, "sharp_before"), 1e-6))


def boiling(frames: Sequence[FrameLooks]) -> float:
    """How much of its texture changes from frame to frame, by the same of the video: 1 is as calm as the video."""
    shares = []
    for when in ("after", "before"):
        boil, amount = column(frames, f"boil_{when}"), column(frames, f"texture_{when}")
        known = np.isfinite(boil)
        shares.append(boil[known].sum() / max(amount[known].sum(), 1e-6))
    return float(shares[0] / max(shares[1], 1e-6))


def colour_shifts(frames: Sequence[FrameLooks]) -> Colours:
    """By how much the swap's colour differs from the video's over time."""
    return np.array([frame.colour for frame in frames], np.float64).reshape(-1, 3)


def flicker(shifts: Colours) -> float:
    """How much the difference in colour jumps from frame to frame: root mean square of delta E (CIE 1976).

    A delta E of 1 is just seen side by side; changing light on the video's own face is in both and cancels.
    """
    jumps = (np.diff(shifts, axis=0) ** 2).sum(axis=1)
    return float(np.sqrt(np.nanmean(jumps))) if np.isfinite(jumps).any() else 0.0


def drift(shifts: Colours, reach: int = 12) -> float:
    """How far the difference in colour wanders over the clip: the standard deviation (delta E) of its mean over
    `reach` frames to either side."""
    known = shifts[np.isfinite(shifts).all(axis=1)]
    if len(known) < 2:
        return 0.0
    windows = [known[max(0, at - reach) : at + reach + 1].mean(axis=0) for at in range(len(known))]
    return float(np.sqrt(np.var(windows, axis=0).sum()))


def unswapped(frames: Sequence[FrameLooks]) -> Bool[np.ndarray, " frames"]:
    """Frames with a face that is the video's own; those without a face are none of them."""
    return np.asarray(column(frames, "changed") < UNSWAPPED)


def standing(frames: Sequence[FrameLooks]) -> Bool[np.ndarray, " frames"]:
    """Frames in which the swapped face stands still while the video's moves."""
    before, after = column(frames, "move_before"), column(frames, "move_after")
    return np.asarray((before > _MOVES) & (after < STANDING * before))
