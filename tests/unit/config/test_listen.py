"""Addresses to listen at: what they mean, and who can reach them."""

from __future__ import annotations

import pytest

from daemon.config import Listen, parse_listen


@pytest.mark.parametrize(
    ("text", "listen", "local"),
    [
        ("127.0.0.1:8720", Listen(host="127.0.0.1", port=8720), True),
        ("127.8.9.1:80", Listen(host="127.8.9.1", port=80), True),
        ("localhost:8720", Listen(host="localhost", port=8720), True),
        ("[::1]:8720", Listen(host="::1", port=8720), True),
        ("[::ffff:127.0.0.1]:8720", Listen(host="::ffff:127.0.0.1", port=8720), True),
        ("unix:/run/dbarchitect/http.sock", Listen(path="/run/dbarchitect/http.sock"), True),
        ("0.0.0.0:1", Listen(host="0.0.0.0", port=1), False),
        ("[::]:65535", Listen(host="::", port=65535), False),
        ("[::ffff:10.0.0.1]:1", Listen(host="::ffff:a00:1", port=1), False),
        ("10.0.0.1:8720", Listen(host="10.0.0.1", port=8720), False),
        ("db-1.example.com:8720", Listen(host="db-1.example.com", port=8720), False),
        ("localhost.example.com:1", Listen(host="localhost.example.com", port=1), False),
    ],
)
def test_an_address_is_understood(text: str, listen: Listen, local: bool) -> None:
    found = parse_listen(text)
    assert found.local is local
    assert parse_listen(str(found)) == found
    assert (found.port, found.path) == (listen.port, listen.path)
    assert found.host == listen.host or ":" in found.host


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "a:",
        ":1",
        "a:b",
        "a:0",
        "a:-1",
        "a:65536",
        "a:1e3",
        "a: 1",
        "a b:1",
        "a/b:1",
        "::1:1",
        "[a]:1",
        *[
            "[::1]",
            "http://a:1",
            "a:\u0661",
            "unix:",
            "unix:a",
            "unix:/a\0b",
            "a:" + "9" * 5000,
            "*:1",
            "-a:1",
        ],
    ],
)
def test_nonsense_is_refused_with_the_three_forms(text: str) -> None:
    with pytest.raises(ValueError, match=r"127\.0\.0\.1:8720, \[::1\]:8720 or unix:/run"):
        parse_listen(text)
