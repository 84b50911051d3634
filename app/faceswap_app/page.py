"""The server: the page on this computer only, unless visitors must give a password; nothing is sent anywhere."""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
import threading
import warnings
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.middleware import Middleware

from faceswap.errors import ConfigError, FaceswapError
from faceswap_app.door import Door, is_loopback

if TYPE_CHECKING:  # it takes seconds to import: not for --help
    import gradio as gr

    from faceswap_app.keeper import Keeper
    from faceswap_app.projects import Projects
    from faceswap_app.queue import Queue

_LARGEST_UPLOAD = "4gb"
_EMPTY_EVERY = 600.0  # seconds: what has been in the bin for a week goes


def launch(projects: Path, host: str, port: int, auth: str | None) -> None:
    """Serve the page until Ctrl-C or SIGTERM.

    Args:
        projects: folder of the projects, made if need be.
        host: address to listen on; any but this computer's own needs `auth`.
        port: to listen on.
        auth: "USER:PASSWORD" that visitors have to give; None lets everyone in.

    Raises:
        ConfigError: an unsafe or impossible host, port or auth.
        OutputError: the projects folder cannot be written to.
    """
    from faceswap_app.keeper import Keeper

    login = check_auth(host, auth)
    check_address(host, port)

    known, queue = open_folder(projects)
    # Torch silences this of its own import, but a thread that imports it can lose that to another one's catch_warnings.
    warnings.filterwarnings("ignore", message="Warning only once for all operators")

    try:
        page = build(known, queue)
        serve(page, known, host, port, login)
        print(f"Open http://{_in_url(host)}:{port} in a browser. Ctrl-C ends the page.", file=sys.stderr)
        loader = threading.Thread(target=_load_the_rest, daemon=True)
        loader.start()
        _wait_for_the_end(Keeper(known, queue))
        page.close(verbose=False)
        loader.join()  # a program that ends while torch is being loaded is aborted, with a word from C++
    finally:
        queue.close()


def open_folder(projects: Path) -> tuple[Projects, Queue]:
    """The projects in a folder, which is made if need be, and their jobs.

    Raises OutputError if it cannot be written to, or another page has it open.
    """
    from faceswap_app.files import make_folder
    from faceswap_app.projects import Projects
    from faceswap_app.queue import Queue

    make_folder(projects)
    known = Projects(projects)
    return known, Queue(known.folder)


def build(projects: Projects, queue: Queue) -> gr.Blocks:
    """The page, not served yet."""
    # Read while gradio is imported, and whenever a page is built.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    # Uploads would otherwise go to a folder in /tmp that all users of the computer share, often held in memory.
    os.environ.setdefault("GRADIO_TEMP_DIR", str(projects.folder / ".uploads"))
    gc.disable()  # nothing of what is imported is garbage: without looking for any, the page opens a second earlier
    try:
        from faceswap_app.layout import build_page

        return build_page(projects, queue)
    finally:
        gc.enable()


def serve(page: gr.Blocks, projects: Projects, host: str, port: int, login: tuple[str, str] | None) -> None:
    """Start serving, in a thread of its own, with everything turned off that could give something away."""
    from faceswap_app.theme import CSS, THEME

    try:
        page.launch(
            server_name=_in_url(host),
            server_port=port,
            auth=login,
            share=False,
            max_file_size=_LARGEST_UPLOAD,
            run_history=False,
            enable_monitoring=False,
            mcp_server=False,
            ssr_mode=False,
            pwa=False,
            footer_links=[],
            prevent_thread_lock=True,
            quiet=True,
            css=CSS,
            theme=THEME,
            app_kwargs={"middleware": [Middleware(Door, local=login is None)]},
        )
    except OSError as error:  # someone took the port since the address was checked
        raise _port_in_use(port) from error

    page.allowed_paths = projects.served  # asked at each request: projects that are made later are in it


def _load_the_rest() -> None:
    """What the first look at faces or a model needs, while the visitor still reads the first tab."""
    from faceswap_app import backend

    backend.warm_up()


def check_auth(host: str, auth: str | None) -> tuple[str, str] | None:
    """User and password of `auth`. Raises ConfigError if it is malformed, or missing where others could visit."""
    if auth is None:
        if not is_loopback(host):
            raise ConfigError(
                f"on {host or 'that host'} everyone on the network could use this page", "Add --auth USER:PASSWORD"
            )
        return None
    user, _, password = auth.partition(":")
    if not user or not password:
        raise ConfigError("--auth needs a user and a password", "Write it as --auth USER:PASSWORD")
    return user, password


def check_address(host: str, port: int) -> None:
    """Raises ConfigError with a remedy if the server could not listen there."""
    if not 1 <= port <= 65_535:
        raise ConfigError(f"{port} is not a port", "Choose one from 1024 to 65535 with --port")

    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as trial:
            if os.name == "posix":  # a port that was closed a moment ago counts as free; elsewhere it means: share it
                trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(address)
            trial.listen(1)

    except PermissionError as error:
        raise ConfigError(f"the port {port} is reserved for the system", "Choose another with --port") from error
    except (socket.gaierror, UnicodeError) as error:
        raise ConfigError(f"'{host}' is not an address", "Leave out --host to serve this computer only") from error
    except OSError as error:
        if "in use" in str(error):
            raise _port_in_use(port) from error
        raise ConfigError(
            f"this computer cannot listen on {host} ({error.strerror})", "Choose another address with --host"
        ) from error


def _port_in_use(port: int) -> ConfigError:
    return ConfigError(f"the port {port} is in use, perhaps by this page already", "Choose another with --port")


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def _wait_for_the_end(keeper: Keeper) -> None:
    """Returns on Ctrl-C or SIGTERM; empties the bin meanwhile of what has been there for long enough."""
    end = threading.Event()
    before = {
        number: signal.signal(number, lambda _number, _frame: end.set()) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        while True:
            with suppress(FaceswapError):  # a disk that refuses, perhaps: there is a next time
                keeper.delete(keeper.bin.expired())
            if end.wait(_EMPTY_EVERY):
                break
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
