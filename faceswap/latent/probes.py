"""Probes: what can be told from codes by something as simple as a weighted sum, and from how few labels.

An autoencoder learns from faces without any labels. If its codes know a thing, a linear classifier or regression on
top of the frozen encoder finds it from a handful of labelled faces: semi-supervised learning in its plainest form
(Alain & Bengio, 2017, "Understanding intermediate layers using linear classifier probes").
"""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge, RidgeCV
from torch import Tensor, nn

from faceswap.latent.codes import Codes, Pictures, batches, encode
from faceswap.latent.disentanglement import standardised
from faceswap.latent.faces import Values
from faceswap.latent.projection import principal_components
from faceswap.model.swap_model import SwapModel, build_model
from faceswap.seeds import seed_of

Chosen = Int[np.ndarray, "_"]
"""Places of faces."""
ModelInput = Float[Tensor, "batch 3 size size"]

_BLOCKS = 3, 12  # of each source in time, of a second at least: the fewest and the most; every third one is held out
_GUARD = 0.4  # seconds at either end of a held-out block whose faces are not learnt from
_GREY = 32  # pixels: side of the crops that are compared with
_KEPT = 64  # principal components of those
_PENALTIES = np.logspace(-1, 4, 6)  # that ridge regression chooses from
_PENALTY = 100.0  # where there is nothing to choose by
_FOLDS = 4  # of blocks, to choose by
_ROUNDS = 500  # of logistic regression

_STEPS, _BATCH = 60, 16  # of fine-tuning
_LEAST_SCALE = 1e-3  # of a number of the code, so that one that never changes is not blown up
_RATES = 1e-4, 1e-2  # its learning rates: the encoder's, the new layer's


@dataclass(frozen=True, kw_only=True)
class Target:
    """What is to be told from a face."""

    name: str
    values: Values
    """Of each face: a quantity, or the number of its class."""
    classes: tuple[str, ...] = ()
    """Names of the classes; none: it is a quantity."""

    @property
    def score(self) -> str:
        """What a probe is judged by: 1 is perfect, and guessing gives 0 or the share of the largest class."""
        return "accuracy" if self.classes else "R squared"


@dataclass(frozen=True, kw_only=True)
class Split:
    """Which faces may be learnt from, and which judge."""

    train: Chosen
    held_out: Chosen
    blocks: Int[np.ndarray, " faces"]
    """In which block of time each face lies, all sources counted on."""


def split_by_time(sources: Int[np.ndarray, " faces"], seconds: Values) -> Split:
    """Hold out every third block of each source, in time.

    Neighbouring frames are nearly the same picture: were they on both sides, looking up would pass for knowing. Faces
    less than 0.4 s from a held-out block are on neither side. Single pictures are each a block of their own.
    """
    held_out = np.zeros(len(sources), bool)
    spared = np.zeros(len(sources), bool)
    blocks = np.zeros(len(sources), int)
    number = 0

    for source in np.unique(sources):
        inside = np.flatnonzero(sources == source)
        ordered = inside[np.argsort(seconds[inside], kind="stable")]
        span = int(seconds[ordered[-1]] - seconds[ordered[0]])
        for block in np.array_split(ordered, min(int(np.clip(span, *_BLOCKS)), len(ordered))):
            blocks[block] = number
            if number % 3 == 1:
                held_out[block] = True
                near = _between(seconds, seconds[block[0]] - _GUARD, seconds[block[-1]] + _GUARD)
                spared |= near & (sources == source)
            number += 1

    return Split(train=np.flatnonzero(~held_out & ~spared), held_out=np.flatnonzero(held_out), blocks=blocks)


def _between(values: Values, low: float, high: float) -> Bool[np.ndarray, " faces"]:
    return np.asarray((values >= low) & (values <= high))


def labelled(target: Target, split: Split, count: int, seed: int) -> Chosen:
    """`count` faces to learn from, drawn by chance; of classes as evenly as there are faces of each."""
    rng = np.random.default_rng(seed_of(seed, count))
    order = rng.permutation(split.train)
    if not target.classes:
        return order[:count]

    # The first of every class, then the second of every class...
    values = target.values[order]
    turn = np.zeros(len(order), int)
    for value in np.unique(values):
        same = values == value
        turn[same] = np.arange(same.sum())

    return np.asarray(order[np.argsort(turn, kind="stable")][:count])


def score(features: Codes, target: Target, chosen: Chosen, split: Split) -> float:
    """How well a linear probe that learnt from the chosen faces does on those held out: see `Target.score`."""
    known, asked = target.values[chosen], target.values[split.held_out]

    if not target.classes:
        fit = _ridge(split.blocks[chosen]).fit(features[chosen], known)
        return r_squared(fit.predict(features[split.held_out]), asked)
    if len(np.unique(known)) == 1:  # of one class alone nothing can be learnt but that
        return float((asked == known[0]).mean())

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fit = LogisticRegression(max_iter=_ROUNDS).fit(features[chosen], known)
    return float((fit.predict(features[split.held_out]) == asked).mean())


def _ridge(blocks: Chosen) -> Ridge | RidgeCV:
    """Ridge regression with the penalty that does best on blocks of time left out; chosen face by face it would be far
    too small, since a face's neighbours know its answer."""
    names, groups = np.unique(blocks, return_inverse=True)
    folds = min(_FOLDS, len(names))
    if folds < 2:
        return Ridge(_PENALTY)
    sides = [(np.flatnonzero(groups % folds != fold), np.flatnonzero(groups % folds == fold)) for fold in range(folds)]
    return RidgeCV(_PENALTIES, cv=sides, scoring="neg_mean_squared_error")


def r_squared(predicted: Values, true: Values) -> float:
    """The share of the variance that is predicted, 1 at best; predictions wide of the mark count as -1."""
    errors = float(np.square(predicted - true).sum())
    return max(-1.0, 1 - errors / max(float(np.square(true - true.mean()).sum()), 1e-12))


def representations(model: SwapModel, pictures: Pictures, split: Split) -> dict[str, Codes]:
    """What probes may look at, by name; columns have mean 0 and deviation 1 over all faces, which takes no labels.

    The model's codes; those of the same network with random weights, which says how much comes with the architecture;
    grey crops of 32 px in their principal components, which says how much is there to be seen anyway.
    """
    untrained = build_model(model.config, seed=1).eval().requires_grad_(False)
    reduced = [
        cv2.cvtColor(cv2.resize(one, (_GREY, _GREY), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
        for one in pictures
    ]

    grey = np.stack(reduced).reshape(len(pictures), -1) / 255.0
    seen = principal_components(grey[split.train], _KEPT)

    return {
        "codes": standardised(encode(model, pictures)),
        "pixels": standardised(seen.coordinates(grey)),
        "untrained encoder": standardised(encode(untrained, pictures)),
    }


class _Tuned(nn.Module):
    """An encoder with one linear layer on its codes, which are brought to about one scale first."""

    def __init__(self, model: SwapModel, outputs: int, labelled_pictures: ModelInput, seed: int) -> None:
        super().__init__()

        self.model = copy.deepcopy(model).requires_grad_(True)
        with torch.no_grad():
            codes = model.encode(labelled_pictures)
        self.centre, self.scale = codes.mean(dim=0), codes.std(dim=0, correction=0).clamp_min(_LEAST_SCALE)

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.head = nn.Linear(codes.shape[1], outputs).to(codes.device)

    def forward(self, pictures: ModelInput) -> Float[Tensor, "batch outputs"]:
        """A number for each class; or the quantity, standardised."""
        outputs: Tensor = self.head((self.model.encode(pictures) - self.centre) / self.scale)
        return outputs


def fine_tuned_score(
    model: SwapModel, pictures: Pictures, target: Target, chosen: Chosen, held_out: Chosen, seed: int = 0
) -> float:
    """The same for a linear layer on codes, where the encoder learns from the labels of the chosen faces, too."""
    device = next(model.parameters()).device
    inputs = torch.cat(list(batches(model, pictures)))
    known = target.values[chosen]
    mean, spread = float(known.mean()), max(float(known.std()), 1e-9)

    # A small rate for what is learnt already, a large one for what is new.
    tuned = _Tuned(model, max(1, len(target.classes)), inputs[torch.from_numpy(chosen).to(device)], seed)
    encoder, head = [*tuned.model.encoder.parameters(), *tuned.model.bottleneck.parameters()], tuned.head.parameters()
    rates = [{"params": encoder, "lr": _RATES[0]}, {"params": head, "lr": _RATES[1]}]
    optimizer = torch.optim.AdamW(rates, weight_decay=0.01)

    # Learning.
    rng = np.random.default_rng(seed_of(seed, 1))
    for _ in range(_STEPS):
        drawn = rng.choice(chosen, min(_BATCH, len(chosen)), replace=False)
        outputs = tuned(inputs[torch.from_numpy(drawn).to(device)])
        truth = torch.from_numpy(target.values[drawn]).to(device)
        if target.classes:
            loss = nn.functional.cross_entropy(outputs, truth.long())
        else:
            loss = nn.functional.mse_loss(outputs[:, 0], ((truth - mean) / spread).float())

        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch's
        optimizer.step()

    # Judging.
    with torch.inference_mode():
        parts = torch.split(torch.from_numpy(held_out).to(device), _BATCH)
        answers = torch.cat([tuned(inputs[part]) for part in parts]).cpu()

    asked = target.values[held_out]
    if target.classes:
        return float((answers.argmax(dim=1).numpy() == asked).mean())
    return r_squared(answers[:, 0].double().numpy() * spread + mean, asked)


def label_counts(most: int) -> list[int]:
    """5, 10, 20, 50, 100... labels, as far as there are faces; `most` is the last."""
    counts = [count for count in (5, 10, 20, 50, 100, 200, 500, 1000) if count < most]
    return [*counts, most] if not counts or most > 1.2 * counts[-1] else [*counts[:-1], most]
