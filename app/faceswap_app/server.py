"""How the page is served: what can be chosen, and what of it cannot be."""

from __future__ import annotations

import os
import re
import socket
from dataclasses import dataclass, field
from pathlib import Path

from faceswap.errors import ConfigError
from faceswap_app.door import is_loopback
from faceswap_app.quotas import Quotas
from faceswap_app.users import Users, one_user

_ROOT_PATH = re.compile(r"(/[\w.~-]+)*")
_ADD = "Add --auth USER:PASSWORD, or --users FILE"


@dataclass(frozen=True, kw_only=True)
class Server:
    """What can be chosen."""

    projects: Path
    """Folder of the projects, made if need be."""
    host: str = "127.0.0.1"
    """Address to listen on; any but this computer's own needs `auth` or `users`."""
    port: int = 7860
    auth: str | None = None
    """"USER:PASSWORD" that visitors have to give: one for all of them."""
    users: Path | None = None
    """File of those who may log in; each has projects of their own."""
    root_path: str = ""
    """Where a proxy has the page, if not at the top of its name: "/faces"."""
    quotas: Quotas = field(default_factory=Quotas)
    log: Path | None = None
    """Where it is noted who did what; None: in PROJECTS/.log where visitors log in, and nowhere otherwise."""

    @property
    def named(self) -> bool:
        """Whether visitors have names."""
        return self.users is not None

    @property
    def noted(self) -> Path | None:
        """Where it is noted who did what."""
        logs_in = self.users or self.auth
        return self.log or (self.projects / ".log" / "page.log" if logs_in else None)

    @property
    def url(self) -> str:
        """Where the page is on this computer."""
        return f"http://{in_url(self.host)}:{self.port}"


def check(server: Server) -> Users | None:
    """Who may log in; None where nobody has to.

    Raises ConfigError for a setting that cannot be, is unsafe, or speaks against another one.
    """
    users = _users_of(server)
    if users is None and not is_loopback(server.host):
        raise ConfigError(f"on {server.host or 'that host'} everyone on the network could use this page", _ADD)
    if server.quotas != Quotas() and not server.named:
        raise ConfigError("quotas are for users who have names", "Add --users FILE")
    if not _ROOT_PATH.fullmatch(server.root_path):
        raise ConfigError(f"'{server.root_path}' is no path on a server", "Write it as --root-path /faces")

    check_address(server.host, server.port)
    return users


def _users_of(server: Server) -> Users | None:
    if server.auth is not None and server.users is not None:
        raise ConfigError("--auth and --users say both who may log in", "Leave one of them out")

    if server.users is not None:
        return Users.read(server.users)
    if server.auth is None:
        return None

    name, _, password = server.auth.partition(":")
    if not name or not password:
        raise ConfigError("--auth needs a user and a password", "Write it as --auth USER:PASSWORD")
    return one_user(name, password)


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
            raise port_in_use(port) from error
        raise ConfigError(
            f"this computer cannot listen on {host} ({error.strerror})", "Choose another address with --host"
        ) from error


def port_in_use(port: int) -> ConfigError:
    """What is wrong if somebody else listens there."""
    return ConfigError(f"the port {port} is in use, perhaps by this page already", "Choose another with --port")


def in_url(host: str) -> str:
    """An address as URLs have it."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host
