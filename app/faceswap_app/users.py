"""Who may log in: names, and their passwords as hashes that cost a computer a quarter of a second to try.

    ada:scrypt:32768:8:3:SALT:HASH     a line each; the numbers say what a try costs, salt and hash are base64

A file that is changed counts at once: nobody has to start the page anew.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from faceswap.errors import ConfigError, OutputError
from faceswap.files import replaced

SHORTEST = 8
"""Characters of a password."""

_LONGEST = 200  # characters of a password: hashing more costs more
_NAME = re.compile(r"\w[\w.@-]{0,39}")
_COST, _BLOCK, _PASSES = 2**15, 8, 3  # of scrypt: 32 MB and a quarter of a second
_CHEAP = 2**10
_MOST_MEMORY = 2**28  # bytes that a try may use: a line can ask for anything
_PRIVATE = 0o600
_KIND = "scrypt"


@dataclass(frozen=True, kw_only=True)
class Secret:
    """A password's hash, and how it was made."""

    salt: bytes
    digest: bytes
    cost: int = field(default_factory=lambda: _COST)
    block: int = _BLOCK
    passes: int = _PASSES

    @classmethod
    def of(cls, password: str) -> Self:
        """With a fresh salt. Raises ConfigError for a password that is too short or too long."""
        if not SHORTEST <= len(password) <= _LONGEST:
            raise ConfigError(f"the password has {len(password)} characters", f"Use {SHORTEST} to {_LONGEST}")
        salt = secrets.token_bytes(16)
        return cls(salt=salt, digest=cls(salt=salt, digest=bytes(32)).digest_of(password))

    @classmethod
    def parse(cls, text: str) -> Self:
        """What a line says behind the name. Raises ValueError."""
        kind, cost, block, passes, salt, digest = text.split(":")

        secret = cls(
            salt=base64.b64decode(salt, validate=True),
            digest=base64.b64decode(digest, validate=True),
            cost=int(cost),
            block=int(block),
            passes=int(passes),
        )

        if kind != _KIND or not secret._can_be():
            raise ValueError("no hash that this program makes")
        return secret

    def _can_be(self) -> bool:
        """Whether it can be tried, at a bearable cost."""
        power_of_two = self.cost > 1 and self.cost & (self.cost - 1) == 0
        bearable = self.block > 0 and 128 * self.cost * self.block <= _MOST_MEMORY and 0 < self.passes <= 16
        return power_of_two and bearable and len(self.digest) >= 16

    def __str__(self) -> str:
        salt, digest = (base64.b64encode(part).decode() for part in (self.salt, self.digest))
        return f"{_KIND}:{self.cost}:{self.block}:{self.passes}:{salt}:{digest}"

    def digest_of(self, password: str) -> bytes:
        """The hash of another password, made in the same way."""
        return hashlib.scrypt(
            password.encode(errors="surrogatepass"),
            salt=self.salt,
            n=self.cost,
            r=self.block,
            p=self.passes,
            maxmem=2 * _MOST_MEMORY,
            dklen=len(self.digest),
        )

    def fits(self, password: str) -> bool:
        """Whether it is this password's."""
        return len(password) <= _LONGEST and hmac.compare_digest(self.digest_of(password), self.digest)


class Users:
    """Names and hashed passwords, of a file or only of this process."""

    def __init__(self, secrets_: Mapping[str, Secret], path: Path | None = None, stamp: object = None) -> None:
        self._secrets, self._path, self._stamp = dict(secrets_), path, stamp
        like = next(iter(self._secrets.values()), Secret(salt=b"", digest=b""))
        self._nobody = replace(like, salt=secrets.token_bytes(16), digest=bytes(32))  # tried for names that nobody has
        self._trying = asyncio.Lock()

    @classmethod
    def read(cls, path: Path) -> Self:
        """Those of a file. Raises ConfigError if it is missing, damaged or empty."""
        stamp = _stamp(path)
        users = cls(_parsed(path), path, stamp)
        if not users.names:
            raise ConfigError(f"{path} names nobody", f"Add somebody with 'faceswap user add NAME --users {path}'")
        return users

    @property
    def names(self) -> list[str]:
        """Of all, in their order."""
        return list(self._secrets)

    async def is_right(self, name: str, password: str) -> bool:
        """Whether this is the password of this name; takes as long for a name that nobody has.

        One try after the other, since each takes memory, and in a thread of its own.
        """
        secret = self._secrets.get(name, self._nobody)
        async with self._trying:
            return await asyncio.to_thread(secret.fits, password) and name in self._secrets

    def changed(self) -> set[str]:
        """Who is gone, or has another password, since this was asked last: the file may have been changed.

        One that cannot be read now changes nothing.
        """
        stamp = _stamp(self._path) if self._path else self._stamp
        if self._path is None or stamp == self._stamp:
            return set()

        try:
            fresh = _parsed(self._path)
        except ConfigError:
            return set()
        other = {name for name, secret in self._secrets.items() if fresh.get(name) != secret}
        self._secrets, self._stamp = fresh, stamp
        return other


def one_user(name: str, password: str) -> Users:
    """Somebody whose password was given as it is: this process knows it, and no file, so that a try may be cheap."""
    secret = Secret(salt=secrets.token_bytes(16), digest=bytes(32), cost=_CHEAP)
    return Users({name: replace(secret, digest=secret.digest_of(password))})


def put_user(path: Path, name: str, password: str) -> None:
    """Add somebody to the file, which is made if need be, or give them another password.

    Raises ConfigError for a name or password that cannot be, or a damaged file; OutputError.
    """
    check_name(name)
    secret = Secret.of(password)
    known = _parsed(path) if path.exists() else {}
    _write(path, {**known, name: secret})


def remove_user(path: Path, name: str) -> None:
    """Take somebody out of the file. Raises ConfigError if they are not in it, or it is damaged; OutputError."""
    known = _parsed(path)
    if name not in known:
        raise ConfigError(f"{path} knows no '{name}'", f"It knows: {', '.join(known) or 'nobody'}")
    _write(path, {other: secret for other, secret in known.items() if other != name})


def check_name(name: str) -> None:
    """Raises ConfigError for what cannot be a name to log in with."""
    if not _NAME.fullmatch(name):
        raise ConfigError(f"'{name}' cannot be a name to log in with", "Use up to 40 letters, digits, and . @ - _")


def _parsed(path: Path) -> dict[str, Secret]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror})", "Make it with 'faceswap user add'") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is no text", "Make it anew with 'faceswap user add'") from error

    known: dict[str, Secret] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, _, rest = line.strip().partition(":")
        try:
            check_name(name)
            known[name] = Secret.parse(rest)
        except (ValueError, ConfigError) as error:
            problem = f"line {number} of {path} is no name with a hashed password"
            raise ConfigError(problem, "Take it out, then 'faceswap user add'") from error
    return known


def _write(path: Path, known: Mapping[str, Secret]) -> None:
    try:
        with replaced(path) as fresh:
            fresh.touch(_PRIVATE)
            fresh.write_text("".join(f"{name}:{secret}\n" for name, secret in known.items()), encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error.strerror})", "Choose another place") from error


def _stamp(path: Path) -> object:
    """Another one after each change of the file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size
