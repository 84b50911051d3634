"""What a model's latent knows: faces as numbers, and what can be read from those.

model = load_model(Path("demo/model"), torch.device("cpu"))
faces = read_faces(Path("demo/faces/a"), model.config.size)
codes = encode(model, faces.pictures)
"""

from faceswap.latent.codes import decode, decode_between, encode, interpolate, is_variational, sample
from faceswap.latent.faces import FaceArrays, read_faces
from faceswap.model.folder import load_model

__all__ = [
    "FaceArrays",
    "decode",
    "decode_between",
    "encode",
    "interpolate",
    "is_variational",
    "load_model",
    "read_faces",
    "sample",
]
