"""What the probes of one target's statements share: which are exported, and what is known of their texts."""

from __future__ import annotations

from dataclasses import dataclass, field
from weakref import WeakValueDictionary

from collectors.model import Target


@dataclass(slots=True, weakref_slot=True)
class StatementMemory:
    """Shared by the probes `statements`, `statement_texts` and `statement_query_id` of one target."""

    queryids: tuple[int, ...] = ()
    """Statements that have series of their own."""
    texts: dict[int, str] = field(default_factory=dict)
    """queryid -> text: one line, literals of utility statements masked, cut at 1000 characters."""


_memories: WeakValueDictionary[str, StatementMemory] = WeakValueDictionary()


def memory_of(target: Target) -> StatementMemory:
    """Return the memory of a target, made on first use; it lives as long as one of its probes."""
    memory = _memories.get(target.name)
    if memory is None:
        memory = _memories[target.name] = StatementMemory()
    return memory


def texts_of(target: Target) -> dict[int, str]:
    """Return queryid -> text for the statements of a target that have series; empty when none is known."""
    memory = _memories.get(target.name)
    return dict(memory.texts) if memory else {}
