"""Keys of acting, and of `act` at targets: what is taken, and what is said of mistakes in them and in policies."""

from __future__ import annotations

from pathlib import Path

import pytest

from actions.model import Mode
from collectors.strict_yaml import InvalidFile
from daemon import config as configuration
from daemon.check import check as check_file
from daemon.commands.check import summary
from daemon.config import Config

TARGET = "targets: [{name: shop, engine: postgresql}]\n"
ACT = "targets:\n  - {name: shop, engine: postgresql, act: {%s}}\n"
POLICY = (
    "policies:\n  - name: mine\n    match: {alertname: PostgresqlDeadTuples}\n    action: postgresql.vacuum\n"
)
SECRET = "hunter2"


def loaded(tmp_path: Path, text: str, policies: str = "") -> Config:
    (tmp_path / "p.yaml").write_text(policies)
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return configuration.load(path)


def problems(tmp_path: Path, text: str, policies: str = "") -> str:
    with pytest.raises(InvalidFile) as caught:
        loaded(tmp_path, text, policies)
    return str(caught.value)


def doubts(tmp_path: Path, policies: str, targets: str = TARGET) -> list[str]:
    loaded(tmp_path, targets + "acting: {policy_files: [p.yaml]}\n", policies)
    return [str(one).partition("p.yaml:")[2] for one in check_file(tmp_path / "config.yaml").warnings]


def test_nothing_said_means_advice_by_the_policies_of_the_program(tmp_path: Path) -> None:
    config = loaded(tmp_path, TARGET)
    assert config.acting.enabled
    assert config.acting.store.postgresql is None
    assert (config.acting.stop_file, config.acting.shadow) == ("/run/dbarchitect/STOP", False)
    assert config.policies.policies
    assert {policy.place.file for policy in config.policies.policies} == {"builtin/policies.yaml"}
    assert {policy.mode for policy in config.policies.policies} == {Mode.ADVISE}
    assert config.caps.of("shop") == (Mode.ADVISE, "shop, which has no `act`,")


def test_policies_of_ones_own_come_before_those_of_the_program(tmp_path: Path) -> None:
    names = [
        policy.name
        for policy in loaded(
            tmp_path, TARGET + "acting: {policy_files: [p.yaml]}\n", POLICY
        ).policies.policies
    ]
    assert names[0] == "mine"
    assert len(names) > 1
    text = TARGET + "acting: {builtin: false, policy_files: [p.yaml]}\n"
    assert [policy.name for policy in loaded(tmp_path, text, POLICY).policies.policies] == ["mine"]


def test_the_check_says_how_many_policies_are_ones_own(tmp_path: Path) -> None:
    loaded(tmp_path, TARGET + "acting: {policy_files: [p.yaml]}\n", POLICY)
    assert "(1 postgresql), 1 policies of your own" in summary(check_file(tmp_path / "config.yaml")).plain


def test_files_are_found_by_patterns_and_tried_by_name(tmp_path: Path) -> None:
    folder = tmp_path / "policies"
    folder.mkdir()
    for name in ("b", "a"):
        match = POLICY.replace("PostgresqlDeadTuples", f"Of{name}")
        (folder / f"{name}.yaml").write_text(match.replace("mine", name))
    text = TARGET + "acting: {builtin: false, policy_files: ['policies/*.yaml', 'policies/*.yml']}\n"
    config = loaded(tmp_path, text)
    assert [policy.name for policy in config.policies.policies] == ["a", "b"]


@pytest.mark.parametrize(
    ("act", "mode"),
    [("mode: auto, user: dba", Mode.AUTO), ("user: dba", Mode.ADVISE), ("mode: observe", Mode.OBSERVE)],
)
def test_a_target_says_how_far_policies_may_go(tmp_path: Path, act: str, mode: Mode) -> None:
    config = loaded(tmp_path, ACT % act)
    assert config.caps.of("shop") == (mode, "act.mode of shop")
    shadow = loaded(tmp_path, ACT % act + "acting: {shadow: true}\n")
    assert shadow.caps.of("shop") == (Mode.OBSERVE, "acting.shadow")
    assert config.caps.of("nobody")[0] is Mode.ADVISE


def test_the_store_may_be_a_server(tmp_path: Path) -> None:
    text = TARGET + "acting: {store: {postgresql: {host: db9, password: {env: X}, tls: {mode: require}}}}\n"
    server = loaded(tmp_path, text).acting.store.postgresql
    assert server is not None
    assert (server.host, server.port, server.dbname, server.tls.mode) == (
        "db9",
        5432,
        "dbarchitect",
        "require",
    )
    assert server.options.address == "db9:5432/dbarchitect"
    assert server.options.tls_mode == "require"
    assert server.options.password == server.password
    assert loaded(tmp_path, TARGET + "acting: {store: sqlite}\n").acting.store.postgresql is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("acting: {enabeld: true}\n", "acting.enabeld: unknown key\n    hint: did you mean 'enabled'?"),
        ("acting: {enabled: maybe}\n", "acting.enabled: should be true or false"),
        ("acting: {store: postgres}\n", "acting.store: should be sqlite, or {postgresql: {host: ..."),
        ("acting: {store: {mysql: {}}}\n", "acting.store.mysql: unknown key"),
        ("acting: {store: {postgresql: {prot: 1}}}\n", "postgresql.prot: unknown key\n    hint: did you mean 'port'?"),
        ("acting: {store: {postgresql: {host: 'a,b'}}}\n", "host names several servers"),
        ("acting: {store: {postgresql: {tls: {cert_file: a}}}}\n", "tls.cert_file and tls.key_file belong together"),
        ("acting: {store: {postgresql: {host: /run/x, tls: {mode: require}}}}\n", "not possible on a UNIX socket"),
        ("acting: {store: {postgresql: {password: hunter2}}}\n", "postgresql.password: a secret stands in this file"),
        ("acting: {store: {postgresql: {port: 0}}}\n", "greater than or equal to 1"),
        ("acting: {stop_file: STOP}\n", "acting.stop_file: should be a whole path"),
        ("acting: {anchor_file: x}\n", "acting.anchor_file: should be a whole path"),
        ("acting: {policy_files: [nope.yaml]}\n", "acting.policy_files[0]: there is no file"),
        ("acting: {policy_files: ['nope/*.yaml']}\n", "acting.policy_files[0]: there is no folder"),
        ("acting: {policy_files: p.yaml}\n", "acting.policy_files: should be a list"),
        ("acting: {policy_files: [1]}\n", "acting.policy_files[0]: should be text"),
        ("acting: {commands: {x: {argv: [ls], help: h}}}\n", "should be the whole path of a program"),
        ("acting: {commands: {x: {argv: [/bin/ls]}}}\n", "acting.commands.x.help: required key is missing"),
        ("acting: {commands: {x: {argv: [/bin/ls], help: h, clas: C}}}\n", "hint: did you mean 'class'?"),
        ("acting: {commands: {x: {argv: [/bin/ls], help: h, class: E}}}\n", "should be one of A, B, C, D"),
        ("acting: {commands: {x: {argv: [/bin/sh, -c, x], help: h}}}\n", "a shell with -c runs text as a program"),
        ("acting: []\n", "acting: should be keys with values"),
        ("acting:\n", "acting: is empty"),
    ],
)  # fmt: skip
def test_mistakes_in_acting(tmp_path: Path, text: str, says: str) -> None:
    said = problems(tmp_path, TARGET + text, "policies: []\n")
    assert says in said
    assert SECRET not in said


@pytest.mark.parametrize(
    ("act", "says"),
    [
        ("mode: automatic", "targets[0].act.mode: should be one of observe, advise, approve, auto"),
        ("mode: aprove", "hint: did you mean 'approve'?"),
        ("mode: auto", "mode auto needs the user who acts"),
        ("mode: approve", "mode approve needs the user who acts"),
        ("user: dbarchitect", "'dbarchitect' is the user who watches, and must not be able to act"),
        ("password: {env: X}", "a password without a user"),
        ("user: dba, password: hunter2", "targets[0].act.password: a secret stands in this file"),
        ("user: dba, pasword: {env: X}", "unknown key\n    hint: did you mean 'password'?"),
    ],
)
def test_mistakes_in_act(tmp_path: Path, act: str, says: str) -> None:
    said = problems(tmp_path, ACT % act)
    assert says in said
    assert SECRET not in said


def test_an_engine_without_users_takes_a_mode_alone(tmp_path: Path) -> None:
    text = "targets: [{name: here, engine: host, act: {mode: auto%s}}]\n"
    assert loaded(tmp_path, text % "").caps.of("here")[0] is Mode.AUTO
    assert "host has no users" in problems(tmp_path, text % ", user: x")


def test_a_secret_of_the_one_who_acts_is_looked_for(tmp_path: Path) -> None:
    loaded(tmp_path, ACT % "user: dba, password: {file: nope}")
    (problem,) = check_file(tmp_path / "config.yaml").problems
    assert (problem.line, problem.message[:24]) == (2, "targets[0].act.password:")


def test_f44_mistakes_in_policies_come_with_those_of_the_configuration(tmp_path: Path) -> None:
    text = "targets: [{name: shop, engine: postgres}]\nacting: {shadow: maybe, policy_files: [p.yaml]}\n"
    said = problems(tmp_path, text, POLICY + "    mode: automatic\n")
    assert "config.yaml:1:" in said
    assert "config.yaml:2:" in said
    assert "p.yaml:5:5: policy 'mine': mode: should be one of" in said


@pytest.mark.parametrize("content", [b"\xff\xfe", b"\0", b"a: b: c", b"policies: [[]]"])
def test_f44_garbage_in_a_file_of_policies_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "q.yaml").write_bytes(content)
    assert "q.yaml" in problems(tmp_path, TARGET + "acting: {policy_files: [q.yaml]}\n")


def test_a_policy_may_name_a_command_of_the_configuration(tmp_path: Path) -> None:
    commands = "commands: {tidy: {argv: [/bin/true, '{reason}'], help: h, parameters: {reason: {type: integer, most: 3}}}}"
    text = TARGET + f"acting: {{policy_files: [p.yaml], {commands}}}\n"
    policy = POLICY.replace("postgresql.vacuum", "command.tidy")
    assert (
        loaded(tmp_path, text, policy + "    parameters: {reason: 3}\n").policies.policies[0].action
        == "command.tidy"
    )
    assert "should be at most 3" in problems(tmp_path, text, policy + "    parameters: {reason: 4}\n")
    assert "needs the parameter 'reason'" in problems(tmp_path, text, policy)
    assert "there is no action 'command.tidy'" in problems(
        tmp_path, TARGET + "acting: {policy_files: [p.yaml]}\n", policy
    )


@pytest.mark.parametrize(
    ("match", "more", "says"),
    [
        ("{alertname: PostgresqlDeadTuple}", "", "no rule gives an alert 'PostgresqlDeadTuple'\n    hint: did you mean 'PostgresqlDeadTuples'?"),
        ("['alertname=~\"Postgres.*Dead\"']", "", 'no rule gives an alert that alertname=~"Postgres.*Dead" fits'),
        ("{alertname: PostgresqlDeadTuples, relnam: x}", "", "has a label 'relnam'\n    hint: did you mean 'relname'?"),
        ("{alertname: PostgresqlDeadTuples}", "    targets: [shopp]\n", "there is no target 'shopp'\n    hint: did you mean 'shop'?"),
        ("{alertname: PostgresqlDeadTuples}", "    targets: ['bank-*']\n", "there is no target like bank-*"),
    ],
)  # fmt: skip
def test_what_waits_for_something_that_is_not_there_is_doubtful(
    tmp_path: Path, match: str, more: str, says: str
) -> None:
    policy = POLICY.replace("{alertname: PostgresqlDeadTuples}", match) + more
    assert any(says in one for one in doubts(tmp_path, policy))


def test_what_comes_from_elsewhere_may_have_any_name(tmp_path: Path) -> None:
    policy = POLICY.replace("{alertname: PostgresqlDeadTuples}", "{alertname: TheirAlert, team: x}")
    assert doubts(tmp_path, policy + "    from: alertmanager\n") == []
    assert doubts(tmp_path, policy + "    from: any\n") == []


def test_where_an_exporter_is_watched_any_label_may_come(tmp_path: Path) -> None:
    targets = "targets: [{name: n, engine: exporter, url: 'http://127.0.0.1:1/metrics'}]\n"
    policy = POLICY.replace("Tuples}", "Tuples, whatever: x}")
    assert doubts(tmp_path, policy, targets) == []


def test_a_good_policy_raises_no_doubt(tmp_path: Path) -> None:
    assert doubts(tmp_path, POLICY + "    targets: ['sho*', shop]\n") == []
    assert (
        doubts(
            tmp_path, POLICY.replace("{alertname: PostgresqlDeadTuples}", "['alertname=~\"Postgresql.*\"']")
        )
        == []
    )
    labels = POLICY.replace("Tuples}", "Tuples, env: prod, severity: warning, target: shop, datname: x}")
    assert doubts(tmp_path, labels, TARGET.replace("engine", "labels: {env: prod}, engine")) == []


def test_a_configuration_written_out_is_read_back_equal(tmp_path: Path) -> None:
    text = ACT % "mode: auto, user: dba, password: {env: X}" + (
        "acting:\n  store: {postgresql: {host: db9}}\n"
        "  commands: {tidy: {argv: [/bin/true], help: h, class: B, timeout: 5s}}\n"
    )
    config = loaded(tmp_path, text)
    assert loaded(tmp_path, configuration.dump(config)) == config
