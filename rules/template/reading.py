"""Fields, map entries and methods of values: what stands behind a dot."""

from __future__ import annotations

from functools import partial

from rules.template.errors import CallFailed
from rules.template.signature import Function
from rules.template.times import DURATION_METHODS, TIME_METHODS, Duration, Method, Month, Time, Weekday
from rules.template.values import ANY, NO_VALUE, GoMap, NoValue, Struct, indirect, type_of


def read_field(
    receiver: object, name: str, has_arguments: bool, declared: str = ""
) -> Function | tuple[object, str]:
    """Return what `.name` is for this value: a method to call, or a value and the type it is declared as.

    `declared` is the type that the receiver itself is declared as, if that is not its own. Raises CallFailed.
    """
    if isinstance(receiver, NoValue):
        return NO_VALUE, ""
    if receiver is None:
        raise CallFailed(f"nil pointer evaluating {ANY}.{name}")
    target = indirect(receiver)
    method = _methods(target).get(name)
    if method is not None:
        return Function(method.takes, partial(method.call, target))
    if isinstance(target, Struct) and name in target.fields:
        if has_arguments:
            raise CallFailed(f"{name} has arguments but cannot be invoked as function")
        return target.fields[name], ANY if name in target.interfaces else ""
    if isinstance(target, GoMap):
        if has_arguments:
            raise CallFailed(f"{name} is not a method but has arguments")
        return target.get(name, target.zero()), ANY if target.element == ANY else ""
    raise CallFailed(f"can't evaluate field {name} in type {declared or type_of(receiver)}")


_STRING = {"String": Method((), str)}


def _methods(value: object) -> dict[str, Method]:
    if isinstance(value, Time):
        return TIME_METHODS
    if isinstance(value, Duration):
        return DURATION_METHODS
    return _STRING if isinstance(value, Month | Weekday) else {}
