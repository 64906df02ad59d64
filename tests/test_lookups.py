"""`renrum excursions`, `alarms`, `quarantine`: what there is, for people and for programs."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from alerts.judging.excursion_file import read_excursions
from facility.times import format_time
from rules.excursion import COLUMNS
from service.cli import main
from tests.support.archive_data import SECOND_NS, START, Installation, lived


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    installation = lived(tmp_path_factory.mktemp("site"))
    installation.acknowledge("A29")
    installation.step()
    yield installation
    installation.close()


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def rows(result: Result) -> list[dict[str, str]]:
    assert result.exit_code == 0, result.output
    return list(csv.DictReader(io.StringIO(result.stdout)))


def listed(result: Result, what: str) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    found: list[dict[str, Any]] = json.loads(result.stdout)[what]
    return found


# Excursions


def test_excursions_come_as_csv_with_every_column_sorted(place: Installation) -> None:
    found = rows(run("excursions", "--config", str(place.config)))
    assert tuple(found[0]) == COLUMNS
    assert [row["onset"] for row in found] == sorted(row["onset"] for row in found)
    cascade = next(row for row in found if row["rule"] == "dp-cascade.action")
    assert (cascade["point"], cascade["onset"], cascade["ended"]) == ("cp1.dp1.dp", "2026-11-20T08:00:20Z", "2026-11-20T08:00:42Z")
    assert (cascade["peak"], cascade["limit"], cascade["late"], cascade["room"]) == ("5.25", "10.0", "false", "cp1")


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_file_of_excursions_reads_back(place: Installation, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"found{suffix}"
    result = run("excursions", "--config", str(place.config), "--out", str(out))
    stored = place.store.reader().excursions("status = 'current'")
    assert list(read_excursions(out)) == stored
    assert result.output == f"Wrote {len(stored)} excursions to {out}.\n"
    if suffix == ".csv":
        assert out.read_text() == run("excursions", "--config", str(place.config)).stdout


def test_those_that_overlap_the_time_asked_for(place: Installation) -> None:
    def found(*arguments: str) -> set[str]:
        return {row["rule"] for row in rows(run("excursions", "--config", str(place.config), "--point", "cp1.dp1.dp", *arguments))}

    pressure = {"dp-cascade.action", "dp-cascade.alert"}
    assert found() == {*pressure, "silent"}
    assert found("--end", "2026-11-20T08:00:20Z") == set()
    assert found("--end", "2026-11-20T08:00:20.000000001Z") == pressure
    assert found("--start", "2026-11-20T09:00:41", "--end", "2026-11-20T09:00:43") == pressure  # local at the site
    assert found("--start", "2026-11-20T08:00:42Z") == {"silent"}
    assert found("--last", "22s", "--end", "2026-11-20T08:01:03Z") == {*pressure, "silent"}
    assert found("--open") == {"silent"}


def test_a_room_is_meant_with_its_zones(place: Installation) -> None:
    def points(*rooms: str) -> set[str]:
        arguments = [word for room in rooms for word in ("--room", room)]
        return {row["point"].split(".")[0] for row in rows(run("excursions", "--config", str(place.config), *arguments))}

    assert points("cp1") == {"cp1", "bsc1"}
    assert points("bsc1") == {"bsc1"}
    assert points("?al1") == {"mal1", "pal1"}
    assert points("inc1", "fz1") == {"inc1", "fz1"}


def test_revised_ones_only_on_request(tmp_path: Path) -> None:
    place = Installation(tmp_path / "site")
    for second in range(0, 60, 2):
        place.read("inc1.temp", 37.0 if second < 20 else 39.0, second)
    place.step()
    place.read("inc1.temp", 39.5, 19)
    place.step()
    place.close()
    chosen = ("excursions", "--data-dir", str(place.data_dir), "--point", "inc1.temp", "--json")
    assert {(row["revision"], row["status"]) for row in listed(run(*chosen), "excursions")} == {(1, "current")}
    assert {(row["revision"], row["status"]) for row in listed(run(*chosen, "--all"), "excursions")} == {(0, "revised"), (1, "current")}


def test_nothing_found_is_said_with_what_there_is(place: Installation) -> None:
    result = run("excursions", "--config", str(place.config), "--start", "2027-01-01", "--point", "inc1.temp")
    assert result.exit_code == 0
    assert result.stdout == ",".join(COLUMNS) + "\n"
    assert "No excursions match what was asked for" in result.stderr
    assert "The journal reaches from 2026-11-20T08:00:00Z" in result.stderr


# Alarms


def test_alarms_by_state(place: Installation) -> None:
    def ids(*states: str) -> set[str]:
        arguments = [word for state in states for word in ("--state", state)]
        return {row["id"] for row in listed(run("alarms", "--config", str(place.config), "--json", *arguments), "alarms")}

    everything = ids()
    (normal,) = ids("normal")
    assert ids("standing") == everything - {normal}
    assert ids("unacknowledged") | ids("returned") == ids("standing")
    acknowledged = next(row for row in listed(run("alarms", "--config", str(place.config), "--json"), "alarms") if row["id"] == normal)
    assert (acknowledged["rule"], acknowledged["level"]) == ("dp-cascade", "action")
    assert (acknowledged["state"], acknowledged["acknowledged_by"], acknowledged["comment"]) == ("normal", "anna", "on my way")
    assert acknowledged["acknowledged"] == format_time(place.at)


def test_alarms_in_parquet_have_times(place: Installation, tmp_path: Path) -> None:
    out = tmp_path / "alarms.parquet"
    assert run("alarms", "--config", str(place.config), "--out", str(out)).exit_code == 0
    table = pq.read_table(out)
    assert str(table.schema.field("raised").type) == "timestamp[ns, tz=UTC]"
    assert table.num_rows == len(rows(run("alarms", "--config", str(place.config))))


# Quarantine


def test_quarantine_gives_the_payload_whole(place: Installation) -> None:
    found = rows(run("quarantine", "--config", str(place.config)))
    assert [(row["reason"], row["encoding"], row["payload"]) for row in found] == [
        ("not_json", "base64", "/wA="),
        ("time_invalid", "text", '{"time": "yesterday", "value": 1}'),
        ("place_unknown", "text", '{"time": "2026-11-20T08:00:00Z", "value": 1}'),
        ("conflict", "text", '{"time": "2026-11-20T08:00:00Z", "value": 38.0}'),
    ]
    assert found[0]["topic"] == "renrum/flemingsberg/cp1/cp1.dp1.dp"


def test_quarantine_by_reason_time_and_topic(place: Installation) -> None:
    def reasons(*arguments: str) -> list[str]:
        return [row["reason"] for row in listed(run("quarantine", "--config", str(place.config), "--json", *arguments), "quarantined")]

    first = START + 87 * SECOND_NS
    assert reasons("--reason", "conflict", "--reason", "not_json") == ["not_json", "conflict"]
    assert reasons("--start", format_time(first + 1)) == ["place_unknown", "conflict"]
    assert reasons("--end", format_time(first)) == []
    assert reasons("--room", "cp9") == ["place_unknown"]  # what is unknown can be looked for
    assert reasons("--point", "inc1.*") == ["conflict"]


def test_quarantine_counted(place: Installation) -> None:
    found = listed(run("quarantine", "--config", str(place.config), "--summary", "--json"), "reasons")
    assert {row["reason"]: row["count"] for row in found} == {"not_json": 1, "time_invalid": 1, "place_unknown": 1, "conflict": 1}
    assert found[0]["first"] == "2026-11-20T08:01:27Z"


# On a terminal


def on_terminal(*arguments: str, columns: int = 150) -> str:
    main_end, child_end = pty.openpty()
    environment = os.environ | {"NO_COLOR": "1", "COLUMNS": str(columns), "TERM": "xterm"}
    code = "from service.cli import main; main()"
    with subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=child_end, stdin=child_end, env=environment) as process:
        os.close(child_end)
        output = b""
        while True:
            try:
                piece = os.read(main_end, 65536)
            except OSError:  # Linux says so at the end
                break
            if not piece:
                break
            output += piece
    os.close(main_end)
    assert process.returncode == 0, output
    return re.sub(r"\x1b\[\d*m", "", output.decode()).replace("\r\n", "\n")  # bold and the like


def test_people_see_a_table_with_local_times_that_fits(place: Installation) -> None:
    wide = on_terminal("excursions", "--config", str(place.config), "--room", "inc1").splitlines()
    assert wide[0].split()[:4] == ["rule", "point", "level", "onset"]
    assert any("incubator-temperature.action  inc1.temp  action" in line and "2026-11-20 09:01:02" in line for line in wide)
    assert "times are local, Europe/Stockholm" in wide[-1]
    narrow = on_terminal("excursions", "--config", str(place.config), "--room", "inc1", columns=60).splitlines()
    assert max(map(len, narrow)) <= 60
    assert narrow[0].split() == ["rule", "point"]


def test_a_payload_does_not_steer_the_terminal(tmp_path: Path) -> None:
    place = Installation(tmp_path / "site")
    place.send("cp1/cp1.dp1.dp", b'{"\x1b[2Jvalue": "[red]"}')
    place.close()
    shown = on_terminal("quarantine", "--data-dir", str(place.data_dir))
    assert "\x1b[2J" not in shown
    assert "\\x1b[2J" in shown
    assert "[red]" in shown


# What goes wrong


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["excursions", "--point", "inc1.tmp"], "--point: there is no point 'inc1.tmp'. Did you mean inc1.temp?"),
        (["excursions", "--room", "cp"], "--room: there is no room or zone 'cp'. Did you mean cp1?"),
        (["alarms", "--point", "x*"], "--point: nothing matches 'x*'. There are"),
        (["alarms", "--room", "cp1", "--point", "inc1.temp"], "None of --point inc1.temp stands in --room cp1."),
        (["excursions", "--start", "yesterday"], "--start: found 'yesterday'; allowed: a time such as"),
        (["excursions", "--start", "2026-10-25T02:30"], "twice"),
        (["excursions", "--start", "2026-11-21", "--end", "2026-11-20"], "is not before --end"),
        (["excursions", "--last", "2x"], "--last: found '2x'; allowed: a duration above 0 such as"),
        (["excursions", "--last", "2h", "--start", "2026-11-20"], "--last and --start: give one of them"),
        (["quarantine", "--reason", "conflicts"], "there is no reason 'conflicts'. Did you mean conflict?"),
        (["alarms", "--out", "a.txt"], "allowed: a name that ends in .csv or .parquet"),
        (["alarms", "--out", "/nowhere/a.csv"], "/nowhere/a.csv cannot be written"),
    ],
)
def test_bad_questions_get_an_answer(place: Installation, arguments: list[str], text: str) -> None:
    result = run(*arguments, "--config", str(place.config))
    assert (result.exit_code, text in result.output) == (2, True), result.output


@pytest.mark.parametrize("command", ["excursions", "alarms", "quarantine", "export --out none.csv"])
def test_before_the_service_ran(tmp_path: Path, command: str) -> None:
    for folder, text in ((tmp_path / "none", "there is no such folder"), (tmp_path, "there is no journal.db in it")):
        result = run(*command.split(), "--data-dir", str(folder))
        assert (result.exit_code, text in result.output) == (2, True), result.output
        assert str(folder) in result.output


def test_files_that_are_no_databases(place: Installation, tmp_path: Path) -> None:
    (tmp_path / "journal.db").write_bytes(b"no database at all, but long enough to be one" * 100)
    result = run("excursions", "--data-dir", str(tmp_path))
    assert (result.exit_code, "file is not a database" in result.output) == (2, True), result.output
    shutil.copy(place.data_dir / "journal.db", tmp_path / "journal.db")
    shutil.copy(place.data_dir / "journal.db-wal", tmp_path / "journal.db-wal")
    result = run("excursions", "--data-dir", str(tmp_path))
    assert (result.exit_code, "there is no state.db in it" in result.output) == (2, True), result.output
    assert result.stdout == ""  # no heading above it


def test_the_data_dir_is_found_although_the_configuration_is_wrong(place: Installation) -> None:
    rules = place.folder / "rules.yaml"
    text = rules.read_text()
    try:
        rules.write_text("rules: nonsense")
        assert rows(run("excursions", "--config", str(place.folder)))
    finally:
        rules.write_text(text)


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.support.archive_data import lived
lived(Path(sys.argv[1]))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_service_left_its_last_commits_in_the_log(tmp_path: Path) -> None:
    root = Path(__file__).parent.parent
    environment = os.environ | {"PYTHONPATH": str(root)}
    process = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "site")], env=environment, check=False)
    assert process.returncode == -signal.SIGKILL
    assert (tmp_path / "site" / "data" / "journal.db-wal").stat().st_size > 0
    assert len(rows(run("quarantine", "--data-dir", str(tmp_path / "site" / "data")))) == 4
    assert rows(run("alarms", "--data-dir", str(tmp_path / "site" / "data")))


@pytest.mark.parametrize("command", ["excursions", "alarms", "quarantine"])
def test_a_csv_file_holds_what_goes_into_a_pipe(place: Installation, tmp_path: Path, command: str) -> None:
    piped, filed = (
        run(command, "--config", str(place.config)),
        run(command, "--out", str(tmp_path / "a.csv"), "--config", str(place.config)),
    )
    assert (piped.exit_code, filed.exit_code) == (0, 0), filed.output
    assert (tmp_path / "a.csv").read_text("utf-8") == piped.stdout


@pytest.mark.parametrize("command", ["excursions", "alarms", "quarantine"])
def test_a_span_longer_than_time_is_all_there_is(place: Installation, command: str) -> None:
    asked, all_of_it = (run(command, *span, "--config", str(place.config)) for span in (("--last", "99999999d"), ()))
    assert (asked.exit_code, asked.stdout) == (0, all_of_it.stdout), asked.output
