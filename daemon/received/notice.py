"""Reads what Alertmanager's webhook sends, version 4."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

VERSION = "4"
ALERTS_MAX = 10_000
LABELS_MAX = 100
TEXT_MAX = 16_384
"""Characters of a value; what is longer in an annotation is cut."""
LABELS_TEXT_MAX = 65_536
"""Characters of all labels of an alert, and of all its annotations."""
NAME_MAX = 200
_PROBLEMS_MAX = 20
_FINGERPRINT = re.compile(r"[0-9A-Za-z]{1,64}")
_SOURCE_MAX = 300
_YEARS = range(1970, 9999)
"""Alertmanager writes year 1 for "not yet"."""


class NotANotice(ValueError):
    """The body is no message of Alertmanager's webhook."""


@dataclass(frozen=True, slots=True)
class Notified:
    """One alert as an Alertmanager tells of it; times are Unix seconds."""

    fingerprint: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    starts_at: float
    ends_at: float | None
    """Set when it is resolved."""
    generator_url: str


@dataclass(slots=True)
class Notice:
    """One message."""

    group_key: str
    receiver: str
    external_url: str
    truncated: int
    """Alerts that were left out of the message."""
    alerts: list[Notified] = field(default_factory=list)
    refused: int = 0
    """How many single alerts were not taken."""
    problems: list[str] = field(default_factory=list)
    """Why: the first of them."""


def read(body: bytes) -> Notice:
    """Return the message; raise NotANotice. Single alerts that are wrong are left out and named."""
    try:
        whole = json.loads(body)
    except (ValueError, RecursionError):
        raise NotANotice("the body is not JSON") from None
    if not isinstance(whole, dict):
        raise NotANotice("the body is not a JSON object")
    version = whole.get("version")
    if version != VERSION:
        raise NotANotice(f"version {ascii(version)[:50]} is not known: this is for version {VERSION!r}")
    alerts = whole.get("alerts")
    if not isinstance(alerts, list):
        raise NotANotice("`alerts` is not a list")
    if len(alerts) > ALERTS_MAX:
        raise NotANotice(f"there are {len(alerts)} alerts; {ALERTS_MAX} are permitted: set max_alerts")
    truncated = whole.get("truncatedAlerts", 0)
    if not isinstance(truncated, int) or isinstance(truncated, bool) or truncated < 0:
        raise NotANotice("`truncatedAlerts` is not a number of alerts")
    texts = [_text(whole.get(key, "")) for key in ("groupKey", "receiver", "externalURL")]
    notice = Notice(texts[0], texts[1], texts[2][:_SOURCE_MAX], truncated)
    for place, each in enumerate(alerts):
        try:
            notice.alerts.append(_alert(each))
        except NotANotice as error:
            notice.refused += 1
            if len(notice.problems) < _PROBLEMS_MAX:
                notice.problems.append(f"alerts[{place}]: {error}")
    return notice


def _alert(value: Any) -> Notified:  # noqa: ANN401 - what the JSON holds
    if not isinstance(value, dict):
        raise NotANotice("is not an object")
    labels = _texts(value, "labels")
    if sum(map(len, labels.values())) > LABELS_TEXT_MAX:
        raise NotANotice(f"the labels have more than {LABELS_TEXT_MAX} characters")
    if not labels:
        raise NotANotice("has no labels")
    status = value.get("status")
    if status not in ("firing", "resolved"):
        raise NotANotice(f"status is {ascii(status)[:50]}, not firing or resolved")
    starts_at = _time(value, "startsAt")
    if starts_at is None:
        raise NotANotice("startsAt is not a time")
    ends_at = _time(value, "endsAt") if status == "resolved" else None
    if status == "resolved" and ends_at is None:
        raise NotANotice("it is resolved, and endsAt is not a time")
    fingerprint = value.get("fingerprint") or fingerprint_of(labels)
    if not isinstance(fingerprint, str) or not _FINGERPRINT.fullmatch(fingerprint):
        raise NotANotice("fingerprint is not one")
    url = _text(value.get("generatorURL", ""))
    if not url.startswith(("http://", "https://")):
        url = ""
    return Notified(fingerprint, labels, _annotations(value), starts_at, ends_at, url)


def fingerprint_of(labels: Mapping[str, str]) -> str:
    """Return a name for a label set, for senders that give none."""
    text = json.dumps(sorted(labels.items()), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _annotations(value: Mapping[str, Any]) -> dict[str, str]:
    """Return the annotations; an alert is not lost for a text that is too long."""
    left = LABELS_TEXT_MAX
    found = {}
    for name, text in _texts(value, "annotations", longest=None).items():
        if len(name) < left:
            found[name] = text[: min(TEXT_MAX, left - len(name))]
            left -= len(name) + len(found[name])
    return found


def _texts(value: Mapping[str, Any], key: str, longest: int | None = TEXT_MAX) -> dict[str, str]:
    pairs = value.get(key) or {}
    if not isinstance(pairs, dict) or len(pairs) > LABELS_MAX:
        raise NotANotice(f"{key} are not at most {LABELS_MAX} pairs")
    for name, text in pairs.items():
        too_long = longest is not None and isinstance(text, str) and len(text) > longest
        if not name or not isinstance(text, str) or too_long or len(name) > NAME_MAX:
            raise NotANotice(f"{key}: {ascii(name)[:50]} is not a text of at most {TEXT_MAX} characters")
        if not _is_text(name) or not _is_text(text):
            raise NotANotice(f"{key}: {ascii(name)[:50]} is not valid Unicode")
    return {name: text for name, text in pairs.items() if text}


def _text(value: Any) -> str:  # noqa: ANN401
    return value[:TEXT_MAX] if isinstance(value, str) and _is_text(value) else ""


def _is_text(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def _time(value: Mapping[str, Any], key: str) -> float | None:
    text = value.get(key)
    if not isinstance(text, str) or len(text) > NAME_MAX:
        return None
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    if found.tzinfo is None or found.year not in _YEARS:
        return None
    return found.timestamp()


def problems_text(problems: Sequence[str]) -> str:
    """Return problems on one line, for a log."""
    return "; ".join(problems)
