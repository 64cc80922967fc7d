"""Whatever is wrong with a configuration, the message says where, what, and what to do; never a secret."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from collectors.strict_yaml import InvalidFile
from daemon import config as configuration

SECRET = "hunter2"
GOOD = "targets:\n  - name: shop\n    engine: postgresql\n"
"""Three lines that are right; what a case adds to it begins in line 4, indented as a key of the target."""


class Case(NamedTuple):
    name: str
    text: str
    line: int
    """0: the file as a whole."""
    says: str
    hint: str = ""


CASES = [
    # The file as such.
    Case("empty", "", 1, "there is no configuration in the file", "config.example.yaml"),
    Case("only comments", "# targets:\n#  - x\n", 1, "there is no configuration in the file"),
    Case("only a document mark", "---\n", 2, "there is no configuration in the file"),
    Case("a list", "- a\n- b\n", 1, "the file should hold keys with values"),
    Case("a word", "targets\n", 1, "the file should hold keys with values"),
    Case("two documents", GOOD + "---\n" + GOOD, 4, "another document"),
    Case("a key twice", GOOD + "    engine: host\n", 4, "the key 'engine' stands here twice", "line 3"),
    Case("a section twice", "http: {}\nhttp: {}\n" + GOOD, 2, "the key 'http' stands here twice", "line 1"),
    Case("a tab", GOOD + "\thost: a\n", 4, "not YAML", "spaces, not tabs"),
    Case("a NUL", GOOD + "    host: a\0b\n", 4, "a NUL byte is not text"),
    Case("an escaped NUL in a path", 'daemon: {state_dir: "/a\\0b"}\n' + GOOD, 1, "should be a whole path"),
    Case("a control character", GOOD + "    host: a\x07b\n", 4, "control character U+0007", "remove it"),
    Case(
        "an anchor",
        GOOD + "    labels: &x {a: b}\n",
        4,
        "anchors and aliases are not allowed",
        "write the value out",
    ),
    Case("a merge key", GOOD + "    <<: {host: a}\n", 4, "unknown key", "merge keys are not supported"),
    Case(
        "an alias that is a password", GOOD + f"    password: *{SECRET}\n", 4, "anchors and aliases", "quotes"
    ),
    Case(
        "a tag that is a password", GOOD + f"    password: !{SECRET}\n", 4, "tags are not allowed", "quotes"
    ),
    Case(
        "a Python object",
        GOOD + "    host: !!python/object/apply:os.system [ls]\n",
        4,
        "tags are not allowed",
    ),
    Case("a tag of YAML itself", GOOD + "    port: !!int hello\n", 4, "tags are not allowed"),
    Case("too deep", "a: " + "[" * 100 + "]" * 100, 1, "nested deeper than 50"),
    Case("very deep", "[" * 100_000, 1, "nested deeper than 50"),
    Case(
        "a colon in a value", GOOD + f"    password: a: {SECRET}\n", 4, "not YAML", "quotes around the value"
    ),
    Case(
        "a password that starts with a reserved sign",
        GOOD + f"    password: @{SECRET}\n",
        4,
        "not YAML",
        "quotes",
    ),
    Case("a quote not closed", GOOD + f'    password: "{SECRET}\n', 5, "not YAML"),
    Case("a key that is a list", "? [a, b]\n: 1\n" + GOOD, 1, "a key must be a plain word"),
    # Keys.
    Case("a key misspelt", "deamon: {}\n" + GOOD, 1, "deamon: unknown key", "did you mean 'daemon'?"),
    Case(
        "a key misspelt below",
        "daemon: {log: {levle: info}}\n" + GOOD,
        1,
        "daemon.log.levle: unknown key",
        "'level'",
    ),
    Case(
        "a target's key misspelt", GOOD + "    intervall: 10s\n", 4, "unknown key", "did you mean 'interval'?"
    ),
    Case("an engine's key misspelt", GOOD + "    hosst: a\n", 4, "targets[0].hosst: unknown key", "'host'"),
    Case(
        "a key of a secret misspelt", GOOD + f"    password: {{fiel: {SECRET}}}\n", 4, "unknown key", "'file'"
    ),
    Case(
        "an engine's deep key misspelt",
        GOOD + "    tls: {mod: require}\n",
        4,
        "tls.mod: unknown key",
        "'mode'",
    ),
    Case("a key of another engine", GOOD + "    proc: /proc\n", 4, "targets[0].proc: unknown key"),
    Case(
        "a key that looks Latin", "t\u0430rgets: []\n" + GOOD, 1, "unknown key", "'targets'? (it has U+0430"
    ),
    Case(
        "a name that looks Latin",
        "targets:\n  - name: sh\u043ep\n    engine: host\n",
        2,
        "should be 1 to 100",
    ),
    Case("targets missing", "daemon: {}\n", 1, "targets: required key is missing"),
    Case("targets empty", "targets: []\n", 1, "there is nothing to watch", "- name: ..."),
    Case("targets without a value", "targets:\n", 1, "targets: is empty", "leave the key out"),
    Case("targets that are a mapping", "targets: {name: a}\n", 1, "targets: should be a list", "- item"),
    Case("a target that is a word", "targets: [shop]\n", 1, "targets[0]: should be keys with values"),
    Case("name missing", "targets:\n  - engine: host\n", 2, "targets[0].name: required key is missing"),
    Case(
        "engine missing",
        "targets:\n  - name: a\n",
        2,
        "targets[0].engine: required key is missing",
        "postgresql",
    ),
    Case(
        "engine misspelt", "targets: [{name: a, engine: postgres}]\n", 1, "should be one of", "'postgresql'"
    ),
    Case(
        "engine key misspelt",
        "targets: [{name: a, engin: host}]\n",
        1,
        "engine: required key",
        "is 'engin' meant",
    ),
    Case("engine that is a list", "targets: [{name: a, engine: [host]}]\n", 1, "engine: should be one of"),
    # Kinds of values.
    Case("a section without a value", "http:\n" + GOOD, 1, "http: is empty", "leave the key out"),
    Case("a section that is a word", "http: yes\n" + GOOD, 1, "http: should be keys with values"),
    Case("a truth value in words", "daemon: {uvloop: maybe}\n" + GOOD, 1, "should be true or false"),
    Case("a number in quotes", GOOD + '    series_max: "100"\n', 4, "whole number, without quotes"),
    Case("a truth value for a number", GOOD + "    series_max: true\n", 4, "should be a whole number"),
    Case("half a series", GOOD + "    series_max: 100.5\n", 4, "should be a whole number"),
    Case("octal", GOOD + "    series_max: 0o17\n", 4, "should be a whole number"),
    Case("sexagesimal", GOOD + "    series_max: 12:30:45\n", 4, "should be a whole number"),
    Case("not a number", GOOD + "    series_max: .nan\n", 4, "should be a"),
    Case("infinite series", GOOD + "    series_max: .inf\n", 4, "should be a"),
    Case("a number of 200 digits", GOOD + f"    series_max: {'9' * 200}\n", 4, "should be a whole number"),
    Case("a number of 50 digits", GOOD + f"    series_max: {'9' * 50}\n", 4, "should be"),
    Case("negative series", GOOD + "    series_max: -5\n", 4, "greater than or equal to 10"),
    Case("labels that are a list", GOOD + "    labels: [env]\n", 4, "labels: should be keys with values"),
    Case("a label that is a number", GOOD + "    labels: {shard: 1}\n", 4, "should be text", "quotes"),
    Case("a label that is a truth value", GOOD + "    labels: {a: true}\n", 4, "should be text", "quotes"),
    Case("an empty label", GOOD + '    labels: {env: ""}\n', 4, "printable characters"),
    Case("a label with a newline", GOOD + '    labels: {env: "a\\nb"}\n', 4, "printable characters"),
    Case("a label's name with a dash", GOOD + "    labels: {my-env: a}\n", 4, "a label's name has letters"),
    Case("a label's name of Prometheus", GOOD + "    labels: {__name__: a}\n", 4, "does not start with __"),
    Case("a label that is ours", GOOD + "    labels: {target: a}\n", 4, "is set by others", ""),
    Case(
        "a label that a metric has",
        GOOD + "    labels: {datname: a}\n",
        4,
        "has a label 'datname'",
        "another name",
    ),
    Case(
        "a log level misspelt",
        "daemon: {log: {level: warn}}\n" + GOOD,
        1,
        "should be one of debug",
        "'warning'",
    ),
    # Durations.
    Case("a duration without unit", GOOD + "    interval: 10\n", 4, "a duration needs a unit: write 10s"),
    Case("no duration at all", GOOD + "    interval: soon\n", 4, "not a duration: write it as"),
    Case("a zero interval", GOOD + "    interval: 0s\n", 4, "interval: should be"),
    Case("zero", GOOD + "    interval: 0\n", 4, "not a duration"),
    Case("a negative interval", GOOD + "    interval: -5s\n", 4, "not a duration"),
    Case("a negative number", GOOD + "    interval: -5\n", 4, "not a duration"),
    Case("an infinite interval", GOOD + "    interval: .inf\n", 4, "not a duration"),
    Case("an interval that is no number", GOOD + "    interval: .nan\n", 4, "not a duration"),
    Case("1e309", GOOD + "    interval: 1e309\n", 4, "not a duration"),
    Case("1e3 seconds", GOOD + "    interval: 1e3s\n", 4, "not a duration"),
    Case("an interval of 400 digits", GOOD + f"    interval: {'9' * 400}s\n", 4, "interval: should be"),
    Case("an interval too short", GOOD + "    interval: 1ms\n", 4, "should be from 500ms to 1d"),
    Case("an interval too long", GOOD + "    interval: 2d\n", 4, "should be from 500ms to 1d"),
    Case("a truth value for a duration", GOOD + "    interval: true\n", 4, "not a duration"),
    Case("sexagesimal time", GOOD + "    interval: 12:30:45\n", 4, "not a duration"),
    Case("Arabic digits", GOOD + "    interval: \u0661\u0660s\n", 4, "not a duration"),
    Case("a deadline too long", "defaults: {deadline: 1h}\n" + GOOD, 1, "should be from 50ms to 5m"),
    Case("a share too large", "defaults: {database_time_per_minute: 2m}\n" + GOOD, 1, "from 10ms to 1m"),
    # Names.
    Case(
        "a name twice",
        GOOD + "  - name: shop\n    engine: host\n",
        4,
        "'shop' is already in line 2",
        "its own name",
    ),
    Case("a name with a blank", "targets: [{name: my shop, engine: host}]\n", 1, "name: should be 1 to 100"),
    Case("a name with a slash", "targets: [{name: a/../b, engine: host}]\n", 1, "name: should be 1 to 100"),
    Case("a name that is empty", "targets: [{name: '', engine: host}]\n", 1, "name: should be 1 to 100"),
    Case(
        "a name that is too long",
        f"targets: [{{name: {'a' * 101}, engine: host}}]\n",
        1,
        "should be 1 to 100",
    ),
    Case(
        "a name that is a number",
        "targets: [{name: 12, engine: host}]\n",
        1,
        "name: should be text",
        "quotes",
    ),
    Case("a name with a newline", 'targets: [{name: "a\\n", engine: host}]\n', 1, "name: should be 1 to 100"),
    Case("a probe misspelt", GOOD + "    collect: {databse: true}\n", 4, "no probe 'databse'", "'database'"),
    Case("a capped probe misspelt", GOOD + "    rows_max: {tabels: 9}\n", 4, "no probe 'tabels'", "'tables'"),
    Case("a cap of nothing", GOOD + "    rows_max: {tables: 0}\n", 4, "rows_max.tables: should be greater"),
    Case(
        "a probe of all misspelt",
        "defaults: {collect: {databse: true}}\n" + GOOD,
        1,
        "no probe",
        "'database'",
    ),
    Case("a probe without yes or no", GOOD + "    collect: {database: 10s}\n", 4, "should be true or false"),
    # Addresses.
    Case("port 0", GOOD + "    port: 0\n", 4, "port: should be greater than or equal to 1"),
    Case("port 65536", GOOD + "    port: 65536\n", 4, "port: should be less than or equal to 65535"),
    Case("a port that is a word", GOOD + "    port: postgres\n", 4, "port: should be a whole number"),
    Case("several hosts", GOOD + "    host: a,b\n", 4, "a target of its own"),
    Case("listen at nonsense", "daemon: {listen: here}\n" + GOOD, 1, "daemon.listen: there is no port", ""),
    Case("listen at a port alone", "daemon: {listen: 8720}\n" + GOOD, 1, "listen: should be text", "quotes"),
    Case("listen at no host", "daemon: {listen: ':8720'}\n" + GOOD, 1, "there is no host (0.0.0.0 means"),
    Case("listen at port 0", "daemon: {listen: '127.0.0.1:0'}\n" + GOOD, 1, "not a number from 1 to 65535"),
    Case("listen at port 65536", "daemon: {listen: '127.0.0.1:65536'}\n" + GOOD, 1, "not a number from 1"),
    Case("listen at IPv6 without brackets", "daemon: {listen: '::1:8720'}\n" + GOOD, 1, "needs brackets"),
    Case("listen at no IPv6", "daemon: {listen: '[::x]:8720'}\n" + GOOD, 1, "not an IPv6 address"),
    Case("listen at a relative socket", "daemon: {listen: unix:a.sock}\n" + GOOD, 1, "needs a whole path"),
    Case("listen at a long socket", f"daemon: {{listen: 'unix:/{'a' * 200}'}}\n" + GOOD, 1, "107 bytes"),
    Case(
        "listen to all",
        "daemon: {listen: 0.0.0.0:8720}\n" + GOOD,
        1,
        "needs http.tls and http.tokens",
        "127.0.0.1",
    ),
    Case(
        "listen to all in IPv6", "daemon: {listen: '[::]:8720'}\n" + GOOD, 1, "needs http.tls and http.tokens"
    ),
    Case("listen at a name", "daemon: {listen: 'db.example.com:8720'}\n" + GOOD, 1, "needs http.tls and"),
    Case(
        "a relative state_dir", "daemon: {state_dir: state}\n" + GOOD, 1, "state_dir: should be a whole path"
    ),
    Case(
        "a host with a scheme", "http: {allowed_hosts: ['https://a']}\n" + GOOD, 1, "without scheme and port"
    ),
    # Tokens and certificates.
    Case(
        "a token for a hash",
        f"http: {{tokens: [{{name: a, scopes: [read], sha256: {SECRET}}}]}}\n" + GOOD,
        1,
        "64 hexadecimal digits",
    ),
    Case(
        "an unknown scope",
        f"http: {{tokens: [{{name: a, scopes: [reed], sha256: {'a' * 64}}}]}}\n" + GOOD,
        1,
        "should be one of read",
        "'read'",
    ),
    Case(
        "a token without scopes",
        f"http: {{tokens: [{{name: a, scopes: [], sha256: {'a' * 64}}}]}}\n" + GOOD,
        1,
        "scopes: should have at least one entry",
    ),
    Case(
        "a certificate without key",
        "http: {tls: {cert_file: a}}\n" + GOOD,
        1,
        "http.tls.key_file: required key",
    ),
    Case(
        "TLS files that are not there",
        "http: {tls: {cert_file: a, key_file: b}}\n" + GOOD,
        1,
        "cannot be read: No such",
    ),
    # Secrets.
    Case(
        "a password in the file",
        GOOD + f"    password: {SECRET}\n",
        4,
        "a secret stands in this file",
        "{file: /path}",
    ),
    Case(
        "a password as text", GOOD + f"    password: {{text: {SECRET}}}\n", 4, "a secret stands in this file"
    ),
    Case(
        "a password in a DSN",
        GOOD + f"    dsn: postgres://u:{SECRET}@h/d\n",
        4,
        "a secret stands in this file",
    ),
    Case(
        "a password in a query", GOOD + f"    dsn: postgres://u@h/d?password={SECRET}\n", 4, "a secret stands"
    ),
    Case(
        "a password of keywords",
        GOOD + f"    dsn: host=h password={SECRET}\n",
        4,
        "a secret stands in this file",
    ),
    Case("a password of digits", GOOD + "    password: 1234567\n", 4, "looks like a number", ""),
    Case("no password", GOOD + "    password:\n", 4, "password: is empty"),
    Case("an empty password", GOOD + '    password: ""\n', 4, "is empty"),
    Case(
        "a password from two places", GOOD + "    password: {file: a, env: B}\n", 4, "file and env are given"
    ),
    Case("a password from nowhere", GOOD + "    password: {}\n", 4, "nothing is given: write {file: /path}"),
    Case(
        "a variable that is none", GOOD + "    password: {env: 'A B'}\n", 4, "name of an environment variable"
    ),
    Case("a credential with a slash", GOOD + "    password: {credential: ../a}\n", 4, "without a slash"),
    Case("a password that is a list", GOOD + f"    password: [{SECRET}]\n", 4, "password: should be keys"),
    # Metrics of one's own.
    Case(
        "metrics file missing", "metrics_files: [no.yaml]\n" + GOOD, 1, "metrics_files[0]: there is no file"
    ),
    Case("metrics folder missing", "metrics_files: [no/*.yaml]\n" + GOOD, 1, "there is no folder"),
    Case(
        "metrics of an engine without SQL",
        "metrics_files: [{files: a, engine: host}]\n" + GOOD,
        1,
        "takes metrics",
    ),
    Case("metrics file with a NUL", 'metrics_files: ["a\\0"]\n' + GOOD, 1, "should be a path"),
    Case("metrics file that is a number", "metrics_files: [1]\n" + GOOD, 1, "metrics_files[0]: should be"),
]


def problems_of(text: str | bytes, tmp_path: Path) -> InvalidFile:
    path = tmp_path / "config.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InvalidFile) as caught:
        configuration.load(path)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return caught.value


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_mistake_is_named_with_its_line_and_what_to_do(case: Case, tmp_path: Path) -> None:
    error = problems_of(case.text, tmp_path)
    place = f"{tmp_path}/config.yaml:{case.line}:" if case.line else f"{tmp_path}/config.yaml: "
    fitting = [one for one in error.problems if case.says in one.message and str(one).startswith(place)]
    assert fitting, f"expected line {case.line}: {case.says}\n{error}"
    assert case.hint in fitting[0].hint, f"{fitting[0]}"
    assert len(error.problems) <= 2, f"one mistake, many messages:\n{error}"
    assert SECRET not in str(error)
    for noise in ("Traceback", "pydantic", "Input should", "validation error", "<class", "_type"):
        assert noise not in str(error)
