"""What can go wrong while a target is observed. Only a client translates driver errors into these."""

from __future__ import annotations


class CollectError(Exception):
    """The target could not be observed.

    `cause` is the short word that metrics and the API carry.
    """

    cause = "error"


class Unreachable(CollectError):
    """No connection: refused, unknown host, no route, closed in mid answer."""

    cause = "unreachable"


class TimedOut(CollectError):
    """The deadline passed; the server was asked to cancel."""

    cause = "timed_out"


class Locked(CollectError):
    """A lock of somebody else was in the way longer than our `lock_timeout`."""

    cause = "locked"


class NotAllowed(CollectError):
    """The server knows us but refuses this one thing."""

    cause = "denied"


class BadCredentials(CollectError):
    """The server refuses our name or password."""

    cause = "credentials"


class WrongPassword(BadCredentials):
    """The server refuses our password, or does not know our name: in every database alike."""


class TlsFailed(CollectError):
    """The secure connection could not be made: certificate, host name, or no TLS at the other end."""

    cause = "tls"


class Busy(CollectError):
    """The server has no session to spare for us."""

    cause = "no_free_session"


class NotSupported(CollectError):
    """The server does not have what was asked for: an object, a column, a function."""

    cause = "unsupported"
