"""A secret is read anew each time, only from where nobody else could, and never shows."""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from collectors.file_path import FOLDER
from collectors.secret_ref import SecretError, SecretRef

SECRET = "hunter2 with $pecial 'chars\" \\ ü"


def file_with(tmp_path: Path, content: str | bytes, mode: int = 0o600) -> SecretRef:
    path = tmp_path / "secret"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    path.chmod(mode)
    return SecretRef(file=str(path))


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_one_line_end_at_the_end_of_a_file_does_not_count(end: str, tmp_path: Path) -> None:
    assert file_with(tmp_path, SECRET + end).resolve().reveal() == SECRET


def test_blanks_count(tmp_path: Path) -> None:
    assert file_with(tmp_path, f" {SECRET} \n").resolve().reveal() == f" {SECRET} "


def test_a_changed_file_is_read_anew(tmp_path: Path) -> None:
    reference = file_with(tmp_path, "old")
    assert reference.resolve().reveal() == "old"
    file_with(tmp_path, "new")
    assert reference.resolve().reveal() == "new"


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o640, 0o440])
def test_modes_that_keep_others_out_are_fine(mode: int, tmp_path: Path) -> None:
    assert file_with(tmp_path, SECRET, mode).resolve().reveal() == SECRET


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602, 0o620, 0o660, 0o666, 0o777])
def test_modes_that_let_others_in_are_refused(mode: int, tmp_path: Path) -> None:
    with pytest.raises(SecretError, match=rf"has mode {mode:04o}.* chmod 0600 ") as caught:
        file_with(tmp_path, SECRET, mode).resolve()
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "is empty"),
        ("\n", "is empty"),
        ("hunter2\n\n", "more than one line"),
        ("hunter2\nuser: x\n", "more than one line"),
        ("hunter2\0", "a NUL byte"),
        (b"hunter2\xff\xfe", "not UTF-8"),
        ("hunter2" * 10_000, "larger than 65536 bytes"),
    ],
    ids=["empty", "a newline", "two newlines", "two lines", "NUL", "not UTF-8", "too large"],
)
def test_a_file_that_holds_no_secret_is_refused_unseen(
    content: str | bytes, says: str, tmp_path: Path
) -> None:
    with pytest.raises(SecretError, match=says) as caught:
        file_with(tmp_path, content).resolve()
    assert "hunter2" not in str(caught.value)
    assert str(tmp_path / "secret") in str(caught.value)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda _: None, "No such file"),
        (lambda path: path.mkdir(), "is a directory"),
        (lambda path: os.mkfifo(path, 0o600), "not a regular file"),
        (lambda path: path.symlink_to(path), "Too many levels"),
        (lambda path: path.symlink_to("/dev/zero"), "not a regular file"),
    ],
    ids=["missing", "a directory", "a FIFO", "a link to itself", "a device"],
)
def test_what_is_no_file_is_refused_without_waiting(
    make: Callable[[Path], None], says: str, tmp_path: Path
) -> None:
    path = tmp_path / "secret"
    make(path)
    began = time.monotonic()
    with pytest.raises(SecretError, match=says):
        SecretRef(file=str(path)).resolve()
    assert time.monotonic() - began < 1


def test_refused_files_leave_no_descriptor_open(tmp_path: Path) -> None:
    references = [file_with(tmp_path, ""), SecretRef(file=str(tmp_path))]
    before = len(list(Path("/proc/self/fd").iterdir()))
    for reference in references * 20:
        with pytest.raises(SecretError):
            reference.resolve()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_variable_is_read_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    reference = SecretRef(env="SHOP_PASSWORD")
    monkeypatch.delenv("SHOP_PASSWORD", raising=False)
    with pytest.raises(SecretError, match="SHOP_PASSWORD is not set"):
        reference.resolve()
    monkeypatch.setenv("SHOP_PASSWORD", "")
    with pytest.raises(SecretError, match="SHOP_PASSWORD is empty"):
        reference.resolve()
    monkeypatch.setenv("SHOP_PASSWORD", SECRET)
    assert reference.resolve().reveal() == SECRET
    monkeypatch.setenv("SHOP_PASSWORD", os.fsdecode(b"hunter2\xff"))
    with pytest.raises(SecretError, match="SHOP_PASSWORD is not UTF-8") as caught:
        reference.resolve()
    assert "hunter2" not in str(caught.value)


def test_a_credential_is_a_file_of_systemds_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reference = SecretRef(credential="shop")
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(SecretError, match=r"\$CREDENTIALS_DIRECTORY is not set; .*LoadCredential=shop:"):
        reference.resolve()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    with pytest.raises(SecretError, match="No such file"):
        reference.resolve()
    (tmp_path / "shop").write_text(SECRET)
    (tmp_path / "shop").chmod(0o400)
    assert reference.resolve().reveal() == SECRET


def test_a_plain_string_is_the_secret_itself() -> None:
    reference = SecretRef.model_validate(SECRET)
    assert reference.inline
    assert reference.resolve().reveal() == SECRET


class Options(BaseModel):
    password: SecretRef


def test_a_secret_shows_in_no_way_that_python_has() -> None:
    options = Options.model_validate({"password": "hunter2"})
    shown = [
        repr(options),
        str(options),
        f"{options.password}",
        options.model_dump_json(),
        str(options.model_dump()),
    ]
    assert not [text for text in shown if "hunter2" in text]
    with pytest.raises(TypeError):
        pickle.dumps(options)


@pytest.mark.parametrize(
    "value",
    [
        ["hunter2"],
        {"file": ["hunter2"]},
        {"text": 1234567},
        {"hunter": "hunter2"},
        {"file": "hunter2", "env": "hunter2"},
    ],
)
def test_a_secret_in_the_wrong_place_is_not_in_the_error(value: object) -> None:
    with pytest.raises(ValidationError) as caught:
        SecretRef.model_validate(value)
    assert "hunter2" not in str(caught.value)
    assert "1234567" not in str(caught.value)


def test_a_relative_file_starts_from_the_folder_of_the_context() -> None:
    reference = SecretRef.model_validate({"file": "a/b"}, context={FOLDER: "/etc/dbarchitect"})
    assert reference.file == "/etc/dbarchitect/a/b"
