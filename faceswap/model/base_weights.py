"""Base weights: a model that already knows faces, for new ones to start from.

They come from a conditional VAE of many people (`faceswap.training.base_weights`), in whose latent is what faces do,
and in whose decoder's codes whose they are. A new person begins with a code that is found for them (`initialise.py`
there). One file serves both kinds of decoder, and two kinds of latent: a plain one begins as the mean of the
distribution, a variational one with the variance that the numbers had on average.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from faceswap.config import PRESETS, ModelConfig
from faceswap.errors import ModelError
from faceswap.model.bottleneck import Plain
from faceswap.model.decoder import ConditionalDecoder
from faceswap.model.detail import load_keeping_detail
from faceswap.model.swap_model import SwapModel, build_model, conditional
from faceswap.model.variational import Variational
from faceswap.weights import is_listed, weight_file

Weights = Mapping[str, Tensor]

_LATENTS = ("plain", "vae")


def base_of(config: ModelConfig) -> str | None:
    """The name in the manifest of the base weights that fit a model; None if none do."""
    for name, preset in PRESETS.items():
        if _shape(config) == _shape(preset) and config.latent in _LATENTS and is_listed(f"base_{name}"):
            return f"base_{name}"
    return None


def _shape(config: ModelConfig) -> tuple[int, ...]:
    return config.size, config.width, config.max_width, config.latent_size, config.blocks


def load_base(name: str) -> dict[str, Tensor]:
    """The base weights of this name, float32. Raises ModelError if they are missing or damaged."""
    return read_base(weight_file(name))


def read_base(path: Path) -> dict[str, Tensor]:
    """Base weights from a file, float32. Raises ModelError if it has none."""
    try:
        return {key: value.float() for key, value in load_file(path).items()}
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"{path} cannot be read as weights ({error})", "Name a file that pretraining has made"
        ) from error


def base_model(config: ModelConfig, base: Weights) -> SwapModel:
    """The conditional VAE that the base weights were taken from, with its mean person in place of everybody."""
    model = build_model(dataclasses.replace(config, latent="vae", decoder="conditional"))
    start_from(model, base, [base["code"] for _ in config.persons])
    return model


@torch.no_grad()
def start_from(model: SwapModel, base: Weights, codes: Sequence[Tensor]) -> None:
    """Have every part of a new model begin with what `base` knows, and each person as whom their code describes."""
    model.encoder.load_state_dict(_under("encoder", base))

    bottleneck, decoders = model.bottleneck, model.decoders
    bottleneck.expand.load_state_dict(_under("expand", base))

    if isinstance(bottleneck, Variational):
        bottleneck.mean.load_state_dict(_under("mean", base))
        bottleneck.log_variance.bias.copy_(base["log_variance"])
    elif isinstance(bottleneck, Plain):
        bottleneck.shrink.load_state_dict(_under("mean", base))

    if isinstance(decoders, ConditionalDecoder):
        load_keeping_detail(decoders.decoder, _under("decoder", base))
        decoders.modulations.load_state_dict(_under("modulations", base))
        decoders.codes.copy_(torch.stack(list(codes)))
    else:
        for decoder, code in zip(decoders.values(), codes, strict=True):
            load_keeping_detail(decoder, fold_code(base, code))


def _under(part: str, weights: Weights) -> dict[str, Tensor]:
    return {key.removeprefix(f"{part}."): value for key, value in weights.items() if key.startswith(f"{part}.")}


def fold_code(base: Weights, code: Tensor) -> dict[str, Tensor]:
    """The weights of a decoder that always draws the person of this code, and takes none.

    What scales and shifts the channels between two convolutions can as well be a part of the second one: exactly, but
    for the outermost pixels of the last one, whose 3x3 filter sees zeros beyond the border, not shifted.
    """
    decoder, count = _under("decoder", base), sum(1 for key in base if key.endswith("read.bias"))
    readers = [f"stages.{stage}.0.expand" for stage in range(count - 1)] + ["head.0"]
    for number, reader in enumerate(readers):
        said = base[f"modulations.{number}.read.weight"] @ code + base[f"modulations.{number}.read.bias"]
        scale, shift = said.chunk(2)
        weight = decoder[f"{reader}.weight"]
        decoder[f"{reader}.bias"] = decoder[f"{reader}.bias"] + weight.sum(dim=(2, 3)) @ shift
        decoder[f"{reader}.weight"] = weight * (1 + scale)[:, None, None]
    return decoder


def grow_weights(base: Weights, model: SwapModel) -> dict[str, Tensor]:
    """Base weights for a conditional VAE of larger pictures that is to know what smaller ones know.

    Networks grow at the picture's end (Karras et al., 2018, "Progressive growing of GANs"): what is new there begins by
    chance, as in `model`, and so do residual blocks, which change nothing at first. Raises ModelError if `model` is
    not such a network.
    """
    begun = {key: value.float() for key, value in export_base(model, base["log_variance"]).items()}

    more = _stages(begun) - _stages(base)
    for key, known in base.items():
        match key.split("."):
            case ["encoder", "stages", "0", *_] | ["decoder", "head", *_]:
                continue  # where small pictures came in and went out
            case ["encoder", "stages", number, *rest]:  # the encoder counts from the picture, the decoder to it
                key = ".".join(["encoder", "stages", str(int(number) + more), *rest])

        if more < 1 or key not in begun or begun[key].shape != known.shape:
            raise ModelError(
                "these base weights are not the inside of this network", "Begin with weights of half the size"
            )
        begun[key] = known
    return begun


def _stages(base: Weights) -> int:
    return sum(key.startswith("encoder.stages.") and key.endswith(".weight") for key in base)


def export_base(model: SwapModel, log_variance: Tensor) -> dict[str, Tensor]:
    """What of a conditional VAE of many people ships: everything but the people. float16.

    `log_variance` has the mean of each number's log variance over many faces.
    """
    bottleneck, decoders = model.bottleneck, conditional(model)
    if not isinstance(bottleneck, Variational):
        raise TypeError("base weights come from a variational model")

    parts = {
        "encoder": model.encoder,
        "mean": bottleneck.mean,
        "expand": bottleneck.expand,
        "decoder": decoders.decoder,
        "modulations": decoders.modulations,
    }

    kept = {f"{part}.{key}": value for part, module in parts.items() for key, value in module.state_dict().items()}
    kept |= {"log_variance": log_variance, "code": decoders.codes.mean(dim=0)}
    return {key: value.detach().cpu().half().contiguous() for key, value in kept.items()}
