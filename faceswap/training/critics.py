"""Losses that are networks of their own. Both judge what was decoded against its target, inside the face."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from faceswap.config import TrainConfig
from faceswap.model.backbone import load_shipped, look_through, mobilenet_layers
from faceswap.model.swap_model import Decoded
from faceswap.training.bank import Batch
from faceswap.training.moments import moments_of, restore_moments
from faceswap.training.ranks import Ranks

Scalar = Float[Tensor, ""]
Pictures = Float[Tensor, "batch 3 h w"]
Pairs = Mapping[str, tuple[Pictures, Pictures]]
"""By person: decoded faces and their targets, RGB 0..1, black where the target's face is not seen."""

_PEEPHOLE = 96  # pixels a side
_SHARE = 0.5  # of the faces that are looked at through it


@runtime_checkable
class Critic(Protocol):
    """A network that judges decoded faces."""

    name: str
    """By which a checkpoint knows it."""

    def loss(self, pairs: Pairs, progress: float) -> Scalar:
        """What the decoded faces have to pay, weighted; `progress` is the share of the budget that is used."""

    def learn(self, pairs: Pairs, progress: float) -> None:
        """Learn from the same faces, behind the model's own step."""

    def tensors(self) -> dict[str, Tensor]:
        """All that it has learnt, by name: what a checkpoint keeps."""

    def restore(self, kept: Mapping[str, Tensor]) -> None:
        """Put back what `tensors` gave."""


def pairs_of(
    decoded: Mapping[str, Decoded], batches: Mapping[str, Batch], seed: int
) -> dict[str, tuple[Pictures, Pictures]]:
    """What critics look at: at small pictures as a whole, at large ones through a peephole, and only at some of them.

    Texture is the same all over the face, so that it need not be judged everywhere at once.
    """
    rng = np.random.default_rng(seed)

    top, left = (rng.integers(max(1, side - _PEEPHOLE + 1)) for side in next(iter(batches.values())).target.shape[-2:])
    rows, columns = slice(top, top + _PEEPHOLE), slice(left, left + _PEEPHOLE)

    pairs = {}
    for person, batch in batches.items():
        some = slice(None) if batch.window is None else slice(math.ceil(len(batch.target) * _SHARE))
        mask = batch.mask[some, :, rows, columns]
        if batch.visible is not None:
            mask = mask * batch.visible[some, :, rows, columns]
        ours, theirs = decoded[person].picture[some, :, rows, columns], batch.target[some, :, rows, columns]
        pairs[person] = ours * mask, theirs * mask
    return pairs


class Perceptual:
    """Distance between features of a network that was trained on photographs (Johnson et al., 2016): MobileNetV2
    (Sandler et al., 2018), which is small enough to ship.

    A blurred picture is far from a sharp one by it, and a slightly shifted one near.
    """

    name = "perceptual"

    def __init__(self, weight: float, device: torch.device) -> None:
        features = mobilenet_layers()
        load_shipped(features, "perceptual")
        self._features = features.to(device).to(memory_format=torch.channels_last).eval().requires_grad_(False)
        self._weight = weight

    def loss(self, pairs: Pairs, progress: float) -> Scalar:  # noqa: ARG002  # the same from the start to the end
        """The mean absolute difference of the features, relative to the target's: over all scales, times persons."""
        decoded, targets = (torch.cat([pair[i] for pair in pairs.values()]) for i in (0, 1))
        with torch.no_grad():
            wanted = look_through(self._features, targets)
        distances = [
            (ours - theirs).abs().mean() / theirs.abs().mean().clamp_min(1e-6)
            for ours, theirs in zip(look_through(self._features, decoded), wanted, strict=True)
        ]
        return self._weight * len(pairs) * torch.stack(distances).mean()

    def learn(self, pairs: Pairs, progress: float) -> None:
        """It knows all that it will ever know."""

    def tensors(self) -> dict[str, Tensor]:
        """Nothing is learnt."""
        return {}

    def restore(self, kept: Mapping[str, Tensor]) -> None:
        """Nothing was kept."""


class PatchDiscriminator:
    """A discriminator that learns to tell decoded faces from true ones (Goodfellow et al., 2014).

    It judges patches (Isola et al., 2017), one channel of verdicts for each person, with spectral normalisation
    (Miyato et al., 2018) and the hinge loss. It joins in for the last part of the budget, when shapes are right and
    only texture is missing.
    """

    name = "adversary"
    _WIDTH, _RATE = 32, 4e-4

    def __init__(self, config: TrainConfig, persons: tuple[str, ...], device: torch.device, ranks: Ranks) -> None:
        self._config, self._numbers, self._ranks = config, {p: n for n, p in enumerate(persons)}, ranks
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self._discriminator = _discriminator(len(persons), self._WIDTH).to(device).eval().requires_grad_(False)
        self._parameters = list(self._discriminator.parameters())
        self._optimizer = torch.optim.Adam(self._parameters, lr=self._RATE, betas=(0.0, 0.99), fused=True)

    def loss(self, pairs: Pairs, progress: float) -> Scalar:
        """Less, the more the decoded faces are taken for true; 0 before it has joined in."""
        first = next(iter(pairs.values()))[0]
        if progress < self._config.adversarial_from:
            return first.new_zeros(())
        logits = [-self._logits(decoded, person).mean() for person, (decoded, _) in pairs.items()]
        return self._config.adversarial * torch.stack(logits).sum()

    def learn(self, pairs: Pairs, progress: float) -> None:
        """One step of its own optimizer, unless its gradient is no number."""
        if progress < self._config.adversarial_from:
            return

        # What the network draws is false, what was filmed is true.
        self._discriminator.train().requires_grad_(True)
        self._optimizer.zero_grad(set_to_none=True)
        losses = []
        for person, (decoded, target) in pairs.items():
            false, true = self._logits(torch.cat([decoded.detach(), target]), person).chunk(2)
            losses.append((1 + false).relu().mean() + (1 - true).relu().mean())

        # A step, as that of the network: left out if it is not finite.
        torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]  # torch's
        gradients = [p.grad for p in self._parameters if p.grad is not None]
        self._ranks.all_reduce_mean(gradients)
        broken = ~torch.isfinite(torch.nn.utils.get_total_norm(gradients))
        self._optimizer.found_inf = broken.float()  # type: ignore[attr-defined]  # as torch's GradScaler sets it
        self._optimizer.step()

        self._discriminator.eval().requires_grad_(False)

    def _logits(self, faces: Pictures, person: str) -> Float[Tensor, "batch h2 w2"]:
        logits: Tensor = self._discriminator(faces * 2 - 1)[:, self._numbers[person]]
        return logits

    def tensors(self) -> dict[str, Tensor]:
        """Weights, vectors of the spectral norm, and moments."""
        kept = {f"judge.{name}": value for name, value in self._discriminator.state_dict().items()}
        return kept | moments_of(self._optimizer, self._discriminator.named_parameters())

    def restore(self, kept: Mapping[str, Tensor]) -> None:
        """Raises RuntimeError if `kept` is of another one; with nothing kept, it starts anew."""
        if not kept:
            return
        self._discriminator.load_state_dict(
            {k.removeprefix("judge."): v for k, v in kept.items() if k.startswith("judge.")}
        )
        restore_moments(self._optimizer, self._discriminator.named_parameters(), kept)


def _discriminator(persons: int, width: int) -> nn.Module:
    """Three halvings: a verdict sees about a third of a face of 64 px, and finer and finer detail of larger ones."""
    layers: list[nn.Module] = []
    for inputs, outputs in ((3, width), (width, 2 * width), (2 * width, 4 * width)):
        layers += [spectral_norm(nn.Conv2d(inputs, outputs, 4, stride=2, padding=1)), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, spectral_norm(nn.Conv2d(4 * width, persons, 3, padding=1)))
