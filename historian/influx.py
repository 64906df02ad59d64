"""InfluxDB over HTTP: synchronous writes of line protocol, queries as streams, and its refusals by what is to be done about them."""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, Self

import certifi
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.domain.dialect import Dialect
from influxdb_client.rest import ApiException
from urllib3.exceptions import HTTPError

from facility.files import Unreadable
from historian.target import Target

PATIENCE_S = 60.0
"""So long an answer may take; InfluxDB itself gives up a write after 10 s."""
CONNECT_S = 5.0
LONGEST_WAIT_S = 3600.0
"""More is not waited at a server's word."""
_BEYOND = re.compile(r"dropped (\d+) points outside retention policy")
_WORDS = 500


class InfluxFault(Exception):
    """InfluxDB did not do what it was asked; the text is for people."""


class InfluxUnavailable(InfluxFault):
    """Down, slow, full or busy: to be tried again, not before `retry_after_s` where the server named it."""

    def __init__(self, words: str, retry_after_s: float = 0.0) -> None:
        super().__init__(words)
        self.retry_after_s = retry_after_s


class InfluxMisconfigured(InfluxFault):
    """Address, organisation, bucket or token are wrong: nothing goes until a person mends that."""


class LinesRefused(InfluxFault):
    """One line or more cannot be taken; the others of the same write may or may not have been."""


class TooMuch(InfluxFault):
    """The write is larger than the server takes."""


class BeyondRetention(InfluxFault):
    """All was taken but `dropped` lines, which are older than the bucket keeps."""

    def __init__(self, words: str, dropped: int) -> None:
        super().__init__(words)
        self.dropped = dropped


class Influx:
    """A connection for one thread; `reading` takes the token that reads. A context manager.

    Raises InfluxMisconfigured when the token's file cannot be read.
    """

    def __init__(self, target: Target, *, reading: bool = False, patience_s: float = PATIENCE_S) -> None:
        self.target = target
        try:
            token = target.right(reading=reading)
        except Unreadable as error:
            raise InfluxMisconfigured(f"the token for {target.url} is looked for in {error}; `renrum historian setup` makes it") from None
        self._client = InfluxDBClient(
            url=target.url,
            token=token.reveal(),
            org=target.org,
            timeout=(int(CONNECT_S * 1000), int(patience_s * 1000)),
            enable_gzip=not target.near,
            ssl_ca_cert=str(target.ca_file) if target.ca_file else _authorities(),
            retries=False,
        )
        self._write = self._client.write_api(write_options=SYNCHRONOUS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._client.close()  # type: ignore[no-untyped-call]

    def write(self, text: bytes) -> None:
        """Write lines with times in ns; durable when it returns. Raises InfluxFault."""
        with explained(self.target):
            # An empty body goes out as "compressed" without being so, and is answered with 500; an empty line is nothing too.
            self._write.write(self.target.bucket, self.target.org, text or b"\n")

    def stream(self, flux: str) -> Any:
        """The answer of a query as a readable stream of CSV without annotations; to be closed. Raises InfluxFault."""
        with explained(self.target):
            dialect = Dialect(header=True, annotations=[], delimiter=",", date_time_format="RFC3339Nano")  # type: ignore[no-untyped-call]
            return self._client.query_api().query_raw(flux, self.target.org, dialect)

    def rows(self, flux: str) -> list[dict[str, Any]]:
        """The records of a small query. Raises InfluxFault."""
        with explained(self.target):
            tables = self._client.query_api().query(flux, self.target.org)
        return [record.values for table in tables for record in table.records]

    def bucket(self) -> Any:
        """The bucket as the server describes it, None when there is none or the token may not see it. Raises InfluxFault."""
        with explained(self.target):
            return self._client.buckets_api().find_bucket_by_name(self.target.bucket)  # type: ignore[no-untyped-call]

    @property
    def client(self) -> InfluxDBClient:
        """For what setting up asks of it."""
        return self._client


def _authorities() -> str | None:
    """The system's own authorities where it has a file of them, else those that come with Python's packages."""
    return ssl.get_default_verify_paths().cafile or certifi.where()


@contextmanager
def explained(target: Target) -> Iterator[None]:
    try:
        yield
    except ApiException as error:
        raise fault_of(error.status, error.body, error.headers, target) from None
    except (HTTPError, OSError, ValueError) as error:
        raise InfluxUnavailable(f"{target.url} does not answer: {_short(str(error) or type(error).__name__)}") from None


def fault_of(status: int | None, body: Any, headers: Any, target: Target) -> InfluxFault:
    """What an answer that is no success means."""
    said = _said(body)
    words = f"{target.url} answers {status}: {said}"
    if status == 413:
        return TooMuch(words)
    if status == 422 and (beyond := _BEYOND.search(said)):
        return BeyondRetention(words, int(beyond[1]))
    if status in (400, 422):
        return LinesRefused(said)
    if status in (408, 425, 429) or status is None or status >= 500:
        return InfluxUnavailable(words, _retry_after_s(headers))
    hint = {
        401: "the token is not known there: look at historian.influxdb.token_file",
        403: "the token lacks the right to that bucket: `renrum historian setup` makes one that has it",
        404: f"there is no organisation {target.org!r} or no bucket {target.bucket!r}, or the token may not see it",
    }.get(status, "is that an InfluxDB 2, and the url without a path?")
    return InfluxMisconfigured(f"{words}; {hint}")


def _said(body: Any) -> str:
    """The server's own words."""
    text = body.decode(errors="replace") if isinstance(body, bytes) else str(body or "")
    with suppress(ValueError, KeyError, TypeError):
        text = str(json.loads(text)["message"])
    return _short(text.strip()) or "nothing more"


def _short(text: str) -> str:
    return text if len(text) <= _WORDS else text[:_WORDS] + "…"


def _retry_after_s(headers: Any) -> float:
    """Seconds, or a date against the answer's own; 0 without."""
    text = str(headers.get("Retry-After", "")) if headers is not None else ""
    try:
        wait_s = float(text)
    except ValueError:
        try:
            base = parsedate_to_datetime(headers["Date"])
            wait_s = (parsedate_to_datetime(text) - base.astimezone(UTC)).total_seconds()
        except (TypeError, ValueError, KeyError):
            return 0.0
    return min(max(wait_s, 0.0), LONGEST_WAIT_S)
