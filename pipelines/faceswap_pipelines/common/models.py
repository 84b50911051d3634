"""Networks that several jobs of one process share, each loaded once."""

from __future__ import annotations

import threading
from pathlib import Path

from faceswap.faces.examples import read_examples
from faceswap.faces.skin import read_skins
from faceswap.model.folder import latest_checkpoint, load_model
from faceswap.swapping.infer import Swapper
from faceswap_pipelines.common.analyse import FaceFinder
from faceswap_pipelines.common.devices import pick_device


class Models:
    """What finds faces and what swaps them, by device. Several threads may ask at once."""

    def __init__(self, kept: int = 1) -> None:
        """`kept`: how many models stay in memory, those that were asked for last; they are large."""
        self._finders: dict[tuple[str, int | None], FaceFinder] = {}
        self._swappers: dict[object, Swapper] = {}  # in the order in which they were asked for
        self._kept = kept
        self._loading = threading.Lock()

    def finder(self, device: str, min_face: int | None) -> FaceFinder:
        """Raises DeviceError."""
        key = device, min_face
        with self._loading:
            if key not in self._finders:
                self._finders[key] = FaceFinder(pick_device(device), min_face)
            return self._finders[key]

    def swapper(self, model: Path, device: str) -> Swapper:
        """With the newest weights of `model`: trained further, it is loaded anew. Raises ModelError or DeviceError."""
        checkpoint = latest_checkpoint(model)
        key = checkpoint and checkpoint.resolve(), device

        with self._loading:
            swapper = self._swappers.pop(key, None)
            if swapper is None:
                for oldest in list(self._swappers)[: len(self._swappers) - self._kept + 1]:
                    del self._swappers[oldest]  # first: there is memory for so many
                network = load_model(model, pick_device(device))
                swapper = Swapper(network, read_skins(model), read_examples(model))
            self._swappers[key] = swapper
            return swapper
