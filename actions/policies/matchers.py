"""Matchers on labels, as Alertmanager writes them: `alertname="X"`, `severity=~"warning|critical"`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from actions.policy import Match
from rules.promql.matchers import Matcher, MatchOp, pattern

_LABEL = r"[a-zA-Z_][a-zA-Z0-9_]*"
_MATCHER = re.compile(rf"\s*({_LABEL})\s*(=~|!~|!=|=)\s*(.*?)\s*", re.DOTALL | re.ASCII)
_UNESCAPED = re.compile(r'(?<!\\)(?:\\\\)*"')
_LITERALS = re.compile(r"[^\\.+*?()\[\]{}^$]+")
"""A regular expression that is words with `|` between them, and nothing else."""
_HOW = 'write it as label="value", label!="value", label=~"regex" or label!~"regex"'


class BadMatcher(ValueError):
    """Text that is no matcher; `hint` says how to write one."""

    def __init__(self, message: str, hint: str = _HOW) -> None:
        super().__init__(message)
        self.hint = hint


def parse(text: str) -> Match:
    """Return the matcher in a text; raise BadMatcher, for a regular expression that RE2 refuses too."""
    found = _MATCHER.fullmatch(text)
    if not found or found[3].startswith(("=", "~", "!")):
        raise BadMatcher(*_why_not(text))
    label, operator, value = found.groups()
    match = Match(label, operator, _unquoted(value))  # type: ignore[arg-type] # the pattern knows these four
    if operator in ("=~", "!~"):
        try:
            pattern(match.value)
        except ValueError as error:
            raise BadMatcher(
                f"{match.value!r} is no regular expression: {error}",
                "RE2's syntax holds, without look-around; it is matched against the whole value",
            ) from None
    return match


def written(match: Match) -> str:
    """Return a matcher as people write it."""
    return str(compiled(match))


@lru_cache(maxsize=4096)
def compiled(match: Match) -> Matcher:
    """Return what compares; regular expressions are anchored at both ends, and never slow."""
    return Matcher(match.label, MatchOp(match.operator), match.value)


def fits(match: Match, labels: Mapping[str, str]) -> bool:
    """Tell whether labels fulfil it; a label that is not there counts as empty."""
    return compiled(match).matches(labels.get(match.label, ""))


def values_of(matches: tuple[Match, ...], label: str) -> frozenset[str] | None:
    """Return every value of a label that fulfils all matchers; None when these cannot be listed."""
    own = [match for match in matches if match.label == label]
    listed = [values for match in own if (values := _listed(match)) is not None]
    if not listed:
        return None
    return frozenset(value for value in listed[0] if all(compiled(match).matches(value) for match in own))


def implied(earlier: Match, later: tuple[Match, ...]) -> bool:
    """Tell whether labels that fulfil all of `later` fulfil `earlier` for certain; False when in doubt."""
    if earlier in later or (earlier.operator == "=~" and earlier.value == ".*"):
        return True
    values = values_of(later, earlier.label)
    if values is not None:
        return all(compiled(earlier).matches(value) for value in values)
    own = [match for match in later if match.label == earlier.label]
    if earlier.operator == "=~" and earlier.value == ".+":
        return any(_excludes(match, "") for match in own)
    return earlier.operator == "!=" and any(_excludes(match, earlier.value) for match in own)


def _excludes(match: Match, value: str) -> bool:
    return not compiled(match).matches(value)


def _listed(match: Match) -> frozenset[str] | None:
    """Return the values that a matcher allows when it lists them."""
    if match.operator == "=":
        return frozenset({match.value})
    if match.operator == "=~" and _LITERALS.fullmatch(match.value):
        return frozenset(match.value.split("|"))
    return None


def _unquoted(value: str) -> str:
    if not value.startswith('"'):
        if '"' in value:
            raise BadMatcher(f"the value {value!r} has a quote in it", "put the whole value in double quotes")
        return value
    inner = value[1:-1]
    if len(value) == 1 or not value.endswith('"') or _UNESCAPED.search(inner) or _ends_escaped(inner):
        raise BadMatcher(f"the quotes of {value} do not fit", 'write quotes in the value as \\"')
    return re.sub(r'\\(["\\n])', lambda sign: {"n": "\n"}.get(sign[1], sign[1]), inner)


def _ends_escaped(inner: str) -> bool:
    """Tell whether the closing quote belongs to the value: an odd number of backslashes stands before it."""
    return (len(inner) - len(inner.rstrip("\\"))) % 2 == 1


def _why_not(text: str) -> tuple[str, str]:
    shown = text if len(text) < 80 else text[:80] + "..."  # noqa: PLR2004 - enough to find it again
    if text.strip().startswith("{"):
        return f"{shown!r} is no matcher", "write the matchers as a list, without braces"
    label = re.match(r'\s*"?([^=!~"]*?)"?\s*(=~|!~|!=|=)', text)
    if label and not re.fullmatch(_LABEL, label[1], re.ASCII):
        return f"{label[1]!r} is no label's name", "a label's name has letters A to Z, digits and _"
    operator = re.match(rf"\s*{_LABEL}\s*([^\w\s\"]+)", text, re.ASCII)
    if operator:
        return f"{operator[1]!r} is no operator of matchers", _HOW
    return f"{shown!r} is no matcher", _HOW
