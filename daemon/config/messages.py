"""Says in words what is wrong at which line, with a suggestion, and never shows a value."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from collectors.strict_yaml import Document, Problem, did_you_mean

Place = tuple[str | int, ...]
_ASCII_MAX = 0x7F
_QUOTES = "put quotes around it"
_KEY = re.compile(r"[a-z_]+(?:\.[a-z_]+)*")
_SHAPES = {
    "string_type": ("should be text", _QUOTES),
    "int_type": ("should be a whole number", ""),
    "int_parsing": ("should be a whole number", ""),
    "int_parsing_size": ("should be a smaller number", ""),
    "int_from_float": ("should be a whole number", ""),
    "finite_number": ("should be a number, not infinity", ""),
    "bool_type": ("should be true or false", ""),
    "bool_parsing": ("should be true or false", ""),
    "dict_type": ("should be keys with values", "write it as `key: value`, one a line, indented"),
    "model_type": ("should be keys with values", "write it as `key: value`, one a line, indented"),
    "model_attributes_type": ("should be keys with values", "write it as `key: value`, one a line, indented"),
    "list_type": ("should be a list", "write it as `- item`, one a line, or [item, item]"),
    "tuple_type": ("should be a list", "write it as `- item`, one a line, or [item, item]"),
    "too_short": ("should have at least one entry", ""),
    "string_too_short": ("should not be empty", ""),
}


def problems_in(
    error: ValidationError, document: Document, at: Place, model: type[BaseModel], *more_keys: str
) -> list[Problem]:
    """Return what pydantic found as problems with their lines.

    `model` is what was checked at the place `at`; `more_keys` are also known there.
    """
    found = error.errors(include_url=False, include_input=True)
    inner = {one["loc"][:-1] for one in found}
    return [
        _problem(one, document, at, model, more_keys)
        for one in found
        # A list of which every entry is wrong is not short as well; what is empty is told by `empty_keys`.
        if not (one["type"] == "too_short" and one["loc"] in inner)
        and not (one["input"] is None and one["type"] != "extra_forbidden")
    ]


def empty_keys(document: Document) -> list[Problem]:
    """Return keys and entries that have no value: seldom meant, and never needed."""
    hint = "give it a value, or leave the key out"
    return [
        document.problem(place, f"{where(place)}: is empty", hint)
        for place, value in _leaves(document.value, ())
        if value is None
    ]


def where(place: Place) -> str:
    """Return a place as people write it: `targets[3].labels.env`."""
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def unknown_key(document: Document, place: Place, known: Iterable[str]) -> Problem:
    """Return the problem of a key that nobody knows."""
    key = str(place[-1])
    hint = did_you_mean(key, known)
    strange = [letter for letter in key if ord(letter) > _ASCII_MAX]
    if strange:
        codes = ", ".join(f"U+{ord(letter):04X}" for letter in dict.fromkeys(strange))
        hint = f"{hint} (it has {codes}, which is not an ASCII letter)".strip()
    elif key == "<<":
        hint = "merge keys are not supported: write the values out"
    return document.problem(place, f"{where(place)}: unknown key", hint)


def _leaves(value: object, place: Place) -> Iterator[tuple[Place, object]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, (*place, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _leaves(inner, (*place, index))
    else:
        yield place, value


def _problem(
    one: ErrorDetails, document: Document, at: Place, model: type[BaseModel], more_keys: Sequence[str]
) -> Problem:
    loc = tuple(part for part in one["loc"] if part != "[key]")
    place = at + loc
    context: Mapping[str, Any] = one.get("ctx", {})
    match one["type"]:
        case "extra_forbidden":
            return unknown_key(document, place, _known_keys(model, loc, more_keys if len(loc) == 1 else ()))
        case "missing":
            return document.problem(
                place[:-1], f"{where(place)}: required key is missing", _misspelt(str(loc[-1]), one["input"])
            )
        case "literal_error" | "enum":
            return _not_one_of(document, place, str(context.get("expected", "")), one["input"])
        case "value_error":
            message, hint = str(context.get("error", one["msg"])), ""
            near = _nearer(document, place, message)
            message = message.removeprefix(f"{where(near[len(place) :])}: ") if near != place else message
            place = near
        case kind if kind in _SHAPES:
            message, hint = _SHAPES[kind]
        case _:
            message, hint = one["msg"].replace("Input should", "should").replace("Value should", "should"), ""
    name = where(place)
    return document.problem(place, f"{name}: {message}" if name else message, hint)


def _nearer(document: Document, place: Place, message: str) -> Place:
    """Return the place of the key that a message about a whole part begins with, if it is in the file."""
    first = _KEY.match(message)
    keys = first[0].split(".") if first else []
    while keys and (*place, *keys) not in document.marks:
        keys.pop()
    return (*place, *keys)


def _not_one_of(document: Document, place: Place, expected: str, given: object) -> Problem:
    words = expected.replace("'", "").replace(" or ", ", ")
    hint = did_you_mean(given, words.split(", ")) if isinstance(given, str) else ""
    return document.problem(place, f"{where(place)}: should be one of {words}", hint)


def _misspelt(missing: str, given: object) -> str:
    near = difflib.get_close_matches(missing, list(map(str, given)), n=1) if isinstance(given, dict) else []
    return f"is {near[0]!r} meant to be {missing!r}?" if near else ""


def _known_keys(model: type[BaseModel], loc: Place, more: Sequence[str]) -> list[str]:
    """Return the keys that are known where `loc` points."""
    current = model
    for part in loc[:-1]:
        field = next((one for key, one in current.model_fields.items() if part in (key, one.alias)), None)
        inner = _model_in(field.annotation) if field else None
        current = inner or current
    return [*(one.alias or key for key, one in current.model_fields.items()), *more]


def _model_in(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)
