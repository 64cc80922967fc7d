"""The functions that every Go template has."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote_plus

from rules.template.errors import CallFailed
from rules.template.printf import sprintf
from rules.template.printing import printable_value, sprint, sprintln
from rules.template.quoting import REPLACEMENT, is_print, is_stray_byte, to_bytes, to_text
from rules.template.signature import VALUE, Function
from rules.template.values import (
    ANY,
    NO_VALUE,
    GoMap,
    NoValue,
    Pointer,
    Samples,
    Uint8,
    indirect,
    is_true,
    type_of,
)


def query_escape(text: str) -> str:
    """Escape a text for a URL's query, as Go's url.QueryEscape does."""
    return quote_plus(to_bytes(text), safe="~")


def _index(item: object, *keys: object) -> object:
    if _is_nothing(item):
        raise CallFailed("index of untyped nil")
    for key in keys:
        item = _one_index(indirect(item), key)
    return item


def _one_index(item: object, key: object) -> object:
    if item is None:
        raise CallFailed("index of nil pointer")
    if isinstance(item, GoMap):
        if _is_nothing(key):
            raise CallFailed("value is nil; should be of type string")
        if type_of(key) != "string":
            raise CallFailed(f"value has type {type_of(key)}; should be string")
        return item.get(str(key), item.zero())
    if isinstance(item, str | Samples):
        data: bytes | Samples = to_bytes(item) if isinstance(item, str) else item
        at = _position(key, len(data))
        if at == len(data):
            raise CallFailed(f"reflect: {'string' if isinstance(item, str) else 'slice'} index out of range")
        return Uint8(data[at]) if isinstance(data, bytes) else data[at]
    raise CallFailed(f"can't index item of type {type_of(item)}")


def _position(key: object, most: int) -> int:
    if _is_nothing(key):
        raise CallFailed("cannot index slice/array with nil")
    if not isinstance(key, int) or isinstance(key, bool):
        raise CallFailed(f"cannot index slice/array with type {type_of(key)}")
    if not 0 <= key <= most:
        raise CallFailed(f"index out of range: {int(key)}")
    return int(key)


def _slice(item: object, *bounds: object) -> object:
    if _is_nothing(item):
        raise CallFailed("slice of untyped nil")
    if len(bounds) > _MOST_BOUNDS:
        raise CallFailed(f"too many slice indexes: {len(bounds)}")
    if not isinstance(item, str | Samples):
        raise CallFailed(f"can't slice item of type {type_of(item)}")
    if isinstance(item, str) and len(bounds) == _MOST_BOUNDS:
        raise CallFailed("cannot 3-index slice a string")
    data: bytes | Samples = to_bytes(item) if isinstance(item, str) else item
    given = [_position(bound, len(data)) for bound in bounds]
    limits = [0, len(data), len(data)]
    limits[: len(given)] = given
    for low, high in ((limits[0], limits[1]), (limits[1], limits[2])):
        if low > high:
            raise CallFailed(f"invalid slice index: {low} > {high}")
    if isinstance(data, bytes):
        return to_text(data[limits[0] : limits[1]])
    return Samples(data[limits[0] : limits[1]])


_MOST_BOUNDS = 3


def _length(item: object) -> int:
    shown = indirect(item)
    if isinstance(shown, str):
        return len(to_bytes(shown))
    if isinstance(shown, GoMap | Samples):
        return len(shown)
    if shown is None:
        raise CallFailed("len of nil pointer")
    if isinstance(shown, NoValue):
        raise CallFailed("reflect: call of reflect.Value.Type on zero Value")
    raise CallFailed(f"len of type {type_of(shown)}")


def _is_nothing(value: object) -> bool:
    return value is None or isinstance(value, NoValue)


def _kind(value: object) -> str:
    """Return Go's kind of comparison: all that is signed, all that is not, and so on."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, Uint8):
        return "uint"
    for known, name in ((int, "int"), (float, "float"), (str, "string")):
        if isinstance(value, known):
            return name
    return ""


def _equal(first: object, *others: object) -> bool:
    if not others:
        raise CallFailed("missing argument for comparison")
    return any(_equal_pair(first, other) for other in others)


def _equal_pair(first: object, other: object) -> bool:
    kinds = {_kind(first), _kind(other)}
    if len(kinds) > 1 and kinds != {"int", "uint"}:
        if not _is_nothing(first) and not _is_nothing(other):
            raise CallFailed(f"incompatible types for comparison: {type_of(first)} and {type_of(other)}")
        return False
    if kinds != {""}:
        return bool(first == other)
    if _is_nothing(first) or _is_nothing(other):
        return _is_nothing(first) and _is_nothing(other)
    if isinstance(first, GoMap | Samples) or isinstance(other, GoMap | Samples):
        raise CallFailed(f"non-comparable type {sprint([other])}: {type_of(other)}")
    return first is other if isinstance(first, Pointer) else first == other


def _less(first: object, second: object) -> bool:
    kinds = [_kind(first), _kind(second)]
    if "" in kinds:
        raise CallFailed("invalid type for comparison")
    if kinds[0] != kinds[1] and set(kinds) != {"int", "uint"}:
        raise CallFailed(f"incompatible types for comparison: {type_of(first)} and {type_of(second)}")
    if kinds[0] == "bool":
        raise CallFailed("invalid type for comparison")
    if isinstance(first, str) and isinstance(second, str):
        return to_bytes(first) < to_bytes(second)
    return isinstance(first, int | float) and isinstance(second, int | float) and first < second


def _less_or_equal(first: object, second: object) -> bool:
    return _less(first, second) or _equal(first, second)


def _as_text(values: tuple[object, ...]) -> str:
    if len(values) == 1 and type(values[0]) is str:
        return values[0]
    return sprint([printable_value(NO_VALUE if value is None else value) for value in values])


def _html(*values: object) -> str:
    return _as_text(values).translate(_HTML)


def _js(*values: object) -> str:
    return "".join(map(_js_character, _as_text(values)))


def _js_character(character: str) -> str:
    if character in _JS:
        return _JS[character]
    if character < " ":
        return f"\\u00{ord(character):02X}"
    if is_stray_byte(character):
        return REPLACEMENT
    return character if character < "\x80" or is_print(character) else f"\\u{ord(character):04X}"


_HTML = str.maketrans({'"': "&#34;", "'": "&#39;", "&": "&amp;", "<": "&lt;", ">": "&gt;", "\0": REPLACEMENT})
_JS = {"\\": "\\\\", "'": "\\'", '"': '\\"', "<": "\\u003C", ">": "\\u003E", "&": "\\u0026", "=": "\\u003D"}


def _call(function: object, *_: object) -> object:
    if _is_nothing(function):
        raise CallFailed("call of nil")
    raise CallFailed(f"non-function of type {type_of(function)}")


def _printing(write: Callable[[tuple[object, ...]], str]) -> Function:
    return Function((ANY,), lambda *values: write(values), variadic=True)


def _special(*_: object) -> object:
    raise AssertionError("the interpreter does this one itself")


GO_FUNCTIONS: dict[str, Function] = {
    "and": Function((VALUE, VALUE), _special, variadic=True),
    "or": Function((VALUE, VALUE), _special, variadic=True),
    "not": Function((VALUE,), lambda value: not is_true(value)),
    "call": Function((VALUE, VALUE), _call, variadic=True),
    "html": Function((ANY,), _html, variadic=True),
    "js": Function((ANY,), _js, variadic=True),
    "urlquery": Function((ANY,), lambda *values: query_escape(_as_text(values)), variadic=True),
    "index": Function((VALUE, VALUE), _index, variadic=True),
    "slice": Function((VALUE, VALUE), _slice, variadic=True),
    "len": Function((VALUE,), _length),
    "print": _printing(sprint),
    "println": _printing(sprintln),
    "printf": Function(("string", ANY), lambda form, *values: sprintf(form, values), variadic=True),
    "eq": Function((VALUE, VALUE), _equal, variadic=True),
    "ne": Function((VALUE, VALUE), lambda first, second: not _equal(first, second)),
    "lt": Function((VALUE, VALUE), _less),
    "le": Function((VALUE, VALUE), _less_or_equal),
    "gt": Function((VALUE, VALUE), lambda first, second: not _less_or_equal(first, second)),
    "ge": Function((VALUE, VALUE), lambda first, second: not _less(first, second)),
}
