"""A value that never shows itself."""

from __future__ import annotations

import re
from typing import Any, NoReturn

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

_MASK = "***"
KNOWN_MIN = 4
"""Shorter secrets are not searched for in other text: they would be found in every word."""
_known: set[str] = set()
"""Every secret this process has held: whatever writes text asks `redact`, and so none of them shows."""


class Secret:
    """A password or token; `reveal()` is the only way to its text.

    `str`, `repr`, `format`, pydantic dumps and `vars` give `***`; pickling is refused.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text
        if len(text) >= KNOWN_MIN:
            _known.add(text)

    def reveal(self) -> str:
        """Return the text itself, for the driver and nothing else."""
        return self._text

    def __repr__(self) -> str:
        return _MASK

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(_MASK, spec)

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(("Secret", self._text))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret cannot be pickled")

    @classmethod
    def __get_pydantic_core_schema__(
        cls,
        _source: Any,  # noqa: ANN401 - pydantic's signature
        _handler: GetCoreSchemaHandler,
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            lambda value: value if isinstance(value, Secret) else Secret(str(value)),
            serialization=core_schema.to_string_ser_schema(),
        )


_URI_PASSWORD = re.compile(r"(?P<head>\b[a-z][a-z0-9+.-]*://[^\s:/@]*:)[^\s/]*(?=@)", re.IGNORECASE)
_KEY_PASSWORD = re.compile(
    r"""(?P<head>\b(?:password|passwd|pwd|passfile|sslpassword|secret|token)\b["']?\s*[=:]\s*)"""
    r"""(?:'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.)*"|[^\s&;,'"]+)""",
    re.IGNORECASE,
)
_SQL_PASSWORD = re.compile(r"(?P<head>\bpassword\s+)'(?:[^']|'')*'", re.IGNORECASE)
_BEARER = re.compile(r"(?P<head>\b(?:bearer|basic)\s+)[a-z0-9._~+/=-]+", re.IGNORECASE)


def redact(text: str) -> str:
    """Return `text` with every known secret, and everything that looks like a credential, masked."""
    for secret in sorted(_known, key=len, reverse=True):
        text = text.replace(secret, _MASK)
    for pattern in (_URI_PASSWORD, _KEY_PASSWORD, _SQL_PASSWORD, _BEARER):
        text = pattern.sub(lambda match: match["head"] + _MASK, text)
    return text
