"""Another service that the daemon speaks to by HTTP: where it is, who we are, whom we trust."""

from __future__ import annotations

import ipaddress
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from collectors.exporter.guard import refusal
from collectors.file_path import FilePath
from collectors.secret_ref import SecretRef
from daemon.config.settings import Settings
from daemon.config.values import Deadline


def service_url(value: str) -> str:
    """Return a URL without a slash at its end; raise ValueError for what is none."""
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("is not a URL: write it as http://host:9093") from None
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError("should begin with http:// or https:// and a host")
    if parts.username is not None or parts.password is not None:
        raise ValueError("holds a name or password: use `user` and `password` for it")
    if any(one <= " " for one in value) or parts.fragment or parts.query:
        raise ValueError("holds a blank, a ?query or a #fragment")
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return value.rstrip("/")
    if why := refusal(host):
        raise ValueError(f"leads to {host}, which is {why}: such addresses are never asked")
    return value.rstrip("/")


Url = Annotated[str, AfterValidator(service_url)]


class PeerTls(Settings):
    """How the server's certificate is looked at."""

    ca_file: FilePath | None = None
    """Certificate authority (PEM); left out: those of the system."""
    cert_file: FilePath | None = None
    """Our own certificate with its chain, where one is asked for."""
    key_file: FilePath | None = None
    insecure: bool = False
    """Take any certificate: whoever stands between can read and change everything."""

    @model_validator(mode="after")
    def _both(self) -> PeerTls:
        if bool(self.cert_file) != bool(self.key_file):
            raise ValueError("cert_file and key_file belong together")
        return self


class PeerSettings(Settings):
    """A service at a URL."""

    url: Url = Field(repr=False)
    """Without the path of its API: `http://alertmanager:9093`, or with the prefix it is served under."""
    tls: PeerTls = PeerTls()
    bearer_token: SecretRef | None = None
    user: str = ""
    """For basic authentication, with `password`."""
    password: SecretRef | None = None
    timeout: Deadline = 10.0
    """How long one request may take."""

    @model_validator(mode="after")
    def _one_way(self) -> PeerSettings:
        if bool(self.user) != bool(self.password):
            raise ValueError("user and password belong together")
        if self.user and self.bearer_token:
            raise ValueError("there can be a bearer_token or a user, not both")
        if self.url.startswith("http:") and self.tls != PeerTls():
            raise ValueError("tls is set, but the url begins with http://")
        return self
