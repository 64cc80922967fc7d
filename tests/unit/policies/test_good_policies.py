"""A whole policy as a person writes it, what it means, and what is doubtful about it."""

from __future__ import annotations

from actions.model import Mode
from actions.policies.load import load
from actions.policies.parameters import resolve_parameters
from actions.policy import Budget, CoolDown, FromLabel, Match, Policies, Policy, Schedule
from actions.window import Window
from rules.model import Place
from tests.fixtures.policies import CATALOGUE, GOOD, NOW

WHOLE = """
policies:
  - name: vacuum-at-night
    match:
      - alertname="PostgresqlDeadTuples"
      - severity=~"warning|critical"
    from: any
    targets: [shop-*, bank]
    action: postgresql.vacuum
    parameters: {table: {label: relname}, parallel: 2, pause: 5s}
    mode: auto
    windows:
      - {days: "mon-fri", begin: "22:00", end: "04:00", zone: Europe/Berlin}
      - {days: [sat, sun], begin: "00:00", end: "24:00"}
    urgent: true
    budget: {per_action_hour: 10, per_incident_day: 2}
    cool_down: {after_success: 10m}
    undo_on_stop: true
    expires: 2d
    targets_max: 2
  - name: sunday
    action: postgresql.vacuum
    parameters: {table: orders}
    schedule: {cron: "30 2 * * 0", zone: Europe/Berlin}
"""


def test_a_whole_policy_is_read_as_it_is_written() -> None:
    first, second = load({"p.yaml": WHOLE}, CATALOGUE, NOW).policies.policies
    assert first == Policy(
        name="vacuum-at-night",
        action="postgresql.vacuum",
        mode=Mode.AUTO,
        place=Place("p.yaml", 3, 5),
        matches=(
            Match("alertname", "=", "PostgresqlDeadTuples"),
            Match("severity", "=~", "warning|critical"),
        ),
        source="any",
        targets=("shop-*", "bank"),
        parameters={"table": FromLabel("relname"), "parallel": 2, "pause": "5s"},
        windows=(
            Window(
                begin_minute=1320,
                end_minute=240,
                zone="Europe/Berlin",
                days=("mon", "tue", "wed", "thu", "fri"),
            ),
            Window(begin_minute=0, end_minute=1440, days=("sat", "sun")),
        ),
        urgent=True,
        budget=Budget(per_action_hour=10, per_incident_day=2),
        cool_down=CoolDown(after_success=600.0),
        undo_on_stop=True,
        expires_seconds=172800.0,
        targets_max=2,
    )
    assert second.schedule == Schedule(cron="30 2 * * 0", zone="Europe/Berlin")
    assert second.mode is Mode.ADVISE
    assert second.parameters == {"table": "orders"}


def test_files_are_tried_in_their_order() -> None:
    other = GOOD.replace("name: one", "name: other").replace("alertname", "alert")
    names = [policy.name for policy in load({"b": other, "a": GOOD}, CATALOGUE, NOW).policies.policies]
    assert names == ["other", "one"]


def test_a_window_across_a_change_of_the_clock_is_doubtful_and_the_dates_are_told() -> None:
    text = GOOD + "    windows: [{begin: '01:00', end: '05:00', zone: Europe/Berlin}]\n"
    loaded = load({"p.yaml": text}, CATALOGUE, NOW)
    assert len(loaded.policies.policies) == 1
    (warning,) = loaded.warnings
    assert str(warning).startswith(
        "p.yaml:5:15: policy 'one': windows[0]: the clocks of Europe/Berlin change within it: "
    )
    assert "on 2027-03-28 it is 60 minutes shorter, on 2027-10-31 it is 60 minutes longer" in warning.message
    assert warning.hint == "a plan that needs the whole window does not begin on that day"


def test_a_window_that_a_change_swallows_is_told_too() -> None:
    text = GOOD + "    windows: [{days: sun, begin: '02:00', end: '03:00', zone: Europe/Berlin}]\n"
    assert "on 2027-03-28 it does not open" in load({"p.yaml": text}, CATALOGUE, NOW).warnings[0].message


def test_a_file_of_comments_has_no_policies_and_that_is_only_doubtful() -> None:
    loaded = load({"p.yaml": "# later\n"}, CATALOGUE, NOW)
    assert loaded.policies == Policies()
    assert "no policies in the file" in loaded.warnings[0].message


def test_urgency_without_windows_is_doubtful() -> None:
    loaded = load({"p.yaml": GOOD + "    urgent: true\n"}, CATALOGUE, NOW)
    assert [(one.line, one.message) for one in loaded.warnings] == [
        (5, "policy 'one': urgent: means nothing without windows")
    ]


def test_a_mapping_is_equality_of_each_label() -> None:
    text = GOOD.replace("['alertname=\"A\"']", "{alertname: A, env: prod}")
    (policy,) = load({"p.yaml": text}, CATALOGUE, NOW).policies.policies
    assert policy.matches == (Match("alertname", "=", "A"), Match("env", "=", "prod"))


def test_truths_and_numbers_stand_as_they_are() -> None:
    (policy,) = load(
        {"p": GOOD + "    parameters: {hard: true, share: 0.25}\n"}, CATALOGUE, NOW
    ).policies.policies
    assert policy.parameters == {"hard": True, "share": 0.25}
    found = resolve_parameters(CATALOGUE[policy.action], policy.parameters, {"relname": "orders"})
    assert found.values["hard"] is True
    assert found.values["share"] == 0.25
