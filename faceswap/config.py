"""Settings: frozen dataclasses, written to and read from TOML. Unknown keys and wrong types are refused."""

from __future__ import annotations

import codecs
import dataclasses
import difflib
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import tomli_w

from faceswap.documents import parse_toml
from faceswap.errors import ConfigError

Settings = TypeVar("Settings")


LATENTS = ("plain", "sparse", "vae", "vq", "vq2")
"""What lies between encoder and decoder: see `faceswap.model.bottleneck`."""
DECODERS = ("separate", "conditional")
"""One decoder for each person, or one for all that is told whom to draw."""
PIXEL_LOSSES = ("l1", "mse", "bce")
DETAILS = (0, 2, 4, 8)
"""By how much a detail stage can enlarge: see `faceswap.model.detail`."""
CORRUPTIONS = ("colour", "blur", "downscale", "noise", "jpeg", "masking", "patches", "things")
"""Damage that a denoising autoencoder can be asked to undo: see `faceswap.training.augment`."""


_RANGES = (
    ("width", 1, 512),
    ("max_width", 1, 4096),
    ("latent_size", 1, 65_536),
    ("codes", 2, 65_536),
    ("blocks", 0, 64),
)
"""Of the numbers that decide how large a network is."""


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """What a model is made of. Kept with its checkpoint: the same config always builds the same network."""

    persons: tuple[str, ...]
    """Whom it can draw, by name."""
    size: int = 64
    """Side of the picture that goes in and comes out, in pixels; a multiple of 16."""
    width: int = 32
    """Channels at half the picture's size; they double with each halving, up to `max_width`."""
    max_width: int = 256
    latent: str = "plain"
    """One of LATENTS."""
    latent_size: int = 256
    """Numbers that describe a face between encoder and decoder; of vq2 two and a half times as many."""
    tokens: int = 32
    """vq: equal parts of the latent, each replaced by an entry of the codebook. vq2: half as many such parts are the
    coarse level, twice as many the fine one."""
    codes: int = 512
    """vq and vq2: entries of each codebook."""
    decoder: str = "separate"
    """One of DECODERS."""
    blocks: int = 0
    """Residual blocks at each size of the decoder, behind the one convolution that is always there."""
    detail: int = 0
    """By how much the detail stage enlarges the decoder's picture: 2, 4 or 8; 0 is none, as in models of before there
    was one. What comes out of a swap is `detail` times `size` px."""

    def __post_init__(self) -> None:
        if self.size % 16 or not 32 <= self.size <= 1024:
            raise ConfigError(f"size {self.size} is not a multiple of 16 between 32 and 1024", "Try 64, 128 or 256")
        if len(set(self.persons)) != len(self.persons) or len(self.persons) < 2:
            raise ConfigError(f"a model needs at least two different persons, not {self.persons}", "Name two persons")

        for name in self.persons:
            if not name.isidentifier():
                raise ConfigError(f"'{name}' cannot be a person's name", "Use letters, digits and _ only")
        _one_of("latent", self.latent, LATENTS)
        _one_of("decoder", self.decoder, DECODERS)

        # With the limits above, a damaged file cannot ask for a network that fills the memory before it is refused.
        for name, least, most in _RANGES:
            value = getattr(self, name)
            if not least <= value <= most:
                raise ConfigError(f"{name} {value} is not between {least} and {most}", "Correct the value")

        if self.detail not in DETAILS:
            raise ConfigError(f"detail {self.detail} is none of {DETAILS}", "Choose 4, or 0 for no detail stage")
        if self.detail * self.size > 1024:
            raise ConfigError(f"{self.detail * self.size} px is too large a picture", "Choose a smaller size or detail")

        quantised = self.latent in ("vq", "vq2")
        if quantised and (self.tokens < 2 or self.tokens % 2 or self.latent_size % self.tokens):
            raise ConfigError(
                f"{self.tokens} tokens cannot share a latent of {self.latent_size} numbers",
                "Choose an even number of tokens that divides latent_size",
            )

    @property
    def output_size(self) -> int:
        """Side of the picture that a swap gets, in pixels."""
        return self.size * max(1, self.detail)


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How a model is trained."""

    batch_size: int = 0
    """Faces of each person in a step; 0 is what suits the device and fits into its memory, settled when a model
    is made."""
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.01
    warmup_steps: int = 50
    ema_spread: float = 0.10
    """Width of the window over which weights are averaged, relative to the whole training (Karras et al., 2024)."""
    clip_norm: float = 1.0
    """Gradients longer than this are shortened to it; 0 never does."""
    seed: int = 0
    affine: float = 0.6
    """Strength of the shared rotation, scaling and shift of input and target; 1 is up to 10 degrees and 5 %."""
    warp: float = 0.4
    """Strength of the smooth warp that the model has to undo; 1 moves points by about 4 % of the picture's side."""
    flip: bool = False
    """Mirror half of the faces: for a person of whom there is little footage, and who is about symmetric."""
    mirror: bool = True
    """Show those faces mirrored as well that are turned to a side to which the person was never filmed turned as far:
    of heads that it has never seen, a decoder makes a smear."""
    easing: float = 0.75
    """Share by which `affine` and `warp` weaken, evenly, from the start of the budget to its end: a hard task first
    parts what a face does from whose it is, an easy one then brings out detail."""
    corruption: float = 0.7
    """Strength of the damage to pixels that the model has to undo; 0 turns it off."""
    corruptions: tuple[str, ...] = ("colour", "blur", "downscale", "noise", "jpeg", "patches")
    """Which damage: of CORRUPTIONS."""
    detail_share: float = 0.6
    """Share of the budget for the detail stage, behind everything else."""
    occlusion: bool = True
    """Keep what lies in front of faces (hands, a cup) from being learnt as part of them."""
    stacked_steps: int = 0
    """Steps for which each layer of the encoder is trained alone, from the picture inwards, before all are trained
    together; 0 is none."""
    pixel_loss: str = "l1"
    """One of PIXEL_LOSSES: what a wrong pixel costs."""
    structure_weight: float = 1.0
    """Weight of the structural loss (1 - SSIM) against the pixel loss."""
    mask_weight: float = 0.5
    """Weight of the mask's loss."""
    feature_weight: float = 3.0
    """How much more a pixel of the eyes and mouth counts than one of the cheeks."""
    sparsity: float = 0.02
    """sparse: weight of the mean activation of the latent."""
    beta: float = 1.0
    """vae: weight of the KL divergence; more than 1 (a beta-VAE) disentangles and blurs."""
    free_bits: float = 0.0
    """vae: nats that each number of the latent may carry at no cost."""
    kl_warmup_steps: int = 300
    """vae: steps over which the KL divergence gains its weight, so that the encoder first learns to say something."""
    commitment: float = 0.25
    """vq, vq2: weight of the distance between what the encoder says and the codebook's entry."""
    perceptual: float = 0.0
    """Weight of the distance between features of MobileNetV2; try 0.25."""
    adversarial: float = 0.0
    """Weight of a discriminator's verdict; try 0.02. For texture, when shapes are right."""
    adversarial_from: float = 0.7
    """Share of the budget after which the discriminator joins in; of a training until the plateau, while it settles."""

    def __post_init__(self) -> None:
        _one_of("pixel_loss", self.pixel_loss, PIXEL_LOSSES)
        for kind in self.corruptions:
            _one_of("corruption", kind, CORRUPTIONS)

        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, int | float):
                _at_least(field.name, value, 0)

        if self.detail_share >= 1:
            raise ConfigError(f"detail_share {self.detail_share} leaves nothing for what comes before", "Try 0.6")
        if self.ema_spread == 0 or self.ema_spread > 0.28:
            raise ConfigError(f"ema_spread {self.ema_spread} is not above 0 and up to 0.28", "Try 0.1")


COLOURS = ("light", "linear", "reinhard", "histogram", "transport", "none")
"""How a swapped face takes on the colours of the one that it replaces: see `faceswap.swapping.color`."""
BLENDINGS = ("band", "pyramid", "alpha", "poisson")
"""How it is joined to the picture round it: see `faceswap.swapping.fitting` and `blend`."""


_RANGE = "range"  # of a setting, in its field's metadata


def _within(least: float, most: float, *, default: float) -> Any:
    """A setting between two values."""
    return dataclasses.field(default=default, metadata={_RANGE: (least, most)})


@dataclass(frozen=True, kw_only=True)
class SwapConfig:
    """How a swapped face is fitted into the picture. Lengths are shares of a crop's side, which is a little more than
    the height of the face."""

    colour: str = "light"
    """One of COLOURS."""
    blending: str = "band"
    """One of BLENDINGS."""
    opacity: float = _within(0, 1, default=1.0)
    """1 shows the swapped face alone, 0 the one in the video."""
    scale: float = _within(0.5, 2, default=1.0)
    """Size of the swapped face; more than 1 makes its features larger. The mask stays."""
    erode: float = _within(0, 0.3, default=0.0)
    """How far the mask's edge is drawn in."""
    feather: float = _within(0, 0.3, default=0.0)
    """By how much the mask's edge is softened further: standard deviation of a Gaussian."""
    skin: float = _within(0, 1, default=1.0)
    """How much of the new person's own skin is laid on the face, as far as the decoder has drawn less than the video
    shows; 0 leaves the skin as decoded."""
    features: float = _within(0, 1, default=1.0)
    """How far eyes, brows and mouth get what pictures of the new person's faceset that look alike have and the decoder
    has not drawn: lashes, teeth, single hairs; 0 leaves them as decoded."""
    sharpen: float = _within(0, 1, default=1.0)
    """How far the face is brought to the sharpness of the one it replaces; 0 leaves it as decoded."""
    grain: float = _within(0, 5, default=1.0)
    """How much of the video's noise is added to the face; 1 as much as the video has."""
    gaze: float = _within(0, 1, default=1.0)
    """How far the eyes are moved to look where the video's look and to shut when they do; 0 leaves them as decoded."""
    smooth: float = _within(0, 1, default=0.2)
    """Seconds before and after a frame over which colours, sharpness and mask are evened out; 0 does not."""
    occlusion: float = _within(0, 1, default=1.0)
    """How far what lies in front of the face (hands, hair, a cup) stays there; 0 paints over it."""
    fade: float = _within(0, 1, default=0.12)
    """Seconds in which a swap comes and goes where a face is found or lost."""
    profiles: float = _within(0, 1, default=0.0)
    """How much of the swap is left where the head is turned further than the new person's footage shows: 0 fades it
    out, since of a profile that a decoder has never seen it makes a smear; 1 swaps it all the same."""

    def __post_init__(self) -> None:
        _one_of("colour", self.colour, COLOURS)
        _one_of("blending", self.blending, BLENDINGS)

        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            least, most = field.metadata.get(_RANGE, (value, value))
            if not least <= value <= most:
                raise ConfigError(f"{field.name} {value} is not between {least} and {most}", "Correct the value")


def _one_of(what: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ConfigError(f"there is no {what} '{value}'", f"Choose one of: {', '.join(known)}")


def _at_least(what: str, value: float, least: float) -> None:
    if not value >= least or value == float("inf"):
        raise ConfigError(f"{what} {value} is not a number from {least} up", "Correct the value")


SETTINGS_OF: dict[str, tuple[str, ...]] = {
    "sparsity": ("sparse",),
    "beta": ("vae",),
    "free_bits": ("vae",),
    "kl_warmup_steps": ("vae",),
    "commitment": ("vq", "vq2"),
    "codes": ("vq", "vq2"),
    "tokens": ("vq", "vq2"),
}
"""Settings that only some latents have."""

_LARGEST_OUTPUT = 512  # px, unless somebody asks for more


def suitable_detail(size: int) -> int:
    """What `ModelConfig.detail` suits pictures of `size` px: up to four times as large, where that is not too much."""
    return next((times for times in (4, 2) if times * size <= _LARGEST_OUTPUT), 0)


PRESETS: dict[str, ModelConfig] = {
    "nano": ModelConfig(persons=("a", "b"), detail=4),
    "base": ModelConfig(persons=("a", "b"), size=128, width=16, blocks=1, detail=4),
    "large": ModelConfig(persons=("a", "b"), size=256, width=48, max_width=512, latent_size=512, blocks=2, detail=2),
}
"""`nano` is made for a laptop's processor; `base` is nano with one stage more at the picture's end and residual blocks,
which takes a processor three times as long; `large` wants a GPU."""


def to_toml(settings: object) -> str:
    """The settings as TOML, every value written out."""
    return tomli_w.dumps(_plain(settings))


def _plain(settings: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if dataclasses.is_dataclass(value):
            plain[field.name] = _plain(value)
        elif value is not None:  # TOML has no null: what is absent takes its default
            plain[field.name] = list(value) if isinstance(value, tuple) else value

    return plain


def known_are(name: str, known: Iterable[str]) -> str:
    """The remedy for a name that is not among the `known` ones: the one that was probably meant, and all."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1)
    meant = f"Did you mean '{near[0]}'? " if near else ""
    return f"{meant}Known are: {', '.join(names)}"


def from_dict(kind: type[Settings], values: dict[str, Any], where: str) -> Settings:
    """Build the settings class `kind` from parsed values; `where` names their origin in errors.

    Raises ConfigError for a key that `kind` does not have, a missing one, or a value of the wrong type.
    """
    hints = get_type_hints(kind)
    unknown = sorted(set(values) - set(hints))
    if unknown:
        raise ConfigError(f"{where} has the unknown setting '{unknown[0]}'", known_are(unknown[0], hints))

    made: dict[str, Any] = {}
    for key, value in values.items():
        made[key] = _convert(hints[key], value, f"{where}, {key}")

    try:
        return kind(**made)
    except TypeError as error:
        raise ConfigError(f"{where} is incomplete ({error})", "Add the missing setting") from error


def _convert(kind: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(kind) and isinstance(value, dict):
        return from_dict(kind, value, where)  # type: ignore[arg-type]  # is_dataclass also admits instances

    # Containers, item by item.
    if get_origin(kind) is tuple:
        if isinstance(value, str):
            value = value.split(",")
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{where} is {value!r}, which is no list", "Write it as one,two,three")
        return tuple(_convert(get_args(kind)[0], item, where) for item in value)
    if get_origin(kind) is dict:
        if not isinstance(value, dict):
            raise ConfigError(f"{where} is {value!r}, which is no table", "Write it as { name = value }")
        return {key: _convert(get_args(kind)[1], item, f"{where}, {key}") for key, item in value.items()}

    # Single values. A whole number will do where a fraction may be.
    if kind is Any:
        return value

    allowed = tuple(a for a in (get_args(kind) or (kind,)) if isinstance(a, type))
    if float in allowed and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
        names = " or ".join(a.__name__ for a in allowed)
        raise ConfigError(f"{where} is {value!r}, which is not of type {names}", "Correct the value")
    return value


def read_toml(path: Path) -> dict[str, Any]:
    """The values in a TOML file: UTF-8, or what Windows' editors write. Raises ConfigError with the file's name."""
    try:
        content = path.read_bytes()
        is_utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        return parse_toml(content.decode("utf-16" if is_utf16 else "utf-8-sig").replace("\r\n", "\n"))
    except tomllib.TOMLDecodeError as error:
        remedy = "Correct the file"
        if b"\\" in content:
            remedy = "In \"...\" a backslash is a command: write paths with / or in '...'"
        raise ConfigError(f"{path} cannot be read as TOML ({error})", remedy) from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read as TOML ({error})", "Correct the file") from error
