"""The protocol of a challenge: the trace from requirements, the page, the PDF, the command."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
from click.testing import CliRunner

from facility.problems import ConfigurationError
from service.challenge.requirements import load_requirements
from service.challenge.shown import html, pdf, words
from service.cli import main
from service.cli.challenge import applied
from service.configuration.configuration import Configuration
from tests.support.challenged import site

REQUIREMENTS = """id,text,rules
URS-1,"Low pressure is alarmed, <b>always</b>.",dp; dp-door
URS-2,A door that stands open is told of.,door
URS-3,Oxygen is watched.,oxygen-*
URS-4,To be decided.,
"""
ONLY = ("--rule", "dp*", "--rule", "bad")


@pytest.fixture(scope="module")
def conducted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    folder = tmp_path_factory.mktemp("conducted")
    (folder / "requirements.csv").write_text(REQUIREMENTS)
    arguments = ["challenge", "--config", str(site(folder / "site")), "--requirements", str(folder / "requirements.csv"), *ONLY]
    return CliRunner().invoke(main, [*arguments, "--out", str(folder / "out"), "--keep", str(folder / "kept")]), folder


def protocol(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "out" / "challenge.json").read_text())
    return found


def test_the_command_says_what_came_of_it(conducted: tuple[Any, Path]) -> None:
    result, folder = conducted
    assert result.exit_code == 0, result.output
    assert "requirements without a rule: URS-3, URS-4" in result.output
    assert re.search(r"^PASS: \d+ PASS, 0 FAIL, 0 NOT TESTED, \d+ NOT APPLICABLE, in ", result.output, re.MULTILINE)
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["challenge.html", "challenge.json", "challenge.pdf"]
    assert (folder / "kept" / "journal.db").exists()


def test_the_trace_goes_both_ways(conducted: tuple[Any, Path]) -> None:
    found = protocol(conducted[1])
    trace = found["requirements"]
    assert [(line["id"], line["result"]) for line in trace["lines"]] == [
        ("URS-1", "PASS"),
        ("URS-2", "NOT TESTED"),
        ("URS-3", "UNTRACED"),
        ("URS-4", "UNTRACED"),
    ]
    assert [rule["id"] for rule in trace["lines"][0]["rules"]] == ["dp.alert", "dp.action", "dp-door"]
    first, last = (int(number) for number in trace["lines"][0]["rules"][1]["tests"].split(" to "))
    assert {found["outcomes"][number - 1]["rule"] for number in range(first, last + 1)} == {"dp.action"}
    assert {"bad", "stuck"} <= set(trace["rules_untraced"])
    assert "of 11 rules chosen" in found["partial"]


def test_what_identifies_it_is_there(conducted: tuple[Any, Path]) -> None:
    found = protocol(conducted[1])
    assert re.fullmatch("[0-9a-f]{64}", found["configuration"]["hash"])
    assert found["configuration"]["hash"] == found["configuration"]["challenged_hash"]
    assert re.fullmatch("[0-9a-f]{64}", found["instance"]["journal_head"])
    text = (conducted[1] / "site" / "rules.yaml").read_bytes()
    assert found["configuration"]["files"]["rules.yaml"] == hashlib.sha256(text).hexdigest()
    assert found["instance"]["readings_lost"] == 0
    assert all(one["first"] and one["last"] for one in found["outcomes"] if one["result"] == "PASS")


class Page(HTMLParser):
    """What a page is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, dict[str, str]]] = []
        self.headings: list[str] = []
        self._heading = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes.append((tag, {name: value or "" for name, value in attrs}))
        self._heading = tag in ("h1", "h2")

    def handle_data(self, data: str) -> None:
        if self._heading:
            self.headings.append(data)
            self._heading = False


def test_the_page_has_its_parts(conducted: tuple[Any, Path]) -> None:
    text = (conducted[1] / "out" / "challenge.html").read_text()
    page = Page(text)
    assert page.headings == [
        "Operational qualification of the alarm rules",
        "What was challenged",
        "How",
        "Results by rule",
        "Trace from requirements",
        "What did not pass",
        "All tests",
        "Signatures",
    ]
    assert hashlib.sha256((conducted[1] / "out" / "challenge.json").read_bytes()).hexdigest() in text
    assert "&lt;b&gt;always&lt;/b&gt;" in text
    assert page.tags["tr"] > len(protocol(conducted[1])["outcomes"])


def test_the_page_needs_nothing_else_and_can_be_read_aloud(conducted: tuple[Any, Path]) -> None:
    page = Page((conducted[1] / "out" / "challenge.html").read_text())
    assert ("html", {"lang": "en"}) in page.attributes
    outside = [attributes for _, attributes in page.attributes if not attributes.get("href", "#").startswith("#") or "src" in attributes]
    assert outside == []
    ids = [attributes["id"] for _, attributes in page.attributes if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = {attributes["href"][1:] for tag, attributes in page.attributes if tag == "a"}
    assert links <= set(ids)
    assert all(attributes.get("scope") in ("col", "row") for tag, attributes in page.attributes if tag == "th")
    assert page.tags["caption"] >= page.tags["table"] - 1
    assert page.tags["script"] == 0


def test_the_pdf_is_for_the_archive(conducted: tuple[Any, Path]) -> None:
    content = (conducted[1] / "out" / "challenge.pdf").read_bytes()
    assert content.startswith(b"%PDF-1.7")
    assert b"<pdfaid:part>2</pdfaid:part><pdfaid:conformance>A</pdfaid:conformance>" in content
    assert b"<pdfuaid:part>1</pdfuaid:part>" in content
    found = protocol(conducted[1])
    assert pdf(found, "0" * 64) == pdf(found, "0" * 64)


def test_a_failure_stands_in_front(conducted: tuple[Any, Path]) -> None:
    found = protocol(conducted[1])
    found["outcomes"][0] |= {"result": "FAIL", "differences": ["1 excursion expected, no excursion found"]}
    found["verdict"] = "FAIL"
    text = html(found, "0" * 64)
    assert '<a href="#test-1">1</a> <span class="result FAIL">FAIL</span> dp.alert at cp1.dp' in text
    assert pdf(found, "0" * 64).startswith(b"%PDF")


def test_an_excursion_in_words() -> None:
    row = {"onset": "2026-01-05T00:00:00Z", "raised": "2026-01-05T00:00:08Z", "ended": "2026-01-05T00:01:00.5Z", "limit": 12.0}
    assert words(row) == "onset 2026-01-05 00:00:00, raised +8 s, ended +60.5 s, limit 12"
    assert words({"onset": "the first refused reading"}) == "onset the first refused reading"


def test_requirements_say_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "requirements.csv"
    path.write_text("id,text,rule\nU1,a,x\nU1,b,y\n,c,z\n")
    with pytest.raises(ConfigurationError) as caught:
        load_requirements(path)
    told = [str(problem) for problem in caught.value.problems]
    assert len(told) == 3
    assert "requirements.csv:1" in told[0]
    assert "requirements.csv:3" in told[1]


def test_a_rule_that_is_not_there(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["challenge", "--config", str(site(tmp_path)), "--rule", "nothing", "--out", str(tmp_path)])
    assert result.exit_code == 2
    assert "no rule has such an id" in result.output


def test_what_is_in_force_is_challenged_not_what_the_files_say(conducted: tuple[Any, Path], tmp_path: Path, capsys: Any) -> None:
    main_file = site(tmp_path)
    copytree(conducted[1] / "kept", tmp_path / "data")
    rules = tmp_path / "rules.yaml"
    rules.write_text(rules.read_text().replace("below: 12", "below: 13"))
    configuration, source = applied(main_file, False)
    assert bound_of(configuration) == 12
    assert "in force since journal entry 1" in source
    assert "rules.yaml differs" in source
    assert "--files challenges the files" in capsys.readouterr().err
    assert bound_of(applied(main_file, True)[0]) == 13


def bound_of(configuration: Configuration) -> object:
    below = next(rule for rule in configuration.rules if rule.id == "dp.alert").below
    return None if below is None else below.value
