"""Go's Sprintf: directives with flags, widths, precisions and argument numbers, and its notes on errors."""

from __future__ import annotations

from collections.abc import Sequence

from rules.template.directive import Verb
from rules.template.printing import Output, print_value
from rules.template.values import NoValue, type_of


def sprintf(form: str, values: Sequence[object]) -> str:
    """Return the text with each directive replaced by its value; nothing raises but OverLimit."""
    return _Format(form, values).run()


_WIDEST = 1_000_000


def _verb(letter: str, flags: set[str], width: int | None, precision: int | None) -> Verb:
    plain = letter == "v"
    return Verb(
        letter,
        minus="-" in flags,
        plus="+" in flags and not plain,
        sharp="#" in flags and not plain,
        space=" " in flags,
        zero="0" in flags and "-" not in flags,
        names="+" in flags and plain and "#" not in flags,
        syntax="#" in flags and plain,
        width=width,
        precision=precision,
    )


class _Format:
    def __init__(self, form: str, values: Sequence[object]) -> None:
        self._form = form
        self._values = values
        self._at = 0
        self._index = 0
        self._reordered = False
        self._good_index = True
        self._out = Output()

    def run(self) -> str:
        while self._at < len(self._form):
            percent = self._form.find("%", self._at)
            end = len(self._form) if percent < 0 else percent
            self._out.write(self._form[self._at : end])
            self._at = end + 1
            if percent >= 0:
                self._directive()
        self._extra()
        return self._out.text

    def _directive(self) -> None:
        self._good_index = True
        flags: set[str] = set()
        while self._here() and self._here() in "-+# 0":
            flags.add(self._here())
            self._at += 1
        numbered = self._argument_number()
        width, numbered = self._width(numbered=numbered)
        if width is not None and width < 0:
            flags.add("-")
            width = -width
        precision, numbered = self._precision(numbered=numbered)
        if not numbered:
            self._argument_number()
        if self._at >= len(self._form):
            self._out.write("%!(NOVERB)")
            return
        letter = self._here()
        self._at += 1
        self._value(_verb(letter, flags, width, precision))

    def _value(self, verb: Verb) -> None:
        if verb.letter == "%":
            self._out.write("%")
        elif not self._good_index:
            self._out.write(f"%!{verb.letter}(BADINDEX)")
        elif self._index >= len(self._values):
            self._out.write(f"%!{verb.letter}(MISSING)")
        else:
            value = self._values[self._index]
            self._index += 1
            if verb.letter in "w!":
                self._bad(verb.letter, value)
            else:
                print_value(self._out, value, verb)

    def _bad(self, letter: str, value: object) -> None:
        if value is None or isinstance(value, NoValue):
            self._out.write(f"%!{letter}(<nil>)")
            return
        self._out.write(f"%!{letter}({type_of(value)}=")
        print_value(self._out, value, Verb("v"))
        self._out.write(")")

    def _here(self) -> str:
        return self._form[self._at : self._at + 1]

    def _width(self, *, numbered: bool) -> tuple[int | None, bool]:
        if self._here() == "*":
            self._at += 1
            width = self._number_argument()
            if width is None:
                self._out.write("%!(BADWIDTH)")
            return width, False
        width = self._digits()
        if numbered and width is not None:
            # "%[3]2d" is not Go's order.
            self._good_index = False
        return width, numbered

    def _precision(self, *, numbered: bool) -> tuple[int | None, bool]:
        if self._here() != ".":
            return None, numbered
        self._at += 1
        if numbered:
            self._good_index = False
        numbered = self._argument_number()
        if self._here() == "*":
            self._at += 1
            precision = self._number_argument()
            if precision is None or precision < 0:
                self._out.write("%!(BADPREC)")
                precision = None
            return precision, False
        return self._digits() or 0, numbered

    def _digits(self) -> int | None:
        number: int | None = None
        while "0" <= self._here() <= "9":
            if number is not None and number > _WIDEST:
                # Go gives up here and takes the rest for nothing.
                self._at = len(self._form)
                return None
            number = 10 * (number or 0) + int(self._here())
            self._at += 1
        return number

    def _number_argument(self) -> int | None:
        if self._index >= len(self._values):
            return None
        value = self._values[self._index]
        self._index += 1
        is_number = isinstance(value, int) and not isinstance(value, bool)
        return int(value) if is_number and isinstance(value, int) and abs(value) <= _WIDEST else None

    def _argument_number(self) -> bool:
        """Read `[n]`, if it is here."""
        if self._here() != "[":
            return False
        self._reordered = True
        end = self._form.find("]", self._at)
        inside = self._form[self._at + 1 : end] if end > 0 else ""
        self._at = self._at + 1 if end < 0 else end + 1
        digits = inside.isascii() and inside.isdigit() and len(inside) < len(str(_WIDEST))
        if not digits or not 1 <= int(inside) <= len(self._values):
            self._good_index = False
            return True
        self._index = int(inside) - 1
        return True

    def _extra(self) -> None:
        if self._reordered or self._index >= len(self._values):
            return
        self._out.write("%!(EXTRA ")
        for number, value in enumerate(self._values[self._index :]):
            self._out.write(", " if number else "")
            if value is None or isinstance(value, NoValue):
                self._out.write("<nil>")
                continue
            self._out.write(f"{type_of(value)}=")
            print_value(self._out, value, Verb("v"))
        self._out.write(")")
