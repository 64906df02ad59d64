"""People: passwords, sessions, waiting after failures, rights that are given and taken, and what is kept of it all."""

from __future__ import annotations

import sqlite3
import stat
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.people.lockout import FREE, SECOND_NS, SLACK_NS, WAIT_MAX_NS, LockOut
from alerts.people.office import ONE_TIME_NS, Office, OfficeRefused
from alerts.people.passwords import WAITING_MAX, Passwords, TooBusy, one_time, weakness
from alerts.people.people import PasswordRefused, People, SignInRefused, Who
from alerts.people.permissions import ACKNOWLEDGE, ADMINISTER, PERMISSIONS, READ, REVIEW, ROLES, may
from alerts.people.register import FORMAT, PeopleUnavailable, Register
from facility.secret import Secret
from tests.support.people import BY, PASSWORD, Staff, cheap, staff_in

HERE, ELSEWHERE = "10.0.0.5", "203.0.113.7"


@pytest.fixture
def staff(tmp_path: Path) -> Iterator[Staff]:
    with staff_in(tmp_path) as staff:
        yield staff


def sign_in(staff: Staff, user: str = "operator", password: str = PASSWORD, source: str = HERE) -> str:
    return staff.people.sign_in(user, Secret(password), source).reveal()


def who(staff: Staff, token: str) -> Who:
    found = staff.people.of_session(token)
    assert found is not None
    return found


def refused(staff: Staff, user: str = "operator", password: str = "wrong", source: str = HERE) -> int:
    """How many seconds to wait, 0 when it was looked at and wrong."""
    with pytest.raises(SignInRefused) as refusal:
        sign_in(staff, user, password, source)
    return refusal.value.wait_s


# Permissions


def test_the_table_says_what_each_role_may() -> None:
    assert set(PERMISSIONS) == set(ROLES)
    assert [role for role in ROLES if may(role, ACKNOWLEDGE)] == ["operator", "supervisor"]
    assert [role for role in ROLES if may(role, REVIEW)] == ["supervisor", "administrator"]
    assert [role for role in ROLES if may(role, ADMINISTER)] == ["administrator"]
    assert all(may(role, READ) for role in ROLES)
    assert not may("nobody", READ)
    assert not may("administrator", "allows")


# Passwords


def test_a_password_is_kept_as_an_argon2id_hash_that_owasp_would_take() -> None:
    kept = Passwords().hash(Secret(PASSWORD))
    assert kept.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert PASSWORD not in kept


def test_a_password_is_the_same_however_its_letters_are_composed() -> None:
    passwords = cheap()
    assert passwords.check(Secret("a\u030angstro\u0308m unit"), passwords.hash(Secret("\u00e5ngstr\u00f6m unit")))


def test_nobody_has_no_right_password_and_a_damaged_hash_fits_none() -> None:
    passwords = cheap()
    assert not passwords.check(Secret(PASSWORD), None)
    assert not passwords.check(Secret(PASSWORD), "damaged")


def test_only_so_many_wait_for_their_password_to_be_checked() -> None:
    passwords = cheap()
    begun, go = threading.Semaphore(0), threading.Event()

    class Slow:
        def verify(self, _kept: str, _password: str) -> bool:
            begun.release()
            return go.wait(10)

    passwords._hasher = Slow()  # type: ignore[assignment]
    threads = [threading.Thread(target=passwords.check, args=(Secret("x"), "kept")) for _ in range(WAITING_MAX + 1)]
    for thread in threads:
        thread.start()
    begun.acquire(timeout=10)
    while passwords._waiting <= WAITING_MAX:
        pass
    with pytest.raises(TooBusy):
        passwords.check(Secret("x"), "kept")
    assert not begun.acquire(blocking=False), "one at a time"
    go.set()
    for thread in threads:
        thread.join(10)
    assert passwords.check(Secret("x"), "kept")


@pytest.mark.parametrize("password", ["short", "karin is my name", "KARIN0123456789", "aaaaaaaaaaaaaaaa", "x" * 257])
def test_a_weak_password_is_refused_with_the_reason(password: str) -> None:
    assert weakness(Secret(password), "karin")


def test_one_time_passwords_differ_and_are_strong_enough_themselves() -> None:
    found = {one_time().reveal() for _ in range(50)}
    assert len(found) == 50
    assert not any(weakness(Secret(password), "karin") for password in found)


# Waiting after failures


def test_wrong_passwords_cost_nothing_then_a_wait_that_doubles_up_to_a_bound() -> None:
    lockout, at, waits = LockOut(), 0, []
    for _ in range(14):
        waits.append(lockout.failed("karin", "", "x", at) // SECOND_NS)
        at += waits[-1] * SECOND_NS + 1
    assert waits[: FREE - 1] == [0] * (FREE - 1)
    assert waits[FREE - 1 : FREE + 5] == [30, 60, 120, 240, 480, 900]
    assert set(waits[FREE + 5 :]) == {WAIT_MAX_NS // SECOND_NS}


@given(st.lists(st.tuples(st.integers(0, 3600), st.booleans()), max_size=80))
def test_whatever_is_tried_nobody_ever_waits_longer_than_the_bound(tries: list[tuple[int, bool]]) -> None:
    lockout, at = LockOut(), 10**18
    for seconds, set_back in tries:
        at += (-seconds if set_back else seconds) * SECOND_NS
        if not lockout.waits("karin", "", "x", at):
            lockout.failed("karin", "", "x", at)
        assert 0 <= lockout.waits("karin", "", "x", at) <= WAIT_MAX_NS
    assert lockout.waits("karin", "", "x", at + WAIT_MAX_NS + SLACK_NS) == 0


def test_an_account_is_locked_for_elsewhere_and_not_for_the_persons_usual_place(staff: Staff) -> None:
    sign_in(staff)
    assert [refused(staff, source=ELSEWHERE) for _ in range(FREE)] == [0] * FREE
    assert refused(staff, password=PASSWORD, source=ELSEWHERE) == 30
    assert refused(staff, password=PASSWORD, source="198.51.100.1") == 30, "from any place that is new"
    sign_in(staff)
    staff.wait(30)
    sign_in(staff, source=ELSEWHERE)
    assert refused(staff, source=ELSEWHERE) == 0, "the right password starts the count anew"


def test_tries_during_a_wait_do_not_make_it_longer(staff: Staff) -> None:
    for _ in range(FREE):
        refused(staff)
    waits = []
    for _ in range(3):
        waits.append(refused(staff))
        staff.wait(10)
    assert waits == [30, 20, 10]
    sign_in(staff)


def test_who_is_signed_in_stays_so_while_somebody_guesses(staff: Staff) -> None:
    token = sign_in(staff)
    for _ in range(FREE + 1):
        refused(staff, source=ELSEWHERE)
    assert who(staff, token).id == "operator"


def test_a_name_that_nobody_has_is_locked_out_as_one_that_somebody_has(staff: Staff) -> None:
    known = [refused(staff, "operator", source="10.1.1.1") for _ in range(FREE + 2)]
    unknown = [refused(staff, "nobody", source="10.1.1.2") for _ in range(FREE + 2)]
    assert known == unknown


def test_one_address_cannot_go_through_the_names(staff: Staff) -> None:
    sign_in(staff, "viewer", source=ELSEWHERE)
    waits = [refused(staff, f"name{n}", source=ELSEWHERE) for n in range(30)]
    assert waits[:20] == [0] * 20
    assert all(waits[20:])
    sign_in(staff, "viewer", source=ELSEWHERE)  # whose usual place it is, however many guess there
    sign_in(staff, source=HERE)


def test_a_reset_password_ends_the_wait(staff: Staff) -> None:
    for _ in range(FREE):
        refused(staff)
    assert refused(staff, password=PASSWORD)
    sign_in(staff, password=staff.office.reset_password("operator", BY).reveal())


def test_another_process_counts_on_from_the_failures_that_wait_to_be_journalled(staff: Staff) -> None:
    def waits() -> int:
        """As a process that begins now."""
        people = People(staff.register, lambda: staff.at, passwords=cheap())
        people.recall()
        with pytest.raises(SignInRefused) as refusal:
            people.sign_in("operator", Secret("a wrong one"), "10.0.0.1")
        return refusal.value.wait_s

    assert [waits() for _ in range(FREE)] == [0] * FREE
    assert waits() == 30
    staff.wait(31)
    assert waits() == 0
    assert waits() == 60
    first = staff.office.reset_password("operator", BY)
    assert waits() == 0, "which ends every wait"
    people = People(staff.register, lambda: staff.at, passwords=cheap())
    people.sign_in("operator", first, "10.0.0.1")
    assert [waits() for _ in range(FREE)] == [0] * FREE
    assert waits() == 30


# Sessions


def test_each_sign_in_has_a_token_of_its_own_and_ends_the_session_that_it_replaces(staff: Staff) -> None:
    first = sign_in(staff)
    second = staff.people.sign_in("Operator ", Secret(PASSWORD), HERE, replaces=first).reveal()
    assert first != second
    assert staff.people.of_session(first) is None
    assert who(staff, second).label == "Operator Ek (operator)"
    assert staff.people.of_session("") is None
    assert staff.people.of_session("x" * 43) is None


def test_a_session_ends_when_its_person_is_idle_and_goes_on_with_each_request(staff: Staff) -> None:
    token = sign_in(staff)
    for _ in range(5):
        staff.wait(29 * 60)
        who(staff, token)
    staff.wait(29 * 60)
    staff.people.of_session(token, active=False)
    staff.wait(2 * 60)
    assert staff.people.of_session(token) is None, "what a page asks for by itself keeps no session alive"


def test_a_session_ends_after_its_longest_time_however_busy(staff: Staff) -> None:
    token = sign_in(staff)
    for _ in range(12 * 6):
        assert staff.people.of_session(token) is not None
        staff.wait(10 * 60)
    staff.wait(1)
    assert staff.people.of_session(token) is None


def test_changing_the_password_ends_all_sessions_but_the_new_one(staff: Staff) -> None:
    here, there = sign_in(staff), sign_in(staff)
    after = staff.people.change_password(who(staff, here), Secret(PASSWORD), Secret("a new and long one"), HERE).reveal()
    assert [staff.people.of_session(token) is None for token in (here, there, after)] == [True, True, False]
    assert refused(staff, password=PASSWORD) == 0
    sign_in(staff, password="a new and long one")


def test_a_password_is_not_changed_to_itself_to_a_weak_one_or_without_the_old(staff: Staff) -> None:
    session = who(staff, sign_in(staff))
    with pytest.raises(PasswordRefused, match="is the old one"):
        staff.people.change_password(session, Secret(PASSWORD), Secret(PASSWORD), HERE)
    with pytest.raises(PasswordRefused, match="12 to 256"):
        staff.people.change_password(session, Secret(PASSWORD), Secret("short"), HERE)
    with pytest.raises(SignInRefused):
        staff.people.change_password(session, Secret("wrong"), Secret("a new and long one"), HERE)


def test_an_administrator_who_resets_or_disables_during_a_change_of_password_is_not_overruled(
    staff: Staff, monkeypatch: pytest.MonkeyPatch
) -> None:
    for user, overruled in (("operator", staff.office.reset_password), ("viewer", staff.office.disable)):
        session = who(staff, sign_in(staff, user))
        with monkeypatch.context() as patched:

            def hash(password: Secret, user: str = user, overruled: Any = overruled, patched: pytest.MonkeyPatch = patched) -> str:
                patched.undo()
                overruled(user, BY)
                return staff.people.passwords.hash(password)

            patched.setattr(staff.people.passwords, "hash", hash)
            with pytest.raises(SignInRefused):
                staff.people.change_password(session, Secret(PASSWORD), Secret("a new and long one"), HERE)
        assert refused(staff, user, "a new and long one") == 0
        assert staff.register.rows("select 1 from sessions where user = ?", user) == []


def test_the_password_can_be_asked_for_again(staff: Staff) -> None:
    session = who(staff, sign_in(staff))
    assert staff.people.confirm(session, Secret(PASSWORD), HERE)
    assert not staff.people.confirm(session, Secret("wrong"), HERE)


def test_a_one_time_password_allows_nothing_but_its_change_and_expires(staff: Staff) -> None:
    first = staff.office.add("karin", "Karin Ek", "operator", BY).reveal()
    session = who(staff, sign_in(staff, "karin", first))
    assert session.must_change
    assert not session.may(READ)
    staff.people.change_password(session, Secret(first), Secret(PASSWORD), HERE)
    assert who(staff, sign_in(staff, "karin")).may(READ)
    late = staff.office.add("ola", "Ola Berg", "viewer", BY).reveal()
    staff.at += ONE_TIME_NS
    assert refused(staff, "ola", late) == 0


# Rights


def test_a_role_counts_from_the_next_request_on(staff: Staff) -> None:
    token = sign_in(staff)
    assert who(staff, token).may(ACKNOWLEDGE)
    staff.office.set_role("operator", "viewer", BY)
    assert not who(staff, token).may(ACKNOWLEDGE)


def test_who_is_disabled_is_out_at_once_and_may_come_back(staff: Staff) -> None:
    token = sign_in(staff)
    staff.office.disable("operator", BY)
    assert staff.people.of_session(token) is None
    assert refused(staff, password=PASSWORD) == 0
    staff.office.enable("operator", BY)
    assert staff.people.of_session(token) is None
    sign_in(staff)


def test_a_token_works_until_it_expires_or_is_revoked(staff: Staff) -> None:
    mine = staff.tokens["viewer"]
    program = staff.people.of_token(mine)
    assert program is not None
    assert (program.label, program.role, program.kind) == ("token for-viewer", "viewer", "program")
    assert staff.people.still(program) == program
    assert staff.people.of_token(mine[:-1]) is None
    assert staff.people.of_token("") is None
    staff.office.revoke_token("for-viewer", BY)
    assert staff.people.of_token(mine) is None
    assert staff.people.still(program) is None
    staff.wait(30 * 86_400)
    assert staff.people.of_token(staff.tokens["operator"]) is None


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda office: office.add("Karin", "Karin Ek", "operator", BY), "a-z 0-9"),
        (lambda office: office.add("karin", " \n ", "operator", BY), "the full name"),
        (lambda office: office.add("karin", "Karin\u202eEk", "operator", BY), "the full name"),
        (lambda office: office.add("karin", "Karin Ek", "opertor", BY), "Did you mean operator"),
        (lambda office: office.add("viewer", "Another", "operator", BY), "never used again"),
        (lambda office: office.set_role("viewr", "operator", BY), "Did you mean viewer"),
        (lambda office: office.set_role("viewer", "viewer", BY), "already"),
        (lambda office: office.set_role("administrator", "viewer", BY), "only administrator"),
        (lambda office: office.disable("administrator", BY), "only administrator"),
        (lambda office: office.enable("viewer", BY), "not disabled"),
        (lambda office: office.reset_password("nobody", BY), "no user"),
        (lambda office: office.add_token("for-viewer", "viewer", 1, BY), "never used again"),
        (lambda office: office.add_token("mine", "administrator", 1, BY), "by people"),
        (lambda office: office.add_token("mine", "viewer", 10**18, BY), "two years"),
        (lambda office: office.revoke_token("mine", BY), "no token"),
    ],
)
def test_what_cannot_be_done_is_said_and_leaves_no_trace(staff: Staff, act: object, words: str) -> None:
    before = staff.events(), staff.register.users(), staff.register.tokens()
    with pytest.raises(OfficeRefused, match=words):
        act(staff.office)  # type: ignore[operator]
    assert (staff.events(), staff.register.users(), staff.register.tokens()) == before


def test_the_first_administrator_is_made_once(tmp_path: Path) -> None:
    with closing(Register(tmp_path / "people.db")) as register:
        office = Office(register, lambda: 0, cheap)
        assert office.first_administrator("renrum") is not None
        assert office.first_administrator("renrum") is None
        assert [(user.id, user.role) for user in register.users()] == [("admin", "administrator")]


# What is on record, and what is kept


def test_everything_that_happens_is_an_event_without_the_password(staff: Staff) -> None:
    staff.register.write("delete from events")
    staff.office.set_role("viewer", "operator", BY)
    token = sign_in(staff)
    refused(staff, password="my secret attempt")
    refused(staff, "my secret typed as a name")
    for _ in range(FREE - 1):
        refused(staff)
    staff.people.sign_out(who(staff, token), HERE)
    events = staff.register.events()
    assert [(event.event, event.target, event.by) for event in events] == [
        ("role changed", "user viewer", "a test"),
        ("signed in", "user operator", "Operator Ek (operator)"),
        ("sign-in failed", "user operator", "Operator Ek (operator)"),
        ("sign-in failed", "", "an unknown user"),
        *[("sign-in failed", "user operator", "Operator Ek (operator)")] * (FREE - 1),
        ("locked out", "user operator", "Operator Ek (operator)"),
        ("signed out", "user operator", "Operator Ek (operator)"),
    ]
    assert (events[0].old, events[0].new) == ("viewer", "operator")
    assert events[1].source == HERE
    assert "secret" not in repr(events)
    assert [event.number for event in events] == sorted(event.number for event in events)


def test_people_db_is_for_its_owner_alone_and_holds_no_secret(tmp_path: Path) -> None:
    with staff_in(tmp_path) as staff:
        token = sign_in(staff)
        secrets = [PASSWORD, token, *staff.tokens.values()]
        files = list(tmp_path.iterdir())
        assert {file.name for file in files} >= {"people.db", "people.db-wal"}
        for file in files:
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
            content = file.read_bytes()
            assert [secret for secret in secrets if secret.encode() in content] == []


def test_a_change_that_fails_half_way_is_none(staff: Staff) -> None:
    staff.register.write("create trigger full before insert on events begin select raise(abort, 'the disk is full'); end")
    with pytest.raises(PeopleUnavailable, match="the disk is full"):
        staff.office.set_role("viewer", "operator", BY)
    user = staff.register.user("viewer")
    assert user is not None
    assert user.role == "viewer"


def test_a_people_db_of_another_format_is_refused(tmp_path: Path) -> None:
    Register(tmp_path / "people.db").close()
    with closing(sqlite3.connect(tmp_path / "people.db")) as connection:
        connection.execute("update meta set value = ? where key = 'format'", (FORMAT + 1,))
        connection.commit()
    with pytest.raises(PeopleUnavailable, match="format 2"):
        Register(tmp_path / "people.db")
    (tmp_path / "other.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(PeopleUnavailable):
        Register(tmp_path / "other.db")


def test_a_people_db_that_knows_no_languages_yet_takes_them(staff: Staff) -> None:
    staff.register.write("drop table languages")
    with closing(Register(staff.register.path)) as register:
        people = People(register, lambda: staff.at, passwords=cheap())
        who = people.of_session(people.sign_in("operator", Secret(PASSWORD), "10.0.0.9").reveal())
        assert who is not None
        assert who.language == ""
        people.choose_language(who, "sv")
        again = people.still(who)
        assert again is not None
        assert again.language == "sv"


def test_two_processes_may_have_it_open_and_each_sees_what_the_other_did(staff: Staff) -> None:
    token = sign_in(staff)
    with closing(Register(staff.register.path)) as other:
        Office(other, lambda: staff.at, cheap).disable("operator", BY)
        assert other.id == staff.register.id
    assert staff.people.of_session(token) is None
