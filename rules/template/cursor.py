"""Steps through a template's tokens, and says what is wrong with one."""

from __future__ import annotations

from typing import NoReturn

from rules.template.tokens import Token, tokens_of


class ParseError(Exception):
    """What does not parse, at which character of the whole text, on which line by Go's count."""

    def __init__(self, message: str, position: int, line: int) -> None:
        super().__init__(message)
        self.message = message
        self.position = position
        self.line = line


class Cursor:
    """The place in the tokens of a text."""

    def __init__(self, text: str) -> None:
        self._tokens = tokens_of(text)
        self._seen = 0
        self.place = 0
        self.action_line = 0

    def take(self) -> Token:
        """Take the next token."""
        token = self._tokens[min(self.place, len(self._tokens) - 1)]
        self._seen = max(self._seen, min(self.place, len(self._tokens) - 1))
        self.place += 1
        return token

    def peek(self) -> Token:
        """Return the next token without taking it."""
        token = self.take()
        self.place -= 1
        return token

    def take_word(self) -> Token:
        """Take the next token that is no space."""
        while True:
            token = self.take()
            if token.kind != "space":
                return token

    def peek_word(self) -> Token:
        """Return the next token that is no space, and skip the spaces."""
        token = self.take_word()
        self.place -= 1
        return token

    def expect(self, kind: str, context: str) -> Token:
        """Take a token of this kind, or fail."""
        token = self.take_word()
        if token.kind != kind:
            self.unexpected(token, context)
        return token

    def unexpected(self, token: Token, context: str) -> NoReturn:
        """Fail because of a token that does not belong here."""
        if token.kind != "error":
            self.fail(f"unexpected {token} in {context}", token)
        extra = ""
        if self.action_line not in (0, token.line):
            place = " started" if token.text.endswith(" action") else " in action started"
            extra = f"{place} at {{name}}:{self.action_line}"
        self.fail(token.text + extra, token)

    def fail(self, message: str, token: Token | None = None) -> NoReturn:
        """Fail at this token, or at the newest one."""
        newest = self._tokens[self._seen]
        raise ParseError(message, (token or newest).position, newest.line)
