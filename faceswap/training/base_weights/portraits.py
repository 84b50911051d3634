"""Portraits of many people as a bank to learn faces from: brought to life, in other lights, as other people.

A base model is to know what faces do, apart from whose they are. So each person has a number, the code of which the
decoder is given, and everything that changes from picture to picture of one number has to pass the latent: expression,
pose, place, light. What stays the same has no need to; and since half of the faces are to be given back as
somebody else, who does the same, it had better not. To learn from few people as from many, each is four: as they
are, mirrored, and both again with another complexion and other features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from faceswap.config import TrainConfig
from faceswap.faces.eye_motion import Places
from faceswap.seeds import seed_of
from faceswap.training.augment import draw_geometry, resampled
from faceswap.training.bank import Batch, FacePlanes
from faceswap.training.base_weights.acting import Motion, Portraits, nearest_expressions, sample_motions
from faceswap.training.base_weights.animation import animate, paint_mouths

LIKENESSES = 4
"""How many numbers a person has."""
SWAPPED = 0.5
"""Share of the faces that the model is to give back as somebody else, who does the same."""

_ALIKE = 12  # how many others may take a face's place
_FEATURES = 0.045  # standard deviation of how far other features lie elsewhere, in grid coordinates
_FEATURE_POINTS = 4
_LIGHT = 0.35  # how much brighter than the middle an edge may be lit
# Damage to the input, at strength 1.
_TINT, _BRIGHTNESS, _CONTRAST = 0.15, 0.35, 0.35  # the latent is not to know a face's colours
_NOISE, _PATCH = 0.08, 0.12  # the latter in sides: half a covered square's

Pixels = Float[Tensor, "batch 3 size size"]


@dataclass(frozen=True)
class IdentityVariants:
    """What makes four persons of each, by number."""

    side: Float[Tensor, " numbers"]
    """-1 for mirrored ones."""
    features: Float[Tensor, "numbers 2 points points"]
    gamma: Float[Tensor, "numbers 3"]
    """Powers of red, green and blue: a complexion."""

    @classmethod
    def draw(cls, persons: int, seed: int, device: torch.device) -> IdentityVariants:
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


class PortraitBank:
    """Batches of many persons' faces in many expressions and poses; half of them are to be given back as somebody else.

    `persons` says whose face each is, from 0; numbers of a batch are LIKENESSES times that, plus the likeness. All is
    done on the device, damage included: processors could not keep pace.
    """

    def __init__(
        self,
        faces: FacePlanes,
        meshes: Portraits,
        persons: Sequence[int],
        size: int,
        config: TrainConfig,
        device: torch.device,
    ) -> None:
        self.device, self.seconds_waited = device, 0.0
        self._faces, self._meshes = faces.to(device), meshes.to(device)
        self._persons = torch.tensor(persons, device=device)
        self._alike = nearest_expressions(self._meshes, persons, min(_ALIKE, len(faces) - 1))
        self._size, self._config = size, config
        self._likenesses = IdentityVariants.draw(max(persons) + 1, config.seed, device)

    def __len__(self) -> int:
        return len(self._faces)

    def batch(self, step: int, difficulty: float = 1.0) -> Batch:
        """The batch of training step `step`; `difficulty` (0..1) scales the affine map and the warp."""
        count, rng = self._config.batch_size, self._rng(step)
        shown = torch.randint(len(self), (count,), generator=rng, device=self.device)
        others = self._alike[shown, torch.randint(self._alike.shape[1], (count,), generator=rng, device=self.device)]
        swapped = torch.rand(count, generator=rng, device=self.device) < SWAPPED
        return self._staged(shown, torch.where(swapped, others, shown), difficulty, self._config.corruption, rng)

    def show(self, count: int, seed: int) -> Batch:
        """Undamaged faces of everybody in turn, acting as `seed` has it."""
        shown = torch.arange(count, device=self.device) % len(self)
        return self._staged(shown, shown, 0.5, 0.0, self._rng(seed))

    def _rng(self, number: int) -> torch.Generator:
        return torch.Generator(self.device).manual_seed(seed_of(self._config.seed, number))

    def _staged(
        self,
        shown: Int64[Tensor, " batch"],
        wanted: Int64[Tensor, " batch"],
        difficulty: float,
        damage: float,
        rng: torch.Generator,
    ) -> Batch:
        """Damaged pictures of the faces `shown`, and the faces `wanted`, which do the same."""
        config, count, size = self._config, len(shown), self._size

        # Who they are: two variants of each, mirrored both or neither.
        variants = torch.randint(LIKENESSES, (2, count), generator=rng, device=self.device)
        variants[1] = variants[1] // 2 * 2 + variants[0] % 2
        given, wished = (
            self._persons[faces] * LIKENESSES + variant
            for faces, variant in zip((shown, wanted), variants, strict=True)
        )

        # What they do, and where the picture is taken from.
        geometry = draw_geometry(count, size, config.affine * difficulty, config.warp * difficulty, rng)
        motions = sample_motions(self._meshes[shown], 1.0, rng)
        light, inside = _light(count, size, rng), torch.rand(count, 5, generator=rng, device=self.device)
        scene = _Scene(motions=motions, target=geometry.target, light=light, inside=inside)

        # Both do it; what the network sees is warped as well.
        seen = self._acted(wanted, wished, scene)
        still = functional.affine_grid(
            torch.eye(2, 3, device=self.device).expand(count, 2, 3), [count, 1, size, size], align_corners=False
        )
        warped = functional.grid_sample(
            self._acted(shown, given, scene)[:, :3],
            still + geometry.input - geometry.target,
            padding_mode="border",
            align_corners=False,
        )
        return Batch(
            input=_damaged(warped, damage, rng),
            target=seen[:, :3],
            mask=seen[:, 3:4],
            features=seen[:, 4:5],
            persons=wished,
        )

    def _acted(
        self, faces: Int64[Tensor, " batch"], numbers: Int64[Tensor, " batch"], scene: _Scene
    ) -> Float[Tensor, "batch planes size size"]:
        """The portraits `faces`, as the variants `numbers`, in a scene: colours, then masks, 0..1."""
        animated = animate(self._meshes[faces], scene.motions, self._likenesses.move(scene.target, numbers))
        seen = resampled(self._faces[faces], animated.source)
        painted = paint_mouths(seen[:, :3], animated, scene.inside)
        lit = self._likenesses.colour(painted, numbers) * scene.light
        return torch.cat([lit.clamp(0, 1), seen[:, 3:]], dim=1)


@dataclass(frozen=True, kw_only=True)
class _Scene:
    """What faces that do the same have in common."""

    motions: Motion
    target: Float[Tensor, "batch size size 2"]
    """Where in the portraits each pixel lies, in the coordinates of grid_sample."""
    light: Float[Tensor, "batch 1 size size"]
    inside: Float[Tensor, "batch 5"]
    """How the inside of each mouth looks, 0..1."""


def _light(count: int, size: int, rng: torch.Generator) -> Float[Tensor, "batch 1 size size"]:
    """Light from somewhere: a factor that rises evenly across the picture."""
    slope = (2 * torch.rand(count, 2, 1, 1, generator=rng, device=rng.device) - 1) * _LIGHT
    along = torch.linspace(-1, 1, size, device=rng.device)
    return 1 + (slope[:, :1] * along + slope[:, 1:] * along[:, None])


def _damaged(pictures: Pixels, strength: float, rng: torch.Generator) -> Pixels:
    """Each in other colours, brightness and contrast; some blurred, noisy, or covered in part."""
    size, device = pictures.shape[2], pictures.device

    drawn = torch.rand(len(pictures), 12, 1, 1, generator=rng, device=device)
    tint, contrast, brightness = (
        strength * (2 * drawn[:, some] - 1) for some in (slice(0, 3), slice(3, 4), slice(4, 5))
    )

    # Another light and another camera.
    mean = pictures.mean(dim=(1, 2, 3), keepdim=True)
    pictures = (
        ((pictures - mean) * (1 + _CONTRAST * contrast) + mean) * (1 + _TINT * tint) * (1 + _BRIGHTNESS * brightness)
    )

    # Blur, noise.
    blurred = functional.interpolate(functional.avg_pool2d(pictures, 2), size=size, mode="bilinear")
    pictures = torch.lerp(pictures, blurred, (drawn[:, 5:6] < 0.4 * strength) * drawn[:, 6:7])
    noise = torch.randn(pictures.shape, generator=rng, device=device) * _NOISE
    pictures = pictures + noise * (drawn[:, 7:8] < 0.3 * strength) * drawn[:, 8:9]

    # Something in front of the face.
    along = torch.linspace(0, 1, size, device=device)
    reach = (drawn[:, 9:10] < 0.3 * strength) * _PATCH
    covered = ((along - drawn[:, 10:11]).abs() < reach) & ((along[:, None] - drawn[:, 11:12]).abs() < reach)
    return torch.where(covered, drawn[:, :3], pictures).clamp(0, 1)
