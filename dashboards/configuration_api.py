"""Putting the files of the service's folder in force, over HTTP."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from alerts.people.permissions import APPLY
from dashboards.answers import Answer, Time, time_text
from dashboards.asked import By, Nothing, plain_text
from dashboards.monitor import MOVED_ON, REFUSED, ApplyAsked, Monitor
from dashboards.operation import PREFIX, Operation
from dashboards.problems_json import ProblemError


def _reason(text: str) -> str:
    if not (text := plain_text(text)):
        raise ValueError("why it is changed, in words")
    return text


class ApplyBody(By):
    reason: Annotated[str, Field(max_length=2000, description="Why; it stands in the audit trail"), AfterValidator(_reason)]
    change: Annotated[str, Field(max_length=100, description="Id of the change request"), AfterValidator(plain_text)] = ""
    expect: Annotated[str, Field(max_length=64, description="Only when this is the digest of the files, as a dry run gave it")] = ""
    dry_run: bool = False


class ChangeAnswer(Answer):
    what: Annotated[str, Field(description="The value, such as `cp1.dp action below`")]
    old: Annotated[str, Field(description="Empty where there was none")]
    new: Annotated[str, Field(description="Empty where there is none any more")]


class AppliedAnswer(Answer):
    """What the files changed, or would change in a dry run."""

    result: Annotated[str, Field(description="applied, unchanged (the files say what is in force), or shown (a dry run)")]
    digest: Annotated[str, Field(description="Of all texts of the files")]
    config: Annotated[str, Field(description="Hash of what judges")]
    at: Annotated[Time | None, Field(description="When it took force")]
    changes: list[ChangeAnswer]


def apply(monitor: Monitor, _: Nothing, body: ApplyBody) -> AppliedAnswer:
    assert body.by is not None
    found = monitor.apply(ApplyAsked(body.by, body.reason, body.change, body.expect, body.dry_run))
    if found.result == REFUSED:
        raise ProblemError(422, "configuration-refused", "The configuration cannot take force", "; ".join(found.problems))
    if found.result == MOVED_ON:
        detail = "The files were changed since they were shown. Look at what they say now, then apply that."
        raise ProblemError(409, "files-changed", "Other files than were shown", detail)
    changes = [ChangeAnswer(what=what, old=old, new=new) for what, old, new in found.changes]
    return AppliedAnswer(result=found.result, digest=found.digest, config=found.config, at=time_text(found.at), changes=changes)


OPERATIONS = (
    Operation(
        f"{PREFIX}/configuration/apply", "Put the files of the service's folder in force, whole or not at all, without a restart.",
        apply, method="POST", body=ApplyBody, answer=AppliedAnswer, problems=(403, 409, 413, 415, 422), permission=APPLY,
    ),
)  # fmt: skip
