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
reaches it is a bug of ours and keeps its traceback.
"""


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
