"""Trees of sessions that wait for each other."""

from __future__ import annotations

from collectors.postgresql.blocking import forest


def test_nobody_waits() -> None:
    assert forest({}).heads == {}
    assert forest({}).depth == 0


def test_a_queue_has_one_head_and_everybody_behind_it() -> None:
    trees = forest({2: [1], 3: [2], 4: [3]})
    assert trees.heads == {1: {2, 3, 4}}
    assert trees.depth == 3


def test_two_heads_may_hold_up_the_same_session() -> None:
    trees = forest({3: [1, 2], 4: [3]})
    assert trees.heads == {1: {3, 4}, 2: {3, 4}}
    assert trees.depth == 2


def test_a_prepared_transaction_is_a_head() -> None:
    assert forest({7: [0]}).heads == {0: {7}}


def test_a_deadlock_has_no_head_and_ends() -> None:
    trees = forest({1: [2], 2: [1]})
    assert trees.heads == {}
    assert trees.depth == 1


def test_a_head_of_a_circle_holds_up_all_of_it() -> None:
    assert forest({2: [1, 3], 3: [2]}).heads == {1: {2, 3}}
