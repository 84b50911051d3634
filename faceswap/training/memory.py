"""How many faces fit into memory at once, known before training begins."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from faceswap.config import ModelConfig, TrainConfig
from faceswap.errors import TrainingError
from faceswap.model.swap_model import SwapModel
from faceswap.training.bank import Batch
from faceswap.training.stages import COARSE, DETAIL, KINDS, StageKind

_WANTED = {"cpu": 8, "cuda": 64}  # faces of each person: a processor learns most per minute from small batches
_COPIES = 10  # of the weights: themselves, gradients, two moments, average, and the state that the guard remembers
_USED = 0.6  # of the free memory; the rest is for what cannot be foreseen


def free_memory(device: torch.device) -> int:
    """Bytes that nobody uses now."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    import psutil  # not above: on a bare CUDA host nothing else needs it

    return int(psutil.virtual_memory().available)


def choose_batch_size(model: ModelConfig, config: TrainConfig, device: torch.device, world: int = 1) -> TrainConfig:
    """The config with a batch size: the given one, or else as many faces as suit the device, and as fit into the
    memory that is free; a power of two times `world`, the number of processes that share a batch.

    Raises TrainingError if not even one face fits.
    """
    if config.batch_size:
        return config

    fixed, each = bytes_needed(model, config)
    batch = _WANTED[device.type]
    while batch and fixed + batch * each > _USED * free_memory(device):
        batch //= 2

    if not batch:
        raise TrainingError(
            f"training at {model.size} px needs {(fixed + each) / 2**30:.1f} GiB of memory for one face of each person,"
            f" and {free_memory(device) / 2**30:.1f} GiB are free",
            "Choose a smaller preset or size, or close other programs",
        )

    return dataclasses.replace(config, batch_size=batch * world)


def bytes_needed(model: ModelConfig, config: TrainConfig) -> tuple[int, int]:
    """Bytes that training takes in any case, and those for each face of each person in a batch, in float32.

    The second are what a step of the hungriest stage keeps for its way back, counted on tensors without content.
    """
    with torch.device("meta"):
        network = SwapModel(model)
        stages = (COARSE, DETAIL) if model.detail else (COARSE,)
        each = max(_bytes_kept(network, config, KINDS[stage]) for stage in stages)
    parameters = sum(parameter.numel() * parameter.element_size() for parameter in network.parameters())
    return _COPIES * parameters, 2 * each  # as much again for the gradients on the way back


def _bytes_kept(network: SwapModel, config: TrainConfig, kind: StageKind) -> int:
    """Bytes that a step of a stage keeps for one face of each person."""
    model = network.config
    objective = kind.objective(network, config, torch.device("cpu"))
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(kind.learns(name))

    # A face of each person, without content.
    size = model.output_size if kind.name == DETAIL else model.size
    picture, target, plane = (
        torch.rand(1, *shape) for shape in ((3,) + (model.size,) * 2, (3, size, size), (1, size, size))
    )
    batch = Batch(input=picture, target=target, mask=plane, features=plane, visible=plane)
    batches = dict.fromkeys(model.persons, batch)
    noise = torch.rand(len(batches), network.bottleneck.length)
    weights = {parameter.untyped_storage()._cdata for parameter in network.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in weights:
            kept[storage._cdata] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        objective(batches, noise, torch.ones(()))
    return sum(kept.values())
