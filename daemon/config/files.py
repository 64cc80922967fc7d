"""Finds the files that a path or a pattern in the configuration names."""

from __future__ import annotations

import glob
import re
from pathlib import Path

_PATTERN = re.compile(r"[*?\[]")


def found_files(pattern: str) -> tuple[list[Path], str]:
    """Return the files in order, or why there are none; a pattern may match nothing."""
    if not _PATTERN.search(pattern):
        return ([Path(pattern)], "") if Path(pattern).is_file() else ([], f"there is no file {pattern}")
    folder = Path(_PATTERN.split(pattern)[0] + "x").parent
    if not folder.is_dir():
        return [], f"there is no folder {folder}"
    # A link that leads nowhere is among them: whoever reads it says so.
    return sorted(Path(name) for name in glob.glob(pattern) if not Path(name).is_dir()), ""  # noqa: PTH207 - whole paths
