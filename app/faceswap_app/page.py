"""The server: the page on this computer only, unless visitors must give a password; nothing is sent anywhere."""

from __future__ import annotations

import ipaddress
import os
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from faceswap.errors import ConfigError

if TYPE_CHECKING:  # it takes seconds to import: not for --help
    import gradio as gr

_LARGEST_UPLOAD = "4gb"


def main() -> None:
    """The entry point `faceswap-app`: the same as `faceswap app`."""
    from faceswap_pipelines import cli

    sys.argv.insert(1, "app")
    cli.main()


def launch(projects: Path, host: str, port: int, auth: str | None) -> None:
    """Serve the page until Ctrl-C or SIGTERM.

    Args:
        projects: folder of models and clips, made if need be; results go to its `results`.
        host: address to listen on; any but this computer's own needs `auth`.
        port: to listen on.
        auth: "USER:PASSWORD" that visitors have to give; None lets everyone in.

    Raises:
        ConfigError: an unsafe or impossible host, port or auth.
        OutputError: the projects folder cannot be written to.
    """
    login = check_auth(host, auth)
    check_address(host, port)
    page = build(projects)
    try:
        serve(page, projects, host, port, login)
        print(f"Open http://{_in_url(host)}:{port} in a browser. Ctrl-C ends the page.", file=sys.stderr)
        _wait_for_the_end()
    finally:
        page.stop_jobs()  # the program would wait for them
        page.close(verbose=False)


def build(projects: Path) -> gr.Blocks:
    """The page over `projects`, not served yet. Raises OutputError if that folder cannot be written to."""
    from faceswap_app.work import make_folder

    make_folder(projects)
    # Read while gradio is imported, and whenever a page is built.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    # Uploads would otherwise go to a folder in /tmp that all users of the computer share, often held in memory.
    os.environ.setdefault("GRADIO_TEMP_DIR", str(projects.resolve() / ".uploads"))
    from faceswap_app.layout import build_page

    return build_page(projects)


def serve(page: gr.Blocks, projects: Path, host: str, port: int, login: tuple[str, str] | None) -> None:
    """Start serving, in a thread of its own, with everything turned off that could give something away."""
    from faceswap_app.layout import CSS, THEME

    try:
        page.launch(
            server_name=_in_url(host),
            server_port=port,
            auth=login,
            share=False,
            allowed_paths=[str(projects.resolve() / "results")],
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
        )
    except OSError as error:  # someone took the port since the address was checked
        raise _port_in_use(port) from error


def check_auth(host: str, auth: str | None) -> tuple[str, str] | None:
    """User and password of `auth`. Raises ConfigError if it is malformed, or missing where others could visit."""
    if auth is None:
        if not _is_loopback(host):
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


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def _wait_for_the_end() -> None:
    """Returns on Ctrl-C or SIGTERM."""
    end = threading.Event()
    before = {
        number: signal.signal(number, lambda _number, _frame: end.set()) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        end.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
