"""Networks that several jobs of one process share, each loaded once."""

from __future__ import annotations

from pathlib import Path

from faceswap.faces.skin import read_skins
from faceswap.model.folder import latest_checkpoint, load_model
from faceswap.swapping.infer import Swapper
from faceswap_pipelines.common.analyse import FaceFinder
from faceswap_pipelines.common.devices import pick_device


class Models:
    """What finds faces and what swaps them, by device."""

    def __init__(self) -> None:
        self._finders: dict[tuple[str, int | None], FaceFinder] = {}
        self._swapper: tuple[object, Swapper] | None = None  # the last one: they are large

    def finder(self, device: str, min_face: int | None) -> FaceFinder:
        """Raises DeviceError."""
        key = device, min_face
        if key not in self._finders:
            self._finders[key] = FaceFinder(pick_device(device), min_face)
        return self._finders[key]

    def swapper(self, model: Path, device: str) -> Swapper:
        """With the newest weights of `model`: trained further, it is loaded anew. Raises ModelError or DeviceError."""
        checkpoint = latest_checkpoint(model)
        key = checkpoint and checkpoint.resolve(), device
        if self._swapper is None or self._swapper[0] != key:
            self._swapper = key, Swapper(load_model(model, pick_device(device)), read_skins(model))
        return self._swapper[1]
