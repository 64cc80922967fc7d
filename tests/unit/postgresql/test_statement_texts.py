"""What of a statement's text is shown."""

from __future__ import annotations

import pytest

from collectors.model import Target
from collectors.postgresql.statement_memory import memory_of, texts_of
from collectors.postgresql.statement_texts import presentable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("select  a,\n\tb from t", "select a, b from t"),
        ("select 'kept' as label", "select 'kept' as label"),
        ("/* app:web */ SELECT 1", "/* app:web */ SELECT 1"),
        ("alter role x password 'canary'", "alter role x password '***'"),
        ("ALTER ROLE x PASSWORD 'ca''nary' valid until 'now'", "ALTER ROLE x PASSWORD '***' valid until '***'"),
        ("create user mapping for u server s options (password 'can", "create user mapping for u server s options (password '***'"),
        ("do $$ begin perform 'canary'; end $$", "do '***'"),
        ("do $x$ canary", "do '***'"),
        ("copy t from 'postgresql://u:canary@h/d'", "copy t from '***'"),
        ("select dblink('host=h password=canary user=u')", "select dblink('host=h password=*** user=u')"),
        ("select 'postgresql://u:canary@h/d'", "select 'postgresql://u:***@h/d'"),
        ("", ""),
    ],
)  # fmt: skip
def test_texts_are_one_line_without_what_may_be_secret(text: str, shown: str) -> None:
    assert presentable(text) == shown
    assert "canary" not in shown


def test_the_memory_of_a_target_lives_as_long_as_its_probes() -> None:
    target = Target(name="short-lived", engine="postgresql")
    memory = memory_of(target)
    memory.texts[1] = "select 1"
    assert memory_of(target) is memory
    assert texts_of(target) == {1: "select 1"}
    del memory
    assert texts_of(target) == {}
