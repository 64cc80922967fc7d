"""Asks the API about plans and stops as people with different rights."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from tests.fixtures.offices import Bureau, bureau
from tests.integration.http.serving import Served, serving
from tests.unit.snapshot.making import snapshot_of

ID = "abcdef0123456789"
PLANS = "/api/v1/plans"
STOP = "/api/v1/stop"
SCOPES = {
    "anna": ("read", "propose"),
    "bert": ("read", "approve"),
    "cleo": ("read", "approve", "propose"),
    "root": ("read", "admin"),
    "eyes": ("read",),
    "hook": ("intake",),
}


@dataclass
class Token:
    name: str
    scopes: tuple[str, ...]
    sha256: str


TOKENS = [
    Token(name, scopes, hashlib.sha256(f"{name}-secret".encode()).hexdigest())
    for name, scopes in SCOPES.items()
]


@dataclass
class Api:
    """Asks as one of the people above."""

    session: aiohttp.ClientSession
    served: Served
    bureau: Bureau

    async def ask(
        self, method: str, path: str, who: str = "", body: Any = None, **headers: str
    ) -> tuple[int, dict[str, Any]]:
        given = {"Authorization": f"Bearer {who}-secret"} if who else {}
        if body is not None:
            given["Content-Type"] = "application/json"
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        url = self.served.url + path
        async with self.session.request(method, url, data=data, headers={**given, **headers}) as answer:
            said = await answer.json()
            assert said["status"] == ("ok" if answer.status < 400 else "error"), said
            if answer.status >= 400:
                assert said["error"]
            return answer.status, said

    async def get(self, path: str, who: str = "eyes") -> Any:
        status, said = await self.ask("GET", path, who)
        assert status == 200, said
        return said

    async def post(self, path: str, who: str, **body: Any) -> tuple[int, dict[str, Any]]:
        return await self.ask("POST", path, who, body)

    async def refused(
        self, method: str, path: str, who: str = "", body: Any = None, **headers: str
    ) -> tuple[int, str]:
        """Return status and error of what has to be refused, and to have changed nothing."""
        before = (len(self.bureau.store.journal), dict(self.bureau.store.kept), dict(self.bureau.store.flags))
        status, said = await self.ask(method, path, who, body, **headers)
        assert status >= 400, said
        store = self.bureau.store
        assert (len(store.journal), store.kept, store.flags) == before
        return status, said["error"]

    async def approve(
        self, who: str, plan_hash: str, key: str = ID, **more: str
    ) -> tuple[int, dict[str, Any]]:
        return await self.post(f"{PLANS}/{key}/approve", who, plan_hash=plan_hash, **more)


@contextlib.asynccontextmanager
async def asking(folder: Path) -> AsyncIterator[Api]:
    """Serve an office of the test's own."""
    made = await bureau(folder)
    async with (
        serving(snapshot_of(), office=lambda: made.clerk, tokens=TOKENS) as served,
        aiohttp.ClientSession() as session,
    ):
        yield Api(session, served, made)
