"""Portraits of many people as a bank to learn faces from: brought to life, in other lights, as other people.

A base model is to know what faces do, apart from whose they are. So each person has a number, the code of which the
decoder is given, and everything that changes from picture to picture of one number, has to pass the latent: expression,
pose, place, light. What stays the same has no need to. To learn from few people as from many, each is four: as they
are, mirrored, and both again with another complexion and other features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from faceswap.config import TrainConfig
from faceswap.training.animate import Places, Portraits, alike, animate, draw_acts, paint_mouths
from faceswap.training.augment import draw_geometry
from faceswap.training.bank import Bank, Batch, Faces, Twins

LIKENESSES = 4
"""How many numbers a person has."""
SWAPPED = 0.5
"""Share of the faces that the model is to give back as somebody else, who does the same."""

_ALIKE = 12  # how many others may take a face's place
_COARSE = 2  # pixels: how far apart the places lie at which the skin's movement is worked out
_FEATURES = 0.045  # standard deviation of how far other features lie elsewhere, in grid coordinates
_FEATURE_POINTS = 4
_LIGHT = 0.35  # how much brighter than the middle an edge may be lit
_TINT, _BRIGHTNESS, _CONTRAST = 0.12, 0.25, 0.25  # of the input alone: the latent is not to know a face's colours

Pixels = Float[Tensor, "batch 3 size size"]


@dataclass(frozen=True)
class Likenesses:
    """What makes four persons of each, by number."""

    side: Float[Tensor, " numbers"]
    """-1 for mirrored ones."""
    features: Float[Tensor, "numbers 2 points points"]
    gamma: Float[Tensor, "numbers 3"]
    """Powers of red, green and blue: a complexion."""

    @classmethod
    def draw(cls, persons: int, seed: int, device: torch.device) -> Likenesses:
        """By chance, the same for the same seed."""
        rng = torch.Generator().manual_seed(seed)
        numbers = persons * LIKENESSES
        likeness = torch.arange(numbers) % LIKENESSES
        other = (likeness >= LIKENESSES // 2).float()
        features = torch.randn(numbers, 2, _FEATURE_POINTS, _FEATURE_POINTS, generator=rng) * _FEATURES
        complexion = torch.randn(numbers, 1, generator=rng) * 0.45 + torch.randn(numbers, 3, generator=rng) * 0.1
        return cls(
            (1 - 2 * (likeness % 2)).float().to(device),
            (features * other[:, None, None, None]).to(device),
            torch.exp(complexion * other[:, None]).clamp(0.45, 2.5).to(device),
        )

    def move(self, places: Places, numbers: Int64[Tensor, " batch"]) -> Places:
        """Where in the person's own picture the places of this likeness lie."""
        mirrored = torch.stack([places[..., 0] * self.side[numbers, None, None], places[..., 1]], dim=-1)
        moves = functional.grid_sample(
            self.features[numbers], mirrored, mode="bicubic", padding_mode="border", align_corners=True
        )
        return mirrored + moves.permute(0, 2, 3, 1)

    def colour(self, pictures: Pixels, numbers: Int64[Tensor, " batch"]) -> Pixels:
        """Pictures in this likeness' complexion."""
        return pictures.clamp_min(1e-4) ** self.gamma[numbers, :, None, None]


class PortraitBank(Bank):
    """Batches of many persons' faces in many expressions and poses.

    `persons` says whose face each is, from 0; numbers of a batch are LIKENESSES times that, and the likeness. `acting`
    is how lively they are.
    """

    def __init__(
        self,
        faces: Faces,
        meshes: Portraits,
        persons: Sequence[int],
        size: int,
        config: TrainConfig,
        step: int,
        device: torch.device,
        share: slice | None = None,
        folder: Path | None = None,
        acting: float = 1.0,
    ) -> None:
        super().__init__(faces, size, config, 0, step, device, share, folder)
        self._meshes, self._persons = meshes.to(device), torch.tensor(persons, device=device)
        self.likenesses = Likenesses.draw(max(persons) + 1, config.seed, device)
        self._alike = alike(self._meshes, persons, min(_ALIKE, len(faces) - 1))
        self._acting = acting

    def batch(self, step: int, difficulty: float = 1.0) -> Batch:
        """The batch of training step `step`; `difficulty` (0..1) scales the affine map and the warp."""
        chosen = self._onto(self.device, self._chosen(step))
        _, twins = self._next_rows(step)
        rng = torch.Generator(self.device).manual_seed(self._seed(0, step))
        others = self._alike[chosen, torch.randint(self._alike.shape[1], chosen.shape, generator=rng, device=rng.device)]
        swapped = torch.rand(chosen.shape, generator=rng, device=rng.device) < SWAPPED
        return self._staged(twins, chosen, torch.where(swapped, others, chosen), difficulty, rng)

    def show(self, count: int, seed: int) -> Batch:
        """Undamaged faces of everybody in turn, acting as `seed` has it."""
        chosen = torch.arange(count, device=self.device) % len(self)
        rng = torch.Generator(self.device).manual_seed(seed)
        return self._staged(self._onto(self.device, self._faces[chosen.to(self._faces.device), :3]), chosen, chosen, 0.5, rng)

    def _staged(
        self,
        twins: Twins,
        shown: Int64[Tensor, " batch"],
        wanted: Int64[Tensor, " batch"],
        difficulty: float,
        rng: torch.Generator,
    ) -> Batch:
        """Damaged twins of the faces `shown`, and the faces `wanted`, which do the same."""
        config, count, device, size = self._config, len(shown), self.device, self._size
        likeness = torch.randint(LIKENESSES, (2, count), generator=rng, device=device)
        likeness[1] = likeness[1] // 2 * 2 + likeness[0] % 2  # mirrored both or neither
        geometry = draw_geometry(count, size, config.affine * difficulty, config.warp * difficulty, rng)
        acts = draw_acts(self._meshes[shown], self._acting, rng)
        light, inside = _light(count, size, rng), torch.rand(count, 5, generator=rng, device=device)

        def act(pictures: Tensor, faces: Tensor, likeness: Tensor) -> Tensor:
            numbers = self._persons[faces] * LIKENESSES + likeness
            fine = self.likenesses.move(geometry.target, numbers)
            coarse = functional.avg_pool2d(fine.permute(0, 3, 1, 2), _COARSE).permute(0, 2, 3, 1)
            animated = animate(self._meshes[faces], acts, coarse, fine)
            seen = functional.grid_sample(
                pictures.float() / 255, animated.source, padding_mode="border", align_corners=False
            )
            lit = self.likenesses.colour(paint_mouths(seen[:, :3], animated, inside), numbers) * light
            return torch.cat([lit.clamp(0, 1), seen[:, 3:]], dim=1)

        seen = act(self._onto(device, self._faces[wanted.to(self._faces.device)]), wanted, likeness[1])
        still = functional.affine_grid(
            torch.eye(2, 3, device=device).expand(count, 2, 3), [count, 1, size, size], align_corners=False
        )
        warped = functional.grid_sample(
            act(twins, shown, likeness[0]),
            still + geometry.input - geometry.target,
            padding_mode="border",
            align_corners=False,
        )
        numbers = self._persons[wanted] * LIKENESSES + likeness[1]
        return Batch(_discoloured(warped, rng), seen[:, :3], seen[:, 3:4], seen[:, 4:5], numbers)


def _light(count: int, size: int, rng: torch.Generator) -> Float[Tensor, "batch 1 size size"]:
    """Light from somewhere: a factor that rises evenly across the picture."""
    slope = (2 * torch.rand(count, 2, 1, 1, generator=rng, device=rng.device) - 1) * _LIGHT
    along = torch.linspace(-1, 1, size, device=rng.device)
    return 1 + (slope[:, :1] * along + slope[:, 1:] * along[:, None])


def _discoloured(pictures: Pixels, rng: torch.Generator) -> Pixels:
    """Each in other colours, brightness and contrast."""
    drawn = 2 * torch.rand(len(pictures), 5, 1, 1, generator=rng, device=rng.device) - 1
    tint, contrast, brightness = 1 + _TINT * drawn[:, :3], 1 + _CONTRAST * drawn[:, 3:4], _BRIGHTNESS * drawn[:, 4:]
    mean = pictures.mean(dim=(1, 2, 3), keepdim=True)
    return (((pictures - mean) * contrast + mean) * tint * (1 + brightness)).clamp(0, 1)
