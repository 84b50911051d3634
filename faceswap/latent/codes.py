"""Faces as numbers: from pictures to codes and back, as numpy arrays.

    codes = encode(model, pictures)             # what each face does
    decode(model, codes, "a")                   # ... done by a
    interpolate(codes[0], codes[1], shares)     # ... and what lies between two of them

A code is a row of the model's latent: `model.bottleneck.length` numbers.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from faceswap.errors import ConfigError
from faceswap.model.decoder import ConditionalDecoder, SeparateDecoders
from faceswap.model.quantised import Quantised
from faceswap.model.swap_model import SwapModel
from faceswap.model.variational import Variational

Pictures = UInt8[np.ndarray, "faces _ _ 3"]
"""Aligned crops, square, RGB, 0..255."""
Code = Float[np.ndarray, " latent"]
Codes = Float[np.ndarray, "faces latent"]
Shares = Float[np.ndarray, " steps"]

_AT_ONCE = 64  # faces through the encoder: bounds the memory
_LARGE_AT_ONCE = 16  # through the decoders and their detail stages


@torch.inference_mode()
def encode(model: SwapModel, pictures: Pictures) -> Codes:
    """The codes of aligned crops, float32; the same picture always gives the same one.

    Crops of another side than the model's are resized to it.
    """
    codes = [_array(model.encode(batch)) for batch in batches(model, pictures)]
    return np.concatenate([np.empty((0, model.bottleneck.length), np.float32), *codes])


@torch.inference_mode()
def decode(model: SwapModel, codes: Codes, person: str, *, detail: bool = True) -> Pictures:
    """What `person` looks like doing what the codes say: `model.config.output_size` px, RGB, 0..255.

    Without `detail`: as the decoder draws it before the detail stage, `model.config.size` px, which is quicker.
    Raises KeyError for a person whom the model does not know.
    """
    drawn = []
    for batch in _tensors(model, codes):
        picture = model.render(batch, person).fine.picture if detail else model.decode(batch, person).picture
        drawn.append(to_pictures(picture))
    return np.concatenate(drawn)


@torch.inference_mode()
def decode_between(model: SwapModel, codes: Codes, persons: tuple[str, str], shares: Shares) -> Pictures:
    """Each code as drawn by somebody between two persons: 0 is the first one, 1 the second.

    A conditional decoder is asked for the code between those of the two. Separate decoders began with the same
    weights and learnt beside each other: their weights are mixed. Raises KeyError for an unknown person.
    """
    mixed = copy.deepcopy(model)
    drawn = []
    for code, share in zip(_tensors(model, codes, at_once=1), shares, strict=True):
        _mix_persons(mixed, model, persons, float(share))
        drawn.append(to_pictures(mixed.render(code, persons[0]).fine.picture))
    return np.concatenate(drawn)


def sample(model: SwapModel, count: int, *, seed: int = 0, temperature: float = 1.0) -> Codes:
    """Codes of faces that nobody has shown, drawn from the model's prior.

    A variational latent's prior is the standard normal distribution, whose deviation is multiplied by `temperature`;
    of a quantised one the logits of the next word are divided by it. Less is safer and more alike.

    Raises:
        ConfigError: a temperature that is not above zero.
        ModelError: a kind of latent that has no prior.
    """
    if not temperature > 0:
        raise ConfigError(f"a temperature of {temperature:g} draws nothing", "Use one above 0; 1 is the prior's own")

    bottleneck, device = model.bottleneck, next(model.parameters()).device
    rng = torch.Generator(device).manual_seed(seed)
    if not isinstance(bottleneck, Quantised):
        return _array(temperature * bottleneck.sample(count, rng))

    words = torch.split(bottleneck.prior.sample(count, rng, temperature), bottleneck.tokens, dim=1)
    entries = [book.look_up(level).flatten(1) for book, level in zip(bottleneck.books, words, strict=True)]
    return _array(torch.cat(entries, dim=1))


def interpolate(first: Code, second: Code, shares: Shares, *, spherical: bool = False) -> Codes:
    """Codes between two: a share of 0 gives the first, 1 the second.

    Spherical: directions turn evenly (Shoemake, 1985) while lengths change evenly. Draws from a normal distribution
    of many numbers all have about the same length; halfway on the straight line they would be shorter than any face's.
    """
    between = shares[:, None]
    straight = np.asarray((1 - between) * first + between * second)
    lengths = np.linalg.norm(first), np.linalg.norm(second)
    if not spherical or min(lengths) < 1e-6:
        return straight

    directions = first / lengths[0], second / lengths[1]
    angle = float(np.arccos(np.clip(directions[0] @ directions[1], -1, 1)))
    if np.sin(angle) < 1e-3:  # the same way, or opposite ones, between which there is no one way round
        return straight

    turned = np.sin((1 - between) * angle) * directions[0] + np.sin(between * angle) * directions[1]
    length = (1 - between) * lengths[0] + between * lengths[1]
    return np.asarray(length * turned / np.sin(angle), first.dtype)


def is_variational(model: SwapModel) -> bool:
    """Whether its codes are means of normal distributions: then `interpolate` goes round the sphere."""
    return isinstance(model.bottleneck, Variational)


def batches(model: SwapModel, pictures: Pictures) -> Iterator[Float[Tensor, "batch 3 size size"]]:
    """The crops as the model takes them: RGB in 0..1, at its size, on its device, some at once."""
    device, side = next(model.parameters()).device, model.config.size
    for start in range(0, len(pictures), _AT_ONCE):
        fitted = resized(pictures[start : start + _AT_ONCE], side)
        yield torch.from_numpy(fitted).to(device).permute(0, 3, 1, 2).float() / 255


def resized(pictures: Pictures, side: int) -> Pictures:
    """The crops at `side` px."""
    if pictures.shape[1] == side:
        return np.ascontiguousarray(pictures)
    how = cv2.INTER_AREA if pictures.shape[1] > side else cv2.INTER_CUBIC
    return np.stack([cv2.resize(picture, (side, side), interpolation=how) for picture in pictures]).astype(np.uint8)


def to_pictures(batch: Float[Tensor, "faces 3 side side"]) -> Pictures:
    """RGB in 0..1 as bytes."""
    values = (batch.clamp(0, 1) * 255).round().to(torch.uint8)
    return np.ascontiguousarray(values.permute(0, 2, 3, 1).cpu().numpy())


def _array(codes: Float[Tensor, "faces latent"]) -> Codes:
    return np.asarray(codes.float().cpu().numpy())


def _tensors(model: SwapModel, codes: Codes, at_once: int = _LARGE_AT_ONCE) -> Iterator[Float[Tensor, "batch latent"]]:
    device = next(model.parameters()).device
    for start in range(0, len(codes), at_once):
        chosen = np.ascontiguousarray(codes[start : start + at_once], np.float32)
        yield torch.from_numpy(chosen).to(device)


@torch.no_grad()
def _mix_persons(mixed: SwapModel, model: SwapModel, persons: tuple[str, str], share: float) -> None:
    """Make the first person of `mixed` somebody between the two of `model`."""
    first, second = persons
    ours, theirs = mixed.decoders, model.decoders

    if isinstance(ours, ConditionalDecoder) and isinstance(theirs, ConditionalDecoder):
        codes, numbers = theirs.codes, theirs.numbers
        ours.codes[numbers[first]] = torch.lerp(codes[numbers[first]], codes[numbers[second]], share)
    elif isinstance(ours, SeparateDecoders) and isinstance(theirs, SeparateDecoders):
        start, end = (theirs[person].state_dict() for person in persons)
        ours[first].load_state_dict({name: torch.lerp(value, end[name], share) for name, value in start.items()})
