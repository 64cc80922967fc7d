"""The functions of templates, by what Prometheus' and Go's documents say of them."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from rules.template import TemplateContext, TemplateError, expand_or_say, parse


@dataclass(frozen=True)
class Series:
    value: float
    labels: dict[str, str] = field(default_factory=dict)


CONTEXT = TemplateContext(
    {"instance": "db1:5432", "text": "aa bb CC"},
    0.1,
    {"region": "eu"},
    "http://prometheus.example.com:9090/some/path?x=1",
    lambda _: [Series(21.0, {"n": "b", "__value__": "ok"}), Series(2.0, {"n": "a"})],
    1435065584.128,
)


def expanded(text: str, context: TemplateContext = CONTEXT) -> str:
    return expand_or_say(parse(text, "A"), context)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        # The examples of Prometheus' documents.
        ("{{ humanize 1234567.0 }}", "1.235M"),
        ("{{ humanize1024 1048576.0 }}", "1Mi"),
        ("{{ humanizeDuration 899.99 }}", "14m 59s"),
        ("{{ humanizePercentage 0.1234567 }}", "12.35%"),
        ("{{ humanizeTimestamp 1435065584.128 }}", "2015-06-23 13:19:44.128 +0000 UTC"),
        ('{{ title "aa bb CC" }}', "Aa Bb CC"),
        ("{{ toUpper $labels.text }}", "AA BB CC"),
        ("{{ toLower $labels.text }}", "aa bb cc"),
        ('{{ match "a+" "aa" }}', "true"),
        ('{{ reReplaceAll "localhost:(.*)" "my.domain:$1" "localhost:3000" }}', "my.domain:3000"),
        ('{{ with query "x" }}{{ . | first | value | humanize }}{{ end }}', "21"),
        ('{{ range query "x" | sortByLabel "n" }}{{ .Labels.n }}={{ .Value }} {{ end }}', "a=2 b=21 "),
        ('{{ query "x" | first | label "n" }} {{ query "x" | first | strvalue }}', "b ok"),
        # Numbers as texts, as Prometheus takes them.
        ('{{ humanize "1500" }} {{ humanizeDuration "0x10p0" }} {{ humanize "+Inf" }}', "1.5k 16s +Inf"),
        # What came after the version that the others are compared with.
        ("{{ toDuration 90 }} {{ (toDuration 5400.5).Hours }}", "1m30s 1.500138888888889"),
        ("{{ humanizeDuration ((toTime 100).Sub (toTime 39)) }}", "1m 1s"),
        ("{{ now }} {{ now | toTime }}", "1.435065584128e+09 2015-06-23 13:19:44.128 +0000 UTC"),
        ('{{ urlQueryEscape "a b&c=ü" }}', "a+b%26c%3D%C3%BC"),
        ("{{ externalURL }} {{ pathPrefix }}", "http://prometheus.example.com:9090/some/path?x=1 /some/path"),
        ("{{ range 3 }}{{ . }}{{ end }}", "012"),
        ("{{ range $i := 2 }}{{ $i }};{{ end }}{{ range 0 }}x{{ else }}none{{ end }}", "0;1;none"),
        ("{{ with 0 }}a{{ else with 2 }}{{ . }}{{ else }}c{{ end }}", "2"),
        ("{{ with 0 }}a{{ else with 0 }}b{{ else }}c{{ end }}", "c"),
        # Titles go by Unicode's words.
        ('{{ title "don\'t a.b a-b a_b a:b 1st (x) é" }}', "Don't A.b A-B A_b A:b 1St (X) É"),
        ('{{ title "a..b ß ǆ 日本x" }}', "A..B Ss ǅ 日本X"),
        # A missing label is empty, a missing function's result is nothing.
        ("[{{ $labels.nope }}]", "[]"),
        ("{{ (args 1).nope }}", "<no value>"),
        ("{{ $value }} {{ .Value }} {{ $externalLabels.region }}", "0.1 0.1 eu"),
        ('{{ (toTime 0).Format "2006-01-02" }}', "1970-01-01"),
        ("{{ ((toDuration 1.5).Round 1000000000) }} {{ (toDuration -1.5).Truncate 1000000000 }}", "2s -1s"),
        (
            "{{ (toDuration 0.0000015) }} {{ toDuration 0.0025 }} {{ toDuration 1e-9 }} {{ toDuration 0 }}",
            "1.5µs 2.5ms 1ns 0s",
        ),
        ('{{ slice "é" 0 1 }}', "\N{REPLACEMENT CHARACTER}"),
        ('{{ printf "%s%s" (slice "é" 0 1) (slice "é" 1) }}', "é"),
        ('{{ $a := slice "é" 0 1 }}{{ $a }}{{ slice "é" 1 }}', "é"),
    ],
)
def test_a_template_says(text: str, said: str) -> None:
    assert expanded(text) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.1, "0.1"),
        (1e6, "1e+06"),
        (999999.0, "999999"),
        (1.5e-7, "1.5e-07"),
        (0.0001, "0.0001"),
        (-0.0, "-0"),
        (3.0, "3"),
        (float("inf"), "+Inf"),
        (float("-inf"), "-Inf"),
        (float("nan"), "NaN"),
        (5e-324, "5e-324"),
        (1.7976931348623157e308, "1.7976931348623157e+308"),
    ],
)
def test_the_value_is_written_as_go_writes_it(value: float, said: str) -> None:
    assert expanded("{{ $value }}", TemplateContext({}, value)) == said


def test_a_value_of_any_kind_may_be_in_the_place_of_an_interface() -> None:
    assert expanded("{{ .Value.Foo }}").endswith(
        "at <.Value.Foo>: can't evaluate field Foo in type interface {}>"
    )


def test_a_duration_from_a_number_is_a_pointer_and_no_number_as_in_prometheus() -> None:
    assert "can't convert *time.Duration to float>" in expanded("{{ humanizeDuration (toDuration 90) }}")


def test_numbers_that_do_not_compare_name_their_types() -> None:
    assert "incompatible types for comparison: float64 and int>" in expanded("{{ eq $value 1 }}")


@pytest.mark.parametrize("text", ["{{ toTime 1e30 }}", "{{ humanizeTimestamp 1e30 }}"])
def test_a_time_that_is_too_far_away_is_refused(text: str) -> None:
    assert "1e+30 cannot be represented as a nanoseconds timestamp since it overflows int64" in expanded(text)


def test_what_a_query_raises_is_the_templates_error() -> None:
    def refuse(text: str) -> list[Series]:
        raise LookupError(f"no such metric: {text}")

    said = expanded('{{ query "up" }}', TemplateContext({}, 1.0, query=refuse))
    assert said.endswith("error calling query: no such metric: up>")


def test_without_something_to_query_a_query_is_an_error() -> None:
    assert "error calling query" in expanded('{{ query "up" }}', TemplateContext({}, 1.0))


def test_the_samples_of_a_caller_are_not_changed() -> None:
    samples = [Series(1.0, {"n": "b"}), Series(2.0, {"n": "a"})]
    context = TemplateContext({}, 1.0, query=lambda _: samples)
    assert expanded('{{ query "x" | sortByLabel "n" | first | value }}', context) == "2"
    assert [sample.labels["n"] for sample in samples] == ["b", "a"]


def test_a_template_can_be_expanded_again_with_other_labels() -> None:
    template = parse("{{ $x := $labels.a }}{{ $x }}")
    assert [template.expand(TemplateContext({"a": text}, 0.0)) for text in "xyx"] == ["x", "y", "x"]


def test_an_error_tells_what_and_where_in_the_text_and_as_prometheus_tells_it() -> None:
    template = parse('über\n  {{ $labels.a | printf "%d" 1 2 | len | toUpper }}', "Alert")
    with pytest.raises(TemplateError) as caught:
        template.expand(TemplateContext({"a": "x"}, 0.0))
    error = caught.value
    assert (error.line, error.column) == (2, 42)
    assert error.message == "wrong type for value; expected string; got int"
    assert error.report == (
        'template: __alert_Alert:2:41: executing "__alert_Alert" at <toUpper>: '
        "wrong type for value; expected string; got int"
    )
    assert str(error) == "2:42: wrong type for value; expected string; got int"
    assert expand_or_say(template, TemplateContext({"a": "x"}, 0.0)) == (
        "<error expanding template: error executing template __alert_Alert: " + error.report + ">"
    )


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("{{ nope }}", (1, 4), 'function "nope" not defined'),
        ("a\nb {{ $nope }}", (2, 6), 'undefined variable "$nope"'),
        ('{{ tmpl "x" . }}', (1, 4), 'function "tmpl" not defined'),
        ("ü{{ if }}", (1, 8), "missing value for if"),
        ("{{ 1) }}", (1, 5), "unexpected right paren"),
        ("{{ if 1 }}", (1, 11), "unexpected EOF"),
        ("{{ '' }}", (1, 4), "invalid syntax"),
        ("{{ 1i }}", (1, 4), 'complex numbers are not supported: "1i"'),
        ("{{ 1+2i }}", (1, 4), 'complex numbers are not supported: "1+2i"'),
        ("\ud800", (1, 1), "the text is not valid UTF-8"),
    ],
)
def test_a_text_that_does_not_parse_is_refused_with_its_place(
    text: str, place: tuple[int, int], message: str
) -> None:
    with pytest.raises(TemplateError) as caught:
        parse(text)
    assert (caught.value.message, (caught.value.line, caught.value.column)) == (message, place)
