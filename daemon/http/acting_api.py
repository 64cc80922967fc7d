"""Answers about plans and stops, and takes what people decide. What changes something needs a token."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from aiohttp import hdrs, web

from actions.model import State
from daemon.acting.office import Office, OfficeRefused
from daemon.http import acting_json as shown
from daemon.http.acting_body import Body, read
from daemon.http.gate import SCOPES, WHO, Entrance, Refused
from daemon.http.query import Query, refuse_unknown

Handler = Callable[[web.Request], Awaitable[web.Response]]
PLANS, PLAN, STOP = "/api/v1/plans", "/api/v1/plans/{id}", "/api/v1/stop"
LIMIT, LIMIT_MAX = 200, 5000
SHADOW_SECONDS: Final = 7 * 86400.0
ID_MAX = 64
HOWS = ("resume", "revert", "mark_done", "mark_not_done")


def _takes(*scopes: str) -> Entrance:
    return Entrance(scope=scopes[0], or_scopes=scopes[1:], takes_body=True, token_always=True)


class ActingApi:
    """The paths of acting. `office` is None while acting is off."""

    def __init__(self, office: Callable[[], Office | None], clock: Callable[[], float] = time.time) -> None:
        self._office_of = office
        self._clock = clock
        self._routes: dict[tuple[str, str], tuple[Handler, Entrance | None]] = {
            (hdrs.METH_GET, "/api/v1/actions"): (self._actions, None),
            (hdrs.METH_GET, PLANS): (self._plans, None),
            (hdrs.METH_GET, PLAN): (self._plan, None),
            (hdrs.METH_POST, PLANS): (self._propose, _takes("propose")),
            (hdrs.METH_POST, f"{PLAN}/approve"): (self._approve, _takes("approve")),
            (hdrs.METH_POST, f"{PLAN}/deny"): (self._deny, _takes("approve", "propose")),
            (hdrs.METH_POST, f"{PLAN}/run"): (self._run, _takes("approve")),
            (hdrs.METH_POST, f"{PLAN}/undo"): (self._undo, _takes("approve")),
            (hdrs.METH_POST, f"{PLAN}/settle"): (self._settle, _takes("admin")),
            (hdrs.METH_GET, STOP): (self._stops, None),
            (hdrs.METH_POST, STOP): (self._stop, _takes("approve", "admin")),
            (hdrs.METH_DELETE, STOP): (self._resume, _takes("admin")),
            (hdrs.METH_POST, "/api/v1/breakers/{action}/acknowledge"): (self._acknowledge, _takes("admin")),
            (hdrs.METH_GET, "/api/v1/shadow"): (self._shadow, None),
            (hdrs.METH_GET, "/api/v1/audit/verify"): (self._verify, None),
        }

    @property
    def entrances(self) -> Mapping[tuple[str, str], Entrance]:
        """Return what is wanted of those who change something, by method and path."""
        return {key: entrance for key, (_, entrance) in self._routes.items() if entrance is not None}

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Add the paths."""
        for (method, path), (handler, _) in self._routes.items():
            router.add_route(method, path, _answering(handler))
            if method == hdrs.METH_GET:
                router.add_head(path, _answering(handler))

    def _office(self) -> Office:
        office = self._office_of()
        if office is None:
            raise Refused(
                503, "acting is off", "set acting.enabled, and look at /readyz for a store that is away"
            )
        return office

    async def _actions(self, request: web.Request) -> web.Response:
        Query(request, ())
        return _ok(actions=[shown.action(info) for info in self._office().actions()])

    async def _plans(self, request: web.Request) -> web.Response:
        query = Query(request, ("state", "target", "limit"))
        names = [name for each in query.all("state") for name in each.split(",") if name]
        refuse_unknown("state", names, [state.value for state in State])
        limit = query.whole("limit", LIMIT, LIMIT_MAX)
        found = await self._office().executions(
            [State(name) for name in names], target=query.text("target"), limit=limit
        )
        return _ok(plans=[shown.brief(each) for each in found])

    async def _plan(self, request: web.Request) -> web.Response:
        Query(request, ())
        return _ok(plan=shown.whole(await self._office().case(_id(request))))

    async def _propose(self, request: web.Request) -> web.Response:
        body = await read(request, "action", "target", "parameters", "note")
        execution = await self._office().propose(
            body.text("action", required=True),
            body.text("target", required=True),
            body.texts("parameters"),
            request[WHO],
            body.text("note"),
        )
        return _ok(201, plan=shown.brief(execution))

    async def _approve(self, request: web.Request) -> web.Response:
        body = await read(request, "plan_hash", "confirm", "note")
        execution = await self._office().approve(
            _id(request),
            body.text("plan_hash", required=True),
            request[WHO],
            confirm=body.text("confirm"),
            note=body.text("note"),
        )
        return _ok(plan=shown.brief(execution))

    async def _deny(self, request: web.Request) -> web.Response:
        body = await read(request, "note")
        office, key = self._office(), _id(request)
        if "approve" not in request[SCOPES]:
            await _own(office, key, request[WHO])
        return _ok(plan=shown.brief(await office.deny(key, request[WHO], body.text("note"))))

    async def _run(self, request: web.Request) -> web.Response:
        await read(request)
        return _ok(plan=shown.brief(await self._office().run_now(_id(request), request[WHO])))

    async def _undo(self, request: web.Request) -> web.Response:
        body = await read(request, "note")
        execution = await self._office().undo(_id(request), request[WHO], body.text("note"))
        return _ok(plan=shown.brief(execution))

    async def _settle(self, request: web.Request) -> web.Response:
        body = await read(request, "how", "note")
        how = body.text("how", required=True)
        refuse_unknown("way to settle", [how], HOWS)
        note = body.text("note", required=True)
        return _ok(plan=shown.brief(await self._office().settle(_id(request), how, request[WHO], note)))

    async def _stops(self, request: web.Request) -> web.Response:
        Query(request, ())
        return _ok(stops=[shown.stop(each) for each in await self._office().stops()])

    async def _stop(self, request: web.Request) -> web.Response:
        body = await read(request, "why", "target", "action")
        stops = await self._office().stop(request[WHO], body.text("why", required=True), **_whom(body))
        return _ok(stops=[shown.stop(each) for each in stops])

    async def _resume(self, request: web.Request) -> web.Response:
        body = await read(request, "note", "target", "action")
        stops = await self._office().resume(request[WHO], body.text("note", required=True), **_whom(body))
        return _ok(stops=[shown.stop(each) for each in stops])

    async def _acknowledge(self, request: web.Request) -> web.Response:
        body = await read(request, "note")
        action = request.match_info["action"]
        await self._office().acknowledge(action, request[WHO], body.text("note", required=True))
        return _ok(action=action)

    async def _shadow(self, request: web.Request) -> web.Response:
        since = Query(request, ("since",)).text("since")
        try:
            at = float(since) if since else self._clock() - SHADOW_SECONDS
        except ValueError:
            at = float("nan")
        if not 0 <= at <= self._clock() + 1:
            raise Refused(400, f"since {since[:50]!r} is no moment of the past", "give Unix seconds")
        return _ok(since=at, shadow=[shown.shadow(each) for each in await self._office().shadow(at)])

    async def _verify(self, request: web.Request) -> web.Response:
        Query(request, ())
        return _ok(audit=shown.chain(await self._office().verify()))


def _answering(handler: Handler) -> Handler:
    async def answer(request: web.Request) -> web.Response:
        try:
            return await handler(request)
        except OfficeRefused as refused:
            raise Refused(refused.status, refused.reason, refused.hint) from None

    return answer


async def _own(office: Office, key: str, who: str) -> None:
    """Whoever may only propose may take back what is his own, and nothing else."""
    proposer = (await office.case(key)).execution.proposer
    if proposer != who:
        raise Refused(
            403, f"{key} was proposed by {proposer}", "the scope approve denies what others propose"
        )


def _id(request: web.Request) -> str:
    key = request.match_info["id"]
    if len(key) > ID_MAX or not (key.isascii() and key.replace("-", "").replace("_", "").isalnum()):
        raise Refused(404, "there is no such plan", "/api/v1/plans lists them")
    return key


def _whom(body: Body) -> dict[str, str]:
    return {"target": body.text("target"), "action": body.text("action")}


def _ok(status: int = 200, **data: object) -> web.Response:
    return web.json_response({"status": "ok", **data}, status=status)
