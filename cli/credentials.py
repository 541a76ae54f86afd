"""How the command logs in to an org: from the environment, so that no secret is in a command line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cli.errors import UsageMistake
from massive_upload.errors import CredentialsRejected
from massive_upload.salesforce.credentials import parse_credentials

CLIENT_ID = "SALESFORCE_CLIENT_ID"
CLIENT_SECRET = "SALESFORCE_CLIENT_SECRET"  # noqa: S105 - a variable's name
USERNAME = "SALESFORCE_USERNAME"
PRIVATE_KEY_FILE = "SALESFORCE_PRIVATE_KEY_FILE"

_HOW = (
    f"set {CLIENT_ID} and either {CLIENT_SECRET} (client credentials flow), "
    f"or {USERNAME} and {PRIVATE_KEY_FILE} (JWT bearer flow)"
)

WHAT_THE_SECRET_IS = (
    f"On this machine the org's secret is made of --org-url (login_url), {CLIENT_ID}, and {CLIENT_SECRET} or "
    f"{USERNAME} and {PRIVATE_KEY_FILE}."
)

_PLAIN_HTTP = "Plain http is for 127.0.0.1 only, as it would show the secret to everybody on the way."


def secret_for(org_url: str, environment: Mapping[str, str]) -> dict[str, str]:
    """The org's secret, as the deployed stack holds it.

    Raises:
        UsageMistake: a variable is missing, there are too many, or the URL would give a secret away or serves no login.
    """
    secret = {"login_url": org_url} | _variables(environment)
    try:
        parse_credentials(secret)
    except CredentialsRejected as error:  # its message names keys of the secret, never a value
        is_elsewhere = org_url.startswith("http:") and "127.0.0.1" not in org_url
        hint = f" {_PLAIN_HTTP}" if is_elsewhere else ""
        raise UsageMistake(f"{error} {WHAT_THE_SECRET_IS}{hint}") from error
    return secret


def _variables(environment: Mapping[str, str]) -> dict[str, str]:
    given = {name for name in (CLIENT_ID, CLIENT_SECRET, USERNAME, PRIVATE_KEY_FILE) if environment.get(name)}
    if CLIENT_ID not in given:
        raise UsageMistake(f"{CLIENT_ID} is not set: {_HOW}.")
    if {CLIENT_SECRET, PRIVATE_KEY_FILE} <= given:
        raise UsageMistake(f"{CLIENT_SECRET} and {PRIVATE_KEY_FILE} are both set: unset one of them.")
    if CLIENT_SECRET in given:
        return {"client_id": environment[CLIENT_ID], "client_secret": environment[CLIENT_SECRET]}
    if not {USERNAME, PRIVATE_KEY_FILE} <= given:
        missing = CLIENT_SECRET if not given & {USERNAME, PRIVATE_KEY_FILE} else _other(given)
        raise UsageMistake(f"{missing} is not set: {_HOW}.")
    return {
        "client_id": environment[CLIENT_ID],
        "username": environment[USERNAME],
        "private_key": _private_key(Path(environment[PRIVATE_KEY_FILE])),
    }


def _other(given: set[str]) -> str:
    return USERNAME if PRIVATE_KEY_FILE in given else PRIVATE_KEY_FILE


def _private_key(path: Path) -> str:
    try:
        key = path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageMistake(
            f"{PRIVATE_KEY_FILE}: {path} cannot be read ({type(error).__name__}); name a private key in PEM form."
        ) from error
    if not key.strip():
        raise UsageMistake(f"{PRIVATE_KEY_FILE}: {path} is empty; name a private key in PEM form.")
    return key
