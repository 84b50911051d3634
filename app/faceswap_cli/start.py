"""The entry points: they answer Ctrl-C from the first moment on, while everything else is still being imported."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import NoReturn

_STOPPED = "Stopped; nothing had begun.\n"
_EXIT_STOPPED = 130  # as `protocol.EXIT_STOPPED`, which is imported later
_IMPORTING = "<frozen importlib"


def main() -> None:
    """The entry point `faceswap`."""
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)
        from faceswap_cli.main import main as run

        run()
    except KeyboardInterrupt:  # between imports and work, or while it ends
        _leave()
    except SystemExit as end:
        if isinstance(end.code, str):
            raise
        _end(end.code or 0)
    else:
        _end(0)


def main_of_page() -> None:
    """The entry point `faceswap-app`: the same as `faceswap app`."""
    sys.argv.insert(1, "app")
    main()


def stop(_number: int, frame: FrameType | None) -> None:
    """Leaves at once while something is being imported, since what is half imported can neither go on nor say so, and a
    library may take the interruption for its own; else interrupts."""
    while frame is not None:
        if frame.f_code.co_filename.startswith(_IMPORTING):
            _leave()
        frame = frame.f_back
    raise KeyboardInterrupt


def _end(code: int) -> NoReturn:
    """End at once, when all is done and said."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # it is done: there is nothing to interrupt

    from faceswap_pipelines.common.protocol import end_process

    end_process(code)


def _leave() -> None:
    # Not by sys.exit: threads and libraries that are half loaded would have their say.
    os.write(2, _STOPPED.encode())
    os._exit(_EXIT_STOPPED)
