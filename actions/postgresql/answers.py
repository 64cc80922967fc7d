"""What a server's refusal means: it had no effect for certain, perhaps next time, or nobody knows."""

from __future__ import annotations

from actions.errors import ActError, NotDone, OutcomeUnknown
from collectors.secret import redact

_LATER = frozenset(
    {
        "40001",  # serialization failure
        "40P01",  # deadlock
        "53300",  # too many connections
        "55006",  # the object is in use
        "55P03",  # lock timeout
        "57P03",  # the server is starting or stopping
    }
)
_ENDED = ("08", "57P01", "57P02", "57P04", "57P05")
"""The session has died: what it was doing may have been done."""
_CANCELLED = "57014"


def refused(where: str, state: str, text: str, transactional: bool) -> ActError:
    """Return what to raise for a SQLSTATE that a statement got."""
    sentence = f"{where}: {redact(text.strip())} (SQLSTATE {state})"
    if state.startswith(_ENDED):
        return OutcomeUnknown(sentence)
    if state == _CANCELLED:
        return NotDone(sentence, again=True) if transactional else OutcomeUnknown(sentence)
    return NotDone(sentence, again=state in _LATER)


def not_connected(where: str, state: str, text: str) -> NotDone:
    """Return what to raise for a SQLSTATE that an attempt to connect got: nothing was asked yet."""
    text = redact(text.strip())
    if state in ("08P01", "0A000") and "startup parameter" in text:
        return NotDone(
            f"{where}: a pooler refuses our settings ({text}); acting needs the server itself: "
            "name its own host and port"
        )
    again = state in _LATER or state.startswith(("08", "57P"))
    return NotDone(f"{where}: {text} (SQLSTATE {state})", again=again)
