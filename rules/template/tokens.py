"""Cuts a template's text into tokens, by the rules of Go's text/template."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from rules.template.quoting import describe_character, quote

SPACES = " \t\r\n"
KEYWORDS = frozenset(
    ["block", "break", "continue", "define", "else", "end", "if", "nil", "range", "template", "with"]
)


@dataclass(frozen=True)
class Token:
    """`kind` is one of Go's kinds; a keyword's kind is the word, an error's text is its message."""

    kind: str
    text: str
    position: int
    line: int

    def __str__(self) -> str:
        if self.kind == "EOF":
            return "EOF"
        if self.kind == "error":
            return self.text
        if self.kind in KEYWORDS or self.kind == "dot":
            return f"<{self.text}>"
        if len(self.text.encode()) > _SHOWN:
            return quote(self.text[:_SHOWN]) + "..."
        return quote(self.text)


def tokens_of(text: str) -> list[Token]:
    """Return all tokens; the last one is of kind `EOF` or `error`."""
    return list(_Lexer(text).run())


_SHOWN = 10
_NUMBER = re.compile(
    r"[+-]?(?:0[xX][0-9a-fA-F_]*(?:\.[0-9a-fA-F_]*)?(?:[pP][+-]?[0-9_]*)?|0[oO][0-7_]*(?:\.[0-7_]*)?"
    r"|0[bB][01_]*(?:\.[01_]*)?|[0-9_]*(?:\.[0-9_]*)?(?:[eE][+-]?[0-9_]*)?)i?"
)
_QUOTED = {'"': "quoted string", "'": "character constant"}
_QUOTED_KIND = {'"': "string", "'": "character"}
_SIMPLE = {"|": "pipe", "(": "(", ")": ")", "=": "assign"}


class _LexError(Exception):
    pass


class _Lexer:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._start = 0
        self._line = 1
        self._counted = 0
        self._depth = 0

    def run(self) -> Iterator[Token]:
        try:
            while self._at < len(self._text):
                yield from self._outside()
        except _LexError as error:
            yield Token("error", str(error), self._start, self._line_of(self._start))
            return
        yield Token("EOF", "", len(self._text), self._line_of(len(self._text)))

    def _outside(self) -> Iterator[Token]:
        self._start = self._at
        opening = self._text.find("{{", self._at)
        end = len(self._text) if opening < 0 else opening
        trimmed = opening >= 0 and self._trims_left(opening + 2)
        kept = self._text[self._start : end]
        if trimmed:
            kept = kept.rstrip(SPACES)
        if kept:
            yield Token("text", kept, self._start, self._line_of(self._start))
        self._at = end
        if opening < 0:
            return
        after = opening + (4 if trimmed else 2)
        if self._text.startswith("/*", after):
            self._comment(after)
            return
        yield Token("{{", "{{", opening, self._line_of(opening))
        self._at = after
        self._depth = 0
        yield from self._inside()

    def _trims_left(self, position: int) -> bool:
        mark = self._text[position : position + 2]
        return len(mark) == 2 and mark[0] == "-" and mark[1] in SPACES  # noqa: PLR2004 - the two are the marker

    def _closing(self) -> str | None:
        """Return the closing delimiter at this place, with its trim marker, or nothing."""
        if self._text.startswith("}}", self._at):
            return "}}"
        here = self._text[self._at : self._at + 4]
        return here if here[:1] and here[0] in SPACES and here[1:] == "-}}" else None

    def _comment(self, start: int) -> None:
        self._start = start
        end = self._text.find("*/", start + 2)
        if end < 0:
            raise _LexError("unclosed comment")
        self._at = end + 2
        closing = self._closing()
        if closing is None:
            raise _LexError("comment ends before closing delimiter")
        self._close(closing)

    def _close(self, closing: str) -> None:
        self._at += len(closing)
        if closing != "}}":
            while self._at < len(self._text) and self._text[self._at] in SPACES:
                self._at += 1

    def _inside(self) -> Iterator[Token]:
        while True:
            self._start = self._at
            closing = self._closing()
            if closing is None:
                yield self._token(self._kind())
                continue
            if self._depth:
                raise _LexError("unclosed left paren")
            position = self._at + len(closing) - 2
            yield Token("}}", "}}", position, self._line_of(position))
            self._close(closing)
            return

    def _kind(self) -> str:
        """Take one token and return its kind."""
        if self._at >= len(self._text):
            raise _LexError("unclosed action")
        character = self._text[self._at]
        if character in SPACES:
            return self._spaces()
        if character == "`":
            return self._raw()
        if character in _QUOTED:
            return self._quoted(character)
        return self._operand(character)

    def _operand(self, character: str) -> str:
        # A dot that ends the text is taken for a number, as in Go.
        if character == "." and self._at + 1 < len(self._text) and not self._digit(self._at + 1):
            return self._name("field")
        if character == "$":
            return self._name("variable")
        if character in "+-." or self._digit(self._at):
            return self._number()
        return self._word() if _alphanumeric(character) else self._mark(character)

    def _spaces(self) -> str:
        # A space that belongs to a trim marker before the end is not ours.
        while self._at < len(self._text) and self._text[self._at] in SPACES and self._closing() is None:
            self._at += 1
        return "space"

    def _quoted(self, mark: str) -> str:
        self._at += 1
        while self._at < len(self._text) and self._text[self._at] not in (mark, "\n"):
            self._at += (
                2 if self._text[self._at] == "\\" and self._text[self._at + 1 : self._at + 2] != "\n" else 1
            )
        if self._text[self._at : self._at + 1] != mark:
            raise _LexError(f"unterminated {_QUOTED[mark]}")
        self._at += 1
        return _QUOTED_KIND[mark]

    def _raw(self) -> str:
        end = self._text.find("`", self._at + 1)
        if end < 0:
            raise _LexError("unterminated raw quoted string")
        self._at = end + 1
        return "string"

    def _name(self, kind: str) -> str:
        self._at += 1
        if self._at_terminator():
            return "dot" if kind == "field" else kind
        self._letters()
        return kind

    def _word(self) -> str:
        self._letters()
        word = self._text[self._start : self._at]
        if word in KEYWORDS:
            return word
        return "bool" if word in ("true", "false") else "identifier"

    def _letters(self) -> None:
        while self._at < len(self._text) and _alphanumeric(self._text[self._at]):
            self._at += 1
        if not self._at_terminator():
            raise _LexError(f"bad character {describe_character(self._text[self._at])}")

    def _number(self) -> str:
        self._one_number()
        if self._text[self._at : self._at + 1] in ("+", "-"):
            self._one_number()
            if self._text[self._at - 1] != "i":
                self._bad_number()
            return "complex"
        return "number"

    def _one_number(self) -> None:
        match = _NUMBER.match(self._text, self._at)
        self._at = match.end() if match else self._at
        if self._at < len(self._text) and _alphanumeric(self._text[self._at]):
            self._at += 1
            self._bad_number()

    def _bad_number(self) -> None:
        raise _LexError(f"bad number syntax: {quote(self._text[self._start : self._at])}")

    def _mark(self, character: str) -> str:
        self._at += 1
        if character == ":":
            if self._text[self._at : self._at + 1] != "=":
                raise _LexError("expected :=")
            self._at += 1
            return "declare"
        if character in "()":
            self._depth += 1 if character == "(" else -1
            if self._depth < 0:
                raise _LexError("unexpected right paren")
        if character in _SIMPLE:
            return _SIMPLE[character]
        if " " < character <= "~":
            return "char"
        raise _LexError(f"unrecognized character in action: {describe_character(character)}")

    def _at_terminator(self) -> bool:
        here = self._text[self._at : self._at + 1]
        return not here or here in SPACES or here in ".,|:)(" or self._text.startswith("}}", self._at)

    def _digit(self, position: int) -> bool:
        return "0" <= self._text[position : position + 1] <= "9"

    def _token(self, kind: str) -> Token:
        return Token(kind, self._text[self._start : self._at], self._start, self._line_of(self._start))

    def _line_of(self, position: int) -> int:
        if position >= self._counted:
            self._line += self._text.count("\n", self._counted, position)
            self._counted = position
            return self._line
        return self._text.count("\n", 0, position) + 1


def _alphanumeric(character: str) -> bool:
    return character == "_" or character.isalpha() or character.isdecimal()
