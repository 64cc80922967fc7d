"""Plans as the API tells of them: as values, and as text with guards, approvals and history."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from actions.model import Execution, GuardResult
from actions.preview import preview
from daemon.terminal.client import CannotAsk, Client
from daemon.terminal.screen import plain

PLANS = "/api/v1/plans"
_TOLD = ("verdict", "outcome", "by_hand", "marked", "guard", "reason", "why", "note", "error")


def path_of(key: str, verb: str = "") -> str:
    """Return where a plan is; what cannot be an id leads to a plan that is not there."""
    safe = key if key.isascii() and key.replace("-", "").replace("_", "").isalnum() else "-"
    return f"{PLANS}/{safe}/{verb}".rstrip("/")


async def plan_of(client: Client, key: str) -> Mapping[str, Any]:
    """Return a plan as the API gives it; raise Declined when there is none."""
    path = path_of(key)
    answer = await client.ask("GET", path)
    try:
        whole: Mapping[str, Any] = answer["plan"]
        text(whole)
    except (LookupError, TypeError, ValueError, AttributeError):
        raise CannotAsk(client.stranger(path, "it has another form")) from None
    return whole


def text(whole: Mapping[str, Any]) -> str:
    """Return all that is known of a plan; raise ValueError, LookupError or TypeError for what is none."""
    return preview(_execution(whole).plan, _guards(whole), _execution(whole)) + "".join(
        f"{line}\n" for line in (*_approvals(whole), *_history(whole))
    )


def _execution(whole: Mapping[str, Any]) -> Execution:
    plan = {("action_class" if name == "class" else name): value for name, value in whole["plan"].items()}
    try:
        return TypeAdapter(Execution).validate_python(
            {**whole, "plan": plan, "incident": whole["alert"], "dedup_key": ""}
        )
    except ValidationError as error:
        raise ValueError(str(error)) from None


def _guards(whole: Mapping[str, Any]) -> list[GuardResult]:
    """Return what guards said when they were last asked."""
    said = [record["body"]["guards"] for record in whole["journal"] if record["body"].get("guards")]
    return TypeAdapter(list[GuardResult]).validate_python(said[-1]) if said else []


def _approvals(whole: Mapping[str, Any]) -> Iterator[str]:
    if whole["approvals"] or whole["approvals_needed"]:
        yield ""
        yield "Approvals"
    for given in whole["approvals"]:
        note = f": {given['note']}" if given["note"] else ""
        yield _line(f"  {given['who']} at {when(given['at'])}, until {when(given['expires_at'])}{note}")
    if missing := whole["approvals_needed"]:
        yield f"  {missing} more needed"


def _history(whole: Mapping[str, Any]) -> Iterator[str]:
    yield ""
    yield "Journal"
    for record in whole["journal"]:
        yield _line(f"  {when(record['at'])}  {record['kind']:<12} {record['who']:<14} {_told(record)}")


def _told(record: Mapping[str, Any]) -> str:
    body = record["body"]
    moved = f"{body['from']} -> {body['to']}" if "from" in body and "to" in body else ""
    step = f"step {record['step'] + 1}, attempt {record['attempt']}" if record["attempt"] else ""
    named = (f"{body[name]}" for name in _TOLD if isinstance(body.get(name), str) and body[name])
    return "; ".join(part for part in (moved, step, str(body.get("event", "")), *named) if part)


def _line(line: str) -> str:
    return plain(" ".join(line.splitlines())).rstrip()


def when(at: float) -> str:
    """Return a moment in UTC."""
    return dt.datetime.fromtimestamp(at, dt.UTC).strftime("%Y-%m-%d %H:%M:%S")
