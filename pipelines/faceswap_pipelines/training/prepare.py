"""How a training begins: what the job asks for, held against the model that is there, if one is."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from faceswap.config import PRESETS, SETTINGS_OF, ModelConfig, TrainConfig, from_dict, known_are, suitable_detail
from faceswap.database import lock
from faceswap.errors import ConfigError, ModelError, OutputError
from faceswap.faces.identity import SAME_PERSON, distance
from faceswap.files import sweep
from faceswap.model.base_weights import base_of
from faceswap.model.folder import ModelFile, create_model_folder, latest_checkpoint, make_model_folder, read_config
from faceswap.model.identities import read_identities
from faceswap.provenance.consent import resolve_consent, write_consent
from faceswap.training.checkpoint import load_checkpoint
from faceswap.training.memory import choose_batch_size
from faceswap.training.ranks import Ranks
from faceswap.training.state import Budget, TrainState, start_training
from faceswap_pipelines.training.job import TrainJob
from faceswap_pipelines.training.persons import identities

CHANGES = "changes.jsonl"
"""The file of a model that says which settings were changed at which step."""
_LOCK = ".lock"
_PRESET_SHAPE = "size", "width", "max_width", "latent_size", "blocks"
"""What a preset says of a network."""
_WORTH_COMPILING = 300.0, 2000  # seconds or steps of a budget; compiling takes about a minute


def budget_of(job: TrainJob) -> Budget:
    """How long the job wants to train. Raises ConfigError unless it says that in one way."""
    given = [job.minutes is not None, job.steps is not None, job.until_plateau]
    if sum(given) != 1 or (not job.until_plateau and not (job.minutes or job.steps or 0) > 0):
        raise ConfigError(
            "training needs one of minutes, steps (above zero) or until-plateau", "Add for example --minutes 10"
        )

    return Budget(
        steps=job.steps, seconds=None if job.minutes is None else job.minutes * 60, until_plateau=job.until_plateau
    )


@contextmanager
def prepared_folder(job: TrainJob, device: torch.device, ranks: Ranks) -> Iterator[None]:
    """Make the folder of a new model, or see that an existing one is what the job says; for the block nobody else can.

    Raises ConfigError, ModelError or OutputError; what is in the folder is still as it was then.
    """
    taken = OutputError(f"the model {job.model} is being trained already", "Wait for that to end, or stop it first")
    known = _known(job.model)
    _check_facesets(job)
    agreed, resolved = _resolve_consent(job), _resolve_config(job, known, device, ranks)
    make_model_folder(job.model)

    with closing(lock(job.model / _LOCK, taken)):
        if _known(job.model) != known:  # another process has begun or changed it since we looked
            raise taken
        for folder in (job.model, job.model / "previews"):
            sweep(folder)
        if resolved != known:
            if known is not None:
                _note_changes(job.model, known.train, resolved.train)
            create_model_folder(job.model, resolved.model, resolved.train, resolved.base)
        write_consent(job.model, agreed)
        yield


def _check_facesets(job: TrainJob) -> None:
    """Raises ConfigError if two persons are to be learnt from the same faces."""
    persons: dict[Path, str] = {}
    for person, faceset in job.facesets.items():
        other = persons.setdefault(faceset.resolve(), person)
        if other != person:
            raise ConfigError(f"{other} and {person} are the same faceset, {faceset}", "Name one for each person")


def _note_changes(model: Path, before: TrainConfig, after: TrainConfig) -> None:
    """Keep in MODEL/changes.jsonl which settings of a training that goes on are others now, and from which step on."""
    checkpoint = latest_checkpoint(model)
    changed = {
        name: {"from": getattr(before, name), "to": getattr(after, name)}
        for name in sorted(_names(TrainConfig))
        if getattr(before, name) != getattr(after, name)
    }

    if checkpoint is not None and changed:
        with (model / CHANGES).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": int(checkpoint.name), "settings": changed}) + "\n")


def _known(model: Path) -> ModelFile | None:
    return read_config(model) if (model / "config.toml").exists() else None


def _resolve_consent(job: TrainJob) -> dict[str, str]:
    """Who the persons are that agreed. Raises ConfigError unless it is said of all; and again, if the faces of one that
    the model knows are somebody else's now."""
    agreed, known = resolve_consent(job.model, job.consent, job.facesets), read_identities(job.model)

    for person, who in identities(job.facesets).items():
        if person in known and person not in job.consent and distance(who, known[person]) > SAME_PERSON:
            raise ConfigError(
                f"the faces of '{person}' are somebody else's than those that the model learnt as {agreed[person]}",
                f'Say who this is and that they agree: --consent {person}="NAME"',
            )
    return agreed


def _resolve_config(job: TrainJob, known: ModelFile | None, device: torch.device, ranks: Ranks) -> ModelFile:
    """What config.toml is to say, where `known` is what it says."""
    preset = job.preset or ("base" if device.type == "cuda" else "nano")
    if preset not in PRESETS:
        raise ConfigError(f"there is no preset '{preset}'", f"Choose one of: {', '.join(PRESETS)}")

    network, training = _split_settings(job.settings)
    if known is None or latest_checkpoint(job.model) is None:  # one that has learnt nothing can become another one
        resolved = _new_config(job, known, PRESETS[preset], network=network, training=training)
    else:
        resolved = _continued_config(job, known, PRESETS[preset], network=network, training=training)

    checked = _checked(job, resolved.model, resolved.train, device=device, ranks=ranks)
    return dataclasses.replace(resolved, train=checked)


def _split_settings(settings: Mapping[str, object]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Those of the network, and those of its training."""
    allowed = _names(ModelConfig) | _names(TrainConfig)
    if unknown := [name for name in settings if name not in allowed]:
        raise ConfigError(f"there is no setting '{unknown[0]}'", known_are(unknown[0], sorted(allowed - {"persons"})))
    if "persons" in settings:
        raise ConfigError("persons is not a setting", "Name each with its faceset: --person NAME=FACESET")

    network = {name: value for name, value in settings.items() if name in _names(ModelConfig)}
    training = {name: value for name, value in settings.items() if name not in network}
    return network, training


def _new_config(
    job: TrainJob,
    known: ModelFile | None,
    preset: ModelConfig,
    *,
    network: Mapping[str, Any],
    training: Mapping[str, Any],
) -> ModelFile:
    """That of a model that has learnt nothing yet: by the preset, or by what was planned for it before."""
    # The network.
    shape = dataclasses.asdict(known.model if known and job.preset is None else preset)
    if known is None or job.preset is not None or "size" in network:
        shape["detail"] = suitable_detail(network.get("size", shape["size"]))
    config = from_dict(ModelConfig, shape | {"persons": list(job.facesets)} | dict(network), "settings")

    # Its training.
    same = known is not None and config == known.model
    kept = _train_settings(known) if known else {}
    if not same:
        kept.pop("batch_size", None)  # it was chosen for the other shape
    settings = from_dict(TrainConfig, kept | dict(training), "settings")

    # The weights that it begins with. What stacked pre-training does first would undo what they know.
    base = known.base if known and same else base_of(config) or ""
    if job.from_scratch or settings.stacked_steps:
        base = ""
    return ModelFile(model=config, train=settings, base=base)


def _continued_config(
    job: TrainJob,
    known: ModelFile,
    preset: ModelConfig,
    *,
    network: Mapping[str, Any],
    training: Mapping[str, Any],
) -> ModelFile:
    """That of a model that goes on: the network stays what it is, and what the job says of it has to agree."""
    if not job.resume:
        raise OutputError(f"there is a model in {job.model} already", "Name another folder, or leave out --no-resume")
    if set(known.model.persons) != set(job.facesets):
        raise ModelError(
            f"the model {job.model} is of the persons {', '.join(known.model.persons)}, not {', '.join(job.facesets)}",
            "Name a faceset for each of its persons, or a new model folder",
        )
    if job.from_scratch and known.base:
        raise ModelError(
            f"the model {job.model} began with base weights", "Leave out --from-scratch, or name a new model folder"
        )

    # A model of before there was a detail stage gets one.
    if known.from_before_detail:
        detail = network.get("detail", suitable_detail(known.model.size))
        known = ModelFile(model=dataclasses.replace(known.model, detail=detail), train=known.train, base=known.base)

    # Nothing else changes in the network.
    by_preset = {name: getattr(preset, name) for name in _PRESET_SHAPE} if job.preset else {}
    for name, value in (by_preset | dict(network)).items():
        if getattr(known.model, name) != value:
            raise ModelError(
                f"the model {job.model} was made with {name} {getattr(known.model, name)!r}, not {value!r}",
                "Leave that out, or train a new model in another folder",
            )

    settings = from_dict(TrainConfig, _train_settings(known) | dict(training), "settings")
    return dataclasses.replace(known, train=settings)


def _train_settings(known: ModelFile) -> dict[str, Any]:
    return {name: getattr(known.train, name) for name in _names(TrainConfig)}


def _checked(
    job: TrainJob, model: ModelConfig, settings: TrainConfig, *, device: torch.device, ranks: Ranks
) -> TrainConfig:
    """The same with a batch size that fits, if nothing speaks against these settings any more."""
    for name in job.settings:
        latents = SETTINGS_OF.get(name, (model.latent,))
        if model.latent not in latents:
            raise ConfigError(
                f"{name} has no effect on a {model.latent} latent",
                f"Leave it out, or train a model with --latent {latents[0]}",
            )

    fitting = choose_batch_size(model, settings, device, ranks.world)
    ranks.share(fitting.batch_size)
    return fitting


def _names(kind: type[Any]) -> set[str]:
    return {field.name for field in dataclasses.fields(kind)}


def open_state(job: TrainJob, wanted: Budget, device: torch.device, ranks: Ranks) -> tuple[TrainState, Budget]:
    """The state to go on from, a fresh one for a new model, and the budget of this run."""
    known = read_config(job.model)
    compiled = device.type == "cuda" and can_compile() and _worth_compiling(wanted)

    loaded = load_checkpoint(job.model, device, ranks, compiled)
    if loaded is None:
        return start_training(known.model, known.train, device, ranks, compiled), wanted

    state, before = loaded
    unfinished = before.progress(state.step, state.seconds) < 1
    if unfinished and _same(before, wanted):
        return state, before

    return state, dataclasses.replace(wanted, start_step=state.step, start_seconds=state.seconds)


def _same(before: Budget, wanted: Budget) -> bool:
    """Whether this is what was asked for the last time; the steps of a cooldown were its own idea."""
    if before.until_plateau:
        return wanted.until_plateau
    return (before.steps, before.seconds, False) == (wanted.steps, wanted.seconds, wanted.until_plateau)


def can_compile() -> bool:
    """Whether torch finds what it needs to make kernels of its own: Triton, a C compiler, and Python's headers."""
    headers = Path(sysconfig.get_path("include"), "Python.h")
    compiler = any(shutil.which(name) for name in ("cc", "gcc", "clang"))
    return find_spec("triton") is not None and compiler and headers.is_file()


def _worth_compiling(budget: Budget) -> bool:
    seconds, steps = _WORTH_COMPILING
    return budget.until_plateau or (budget.seconds or 0) >= seconds or (budget.steps or 0) >= steps
