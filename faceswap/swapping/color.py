"""Giving a swapped face the colours of the face that it replaces.

Every method here compares two sets of pixels, what the decoder made (`ours`) and what the video shows (`theirs`), both
under the mask, and moves the decoder's picture from the one to the other. The sets may come from several frames, which
keeps the colours from flickering: see `faceswap.swapping.smooth`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from faceswap.swapping.filters import filtered, gaussian

Pixels = Float[Tensor, "*batch pixels 3"]
"""sRGB in 0..1, or CIE Lab with L in 0..100 where a name says so."""
Pictures = Float[Tensor, "batch 3 size size"]

_SIDE = 16  # of the reduced crop whose pixels are compared: a palette needs no detail
_GAIN = (0.85, 1.15)
"""How far contrast may be changed. Within a face, spread is mostly features: a clean-shaven face must not be given the
contrast of a black beard."""
_PALEST = 0.5
"""How far the spread of colour may be reduced: red lips do not belong into pale footage."""
_QUANTILES = 17
_DARK = 0.1  # of 0..1: far below it, shades of black count as one
_FLAT = 1e-6  # variance below which a palette counts as of one colour
_LEAST_WEIGHT = 0.5  # of a palette: with less nothing is compared
_TRUST_ROUNDS = 3
_FEATURE_CONTRAST = 0.2  # of logarithms of brightness: what differs by twice as much from most places is no light
_LIGHT_REACH = 0.15  # of the crop's side, a quarter of a face: standard deviation of the average over places
_LIGHT_DOUBT = 0.1  # of the weight of a place that is known: where there is less, light is taken to be as elsewhere
_MOST_LOCAL = 0.25  # by which light may differ between places, in logarithms
_EYES_SHARE = 0.5  # of a change of brightness
_ROUNDS = 8  # of sliced transport: it moves less and less

_TO_XYZ = ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041))
_WHITE = (0.95047, 1.0, 1.08883)  # D65
_LINEAR = 6 / 29  # below its cube, Lab is linear in XYZ


@dataclass(frozen=True)
class Palette:
    """The colours of some swapped faces and of those that they replace, at the same places."""

    ours: Pixels
    """As decoded."""
    theirs: Pixels
    """As filmed."""
    weights: Float[Tensor, "*batch pixels"]
    """How much each place counts: its mask."""


def palette(pictures: Pictures, originals: Pictures, masks: Float[Tensor, "batch size size"]) -> Palette:
    """What to compare of decoded pictures and of the faces they replace, RGB in 0..1, under masks in 0..1.

    The places are those of a grid of `_SIDE` rows and columns, row by row.
    """
    reduced = functional.adaptive_avg_pool2d(torch.cat([pictures, originals, masks[:, None]], dim=1), _SIDE).flatten(2)
    return Palette(reduced[:, :3].mT, reduced[:, 3:6].mT, reduced[:, 6])


def match(pictures: Pictures, colours: Palette, method: str) -> Pictures:
    """The pictures (RGB, 0..1) with the colours of the faces that they replace, by one of `config.COLOURS`.

    A face whose palette weighs nothing keeps its colours.
    """
    if method == "none":
        return pictures
    if method == "light":
        return relit(pictures, colours)
    moves = {"linear": linear, "reinhard": reinhard, "histogram": histogram, "transport": transport}
    pixels = pictures.flatten(2).mT
    known = (colours.weights.sum(dim=-1) > _LEAST_WEIGHT)[:, None, None]
    moved: Tensor = torch.where(known, moves[method](pixels, colours), pixels).clamp(0, 1)
    matched: Pictures = moved.mT.reshape(pictures.shape)
    return matched


def with_own_eyes(pictures: Pictures, matched: Pictures, eyes: Float[Tensor, "batch size size"]) -> Pictures:
    """The `matched` pictures, but the eyes, as that mask says, with the hue that they had: another skin does not change
    it. Of a change of brightness half stays, since it may be light. Lips and teeth go with the skin: of their own
    colour, lips look blue in a warmer face."""
    before = to_log(pictures)
    move = to_log(matched) - before
    own = _EYES_SHARE * move.mean(dim=1, keepdim=True)
    return ((before + torch.lerp(move, own.expand_as(move), eyes[:, None])).exp() - _DARK).clamp(0, 1)


def relit(pictures: Pictures, colours: Palette) -> Pictures:
    """The light that falls on the replaced faces, and its colour: a factor for each channel that changes slowly, over
    a quarter of a face. Features, a beard or brows, are not light: places whose ratio of brightness lies far from that
    of most others count little, and the factor cannot differ much between places.
    """
    ours, theirs = to_log(colours.ours), to_log(colours.theirs)
    ratio, weights = theirs - ours, colours.weights

    # What most places say.
    trusted = weights
    for _ in range(_TRUST_ROUNDS):
        mean = _mean(ratio, trusted)
        away = (ratio - mean).mean(dim=-1)
        trusted = weights * torch.exp(-((away / _FEATURE_CONTRAST) ** 2) / 2)
    mean = _mean(ratio, trusted)

    # How light differs from place to place. Palettes of several frames lie one behind the other.
    shape = (len(pictures), -1, _SIDE, _SIDE)
    sums = (trusted[..., None] * (ratio - mean)).reshape(*shape, 3).sum(dim=1).permute(0, 3, 1, 2)
    total = trusted.reshape(shape).sum(dim=1)[:, None]
    taps = gaussian(_LIGHT_REACH * _SIDE)
    local = filtered(sums, taps) / (filtered(total, taps) + _LIGHT_DOUBT * total.amax(dim=(2, 3), keepdim=True))
    field = mean.mT[..., None] + _MOST_LOCAL * torch.tanh(local / _MOST_LOCAL)

    field = functional.interpolate(field, size=pictures.shape[-2:], mode="bicubic", align_corners=False)
    known = (weights.sum(dim=-1) > _LEAST_WEIGHT)[:, None, None, None]
    lit = (to_log(pictures) + field).exp() - _DARK
    return torch.where(known, lit, pictures).clamp(0, 1)


def _mean(values: Pixels, weights: Float[Tensor, "*batch pixels"]) -> Float[Tensor, "*batch 1 3"]:
    shares = weights / weights.sum(dim=-1, keepdim=True).clamp_min(1e-6)
    return (shares[..., None] * values).sum(dim=-2, keepdim=True)


def linear(pixels: Pixels, colours: Palette) -> Pixels:
    """Mean and covariance of all channels together, moved as little as possible: the Monge-Kantorovich map.

    Pitie and Kokaram, "The linear Monge-Kantorovitch linear colour mapping for example-based colour transfer" (2007):
    A = S^-1/2 (S^1/2 T S^1/2)^1/2 S^-1/2 for covariances S of ours and T of theirs. Its stretching along any direction
    is kept within 15 %, but colour may be made paler. All that between logarithms, where another lamp or skin is a
    shift: added to the values themselves, it would tint pupils and lips.
    """
    pixels = to_log(pixels)

    (our_mean, ours), (their_mean, theirs) = (
        _moments(to_log(x), colours.weights) for x in (colours.ours, colours.theirs)
    )

    root, inverse = _power(ours, 0.5), _power(ours, -0.5)
    values, vectors = torch.linalg.eigh(inverse @ _power(root @ theirs @ root, 0.5) @ inverse)

    greyness = (vectors.sum(dim=-2) ** 2) / 3  # of each direction: 1 from black to white, 0 from hue to hue
    least = _PALEST + greyness * (_GAIN[0] - _PALEST)
    limited = torch.maximum(values.clamp(max=_GAIN[1]), least)

    stretching = vectors @ torch.diag_embed(limited) @ vectors.mT
    moved: Pixels = ((pixels - our_mean) @ stretching + their_mean).exp() - _DARK
    return moved


def reinhard(pixels: Pixels, colours: Palette) -> Pixels:
    """Mean and spread of each channel in CIE Lab: Reinhard et al., "Color transfer between images" (2001).

    The change of spread is kept within 15 %, but colour may be made paler.
    """
    (our_mean, ours), (their_mean, theirs) = (
        _moments(to_lab(x), colours.weights) for x in (colours.ours, colours.theirs)
    )
    spreads = [covariance.diagonal(dim1=-2, dim2=-1).sqrt()[..., None, :] for covariance in (ours, theirs)]
    least = pixels.new_tensor([_GAIN[0], _PALEST, _PALEST])
    gain = torch.maximum((spreads[1] / spreads[0]).clamp(max=_GAIN[1]), least)
    return to_rgb((to_lab(pixels) - our_mean) * gain + their_mean)


def histogram(pixels: Pixels, colours: Palette) -> Pixels:
    """The whole distribution of each channel of CIE Lab for itself, by its quantiles.

    Contrast is not limited: a shaven face that replaces a bearded one gets a dark chin. So it is with `transport`.
    """
    ours, theirs = (_quantiles(to_lab(x), colours.weights) for x in (colours.ours, colours.theirs))
    return to_rgb(_mapped(to_lab(pixels), ours, theirs))


def transport(pixels: Pixels, colours: Palette) -> Pixels:
    """The joint distribution of the channels of CIE Lab: sliced optimal transport.

    Pitie et al., "Automated colour grading using colour distribution transfer" (2007): the distributions along three
    axes are matched as `histogram` does, the axes are turned, and so on.
    """
    ours, theirs, pixels = (to_lab(x) for x in (colours.ours, colours.theirs, pixels))
    for turn in _turns(pixels):
        a, b = ours @ turn, theirs @ turn
        before, after = _quantiles(a, colours.weights), _quantiles(b, colours.weights)
        ours = _mapped(a, before, after) @ turn.T
        pixels = _mapped(pixels @ turn, before, after) @ turn.T
    return to_rgb(pixels)


def to_log(rgb: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """The logarithms of sRGB values, which are moved up a little, since black has none."""
    return (rgb.clamp_min(0) + _DARK).log()


def to_lab(rgb: Pixels) -> Pixels:
    """CIE Lab (1976, D65) of sRGB in 0..1."""
    light = torch.where(rgb <= 0.04045, rgb / 12.92, ((rgb.clamp_min(0) + 0.055) / 1.055) ** 2.4)
    matrix = rgb.new_tensor(_TO_XYZ) / rgb.new_tensor(_WHITE)[:, None]
    xyz = light @ matrix.T
    f = torch.where(xyz > _LINEAR**3, xyz.clamp_min(1e-6) ** (1 / 3), xyz / (3 * _LINEAR**2) + 4 / 29)
    x, y, z = f.unbind(dim=-1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=-1)


def to_rgb(lab: Pixels) -> Pixels:
    """sRGB in 0..1 of CIE Lab; what no screen can show is cut off."""
    lightness, a, b = lab.unbind(dim=-1)
    y = (lightness + 16) / 116
    f = torch.stack([y + a / 500, y, y - b / 200], dim=-1)
    xyz = torch.where(f > _LINEAR, f**3, 3 * _LINEAR**2 * (f - 4 / 29))
    matrix = torch.linalg.inv(lab.new_tensor(_TO_XYZ) / lab.new_tensor(_WHITE)[:, None])
    light = (xyz @ matrix.T).clamp(0, 1)
    return torch.where(light <= 0.0031308, light * 12.92, 1.055 * light.clamp_min(1e-6) ** (1 / 2.4) - 0.055)


def _moments(
    values: Pixels, weights: Float[Tensor, "*batch pixels"]
) -> tuple[Float[Tensor, "*batch 1 3"], Float[Tensor, "*batch 3 3"]]:
    """Weighted mean and covariance, the latter never quite flat in any direction."""
    shares = (weights / weights.sum(dim=-1, keepdim=True).clamp_min(1e-6))[..., None]
    mean = (shares * values).sum(dim=-2, keepdim=True)
    away = values - mean
    return mean, (shares * away).mT @ away + _FLAT * torch.eye(3, device=values.device)


def _power(matrix: Float[Tensor, "*batch 3 3"], exponent: float) -> Float[Tensor, "*batch 3 3"]:
    """Of a symmetric positive matrix."""
    values, vectors = torch.linalg.eigh(matrix)
    power: Tensor = vectors @ torch.diag_embed(values.clamp_min(_FLAT) ** exponent) @ vectors.mT
    return power


def _turns(like: Pixels) -> list[Float[Tensor, "3 3"]]:
    """Rotations that are always the same ones, spread over all directions."""
    rng = torch.Generator().manual_seed(0)
    return [torch.linalg.qr(torch.randn(3, 3, generator=rng))[0].to(like) for _ in range(_ROUNDS)]


def _quantiles(values: Pixels, weights: Float[Tensor, "*batch pixels"]) -> Float[Tensor, "*batch 3 levels"]:
    """Of each channel, at even steps of the weight below."""
    share = weights[..., None] / weights.sum(dim=-1)[..., None, None].clamp_min(1e-6)
    mean = (share * values).sum(dim=-2, keepdim=True)
    # What weighs nothing must not lie at the ends, where there is nothing else to take a value from.
    ordered, order = torch.where(share > 0, values, mean).mT.sort(dim=-1)
    weight = weights[..., None, :].expand_as(ordered).gather(-1, order)
    below = weight.cumsum(dim=-1) - weight / 2
    share = below / (below[..., -1:] + weight[..., -1:] / 2).clamp_min(1e-6)
    # Not from the very ends: single odd pixels lie there.
    levels = torch.linspace(0.01, 0.99, _QUANTILES, device=values.device).expand(*share.shape[:-1], -1)
    return _interpolated(levels.contiguous(), share.contiguous(), ordered)


def _mapped(
    pixels: Pixels, before: Float[Tensor, "*batch 3 levels"], after: Float[Tensor, "*batch 3 levels"]
) -> Pixels:
    """Pixels whose channels are moved as the quantiles are; beyond the outermost ones by as much as these."""
    channels = pixels.mT.contiguous()
    inside = torch.minimum(torch.maximum(channels, before[..., :1]), before[..., -1:])
    moved: Pixels = (_interpolated(inside, before.contiguous(), after) + channels - inside).mT
    return moved


def _interpolated(
    at: Float[Tensor, "*batch queries"], known: Float[Tensor, "*batch knots"], values: Float[Tensor, "*batch knots"]
) -> Float[Tensor, "*batch queries"]:
    """Piecewise linear interpolation, constant beyond the ends; `known` does not decrease."""
    right = torch.searchsorted(known, at).clamp(1, known.shape[-1] - 1)
    x0, x1 = known.gather(-1, right - 1), known.gather(-1, right)
    y0, y1 = values.gather(-1, right - 1), values.gather(-1, right)
    share = ((at - x0) / (x1 - x0).clamp_min(1e-6)).clamp(0, 1)
    return y0 + share * (y1 - y0)
