"""Putting the files of the service's folder in force, over HTTP; signed where `apply: signed` is in force and there are people."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Self

from pydantic import AfterValidator, Field

from alerts.people.people import PROGRAM
from alerts.people.permissions import APPLY
from dashboards.answers import Answer, Time, time_text
from dashboards.asked import By, Nothing, plain_text
from dashboards.monitor import MOVED_ON, REFUSED, UNSIGNED, ApplyAnswered, ApplyAsked
from dashboards.operation import PREFIX, Operation
from dashboards.people_bodies import Password
from dashboards.problems_json import ProblemError
from dashboards.record_api import Meaning, Signing, signing_of


def _reason(text: str) -> str:
    if not (text := plain_text(text)):
        raise ValueError("why it is changed, in words")
    return text


class ApplyBody(By):
    reason: Annotated[str, Field(max_length=2000, description="Why; it stands in the audit trail"), AfterValidator(_reason)]
    change: Annotated[str, Field(max_length=100, description="Id of the change request"), AfterValidator(plain_text)] = ""
    expect: Annotated[str, Field(max_length=64, description="Only when this is the digest of the files, as a dry run gave it")] = ""
    dry_run: bool = False
    password: Annotated[Password | None, Field(description="One's own: signs it, with `expect`, as `apply: signed` asks for")] = None
    meaning: Meaning = "approval"


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
    signature: Annotated[bool, Field(description="Whether it takes a signature to put them in force")]
    signed: Annotated[str, Field(description="SHA-256 over what was signed; empty where nobody signed")]

    @classmethod
    def of(cls, found: ApplyAnswered) -> Self:
        changes = [ChangeAnswer(what=what, old=old, new=new) for what, old, new in found.changes]
        return cls(
            result=found.result, digest=found.digest, config=found.config, at=time_text(found.at), changes=changes,
            signature=found.signature, signed=found.signed,
        )  # fmt: skip


def apply(signing: Signing, _: Nothing, body: ApplyBody) -> AppliedAnswer:
    assert body.by is not None
    asked = ApplyAsked(body.by, body.reason, body.change, body.expect, body.dry_run)
    if body.password and not body.dry_run:
        if not body.expect:
            raise _bad_expect()
        asked = replace(asked, by=signing.confirm(body.password), meaning=body.meaning, signed_at=signing.monitor.now())
    found = signing.monitor.apply(asked)
    if found.result == UNSIGNED:
        raise ProblemError(403, "signature-needed", "It takes a signature", f"{_who_signs(signing)} Nothing was applied.")
    if found.result == REFUSED:
        raise ProblemError(422, "configuration-refused", "The configuration cannot take force", "; ".join(found.problems))
    if found.result == MOVED_ON:
        detail = "The files were changed since they were shown. Look at what they say now, then apply that."
        raise ProblemError(409, "files-changed", "Other files than were shown", detail)
    return AppliedAnswer.of(found)


def _who_signs(signing: Signing) -> str:
    if signing.who.kind == PROGRAM:
        return (
            f"`apply: signed` is in force, and {signing.who.label} is a program, which cannot sign: a supervisor or an administrator "
            "who is signed in does, with the password again, here or by `renrum apply --user NAME`."
        )
    return "`apply: signed` is in force: sign with your password and a meaning, and in `expect` the digest of what you looked at."


def _bad_expect() -> ProblemError:
    allowed = "the digest that a dry run gave: what is signed is what was looked at"
    error = {"parameter": "expect", "found": "nothing", "allowed": allowed}
    detail = f"expect: found nothing, allowed: {allowed}. Nothing was applied."
    return ProblemError(400, "bad-parameter", "A parameter in the body cannot be used", detail, errors=[error])


OPERATIONS = (
    Operation(
        f"{PREFIX}/configuration/apply", "Put the files of the service's folder in force, whole or not at all, without a restart.",
        apply, method="POST", body=ApplyBody, answer=AppliedAnswer, problems=(403, 409, 413, 415, 422, 429), subject=signing_of,
        permission=APPLY,
    ),
)  # fmt: skip
