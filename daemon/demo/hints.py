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
    script = Path(sys.executable).with_name("dbarchitect")
    if shutil.which("dbarchitect"):
        return "dbarchitect"
    if not script.exists():
        return f"{sys.executable} -m daemon"
    return str(script.relative_to(Path.cwd())) if script.is_relative_to(Path.cwd()) else str(script)
