"""Every error that a user can cause or mend, as one tree.

    FaceswapError
    ├── MediaError        a video or picture that is missing, empty, truncated, or no video at all
    ├── FaceError         no usable face where one is needed; a faceset too small or damaged
    ├── ModelError        a model folder that is missing, half-written, or of another version
    ├── TrainingError     training that cannot go on (diverged, out of memory)
    ├── OutputError       an output that exists already or cannot be written
    ├── DeviceError       a device that this machine does not have
    ├── ClusterError      machines that cannot be reached, or cannot do what is asked of them
    ├── DependencyError   an optional package that is not installed
    └── ConfigError       a settings file or value that cannot be right

The command line prints one of these as a single line and exits with code 3; anything else that
reaches it is a bug of ours and keeps its traceback. Memory that does not suffice has no class in most
libraries: `full_memory` knows it.
"""

import errno

_FULL = (
    "DefaultCPUAllocator",
    "could not create a primitive",
    "annot allocate memory",
    "out of memory",
    "Insufficient memory",
    "can't start new thread",
)
"""What torch, oneDNN, the system, CUDA, OpenCV and Python say of it."""
_FULL_NUMBERS = (errno.ENOMEM, errno.EAGAIN)  # the second: no further thread or process, in FFmpeg as well


class FaceswapError(Exception):
    """Something the user can mend: `problem` says what was wrong, `remedy` what to do about it."""

    def __init__(self, problem: str, remedy: str) -> None:
        self.problem = problem.rstrip(".")
        self.remedy = remedy.rstrip(".")
        super().__init__(f"{self.problem}. {self.remedy}.")


class MediaError(FaceswapError):
    """A video or picture that cannot be read."""


class FaceError(FaceswapError):
    """No usable face where one is needed, or a faceset that cannot be used."""


class ModelError(FaceswapError):
    """A model folder that cannot be used."""


class TrainingError(FaceswapError):
    """Training that cannot go on."""


class OutputError(FaceswapError):
    """An output that exists already or cannot be written."""


class DeviceError(FaceswapError):
    """A device that this machine does not have."""


class ClusterError(FaceswapError):
    """Machines that cannot be reached, or cannot do what is asked of them."""


class DependencyError(FaceswapError):
    """An optional package that is not installed."""


class ConfigError(FaceswapError):
    """A settings file or value that cannot be right."""


def full_memory(error: BaseException) -> FaceswapError | None:
    """What a user can do about an error that says, in whatever words, that memory does not suffice; None: it says
    something else."""
    is_full = isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in _FULL_NUMBERS)
    if not is_full and not any(sign in str(error) for sign in _FULL):
        return None
    return FaceswapError("the memory is full", "Close other programs, or choose smaller settings")
