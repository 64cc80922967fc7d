"""Ranges of server versions as other tools write them, as needs: `version:>=150000` and its negation."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable

_COMPARISON = re.compile(r"(>=|<=|!=|==|=|!|>|<)?\s*v?(\d+(?:\.\d+){0,2})")
_OPERATOR_ALONE = re.compile(r"(>=|<=|!=|==|=|!|>|<)\s+")
_ALTERNATIVES_MAX = 16
_ONE_PART_MAJOR = 10


class NotCarried(Exception):
    """A range that cannot be carried over, and why."""


def range_needs(text: str) -> list[str]:
    """Return the needs of a range such as `>=9.6.0 <12.0.0 || >=13`; raise NotCarried."""
    either = [_all_of(part) for part in text.split("||")]
    combined = list(itertools.islice(itertools.product(*either), _ALTERNATIVES_MAX + 1))
    if len(combined) > _ALTERNATIVES_MAX:
        raise NotCarried("it has too many alternatives")
    return [" | ".join(dict.fromkeys(one)) for one in combined]


def between_needs(lowest: int, below: int, thresholds: Iterable[int]) -> list[str]:
    """Return the needs of lowest <= version < below (0 for no bound), by all thresholds that tell them apart.

    Queries of one group that are made from the same thresholds are seen to exclude each other.
    """
    needs = []
    for threshold in sorted(set(thresholds) - {0}):
        if lowest >= threshold:
            needs.append(f"version:>={threshold}")
        elif below and below <= threshold:
            needs.append(f"!version:>={threshold}")
    return needs


def number(text: str) -> int:
    """Return a version as `server_version_num` has it."""
    major, minor, patch = [*(int(part) for part in text.split(".")), 0, 0][:3]
    return major * 10000 + (minor if major >= _ONE_PART_MAJOR else minor * 100 + patch)


def _all_of(text: str) -> list[str]:
    needs: list[str] = []
    parts = _OPERATOR_ALONE.sub(r"\1", text.strip().replace(",", " ")).split()
    if not parts:
        raise NotCarried("a part of it is empty")
    for part in parts:
        match = _COMPARISON.fullmatch(part)
        if match is None:
            raise NotCarried(f"{part!r} is not understood: write it as >=13.0.0 <16.0.0")
        this, following = (f"version:>={number(match[2]) + plus}" for plus in (0, 1))
        match match[1]:
            case ">=":
                needs.append(this)
            case ">":
                needs.append(following)
            case "<":
                needs.append(f"!{this}")
            case "<=":
                needs.append(f"!{following}")
            case "!" | "!=":
                needs.append(f"!{this} | {following}")
            case _:
                needs += [this, f"!{following}"]
    return needs
