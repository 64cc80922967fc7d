"""What a target of engine `exporter` may say: the address to scrape, who we are, what to keep."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from collectors.definition import Duration
from collectors.exporter.guard import refusal
from collectors.file_path import FilePath
from collectors.secret_ref import SecretRef


class TlsOptions(BaseModel):
    """How the server's certificate is looked at."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ca_file: FilePath | None = None
    """Certificate authority; left out: those of the system."""
    insecure: bool = False
    """Take any certificate: whoever stands between can read and change everything."""


class ExporterOptions(BaseModel):
    """Options of a target that gives Prometheus metrics by HTTP."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = Field(repr=False)
    """http or https, with the path: `http://db1:9100/metrics`. Redirects are not followed."""
    tls: TlsOptions = TlsOptions()
    bearer_token: SecretRef | None = None
    user: str = ""
    """For basic authentication, with `password`."""
    password: SecretRef | None = None
    timeout: Duration | None = None
    """Of one scrape; left out: the target's deadline."""
    max_bytes: int = Field(default=10_000_000, ge=1_000, le=1_000_000_000)
    """A body that is larger, after decompression, is refused as a whole."""
    keep: tuple[str, ...] = ("*",)
    """Metric names to keep, by shell patterns."""
    drop: tuple[str, ...] = ()
    """Metric names to leave out of those."""

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
        except ValueError:
            raise ValueError("is not a URL: write it as http://host:9100/metrics") from None
        if parts.scheme not in ("http", "https") or not host:
            raise ValueError("should begin with http:// or https:// and a host")
        if parts.username is not None or parts.password is not None:
            raise ValueError("holds a name or password: use `user` and `password` for it")
        if any(one <= " " for one in url) or parts.fragment:
            raise ValueError("holds a blank or a #fragment")
        try:
            ipaddress.ip_address(host)
        except ValueError:
            # The HTTP client takes what has digits alone for an address, and would not look it up.
            if host.replace(".", "").isdigit():
                raise ValueError(f"{host} is not an address in its usual form") from None
            return url
        if why := refusal(host):
            raise ValueError(f"leads to {host}, which is {why}: such addresses are never asked")
        return url

    @model_validator(mode="after")
    def _check(self) -> ExporterOptions:
        if bool(self.user) != bool(self.password):
            raise ValueError("user and password belong together")
        if self.user and self.bearer_token:
            raise ValueError("there can be a bearer_token or a user, not both")
        if self.url.startswith("http:") and self.tls != TlsOptions():
            raise ValueError("tls is set, but the url begins with http://")
        return self

    @property
    def address(self) -> str:
        """Return the URL without its query, which may hold a token."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}{parts.path}"
