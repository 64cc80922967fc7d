"""A scratch VictoriaMetrics: takes samples by remote write, answers queries, and can be killed."""

from __future__ import annotations

from collections.abc import Sequence

from actions.scratch.place import Place
from actions.scratch.web_server import ScratchWebServer


class ScratchVictoria(ScratchWebServer):
    """A VictoriaMetrics: answers queries at its URL, and takes samples at `/api/v1/write`."""

    PROGRAM = PACKAGE = "victoria-metrics"
    HEALTH = "/health"

    def __init__(
        self,
        *,
        place: Place | None = None,
        name: str = "victoria",
        flags: Sequence[str] = (),
        deadline: float = 30.0,
    ) -> None:
        """Give `flags` to the program; `deadline` is in seconds, for each step."""
        super().__init__(place=place, name=name, deadline=deadline)
        self._flags = tuple(flags)

    async def flush(self) -> None:
        """Let queries see what was written up to now."""
        async with self._http.get(f"{self.url}/internal/force_flush") as answer:
            answer.raise_for_status()

    def _argv(self) -> Sequence[str]:
        return (
            f"-storageDataPath={self._room}/data",
            f"-httpListenAddr={self.host}:{self.port}",
            "-loggerLevel=WARN",
            "-memory.allowedBytes=64MB",
            *self._flags,
        )
