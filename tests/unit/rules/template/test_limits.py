"""What one template may take: too much is an error that says so, and soon."""

from __future__ import annotations

import time

import pytest

from rules.template import LONGEST_TEMPLATE, TemplateContext, TemplateError, expand_or_say, parse

CONTEXT = TemplateContext({"text": "x" * 5000}, 1.0)


def refusal(text: str) -> str:
    template = parse(text)
    started = time.process_time()
    with pytest.raises(TemplateError) as caught:
        template.expand(CONTEXT)
    assert time.process_time() - started < 3
    assert "<error expanding template: " in expand_or_say(template, CONTEXT)
    return caught.value.message


def test_a_text_of_64_kib_parses_and_a_longer_one_does_not() -> None:
    assert parse("é" * (LONGEST_TEMPLATE // 2)).expand(CONTEXT) == "é" * (LONGEST_TEMPLATE // 2)
    with pytest.raises(TemplateError, match="longer than 65536 bytes"):
        parse("é" * (LONGEST_TEMPLATE // 2) + "x")


def test_a_loop_ends() -> None:
    assert "steps" in refusal("{{ range 1000000000000 }}{{ end }}")


def test_loops_in_loops_end() -> None:
    assert "steps" in refusal("{{ range 1000 }}{{ range 1000 }}{{ range 1000 }}{{ end }}{{ end }}{{ end }}")


def test_the_output_ends() -> None:
    assert "longer than 1048576" in refusal("{{ range 1000 }}{{ $.Labels.text }}{{ end }}")


def test_a_text_that_doubles_ends() -> None:
    assert "longer than 1048576" in refusal(
        '{{ $x := "abcdef" }}{{ range 100 }}{{ $x = print $x $x }}{{ end }}'
    )


def test_a_value_that_doubles_in_itself_is_printed_no_further() -> None:
    text = "{{ $x := args $.Labels.text }}{{ range 100 }}{{ $x = args $x $x }}{{ end }}{{ $x }}"
    assert "longer than 1048576" in refusal(text)


def test_a_value_of_many_small_pieces_is_printed_no_further() -> None:
    assert "pieces" in refusal("{{ $x := args 1 }}{{ range 100 }}{{ $x = args $x $x }}{{ end }}{{ $x }}")


def test_a_wide_field_is_refused() -> None:
    assert "longer than 1048576" in refusal('{{ printf "%1000000d%1000000d" 1 2 }}')


def test_a_replacement_that_grows_ends() -> None:
    assert "longer than 1048576" in refusal('{{ reReplaceAll "x" $.Labels.text $.Labels.text }}')


def test_a_replacement_in_very_many_places_ends() -> None:
    assert "matches more than" in refusal('{{ reReplaceAll "" "" (printf "%900000d" 1) }}')


def test_going_through_a_large_map_again_and_again_ends() -> None:
    text = "{{ $x := args " + "1 " * 20_000 + "}}{{ range 10000 }}{{ range $x }}{{ break }}{{ end }}{{ end }}"
    assert "characters" in refusal(text)


def test_many_variables_looked_up_many_times_end() -> None:
    text = "{{ $a := 1 }}" + "{{ $b := 1 }}" * 4000 + "{{ range 10000 }}{{ if $a }}{{ end }}{{ end }}"
    assert "characters" in refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "{{ $t := toTime 0 }}{{ range 1000 }}{{ $t = $t.Add 9000000000000000000 }}{{ end }}{{ $t }}",
        "{{ (toTime 0).AddDate 9000 0 0 }}",
        "{{ (toTime 0).AddDate -9000000000000 0 0 }}",
        "{{ (toTime 0).AddDate 0 0 9000000000000 }}",
    ],
)
def test_a_time_far_from_all_others_is_refused(text: str) -> None:
    assert "not in the years 1 to 9999" in refusal(text)


def test_work_on_long_texts_ends() -> None:
    text = '{{ $x := printf "%900000d" 1 }}{{ range 10000 }}{{ $y := toUpper $x }}{{ end }}'
    assert "characters" in refusal(text)


def test_a_template_that_calls_itself_ends() -> None:
    text = '{{ define "x" }}{{ template "x" }}{{ end }}{{ template "x" }}'
    assert refusal(text) == "exceeded maximum template depth (100)"


def test_a_template_that_calls_itself_in_many_ways_ends() -> None:
    text = '{{ define "x" }}{{ if 1 }}{{ with (print (print 1)) }}{{ template "x" . }}{{ end }}{{ end }}{{ end }}'
    assert "depth" in refusal(text + '{{ template "x" }}')


@pytest.mark.parametrize(
    "text",
    [
        "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
        "{{ if 1 }}" * 3000 + "{{ end }}" * 3000,
        "{{ if 0 }}" + "{{ else if 0 }}" * 3000 + "{{ end }}",
        '{{ block "y" . }}' * 500,
    ],
)
def test_what_is_nested_too_deeply_does_not_parse(text: str) -> None:
    with pytest.raises(TemplateError, match="nested deeper than 60 levels"):
        parse(text)


def test_what_is_nested_as_deeply_as_allowed_is_expanded() -> None:
    deep = "{{ if 1 }}" * 30 + "{{ " + "(" * 30 + "1" + ")" * 30 + " }}" + "{{ end }}" * 30
    assert parse(deep).expand(CONTEXT) == "1"


def test_a_regular_expression_has_a_length() -> None:
    assert "longer than 10000" in refusal('{{ match (printf "%20000d" 1) "a" }}')


def test_a_regular_expression_takes_no_time_that_grows_by_powers() -> None:
    assert parse('{{ match "(a*)*b" $labels.text }}').expand(CONTEXT) == "false"


def test_a_bad_regular_expression_writes_nothing_to_the_log(capfd: pytest.CaptureFixture[str]) -> None:
    refusal('{{ match "(" "a" }}')
    assert capfd.readouterr() == ("", "")


def test_long_numbers_are_refused() -> None:
    with pytest.raises(TemplateError, match="number of more than 400 characters"):
        parse("{{ " + "9" * 50_000 + " }}")
