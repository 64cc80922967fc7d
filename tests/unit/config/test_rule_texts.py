"""Files of rules that are no files of text are told with their place, and keep nobody waiting."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from collectors.strict_yaml import SIZE_MAX_BYTES, InvalidFile
from daemon.config.rule_files import texts
from rules.load import load


def test_a_pipe_that_nobody_writes_to_is_empty_and_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.yaml"
    os.mkfifo(pipe)
    assert texts([pipe]) == ({str(pipe): ""}, [])


def test_a_file_that_is_too_large_is_told_and_not_read_whole(tmp_path: Path) -> None:
    large = tmp_path / "large.yaml"
    with large.open("wb") as file:
        file.truncate(SIZE_MAX_BYTES + 1)
    found, (problem,) = texts([large])
    assert found == {}
    assert str(problem).startswith(f"{large}:1:1: the file is larger than {SIZE_MAX_BYTES} bytes")


def test_a_control_character_is_told_with_its_place() -> None:
    with pytest.raises(InvalidFile) as caught:
        load({"r.yaml": "groups:\n- name: a\n  rules: []\0\n"})
    assert str(caught.value).startswith("r.yaml:3:12: the control character U+0000 is not text")
