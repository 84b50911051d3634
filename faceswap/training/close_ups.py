"""Close-ups: one person's faces as large as the detail stage draws them, and what the encoder sees of each.

Nothing is damaged or warped here: where everything lies has been learnt by then, and what is left to learn is how it
looks. The encoder is shown the very picture that is wanted, reduced, as it will be in a swap.
"""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor

import cv2
import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  # torch's own name for it
from jaxtyping import Float, UInt8
from torch import Tensor

from faceswap.config import ModelConfig, TrainConfig
from faceswap.model.detail import face_window
from faceswap.seeds import seed_of
from faceswap.training.augment import draw_affine, resampled
from faceswap.training.bank import Batch, FacePlanes

_STREAM = 4  # of random numbers: a bank uses others
_MOST_AFFINE = 0.5  # of TrainConfig.affine: poses are known by now


class CloseUps:
    """A person's faces, giving batches for the detail stage on `device`; each is made while the one before is used.

    `person` is the person's number in the model. Of each batch only the rows `share` are made.
    """

    def __init__(
        self,
        faces: FacePlanes,
        model: ModelConfig,
        config: TrainConfig,
        person: int,
        device: torch.device,
        share: slice | None = None,
    ) -> None:
        self.device, self.seconds_waited = device, 0.0
        self._faces, self._model, self._config, self._person = faces, model, config, person
        self._share = share or slice(None)
        self._window = face_window(model.size)
        self._reader = ThreadPoolExecutor(1, f"close-ups-{person}")
        self._read: tuple[int, float, Future[Batch]] | None = None

    def __len__(self) -> int:
        return len(self._faces)

    def close(self) -> None:
        """Stop the background thread."""
        self._reader.shutdown(wait=True, cancel_futures=True)

    def batch(self, step: int, difficulty: float = 1.0) -> Batch:
        """The batch of training step `step`; `difficulty` (0..1) scales the affine map."""
        start = time.perf_counter()
        ahead = self._read
        # How difficult the next step will be is not known yet: it is as difficult as this one.
        self._read = step + 1, difficulty, self._reader.submit(self._made, step + 1)
        batch = ahead[2].result() if ahead and ahead[0] == step else self._made(step)
        self.seconds_waited += time.perf_counter() - start
        return batch

    def shown(self, count: int) -> Batch:
        """Up to `count` faces as they are, whole, evenly from all."""
        chosen = torch.linspace(0, len(self) - 1, min(count, len(self))).long()
        still = torch.eye(2, 3).expand(len(chosen), 2, 3)
        seen = framed(self._faces[chosen], still, self._model.output_size, self.device)
        reduced = F.avg_pool2d(seen[:, :3], self._model.output_size // self._model.size)
        return Batch.of(reduced, seen)

    def _made(self, step: int) -> Batch:
        size, large = self._model.size, self._model.output_size
        rng = torch.Generator().manual_seed(seed_of(self._config.seed, self._person, _STREAM, step))
        count = self._config.batch_size

        # Which faces, and how they lie.
        chosen = torch.randint(len(self), (count,), generator=rng)[self._share]
        theta = draw_affine(count, self._config.affine * _MOST_AFFINE, rng, self._config.flip)[self._share]

        # The faces themselves, large and reduced.
        seen = framed(self._faces[chosen], theta, large, self.device)
        reduced = F.avg_pool2d(seen[:, :3], large // size)
        close = self._window.of(seen, size).contiguous()
        return Batch.of(reduced, close, self._window)


def framed(
    faces: UInt8[Tensor, "batch channels side side"],
    theta: Float[Tensor, "batch 2 3"],
    size: int,
    device: torch.device,
) -> Float[Tensor, "batch channels size size"]:
    """The pictures seen through affine maps (as of `affine_grid`), 0..1, on `device`; borders are repeated."""
    if device.type == "cuda":
        theta = theta.to(device)
        grid = F.affine_grid(theta, [len(faces), 1, size, size], align_corners=False)
        return resampled(faces.to(device), grid)
    return framed_by_opencv(faces, theta, size).float() / 255


def framed_by_opencv(
    faces: UInt8[Tensor, "batch channels side side"], theta: Float[Tensor, "batch 2 3"], size: int
) -> UInt8[Tensor, "batch channels size size"]:
    """The same in whole levels, on a processor, in a quarter of the time."""
    side = faces.shape[-1]
    made = np.empty((*faces.shape[:2], size, size), np.uint8)

    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    # From pixels to grid coordinates, through the map, and back to pixels.
    to_grid = np.array([[2 / size, 0, 1 / size - 1], [0, 2 / size, 1 / size - 1], [0, 0, 1]])
    to_pixels = np.array([[side / 2, 0, side / 2 - 0.5], [0, side / 2, side / 2 - 0.5]])

    for picture, out, move in zip(faces.numpy(), made, theta.double().numpy(), strict=True):
        matrix = to_pixels @ np.vstack([move, [0, 0, 1]]) @ to_grid
        for plane, place in zip(picture, out, strict=True):
            cv2.warpAffine(plane, matrix, (size, size), dst=place, flags=how, borderMode=cv2.BORDER_REPLICATE)
    return torch.from_numpy(made)
