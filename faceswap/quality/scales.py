"""What each measure means and what good is: limits, and words for people.

Limits are ours. They stand on what this program's own swaps reach on clips kept aside (tests/benchmarks/README.md), on
published figures where the source is named, and on what can just be seen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

GOOD, FAIR, POOR = "good", "fair", "poor"
_MANY = math.inf


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How a measure is read."""

    title: str
    meaning: str
    """What is measured, in a phrase."""
    unit: str = ""
    good: tuple[float, float]
    """Least and most that is good."""
    fair: tuple[float, float]
    """... and that is fair; whatever lies outside is poor."""
    aim: str
    """What good is, in a phrase."""
    digits: int = 2

    def grade(self, value: float) -> str:
        """GOOD, FAIR or POOR."""
        for grade, (least, most) in ((GOOD, self.good), (FAIR, self.fair)):
            if least <= value <= most:
                return grade
        return POOR

    def text(self, value: float) -> str:
        """The value with its unit; shares as per cent."""
        if self.unit == "%":
            return f"{100 * value:.{max(0, self.digits - 2)}f} %"
        return f"{value:.{self.digits}f}{' ' * bool(self.unit)}{self.unit}"


LIKENESS: dict[str, Scale] = {
    "to_wanted": Scale(
        title="Distance from the wanted person",
        meaning="mean distance of the identity network's embeddings",
        good=(0, 0.45),
        fair=(0, 0.55),
        aim="below 0.45; from 0.55 on two faces count as two people",
    ),
    "to_replaced": Scale(
        title="Distance from the replaced person",
        meaning="mean distance of the identity network's embeddings",
        good=(0.55, _MANY),
        fair=(0.5, _MANY),
        aim="above 0.55; less if the two look alike",
    ),
    "identity_way": Scale(
        title="Way from the one to the other",
        meaning="projection of the embeddings: 0 is the replaced person, 1 the wanted one",
        good=(0.8, 1.2),
        fair=(0.65, 1.35),
        aim="near 1",
    ),
    "nearer": Scale(
        title="Frames nearer to the wanted person",
        meaning="share of frames whose embedding is nearer to the wanted than to the replaced person's",
        unit="%",
        good=(0.99, 1),
        fair=(0.95, 1),
        aim="all",
        digits=3,
    ),
    "retrieved": Scale(
        title="Frames recognised as the wanted person",
        meaning="share of frames for which the wanted person is the nearest of a gallery",
        unit="%",
        good=(0.98, 1),
        fair=(0.8, 1),
        aim="all; in papers 82 to 99.9 %",
        digits=3,
    ),
    "rank": Scale(
        title="Place of the wanted person",
        meaning="mean place of the wanted person in the gallery, by distance",
        good=(1, 1.05),
        fair=(1, 1.5),
        aim="1, the first place",
    ),
    "shape_way": Scale(
        title="Shape of the face",
        meaning="way of the mean face mesh from the replaced person (0) to the wanted one (1)",
        good=(0.6, 1.4),
        fair=(0.35, 1.65),
        aim="near 1; the head's outline stays the video's",
    ),
    "sharpness_of_wanted": Scale(
        title="Sharpness, by the wanted person's own",
        meaning="the same by footage of the wanted person",
        good=(0.6, 1.5),
        fair=(0.25, 2.5),
        aim="near 1",
    ),
}
"""Of a swapped video, by the measures' names: whose face it shows."""

SWAP: dict[str, Scale] = {
    "unswapped": Scale(
        title="Frames without a swap",
        meaning="share of frames whose face is still the video's own",
        unit="%",
        good=(0, 0),
        fair=(0, 0.02),
        aim="none",
        digits=3,
    ),
    "standing": Scale(
        title="Frames that stand still",
        meaning="share of frames in which the swapped face stands still while the video's moves",
        unit="%",
        good=(0, 0),
        fair=(0, 0.02),
        aim="none",
        digits=3,
    ),
    "pose_error": Scale(
        title="Pose",
        meaning="mean angle between the head's turns in video and swap",
        unit="°",
        good=(0, 2.5),
        fair=(0, 5),
        aim="below 2.5°",
    ),
    "expression_error": Scale(
        title="Expression",
        meaning="mean displacement of eyes, brows and lips, by the distance of the eyes' outer corners",
        good=(0, 0.03),
        fair=(0, 0.05),
        aim="below 0.03",
        digits=3,
    ),
    "mouth": Scale(
        title="Mouth follows",
        meaning="correlation over time of how far it is open",
        good=(0.9, 1),
        fair=(0.75, 1),
        aim="above 0.9",
    ),
    "mouth_gain": Scale(
        title="How far the mouth opens",
        meaning="slope of its opening in the swap over that in the video",
        good=(0.8, 1.25),
        fair=(0.6, 1.6),
        aim="near 1: as far as in the video",
    ),
    "eyes": Scale(
        title="Eyes follow",
        meaning="correlation over time of how far they are open",
        good=(0.8, 1),
        fair=(0.55, 1),
        aim="above 0.8: every blink",
    ),
    "eyes_gain": Scale(
        title="How far the eyes open and close",
        meaning="slope of their opening in the swap over that in the video",
        good=(0.75, 1.3),
        fair=(0.5, 1.7),
        aim="near 1: as far as in the video",
    ),
    "gaze": Scale(
        title="Gaze follows",
        meaning="correlation over time of where the irises lie between the corners of the eyes",
        good=(0.8, 1),
        fair=(0.5, 1),
        aim="above 0.8",
    ),
    "delay": Scale(
        title="Delay",
        meaning="shift in time at which mouth, eyes and pose fit best; negative is early",
        unit="frames",
        good=(0, 0),
        fair=(-1, 1),
        aim="0",
        digits=0,
    ),
    "trembling": Scale(
        title="Trembling",
        meaning="second difference of all mesh points over time, by the video's own",
        good=(0, 1.2),
        fair=(0, 1.5),
        aim="near 1: as calm as the video",
    ),
    "boiling": Scale(
        title="Boiling",
        meaning="how much of the texture changes from frame to frame, by the video's own",
        good=(0, 1.1),
        fair=(0, 1.3),
        aim="near 1: as calm as the video",
    ),
    "sharpness": Scale(
        title="Sharpness",
        meaning="variance of the Laplacian in the hull of eyes, brows and mouth, by the video's own",
        good=(0.6, 1.5),
        fair=(0.25, 2.5),
        aim="near 1; faces differ in texture",
    ),
    "colour": Scale(
        title="Colour",
        meaning="mean distance of the face's mean colour from the video's (delta E)",
        good=(0, 5),
        fair=(0, 10),
        aim="below 5: in the light of the video",
        digits=1,
    ),
    "flicker": Scale(
        title="Flicker",
        meaning="how much that colour jumps from frame to frame (delta E)",
        good=(0, 0.5),
        fair=(0, 1),
        aim="below 0.5; 1 is just seen",
    ),
    "drift": Scale(
        title="Colour drift",
        meaning="how far that colour wanders over the clip (delta E)",
        good=(0, 1.5),
        fair=(0, 3),
        aim="below 1.5",
    ),
    "seam": Scale(
        title="Seam",
        meaning="by how much the face differs from the video just inside the swap's edge",
        unit="levels",
        good=(0, 8),
        fair=(0, 14),
        aim="below 8 of 255",
        digits=1,
    ),
    "background": Scale(
        title="Background",
        meaning="peak signal-to-noise ratio outside of the faces",
        unit="dB",
        good=(40, _MANY),
        fair=(34, _MANY),
        aim="above 40 dB: nothing but encoding",
        digits=1,
    ),
}
"""Of a swapped video beside the one that was swapped."""

REBUILT: dict[str, Scale] = {
    "face": Scale(
        title="Likeness, small",
        meaning="structural similarity inside the face mask at the coarse size",
        good=(0.9, 1),
        fair=(0.82, 1),
        aim="above 0.9; 1 is a perfect copy",
        digits=3,
    ),
    "large": Scale(
        title="Likeness",
        meaning="structural similarity of the large picture's luminance inside the face mask",
        good=(0.9, 1),
        fair=(0.82, 1),
        aim="above 0.9; 1 is a perfect copy",
        digits=3,
    ),
    "psnr": Scale(
        title="PSNR",
        meaning="peak signal-to-noise ratio of the large picture inside the face mask",
        unit="dB",
        good=(30, _MANY),
        fair=(25, _MANY),
        aim="above 30 dB",
        digits=1,
    ),
    "detail": Scale(
        title="Fine detail",
        meaning="energy of what is finer than a 5 px mean, rebuilt by true",
        good=(0.7, 1.3),
        fair=(0.4, 1.6),
        aim="near 1",
    ),
    "sharpness": Scale(
        title="Sharpness",
        meaning="variance of the Laplacian inside the face mask, rebuilt by true",
        good=(0.6, 1.4),
        fair=(0.25, 2),
        aim="near 1",
    ),
    "overlap": Scale(
        title="Mask",
        meaning="intersection over union with the true face mask",
        good=(0.95, 1),
        fair=(0.9, 1),
        aim="above 0.95",
        digits=3,
    ),
}
"""Of faces that a model gives back."""

CROP: dict[str, Scale] = {
    "mouth": SWAP["mouth"],
    "eyes": SWAP["eyes"],
    "to_target": LIKENESS["to_wanted"],
    "to_source": LIKENESS["to_replaced"],
    "colour": Scale(
        title="Colour",
        meaning="distance of its mean colour from the wanted person's, before it is fitted into a video (delta E)",
        good=(0, 4),
        fair=(0, 8),
        aim="below 4",
        digits=1,
    ),
}
"""Of one person's faces decoded as another."""
