"""When alerts are sent and what is said of them, as Prometheus does it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

import pytest

from daemon.alertmanager import Herald
from daemon.alertmanager.message import Message
from daemon.judge.bench import Verdict
from daemon.judge.judge import Judged
from rules.group import GroupResult, RuleResult
from rules.labels import labels_of
from rules.load import load
from rules.model import Alert, AlertState

(GROUP,) = load({"r.yaml": "groups: [{name: g, rules: [{alert: A, expr: up}, {alert: A, expr: up > 1}]}]"})
T0 = 1_800_000_000.0


class Ear:
    """Stands where a sender stands."""

    def __init__(self) -> None:
        self.heard: list[Message] = []

    def offer(self, messages: Iterable[Message]) -> None:
        self.heard.extend(messages)

    def take(self) -> list[tuple[str, bool]]:
        heard, self.heard = self.heard, []
        return [(message.labels.get("name"), message.resolved) for message in heard]


def alert(
    name: str = "x",
    state: AlertState = AlertState.FIRING,
    *,
    fired: float | None = T0,
    ended: float | None = None,
) -> Alert:
    return Alert(
        labels=labels_of({"alertname": "A/B c", "name": name, "site": "own"}),
        annotations={"summary": "s"},
        state=state,
        value=1.0,
        active_at_ms=round((T0 - 60) * 1000),
        last_seen_ms=round(T0 * 1000),
        fired_at_ms=None if fired is None else round(fired * 1000),
        resolved_at_ms=None if ended is None else round(ended * 1000),
    )


def judged(at: float, *rules: Sequence[Alert], interval: float = 15.0) -> Judged:
    pairs = zip(GROUP.rules, rules, strict=False)
    results = tuple(RuleResult(rule=rule, seconds=0.0, alerts=tuple(alerts)) for rule, alerts in pairs)
    whole = GroupResult(group=GROUP, at_ms=round(at * 1000), seconds=0.0, rules=results)
    return Judged(at, {GROUP.key: Verdict(whole, interval, at)})


@pytest.fixture
def ear() -> Ear:
    return Ear()


@pytest.fixture
def herald(ear: Ear) -> Herald:
    labels = {"site": "north", "env": "prod"}
    return Herald([ear], resend_seconds=60, external_labels=labels, external_url="https://w.example.com")


def test_what_fires_is_sent_at_once_and_again_after_the_delay(herald: Herald, ear: Ear) -> None:
    heard = []
    for step in range(10):
        herald.tell(judged(T0 + 15 * step, [alert()]))
        heard.append(len(ear.take()))
    assert heard == [1, 0, 0, 0, 1, 0, 0, 0, 1, 0]


def test_the_same_verdict_is_told_once(herald: Herald, ear: Ear) -> None:
    for _ in range(3):
        herald.tell(judged(T0, [alert()]))
    assert len(ear.take()) == 1


def test_what_is_pending_or_never_fired_is_nobodys_business(herald: Herald, ear: Ear) -> None:
    pending = alert("p", AlertState.PENDING, fired=None)
    never = alert("n", AlertState.INACTIVE, fired=None, ended=T0)
    herald.tell(judged(T0, [pending, never]))
    assert ear.take() == []


def test_an_end_is_told_at_once_and_again_while_it_is_known(herald: Herald, ear: Ear) -> None:
    herald.tell(judged(T0, [alert()]))
    ear.take()
    over = alert(state=AlertState.INACTIVE, ended=T0 + 15)
    heard = []
    for step in range(1, 7):
        herald.tell(judged(T0 + 15 * step, [over]))
        heard.append(ear.take())
    assert heard == [[("x", True)], [], [], [], [("x", True)], []]
    herald.tell(judged(T0 + 200, []))
    herald.tell(judged(T0 + 215, [alert(fired=T0 + 215)]))
    assert ear.take() == [("x", False)], "a new one is not kept back by what was said of the old one"


def test_what_is_said_of_an_alert(herald: Herald, ear: Ear) -> None:
    herald.tell(judged(T0, [alert()]))
    (said,) = ear.heard
    body = json.loads(json.dumps(said.as_json()))
    assert body == {
        "labels": {"alertname": "A/B c", "name": "x", "site": "own", "env": "prod"},
        "annotations": {"summary": "s"},
        "startsAt": "2027-01-15T08:00:00.000Z",
        "endsAt": "2027-01-15T08:04:00.000Z",
        "generatorURL": "https://w.example.com/api/v1/rules?type=alert&rule_name[]=A%2FB%20c",
    }


@pytest.mark.parametrize(("interval", "seconds"), [(15.0, 240), (300.0, 1200)])
def test_it_is_over_after_four_delays_or_intervals_without_a_word(
    herald: Herald, ear: Ear, interval: float, seconds: float
) -> None:
    herald.tell(judged(T0, [alert()], interval=interval))
    assert ear.heard[0].ends_at == T0 + seconds


def test_two_rules_of_one_name_do_not_keep_each_other_back(herald: Herald, ear: Ear) -> None:
    herald.tell(judged(T0, [alert()], []))
    ear.take()
    herald.tell(judged(T0 + 15, [alert()], [alert(fired=T0 + 15)]))
    assert len(ear.take()) == 1


def test_a_clock_that_is_set_back_neither_silences_nor_sends_what_is_refused(
    herald: Herald, ear: Ear
) -> None:
    herald.tell(judged(T0, [alert()]))
    ear.take()
    herald.tell(judged(T0 - 3600, [alert()]))
    (said,) = ear.heard
    assert said.starts_at <= said.ends_at == T0 - 3600 + 240
    ear.take()
    herald.tell(judged(T0 - 3590, [alert(state=AlertState.INACTIVE, ended=T0 - 3590)]))
    over = [message for message in ear.heard if message.resolved]
    assert all(message.starts_at <= message.ends_at for message in over)


def test_a_group_that_is_gone_is_forgotten(herald: Herald, ear: Ear) -> None:
    herald.tell(judged(T0, [alert()]))
    herald.tell(Judged(T0 + 15, {}))
    ear.take()
    herald.tell(judged(T0 + 30, [alert()]))
    assert len(ear.take()) == 1, "it has come back: whoever listens may have ended it"
