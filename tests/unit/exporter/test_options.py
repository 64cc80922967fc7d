"""Which addresses may be scraped, and what is never shown of them."""

from __future__ import annotations

import asyncio

import pytest
from pydantic import ValidationError

from collectors.exporter import ENGINE
from collectors.exporter.guard import GuardedResolver, Refused, refusal
from collectors.exporter.options import ExporterOptions
from collectors.model import Target


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ftp://host/metrics", "http"),
        ("host:9100/metrics", "http"),
        ("http:///metrics", "host"),
        ("http://me:hunter2@host/metrics", "name or password"),
        ("http://host:99999/metrics", "URL"),
        ("http://host/a b", "blank"),
        ("http://169.254.169.254/latest/meta-data", "metadata"),
        ("http://[fe80::1]/metrics", "link-local"),
        ("http://[::ffff:169.254.169.254]/metrics", "metadata"),
        ("http://[fd00:ec2::254]/", "metadata"),
        ("http://100.100.100.200/", "metadata"),
        ("http://224.0.0.1/", "multicast"),
        ("http://2852039166/latest", "usual form"),
        ("http://169.254.43518/latest", "usual form"),
        ("http://169.254.169.254./latest", "usual form"),
        ("http://0.0.0.0:9100/metrics", "no host"),
    ],
)
def test_a_url_that_cannot_be_is_refused_with_a_reason_and_no_password(url: str, reason: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ExporterOptions(url=url)
    messages = " ".join(one["msg"] for one in caught.value.errors())
    assert reason in messages
    assert "hunter2" not in messages


@pytest.mark.parametrize("address", ["10.0.0.1", "127.0.0.1", "192.168.1.1", "::1", "fd12::1", "8.8.8.8"])
def test_a_private_address_is_where_databases_are(address: str) -> None:
    assert refusal(address) == ""


async def test_a_name_is_refused_when_it_leads_to_a_forbidden_address() -> None:
    resolver = GuardedResolver()
    # The resolver takes such a number for an address, which no look at the URL would tell.
    with pytest.raises(Refused, match=r"169\.254\.169\.254"):
        await resolver.resolve("0xa9fea9fe", 80)
    await resolver.close()


async def test_a_url_whose_name_leads_to_the_metadata_service_is_denied() -> None:
    target = Target(name="x", engine="exporter", options=ExporterOptions(url="http://0xa9fea9fe/latest"))
    observer = ENGINE.observe(target, ())
    async with asyncio.timeout(5):
        up = await observer.up()
    await observer.close()
    assert up.failure.cause == "denied"


def test_the_address_has_no_query() -> None:
    options = ExporterOptions(url="https://host:9100/metrics?token=canary-c0ffee")
    assert ENGINE.address(Target(name="x", engine="exporter", options=options)) == "https://host:9100/metrics"


def test_a_token_and_a_password_exclude_each_other() -> None:
    with pytest.raises(ValidationError, match="not both"):
        ExporterOptions(url="http://h/", bearer_token="a", user="u", password="p")
    with pytest.raises(ValidationError, match="belong together"):
        ExporterOptions(url="http://h/", user="u")
