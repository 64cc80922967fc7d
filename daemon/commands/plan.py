"""`dbarchitect plan`: looks at one plan, and decides on it."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from daemon.terminal.asking import Form, asked, decline
from daemon.terminal.client import Address, CannotAsk, Client
from daemon.terminal.options import CaFile, ConfigFile, Output, TokenFile, Url, address, give_up
from daemon.terminal.plan_text import PLANS, path_of, plan_of, text
from daemon.terminal.screen import plain

ASKING = frozenset({"proposed", "awaiting_approval"})
HASH_LEAST = 8
PLANNING_SECONDS = 75.0
"""The daemon looks at the target for up to a minute before it has a plan."""
Key = Annotated[str, typer.Argument(help="The plan's id, or its beginning.", metavar="ID")]
Note = Annotated[str, typer.Option(help="Why; it is kept in the journal.")]
Shown = Mapping[str, Any]

app = typer.Typer(name="plan", help="Look at one plan, and decide on it.", no_args_is_help=True)


@app.command()
def show(
    key: Key,
    url: Url = None,
    config: ConfigFile = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
    output: Form = Output.TABLE,
) -> None:
    """Show what would be done, why, with which statements and locks, its undo, guards and history."""
    whole = asked(address(url, config, token_file, ca_file), lambda client: plan_of(client, key))
    typer.echo(json.dumps(whole, indent=2) if output is Output.JSON else text(whole), nl=True)


@app.command()
def approve(
    key: Key,
    url: Url = None,
    config: ConfigFile = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask; needed where there is no terminal.")
    ] = False,
    plan_hash: Annotated[
        str, typer.Option("--hash", help="Only if the plan's hash begins so: what was looked at before.")
    ] = "",
    confirm: Annotated[str, typer.Option(help="Name of the target, for class D without a terminal.")] = "",
    note: Note = "",
    output: Form = Output.TABLE,
) -> None:
    """Say yes to a plan, after a look at it. Scope `approve`; never your own proposal.

    Exit code 0: it is approved, or waits for another yes. 1: the daemon declined. 2: it could not be asked.
    """
    if plan_hash and len(plan_hash) < HASH_LEAST:
        give_up(f"--hash {plan_hash}: give {HASH_LEAST} characters at least")
    where = address(url, config, token_file, ca_file)
    whole = asked(where, lambda client: plan_of(client, key))
    _check_hash(whole, plan_hash)
    typed = confirm if yes or plan_hash else _asked_person(whole, confirm)
    body = {"plan_hash": whole["plan_hash"], "confirm": typed, "note": note}
    _decide(where, path_of(whole["id"], "approve"), body, output)


@app.command()
def deny(
    key: Key,
    url: Url = None,
    config: ConfigFile = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
    note: Note = "",
    output: Form = Output.TABLE,
) -> None:
    """Say no, also to what is approved and not begun. Scope `approve`; `propose` for your own."""
    _decide(address(url, config, token_file, ca_file), path_of(key, "deny"), {"note": note}, output)


@app.command()
def run(
    key: Key,
    url: Url = None,
    config: ConfigFile = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
    output: Form = Output.TABLE,
) -> None:
    """Begin what is approved without waiting for its window; all other guards hold. Scope `approve`."""
    _decide(address(url, config, token_file, ca_file), path_of(key, "run"), {}, output)


@app.command()
def undo(
    key: Key,
    url: Url = None,
    config: ConfigFile = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
    note: Note = "",
    output: Form = Output.TABLE,
) -> None:
    """Take back what a plan has done that succeeded. Scope `approve`."""
    _decide(address(url, config, token_file, ca_file), path_of(key, "undo"), {"note": note}, output)


@app.command()
def settle(
    key: Key,
    how: Annotated[str, typer.Argument(help="resume, revert, mark_done or mark_not_done.", metavar="HOW")],
    note: Annotated[str, typer.Option(help="What you saw at the target; kept in the journal.")],
    url: Url = None,
    config: ConfigFile = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
    output: Form = Output.TABLE,
) -> None:
    """Send on its way, or close, what stands at needs_human. Scope `admin`."""
    body = {"how": how, "note": note}
    _decide(address(url, config, token_file, ca_file), path_of(key, "settle"), body, output)


@app.command()
def propose(
    action: Annotated[str, typer.Argument(help="An action of `dbarchitect actions`.", metavar="ACTION")],
    target: Annotated[str, typer.Argument(help="A target of the configuration.", metavar="TARGET")],
    parameter: Annotated[
        list[str] | None, typer.Option("--parameter", "-p", help="NAME=VALUE; once for each.")
    ] = None,
    url: Url = None,
    config: ConfigFile = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
    note: Note = "",
    output: Form = Output.TABLE,
) -> None:
    """Have an action planned; it waits for approval as its class demands. Scope `propose`."""
    body = {"action": action, "target": target, "parameters": _pairs(parameter or ()), "note": note}
    _decide(address(url, config, token_file, ca_file), PLANS, body, output, within=PLANNING_SECONDS)


def _decide(
    where: Address, path: str, body: Mapping[str, Any], output: Output, *, within: float = 15.0
) -> None:
    async def ask(client: Client) -> Shown:
        answer = await client.ask("POST", path, body=body, within=within)
        try:
            return {"id": answer["plan"]["id"], "state": answer["plan"]["state"], **answer["plan"]}
        except (LookupError, TypeError):
            raise CannotAsk(client.stranger(path, "it has another form")) from None

    plan = asked(where, ask)
    if output is Output.JSON:
        typer.echo(json.dumps(plan, indent=2))
        return
    because = f": {plan['reason']}" if plan.get("reason") else ""
    typer.echo(plain(f"{plan['id']} is {plan['state']}{because}"))
    if plan.get("summary"):
        typer.echo(plain(plan["summary"]))


def _check_hash(whole: Shown, wanted: str) -> None:
    if wanted and not whole["plan_hash"].startswith(wanted.lower()):
        decline(
            f"{whole['id']} is not the plan that you have seen: its hash is {whole['plan_hash']}; "
            f"look again with `dbarchitect plan show {whole['id']}`"
        )


def _asked_person(whole: Shown, confirm: str) -> str:
    """Show the plan and ask; return the name that was typed for what cannot be taken back."""
    typer.echo(text(whole), err=True)
    if whole["state"] not in ASKING:
        decline(f"{whole['id']} is {whole['state']}: it asks for no approval")
    if not sys.stdin.isatty():
        give_up(
            "there is no terminal to ask at; look at the plan with `dbarchitect plan show`, then give --hash "
            "with its hash, or --yes; for class D --confirm with the name of the target as well"
        )
    if whole["class"] != "D":
        if not typer.confirm("Approve this plan?", err=True):
            decline("not approved; nothing has changed")
        return confirm
    typed: str = typer.prompt("This cannot be taken back. Type the name of its target to approve", err=True)
    if typed.strip() != whole["target"]:
        decline("that is not the name of the target; nothing has changed")
    return typed.strip()


def _pairs(written: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for one in written:
        name, equals, value = one.partition("=")
        if not name or not equals:
            give_up(f"--parameter {one}: should be NAME=VALUE")
        if name in found:
            give_up(f"--parameter {name}: is there twice")
        found[name] = value
    return found
