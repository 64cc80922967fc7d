from __future__ import annotations

import cramjam
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.history.sheets import Sheet
from daemon.history.wire import write_request
from rules.labels import labels_of
from rules.promql.values import ABSENT, ABSENT_BITS
from tests.fixtures.remote_write import _request

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200)
words = st.one_of(st.integers(0, 2**64 - 1), st.just(ABSENT_BITS), st.just(0x7FF0000000000002))


@st.composite
def sheets(draw: st.DrawFn) -> Sheet:
    series = [
        labels_of(each)
        for each in draw(st.lists(st.dictionaries(texts, texts, min_size=1), min_size=1, max_size=4))
    ]
    times = draw(st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=4))
    size = len(times) * len(series)
    values = np.array(draw(st.lists(words, min_size=size, max_size=size)), dtype=np.uint64).view(np.float64)
    return Sheet(series, np.array(times, dtype=np.int64), values.reshape(len(times), len(series)))


@given(st.lists(sheets(), max_size=3))
@settings(deadline=None)
def test_a_request_is_what_another_encoder_makes_of_the_same_samples(given_sheets: list[Sheet]) -> None:
    plain = []
    for sheet in given_sheets:
        for column, labels in enumerate(sheet.series):
            rows = np.flatnonzero(sheet.values[:, column].copy().view(np.uint64) != ABSENT_BITS)
            if len(rows):
                times = [int(at) for at in sheet.times[rows]]
                plain.append((labels.as_dict(), times, sheet.values[rows, column]))
    body = write_request(given_sheets)
    assert bytes(cramjam.snappy.decompress_raw(body)) == _request(plain)


def test_series_without_a_sample_are_not_sent() -> None:
    sheet = Sheet([labels_of({"a": "b"})], np.array([1]), np.array([[ABSENT]]))
    assert bytes(cramjam.snappy.decompress_raw(write_request([sheet]))) == b""


def test_a_time_before_1970_takes_ten_bytes_as_protobuf_has_it() -> None:
    sheet = Sheet([labels_of({"a": "b"})], np.array([-1]), np.array([[1.0]]))
    body = bytes(cramjam.snappy.decompress_raw(write_request([sheet])))
    assert body.endswith(b"\x10" + b"\xff" * 9 + b"\x01")
