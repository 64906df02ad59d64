"""`renrum historian …`, `renrum replay --from-influx` and the historian section of renrum.yaml, with a real InfluxDB."""

from __future__ import annotations

import json
import random
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from facility.problems import ConfigurationError
from facility.secret import Secret
from historian.feed import Feed
from historian.influx import Influx as Connection
from historian.influx import InfluxMisconfigured
from historian.progress import FILE, Progress
from historian.target import Target
from service.cli import main
from service.clock import SystemClock
from service.configuration.configuration import load_configuration
from service.historian.feeding import DataDir
from tests.support.archive_data import Installation, example_configuration, lived
from tests.support.influx import Influx, influx, influx_server

__all__ = ["influx", "influx_server"]


def renrum(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def bucket(influx_server: Influx) -> Influx:
    """A name of the module's server that no bucket has yet."""
    influx_server.bucket = f"em-{random.getrandbits(32):x}"
    return influx_server


@pytest.fixture
def site(tmp_path: Path, bucket: Influx, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installation]:
    """A data_dir with ten minutes of life, and a configuration that names the bucket and files for its tokens."""
    monkeypatch.setenv("RENRUM_INFLUX_ADMIN_TOKEN", bucket.token)
    place = lived(tmp_path / "site")
    configured(place.config, bucket)
    yield place
    place.close()


def configured(config: Path, influx: Influx, more: str = "") -> None:
    with config.open("a") as file:
        file.write(f"historian:\n  influxdb: {{url: {influx.url}, org: {influx.org}, bucket: {influx.bucket},")
        file.write(f" token_file: secrets/influx, read_token_file: secrets/influx-read{more}}}\n")


def fed(place: Installation) -> Target:
    """Feed until there is nothing more, as the service's thread does."""
    target = load_configuration(place.config, {}).settings.historian
    assert target is not None
    with (
        closing(DataDir(place.data_dir)) as sources,
        closing(Progress(place.data_dir / FILE)) as progress,
        Connection(target) as connection,
    ):
        feed = Feed(sources, connection, progress, target.name, SystemClock().now_ns)
        while feed.turn():
            pass
    return target


def test_setup_makes_bucket_and_tokens_that_can_do_no_more_than_needed(site: Installation, bucket: Influx) -> None:
    first = renrum("historian", "setup", "--config", site.config, "--retention", "3650d")
    assert first.exit_code == 0, first.output
    write, read = site.folder / "secrets" / "influx", site.folder / "secrets" / "influx-read"
    assert [stat.S_IMODE(path.stat().st_mode) for path in (write, read)] == [0o600, 0o600]
    assert "keeps 3650 days" in first.output
    tokens = [path.read_text().strip() for path in (write, read)]
    assert not any(token in first.output for token in tokens)
    with Connection(Target(bucket.url, bucket.org, bucket.bucket, Secret(tokens[1]))) as reads:
        assert reads.bucket().name == bucket.bucket
        with pytest.raises(InfluxMisconfigured, match="lacks the right"):
            reads.write(b"reading,point=p,site=s quality=0i 1")
    with Connection(Target(bucket.url, bucket.org, bucket.bucket, Secret(tokens[0]))) as writes:
        writes.write(b"reading,point=p,site=s quality=0i 1763700000000000000")
        with pytest.raises(InfluxMisconfigured):
            writes.rows(f'from(bucket: "{bucket.bucket}") |> range(start: 0)')
    again = renrum("historian", "setup", "--config", site.config)
    assert again.exit_code == 0, again.output
    assert "is there, keeps 3650 days" in again.output
    assert [path.read_text().strip() for path in (write, read)] == tokens


def test_setup_without_the_right_says_what_to_do(site: Installation, bucket: Influx, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RENRUM_INFLUX_ADMIN_TOKEN", "wrong")
    refused = renrum("historian", "setup", "--config", site.config)
    assert (refused.exit_code, "401" in refused.output) == (2, True)
    monkeypatch.delenv("RENRUM_INFLUX_ADMIN_TOKEN")
    lacking = renrum("historian", "setup", "--config", site.config)
    assert lacking.exit_code == 2
    assert "--admin-token-file" in lacking.output


def test_fed_compared_changed_filled_again(site: Installation, bucket: Influx) -> None:
    assert renrum("historian", "setup", "--config", site.config).exit_code == 0
    fed(site)
    equal = renrum("historian", "compare", "--config", site.config, "--json")
    assert equal.exit_code == 0, equal.output
    said = json.loads(equal.stdout)
    assert (said["equal"], said["behind"], said["refused"]) == (True, 0, 0)
    assert said["readings"] > 50
    point, site_id = "inc1.temp", site.configuration.facility.site.id
    held = bucket.query(f'from(bucket: bucket) |> range(start: 0) |> filter(fn: (r) => r._field == "value" and r.point == "{point}")')[0]
    flux_time = f'from(bucket: bucket) |> range(start: 0) |> filter(fn: (r) => r._field == "value" and r.point == "{point}") |> first()'
    nanos = bucket.query(f"{flux_time} |> map(fn: (r) => ({{ns: int(v: r._time)}}))")[0]["ns"]
    bucket.write(f"reading,point={point},site={site_id} value=1.25 {nanos}")
    differs = renrum("historian", "compare", "--config", site.config, "--point", "inc1.*")
    assert differs.exit_code == 1
    assert f"2026-11-20 {point}: " in differs.output
    assert "value differ" in differs.output
    filled = renrum("historian", "backfill", "--config", site.config)
    assert filled.exit_code == 0, filled.output
    assert renrum("historian", "compare", "--config", site.config).exit_code == 0
    assert bucket.query(f'{flux_time} |> keep(columns: ["_value"])')[0]["_value"] == held["_value"]


def test_backfill_without_a_series_says_who_writes_it(site: Installation, bucket: Influx) -> None:
    assert renrum("historian", "setup", "--config", site.config).exit_code == 0
    for file in site.data_dir.glob("series.db*"):
        file.unlink()
    refused = renrum("historian", "backfill", "--config", site.config)
    assert (refused.exit_code, type(refused.exception)) == (2, SystemExit)
    assert "cannot read series.db" in refused.output


EVERYTHING = """from(bucket: bucket) |> range(start: 0) |> filter(fn: (r) => r._field != "updated")
|> map(fn: (r) => ({r with _value: string(v: r._value)}))"""


def test_backfill_into_an_empty_bucket_gives_what_the_feed_gives(site: Installation, bucket: Influx) -> None:
    site.acknowledge("A1")
    site.step()
    assert renrum("historian", "setup", "--config", site.config).exit_code == 0
    fed(site)
    by_feed = rows(bucket.query(EVERYTHING))
    assert {row["_measurement"] for row in map(dict, by_feed)} == {
        "reading", "reading_1m", "reading_1h", "point", "room_state", "excursion", "alarm",
    }  # fmt: skip
    org = bucket.ask("GET", f"/api/v2/orgs?org={bucket.org}")["orgs"][0]["id"]
    span = {"start": "1970-01-01T00:00:00Z", "stop": "2100-01-01T00:00:00Z"}
    bucket.ask("POST", f"/api/v2/delete?orgID={org}&bucket={bucket.bucket}", span)
    assert bucket.query(EVERYTHING) == []
    assert renrum("historian", "backfill", "--config", site.config, "--json").exit_code == 0
    assert rows(bucket.query(EVERYTHING)) == by_feed
    states = site.store.rows("select count(*) from excursions")[0][0]
    found = [row for row in map(dict, by_feed) if row["_measurement"] == "excursion"]
    assert len({(row["_time"], row["rule"], row["revision"], row["point"]) for row in found}) == states
    transitions = [row["_value"] for row in map(dict, by_feed) if row["_measurement"] == "alarm" and row["_field"] == "transition"]
    assert len(transitions) == site.store.rows("select count(*) from audit where object glob 'A*'")[0][0]
    assert "acknowledge" in transitions


def rows(found: list[dict[str, str]]) -> set[frozenset[tuple[str, str]]]:
    left_out = ("", "result", "table", "_start", "_stop")
    return {frozenset((name, text) for name, text in row.items() if name not in left_out) for row in found}


@pytest.mark.parametrize("start", ["2026-11-20T06:00:00Z", "2026-11-20T08:00:30Z"])
def test_a_replay_out_of_influxdb_is_the_replay_of_the_export(site: Installation, tmp_path: Path, start: str) -> None:
    site.write_series()
    assert renrum("historian", "setup", "--config", site.config).exit_code == 0
    fed(site)
    period = ("--start", start, "--end", "2026-11-21T00:00:00Z")
    assert renrum("export", "--config", site.config, *period, "--out", tmp_path / "rec.csv").exit_code == 0
    from_file, from_influx = tmp_path / "file.csv", tmp_path / "influx.csv"
    read = renrum("replay", tmp_path / "rec.csv", "--config", site.config, "--out", from_file, "--json")
    got = renrum("replay", "--from-influx", *period, "--config", site.config, "--out", from_influx, "--json")
    assert got.exit_code == 0, got.output
    assert from_influx.read_text() == from_file.read_text()
    ours, theirs = json.loads(got.stdout.splitlines()[-1]), json.loads(read.stdout.splitlines()[-1])
    assert {key: ours[key] for key in ("rows", "stored", "excursions")} == {key: theirs[key] for key in ("rows", "stored", "excursions")}
    assert ours["excursions"] > 0


def test_a_changed_rule_is_tried_on_what_influxdb_has_as_on_the_export(site: Installation, tmp_path: Path) -> None:
    site.write_series()
    assert renrum("historian", "setup", "--config", site.config).exit_code == 0
    fed(site)
    period = ("--start", "2026-11-20T06:00:00Z", "--end", "2026-11-21T00:00:00Z")
    assert renrum("export", "--config", site.config, *period, "--out", tmp_path / "rec.csv").exit_code == 0
    change = ("--config", site.config, "--set", "dp-cascade.action.on_delay=1h", "--json")
    got = renrum("rules", "diff", "--from-influx", *period, *change)
    read = renrum("rules", "diff", tmp_path / "rec.csv", *change)
    assert (got.exit_code, read.exit_code) == (0, 0), got.output + read.output
    ours, theirs = json.loads(got.stdout), json.loads(read.stdout)
    for key in ("changed_rules", "sums", "differences", "flapping"):
        assert ours[key] == theirs[key]
    assert ours["differences"]


def test_replay_says_what_does_not_go_together(tmp_path: Path) -> None:
    assert renrum("replay", "--out", "e.csv").exit_code == 2
    assert renrum("replay", "rec.csv", "--from-influx", "--out", "e.csv").exit_code == 2
    assert "--start" in renrum("replay", "rec.csv", "--start", "2026-01-01", "--out", "e.csv").output


SECTION = "historian: {{influxdb: {{url: {url}, org: site, bucket: em{more}}}}}\n"


@pytest.mark.parametrize(
    ("url", "more", "key", "found"),
    [
        ("http://127.0.0.1:8086", "", "token_file", "no token"),
        ("http://u:p@127.0.0.1:8086", "", "url", "an address with a user"),
        ("127.0.0.1:8086", "", "url", "127.0.0.1:8086"),
        ("http://127.0.0.1:8086/influx", "", "url", "influx"),
        ("http://127.0.0.1:8086", ", tokenfile: x", "tokenfile", "tokenfile"),
        ("http://127.0.0.1:8086", ", ca_file: x", "ca_file", "ca_file with an http:// address"),
    ],
)
def test_what_is_wrong_in_the_historian_section_is_named(tmp_path: Path, url: str, more: str, key: str, found: str) -> None:
    example_configuration(tmp_path)
    path = tmp_path / "renrum.yaml"
    with path.open("a") as file:
        file.write(SECTION.format(url=url, more=more))
    with pytest.raises(ConfigurationError) as refused:
        load_configuration(path, {"RENRUM_INFLUX_TOKEN": "t"} if "ca_file" in more or "tokenfile" in more else {})
    assert [(problem.key, found in str(problem)) for problem in refused.value.problems] == [(f"historian.influxdb.{key}", True)]


def test_a_token_that_is_not_there_yet_is_a_warning_and_only_who_needs_it_refuses(tmp_path: Path) -> None:
    example_configuration(tmp_path)
    path = tmp_path / "renrum.yaml"
    with path.open("a") as file:
        file.write(SECTION.format(url="http://127.0.0.1:8086", more=", token_file: none"))
    loaded = load_configuration(path, {})
    assert [("no such file" in str(warning), warning.key) for warning in loaded.warnings] == [(True, "historian.influxdb.token_file")]
    assert loaded.settings.historian is not None
    assert renrum("check", "--config", str(path)).exit_code == 0
    refused = renrum("historian", "backfill", "--config", str(path))
    assert (refused.exit_code, "no such file" in refused.output, "historian setup" in refused.output) == (2, True, True)


def test_the_token_comes_from_the_environment_before_the_file(tmp_path: Path) -> None:
    example_configuration(tmp_path)
    path = tmp_path / "renrum.yaml"
    (tmp_path / "token").write_text("from the file\n")
    (tmp_path / "token").chmod(0o600)
    with path.open("a") as file:
        file.write(SECTION.format(url="http://127.0.0.1:8086/", more=", token_file: token"))
    target = load_configuration(path, {}).settings.historian
    assert target is not None
    assert (target.url, target.token and target.token.reveal()) == ("http://127.0.0.1:8086", "from the file")
    target = load_configuration(path, {"RENRUM_INFLUX_TOKEN": "from the variable"}).settings.historian
    assert target is not None
    assert target.token is not None
    assert target.token.reveal() == "from the variable"
    assert "from the" not in repr(target)


def test_nothing_can_be_written_to_a_server_elsewhere_too(influx: Influx) -> None:
    """As the checks do: what goes to another machine is compressed."""
    target = Target(influx.url.replace("127.0.0.1", "0.0.0.0"), influx.org, influx.bucket, Secret(influx.token))
    assert not target.near
    with Connection(target) as connection:
        connection.write(b"")
