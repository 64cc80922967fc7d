"""A path in a configuration: a relative one starts from the folder of the file that it stands in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, ValidationInfo

FOLDER = "folder"
"""Key of the validation context: the folder that relative paths start from."""


def _from_folder(value: str, info: ValidationInfo) -> str:
    if not value or "\0" in value:
        raise ValueError("should be a path")
    folder = (info.context or {}).get(FOLDER)
    return str(Path(folder) / value) if folder is not None else value


FilePath = Annotated[str, AfterValidator(_from_folder)]
"""A path as text. A pattern is one too: nothing is looked up."""
