"""Files that are odd as a whole: too large, unreadable, in another encoding, or only looked at twice."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from collectors.strict_yaml import InvalidFile
from daemon import config as configuration

SECRET = "hunter2"
GOOD = "targets:\n  - name: shop\n    engine: postgresql\n"
"""Three lines that are right; what a case adds to it begins in line 4, indented as a key of the target."""


def problems_of(text: str | bytes, tmp_path: Path) -> InvalidFile:
    path = tmp_path / "config.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InvalidFile) as caught:
        configuration.load(path)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return caught.value


def test_all_mistakes_come_at_once_in_the_order_of_lines(tmp_path: Path) -> None:
    error = problems_of(
        "deamon: {}\n"
        "http: {allow_insecure: perhaps}\n"
        "defaults: {interval: 10}\n"
        "metrics_files: [no.yaml]\n"
        "targets:\n"
        "  - name: a\n"
        "    engine: postgresql\n"
        "    port: 0\n"
        f"    password: {SECRET}\n"
        "  - name: b\n"
        "    engine: postgresql\n"
        f"    password: {SECRET}\n"
        "    collect: {nothing_like_it: true}\n"
        "  - name: a\n"
        "    engine: oracle\n",
        tmp_path,
    )
    assert [one.line for one in error.problems] == [1, 2, 3, 4, 8, 12, 13, 14, 15]
    assert SECRET not in str(error)


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert configuration.load(path).targets[0].name == "shop"


def test_truth_values_in_other_words_are_text_where_text_belongs(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("targets:\n  - {name: no, engine: host, cluster: on, labels: {country: no, code: y}}\n")
    target = configuration.load(path).targets[0]
    assert (target.name, target.cluster, target.labels) == ("no", "on", {"country": "no", "code": "y"})


def test_bytes_that_are_not_utf_8_are_counted(tmp_path: Path) -> None:
    error = problems_of(b"targets: \xff\xfe\n", tmp_path)
    assert "not UTF-8 at byte 9" in str(error)


def test_utf_16_is_refused_with_a_hint(tmp_path: Path) -> None:
    assert "save it as UTF-8" in str(problems_of(GOOD.encode("utf-16"), tmp_path))


def test_ten_megabytes_are_refused_at_once(tmp_path: Path) -> None:
    began = time.monotonic()
    error = problems_of(b"# " + b"x" * 10_000_000, tmp_path)
    assert "larger than" in str(error)
    assert time.monotonic() - began < 1


def test_a_bomb_of_aliases_does_not_go_off(tmp_path: Path) -> None:
    layers = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    layers += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    began = time.monotonic()
    error = problems_of("\n".join(layers), tmp_path)
    assert "anchors and aliases are not allowed" in str(error)
    assert time.monotonic() - began < 2


def test_ten_thousand_targets_load_in_seconds(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    one = (
        "  - {{name: t{0}, engine: postgresql, host: db{0}, labels: {{shard: s{0}}}, password: {{env: A}}}}\n"
    )
    path.write_text("targets:\n" + "".join(one.format(n) for n in range(10_000)))
    began = time.monotonic()
    config = configuration.load(path)
    assert len(configuration.targets(config)) == 10_000
    assert time.monotonic() - began < 30


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda _: None, "cannot be read: No such file"),
        (lambda path: path.mkdir(), "cannot be read: Is a directory"),
        (lambda path: path.symlink_to(path), "cannot be read: Too many levels"),
    ],
    ids=["missing", "a directory", "a link to itself"],
)
def test_a_file_that_cannot_be_read_is_named(make: object, says: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    assert callable(make)
    make(path)
    with pytest.raises(InvalidFile) as caught:
        configuration.load(path)
    assert str(caught.value).startswith(str(path))
    assert says in str(caught.value)


def test_two_targets_at_one_address_are_warned_of(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(GOOD + "    host: db1\n  - {name: other, engine: postgresql, host: db1}\n")
    (warning,) = configuration.read(path).warnings
    assert warning.line == 5
    assert "'other' is at db1:5432/postgres, where 'shop' is too" in warning.message


def test_an_open_address_is_fine_with_tls_and_tokens_or_when_it_is_wished(tmp_path: Path) -> None:
    (tmp_path / "crt").write_text("x")
    (tmp_path / "key").write_text("x")
    path = tmp_path / "config.yaml"
    listen = "daemon: {listen: 0.0.0.0:8720}\n"
    for http in (
        "http: {allow_insecure: true}\n",
        f"http: {{tls: {{cert_file: crt, key_file: key}}, tokens: [{{name: a, scopes: [read], sha256: {'a' * 64}}}]}}\n",
    ):
        path.write_text(listen + http + GOOD)
        assert not configuration.load(path).daemon.address.local
    path.write_text(listen + "http: {tls: {cert_file: crt, key_file: key}}\n" + GOOD)
    with pytest.raises(InvalidFile, match=r"needs http\.tokens"):
        configuration.load(path)


def test_an_inline_secret_is_fine_when_it_is_wished_and_still_does_not_show(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"allow_inline_secrets: true\n{GOOD}    password: {SECRET}\n")
    config = configuration.load(path)
    assert config.targets[0].options.password.resolve().reveal() == SECRET  # type: ignore[attr-defined]
    for shown in (repr(config), str(config), configuration.dump(config), repr(configuration.targets(config))):
        assert SECRET not in shown


def test_a_probe_named_wins_over_all_the_others_wherever_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(
        "defaults: {collect: {locks: false}}\n" + GOOD + '    collect: {database: true, "*": false}\n'
    )
    (target,) = configuration.targets(configuration.load(path))
    assert target.wants("database", by_default=False)
    assert not target.wants("activity", by_default=True)


def test_relative_paths_start_from_the_files_own_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "conf").mkdir()
    path = tmp_path / "conf" / "config.yaml"
    path.write_text(GOOD + "    password: {file: secret}\n    tls: {ca_file: ca.crt}\n")
    monkeypatch.chdir(tmp_path)
    (target,) = configuration.load("conf/config.yaml").targets
    assert target.options.tls.ca_file == str(tmp_path / "conf" / "ca.crt")  # type: ignore[attr-defined]
    assert target.options.password.file == str(tmp_path / "conf" / "secret")  # type: ignore[attr-defined]
