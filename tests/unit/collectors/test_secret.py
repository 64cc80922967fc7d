"""Secrets do not show."""

from __future__ import annotations

import json
import pickle
import traceback
from collections.abc import Callable

import pytest
from pydantic import BaseModel

from collectors.secret import Secret, redact

CANARY = "c4n4ry-Pa55:w/o@rd"


class Holder(BaseModel):
    password: Secret


@pytest.mark.parametrize(
    "show",
    [
        str,
        repr,
        "{}".format,
        lambda one: f"{one!r:>10}{one:<12}",
        lambda one: str([one, {"k": one}]),
        lambda one: Holder(password=one).model_dump_json(),
        lambda one: str(Holder(password=one)),
        lambda one: str(Holder(password=one).model_dump()),
        lambda one: json.dumps({"p": one}, default=str),
    ],
)
def test_a_secret_shows_stars_whatever_prints_it(show: Callable[[Secret], str]) -> None:
    text = show(Secret(CANARY))

    assert CANARY not in text
    assert "***" in text


def test_a_secret_is_not_pickled() -> None:
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(Secret(CANARY))


def test_a_traceback_does_not_show_it() -> None:
    secret = Secret(CANARY)
    try:
        raise ValueError(secret)
    except ValueError:
        assert CANARY not in traceback.format_exc()


@pytest.mark.parametrize(
    "leak",
    [
        "cannot connect to postgresql://mon:hunter2secret@db1:5432/shop",
        "postgresql://mon@db1/shop?password=hunter2secret&sslmode=require",
        "host=db1 user=mon password=hunter2secret dbname=shop",
        "host=db1 password='hunter2secret' dbname=shop",
        "host=db1 password = 'it''s hunter2secret' dbname=shop",
        '{"password": "hunter2secret", "user": "mon"}',
        "Authorization: Bearer hunter2secret",
        "PASSWORD=hunter2secret",
        "secret: hunter2secret",
        "redis://:hunter2secret@cache:6379/0",
        "mysql://root:p%40hunter2secret@db/x",
        "token=hunter2secret;",
        "ALTER ROLE mon PASSWORD 'hunter2secret'",
    ],
)
def test_text_that_looks_like_a_credential_is_masked(leak: str) -> None:
    assert "hunter2secret" not in redact(leak)


def test_known_secrets_are_masked_wherever_they_stand() -> None:
    Secret(CANARY)

    assert redact(f"odd {CANARY} text") == "odd *** text"


def test_ordinary_text_stays_as_it_is() -> None:
    text = 'db1:5432/shop: password authentication failed for user "mon" (SQLSTATE 28P01)'

    assert redact(text) == text
