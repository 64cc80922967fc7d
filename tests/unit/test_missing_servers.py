"""A missing server skips on a developer's machine and fails where everything has to be there."""

from __future__ import annotations

import pytest

from tests.fixtures.missing import missing


def test_it_skips_and_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(
        pytest.skip.Exception, match="PostgreSQL 99 is not on this machine; get it with: make servers"
    ):
        missing("PostgreSQL 99")


def test_it_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="PostgreSQL 99 is not on this machine"):
        missing("PostgreSQL 99")
