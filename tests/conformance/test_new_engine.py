"""A new engine is a folder: a toy one is laid beside the others, and nothing else is touched."""

from __future__ import annotations

import importlib
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

import collectors
from collectors import registry
from tests.conformance.cases import ENGINES, observing, target

TOY = """
from __future__ import annotations

import time

from pydantic import BaseModel, ConfigDict

from collectors.declared import in_code
from collectors.engine import Engine
from collectors.model import Kind, MetricDef, Observation, Up, frame_of


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid")
    host: str = "nowhere"


BEATS = MetricDef(name="toy_beats_total", kind=Kind.COUNTER, help="Beats.", labels=("drum",))
PROBE = in_code("beats", engine="toy", source="toy", help="Beats.", metrics=[BEATS])


class Observer:
    sessions = 0

    def __init__(self, target, custom):
        self.seen = False

    async def up(self):
        self.seen = True
        return Up(up=True, at=time.time(), identity="toy")

    def plan(self):
        return [PROBE.info] if self.seen else []

    def rejections(self):
        return []

    def databases(self):
        return []

    async def run(self, probe, database=""):
        frame = frame_of([BEATS], [(("snare",), (3,))])
        return Observation(probe=probe, at=time.time(), took_seconds=0.0, frames=(frame,))

    async def inspect(self):
        return []

    def ask_anew(self):
        pass

    async def close(self):
        pass


ENGINE = Engine(
    name="toy",
    title="Toy",
    options=Options,
    up_metric=MetricDef(name="toy_up", kind=Kind.GAUGE, help="Up."),
    definitions=lambda: [PROBE],
    observe=Observer,
    address=lambda target: target.options.host,
)
"""


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with an engine, put beside the others without touching any of them."""
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "__init__.py").write_text(textwrap.dedent(TOY))
    monkeypatch.setattr(collectors, "__path__", [*collectors.__path__, str(tmp_path)])
    importlib.invalidate_caches()
    registry.engines.cache_clear()
    yield tmp_path
    sys.modules.pop("collectors.toy", None)
    if hasattr(collectors, "toy"):
        del collectors.toy
    registry.engines.cache_clear()


async def test_a_folder_with_an_engine_is_all_that_a_new_engine_needs(toy: Path) -> None:
    engine = registry.engines()["toy"]
    assert set(registry.engines()) == {*ENGINES, "toy"}
    async with observing(engine, target(engine, {"host": "drums"})) as observer:
        assert observer.plan() == []
        assert (await observer.up()).up
        (info,) = observer.plan()
        answer = await observer.run(info.name)
    (sample,) = answer.frames[0].samples()
    assert sample == ("toy_beats_total", (("drum", "snare"),), 3)
    assert engine.address(target(engine, {"host": "drums"})) == "drums"


def test_two_engines_of_one_name_are_refused(toy: Path) -> None:
    (toy / "toy" / "__init__.py").write_text(TOY.replace('name="toy",\n    title', 'name="host",\n    title'))
    sys.modules.pop("collectors.toy", None)
    importlib.invalidate_caches()
    registry.engines.cache_clear()
    with pytest.raises(RuntimeError, match="two engines are named 'host'"):
        registry.engines()
