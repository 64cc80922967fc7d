"""Takes the keys of a mapping in a file of policies by their types; gathers mistakes with their lines."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from typing import Any

from collectors.definition import duration_text, seconds
from collectors.strict_yaml import Document, Path_, Problem, did_you_mean


class Fields:
    """One mapping; `name` is how messages call it."""

    def __init__(
        self, document: Document, at: Path_, value: dict[str, Any], name: str, problems: list[Problem]
    ) -> None:
        self.document = document
        self.at = at
        self.name = name
        self._value = value
        self._problems = problems

    def __contains__(self, key: str) -> bool:
        return key in self._value

    def wrong(self, key: str, message: str, hint: str = "", index: int | str | None = None) -> None:
        """Note a mistake in a key, or in an entry of its list."""
        place = (*self.at, key) if index is None else (*self.at, key, index)
        entry = "" if index is None else f"[{index}]" if isinstance(index, int) else f".{index}"
        self._problems.append(self.document.problem(place, f"{self.name}: {key}{entry}: {message}", hint))

    def missing(self, key: str, hint: str) -> None:
        """Note that a key is not there, unless one looks like it."""
        near = next((own for own in self._value if did_you_mean(own, [key])), "")
        text = f"is {near!r} meant to be {key!r}?" if near else hint
        place = (*self.at, near) if near else self.at
        self._problems.append(
            self.document.problem(place, f"{self.name}: {key}: required key is missing", text)
        )

    def only(self, known: Collection[str]) -> None:
        """Note keys that nobody knows, and those without a value."""
        for key, value in self._value.items():
            if key not in known:
                self.wrong(key, "unknown key", did_you_mean(key, known) or f"known are {', '.join(known)}")
            elif value is None:
                self.wrong(key, "is empty", "give it a value, or leave the key out")

    def text(self, key: str, default: str = "") -> str:
        """Return text; the default when it is not there, or no text, which is a mistake."""
        value = self._value.get(key)
        if value is None:
            return default
        if not isinstance(value, str):
            self.wrong(key, "should be text", "put quotes around it")
            return default
        return value

    def choice(self, key: str, choices: Collection[str], default: str) -> str:
        """Return one of some words."""
        value = self._value.get(key)
        if value is None or value in choices:
            return str(value or default)
        self.wrong(key, f"should be one of {', '.join(choices)}", did_you_mean(str(value), choices))
        return default

    def truth(self, key: str, *, default: bool = False) -> bool:
        """Return true or false."""
        value = self._value.get(key)
        if value is None or isinstance(value, bool):
            return default if value is None else value
        self.wrong(key, "should be true or false")
        return default

    def whole(
        self, key: str, default: int, least: int, most: int, *, why: str = "", why_least: str = ""
    ) -> int:
        """Return a whole number within bounds; `why` says where the upper one comes from."""
        value = self._value.get(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int):
            self.wrong(key, "should be a whole number, without quotes")
        elif value < least:
            self.wrong(key, f"should be at least {least}, not {value}", why_least)
        elif value > most:
            self.wrong(key, f"should be at most {most}, not {value}", why)
        else:
            return value
        return default

    def span(self, key: str, default: float, least: float, most: float, why: str = "") -> float:
        """Return a duration in seconds within bounds."""
        value = self._value.get(key)
        if value is None:
            return default
        try:
            found = seconds(value)
        except ValueError as error:
            self.wrong(key, str(error))
            return default
        if least <= found <= most and math.isfinite(found):
            return found
        side = f"at least {duration_text(least)}" if found < least else f"at most {duration_text(most)}"
        self.wrong(key, f"should be {side}", why)
        return default

    def items(self, key: str) -> Iterator[tuple[int, Any]]:
        """Give the entries of a list with their numbers."""
        value = self._value.get(key)
        if value is None:
            return
        if not isinstance(value, list):
            self.wrong(key, "should be a list", "write it as `- item`, one a line, or [item, item]")
            return
        if not value:
            self.wrong(key, "is an empty list", "leave the key out")
        yield from enumerate(value)

    def texts(self, key: str) -> list[tuple[int, str]]:
        """Return the texts of a list with their numbers; what is no text is a mistake and left out."""
        found = []
        for index, value in self.items(key):
            if isinstance(value, str) and value:
                found.append((index, value))
            else:
                self.wrong(key, "should be text, and not empty", "put quotes around it", index)
        return found

    def mapping(self, key: str) -> dict[str, Any] | None:
        """Return a mapping as it stands; None when it is not there or none."""
        value = self._value.get(key)
        if value is None:
            return None
        if not isinstance(value, dict):
            self.wrong(key, "should be keys with values", "write it as `key: value`, one a line, indented")
            return None
        return value

    def inner(self, key: str) -> Fields | None:
        """Return the fields of a mapping inside this one."""
        value = self.mapping(key)
        if value is None:
            return None
        return Fields(self.document, (*self.at, key), value, f"{self.name}: {key}", self._problems)

    def entry(self, key: str, index: int, value: dict[str, Any]) -> Fields:
        """Return the fields of a mapping in a list."""
        name = f"{self.name}: {key}[{index}]"
        return Fields(self.document, (*self.at, key, index), value, name, self._problems)

    def raw(self, key: str) -> Any:  # noqa: ANN401 - whatever stands there
        """Return a value of any type."""
        return self._value.get(key)
