"""A real daemon is stopped by the command line, through its API, its journal, and its stop file."""

from __future__ import annotations

import asyncio
import hashlib
import json
import signal
from pathlib import Path

from tests.fixtures.daemons import Daemon, NewDaemon
from tests.fixtures.terminals import dbarchitect
from tests.fixtures.waiting import until

TOKEN = "token-4711-not-to-be-seen"
HERE = {"name": "here", "engine": "host", "interval": "1s"}


async def stops(daemon: Daemon) -> list[dict[str, str]]:
    """Return the stops that the daemon tells of."""
    found: list[dict[str, str]] = json.loads(await daemon.get("/api/v1/stop"))["stops"]
    return found


async def test_the_daemon_is_stopped_and_stays_so_until_somebody_resumes(
    daemon_process: NewDaemon, tmp_path: Path
) -> None:
    scopes = ["read", "admin"]
    tokens = [{"name": "ops", "scopes": scopes, "sha256": hashlib.sha256(TOKEN.encode()).hexdigest()}]
    acting = {"stop_file": str(tmp_path / "STOP")}
    daemon = await daemon_process(HERE, token=TOKEN, http={"tokens": tokens}, acting=acting)
    file = tmp_path / "token"
    file.write_text(TOKEN)
    asks = ("--url", daemon.url, "--token-file", str(file))
    await until(lambda: "acting.open" in [event["event"] for event in daemon.events()], 60)

    answer = await dbarchitect("stop", "--why", "a drill", *asks)
    assert (answer.code, "a drill" in answer.out) == (0, True), answer
    answer = await dbarchitect("resume", "--note", "over", *asks)
    assert (answer.code, answer.out) == (0, "Nothing is stopped.\n"), answer

    config = ("--config", str(daemon.config))
    answer = await dbarchitect("stop", "--why", "by hand", "--direct", *config)
    assert (answer.code, "within five seconds" in answer.err) == (0, True), answer

    async def told() -> bool:
        return [each["why"] for each in await stops(daemon)] == ["by hand"]

    await until(told, 60)

    daemon.send(signal.SIGSTOP)
    try:
        answer = await dbarchitect("stop", "--why", "it hangs", "--target", "here", *config)
    finally:
        daemon.send(signal.SIGCONT)
    assert (answer.code, "no answer within" in answer.err) == (0, True), answer
    assert "it hangs" in answer.out

    await daemon.end()
    answer = await dbarchitect("stop", "--why", "nobody there", *config)
    assert answer.code == 0, answer
    assert "no daemon at" in answer.err
    (daemon.state_dir / "acting.sqlite").rename(tmp_path / "away.sqlite")
    answer = await dbarchitect("stop", "--why", "no journal", *config)
    assert answer.code == 0, answer
    assert await asyncio.to_thread((tmp_path / "STOP").exists)
    answer = await dbarchitect("stop", "--why", "no journal", "--target", "here", *config)
    assert (answer.code, "Nothing is stopped" in answer.err) == (2, True), answer
