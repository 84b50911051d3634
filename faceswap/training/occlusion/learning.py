"""The training of the network that sees what lies in front of a face, and how good it is."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from faceswap.faces.occlusion import SIDE, OcclusionNetwork
from faceswap.model.backbone import load_shipped
from faceswap.seeds import seed_of
from faceswap.training.occlusion.occluders import TRAINED, Draw
from faceswap.training.occlusion.samples import FacePlanes, Sample, batch_of, draw_sample

_BATCH = 32
_RATE, _BACKBONE_SHARE = 2e-3, 0.2  # of the new layers; times that, those that know ImageNet
_WARM_UP = 50  # steps
_BESIDE = 0.05  # weight of pixels that are no face
_AHEAD = 2  # batches that are drawn while the network learns
_FRESH = 0  # the stream of random numbers that training draws from; measuring has one of its own
_MEASURING = 1

Batch = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class Step:
    """A step, and what it was like."""

    number: int
    progress: float
    """Share of the time that is over, 0..1."""
    loss: float


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Of faces that were not trained on."""

    iou: float
    """Of the face that is seen with the true one: intersection over union, mean over faces with something before
    them."""
    false_hits: float
    """Share of bare faces' pixels that are taken for covered."""
    milliseconds: float
    """For a face, of the network alone, eight at once."""


def new_network() -> OcclusionNetwork:
    """The first layers know ImageNet, the others nothing."""
    network = OcclusionNetwork()
    load_shipped(network.backbone, "perceptual")
    return network.to(memory_format=torch.channels_last)


def train(network: OcclusionNetwork, faces: FacePlanes, seconds: float, seed: int = 0) -> Iterator[Step]:
    """Train for some time, easing to nothing; the network is good to use after the last step."""
    backbone = list(network.backbone.parameters())
    others = [*network.up.parameters(), *network.head.parameters()]
    groups = [{"params": others, "share": 1.0}, {"params": backbone, "share": _BACKBONE_SHARE}]
    optimizer = torch.optim.AdamW(groups, lr=_RATE, weight_decay=1e-4)
    network.train().backbone.eval()  # BatchNorm keeps what it knows: batches here are small

    start, progress = time.monotonic(), 0.0
    for number, (pictures, covers, where) in enumerate(_batches(faces, seed), start=1):
        rate = _RATE * min(1.0, number / _WARM_UP) * (1 + math.cos(math.pi * progress)) / 2
        for group in optimizer.param_groups:
            group["lr"] = rate * group["share"]

        value = loss(network(pictures), covers, where)
        optimizer.zero_grad(set_to_none=True)
        value.backward()  # type: ignore[no-untyped-call]  # torch's
        optimizer.step()

        progress = min(1.0, (time.monotonic() - start) / seconds)
        yield Step(number, progress, float(value.detach()))
        if progress >= 1:
            break
    network.eval()


def loss(
    logits: Float[Tensor, "batch side side"],
    covers: Float[Tensor, "batch side side"],
    where: Float[Tensor, "batch side side"],
) -> Float[Tensor, ""]:
    """Cross-entropy and Dice (Milletari et al., 2016) over the pixels of the face."""
    weight = where + _BESIDE
    entropy = (functional.binary_cross_entropy_with_logits(logits, covers, reduction="none") * weight).sum()
    found = torch.sigmoid(logits) * where
    shared, both = (found * covers).sum(dim=(1, 2)), (found + covers * where).sum(dim=(1, 2))
    dice = 1 - (2 * shared + 1) / (both + 1)
    return entropy / weight.sum() + 0.3 * dice.mean()


@torch.inference_mode()
def measure(network: OcclusionNetwork, faces: FacePlanes, kinds: Mapping[str, Draw], seed: int = 0) -> Measured:
    """How well it sees what of `kinds` lies before `faces`, and whether it leaves bare ones alone."""
    shares: list[float] = []
    hits: list[float] = []
    for number in range(len(faces)):
        rng = np.random.default_rng(seed_of(seed, _MEASURING, number))

        # With something before it, if chance wants it so.
        covered, truth, inside = _answer(network, draw_sample(faces, number, kinds, rng))
        if (truth & inside).any():
            seen, wanted = ~covered & inside, ~truth & inside
            shares.append(float((seen & wanted).sum() / (seen | wanted).sum().clamp_min(1)))

        # And bare.
        covered, _, inside = _answer(network, draw_sample(faces, number, {}, rng))
        hits.append(float((covered & inside).sum() / inside.sum()))
    return Measured(iou=float(np.mean(shares)), false_hits=float(np.mean(hits)), milliseconds=_milliseconds(network))


def _answer(network: OcclusionNetwork, sample: Sample) -> tuple[Tensor, Tensor, Tensor]:
    """What the network takes for covered, what is, and where that counts."""
    pictures, covers, where = batch_of([sample])
    return network(pictures) > 0, covers > 0.5, where > 0.5


def _milliseconds(network: OcclusionNetwork) -> float:
    crops = torch.rand(8, 3, SIDE, SIDE)
    taken = []
    for _ in range(5):
        start = time.perf_counter()
        network(crops)
        taken.append(time.perf_counter() - start)
    return min(taken) / len(crops) * 1e3


def _batches(faces: FacePlanes, seed: int) -> Iterator[Batch]:
    """Batches without end, drawn while the network learns from the ones before."""
    with ThreadPoolExecutor(1) as pool:
        coming = [pool.submit(_batch, faces, seed, step) for step in range(_AHEAD)]
        for step in count(_AHEAD):
            coming.append(pool.submit(_batch, faces, seed, step))
            yield coming.pop(0).result()


def _batch(faces: FacePlanes, seed: int, step: int) -> Batch:
    return batch_of([_sample(faces, seed, step, place) for place in range(_BATCH)])


def _sample(faces: FacePlanes, seed: int, step: int, place: int) -> Sample:
    rng = np.random.default_rng(seed_of(seed, _FRESH, step, place))
    return draw_sample(faces, int(rng.integers(len(faces))), TRAINED, rng)
