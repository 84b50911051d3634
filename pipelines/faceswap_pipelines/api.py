"""For scripts: all that the commands do, as functions.

A job is a plain value (frozen dataclass). Its function returns a generator that works while it is iterated over and
yields Progress; `run` does that to the end, hands each Progress to a callback, and returns the result. Whatever the
user can mend is raised as a `faceswap.errors.FaceswapError`; an exception in the callback stops the job, which keeps
what it has.
"""

from faceswap.config import SwapConfig
from faceswap.media.codecs import Encoding
from faceswap_pipelines.batch.batch import BatchResult, batch
from faceswap_pipelines.batch.plan import Task, read_plan
from faceswap_pipelines.extract import ExtractJob, ExtractResult, extract
from faceswap_pipelines.job import Job, Progress, run
from faceswap_pipelines.models import Models
from faceswap_pipelines.preview import PreviewResult, preview
from faceswap_pipelines.swap import SwapResult, swap
from faceswap_pipelines.swap_setup import SwapJob, SwapSettings
from faceswap_pipelines.train import TrainResult
from faceswap_pipelines.train import train_model as train
from faceswap_pipelines.train_setup import TrainJob
from faceswap_pipelines.verify import Report, verify

__all__ = [
    "BatchResult",
    "Encoding",
    "ExtractJob",
    "ExtractResult",
    "Job",
    "Models",
    "PreviewResult",
    "Progress",
    "Report",
    "SwapConfig",
    "SwapJob",
    "SwapResult",
    "SwapSettings",
    "Task",
    "TrainJob",
    "TrainResult",
    "batch",
    "extract",
    "preview",
    "read_plan",
    "run",
    "swap",
    "train",
    "verify",
]
