"""Walks a parsed template's statements and writes its text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rules.template.directive import Verb
from rules.template.errors import CallFailed, OverLimit
from rules.template.evaluator import Evaluator
from rules.template.nodes import Action, Branch, Invocation, Jump, Pipeline, Statement, Text
from rules.template.printing import Output, print_value, printable_value, sprint
from rules.template.quoting import quote
from rules.template.signature import Function
from rules.template.values import NO_VALUE, GoMap, NoValue, Samples, indirect, is_true


def run(
    name: str, definitions: Mapping[str, list[Statement]], functions: Mapping[str, Function], data: object
) -> str:
    """Return the text of the template called `name`. Raises RunError."""
    interpreter = _Interpreter(name, definitions, functions, data)
    interpreter.list_of(definitions[name], data)
    return interpreter.out.text


_PLAIN = Verb("v")


class _Jumped(Exception):
    def __init__(self, word: str) -> None:
        super().__init__(word)
        self.word = word


class _Interpreter(Evaluator):
    def __init__(
        self,
        name: str,
        definitions: Mapping[str, list[Statement]],
        functions: Mapping[str, Function],
        data: object,
    ) -> None:
        super().__init__(name, functions, data)
        self._definitions = definitions
        self.out = Output()

    def list_of(self, statements: list[Statement], dot: object) -> None:
        for statement in statements:
            try:
                self.at(statement)
                self._statement(statement, dot)
            except (CallFailed, OverLimit) as error:
                raise self.error(str(error)) from None

    def _statement(self, statement: Statement, dot: object) -> None:
        if isinstance(statement, Text):
            self.out.write(statement.text)
        elif isinstance(statement, Action):
            value = self.pipeline(statement.pipeline, dot)
            if not statement.pipeline.variables:
                self.at(statement)
                print_value(self.out, printable_value(value), _PLAIN)
        elif isinstance(statement, Branch):
            self._branch(statement, dot)
        elif isinstance(statement, Jump):
            raise _Jumped(statement.word)
        else:
            self._invocation(statement, dot)

    def _branch(self, branch: Branch, dot: object) -> None:
        mark = len(self.variables)
        self.deeper()
        if branch.word == "range":
            self._range(branch, dot)
        else:
            value = self.pipeline(branch.pipeline, dot)
            if is_true(value):
                self.list_of(branch.body, value if branch.word == "with" else dot)
            else:
                self.list_of(branch.otherwise or [], dot)
        self.depth -= 1
        del self.variables[mark:]

    def _range(self, branch: Branch, dot: object) -> None:
        value = indirect(self.pipeline(branch.pipeline, dot))
        mark = len(self.variables)
        ran = False
        for index, element in self._elements(value, branch):
            ran = True
            self.step()
            self._loop_variables(branch.pipeline, index, element)
            go_on = self._loop_body(branch.body, element)
            del self.variables[mark:]
            if not go_on:
                break
        if not ran:
            self.list_of(branch.otherwise or [], dot)

    def _loop_body(self, body: list[Statement], element: object) -> bool:
        """Run a loop's body once and return whether the loop goes on."""
        depth = self.depth
        try:
            self.list_of(body, element)
        except _Jumped as jump:
            self.depth = depth
            return jump.word == "continue"
        return True

    def _elements(self, value: object, branch: Branch) -> Iterable[tuple[object, object]]:
        if isinstance(value, Samples | GoMap):
            self.spend(8 * len(value))
        if isinstance(value, Samples):
            return enumerate(list(value))
        if isinstance(value, GoMap):
            return value.in_order()
        if isinstance(value, int) and not isinstance(value, bool):
            if len(branch.pipeline.variables) > 1:
                raise self.error(f"can't use {value} to iterate over more than one variable")
            kind = type(value)
            return ((kind(number), kind(number)) for number in range(value))
        if value is None or isinstance(value, NoValue):
            return ()
        raise self.error(f"range can't iterate over {sprint([value])}")

    def _loop_variables(self, pipeline: Pipeline, index: object, element: object) -> None:
        names = [str(variable) for variable in pipeline.variables]
        values = [element] if len(names) == 1 else [index, element]
        for place, (name, value) in enumerate(zip(names, values, strict=False)):
            if pipeline.assigns:
                self.assign(name, value)
            else:
                self.variables[place - len(names)] = (name, value)

    def _invocation(self, node: Invocation, dot: object) -> None:
        body = self._definitions.get(node.name)
        if body is None:
            raise self.error(f"template {quote(node.name)} not defined")
        value = self.pipeline(node.pipeline, dot) if node.pipeline else NO_VALUE
        outer = self.template, self.variables
        self.template, self.variables = node.name, [("$", value)]
        self.deeper()
        self.list_of(body, value)
        self.depth -= 1
        self.template, self.variables = outer
