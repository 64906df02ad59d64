"""The broker's accounts, as Mosquitto reads them: password file and access list."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import pbkdf2_hmac
from secrets import token_bytes

SERVICE_ACCOUNT = "renrum"
GATEWAY_ACCOUNT = "gateway1"
_ITERATIONS = 10_000
"""More only keeps the broker, which has one thread, from its work: the passwords that `init` makes cannot be guessed."""
_SALT_BYTES = 12
"""Mosquitto 2.0.11 takes no other length."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def is_account_name(name: str) -> bool:
    """Whether a name can stand in both files without quoting.

    >>> is_account_name("gateway-2"), is_account_name("a:b"), is_account_name("")
    (True, False, False)
    """
    return _NAME.fullmatch(name) is not None


def password_line(name: str, password: str) -> str:
    """A line of Mosquitto's password file, as `mosquitto_passwd` of version 2 writes it: PBKDF2 with SHA-512."""
    salt = token_bytes(_SALT_BYTES)
    key = pbkdf2_hmac("sha512", password.encode(), salt, _ITERATIONS)
    return f"{name}:$7${_ITERATIONS}${b64encode(salt).decode()}${b64encode(key).decode()}\n"


def accounts_in(passwords: str) -> set[str]:
    """The names in a password file."""
    return {line.partition(":")[0] for line in passwords.splitlines() if ":" in line}


def gateway_access(name: str) -> str:
    """The access list of an account that publishes readings and reads nothing."""
    return f"\nuser {name}\ntopic write renrum/#\ntopic deny renrum/+/$marker/#\n"
