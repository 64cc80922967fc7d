"""Files of policies with mistakes: the daemon does not start with them, and keeps its own when it runs."""

from __future__ import annotations

from tests.fixtures.daemons import NewDaemon

HOST = {"name": "here", "engine": "host"}
GOOD = "policies:\n  - name: mine\n    match: {alertname: HostDiskFull}\n    action: postgresql.vacuum\n"
BAD = GOOD + "    mode: automatic\n    windows: [{begin: '01:00', end: '01:00'}]\n"
GARBAGE = b"\xff\xfe\x00policies"


async def test_f44_the_daemon_does_not_start_with_bad_policies_and_names_every_line(
    daemon_process: NewDaemon,
) -> None:
    daemon = await daemon_process(HOST, ready=False, acting={"policy_files": ["p.yaml"]})
    assert daemon.process is not None
    assert await daemon.process.wait() == 78  # there is no such file yet
    assert f"there is no file {daemon.folder}/p.yaml" in daemon.log.read_text()
    for content, says in (
        (BAD.encode(), ("p.yaml:5:5: ", "p.yaml:6:")),
        (GARBAGE, ("p.yaml:1:1: the file is not UTF-8",)),
    ):
        (daemon.folder / "p.yaml").write_bytes(content)
        await daemon.start()
        assert await daemon.process.wait() == 78
        for part in says:
            assert part in daemon.log.read_text()


async def test_f44_bad_policies_at_a_reload_change_nothing(daemon_process: NewDaemon) -> None:
    daemon = await daemon_process(HOST)
    policies = daemon.folder / "p.yaml"
    body = {"targets": [HOST, {"name": "more", "engine": "host"}], "acting": {"policy_files": ["p.yaml"]}}
    policies.write_text(BAD)
    daemon.write(body)
    told = await daemon.reload()
    assert told["event"] == "config.refused"
    assert f"{policies}:5:5: policy 'mine': mode: should be one of" in str(told["problems"])
    assert f"{policies}:6:" in str(told["problems"])
    assert await daemon.value("dbarchitect_reloads_total", outcome="refused") == 1
    policies.write_text(GOOD)
    assert (await daemon.reload())["event"] == "config.reloaded"
    policies.write_bytes(GARBAGE)
    assert (await daemon.reload())["event"] == "config.refused"
