"""What may come of an attempt to act, besides success."""

from __future__ import annotations


class ActError(Exception):
    """Says what happened, where, and what to do; never holds a secret."""


class NotDone(ActError):
    """The target said no, or was never asked: there was no effect, for certain."""

    def __init__(self, message: str, *, again: bool = False) -> None:
        super().__init__(message)
        self.again = again
        """Whether the next attempt may go better: a lock was taken, the server was busy."""


class OutcomeUnknown(ActError):
    """The answer was lost or late: it may have happened, or may happen yet."""


class Fenced(ActError):
    """Somebody else holds the fence of this scope at the target."""


class NotOwner(ActError):
    """The lease or the execution is somebody else's now: drop everything, write nothing."""


class StoreUnavailable(ActError):
    """The store could not be read or written: nothing may be done."""


class StoreDamaged(StoreUnavailable):
    """What the store holds is not what was written: nothing may be done until a person looked at it."""
