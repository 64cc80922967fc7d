"""Walks a parsed template and writes its text, with Go's rules for values, variables and errors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from rules.template.errors import CallFailed, OverLimit
from rules.template.nodes import (
    Action,
    Branch,
    Chain,
    Command,
    Dot,
    Field,
    Identifier,
    Invocation,
    Jump,
    Literal,
    Node,
    Operand,
    Pipeline,
    Statement,
    Text,
    Variable,
)
from rules.template.directive import Verb
from rules.template.printing import Output, print_value, printable_value, sprint
from rules.template.quoting import quote
from rules.template.reading import read_field
from rules.template.signature import VALUE, Function, accept, accept_constant, accept_nil, constant
from rules.template.values import NO_VALUE, GoMap, NoValue, Samples, indirect, is_true

MOST_STEPS = 200_000
"""How many nodes a template may evaluate, and runs of loops' bodies, in one expansion."""

MOST_CHARACTERS = 32 << 20
"""How many characters the functions of one expansion may read and write in all."""

DEEPEST = 100
"""How deep templates, control structures and parentheses may be in each other while they run."""


class RunError(Exception):
    """What went wrong, at which node, in which of the templates."""

    def __init__(self, message: str, node: Node, template: str) -> None:
        super().__init__(message)
        self.message = message
        self.node = node
        self.template = template


def run(
    name: str, definitions: Mapping[str, list[Statement]], functions: Mapping[str, Function], data: object
) -> str:
    """Return the text of the template called `name`. Raises RunError."""
    interpreter = _Interpreter(name, definitions, functions, data)
    interpreter.list_of(definitions[name], data)
    return interpreter.out.text


_NO_FINAL = object()
"""Stands for: nothing comes from the pipeline."""

_PLAIN = Verb("v")


class _Jumped(Exception):
    def __init__(self, word: str) -> None:
        super().__init__(word)
        self.word = word


class _Interpreter:
    def __init__(
        self,
        name: str,
        definitions: Mapping[str, list[Statement]],
        functions: Mapping[str, Function],
        data: object,
    ) -> None:
        self.out = Output()
        self._template = name
        self._definitions = definitions
        self._functions = functions
        self._variables: list[tuple[str, object]] = [("$", data)]
        self._node: Node = Dot(0)
        self._steps = 0
        self._characters = 0
        self._depth = 0

    # Statements.

    def list_of(self, statements: list[Statement], dot: object) -> None:
        for statement in statements:
            self._at(statement)
            self._guarded(lambda statement=statement: self._statement(statement, dot))  # type: ignore[misc]

    def _statement(self, statement: Statement, dot: object) -> None:
        if isinstance(statement, Text):
            self.out.write(statement.text)
        elif isinstance(statement, Action):
            value = self._pipeline(statement.pipeline, dot)
            if not statement.pipeline.variables:
                self._at(statement)
                print_value(self.out, printable_value(value), _PLAIN)
        elif isinstance(statement, Branch):
            self._branch(statement, dot)
        elif isinstance(statement, Jump):
            raise _Jumped(statement.word)
        else:
            self._invocation(statement, dot)

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except (CallFailed, OverLimit) as error:
            raise self._error(str(error)) from None

    def _branch(self, branch: Branch, dot: object) -> None:
        mark = len(self._variables)
        self._deeper()
        if branch.word == "range":
            self._range(branch, dot)
        else:
            value = self._pipeline(branch.pipeline, dot)
            if is_true(value):
                self.list_of(branch.body, value if branch.word == "with" else dot)
            else:
                self.list_of(branch.otherwise or [], dot)
        self._depth -= 1
        del self._variables[mark:]

    def _range(self, branch: Branch, dot: object) -> None:
        value = indirect(self._pipeline(branch.pipeline, dot))
        mark = len(self._variables)
        ran = False
        for index, element in self._elements(value, branch):
            ran = True
            self._step()
            self._loop_variables(branch.pipeline, index, element)
            go_on = self._loop_body(branch.body, element)
            del self._variables[mark:]
            if not go_on:
                break
        if not ran:
            self.list_of(branch.otherwise or [], dot)

    def _loop_body(self, body: list[Statement], element: object) -> bool:
        """Run a loop's body once and return whether the loop goes on."""
        depth = self._depth
        try:
            self.list_of(body, element)
        except _Jumped as jump:
            self._depth = depth
            return jump.word == "continue"
        return True

    def _elements(self, value: object, branch: Branch) -> Iterable[tuple[object, object]]:
        if isinstance(value, Samples):
            return enumerate(list(value))
        if isinstance(value, GoMap):
            return value.in_order()
        if isinstance(value, int) and not isinstance(value, bool):
            if len(branch.pipeline.variables) > 1:
                raise self._error(f"can't use {value} to iterate over more than one variable")
            kind = type(value)
            return ((kind(number), kind(number)) for number in range(value))
        if value is None or isinstance(value, NoValue):
            return ()
        raise self._error(f"range can't iterate over {sprint([value])}")

    def _loop_variables(self, pipeline: Pipeline, index: object, element: object) -> None:
        names = [str(variable) for variable in pipeline.variables]
        values = [element] if len(names) == 1 else [index, element]
        for place, (name, value) in enumerate(zip(names, values, strict=False)):
            if pipeline.assigns:
                self._assign(name, value)
            else:
                self._variables[place - len(names)] = (name, value)

    def _invocation(self, node: Invocation, dot: object) -> None:
        body = self._definitions.get(node.name)
        if body is None:
            raise self._error(f"template {quote(node.name)} not defined")
        value = self._pipeline(node.pipeline, dot) if node.pipeline else NO_VALUE
        outer = self._template, self._variables
        self._template, self._variables = node.name, [("$", value)]
        self._deeper()
        self.list_of(body, value)
        self._depth -= 1
        self._template, self._variables = outer

    # Pipelines.

    def _pipeline(self, pipeline: Pipeline, dot: object) -> object:
        self._at(pipeline)
        value: object = _NO_FINAL
        for command in pipeline.commands:
            value = self._command(command, dot, value)
            if value is None:
                value = NO_VALUE
        for variable in pipeline.variables:
            if pipeline.assigns:
                self._assign(str(variable), value)
            else:
                self._variables.append((str(variable), value))
        return value

    def _assign(self, name: str, value: object) -> None:
        for place in range(len(self._variables) - 1, -1, -1):
            if self._variables[place][0] == name:
                self._variables[place] = (name, value)
                return
        raise self._error(f"undefined variable: {name}")

    def _command(self, command: Command, dot: object, final: object) -> object:
        first, *rest = command.words
        if isinstance(first, Identifier):
            return self._function(first, command, dot, (rest, final))
        if isinstance(first, Field | Variable | Chain):
            return self._reading(first, dot, (rest, final))
        if isinstance(first, Pipeline):
            self._no_arguments(first, rest, final)
            return self._nested(first, dot)
        self._at(first)
        self._no_arguments(first, rest, final)
        if isinstance(first, Dot):
            return dot
        if isinstance(first, Literal) and first.value is None:
            raise self._error("nil is not a command")
        return constant(first)

    def _no_arguments(self, first: Operand, rest: list[Operand], final: object) -> None:
        if rest or final is not _NO_FINAL:
            raise self._error(f"can't give argument to non-function {first}")

    def _nested(self, pipeline: Pipeline, dot: object) -> object:
        self._deeper()
        value = self._pipeline(pipeline, dot)
        self._depth -= 1
        return value

    def _reading(self, node: Operand, dot: object, given: tuple[list[Operand], object]) -> object:
        """Evaluate `.A.B`, `$x.A.B` or `(pipeline).A.B`; the last name may be a method with arguments."""
        self._at(node)
        names: list[str] = []
        receiver = dot
        if isinstance(node, Field):
            names = node.names
        elif isinstance(node, Variable):
            receiver, names = self._value_of(node.names[0]), node.names[1:]
            if not names:
                self._no_arguments(node, *given)
                return receiver
        elif isinstance(node, Chain):
            receiver, names = self._argument(node.start, VALUE, dot), node.names
        declared = ""
        for place, name in enumerate(names):
            last = place == len(names) - 1
            rest, final = given if last else ([], _NO_FINAL)
            found = read_field(receiver, name, bool(rest) or final is not _NO_FINAL, declared)
            if isinstance(found, Function):
                receiver, declared = self._call(found, name, node, dot, (rest, final)), ""
            else:
                receiver, declared = found
        return receiver

    def _value_of(self, name: str) -> object:
        for known, value in reversed(self._variables):
            if known == name:
                return value
        raise self._error(f"undefined variable: {name}")

    # Functions.

    def _function(
        self, node: Identifier, whole: Node, dot: object, given: tuple[list[Operand], object]
    ) -> object:
        self._at(node)
        function = self._functions[node.name]
        if node.name in ("and", "or"):
            function.check_count(node.name, len(given[0]) + (given[1] is not _NO_FINAL), len(given[0]))
            return self._logic(node.name, dot, given)
        return self._call(function, node.name, whole, dot, given)

    def _logic(self, name: str, dot: object, given: tuple[list[Operand], object]) -> object:
        """Evaluate `and` and `or`, which stop at the first argument that decides."""
        words, final = given
        value: object = NO_VALUE
        for word in words:
            value = self._argument(word, VALUE, dot)
            if is_true(value) == (name == "or"):
                return value
        return value if final is _NO_FINAL else accept(final, VALUE)

    def _call(
        self, function: Function, name: str, node: Node, dot: object, given: tuple[list[Operand], object]
    ) -> object:
        words, final = given
        count = len(words) + (final is not _NO_FINAL)
        function.check_count(name, count, len(words))
        values = [self._argument(word, function.parameter(place), dot) for place, word in enumerate(words)]
        if final is not _NO_FINAL:
            values.append(accept(final, function.parameter(count - 1)))
        try:
            result = function.call(*values)
        except CallFailed as error:
            self._at(node)
            raise CallFailed(f"error calling {name}: {error}") from None
        self._count([*values, result])
        return result

    def _argument(self, node: Operand, wanted: str, dot: object) -> object:
        self._at(node)
        if isinstance(node, Dot):
            return accept(dot, wanted)
        if isinstance(node, Literal) and node.value is None:
            return accept_nil(wanted)
        if isinstance(node, Field | Variable | Chain):
            return accept(self._reading(node, dot, ([], _NO_FINAL)), wanted)
        if isinstance(node, Pipeline):
            return accept(self._nested(node, dot), wanted)
        if isinstance(node, Identifier):
            return accept(self._function(node, node, dot, ([], _NO_FINAL)), wanted)
        return accept_constant(node, wanted)

    # Limits and errors.

    def _at(self, node: Node) -> None:
        self._node = node
        self._step()

    def _step(self) -> None:
        self._steps += 1
        if self._steps > MOST_STEPS:
            raise OverLimit(f"the template takes more than {MOST_STEPS} steps")

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > DEEPEST:
            raise OverLimit(f"exceeded maximum template depth ({DEEPEST})")

    def _count(self, values: list[object]) -> None:
        self._characters += sum(len(value) for value in values if isinstance(value, str))
        if self._characters > MOST_CHARACTERS:
            raise OverLimit(f"functions work on more than {MOST_CHARACTERS} characters")

    def _error(self, message: str) -> RunError:
        return RunError(message, self._node, self._template)
