"""A person has a real daemon plan at a real server, and no secret shows anywhere."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from tests.fixtures.daemons import NewDaemon, postgres_target
from tests.fixtures.terminals import dbarchitect
from tests.fixtures.waiting import until

TOKEN = "token-4711-not-to-be-seen"
CANARY = "c4n4ry-of-the-acting-role"


async def test_what_a_person_proposes_is_told_without_a_secret(
    daemon_process: NewDaemon, postgres15: Any, tmp_path: Path
) -> None:
    await postgres15.psql(f"DROP ROLE IF EXISTS hand; CREATE ROLE hand LOGIN SUPERUSER PASSWORD '{CANARY}'")
    act = {"user": "hand", "password": {"text": CANARY}, "mode": "approve"}
    scopes = ["read", "propose"]
    tokens = [{"name": "anna", "scopes": scopes, "sha256": hashlib.sha256(TOKEN.encode()).hexdigest()}]
    daemon = await daemon_process(
        postgres_target(postgres15, act=act),
        token=TOKEN,
        http={"tokens": tokens},
        acting={"stop_file": str(tmp_path / "STOP")},
    )
    file = tmp_path / "token"
    file.write_text(TOKEN)
    asks = ("--url", daemon.url, "--token-file", str(file))
    await until(lambda: "acting.open" in [event["event"] for event in daemon.events()], 60)
    said = []

    async def proposed() -> bool:
        answer = await dbarchitect(
            "plan", "propose", "postgresql.checkpoint", "db", "--output", "json", *asks
        )
        said.append(answer.out + answer.err)
        return answer.code == 0

    await until(proposed, 60)
    key = json.loads(said[-1])["id"]
    answer = await dbarchitect("plan", "show", key, *asks)
    assert "CHECKPOINT" in answer.out
    assert "proposed" in answer.out
    said += [answer.out, json.dumps(json.loads(await daemon.get(f"/api/v1/plans/{key}")))]
    assert CANARY not in "".join(said) + daemon.log.read_text()
    assert all(CANARY.encode() not in path.read_bytes() for path in daemon.state_dir.glob("acting.sqlite*"))
    assert json.loads(await daemon.get("/api/v1/audit/verify"))["audit"]["ok"]
