"""What the API is asked and answers about people: pydantic models."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, Field

from alerts.people.people import Who
from alerts.people.register import Token, User
from dashboards.answers import Answer, Time, time_text
from dashboards.asked import Asked, plain_text
from facility.times import format_time

PASSWORD_MAX = 1000
"""Of what is looked at at all; a new password is at most alerts.people.passwords.LENGTH_MAX long."""
Password = Annotated[str, Field(max_length=PASSWORD_MAX)]
Text = Annotated[str, Field(max_length=500), AfterValidator(plain_text)]
Word = Annotated[str, Field(min_length=1, max_length=100)]


class SignInBody(Asked):
    user: Annotated[str, Field(max_length=200, description="User id")]
    password: Password


class PasswordBody(Asked):
    old_password: Password
    new_password: Password


class ReasonBody(Asked):
    reason: Text = ""


class UserBody(ReasonBody):
    id: Word
    name: Annotated[str, Field(description="Full name, as the records show it")]
    role: Word


class UserChangeBody(ReasonBody):
    role: Word | None = None
    disabled: bool | None = None


class TokenBody(ReasonBody):
    name: Word
    role: Word
    days: Annotated[int, Field(ge=1, le=731, description="It expires after so many")] = 365


class Named(Asked):
    id: str = Field(description="Id of the user, name of the token")


class MeAnswer(Answer):
    kind: Annotated[str, Field(description="person, program, or anybody where there are no users")]
    id: str
    label: str
    role: str
    permissions: list[str]
    must_change_password: bool

    @classmethod
    def of(cls, who: Who) -> Self:
        return cls(
            kind=who.kind, id=who.id, label=who.label, role=who.role, permissions=who.permissions, must_change_password=who.must_change
        )


class UserAnswer(Answer):
    id: str
    name: str
    role: str
    disabled: bool
    one_time_until: Time | None
    created: Time
    signed_in: Time | None

    @classmethod
    def of(cls, user: User) -> Self:
        return cls(
            id=user.id, name=user.name, role=user.role, disabled=user.disabled, one_time_until=time_text(user.one_time_until),
            created=format_time(user.created), signed_in=time_text(user.signed_in),
        )  # fmt: skip


class UsersAnswer(Answer):
    users: list[UserAnswer]


class TokenAnswer(Answer):
    name: str
    role: str
    made: Time
    expires: Time
    revoked: Time | None

    @classmethod
    def of(cls, token: Token) -> Self:
        made, expires, revoked = format_time(token.made), format_time(token.expires), time_text(token.revoked)
        return cls(name=token.name, role=token.role, made=made, expires=expires, revoked=revoked)


class TokensAnswer(Answer):
    tokens: list[TokenAnswer]


class IssuedAnswer(Answer):
    """A secret that is shown this once."""

    name: str
    secret: str
