"""What our templates say is byte for byte what Prometheus' own (promtool's) say."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from rules.template import TemplateContext, TemplateError, expand_or_say, parse
from tests.fixtures.missing import missing


@dataclass(frozen=True)
class Sample:
    labels: dict[str, str]
    value: float


CASES = [
    Sample({"instance": "db1.example.com:9100", "job": "node", "mount": "/var/lib"}, 0.9312345),
    Sample({"instance": "10.1.2.3:5432", "job": "pg", "text": "say \"hi\" <b>&'x' = \\ `y`\n\tz"}, 1234567.0),
    Sample({"instance": "[::1]:80", "job": "Ünïcode ß 日本", "empty": "x y  z"}, -0.000015),
    Sample({"instance": "localhost", "job": "a_b-c", "n": "12.5"}, float("nan")),
    Sample({"instance": "::1", "job": "1st", "n": "-3"}, float("inf")),
    Sample({"instance": "host:", "job": "", "n": "abc"}, 0.0),
    Sample({"instance": "a.b", "n": "1e400"}, 1435065584.128),
    Sample({"instance": "x", "n": "0x1p4"}, -86461.5),
    Sample({"instance": "y", "n": "1_000"}, 1e21),
    Sample({"instance": "z", "n": "inf"}, 12.0),
]
QUERIES: dict[str, list[Sample]] = {
    "sort(y)": [
        Sample({"__name__": "y", "n": "b", "m": "1"}, 1.5),
        Sample({"__name__": "y", "n": "a", "m": "2"}, 2.0),
        Sample({"__name__": "y", "n": "c", "m": "1"}, 3e9),
    ],
    "sum(y)": [Sample({}, 3000000003.5)],
    "nothing": [],
}
EXTERNAL = {"region": "eu-1", "cluster": "c<1>"}
URL = "http://prometheus.example.com:9090/some/path"

EXPANDED = [
    # Text, spaces, comments.
    "",
    "plain",
    "a {{/* comment */}} b {{- /* trimmed */ -}} c",
    "a  {{- $value -}}  b",
    "a \n\t{{- 1 }} \n {{ 2 -}} \n b",
    "a{{ -3 }}b{{- -3 -}} c",
    "{ { }} } {{ `{{` }} {{ `}}` }}",
    "{{\n1\n}}",
    "{{ 1 | \n printf \"%d\" }}",
    # Values.
    "{{ $value }} {{ .Value }}",
    "{{ $labels }} {{ .Labels }}",
    "{{ . }}",
    "{{ $ }}",
    "{{ $labels.instance }} {{ .Labels.instance }} {{ $.Labels.job }}",
    "{{ $labels.nothing }}|{{ .Labels.nothing }}|{{ $labels.nothing | len }}",
    "{{ $externalLabels }} {{ .ExternalLabels.region }} {{ $externalLabels.cluster }}",
    "{{ $externalURL }} {{ .ExternalURL }}",
    "{{ true }} {{ false }} {{ 1 }} {{ 1.5 }} {{ 'a' }} {{ \"s\" }} {{ `r\\n` }}",
    "{{ 0x1F }} {{ 0b101 }} {{ 0o17 }} {{ 017 }} {{ 1_000 }} {{ 1e3 }} {{ 0x1p-2 }} {{ .5 }} {{ 5. }} {{ +7 }} {{ -0 }}",
    "{{ 1e5 }} {{ 1e6 }} {{ 123456789.0 }} {{ 1e20 }} {{ 1e21 }} {{ 1e-4 }} {{ 1e-5 }} {{ 100000.0 }} {{ 0.1 }}",
    "{{ \"\\a\\b\\f\\n\\r\\t\\v\\\\\\\"\\101\\x41\\u00e9\\U0001F600\" }}",
    "{{ \"\\xc3\\xa9\" }}",
    "{{ '\\n' }} {{ '\\'' }} {{ 'é' }} {{ '\\x41' }} {{ '\\u00e9' }}",
    "{{ 9223372036854775807 }} {{ -9223372036854775808 }}",
    "{{ 9223372036854775808 }}",
    "{{ nil }}",
    "{{ print nil }}",
    "{{ print nil 1 nil }}",
    # Variables.
    "{{ $x := 1 }}{{ $x }}{{ $x = 2 }}{{ $x }}",
    "{{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ end }}{{ $x }}",
    "{{ $x := 1 }}{{ if true }}{{ $x := 2 }}{{ $x }}{{ end }}{{ $x }}",
    "{{ with $x := $value }}{{ $x }}{{ end }}",
    "{{ $x := \"a\" | printf \"%s-%s\" \"b\" }}{{ $x }}",
    "{{ $labels := 1 }}{{ $labels }}",
    # Conditions.
    "{{ if $value }}yes{{ else }}no{{ end }}",
    "{{ if eq $labels.job \"node\" }}1{{ else if eq $labels.job \"pg\" }}2{{ else }}3{{ end }}",
    "{{ if gt $value 1.0 }}big{{ else if lt $value 0.0 }}negative{{ else }}small{{ end }}",
    "{{ if and (gt $value 0.5) (lt $value 1.0) }}in{{ end }}",
    "{{ if or (eq $labels.job \"x\") (ne $labels.instance \"x\") }}in{{ end }}",
    "{{ if not $labels.n }}no n{{ end }}",
    "{{ with $labels.n }}n={{ . }}{{ else }}none{{ end }}",
    "{{ with .Labels }}{{ .job }}{{ end }}",
    "{{ and 1 0 2 }} {{ and 1 2 }} {{ or 0 \"\" 3 }} {{ or 0 \"\" }} {{ not 0 }} {{ not \"a\" }}",
    "{{ and false (index $labels 1) }} {{ or true (index $labels 1) }}",
    "{{ 1 | and 2 }} {{ 0 | or 0 }} {{ 5 | or 0 }}",
    "{{ eq 1 1 }} {{ eq 1 2 3 1 }} {{ ne 1 2 }} {{ lt 1 2 }} {{ le 2 2 }} {{ gt \"b\" \"a\" }} {{ ge 1.5 1.5 }}",
    "{{ eq \"a\" \"a\" }} {{ eq true true }} {{ eq (index \"a\" 0) 97 }} {{ lt (index \"a\" 0) 98 }}",
    "{{ eq $value 12.0 }} {{ ne $value 12.0 }} {{ lt $value 0.0 }} {{ ge $value 0.0 }} {{ gt $value 0.0 }}",
    "{{ eq 1 1.0 }}",
    "{{ eq $value 0 }}",
    "{{ lt $value 1 }}",
    "{{ gt \"a\" 1 }}",
    "{{ lt true false }}",
    "{{ eq $labels $labels }}",
    "{{ eq 1 }}",
    "{{ lt 1 }}",
    "{{ eq nil nil }} {{ eq nil 1 }}",
    # Loops.
    "{{ range $k, $v := $labels }}{{ $k }}={{ $v }};{{ end }}",
    "{{ range $labels }}[{{ . }}]{{ end }}",
    "{{ range $v := .ExternalLabels }}[{{ $v }}{{ . }}]{{ end }}",
    "{{ range $i, $e := query \"sort(y)\" }}{{ $i }}:{{ $e.Labels.n }}={{ $e.Value }} {{ end }}",
    "{{ range query \"sort(y)\" }}{{ .Labels.n }} {{ .Value | humanize }},{{ end }}",
    "{{ range query \"nothing\" }}x{{ else }}none{{ end }}",
    "{{ range query \"sort(y)\" }}{{ if eq .Labels.n \"a\" }}{{ continue }}{{ end }}{{ .Labels.n }}{{ end }}",
    "{{ range query \"sort(y)\" }}{{ if eq .Labels.n \"a\" }}{{ break }}{{ end }}{{ .Labels.n }}{{ end }}",
    "{{ range $i, $e := args 1 \"b\" nil }}{{ $i }}={{ $e }} {{ end }}",
    "{{ $x := 0 }}{{ $y := \"\" }}{{ range $x, $y = $labels }}{{ end }}{{ $x }}{{ $y }}",
    "{{ range $value }}x{{ end }}",
    "{{ range $labels.job }}x{{ end }}",
    "{{ range nil }}x{{ end }}",
    # Templates.
    "{{ define \"x\" }}<{{ . }}>{{ end }}{{ template \"x\" $value }}{{ template \"x\" }}",
    "{{ template \"x\" .Labels }}{{ define \"x\" }}{{ .job }}{{ $.instance }}{{ end }}",
    "{{ block \"b\" $labels.instance }}[{{ . }}]{{ end }}",
    "{{ template \"nope\" }}",
    "{{ define \"x\" }}{{ .Foo }}{{ end }}{{ template \"x\" . }}",
    "{{ define \"x\" }}{{ end }}{{ define \"x\" }}full{{ end }}{{ template \"x\" }}",
    # Functions of Go.
    "{{ len $labels.instance }} {{ len $labels }} {{ len \"é\" }} {{ len (query \"sort(y)\") }}",
    "{{ len 3 }}",
    "{{ len nil }}",
    "{{ index $labels \"instance\" }}{{ index $labels \"no\" }}|{{ index \"abc\" 1 }}",
    "{{ index (query \"sort(y)\") 1 | value }}",
    "{{ index (query \"sort(y)\") 7 }}",
    "{{ index (query \"sort(y)\") 3 }}",
    "{{ index $labels 1 }}",
    "{{ index 1 1 }}",
    "{{ index nil 1 }}",
    "{{ index \"abc\" \"a\" }}",
    "{{ index \"abc\" 3 }}",
    "{{ index \"abc\" nil }}",
    "{{ slice \"abcdef\" 1 3 }} {{ slice \"abc\" }} {{ slice \"abc\" 1 }} {{ len (slice (query \"sort(y)\") 1) }}",
    "{{ slice \"abc\" 2 1 }}",
    "{{ slice \"abc\" 9 }}",
    "{{ slice \"abc\" 1 2 3 }}",
    "{{ slice 1 }}",
    "{{ slice \"é\" 0 1 }}|",
    "{{ print 1 2 \"a\" \"b\" 3 4.5 true }} {{ println 1 \"a\" }}",
    "{{ html $labels.text }} {{ js $labels.text }} {{ urlquery $labels.text }}",
    "{{ html 1 2 }} {{ js \"a=b\" nil }} {{ urlquery \"a b/ü~-_.!*'()\" 1 }}",
    "{{ $labels.job | html | js | urlquery }}",
    "{{ js \"\\u2028\\x01\\u00a0\" }}",
    "{{ call 1 }}",
    "{{ call nil }}",
    # printf.
    "{{ printf \"%v %s %d %f %.2f %e %g %t %q %x %%\" 1 \"s\" 2 1.5 1.255 1.5 1.5 true \"q\\\"\" \"hex\" }}",
    "{{ printf \"%5d|%-5d|%05d|%+d|% d|%x|%X|%#x|%o|%#o|%O|%b|%c|%U|%#U|%q\" 42 42 42 42 42 42 42 42 42 42 42 42 65 65 65 65 }}",
    "{{ printf \"%5d|%-5d|%05d|%+d|% d|%x|%+.3d|%.0d|%8.3d|%-8.3d|\" -42 -42 -42 -42 -42 -42 -42 0 -42 -42 }}",
    "{{ printf \"%5s|%-5s|%.2s|%5.1s|%05s|%x|%X|% x|%#x|%# x|%q|%#q|%+q\" \"abc\" \"abc\" \"abc\" \"abc\" \"abc\" \"abc\" \"abc\" \"abc\" \"abc\" \"abc\" \"é\" \"é\" \"é\" }}",
    "{{ printf \"%6.2f|%-8.2f|%08.2f|%+.1f|% .1f|%.0f|%5.1f%%|%g|%G|%E|%F\" 3.14159 3.14159 3.14159 3.14159 3.14159 2.5 99.95 1e-7 1e-7 1.5 1.5 }}",
    "{{ printf \"%.3g|%.10g|%10.3e|%#g|%#.3g|%#f|%#v|%+v|%x|%X|%.3x\" 1234.5 1234.5 1234.5 1.0 1.0 1.0 1.0 1.0 1.0 1.75 1.0 }}",
    "{{ printf \"%v|%6v|%-6v|%06v|%+v|% v|%.2v|%e|%f|%g\" $value $value $value $value $value $value $value $value $value $value }}",
    "{{ printf \"%.0f|%.1f|%.3f|%6.2f|%+.2e|%+g|% g|%08.1f|%-9.1f|%9.1f\" $value $value $value $value $value $value $value $value $value $value }}",
    "{{ printf \"%.4g|%.1g|%.15g|%#g|%#.4g|%G|%#v\" $value $value $value $value $value $value $value }}",
    "{{ printf \"%d\" $value }}",
    "{{ printf \"%s\" $value }}",
    "{{ printf \"%s %d %v\" $labels.nothing $labels.nothing $labels.nothing }}",
    "{{ printf \"%T %T %T %T %T %T %T\" 1 1.5 \"a\" true nil $labels 'a' }}",
    "{{ printf \"%T %T %T\" (args 1) (query \"sort(y)\") (query \"sort(y)\" | first) }}",
    "{{ printf \"%v %+v %q %d %s\" $externalLabels $externalLabels $externalLabels $externalLabels $externalLabels }}",
    "{{ printf \"%#v\" $externalLabels }}",
    "{{ printf \"%v|%+v\" . . }}",
    "{{ printf \"%v|%d|%t\" (args 1 \"a\" nil) (args 1 \"a\" nil) (args 1) }}",
    "{{ printf \"%v|%+v|%s\" (query \"sort(y)\" | first) (query \"sort(y)\" | first) (query \"sort(y)\" | first) }}",
    "{{ printf \"%d %s %z %!\" \"a\" 1 2 }}",
    "{{ printf \"%d\" }} {{ printf \"%d %d\" 1 }} {{ printf \"x\" 1 \"a\" nil }} {{ printf \"%\" }} {{ printf \"%5\" 1 }}",
    "{{ printf \"%[2]d %[1]d\" 1 2 }} {{ printf \"%[3]d\" 1 }} {{ printf \"%[x]d\" 1 }} {{ printf \"%[1]*d|\" 5 }} {{ printf \"%[2]*[1]d|\" 1 5 }}",
    "{{ printf \"%*d|%-*d|%.*f|%*d|\" 5 1 5 1 2 1.5 -5 1 }} {{ printf \"%*d\" \"a\" 1 }} {{ printf \"%.*d\" -1 1 }}",
    "{{ printf \"%t %v %5t %q %x\" true false true true false }}",
    "{{ printf \"%s\" nil }} {{ printf \"%v\" nil }} {{ printf \"%d\" nil }} {{ printf \"%T\" nil }} {{ printf \"%5v|\" nil }}",
    "{{ printf \"%#v %#v %#v %#v %#v\" 1 \"a\" true 'a' 1e6 }} {{ printf \"%+v %+v\" 1 \"a\" }}",
    "{{ printf \"%c %c %q %U\" 233 128512 233 128512 }} {{ printf \"%+q %#q\" 233 233 }}",
    "{{ printf \"%v %d %x %s\" (index \"a\" 0) (index \"a\" 0) (index \"a\" 0) (index \"a\" 0) }}",
    "{{ printf \"%6.2f%%\" 12.345 }} {{ 12.345 | printf \"%.1f\" }} {{ printf \"%s\" (printf \"%d\" 1) }}",
    "{{ printf \"%q\" \"a\\x00\\x7f\\u200b\\U0001F600\\xff\" }} {{ printf \"%+q\" \"日\\U0001F600\" }}",
    "{{ printf \"%-10s|%10s|%-10q|\" \"é日\" \"é日\" \"é\" }}",
    "{{ printf \"%w\" 1 }} {{ printf \"%s %s\" \"a\" }} {{ printf \"%!d\" 1 }} {{ printf \"%.d|%.f|%.s|\" 1 1.5 \"a\" }}",
    "{{ printf 1 }}",
    "{{ printf }}",
    "{{ 1 | printf }}",
    # Functions of Prometheus.
    "{{ $value | humanize }} {{ humanize 0.0 }} {{ humanize 999.95 }} {{ humanize -1234567.0 }} {{ humanize 1e30 }}",
    "{{ $value | humanize1024 }} {{ humanize1024 1048576.0 }} {{ humanize1024 1 }} {{ humanize1024 -2048 }}",
    "{{ $value | humanizeDuration }} {{ humanizeDuration 0 }} {{ humanizeDuration 899.99 }} {{ humanizeDuration 59.9 }}",
    "{{ humanizeDuration 3600 }} {{ humanizeDuration 86400.5 }} {{ humanizeDuration -61 }} {{ humanizeDuration 0.0034 }}",
    "{{ $value | humanizePercentage }} {{ humanizePercentage 0.1234567 }} {{ humanizePercentage 1 }}",
    "{{ $value | humanizeTimestamp }} {{ humanizeTimestamp 1435065584.128 }}",
    "{{ humanizeTimestamp -1.5 }} {{ humanizeTimestamp 1e30 }}",
    "{{ humanize \"12345\" }} {{ humanize1024 \"2048\" }} {{ humanizeDuration \"90\" }} {{ humanizePercentage \"0.5\" }} {{ humanizeTimestamp \"0\" }}",
    "{{ humanize $labels.n }}",
    "{{ humanizeDuration $labels.n }}",
    "{{ humanize true }}",
    "{{ humanize nil }}",
    "{{ humanize $labels }}",
    "{{ $value | humanize | toUpper }}",
    "{{ toUpper $labels.job }} {{ toLower $labels.job }} {{ toUpper \"ß ŉ ǆ ÿ ᾳ\" }} {{ toLower \"İ Σ ΑΣ\" }}",
    "{{ title \"aa bb CC dd-ee x_y\" }} {{ title \"élan\" }} {{ $labels.mount | title }}",
    "{{ match \"a+\" \"baa\" }} {{ match \"^a\" \"baa\" }} {{ match \"[0-9]+\" $labels.instance }}",
    "{{ match \"(\" \"a\" }}",
    "{{ reReplaceAll \"([^:]+):(.*)\" \"$2 on $1\" $labels.instance }}",
    "{{ $labels.instance | reReplaceAll \":.*\" \"\" }} {{ reReplaceAll \"a*\" \"x\" \"baaac\" }} {{ reReplaceAll \"\" \"-\" \"éa\" }}",
    "{{ reReplaceAll \"(?P<n>b+)\" \"<$n|${n}|$1|$$|$1x|${1}x|$z|$>\" \"abbc\" }} {{ reReplaceAll \"a|$\" \"Z\" \"ba\" }}",
    "{{ reReplaceAll \"(?i)D([BX])\" \"${1}$0$9\" \"db dx\" }} {{ reReplaceAll \"^|b\" \"-\" \"abab\" }}",
    "{{ reReplaceAll \"[\" \"\" \"a\" }}",
    "{{ reReplaceAll \"a**\" \"\" \"a\" }}",
    "{{ reReplaceAll \"(?=a)\" \"\" \"a\" }}",
    "{{ reReplaceAll \"a{1001}\" \"\" \"a\" }}",
    "{{ reReplaceAll \"*\" \"\" \"a\" }}",
    "{{ reReplaceAll \")\" \"\" \"a\" }}",
    "{{ reReplaceAll \"\\\\8\" \"\" \"a\" }}",
    "{{ reReplaceAll \"[b-a]\" \"\" \"a\" }}",
    "{{ reReplaceAll \"a\\\\\" \"\" \"a\" }}",
    "{{ reReplaceAll \"\\\\p{Foo}\" \"\" \"a\" }}",
    "{{ reReplaceAll \"(?P<n\" \"\" \"a\" }}",
    "{{ reReplaceAll \"(?P<n>a)(?P<n>a)\" \"\" \"a\" }}",
    "{{ reReplaceAll \"[[:foo:]]\" \"\" \"a\" }}",
    "{{ reReplaceAll \"((a)\" \"\" \"a\" }}",
    "{{ reReplaceAll \"x`(\" \"\" \"a\" }}",
    "{{ stripPort $labels.instance }} {{ stripDomain $labels.instance }}",
    "{{ stripPort \"a:b:c\" }} {{ stripPort \"[::1]\" }} {{ stripDomain \"a.b.c:9\" }} {{ stripDomain \"1.2.3.4\" }} {{ stripDomain \"[fe80::1]:9\" }}",
    "{{ graphLink \"up{a=\\\"b c\\\"}\" }} {{ tableLink \"up == 0\" }}",
    "{{ parseDuration \"1h30m\" }} {{ parseDuration \"1d\" }} {{ parseDuration \"0\" }} {{ parseDuration \"15ms\" }} {{ parseDuration \"1y2w\" }}",
    "{{ parseDuration \"x\" }}",
    "{{ parseDuration \"\" }}",
    "{{ parseDuration \"9999999999y\" }}",
    "{{ safeHtml \"<b>\" }} {{ html (safeHtml \"<b>\") }} {{ printf \"%T\" (safeHtml \"a\") }} {{ print 1 (safeHtml \"a\") 2 }}",
    "{{ safeHtml \"a\" | toUpper }}",
    "{{ (args 1 \"b\").arg1 }} {{ with args $value \"x\" }}{{ .arg0 }}{{ .arg1 }}{{ end }} {{ (args 1).arg7 }}|{{ args }}",
    "{{ printf \"%v\" (args 1).arg5 }}",
    "{{ query \"sort(y)\" | first | value }} {{ query \"sort(y)\" | first | label \"n\" }} {{ query \"sort(y)\" | first | strvalue }}|",
    "{{ query \"sum(y)\" | first | value | humanize }} {{ with query \"sum(y)\" }}{{ . | first | value }}{{ end }}",
    "{{ query \"sort(y)\" | sortByLabel \"n\" | first | label \"n\" }}",
    "{{ $q := query \"sort(y)\" }}{{ $s := sortByLabel \"n\" $q }}{{ range $q }}{{ .Labels.n }}{{ end }}",
    "{{ range query \"sort(y)\" | sortByLabel \"m\" }}{{ .Labels.n }}{{ end }}",
    "{{ query \"sort(y)\" | first }}",
    "{{ query \"nothing\" | first }}",
    "{{ query \"nothing\" }}",
    "{{ query \"sum(\" }}",
    "{{ query 1 }}",
    "{{ query }}",
    "{{ query \"sum(y)\" \"x\" }}",
    "{{ first \"x\" }}",
    "{{ label \"n\" nil }}",
    "{{ value $value }}",
    "{{ (query \"sort(y)\" | first).Labels.n }} {{ (index (query \"sort(y)\") 2).Value }}",
    # Times.
    "{{ toTime 1435065584.128 }} {{ (toTime $value).Year }}",
    "{{ (toTime 1435065584.128).Format \"2006-01-02T15:04:05.000Z07:00 Mon Monday Jan January 1 2 _2 3 03 4 5 06 PM pm MST -0700 -07:00 002 __2\" }}",
    "{{ (toTime 1435065584.128).Format \".999 ,000 05.999999 Janx Monx 2006x _2006 12 1504\" }}",
    "{{ with toTime 1435065584.5 }}{{ .Unix }} {{ .UnixMilli }} {{ .UnixNano }} {{ .Month }} {{ .Day }} {{ .Hour }} {{ .Minute }} {{ .Second }} {{ .Nanosecond }} {{ .Weekday }} {{ .YearDay }} {{ .UTC }} {{ .String }} {{ .IsZero }}{{ end }}",
    "{{ printf \"%s %v %T %q\" (toTime 0) (toTime 1.5) (toTime 0) (toTime 0) }}",
    "{{ printf \"%d %s %v %T\" (toTime 0).Month (toTime 0).Month (toTime 0).Weekday (toTime 0).Month }}",
    "{{ (toTime 100).Sub (toTime 40.5) }} {{ ((toTime 100).Sub (toTime 40.5)).Seconds }} {{ ((toTime 1).Sub (toTime 90000)).Hours }}",
    "{{ (toTime 0).AddDate 1 13 -40 }} {{ (toTime 0).Add 1500000000 }} {{ (toTime 0).Before (toTime 1) }}",
    "{{ (toTime 0).Sub (toTime 0.0015) }} {{ (toTime 3661.001).Sub (toTime 0) }} {{ (toTime 0).Sub (toTime 0) }}",
    "{{ toTime \"x\" }}",
    "{{ (toTime 0).Nope }}",
    "{{ (toTime 0).Format }}",
    "{{ (toTime 0).Format 1 }}",
    "{{ (toTime 0).Year 1 }}",
    "{{ toTime $value | humanize }}",
    # What goes wrong while running.
    "{{ .Foo }}",
    "{{ $labels.instance.x }}",
    "{{ $value.x }}",
    "{{ .Labels.instance 1 }}",
    "{{ .Labels 1 }}",
    "{{ $value 1 }}",
    "{{ 1 2 }}",
    "{{ \"a\" 1 }}",
    "{{ (1) 2 }}",
    "{{ 1 | .Labels }}",
    "{{ toUpper 1 }}",
    "{{ toUpper $value }}",
    "{{ $value | toUpper }}",
    "{{ toUpper nil }}",
    "{{ toUpper }}",
    "{{ toUpper \"a\" \"b\" }}",
    "{{ toUpper (args nil).arg0 }}",
    "{{ match \"a\" }}",
    "{{ reReplaceAll \"a\" \"b\" }}",
    "{{ not }}",
    "{{ and }}",
    "{{ or | and }}",
    "{{ (nil).x }}",
    "{{ nil | print }}",
    "x\ny {{ printf \"%d\" 1 }}\n é {{ .Nope }}",
    "{{ if .Nope }}{{ end }}",
    "{{ with $x := .Nope }}{{ end }}",
    "{{ $x := toUpper 1 }}",
    "{{ $value := toUpper 1 | print }}",
    "{{ print (toUpper (printf \"%d\" 1) 2) | html }}",
    "{{ toUpper.x }}",
    "{{ `raw` | toUpper.x }}",
    "{{ humanize (toUpper \"a\") }}",
    "{{ . | humanize }}",
    "{{ $x = 1 }}",
    "{{ if 1 }}{{ $x := 1 }}{{ end }}{{ $x = 2 }}",
    "{{ 1 | }}",
    "{{ template \"x\" 1 2 | }}",
    "{{ 1_000.5 }} {{ 0x1_0p1 }} {{ 0X_1F }}",
    "{{ range $i, $x := args }}{{ end }}{{ range args 1 }}{{ template \"q\" }}{{ end }}",
    "{{ define \"r\" }}{{ if . }}{{ . }}{{ template \"r\" (slice . 1) }}{{ end }}{{ end }}{{ template \"r\" \"abc\" }}",
    "{{ if and .Labels.n (gt (len .Labels.n) 3) }}{{ .Labels.n | printf \"%.3s...\" }}{{ else }}{{ .Labels.n }}{{ end }}",
    "{{ range $l := args \"a\" \"b\" }}{{ range $k := args 1 2 }}{{ if eq $k 2 }}{{ break }}{{ end }}{{ $l }}{{ $k }}{{ end }};{{ end }}",
    "{{ with 1 }}{{ with 2 }}{{ . }}{{ end }}{{ . }}{{ $.Value }}{{ end }}",
    "{{ printf \"%v\" (index (args 1.5) \"arg0\") }} {{ index (args 1) \"zz\" }} {{ index (args (args 2)) \"arg0\" \"arg0\" }}",
    "{{ index (args 1) 1 }}",
    "{{ print (query \"sort(y)\" | len) (args 1 2) true 1.0 }}",
    "{{ printf \"%08d|%+08d|%x|% x|%#x|%#o|%#b\" -5 5 -255 255 \"hi\" 8 5 }}",
    "{{ printf \"%3c|%-3c|%03d|%.3x|%+x\" 'x' 'y' 'z' 10 10 }}",
    "{{ printf \"%6.3v|%10.4v|%-10v|%10v|%.3v\" 3.14159 \"abcdefgh\" true nil $labels.job }}",
    "{{ printf \"%s|%v|%d\" (toTime 1.5).Unix (toTime 1.5).Unix (toTime 1.5).Unix }}",
    "{{ printf \"%5t|%-7t|%q\" true false true }}",
    "{{ printf \"%99999999d\" 1 }}",
    "{{ printf \"%.99999999d|\" 1 }}",
    "{{ len (printf \"%1000000d\" 1) }}",
    "{{ printf \"%[1]d %[1]v %d\" 1 2 }} {{ printf \"%[2]d %d\" 1 2 }} {{ printf \"%[]d %[-1]d %[1\" 1 }} {{ printf \"%[1]5d\" 1 }} {{ printf \"%.[1]*f\" 2 1.5 }} {{ printf \"%.[2]f\" 1.5 }}",
    "{{ printf \"%-+5d|%+-5d|% 05d|%0-5d|%-05d|%+05.1f|\" 3 3 3 3 3 1.25 }}",
    "{{ printf \"%é %\\n\" 1 2 }}",
]
"""All are expanded for every case."""

REFUSED = [
    "{{", "{{ ", "{{ if", "{{ if }}", "{{ if 1 }}", "{{ end }}", "{{ else }}", "{{ nope }}", "{{ $nope }}",
    "{{ tmpl \"x\" . }}", "{{ 1 }", "{{ (1 }}", "{{ \"a }}", "{{ `a }}", "{{ 'a }}", "{{ 'ab' }}",
    "{{ '' }}", "{{ \"\\z\" }}", "{{ \"\\'\" }}", "{{ 1a }}", "{{ 0x }}", "{{ 1__0 }}", "{{ 08 }}", "{{ .1. }}",
    "{{ 99999999999999999999 }}", "{{ 1e999 }}", "{{ /* x */ }}", "{{/* x }}", "{{/* x */ y }}", "{{ | }}",
    "{{ 1 | 2 }}", "{{ 1 | \"a\" }}", "{{ 1 | . }}", "{{ 1 | nil }}", "{{ 1 | true }}", "{{ $x, $y := 1 }}",
    "{{ $x := }}", "{{ $x : 1 }}", "{{ $x :=1 }}{{ $x.y.z", "{{ range }}", "{{ range $a, $b, $c := 1 }}{{ end }}",
    "{{ range $a, 1 := 1 }}{{ end }}", "{{ break }}", "{{ continue }}", "{{ range 1 }}{{ break 1 }}{{ end }}",
    "{{ define }}", "{{ define x }}{{ end }}", "{{ define \"x\" }}", "{{ define \"x\" 1 }}{{ end }}",
    "{{ define \"x\" }}{{ else }}{{ end }}", "{{ if 1 }}{{ define \"x\" }}{{ end }}{{ end }}", "{{ template }}", "{{ template x }}",
    "{{ block \"x\" }}{{ end }}", "{{ block \"x\" . }}", "{{ define \"x\" }}a{{ end }}{{ define \"x\" }}b{{ end }}",
    "{{ if 1 }}{{ else }}{{ else }}{{ end }}", "{{ if 1 }}{{ else 1 }}{{ end }}", "{{ end 1 }}", "{{ \"a\".b }}", "{{ 1.b }}", "{{ true.b }}",
    "{{ nil.b }}", "{{ ..b }}", "{{ . .b }}{{", "{{ a.b }}", "{{ $a.b }}", "{{ @ }}", "{{ , }}", "{{ 1, 2 }}", "{{ = }}", "{{ := }}",
    "{{ \u00e9 }}", "{{ \u2028 }}", "{{ \x01 }}", "{{ print 1+2 }}", "{{ 1+ }}", "{{ () }}", "{{ (()) }}", "{{ .a+1 }}", "{{ $labels-1 }}",
    "x\n{{ nope }}", "x\n\n{{ if 1 }}\n\n", "x\n{{ print \"a\n\" }}", "x{{ print\n\n1 \"a }}", "{{ 1 }}{{ if 1 }}{{ if 2 }}{{ end }}",
    "{{ if 1 }}{{ range 2 }}{{ end }}{{ else }}{{ end }}{{ end }}", "{{ with 1 }}{{ else if 1 }}{{ end }}{{ end }}", "{{}}", "{{ - }}", "{{-}}",
    "{{ print \"abcdefghijklmnop\"\"q\" }}", "{{ if }}x{{ end }}", "{{ print if }}", "{{ $ := 1 }}{{ $x }}", "{{ if $z := 1 }}{{ end }}{{ $z }}",
]  # fmt: skip
"""None of these parses."""


@pytest.fixture(scope="module")
def promtool() -> str:
    return shutil.which("promtool") or missing("promtool", "apt-get install prometheus")


@pytest.fixture(scope="module")
def theirs(promtool: str, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    """The annotations that promtool computes, for each case."""
    return expansions(promtool, tmp_path_factory.mktemp("expanded"), EXPANDED, CASES)


def test_there_are_many_templates_and_cases() -> None:
    assert len(set(EXPANDED)) == len(EXPANDED) >= 200
    assert len(set(REFUSED)) == len(REFUSED) >= 80


@pytest.mark.parametrize("number", range(len(EXPANDED)), ids=lambda n: repr(EXPANDED[n])[:60])
def test_each_template_says_what_prometheus_says(theirs: list[dict[str, str]], number: int) -> None:
    template = parse(EXPANDED[number], "A")
    ours = [older(expand_or_say(template, context_of(case))) for case in CASES]
    expected = [annotations.get(f"t{number}", "") for annotations in theirs]
    assert ours == [newer(text) for text in expected], EXPANDED[number]


def test_each_bad_template_is_refused_as_prometheus_refuses_it(promtool: str, tmp_path: Path) -> None:
    said = refusals(promtool, tmp_path, REFUSED)
    ours: dict[int, str] = {}
    for number, text in enumerate(REFUSED):
        with pytest.raises(TemplateError) as caught:
            parse(text, "A")
        ours[number] = caught.value.report
    assert {n: (REFUSED[n], ours[n]) for n in ours} == {n: (REFUSED[n], said.get(n)) for n in ours}


def context_of(case: Sample) -> TemplateContext:
    labels = {name: text for name, text in case.labels.items() if text}
    return TemplateContext({"__name__": "x", "case": labels["instance"], **labels}, case.value, EXTERNAL, URL, answer)


def answer(query: str) -> list[Sample]:
    if query not in QUERIES:
        raise ValueError("1:5: parse error: unclosed left parenthesis")
    return QUERIES[query]


def older(text: str) -> str:
    """Newer versions of Go name the types that do not compare."""
    return re.sub("(incompatible types for comparison): [a-z0-9]+ and [a-z0-9]+>", r"\1>", text)


def newer(text: str) -> str:
    """The type of a value is written differently by Prometheus 3 than by the promtool that Debian has."""
    text = text.replace("ExternalURL string; Value float64 }", "ExternalURL string; Value interface {} }")
    # A byte that is no text is written as the replacement character.
    return re.sub("[\udc80-\udcff]", "\ufffd", text)


def expansions(promtool: str, place: Path, templates: list[str], cases: list[Sample]) -> list[dict[str, str]]:
    annotations = {f"t{number}": text for number, text in enumerate(templates)}
    rule = {"alert": "A", "expr": "x", "annotations": annotations}
    (place / "rules.yml").write_text(json.dumps({"groups": [{"name": "g", "rules": [rule]}]}))
    found = []
    series = [
        {"series": written("y", sample.labels), "values": f"{sample.value}x1"} for sample in QUERIES["sort(y)"]
    ]
    tests = [
        {
            "interval": "1m",
            "external_labels": EXTERNAL,
            "external_url": URL,
            "input_series": [
                *series,
                {"series": written("x", {"case": case.labels["instance"], **case.labels}), "values": value_of(case)},
            ],
            "alert_rule_test": [{"eval_time": "1m", "alertname": "A", "exp_alerts": []}],
        }
        for case in cases
    ]
    (place / "test.yml").write_text(json.dumps({"rule_files": ["rules.yml"], "tests": tests}))
    run = subprocess.run(
        [promtool, "test", "rules", "test.yml"], cwd=place, capture_output=True, text=True, check=False, timeout=120,
        errors="surrogateescape",
    )  # fmt: skip
    for line in (run.stdout + run.stderr).splitlines():
        if line.lstrip().startswith("Annotations:{"):
            found.append(read_annotations(line))
    assert len(found) == len(cases), run.stderr[-3000:]
    return found


def refusals(promtool: str, place: Path, templates: list[str]) -> dict[int, str]:
    annotations = {f"t{number}": text for number, text in enumerate(templates)}
    rule = {"alert": "A", "expr": "x", "annotations": annotations}
    (place / "rules.yml").write_text(json.dumps({"groups": [{"name": "g", "rules": [rule]}]}))
    run = subprocess.run(
        [promtool, "check", "rules", "rules.yml"], cwd=place, capture_output=True, text=True, check=False, timeout=60
    )
    found = re.findall(r'annotation "t(\d+)": (template: .*)', run.stdout + run.stderr)
    return {int(number): said for number, said in found}


def written(name: str, labels: dict[str, str]) -> str:
    pairs = ",".join(f"{key}={json.dumps(text, ensure_ascii=False)}" for key, text in labels.items() if key != "__name__")
    return f"{name}{{{pairs}}}"


def value_of(case: Sample) -> str:
    text = {"nan": "NaN", "inf": "Inf"}.get(repr(case.value), repr(case.value))
    return f"{text} {text} {text}"


def read_annotations(line: str) -> dict[str, str]:
    pairs = re.findall(r'(t\d+)=("(?:[^"\\]|\\.)*")', line)
    return {name: unquoted(text) for name, text in pairs}


def unquoted(text: str) -> str:
    # Go writes a byte that is no text as \xff, which Python reads as a character of that number.
    text = re.sub(r"(?<!\\)((?:\\\\)*)\\x([89a-f][0-9a-f])", lambda m: f"{m[1]}\\udc{m[2]}", text)
    return str(ast.literal_eval(text))
