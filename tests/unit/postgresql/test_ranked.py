"""The choice of statements and the rest: histories of resets, evictions, restarts and failovers."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.postgresql.ranked import Choice, Layout, Ranked

LAYOUT = Layout(counters=(3, 4, 5), activity=(3,), ranks={"calls": (3,), "time": (4,), "wal": (5,)})
WITH_SINCE = Layout(counters=(3, 4, 5), activity=(3,), ranks={"calls": (3,), "time": (4,)}, since=6)


def row(queryid: Any, calls: int, time: float = 0.0, wal: int = 0) -> tuple[Any, ...]:
    return (10, 5, queryid, calls, time, wal)


def total(choice: Choice, at: int = 0) -> float:
    """The value of the first counter over everything that is exported."""
    return sum(one[3 + at] for one in choice.rows) + choice.rest[at]


def test_all_rows_are_members_when_there_is_room() -> None:
    ranked = Ranked(LAYOUT, 10)
    choice = ranked.choose([row(1, 5), row(2, 7)], "a")
    assert choice.members == [(10, 5, 1), (10, 5, 2)]
    assert choice.rest == (0, 0, 0)
    assert choice.dropped == 0


def test_zero_means_no_limit() -> None:
    rows = [row(queryid, 1) for queryid in range(5000)]
    assert len(Ranked(LAYOUT, 0).choose(rows, "a").members) == 5000


def test_the_list_of_members_stays_the_same_object_while_nobody_comes_or_goes() -> None:
    ranked = Ranked(LAYOUT, 2)
    first = ranked.choose([row(1, 5), row(2, 7), row(3, 1)], "a").members
    again = ranked.choose([row(2, 9), row(1, 6), row(3, 1)], "a")
    assert again.members is first
    assert [one[2] for one in again.rows] == [key[2] for key in first]


def test_a_refresh_shows_newer_members_and_leaves_the_rest_to_the_next_full_run() -> None:
    ranked = Ranked(LAYOUT, 2)
    ranked.choose([row(1, 50), row(2, 70), row(3, 1)], "a")
    newer = ranked.refresh([row(2, 75), row(1, 51), row(9, 4)], "a")
    assert newer is not None
    assert sorted(newer.rows) == [row(1, 51), row(2, 75)]
    assert newer.rest == (0, 0, 0)
    full = ranked.choose([row(1, 52), row(2, 76), row(3, 11)], "a")
    assert newer.members is full.members
    assert total(full) == 52 + 76 + 10


def test_a_refresh_is_refused_when_a_member_is_gone_or_the_server_is_another() -> None:
    ranked = Ranked(LAYOUT, 2)
    ranked.choose([row(1, 50), row(2, 70), row(3, 1)], "a")
    assert ranked.refresh([row(1, 51)], "a") is None
    assert ranked.refresh([row(1, 51), row(2, 71)], "b") is None


def test_each_dimension_brings_its_heaviest_in() -> None:
    ranked = Ranked(LAYOUT, 3)
    rows = [
        row(1, 1000),
        row(2, 1, 500.0),
        row(3, 1, 0.0, 10**9),
        *(row(9 + n, 2, 1.0, 5) for n in range(50)),
    ]
    assert {key[2] for key in ranked.choose(rows, "a").members} == {1, 2, 3}


def test_what_a_run_adds_is_the_same_in_the_exported_sum_as_on_the_server() -> None:
    ranked = Ranked(LAYOUT, 2)
    rows = {queryid: 10 * queryid for queryid in range(1, 8)}
    before = total(ranked.choose([row(*one) for one in rows.items()], "a"))
    for step in range(1, 6):
        for queryid in rows:
            rows[queryid] += queryid if step % 2 else 8 - queryid
        members = {key[2] for key in ranked._members}
        choice = ranked.choose([row(*one) for one in rows.items()], "a")
        now = {key[2] for key in choice.members}
        # A series that begins shows its past at once: what a rate sees is the sum over series that stay.
        if members == now:
            assert total(choice) - before == sum(queryid if step % 2 else 8 - queryid for queryid in rows)
        before = total(choice)


def test_the_rest_gets_what_a_newcomer_did_before_its_series_begins() -> None:
    ranked = Ranked(LAYOUT, 1)
    ranked.choose([row(1, 100), row(2, 1)], "a")
    ranked.choose([row(1, 100), row(2, 51)], "a")
    choices = [ranked.choose([row(1, 100), row(2, 51 + 50 * step)], "a") for step in range(1, 6)]
    entry = next(step for step, one in enumerate(choices) if one.members == [(10, 5, 2)])
    # Everything up to and with the run of its entry is in the rest; nothing after it.
    assert choices[entry].rest[0] == choices[entry].rows[0][3] - 1
    assert choices[-1].rest == choices[entry].rest


def test_a_new_statement_counts_from_zero() -> None:
    ranked = Ranked(LAYOUT, 1)
    ranked.choose([row(1, 100)], "a")
    assert ranked.choose([row(1, 100), row(2, 30)], "a").rest[0] == 30


def test_a_row_that_went_back_is_dropped_as_a_whole_and_counted() -> None:
    ranked = Ranked(LAYOUT, 1)
    ranked.choose([row(1, 100, 9.0, 999), row(2, 50, 5.0, 900)], "a")
    choice = ranked.choose([row(1, 100, 9.0, 999), row(2, 60, 6.0, 20)], "a")
    assert choice.rest == (0, 0, 0)
    assert ranked.resets_total == 1
    assert ranked.choose([row(1, 100, 9.0, 999), row(2, 61, 6.5, 21)], "a").rest == (1, 0.5, 1)


def test_a_row_that_says_it_began_anew_counts_from_zero() -> None:
    ranked = Ranked(WITH_SINCE, 1)
    ranked.choose([(*row(1, 100), 1.0), (*row(2, 50), 1.0)], "a")
    choice = ranked.choose([(*row(1, 100), 1.0), (*row(2, 60), 2.0)], "a")
    assert choice.rest[0] == 60
    assert ranked.resets_total == 0


def test_another_server_or_a_restart_begins_without_a_jump() -> None:
    ranked = Ranked(LAYOUT, 1)
    ranked.choose([row(1, 100), row(2, 50)], "a")
    ranked.choose([row(1, 100), row(2, 60)], "a")
    assert ranked.choose([row(1, 10**9), row(2, 10**9)], "b").rest[0] == 10
    assert ranked.choose([row(1, 10**9), row(2, 10**9 + 1)], "b").rest[0] == 11


def test_rows_whose_statement_is_hidden_are_counted_and_nothing_else() -> None:
    ranked = Ranked(LAYOUT, 5)
    choice = ranked.choose([row(1, 1), row(None, 50), row(None, 70)], "a")
    assert (choice.hidden, [key[2] for key in choice.members]) == (2, [1])


def test_rows_that_only_become_visible_are_not_taken_for_new() -> None:
    ranked = Ranked(LAYOUT, 1)
    ranked.choose([row(1, 5), row(None, 10**9)], "a")
    assert ranked.choose([row(1, 5), row(2, 10**9)], "a").rest[0] == 0
    assert ranked.choose([row(1, 5), row(2, 10**9 + 3)], "a").rest[0] == 3


def test_rows_of_one_statement_are_added_up() -> None:
    layout = Layout(counters=(3,), activity=(3,), ranks={"calls": (3,)}, smallest=(4,), largest=(5,))
    ranked = Ranked(layout, 5)
    choice = ranked.choose([(1, 1, 7, 5, 0.5, 2.0, 1.0), (1, 1, 7, 6, 0.25, 1.0, 1.0)], "a")
    assert [tuple(one) for one in choice.rows] == [(1, 1, 7, 11, 0.25, 2.0, None)]
    ranked.choose([(1, 1, 7, 6, 0.5, 2.0, 1.0), (1, 1, 7, 6, 0.25, 1.0, 1.0)], "a")
    assert ranked.resets_total == 0


def test_counters_beyond_64_bits_are_fine() -> None:
    ranked = Ranked(LAYOUT, 1)
    ranked.choose([row(1, 10**19), row(2, 10**18)], "a")
    assert ranked.choose([row(1, 10**19), row(2, 10**18 + 7)], "a").rest[0] == 7


STEP = st.tuples(
    st.sampled_from(
        ["work", "work", "work", "reset_all", "reset_one", "evict", "restart", "failover", "hide"]
    ),
    st.integers(0, 2**32),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(STEP, min_size=1, max_size=40), st.integers(1, 6), st.integers(0, 2**32))
def test_no_history_makes_the_rest_shrink_or_leap(
    history: list[tuple[str, int]], most: int, seed: int
) -> None:
    rng = random.Random(seed)
    servers: dict[str, dict[int, list[float]]] = {
        "a": {},
        "b": {n: [10.0**17, 10.0**12, 10.0**18] for n in range(9)},
    }
    name, epoch = "a", 0
    ranked, last, resets = Ranked(LAYOUT, most), (0, 0, 0), 0
    for event, number in history:
        worked = _happen(event, number, servers[name], rng)
        if event == "failover":
            name = "b" if name == "a" else "a"
        if event in ("restart", "failover"):
            epoch += 1
        hidden = [row(None, 5)] if event == "hide" else []
        rows = [(10, 5, queryid, *values) for queryid, values in servers[name].items()]
        rng.shuffle(rows)
        choice = ranked.choose(rows + hidden, f"{name}/{epoch}")
        for before, now in zip(last, choice.rest, strict=True):
            assert now >= before
            # Never more than was done since the last run: 10 statements of up to 1000 each.
            assert now - before <= max(worked, 10_000.0)
        assert ranked.resets_total >= resets
        assert len(choice.members) <= most
        assert set(choice.members) <= {(10, 5, queryid) for queryid in servers[name]}
        last, resets = choice.rest, ranked.resets_total


def _happen(event: str, number: int, rows: dict[int, list[float]], rng: random.Random) -> float:
    worked = 0.0
    match event:
        case "reset_all":
            rows.clear()
        case "reset_one" if rows:
            rows[rng.choice(list(rows))] = [rng.randrange(3), 0.0, 0]
        case "evict":
            for queryid in rng.sample(list(rows), len(rows) // 2):
                del rows[queryid]
    for _ in range(number % 10):
        values = rows.setdefault(rng.randrange(12), [0, 0.0, 0])
        for at in range(3):
            done = rng.randrange(1, 1000)
            values[at] += done
            worked += done
    return worked


def test_a_hundred_thousand_passing_statements_make_few_series() -> None:
    rng = random.Random(7)
    most = 50
    ranked, seen = Ranked(LAYOUT, most), set()
    steady = {queryid: [1000, 1000.0, 1000] for queryid in range(most)}
    passing: dict[int, list[float]] = {}
    for step in range(2000):
        for values in steady.values():
            if rng.random() < 0.5:
                values[0] += 1
                values[1] += 1.0
        for n in range(50):
            passing[1000 + step * 50 + n] = [1, 20.0, 5]
        if len(passing) > 1500:
            for queryid in list(passing)[:1000]:
                del passing[queryid]
        rows = [(10, 5, queryid, *values) for queryid, values in (*steady.items(), *passing.items())]
        seen.update(ranked.choose(rows, "a").members)
    assert len(seen) <= 1.2 * most
