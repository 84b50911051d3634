"""The commands `faceswap user ...`: who may log in to the page."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from faceswap_cli.options import Json
from faceswap_cli.terminal import job_errors, print_result

user_app = typer.Typer(
    no_args_is_help=True, help="Who may log in to the page: a file of names and hashed passwords for 'app --users'."
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="To log in with: letters, digits, and . @ - _")]
File = Annotated[Path, typer.Option("--users", metavar="FILE", envvar="FACESWAP_USERS", help="The file.")]

_HERE = Path("users")


@user_app.command()
def add(
    name: Name,
    users: File = _HERE,
    stdin: Annotated[bool, typer.Option("--stdin", help="Read the password from the first line of the input.")] = False,
    json: Json = False,
) -> None:
    """Let somebody log in, or give them another password, which is asked for and not shown."""
    with job_errors(json):
        from faceswap_app.users import check_name, put_user

        check_name(name)
        put_user(users, name, _password(name, stdin))
    print_result({"added": name, "users": str(users)}, json, f"{name} may log in now.")


@user_app.command()
def remove(name: Name, users: File = _HERE, json: Json = False) -> None:
    """Let somebody log in no more; a page that runs lets them out at once. Their projects stay."""
    with job_errors(json):
        from faceswap_app.users import remove_user

        remove_user(users, name)
    print_result({"removed": name, "users": str(users)}, json, f"{name} may not log in any more.")


@user_app.command("list")
def list_(users: File = _HERE, json: Json = False) -> None:
    """Show who may log in."""
    with job_errors(json):
        from faceswap_app.users import Users

        names = Users.read(users).names
    print_result({"users": names}, json, "\n".join(names))


def _password(name: str, stdin: bool) -> str:
    """Asked for twice, unseen; or from a program that gives it."""
    if stdin:
        return sys.stdin.readline().rstrip("\r\n")
    return str(typer.prompt(f"Password of {name}", hide_input=True, confirmation_prompt=True, err=True))
