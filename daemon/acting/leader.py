"""Keeps the lease: at every moment at most one daemon may act, and knows for itself until when."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from dataclasses import dataclass
from typing import Literal

import structlog

from actions.errors import ActError, StoreUnavailable
from actions.model import Record, RecordKind
from actions.ports import Grant, Leadership, Store
from daemon.acting.steady import SteadyClock

log = structlog.get_logger()
NONE = Leadership(epoch=0, deadline=0.0)


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """Seconds. What takes longer than `renew` to answer is given up."""

    ttl: float = 30.0
    renew: float = 10.0
    margin: float = 5.0
    """Our own deadline is so much before the store's, and a successor waits so much longer."""
    look: float = 0.5
    """How often it is looked whether the lease has run out: the loss is noticed within a second."""


@dataclass(frozen=True, slots=True)
class _Held:
    grant: Grant
    begins: float
    """Monotonic: before, attempts of the one before us may still be under way."""
    deadline: float
    deadline_awake: float


def owner_name() -> str:
    """Return a name that no other process has had: a restarted daemon is another owner."""
    return f"{socket.gethostname()[:60]}:{os.getpid()}:{secrets.token_hex(4)}"


class LeaseKeeper:
    """Takes the lease, renews it, and tells whether it is held."""

    def __init__(
        self,
        store: Store,
        owner: str,
        clock: SteadyClock,
        times: LeaseTimes = LeaseTimes(),
    ) -> None:
        self.owner = owner
        self.changes = 0
        """How often it was taken or lost."""
        self.changed = asyncio.Event()
        """Set when it was taken or lost; whoever waits clears it."""
        self.trouble = ""
        """Why the lease cannot be renewed; empty while it can."""
        self._store = store
        self._clock = clock
        self._times = times
        self._held: _Held | None = None
        self._begins = (0, 0.0)
        """The last epoch that was granted, and when attempts of the one before it are over."""

    def held(self) -> Leadership:
        """Return what is held now; epoch 0 when nothing is, or its time has run out by our own clocks."""
        held = self._held
        now = self._clock.monotonic()
        if held is None or self._over(held) or now < held.begins:
            return NONE
        return Leadership(epoch=held.grant.epoch, deadline=held.deadline, leader_since=held.begins)

    @property
    def role(self) -> Literal["leader", "waiting", "standby"]:
        """Return what we are: the leader, about to be, or standing by."""
        if self._held is None or self._over(self._held):
            return "standby"
        return "leader" if self._clock.monotonic() >= self._held.begins else "waiting"

    async def run(self) -> None:
        """Hold the lease until cancelled; it is not given back then, `release` does that."""
        due = self._clock.monotonic()
        while True:
            self._notice_loss()
            if self._clock.monotonic() >= due:
                sent = self._clock.monotonic()
                await self._renew()
                due = sent + self._times.renew
            await asyncio.sleep(max(0.0, min(self._times.look, due - self._clock.monotonic())))

    async def release(self) -> None:
        """Give the lease back, so that a successor need not wait. Only when nothing of ours runs any more."""
        held, self._held = self._held, None
        if held is None:
            return
        try:
            async with asyncio.timeout(self._times.margin):
                await self._store.release(held.grant)
        except (ActError, TimeoutError) as error:
            log.warning(
                "lease.not_released", epoch=held.grant.epoch, reason=str(error) or "no answer in time"
            )
        else:
            log.info("lease.released", epoch=held.grant.epoch)

    async def _renew(self) -> None:
        sent, sent_awake = self._clock.monotonic(), self._clock.awake()
        try:
            # One that is given up may still be written: it is our own, and the next one renews it.
            async with asyncio.timeout(self._times.renew):
                grant = await self._store.grant(self.owner, self._times.ttl)
        except TimeoutError:
            self._troubled(f"the store did not answer within {self._times.renew:g} s")
        except StoreUnavailable as error:
            self._troubled(str(error))
        else:
            self._troubled("")
            await self._take(grant, sent, sent_awake)

    async def _take(self, grant: Grant | None, sent: float, sent_awake: float) -> None:
        before = self._held
        if grant is None:
            if before is not None:
                self._lose("another daemon has it")
            return
        own = self._times.ttl - self._times.margin
        renewed = before is not None and before.grant.epoch == grant.epoch
        begins = before.begins if renewed and before else self._beginning(grant)
        self._held = _Held(grant, begins, sent + own, sent_awake + own)
        if not renewed:
            await self._taken(grant)

    def _beginning(self, grant: Grant) -> float:
        now = self._clock.monotonic()
        # An epoch that we lost or could not write of comes again as a renewal: its wait is not over by that.
        if grant.epoch != self._begins[0]:
            self._begins = (grant.epoch, now + self._patience(grant))
        return max(now, self._begins[1])

    def _patience(self, grant: Grant) -> float:
        """Return how long attempts of the one before us may still be under way."""
        return self._times.ttl + self._times.margin if grant.fresh and grant.previous else 0.0

    async def _taken(self, grant: Grant) -> None:
        self.changes += 1
        wait = max(0.0, self._begins[1] - self._clock.monotonic())
        log.info("lease.taken", epoch=grant.epoch, owner=self.owner, after=grant.previous, waits_seconds=wait)
        body = {"event": "taken", "owner": self.owner, "previous": grant.previous, "waits_seconds": wait}
        record = Record(kind=RecordKind.LEASE, body=body, epoch=grant.epoch)
        try:
            async with asyncio.timeout(self._times.renew):
                written = await self._store.write(record, lease_epoch=grant.epoch)
        except (ActError, TimeoutError) as error:
            # A leader that cannot write its journal may not act; the next renewal tries again.
            self._held = None
            self._troubled(str(error) or "the store did not answer in time")
            return
        if not written:
            self._held = None
        self.changed.set()

    def _notice_loss(self) -> None:
        if self._held is not None and self._over(self._held):
            self._lose("it was not renewed in time")

    def _lose(self, why: str) -> None:
        held, self._held = self._held, None
        self.changes += 1
        # Nothing is written: the journal is another's by now.
        log.warning("lease.lost", epoch=held.grant.epoch if held else 0, reason=why)
        self.changed.set()

    def _over(self, held: _Held) -> bool:
        return self._clock.monotonic() >= held.deadline or self._clock.awake() >= held.deadline_awake

    def _troubled(self, why: str) -> None:
        if why and why != self.trouble:
            log.error("lease.not_renewed", reason=why)
        self.trouble = why
