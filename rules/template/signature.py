"""What a template's functions take, and how their arguments are checked, as Go checks them by type."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rules.template.errors import CallFailed
from rules.template.nodes import Literal, Number, Operand
from rules.template.times import Duration
from rules.template.values import ANY, NO_VALUE, Int64, NoValue, Pointer, type_of

VALUE = "reflect.Value"
"""The type of parameters that take what is there as it is, and what is not there too."""

SAMPLE = "*template.sample"
SAMPLES = "template.queryResult"


@dataclass(frozen=True)
class Function:
    """A function: its parameters by Go's types; a variadic one repeats the last."""

    takes: tuple[str, ...]
    call: Callable[..., object]
    variadic: bool = False

    def parameter(self, index: int) -> str:
        """Return the type of the argument at this place."""
        return self.takes[min(index, len(self.takes) - 1)] if self.variadic else self.takes[index]

    def check_count(self, name: str, given: int, written: int) -> None:
        """Refuse a call with too few or too many arguments; `written` counts without the piped one."""
        if self.variadic:
            least = len(self.takes) - 1
            if given < least:
                raise CallFailed(f"wrong number of args for {name}: want at least {least} got {written}")
        elif given != len(self.takes):
            raise CallFailed(f"wrong number of args for {name}: want {len(self.takes)} got {given}")


def accept(value: object, wanted: str) -> object:
    """Return the value as an argument of this type, or raise CallFailed in Go's words."""
    if isinstance(value, NoValue):
        if wanted == VALUE:
            return value
        if _can_be_nil(wanted):
            return None
        raise CallFailed(f"invalid value; expected {wanted}")
    if wanted in (VALUE, ANY) or type_of(value) == wanted:
        return value
    if value is None and _can_be_nil(wanted):
        return None
    if isinstance(value, Pointer) and type_of(value.target) == wanted:
        return value.target
    raise CallFailed(f"wrong type for value; expected {wanted}; got {_type_name(value)}")


def accept_nil(wanted: str) -> object:
    """Return what the word nil is for a parameter of this type."""
    if not _can_be_nil(wanted):
        raise CallFailed(f"cannot assign nil to {wanted}")
    return NO_VALUE if wanted == VALUE else None


def accept_constant(node: Operand, wanted: str) -> object:
    """Return a constant as an argument of this type."""
    if wanted in (VALUE, ANY):
        return constant(node)
    if wanted == "string":
        if isinstance(node, Literal) and isinstance(node.value, str):
            return node.value
        raise CallFailed(f"expected string; found {node}")
    if wanted in _INTEGERS:
        if isinstance(node, Number) and node.integer is not None:
            return _INTEGERS[wanted](node.integer)
        raise CallFailed(f"expected integer; found {node}")
    raise CallFailed(f"can't handle {node} for arg of type {wanted}")


def constant(node: Operand) -> object:
    """Return the value of a constant whose syntax alone says the type."""
    if isinstance(node, Literal):
        return node.value
    if not isinstance(node, Number):
        raise CallFailed(f"can't handle assignment of {node} to empty interface argument")
    is_hexadecimal = node.source[:2] in ("0x", "0X") and not set(node.source) & set("pP")
    if node.source[0] != "'" and not is_hexadecimal and set(node.source) & set(".eEpP"):
        return node.real
    if node.integer is None:
        raise CallFailed(f"{node} overflows int")
    return node.integer


_INTEGERS: dict[str, Callable[[int], int]] = {"int": int, "int64": Int64, "time.Duration": Duration}


def _can_be_nil(wanted: str) -> bool:
    return wanted in (ANY, VALUE, SAMPLE, SAMPLES)


def _type_name(value: object) -> str:
    return ANY if value is None else type_of(value)
