"""Who may log in: hashed passwords in a file, that counts as it is now; and how wrong ones are slowed."""

from __future__ import annotations

import asyncio
import stat
import time
from pathlib import Path

import pytest

from faceswap.errors import ConfigError
from faceswap_app.logins import Logins
from faceswap_app.users import Users, put_user, remove_user
from support.commands import command, refused

PASSWORD = "correct horse"


def right(users: Users, name: str, password: str) -> bool:
    return asyncio.run(users.is_right(name, password))


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("faceswap_app.users._COST", 2**10)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    put_user(tmp_path / "users", "ada", PASSWORD)
    return tmp_path / "users"


def test_only_the_right_password_is_right(file: Path) -> None:
    users = Users.read(file)
    assert right(users, "ada", PASSWORD)
    for name, password in (("ada", PASSWORD + "x"), ("ada", ""), ("bruno", PASSWORD), ("", ""), ("ada", "x" * 10**6)):
        assert not right(users, name, password)
    assert PASSWORD not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_name_that_nobody_has_takes_as_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("faceswap_app.users._COST", 2**13)
    file = tmp_path / "users"
    put_user(file, "ada", PASSWORD)
    users, times = Users.read(file), []
    for name in ("ada", "nobody"):
        begun = time.process_time()
        right(users, name, "wrong password")
        times.append(time.process_time() - begun)
    assert 0.5 < times[0] / times[1] < 2


def test_the_same_password_has_another_hash(file: Path) -> None:
    put_user(file, "bruno", PASSWORD)
    hashes = [line.partition(":")[2] for line in file.read_text().splitlines()]
    assert len(set(hashes)) == 2


def test_a_file_counts_as_it_is_now(file: Path) -> None:
    put_user(file, "bruno", "another one")
    users = Users.read(file)
    assert users.changed() == set()
    put_user(file, "cem", PASSWORD)
    assert users.changed() == set()
    assert right(users, "cem", PASSWORD)
    put_user(file, "ada", "a new password")
    remove_user(file, "bruno")
    assert users.changed() == {"ada", "bruno"}
    assert users.changed() == set()
    assert not right(users, "ada", PASSWORD)

    file.write_text("damaged")  # an editor is writing it, perhaps
    assert users.changed() == set()
    assert users.names == ["ada", "cem"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ada",
        "ada:secret",
        "ada:scrypt:0:8:3:AAAA:AAAA",
        "ada:scrypt:32767:8:3:AAAA:AAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "ada:scrypt:1073741824:8:3:AAAA:AAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "ada:scrypt:32768:8:999:AAAA:AAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "a b:scrypt:32768:8:3:AAAA:AAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "\0",
    ],
)
def test_what_is_no_file_of_users_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "users").write_text(text)
    with pytest.raises(ConfigError, match="faceswap user add"):
        Users.read(tmp_path / "users")
    (tmp_path / "users").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="faceswap user add"):
        Users.read(tmp_path / "users")


def test_commands_keep_the_file(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from faceswap_cli.main import app

    file = tmp_path / "users"
    typed = CliRunner().invoke(app, ["user", "add", "ada", "--users", str(file)], input=f"{PASSWORD}\n{PASSWORD}\n")
    assert typed.exit_code == 0, typed.output
    assert PASSWORD not in typed.output
    words = ["user", "add", "bruno", "--users", str(file), "--stdin"]
    assert CliRunner().invoke(app, words, input=f"{PASSWORD}\n").exit_code == 0
    users = Users.read(file)
    assert users.names == ["ada", "bruno"]
    assert all(right(users, name, PASSWORD) for name in users.names)

    refused(command("user", "remove", "cem", "--users", file), "knows no 'cem'")
    refused(command("user", "add", "a:b", "--users", file), "cannot be a name")
    short = CliRunner().invoke(app, words, input="short\n")
    refused(short, "5 characters")
    assert command("user", "remove", "bruno", "--users", file).exit_code == 0
    assert command("user", "list", "--users", file).stdout == "ada\n"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_each_wrong_login_makes_the_next_wait_longer() -> None:
    clock = Clock()
    logins, waits = Logins(clock), []
    for _ in range(14):
        waits.append(logins.wait("192.0.2.1", "ada"))
        clock.now += waits[-1]
        logins.begin("192.0.2.1", "ada")
    assert waits == [0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    assert logins.wait("192.0.2.1", "bruno") == 300  # the address
    assert logins.wait("192.0.2.2", "ada") == 300  # the name
    assert logins.wait("192.0.2.2", "bruno") == 0
    clock.now += 4000
    assert logins.wait("192.0.2.1", "ada") == 0


def test_who_has_logged_in_from_somewhere_is_not_locked_out_by_others() -> None:
    logins = Logins(Clock())
    logins.begin("192.0.2.1", "ada")
    logins.right("192.0.2.1", "ada")
    for number in range(50):
        logins.begin(f"203.0.113.{number}", "ada")
    assert logins.wait("203.0.113.99", "ada") > 0
    assert logins.wait("192.0.2.1", "ada") == 0


def test_logging_in_oneself_does_not_help_with_anothers_name() -> None:
    """Not from an address that both share, from which the other one has logged in before, nor from elsewhere."""
    logins = Logins(Clock())
    logins.begin("192.0.2.1", "ada")
    logins.right("192.0.2.1", "ada")
    for address in ("192.0.2.1", "192.0.2.2"):
        for _ in range(5):
            logins.begin(address, "ada")
            logins.begin(address, "eve")
            logins.right(address, "eve")
        assert logins.wait(address, "eve") == 0
        assert logins.wait(address, "ada") == 4


def test_what_one_subscriber_has_is_one_address() -> None:
    logins = Logins(Clock())
    for number in range(5):
        logins.begin(f"2001:db8:1:2::{number}", f"name{number}")
    assert logins.wait("2001:db8:1:2:ffff::1", "other") > 0
    assert logins.wait("2001:db8:1:3::1", "other") == 0


def test_the_memory_of_wrong_logins_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("faceswap_app.logins._KEYS", 5)
    logins = Logins(Clock())
    for number in range(20):
        logins.begin(str(number), "")
        logins.right(f"right {number}", "ada")
    assert len(logins._tries) == len(logins._trusted) == 5
