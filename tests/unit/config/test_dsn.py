"""Connection strings: what they mean, and that a password in one never shows, whatever its form."""

from __future__ import annotations

import string
from pathlib import Path
from urllib.parse import quote

import pytest

from collectors.model import Target
from collectors.strict_yaml import InvalidFile, dump
from daemon import config as configuration

CANARY = "Canary7Secret"


def load_dsn(dsn: str, tmp_path: Path, *, allowed: bool = True) -> Target:
    path = tmp_path / "config.yaml"
    target = {"name": "a", "engine": "postgresql", "dsn": dsn}
    path.write_text(dump({"allow_inline_secrets": allowed, "targets": [target]}))
    (made,) = configuration.targets(configuration.load(path))
    return made


GOOD = [
    ("postgresql://u@db1:5433/shop", "db1:5433/shop"),
    ("postgres://u@db1/shop", "db1:5432/shop"),
    ("postgresql://u@db1", "db1:5432/postgres"),
    ("postgresql://u@[::1]:5433/shop", "[::1]:5433/shop"),
    ("postgresql://u@%2Frun%2Fpostgresql:5433/shop", "/run/postgresql:5433/shop"),
    ("postgresql://u@/shop?host=/run/postgresql", "/run/postgresql:5432/shop"),
    ("postgresql://u@db1/sh%20op", "db1:5432/sh op"),
    ("host=db1 port=5433 user=u dbname=shop", "db1:5433/shop"),
    ("host=/run/postgresql user=u", "/run/postgresql:5432/postgres"),
    ("host = 'db1' dbname = 'my shop'", "db1:5432/my shop"),
    ("host=::1 user=u", "[::1]:5432/postgres"),
]


@pytest.mark.parametrize(("dsn", "address"), GOOD)
def test_a_connection_string_says_where_the_server_is(dsn: str, address: str, tmp_path: Path) -> None:
    assert load_dsn(dsn, tmp_path).options.address == address


WITH_PASSWORD = [
    f"postgresql://u:{CANARY}@db1/shop",
    f"postgresql://u@db1/shop?password={CANARY}",
    f"postgresql://db1/shop?user=u&password={CANARY}&sslmode=require",
    f"host=db1 password={CANARY}",
    f"password='{CANARY}' host=db1",
    f"PASSWORD={CANARY} host=db1",
    f"host=db1 password = {CANARY} user=u",
]


@pytest.mark.parametrize("dsn", WITH_PASSWORD)
def test_a_password_in_it_is_found_refused_and_never_shown(dsn: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidFile) as caught:
        load_dsn(dsn, tmp_path, allowed=False)
    assert "a secret stands in this file" in str(caught.value)
    assert CANARY not in str(caught.value)
    target = load_dsn(dsn, tmp_path)
    assert target.options.password.resolve().reveal() == CANARY
    assert CANARY not in repr(target)
    assert CANARY not in target.options.address


MISTAKES = [
    f"postgresql://u:{CANARY}@db1:port/shop",
    f"postgresql://u:{CANARY}@db1:99999/shop",
    f"postgresql://u:{CANARY}@[::1/shop",
    f"postgresql://u:{CANARY}@db1,db2/shop",
    f"postgresql://u:{CANARY}/x@db1/shop",
    f"postgresql://u:12/{CANARY}@db1/shop",
    f"postgresql://u:12?{CANARY}@db1/shop",
    f"postgresql://u:12#{CANARY}@db1/shop",
    f"postgresql://u:{CANARY}#x@db1/shop",
    f"postgresql://u:a b{CANARY}@db1:x/shop",
    f"postgresql://u:{CANARY}@db1/shop?sslmode=sometimes",
    f"postgresql://u:{CANARY}@db1/shop?nonsense=1",
    f"mysql://u:{CANARY}@db1/shop",
    f"host=db1 password={CANARY} with blanks",
    f"host=db1 password=a {CANARY}=b",
    f"host=db1 password=a {CANARY.replace('7', '')}=b",
    f"postgresql://u:12?{CANARY}=b@db1/shop",
    f"postgresql://u:p@12/{CANARY}@db1/shop",
    f"host=db1 password='{CANARY}",
    f"host=db1 password={CANARY} port=x",
    f"host=db1 password={CANARY} service=x",
    f"u:{CANARY}@db1/shop",
    CANARY,
]


@pytest.mark.parametrize("dsn", MISTAKES)
def test_a_wrong_connection_string_is_refused_without_quoting_it(dsn: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidFile) as caught:
        load_dsn(dsn, tmp_path)
    for part in (CANARY, "CanarySecret", "canary"):
        assert part.lower() not in str(caught.value).lower()
    assert "config.yaml:" in str(caught.value)
    assert caught.value.problems[0].message.startswith("targets[0].")


@pytest.mark.parametrize("letter", string.printable[:95])
def test_every_printable_character_can_be_in_a_password(letter: str, tmp_path: Path) -> None:
    password = f"{letter}a{letter}{letter}b{letter}"
    keywords = password.replace("\\", "\\\\").replace("'", "\\'")
    for dsn in (
        f"postgresql://u:{quote(password, safe='')}@db1/shop",
        f"postgresql://u@db1/shop?password={quote(password, safe='')}",
        f"host=db1 password='{keywords}'",
    ):
        target = load_dsn(dsn, tmp_path)
        assert target.options.password.resolve().reveal() == password
        assert target.options.host == "db1"


def test_keys_beside_a_connection_string_that_say_the_same_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("targets:\n  - {name: a, engine: postgresql, host: db2, dsn: 'host=db1 user=u'}\n")
    with pytest.raises(InvalidFile, match="host stand in dsn and as keys"):
        configuration.load(path)
