"""What a person can do with the running demo."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from rich.markup import escape

from daemon.demo.running import Running


def hints(running: Running, directory: Path | None) -> str:
    """Return lines to print, with rich's markup."""
    me = escape(program())
    where = f" --dir {escape(str(directory))}" if directory else ""
    return (
        f"\n  metrics   {running.url}/metrics\n"
        f"  targets   {running.url}/api/v1/targets\n"
        f"  look      {me} top shop-primary --url {running.url}\n"
        f"  break     {me} demo break bloat{where}    [dim]({me} demo faults lists what else)[/]\n"
        f"  heal      {me} demo heal{where}\n"
        f"  end       Ctrl-C; everything is in {escape(running.directory)} and goes with it\n"
    )


def program() -> str:
    """Return how to call the command: by its name, or by its path when it is not on the PATH."""
    python = Path(sys.executable)
    script = python.with_name("dbarchitect")
    if shutil.which("dbarchitect"):
        return "dbarchitect"
    return _near(script) if script.exists() else f"{_near(python)} -m daemon"


def _near(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
