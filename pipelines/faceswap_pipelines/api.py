"""For scripts: all that the commands do, as functions.

A job is a plain value (frozen dataclass). Its function returns a generator that works while it is iterated over and
yields Progress; `run` does that to the end, hands each Progress to a callback, and returns the result. Whatever the
user can mend is raised as a `faceswap.errors.FaceswapError`; an exception in the callback stops the job, which keeps
what it has.
"""

from faceswap.config import SwapConfig
from faceswap.media.codecs import Encoding
from faceswap_pipelines.batching.plan import Task, read_plan
from faceswap_pipelines.batching.run import BatchResult, batch
from faceswap_pipelines.common.models import Models
from faceswap_pipelines.common.progress import Progress, Run, run
from faceswap_pipelines.evaluation.job import EvaluateJob, EvaluateResult, SwapFiles
from faceswap_pipelines.evaluation.run import evaluate
from faceswap_pipelines.extraction.job import ExtractJob, ExtractResult
from faceswap_pipelines.extraction.run import extract
from faceswap_pipelines.swapping.job import SwapJob, SwapResult, SwapSettings
from faceswap_pipelines.swapping.preview import PreviewResult, preview
from faceswap_pipelines.swapping.run import swap
from faceswap_pipelines.training.job import TrainJob, TrainResult
from faceswap_pipelines.training.run import train
from faceswap_pipelines.verification import VerifyReport, verify

__all__ = [
    "BatchResult",
    "Encoding",
    "EvaluateJob",
    "EvaluateResult",
    "ExtractJob",
    "ExtractResult",
    "Models",
    "PreviewResult",
    "Progress",
    "Run",
    "SwapConfig",
    "SwapFiles",
    "SwapJob",
    "SwapResult",
    "SwapSettings",
    "Task",
    "TrainJob",
    "TrainResult",
    "VerifyReport",
    "batch",
    "evaluate",
    "extract",
    "preview",
    "read_plan",
    "run",
    "swap",
    "train",
    "verify",
]
