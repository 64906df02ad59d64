"""Sparkplug B, its life: births, aliases, deaths, lost numbers, other connections, and what is asked and said."""

from __future__ import annotations

import json

import pytest

from facility.sources.sparkplug import SparkplugSource
from ingest.arrivals import Arrivals
from ingest.lives import Lives
from ingest.message import Message
from ingest.sparkplug.again import Again
from ingest.sparkplug.host import Host
from tests.support.edge import DOUBLE, INT64, fielded, metric, payload
from tests.support.sparkplug import DOOR, FACILITY, MS, NUMBERS, SOURCE, Bench, reasons, rows


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    assert bench.asked() == ["spBv1.0/plant/NCMD/edge"]  # the node that the file names
    bench.clock.pass_s(60)
    return bench


# Births, data, deaths


def test_births_define_and_data_speaks_by_alias(bench: Bench) -> None:
    assert rows(bench.born()) == [("t", 0, 20.0, 0), ("dp", 0, 15.0, 0)]
    assert bench.said == [("born", "plant/edge", ["door"]), ("born", "plant/edge/plc", ["t", "dp"])]
    assert rows(bench.data(2)) == [("t", 1000, 21.0, 0)]
    assert bench.data(3, alias=3).ignored_keys == {"Uptime": 1}
    assert bench.asked() == []


def test_data_before_a_birth_waits_whole_and_a_birth_is_asked_for(bench: Bench) -> None:
    arrivals = bench.data(5)
    assert reasons(arrivals) == ["before_birth"]
    assert arrivals.readings_received == 1
    assert bench.asked() == ["spBv1.0/plant/NCMD/edge"]
    assert bench.asked() == []
    bench.data(6)
    assert bench.asked() == []  # not more often than every 30 s
    bench.clock.pass_s(31)
    assert bench.asked() == ["spBv1.0/plant/NCMD/edge"]


def test_an_unknown_alias_keeps_the_whole_message_out(bench: Bench) -> None:
    bench.born()
    both = payload(metric(alias=1, at_ms=MS + 1, double=21.0), metric(alias=9, at_ms=MS + 1, double=1.0), seq=2)
    arrivals = bench.say("DDATA", both, "plc")
    assert reasons(arrivals) == ["metric_unknown"]
    assert arrivals.quarantine[0].payload == both
    assert bench.asked() == ["spBv1.0/plant/NCMD/edge"]


def test_an_alias_that_stands_for_two_stands_for_none(bench: Bench) -> None:
    bench.say("NBIRTH", payload(seq=0))
    twice = metric("Room/Temperature", 1, MS, DOUBLE, double=20.0), metric("Room/Pressure", 1, MS, DOUBLE, double=1.0)
    assert len(rows(bench.say("DBIRTH", payload(*twice, seq=1), "plc"))) == 2
    assert reasons(bench.data(2)) == ["metric_unknown"]


def test_the_death_of_a_node_is_that_of_its_devices(bench: Bench) -> None:
    bench.born(bd_seq=7)
    bench.say("NDEATH", payload(metric("bdSeq", datatype=INT64, long=7)))
    assert bench.said[2:] == [("died", "plant/edge", ["t", "dp", "door"])]
    assert reasons(bench.data(2)) == ["before_birth"]
    bench.say("NDEATH", payload(metric("bdSeq", datatype=INT64, long=7)))
    assert len(bench.said) == 3


def test_the_death_of_an_earlier_session_is_not_that_of_this_one(bench: Bench) -> None:
    bench.born(bd_seq=7)
    bench.say("NDEATH", payload(metric("bdSeq", datatype=INT64, long=6)))
    assert len(bench.said) == 2
    assert rows(bench.data(2)) == [("t", 1000, 21.0, 0)]


def test_a_death_that_does_not_say_of_which_session_counts(bench: Bench) -> None:
    bench.born(bd_seq=None)
    bench.say("NDEATH", payload())
    assert bench.said[2:] == [("died", "plant/edge", ["t", "dp", "door"])]


def test_a_device_dies_alone(bench: Bench) -> None:
    bench.born()
    bench.say("DDEATH", payload(seq=2), "plc")
    assert bench.said[2:] == [("died", "plant/edge/plc", ["t", "dp"])]
    assert reasons(bench.data(3)) == ["before_birth"]
    assert rows(bench.say("NDATA", payload(metric("Door", at_ms=MS + 5, bool=False), seq=4))) == [("door", 5, 0.0, 0)]


def test_a_node_that_dies_and_is_born_in_one_batch_did_not_die(bench: Bench) -> None:
    bench.born(bd_seq=1)
    death = payload(metric("bdSeq", datatype=INT64, long=1))
    birth = payload(metric("bdSeq", datatype=INT64, long=2), DOOR, seq=0)
    bench.batch(Message("spBv1.0/plant/NDEATH/edge", death), Message("spBv1.0/plant/NBIRTH/edge", birth))
    assert bench.said[2:] == [("born", "plant/edge", ["door"])]


def test_devices_that_do_not_follow_their_node_are_dead_after_a_while(bench: Bench) -> None:
    bench.born()
    bench.say("NBIRTH", payload(DOOR, seq=0))
    assert not bench.host.due()
    bench.clock.pass_s(31)
    assert bench.host.due()
    bench.batch()
    assert bench.said[-1] == ("died", "plant/edge/plc", ["t", "dp"])
    assert not bench.host.due()


def test_what_did_not_become_durable_did_not_happen(bench: Bench) -> None:
    bench.born()
    bench.say("NDEATH", payload(), durable=False)
    bench.say("DDATA", payload(metric(alias=1, at_ms=MS, double=1.0), seq=2), "plc", durable=False)
    assert rows(bench.data(2)) == [("t", 1000, 21.0, 0)]
    assert bench.asked() == []
    assert bench.host.lost == 0


# Sequence


def test_a_gap_is_known_loss_and_asks_for_a_birth_after_the_time_for_reordering(bench: Bench) -> None:
    bench.born()
    assert rows(bench.data(5)) == [("t", 1000, 21.0, 0)]  # stored all the same: 2, 3 and 4 are missing
    bench.clock.pass_s(1.9)
    assert not bench.host.due()
    bench.clock.pass_s(0.2)
    assert bench.host.due()
    bench.batch()
    assert bench.said[-1] == ("gap", "plant/edge", [])
    assert bench.host.lost == 3
    assert bench.asked() == ["spBv1.0/plant/NCMD/edge"]
    assert not bench.host.due()


def test_what_comes_late_in_time_is_no_loss(bench: Bench) -> None:
    bench.born()
    bench.data(3, at_ms=MS + 3000)
    assert rows(bench.data(2, at_ms=MS + 2000)) == [("t", 2000, 21.0, 0)]
    bench.clock.pass_s(5)
    assert not bench.host.due()
    assert bench.host.lost == 0


def test_numbers_wrap(bench: Bench) -> None:
    bench.born(first=254)
    assert bench.said[-1][0] == "born"
    for seq in range(256):
        assert rows(bench.data(seq, at_ms=MS + seq + 1))
    bench.clock.pass_s(5)
    assert not bench.host.due()


def test_where_a_birth_may_have_been_lost_an_alias_is_not_trusted(bench: Bench) -> None:
    # Expected is 2; the node was born anew (0), its device too (1): only 2 messages of 256, and then alias 1 may be anything.
    bench.born()
    for seq in range(2, 250):
        bench.data(seq, at_ms=MS + seq)
    assert reasons(bench.data(2, at_ms=MS + 9000)) == ["before_birth"]
    bench.clock.pass_s(3)
    bench.batch()
    assert reasons(bench.data(3, at_ms=MS + 9001)) == ["before_birth"]
    bench.born(alias=2)
    assert rows(bench.data(2, alias=2, at_ms=MS + 9002)) == [("t", 9002, 21.0, 0)]


def test_data_that_a_birth_overtook_is_not_read_with_the_new_aliases(bench: Bench) -> None:
    bench.born()
    bench.born(alias=2)
    assert reasons(bench.data(57, alias=2, sent=MS - 1)) == ["before_birth"]


def test_no_alias_is_trusted_on_another_connection(bench: Bench) -> None:
    bench.born()
    bench.connect()
    assert reasons(bench.data(2)) == ["before_birth"]
    assert bench.asked() == ["spBv1.0/plant/NCMD/edge"]
    bench.born(alias=2)
    assert rows(bench.data(2, alias=2)) == [("t", 1000, 21.0, 0)]
    assert bench.said[2:] == bench.said[:2]


def test_who_is_not_born_again_on_another_connection_is_dead_after_a_while(bench: Bench) -> None:
    bench.born()
    bench.connect()
    bench.say("NBIRTH", payload(DOOR, seq=0))
    bench.clock.pass_s(31)
    bench.batch()
    assert bench.said[2:] == [("born", "plant/edge", ["door"]), ("died", "plant/edge/plc", ["t", "dp"])]


def test_after_a_restart_who_lived_is_known_from_the_journal() -> None:
    bench = Bench(Lives({"plant/edge": [2], "plant/edge/plc": [0, 1], "plant/gone": [3], "other/edge": [3]}))
    assert bench.asked() == ["spBv1.0/plant/NCMD/edge", "spBv1.0/plant/NCMD/gone"]
    bench.born()
    bench.clock.pass_s(31)
    bench.batch()
    assert bench.said[2:] == [("died", "plant/gone", ["ahu.rh"])]


# STATE, and what is none of ours


def test_state_is_said_with_the_timestamp_of_the_will(bench: Bench) -> None:
    will = bench.host.connecting()
    assert will is not None
    assert (will.topic, will.qos, will.retain) == ("spBv1.0/STATE/renrum", 1, True)
    at_ms = MS + 60_000
    assert json.loads(will.payload) == {"online": False, "timestamp": at_ms}
    bench.clock.pass_s(5)
    assert bench.host.outgoing() == []
    assert bench.host.farewell() == []
    bench.host.subscribed()
    [online] = bench.host.outgoing()
    assert (online.topic, online.qos, online.retain) == ("spBv1.0/STATE/renrum", 1, True)
    assert json.loads(online.payload) == {"online": True, "timestamp": at_ms}
    assert bench.host.outgoing() == []
    bench.batch(Message("spBv1.0/STATE/renrum", online.payload))
    assert bench.host.outgoing() == []
    bench.batch(Message("spBv1.0/STATE/renrum", will.payload))
    assert bench.host.outgoing() == [online]
    assert json.loads(bench.host.farewell()[0].payload) == {"online": False, "timestamp": at_ms + 5000}


def test_nodes_that_nobody_maps_and_commands_are_passed_over(bench: Bench) -> None:
    host = Host([SparkplugSource("a", "plant", "", (SOURCE.metrics[0],), 1, 1, 1, frozenset("t"))], FACILITY, NUMBERS, *[lambda: 0] * 2)
    arrivals = Arrivals()
    host.begin()
    assert host.take(Message("spBv1.0/plant/NDATA/another", b"\xff"), 0, arrivals)
    assert host.take(Message("spBv1.0/plant/NCMD/edge", b"\xff"), 0, arrivals)
    assert arrivals.readings_received == 0
    for topic in ("other/NDATA/edge", "plant/NDATA/edge/plc", "plant/DDATA/edge", "plant/X/edge", "plant"):
        assert not host.take(Message(f"spBv1.0/{topic}", b""), 0, arrivals)
    assert host.connecting() is None
    host.subscribed()
    host.drained()
    assert [message.topic for message in host.outgoing()] == ["spBv1.0/plant/NCMD/edge"]


def test_what_the_broker_kept_and_what_is_no_payload(bench: Bench) -> None:
    bench.born()
    assert reasons(bench.say("NBIRTH", payload(DOOR, seq=0), retained=True)) == ["retained"]
    assert reasons(bench.say("DDATA", b"\xff\xff", "plc")) == ["not_sparkplug"]
    compressed = fielded(4, 2, "SPBV1.0_COMPRESSED") + fielded(5, 2, b"\x78\x9c")
    assert "without compression" in bench.say("DDATA", compressed, "plc").quarantine[0].detail
    assert reasons(bench.say("DBIRTH", payload(metric(b"\xff", datatype=9, float=1.0), seq=2), "plc")) == ["not_sparkplug"]
    assert reasons(bench.say("DDATA", b"\x00" * (1024 * 1024 + 1), "plc")) == ["too_large"]


# Out of quarantine


def test_what_quarantine_keeps_of_data_can_be_read_again(bench: Bench) -> None:
    bench.born()
    arrivals = bench.data(2)
    kept = arrivals.parts[0]()
    again = Arrivals()
    reader = Again([SOURCE], FACILITY, NUMBERS)
    assert reader.take(Message("spBv1.0/plant/DDATA/edge/plc", kept), 0, again)
    assert rows(again) == [("t", 1000, 21.0, 0)]
    assert reader.take(Message("spBv1.0/plant/DDATA/edge/plc", payload(metric(alias=1, double=1.0))), 0, again)
    assert reasons(again) == ["metric_unknown"]
