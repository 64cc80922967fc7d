"""Where a secret is kept, as a configuration says: a file, a variable, a systemd credential, or inline."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from pydantic import BaseModel, ConfigDict, field_validator, model_validator

from collectors.file_path import FilePath
from collectors.secret import Secret

SIZE_MAX_BYTES = 64 * 1024
_PLACES = ("file", "env", "credential", "text")
_TOO_OPEN = stat.S_IWGRP | stat.S_IROTH | stat.S_IWOTH
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HOW = "write {file: /path}, {env: NAME} or {credential: NAME}"


class SecretError(Exception):
    """A secret cannot be had: says which and what to do, never what was in it."""


class SecretRef(BaseModel):
    """Names one secret. A plain string stands for itself (`text`), which a configuration may refuse."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    file: FilePath | None = None
    """Path of a file that holds nothing else; one newline at its end does not count."""
    env: str | None = None
    """Name of an environment variable."""
    credential: str | None = None
    """Name of a file in $CREDENTIALS_DIRECTORY (systemd's LoadCredential=)."""
    text: Secret | None = None
    """The secret itself."""

    @property
    def inline(self) -> bool:
        """Tell whether the secret stands in the configuration itself."""
        return self.text is not None

    def __str__(self) -> str:
        """Return where the secret is, for messages."""
        if self.file is not None:
            return f"the file {self.file}"
        if self.env is not None:
            return f"the environment variable {self.env}"
        return f"the credential {self.credential}" if self.credential is not None else "inline text"

    def resolve(self) -> Secret:
        """Return the secret as it is now; raise SecretError.

        Read anew each time, so that a changed password is taken at the next connection. Reads a
        small local file: nothing is kept open.
        """
        if self.text is not None:
            return self.text
        if self.env is not None:
            return _from_environment(self.env)
        if self.credential is not None:
            return _from_file(_credentials_folder(self.credential) / self.credential)
        return _from_file(Path(self.file or ""))

    @model_validator(mode="before")
    @classmethod
    def _from_plain(cls, value: object) -> object:
        if isinstance(value, str | Secret):
            return {"text": value}
        if value is None:
            raise ValueError(f"is empty: {_HOW}, or leave the key out")
        if isinstance(value, bool | int | float):
            raise ValueError(  # noqa: TRY004 - pydantic reports only ValueErrors
                f"looks like a number or a truth value: {_HOW}"
            )
        return value

    @field_validator("text", mode="before")
    @classmethod
    def _as_secret(cls, value: object) -> object:
        if isinstance(value, Secret) or value is None:
            return value
        if not isinstance(value, str):
            raise ValueError("should be text: put quotes around it")  # noqa: TRY004
        if not value or "\0" in value:
            raise ValueError("is empty" if not value else "holds a NUL byte")
        return Secret(value)

    @field_validator("env")
    @classmethod
    def _is_variable(cls, value: str | None) -> str | None:
        if value is not None and not _ENV_NAME.fullmatch(value):
            raise ValueError("should be the name of an environment variable, such as DB_PASSWORD")
        return value

    @field_validator("credential")
    @classmethod
    def _is_file_name(cls, value: str | None) -> str | None:
        if value is not None and (not value or value in (".", "..") or "/" in value or "\0" in value):
            raise ValueError("should be a name as in LoadCredential=NAME:..., without a slash")
        return value

    @model_validator(mode="after")
    def _exactly_one(self) -> SecretRef:
        given = [place for place in _PLACES if getattr(self, place) is not None]
        if len(given) != 1:
            found = f"{' and '.join(given)} are given" if given else "nothing is given"
            raise ValueError(f"{found}: {_HOW}")
        return self


def _from_environment(name: str) -> Secret:
    text = os.environ.get(name)
    if text is None:
        raise SecretError(f"the environment variable {name} is not set: set it for the daemon's own process")
    if not text:
        raise SecretError(f"the environment variable {name} is empty")
    if not text.isascii() and text != text.encode("utf-8", "replace").decode("utf-8"):
        raise SecretError(f"the environment variable {name} is not UTF-8 text")
    return Secret(text)


def _credentials_folder(name: str) -> Path:
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        raise SecretError(
            f"there is no credential {name}: $CREDENTIALS_DIRECTORY is not set;"
            f" systemd sets it when the unit has LoadCredential={name}:/path"
        )
    return Path(folder)


def _from_file(path: Path) -> Secret:
    try:
        # A FIFO would otherwise block the open until somebody writes to it.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError as error:
        raise SecretError(f"the secret file {path} cannot be read: {error.strerror}") from None
    try:
        _check_file(path, os.fstat(descriptor))
        content = os.read(descriptor, SIZE_MAX_BYTES + 1)
    except OSError as error:
        raise SecretError(f"the secret file {path} cannot be read: {error.strerror}") from None
    finally:
        os.close(descriptor)
    if len(content) > SIZE_MAX_BYTES:
        raise SecretError(f"the secret file {path} is larger than {SIZE_MAX_BYTES} bytes")
    return Secret(_only_line(path, content))


def _check_file(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = "a directory" if stat.S_ISDIR(status.st_mode) else "not a regular file"
        raise SecretError(f"the secret file {path} is {kind}: name a file that holds the secret alone")
    if status.st_mode & _TOO_OPEN:
        mode = stat.S_IMODE(status.st_mode)
        raise SecretError(
            f"the secret file {path} has mode {mode:04o}, so others can read or change it:"
            f" chmod 0600 {path} (0640 with a group of the daemon's own)"
        )


def _only_line(path: Path, content: bytes) -> str:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise SecretError(f"the secret file {path} is not UTF-8 text") from None
    text = text.removesuffix("\r\n") if text.endswith("\r\n") else text.removesuffix("\n")
    if not text:
        raise SecretError(f"the secret file {path} is empty")
    if "\0" in text or "\n" in text:
        what = "a NUL byte" if "\0" in text else "more than one line"
        raise SecretError(f"the secret file {path} holds {what}: it should hold the secret alone")
    return text
