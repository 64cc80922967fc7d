"""What is read from the body of a webhook: all that is right, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.moment import moment
from daemon.received.notice import ALERTS_MAX, LABELS_TEXT_MAX, TEXT_MAX, NotANotice, Notice, read
from tests.unit.received.telling import NEVER, alert, notice

ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()), max_size=30)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=12,
)
TIMES = st.sampled_from(
    [
        NEVER, "9999-12-31T23:59:59-23:59", "2026-01-01T10:00:00Z", "2026-01-01", "1969-12-31T23:59:59Z", "W",
        "0001-01-01T00:00:00+23:59", "2026-01-01T10:00:00.123456789+02:00", "2026-W01-1T10:00:00Z", "9998-12-31T00:00:00Z",
    ]
)  # fmt: skip


def fields(**right: Any) -> st.SearchStrategy[dict[str, Any]]:
    """Return objects whose fields are right, wrong or absent."""
    return st.fixed_dictionaries({}, optional={name: each | JSON for name, each in right.items()})


PAIRS = st.dictionaries(ANY_TEXT, ANY_TEXT, max_size=4)
ALERTS = fields(
    status=st.sampled_from(["firing", "resolved"]), labels=PAIRS, annotations=PAIRS, startsAt=TIMES, endsAt=TIMES,
    fingerprint=st.sampled_from(["0a1b", ""]), generatorURL=ANY_TEXT,
)  # fmt: skip
NOTICES = fields(
    version=st.just("4"), alerts=st.lists(ALERTS | JSON, max_size=4), truncatedAlerts=st.integers(0, 5),
    externalURL=ANY_TEXT, groupKey=ANY_TEXT, receiver=ANY_TEXT,
)  # fmt: skip


def usable(found: Notice) -> None:
    """Check that what was read can be stored and shown."""
    for each in found.alerts:
        assert each.labels
        texts = [*each.labels, *each.labels.values(), *each.annotations, *each.annotations.values()]
        for text in (*texts, each.fingerprint, each.generator_url, found.external_url):
            text.encode()
            assert "\0" not in text
        assert moment(each.starts_at)
        assert each.ends_at is None or moment(each.ends_at)
    assert found.refused >= len(found.problems)
    json.dumps(found.problems)


@settings(max_examples=500)
@given(st.binary(max_size=200) | JSON.map(lambda one: json.dumps(one).encode()))
def test_garbage_is_no_notice_or_an_empty_one(body: bytes) -> None:
    with pytest.raises(NotANotice):
        read(body)


@settings(max_examples=500)
@given(NOTICES)
def test_half_right_messages_give_what_can_be_used_or_no_notice(whole: dict[str, Any]) -> None:
    try:
        found = read(json.dumps(whole).encode())
    except NotANotice:
        assert (
            whole.get("version") != "4" or type(whole.get("alerts")) is not list or "truncatedAlerts" in whole
        )
        return
    usable(found)
    assert len(found.alerts) + found.refused == len(whole["alerts"])


@pytest.mark.parametrize(
    "body",
    [
        b"", b"null", b"[]", b"[" * 100_000, b'{"a":' * 100_000, b'{"version": "4"}', b"\xff\xfe", b"\0",
        notice(version="3"), notice(version="5"), notice(version=4), notice(version=None), notice(alerts={}),
        notice(alerts=None), notice(truncatedAlerts=-1), notice(truncatedAlerts="1"), notice(truncatedAlerts=True),
        b'{"version": "4", "alerts": [], "truncatedAlerts": ' + b"9" * 5000 + b"}",
        json.dumps({"version": "4", "alerts": [0] * (ALERTS_MAX + 1)}).encode(),
    ],
    ids=repr,
)  # fmt: skip
def test_what_is_no_message_of_this_version_is_refused(body: bytes) -> None:
    with pytest.raises(NotANotice) as caught:
        read(body)
    assert len(str(caught.value)) < 200


def test_all_of_a_message_is_read() -> None:
    found = read(notice(alert(), alert("Slow", ends="2026-01-01T11:00:00.5+01:00"), truncatedAlerts=7))
    assert (found.truncated, found.receiver, found.external_url) == (
        7,
        "dbarchitect",
        "http://alertmanager:9093",
    )
    down, slow = found.alerts
    assert (down.labels["alertname"], down.annotations["summary"], down.ends_at) == (
        "Down",
        "Down it is",
        None,
    )
    assert moment(down.starts_at) == "2026-01-01T10:00:00.123Z"
    assert slow.ends_at is not None
    assert moment(slow.ends_at) == "2026-01-01T10:00:00.500Z"
    assert found.problems == []


def test_older_senders_give_no_truncated_alerts_and_no_fingerprint() -> None:
    plain = alert()
    del plain["fingerprint"]
    body = {"version": "4", "alerts": [plain, {**plain, "labels": dict(reversed(plain["labels"].items()))}]}
    first, second = read(json.dumps(body).encode()).alerts
    assert first.fingerprint == second.fingerprint
    other = read(json.dumps({"version": "4", "alerts": [{**plain, "labels": {"alertname": "x"}}]}).encode())
    assert other.alerts[0].fingerprint != first.fingerprint


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"labels": {}}, "no labels"),
        ({"labels": {"a": 1}}, "not a text"),
        ({"labels": {"a": "\ud800"}}, "not valid Unicode"),
        ({"labels": {"a\0": "b"}}, "not valid Unicode"),
        ({"labels": {"a": "x" * (TEXT_MAX + 1)}}, "not a text of at most"),
        ({"labels": {f"a{n}": "x" * TEXT_MAX for n in range(5)}}, f"more than {LABELS_TEXT_MAX}"),
        ({"labels": {f"a{n}": "x" for n in range(101)}}, "at most 100 pairs"),
        ({"status": "suppressed"}, "not firing or resolved"),
        ({"status": "resolved"}, "endsAt is not a time"),
        ({"startsAt": NEVER}, "startsAt is not a time"),
        ({"startsAt": "9999-12-31T23:59:59-23:59"}, "startsAt is not a time"),
        ({"startsAt": "2026-01-01T10:00:00"}, "startsAt is not a time"),
        ({"startsAt": 1700000000}, "startsAt is not a time"),
        ({"fingerprint": "../etc"}, "fingerprint"),
        ({"fingerprint": ["a"]}, "fingerprint"),
        ({"annotations": [1]}, "annotations"),
    ],
)
def test_one_alert_that_is_wrong_does_not_cost_the_others(wrong: dict[str, Any], problem: str) -> None:
    found = read(notice(alert("a"), alert("b", **wrong), alert("c")))
    assert [each.labels["alertname"] for each in found.alerts] == ["a", "c"]
    assert found.refused == 1
    assert found.problems[0].startswith("alerts[1]: ")
    assert problem in found.problems[0]


def test_an_alert_is_not_lost_for_its_long_annotations() -> None:
    texts = {f"a{number:02}": "x" * (TEXT_MAX + 5) for number in range(20)}
    (found,) = read(notice(alert(annotations=texts))).alerts
    assert max(map(len, found.annotations.values())) == TEXT_MAX
    assert sum(map(len, found.annotations.values())) <= LABELS_TEXT_MAX


def test_a_link_that_is_none_is_left_out() -> None:
    (found,) = read(notice(alert(generatorURL="javascript:alert(1)"))).alerts
    assert found.generator_url == ""


def test_of_many_problems_the_first_are_named_and_all_are_counted() -> None:
    found = read(notice(*[alert(labels={}) for _ in range(50)]))
    assert (found.refused, len(found.problems)) == (50, 20)
