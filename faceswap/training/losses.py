"""What training makes small. Pictures and masks are float in 0..1; results are scalars unless said otherwise."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F  # noqa: N812  # torch's own name for it
from jaxtyping import Float
from torch import Tensor, nn

from faceswap.config import TrainConfig
from faceswap.model.bottleneck import Encoded, Latent
from faceswap.model.decoder import Person
from faceswap.model.swap_model import Decoded, Rendered, SwapModel
from faceswap.precision import multiplies_in_bfloat16
from faceswap.training.bank import Batch

_BACKGROUND = 0.05  # weight of a pixel outside the face: enough to keep the mask's soft edge clean
_WINDOW, _SIGMA = 11, 1.5  # of the structural similarity, as published
_C1, _C2 = 0.01**2, 0.03**2
_LUMA = (0.299, 0.587, 0.114)

Scalar = Float[Tensor, ""]
Planes = Float[Tensor, "batch channels h w"]


@dataclass(frozen=True, kw_only=True)
class Losses:
    """The parts of one person's loss."""

    pixel: Scalar
    structure: Scalar
    mask: Scalar
    total: Scalar

    def detach(self) -> Losses:
        """The same values without the graph that led to them."""
        return Losses(
            pixel=self.pixel.detach(),
            structure=self.structure.detach(),
            mask=self.mask.detach(),
            total=self.total.detach(),
        )


@dataclass(frozen=True)
class ObjectiveResult:
    """What a batch of each person came to."""

    total: Scalar
    """To be made small."""
    persons: Mapping[str, Losses]
    latent: Mapping[str, Scalar]
    """What is known of the latent, by name: `elbo` and `kl` in nats a face, `perplexity`, `active`..."""
    decoded: Mapping[str, Decoded]
    encoded: Encoded | None
    """None where the bottleneck does not learn."""


class Objective(nn.Module):
    """From a batch of each person to the loss: the part of a training step that is differentiated.

    Of the coarse stage: everything but the detail stages.
    """

    def __init__(self, model: SwapModel, config: TrainConfig, device: torch.device) -> None:
        super().__init__()
        self.model, self.config = model, config
        self._device, self._half = device.type, multiplies_in_bfloat16(device)

    def forward(self, batches: Mapping[str, Batch], noise: Latent, beta: Scalar) -> ObjectiveResult:
        """`beta` is the weight of the KL divergence in this step, `noise` as in SwapModel.forward."""
        inputs = {person: batch.input for person, batch in batches.items()}

        with torch.autocast(self._device, torch.bfloat16, enabled=self._half):
            decoded, encoded = self.model(inputs, noise, whose_are(batches))

        persons = {p: reconstruction_losses(decoded[p], batch, self.config) for p, batch in batches.items()}
        rebuilding = torch.stack([losses.total for losses in persons.values()]).sum()
        values = next(iter(inputs.values()))[0].numel()
        total = rebuilding + len(persons) * latent_penalty(encoded.penalties, self.config, beta, values)

        metrics = dict(encoded.metrics) | {name: term.detach().sum() for name, term in encoded.penalties.items()}
        for rate in metrics.keys() & {"kl", "prior"}:  # what telling the latent costs, in nats
            metrics["elbo"] = self._likelihood(decoded, batches) - metrics[rate]

        return ObjectiveResult(total, persons, metrics, decoded, encoded)

    @torch.no_grad()
    def _likelihood(self, decoded: Mapping[str, Decoded], batches: Mapping[str, Batch]) -> Scalar:
        """Logarithm of the pictures' likelihood, in nats a face."""
        each = [log_likelihood(decoded[p], batch.target, self.config) for p, batch in batches.items()]
        return torch.stack(each).mean()


class DetailObjective(nn.Module):
    """The same of the detail stage, where the decoders learn from faces as they are, at the large size."""

    def __init__(self, model: SwapModel, config: TrainConfig, device: torch.device) -> None:
        super().__init__()
        self.model, self.config = model, config
        self._device, self._half = device.type, multiplies_in_bfloat16(device)

    def forward(self, batches: Mapping[str, Batch], noise: Latent, beta: Scalar) -> ObjectiveResult:  # noqa: ARG002  # as Objective
        """Nothing is left to chance: `noise` and `beta` are not used."""
        with torch.autocast(self._device, torch.bfloat16, enabled=self._half):
            inputs = {p: batch.input for p, batch in batches.items()}
            window = next(iter(batches.values())).window
            rendered = self.model.refined(inputs, whose_are(batches), window)
        persons = {p: detail_losses(rendered[p], batch, self.config) for p, batch in batches.items()}
        total = torch.stack([losses.total for losses in persons.values()]).sum()
        return ObjectiveResult(total, persons, {}, {p: made.fine for p, made in rendered.items()}, None)


def whose_are(batches: Mapping[str, Batch]) -> dict[str, Person]:
    """As whom each batch is to be drawn."""
    return {p: p if batch.persons is None else batch.persons for p, batch in batches.items()}


def detail_losses(rendered: Rendered, batch: Batch, config: TrainConfig) -> Losses:
    """The pixel loss and 1 - SSIM of the large picture, weighted as in `reconstruction_losses`; structure is the
    luminance's, since colours are right by now. And all that the small picture, with the mask, costs as before: with
    nothing to hold them, they would drift away while the layers that draw them learn."""
    fine, weight = rendered.fine, _importance(batch, config)

    target = completed(batch, fine.picture)
    pixel = weighted_mean(pixel_errors(fine, target, config), weight)
    structure = weighted_mean(1 - ssim_map(luminance(fine.picture), luminance(target)), weight)

    small = _part(rendered.coarse, batch)
    times = batch.target.shape[-1] // small.picture.shape[-1]
    coarse = reconstruction_losses(small, _reduced(batch, times), config)

    return Losses(
        pixel=pixel,
        structure=structure,
        mask=coarse.mask,
        total=pixel + config.structure_weight * structure + coarse.total,
    )


def _part(coarse: Decoded, batch: Batch) -> Decoded:
    """What of small pictures the batch's targets show."""
    if batch.window is None:
        return coarse
    size = coarse.picture.shape[-1]
    return Decoded(*(batch.window.of(planes, size) for planes in (coarse.picture, coarse.mask, coarse.logits)))


def _reduced(batch: Batch, times: int) -> Batch:
    """The same batch with targets of the small picture's size."""
    target, mask, features = (F.avg_pool2d(planes, times) for planes in (batch.target, batch.mask, batch.features))
    visible = None if batch.visible is None else F.avg_pool2d(batch.visible, times)
    return replace(batch, target=target, mask=mask, features=features, visible=visible)


def luminance(pictures: Float[Tensor, "batch 3 h w"]) -> Float[Tensor, "batch 1 h w"]:
    """The weighted mean of red, green and blue (ITU-R BT.601)."""
    return torch.einsum("bchw,c->bhw", pictures, pictures.new_tensor(_LUMA))[:, None]


def completed(batch: Batch, drawn: Float[Tensor, "batch 3 h w"]) -> Float[Tensor, "batch 3 h w"]:
    """The targets, and where something lies in front of a face what was `drawn` there: what is not to be seen costs
    nothing, and nothing that lies beside it is asked to look like it."""
    if batch.visible is None:
        return batch.target
    return torch.lerp(drawn.detach().to(batch.target.dtype), batch.target, batch.visible)


def _importance(batch: Batch, config: TrainConfig) -> Float[Tensor, "batch 1 h w"]:
    """How much each pixel counts: those of the face, above all of eyes and mouth."""
    face = _BACKGROUND + (1 - _BACKGROUND) * batch.mask
    return face * (1 + config.feature_weight * batch.features)


def reconstruction_losses(decoded: Decoded, batch: Batch, config: TrainConfig) -> Losses:
    """The weighted sum of the pixel loss, 1 - SSIM and the mask's L1; the first two count face pixels, above all
    eyes and mouth, as far as they are seen. The mask is the whole face's, since it is known behind a hand as well."""
    target, weight = completed(batch, decoded.picture), _importance(batch, config)
    pixel = weighted_mean(pixel_errors(decoded, target, config), weight)
    structure = weighted_mean(1 - ssim_map(decoded.picture, target), weight)
    mask = (decoded.mask - batch.mask).abs().mean()
    total = pixel + config.structure_weight * structure + config.mask_weight * mask
    return Losses(pixel=pixel, structure=structure, mask=mask, total=total)


def pixel_errors(
    decoded: Decoded, target: Float[Tensor, "batch 3 h w"], config: TrainConfig
) -> Float[Tensor, "batch 1 h w"]:
    """The pixel loss of each pixel, averaged over the channels.

    Each is what a kind of noise costs: l1 Laplace's, mse (squared) Gauss's; bce, the binary cross-entropy of a logistic
    output, takes a value for the chance of a one, and is above 0 even for a perfect copy: by the target's own entropy.
    """
    if config.pixel_loss == "bce":
        errors = F.binary_cross_entropy_with_logits(decoded.logits, target, reduction="none")
    else:
        difference = decoded.picture - target
        errors = difference.abs() if config.pixel_loss == "l1" else difference.square()
    return errors.mean(dim=1, keepdim=True)


def log_likelihood(decoded: Decoded, target: Float[Tensor, "batch 3 h w"], config: TrainConfig) -> Scalar:
    """Of the targets, in nats a face, all pixels counted alike, under the noise that the pixel loss stands for.

    Its scale is the most likely one, which is known in closed form (Rybkin et al., 2021, "Simple and effective VAE
    training with calibrated decoders"). Densities, of values in 0..1: more than 0 is possible.
    """
    error = pixel_errors(decoded, target, config).mean().clamp_min(1e-9)
    values = target[0].numel()
    if config.pixel_loss == "bce":
        return -values * error
    if config.pixel_loss == "mse":
        return -values / 2 * (torch.log(2 * math.pi * error) + 1)
    return -values * (torch.log(2 * error) + 1)


def latent_penalty(penalties: Mapping[str, Tensor], config: TrainConfig, beta: Scalar, values: int) -> Scalar:
    """What the bottleneck's terms cost together.

    The KL divergence and the price of the codes are sums over the latent; they are divided by the number of `values`
    in a picture, over which the pixel loss is averaged. So beta 1, with l1 alone and no weights, is the evidence lower
    bound of a decoder whose noise has the scale 1; the likeliest scale is smaller, and would want a smaller beta.
    """
    costs = [beta.new_zeros(())]
    for name, term in penalties.items():
        match name:
            case "kl":
                costs.append(beta / values * term.clamp_min(config.free_bits).sum())
            case "activity":
                costs.append(config.sparsity * term)
            case "commitment":
                costs.append(config.commitment * term)
            case "prior":
                costs.append(term / values)

    return torch.stack(costs).sum()


def weighted_mean(values: Float[Tensor, "batch 1 h w"], weight: Float[Tensor, "batch 1 h w"]) -> Scalar:
    """The mean over faces of each face's mean of `values`, where `weight` says how much a pixel counts.

    Face by face, so that the mean of two half batches is that of the whole one.
    """
    over = (1, 2, 3)
    mean: Tensor = ((values * weight).sum(over) / weight.sum(over).clamp_min(1e-6)).mean()
    return mean


def ssim_map(x: Planes, y: Planes) -> Float[Tensor, "batch 1 h w"]:
    """Structural similarity around each pixel, -1..1, averaged over the channels (Wang et al., 2004).

    `y` is taken for a constant: no gradient reaches it.
    """
    my = _blur(y.detach())
    mx, squares, xy = _blur(torch.cat([x, x * x + y * y, x * y], dim=1)).chunk(3, dim=1)
    means, mxy = mx * mx + my * my, mx * my
    likeness = ((2 * mxy + _C1) * (2 * (xy - mxy) + _C2)) / ((means + _C1) * (squares - means + _C2))
    return likeness.mean(dim=1, keepdim=True)


def _blur(planes: Planes) -> Planes:
    """A Gaussian window, its border pixels repeated beyond the edge; as two matrix products, which on a CPU
    take a twelfth of the time of the equivalent convolutions."""
    height, width = planes.shape[2:]
    down, across = (_window_matrix(n, planes.device).to(planes.dtype) for n in (height, width))
    return down @ planes @ across.T


def _window_matrix(side: int, device: torch.device) -> Float[Tensor, "side side"]:
    """Row i holds the weights of the window around pixel i."""
    offsets = torch.arange(_WINDOW, device=device) - _WINDOW // 2
    weights = torch.exp(-(offsets**2) / (2 * _SIGMA**2))
    rows = torch.arange(side, device=device)[:, None]
    places = (rows + offsets).clamp(0, side - 1)
    matrix = torch.zeros(side, side, device=device)
    return matrix.scatter_add_(1, places, (weights / weights.sum()).expand(side, -1).contiguous())
