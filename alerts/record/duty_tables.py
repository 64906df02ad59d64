"""The tables of state.db that telling people needs."""

from __future__ import annotations

TABLES = """create table overrides (
    entry integer primary key, rotation text, start integer, until integer, person text, instead_of text, reason text, by text, at integer
);
create table escalations (
    unit text primary key, alarm text, policy text, since integer, given integer, notices integer, due integer, ended text,
    begun integer, over integer
) without rowid;
create index escalations_due on escalations (due) where due is not null;
create index escalations_by_alarm on escalations (alarm);
create table notices (
    id integer primary key, unit text, alarm text, at integer, policy text, step integer, person text, named text, target text, page text,
    remark text
);
create table drills (
    id text primary key, at integer, by text, names text, deadline integer, told_at integer, acknowledged_at integer, acknowledged_by text,
    missed_at integer, raised_at integer
) without rowid;
create table replies (
    mail text primary key, entry integer, action text, alarm text, by text, person text, address text, why text, told_at integer
) without rowid;
create index notices_by_unit on notices (unit);
create index notices_by_page on notices (page);
"""
"""`overrides`: swaps of duty. `escalations`: how far telling of each unit (an alarm, or a group) has come; `due` is null when it is over;
`begun` is when it began, `over` when the end of the condition was told.
`notices`: who was told, why, by which page. `drills`: tests of who is on call; `raised_at` is when it was told that nobody acknowledged.
`replies`: mails that answered pages, by their digest, and why they were refused.
Times are int ns UTC."""
