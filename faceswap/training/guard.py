"""What keeps a training alive, or ends it with a clear word."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from faceswap.config import TrainConfig
from faceswap.errors import TrainingError, full_memory
from faceswap.training.state import TrainState, restore_tensors, tensors_of

_CHECK_EVERY = 20  # steps between two looks at whether gradients are finite: each look waits for the device
_REMEMBER_EVERY = 500  # steps between two good states that are remembered
_MOST_RETURNS = 4  # to a good state, each with half the learning rate, before training gives up


class Guard:
    """Steps back to the last good state when gradients are no numbers any more, with half the learning rate.

    A single such gradient is not used, and does no harm. When none of many is finite, the weights themselves have
    gone where no number comes out.
    """

    def __init__(self, state: TrainState) -> None:
        self._state, self._watched, self._returns = state, 0, 0
        self._some_finite = torch.zeros((), dtype=torch.bool, device=state.device)
        self._remember()

    def watch(self, finite: Tensor) -> None:
        """Called after each step. Raises TrainingError if stepping back did not help."""
        self._some_finite |= finite
        self._watched += 1
        if self._watched % _CHECK_EVERY:
            return
        if not self._some_finite:
            self._step_back()
        elif self._watched % _REMEMBER_EVERY == 0 and bool(finite):
            self._remember()
        self._some_finite.zero_()

    def _remember(self) -> None:
        self._good = {name: value.detach().clone() for name, value in tensors_of(self._state).items()}
        self._average = {name: value.clone() for name, value in self._state.average.state_dict().items()}

    def _step_back(self) -> None:
        self._returns += 1
        if self._returns > _MOST_RETURNS:
            raise TrainingError(
                f"training diverges: {_CHECK_EVERY} steps in a row gave no finite gradient, {self._returns} times",
                "Run it again with a lower rate, for example --set learning_rate=0.0005",
            )
        self._state.lr_scale /= 2
        restore_tensors(self._state, self._good)
        self._state.average.load_state_dict(self._average)


@contextmanager
def clear_about_memory(config: TrainConfig) -> Iterator[None]:
    """Turns an exhausted memory into a TrainingError with a remedy."""
    try:
        yield
    except RuntimeError as error:
        if full_memory(error) is None:
            raise
        raise TrainingError(
            f"memory does not suffice for batches of {config.batch_size} faces of each person",
            "Run it again with a smaller --batch, close other programs, or train a smaller preset",
        ) from error
