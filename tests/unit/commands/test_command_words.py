"""What may be configured as a command, and what a value may become."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from actions.command.arguments import BadValue, checked, trouble_with, words
from actions.command.model import Command

GOOD: dict[str, Any] = {
    "argv": ["/usr/local/bin/fix", "--for", "{target}", "{slot}"],
    "help": "Fixes it.",
    "parameters": {"slot": {"type": "identifier", "label": "slot_name"}},
}


def command(**changes: Any) -> Command:
    return Command.model_validate({**GOOD, **changes})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"argv": []}, "at least 1 item"),
        ({"argv": ["fix", "{slot}"]}, "should be the whole path of a program"),
        ({"argv": ["./fix", "{slot}"]}, "should be the whole path of a program"),
        ({"argv": ["/opt/../bin/fix", "{slot}"]}, "should be the whole path of a program"),
        ({"argv": ["/bin/{slot}"]}, "no parameter may stand in it"),
        ({"argv": ["/bin/sh", "-c", "fix {slot}"]}, "a shell with -c runs text as a program"),
        ({"argv": ["/bin/bash", "-ec", "{slot}"]}, "a shell with -c runs text as a program"),
        ({"argv": ["/usr/bin/dash", "-c", "{slot}"]}, "a shell with -c runs text as a program"),
        ({"argv": ["/bin/fix", "--slot={slot}"]}, "a parameter is a whole argument"),
        ({"argv": ["/bin/fix", "{slot}{slot}"]}, "a parameter is a whole argument"),
        ({"argv": ["/bin/fix", "{slto}"]}, "did you mean 'slot'?"),
        ({"argv": ["/bin/fix", "{}"]}, "there is no such parameter"),
        ({"argv": ["/bin/fix", "a\nb", "{slot}"]}, "should be printable"),
        ({"argv": ["/bin/fix", "a\0b", "{slot}"]}, "should be printable"),
        ({"argv": ["/bin/fix"]}, "no argument is {slot}"),
        ({"argv": "/bin/fix {slot}"}, "should be a valid tuple"),
        ({"help": ""}, "at least 1 character"),
        ({"class": "E"}, "'A', 'B', 'C' or 'D'"),
        ({"timeout": 30}, "a duration needs a unit"),
        ({"timeout": "0s"}, "greater than 0"),
        ({"shell": True}, "Extra inputs are not permitted"),
        ({"environment": {"LD_PRELOAD": "/x.so"}}, "not one of LD_"),
        ({"environment": {"A B": "x"}}, "should be the name of an environment variable"),
        ({"environment": {"A": "x\ny"}}, "should be printable"),
        ({"directory": "tmp"}, "should be the whole path"),
        ({"nothing_done_codes": [0]}, "exit code 0 means that it was done"),
        ({"nothing_done_codes": [256]}, "a whole number from 0 to 255"),
        ({"nothing_done_codes": [True]}, "a whole number from 0 to 255"),
        ({"when_unsure": "revert"}, "needs `undo`"),
        ({"when_unsure": "perhaps"}, "'keep', 'revert' or 'human'"),
        ({"undo": ["undo"]}, "should be the whole path of a program"),
        ({"check": ["/bin/check", "x{slot}"]}, "a parameter is a whole argument"),
        ({"parameters": {"Slot": {"type": "identifier"}}}, "should be a to z, digits and _"),
        ({"parameters": {"slot": {"type": "sql"}}}, "'identifier', 'integer', 'choice' or 'text'"),
        ({"parameters": {"slot": {"type": "text"}}}, "needs a `pattern`"),
        ({"parameters": {"slot": {"type": "text", "pattern": "("}}}, "not a pattern"),
        ({"parameters": {"slot": {"type": "choice"}}}, "a choice needs `choices`"),
        ({"parameters": {"slot": {"type": "integer", "choices": ["1"]}}}, "belong to type choice"),
        ({"parameters": {"slot": {"type": "integer", "least": 5, "most": 4}}}, "no number would do"),
        (
            {"parameters": {"slot": {"type": "integer"}, "target": {"type": "identifier"}}},
            "cannot be a parameter of its own",
        ),
    ],
)
def test_a_command_that_could_do_something_else_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        command(**changes)
    assert said in str(caught.value)


def test_values_become_whole_arguments() -> None:
    made = command()
    values = checked(made, {"slot": "standby_2"}, "db1")
    assert words(made.argv, values) == ["/usr/local/bin/fix", "--for", "db1", "standby_2"]


@pytest.mark.parametrize(
    ("parameter", "value", "said"),
    [
        ({"type": "identifier"}, "a b", "is not a name"),
        ({"type": "identifier"}, "a;reboot", "is not a name"),
        ({"type": "identifier"}, "$(reboot)", "is not a name"),
        ({"type": "identifier"}, "-rf", "is not a name"),
        ({"type": "identifier"}, "", "is not a name"),
        ({"type": "identifier"}, "a\n", "is not a name"),
        ({"type": "identifier"}, "\u0430bc", "is not a name"),
        ({"type": "identifier"}, "a" * 64, "is not a name"),
        ({"type": "identifier"}, 5, "is not text"),
        ({"type": "identifier"}, None, "is missing"),
        ({"type": "identifier"}, ["a"], "is not text"),
        ({"type": "integer"}, -9, "is not from 0"),
        ({"type": "integer", "most": 10}, 11, "is not from 0 to 10"),
        ({"type": "integer"}, "5", "is not a whole number"),
        ({"type": "integer"}, True, "is not a whole number"),
        ({"type": "integer"}, 1.5, "is not a whole number"),
        ({"type": "integer"}, float("nan"), "is not a whole number"),
        ({"type": "choice", "choices": ["on", "off"]}, "ON", "is none of on, off"),
        ({"type": "text", "pattern": "[a-z/]+"}, "a b", "does not match"),
        ({"type": "text", "pattern": "[a-z/]+"}, "a\nb", "does not match"),
        ({"type": "text", "pattern": "(?s).*"}, "a\nb", "printable"),
        ({"type": "text", "pattern": ".*"}, "--force", "would be taken for an option"),
        ({"type": "text", "pattern": ".*"}, "x" * 256, "printable"),
        ({"type": "text", "pattern": ".*"}, "", "printable"),
        ({"type": "text", "pattern": "(a+)+b"}, "a" * 200, "does not match"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(parameter: dict[str, Any], value: Any, said: str) -> None:
    with pytest.raises(BadValue) as caught:
        checked(command(parameters={"slot": parameter}), {"slot": value}, "db1")
    assert said in str(caught.value)


def test_unknown_parameters_are_refused() -> None:
    with pytest.raises(BadValue, match="no parameter 'solt'"):
        checked(command(), {"slot": "a", "solt": "b"}, "db1")


def test_a_target_that_looks_like_an_option_is_refused() -> None:
    with pytest.raises(BadValue, match="option"):
        checked(command(), {"slot": "a"}, "--help")


def test_a_value_in_braces_is_not_filled_in_again() -> None:
    made = command(parameters={"slot": {"type": "text", "pattern": ".*"}})
    assert words(made.argv, checked(made, {"slot": "{target}"}, "db1"))[-1] == "{target}"


def test_a_program_that_others_could_change_is_refused(tmp_path: Path) -> None:
    program = tmp_path / "fix"
    assert "No such file" in trouble_with(str(program))
    program.write_text("#!/bin/true\n")
    program.chmod(0o644)
    assert "not a program" in trouble_with(str(program))
    program.chmod(0o755)
    assert trouble_with(str(program)) == ""
    program.chmod(0o757)
    assert "could be changed by others" in trouble_with(str(program))
    program.chmod(0o755)
    tmp_path.chmod(0o777)
    assert "could be changed by others" in trouble_with(str(program))
    assert "not a program" in trouble_with(str(tmp_path))
