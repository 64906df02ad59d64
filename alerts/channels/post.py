"""A request to an address that may hold secrets, and what its failure may say."""

from __future__ import annotations

import email.utils

import urllib3

from alerts.channels.channel import DeliveryError, address_secrets, redacted, reveal
from facility.secret import Secret

TRY_LATER = (408, 429)


def post(
    what: str, url: str | Secret, path: str, body: bytes | None, token: str | Secret | None, timeout_s: float, key: str = ""
) -> None:  # fmt: skip
    """Post a JSON body to a path below an address, or get it without one; raises DeliveryError.

    It is permanent for 3xx (redirects are not followed) and for 4xx but 408 and 429. `what` is who is asked, in words; `key` tells repeats.
    """
    address = reveal(url)
    if not address.lower().startswith(("http://", "https://")):
        raise DeliveryError(f"{what} without a valid address", "It starts with https:// or http://", permanent=True)
    headers = {"User-Agent": "renrum"} | ({"Content-Type": "application/json"} if body is not None else {})
    headers |= {"Idempotency-Key": key} if key else {}
    if token is not None:
        headers["Authorization"] = f"Bearer {reveal(token)}"
    address = address.rstrip("/") + path if path else address
    try:
        with urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(total=timeout_s)) as pool:
            method = "GET" if body is None else "POST"
            answer = pool.request(method, address, body=body, headers=headers, redirect=False, preload_content=False)
            said = answer.read(2048).decode(errors="replace") if answer.status >= 300 else ""
            answer.close()
    except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        hint = "Check the address, and that this machine reaches it"
        raise DeliveryError(f"{what} {_host(url)}: {_safe(str(error), url, token)}", hint) from None
    if answer.status >= 300:
        hint = "Redirects are not followed: configure the final address" if answer.status < 400 else ""
        raise DeliveryError(
            _safe(f"{what} {_host(url)} answered {answer.status} {said}", url, token),
            hint,
            permanent=answer.status < 500 and answer.status not in TRY_LATER,
            retry_after_ns=retry_after_ns(answer.headers.get("Retry-After", ""), answer.headers.get("Date", "")),
        )


def _host(url: str | Secret) -> str:
    """The only part of the address that is shown."""
    try:
        address = urllib3.util.parse_url(reveal(url))
    except urllib3.exceptions.LocationParseError:
        return "without a valid address"
    return f"{address.host}:{address.port}" if address.port else str(address.host)


def _safe(text: str, url: str | Secret, token: str | Secret | None) -> str:
    shown = _host(url).split(":")
    return redacted(text, reveal(token), *(part for part in address_secrets(reveal(url)) if part not in shown))


def retry_after_ns(wait: str, sent: str = "") -> int | None:
    """The wait that a Retry-After header asks for: seconds, or a date, counted from the answer's own Date (RFC 9110, 10.2.3)."""
    if wait.strip().isascii() and wait.strip().isdigit():
        return int(wait) * 10**9
    try:
        until, since = email.utils.parsedate_to_datetime(wait), email.utils.parsedate_to_datetime(sent)
        return max(0, int((until - since).total_seconds())) * 10**9
    except (ValueError, TypeError):
        return None
