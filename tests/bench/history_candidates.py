"""The engines that can hold a history, each behind the same four calls."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from importlib.metadata import distribution
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, Protocol

import numpy as np

from daemon.history import chunk
from daemon.history.options import HistoryOptions
from daemon.history.sealed import sealed_files
from daemon.history.sheets import Sheet
from daemon.history.store import Store
from rules.labels import Labels


class Candidate(Protocol):
    """One way to keep samples."""

    packages: tuple[str, ...]

    def write(self, sheets: Sequence[Sheet]) -> None:
        """Make a batch durable."""

    def pack(self, now_ms: int) -> None:
        """Bring everything into the form it is kept in."""

    def read(self, series: Sequence[Labels], start_ms: int, end_ms: int) -> int:
        """Return how many samples there are of these series."""

    def kept_bytes(self) -> tuple[int, int]:
        """Return the bytes on disk of samples as they came, and of rollups; labels are counted with both."""

    def close(self) -> None:
        """Let it go."""


def installed_mb(packages: Sequence[str]) -> float:
    """Return what packages take on disk, without the packages that they need."""
    files = [file for name in packages for file in distribution(name).files or ()]
    return sum(Path(file.locate()).stat().st_size for file in files if Path(file.locate()).is_file()) / 1e6


class SqliteChunks:
    """The product's own store."""

    def __init__(self, folder: Path, packages: tuple[str, ...] = ("cramjam",)) -> None:
        self.packages, self._folder = packages, folder
        self._store = Store(folder, HistoryOptions(max_bytes=10**12))

    def write(self, sheets: Sequence[Sheet]) -> None:
        for sheet in sheets:
            self._store.append(*sheet)
        assert self._store.flush()

    def pack(self, now_ms: int) -> None:
        while self._store.seal_step(now_ms):
            pass

    def read(self, series: Sequence[Labels], start_ms: int, end_ms: int) -> int:
        return sum(len(one.times) for one in self._store.reader.read(series, start_ms, end_ms))

    def kept_bytes(self) -> tuple[int, int]:
        files = sealed_files(self._folder / "history")
        sizes = {
            kind: sum(file.path.stat().st_size for file in files if file.kind == kind)
            for kind in ("raw", "minutes")
        }
        return sizes["raw"], sizes["minutes"]

    def close(self) -> None:
        assert self._store.close()


def sqlite_with(
    compress: Callable[[bytes], bytes], decompress: Callable[[bytes], bytes]
) -> Callable[[Path], Candidate]:
    """Return the product's store with a compressor of the standard library."""

    squeeze = SimpleNamespace(compress=lambda data, **_level: compress(data), decompress=decompress)

    def make(folder: Path) -> Candidate:
        chunk.cramjam = SimpleNamespace(zstd=squeeze, DecompressionError=zlib.error)
        return SqliteChunks(folder, packages=())

    return make


class _Numbered:
    """What both DuckDB candidates share: series have numbers, and a batch is one Arrow table."""

    packages = ("duckdb", "pyarrow")

    def __init__(self, folder: Path) -> None:
        import duckdb
        import pyarrow as pa

        self._arrow, self._folder = pa, folder
        self._numbers: dict[Labels, int] = {}
        self._by_object: dict[int, np.ndarray] = {}
        # The order in which rows go in does not matter to a reader; memory is what a daemon can spare.
        self._duck = duckdb.connect(
            str(folder / "history.duckdb"), config={"threads": 1, "memory_limit": "512MB"}
        )
        self._duck.execute("CREATE TABLE IF NOT EXISTS label (series INTEGER, labels VARCHAR)")

    def table(self, sheets: Sequence[Sheet]) -> Any:
        """Return a batch as rows of series, time, value; new series are written down."""
        parts = [(self._of(sheet), sheet.times, sheet.values) for sheet in sheets]
        series = np.concatenate([np.repeat(numbers, len(times)) for numbers, times, _ in parts])
        times = np.concatenate([np.tile(times, len(numbers)) for numbers, times, _ in parts])
        values = np.concatenate([values.T.ravel() for _, _, values in parts])
        return self._arrow.table({"series": series.astype(np.int32), "t": times, "v": values})

    def _of(self, sheet: Sheet) -> np.ndarray:
        key = id(sheet.series)
        if key not in self._by_object:
            fresh = [one for one in sheet.series if one not in self._numbers]
            rows = []
            for one in fresh:
                self._numbers[one] = len(self._numbers)
                rows.append((self._numbers[one], str(one)))
            names = self._arrow.table(
                {"series": [row[0] for row in rows], "labels": [row[1] for row in rows]}
            )
            self._duck.register("names", names)
            self._duck.execute("INSERT INTO label SELECT * FROM names")
            self._by_object[key] = np.array([self._numbers[one] for one in sheet.series])
        return self._by_object[key]

    def numbers(self, series: Sequence[Labels]) -> str:
        return ",".join(str(self._numbers[one]) for one in series)

    def close(self) -> None:
        self._duck.close()


DELTAS = {"series": "DELTA_BINARY_PACKED", "t": "DELTA_BINARY_PACKED"}


class ParquetFiles(_Numbered):
    """A Parquet file a batch; packed into one an hour, sorted, with the best encodings; DuckDB reads them."""

    options: ClassVar[dict[str, Any]] = {
        "use_dictionary": ["v"],
        "column_encoding": DELTAS,
        "dictionary_pagesize_limit": 1 << 20,
    }

    def write(self, sheets: Sequence[Sheet]) -> None:
        import os

        from pyarrow import parquet

        table = self.table(sheets)
        first = int(np.asarray(table["t"]).min())
        path = self._folder / f"batch-{first:014d}.parquet"
        parquet.write_table(table, f"{path}.new", compression="zstd", compression_level=1)
        with Path(f"{path}.new").open("rb") as file:
            os.fsync(file.fileno())
        Path(f"{path}.new").rename(path)
        handle = os.open(self._folder, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)

    def pack(self, _now_ms: int) -> None:
        from pyarrow import parquet

        batches = sorted(self._folder.glob("batch-*.parquet"))
        hours: dict[int, list[Path]] = {}
        for path in batches:
            hours.setdefault(int(path.stem.partition("-")[2]) // 3_600_000, []).append(path)
        for hour, paths in hours.items():
            names = ",".join(f"'{path}'" for path in paths)
            table = self._duck.sql(
                f"SELECT series, t, v FROM read_parquet([{names}]) ORDER BY series, t"
            ).to_arrow_table()
            parquet.write_table(
                table,
                self._folder / f"hour-{hour}.parquet",
                compression="zstd",
                compression_level=9,
                row_group_size=100_000,
                **self.options,
            )
            for path in paths:
                path.unlink()

    def kept_bytes(self) -> tuple[int, int]:
        return sum(path.stat().st_size for path in self._folder.rglob("*") if path.is_file()), 0

    def read(self, series: Sequence[Labels], start_ms: int, end_ms: int) -> int:
        found = self._duck.execute(
            f"SELECT series, t, v FROM read_parquet('{self._folder}/*.parquet') "
            f"WHERE series IN ({self.numbers(series)}) AND t BETWEEN {start_ms} AND {end_ms} ORDER BY series, t"
        ).fetchnumpy()
        return len(found["t"])


class SplitParquetFiles(ParquetFiles):
    """The same with byte stream split in place of dictionaries."""

    options: ClassVar[dict[str, Any]] = {
        "use_dictionary": False,
        "column_encoding": {**DELTAS, "v": "BYTE_STREAM_SPLIT"},
    }


class DuckTable(_Numbered):
    """One table in DuckDB's own file, with its own compression."""

    packages = ("duckdb", "pyarrow")

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._duck.execute("CREATE TABLE IF NOT EXISTS sample (series INTEGER, t BIGINT, v DOUBLE)")

    def write(self, sheets: Sequence[Sheet]) -> None:
        batch = self.table(sheets)  # noqa: F841 - DuckDB finds it by its name
        self._duck.execute("INSERT INTO sample SELECT * FROM batch")

    def pack(self, _now_ms: int) -> None:
        self._duck.execute("CREATE OR REPLACE TABLE sample AS SELECT * FROM sample ORDER BY series, t")
        self._duck.execute("CHECKPOINT")

    def kept_bytes(self) -> tuple[int, int]:
        # What sorting has left free in the file is used again: it does not count.
        found = self._duck.execute("SELECT block_size * used_blocks FROM pragma_database_size()").fetchone()
        return int(found[0]), 0

    def read(self, series: Sequence[Labels], start_ms: int, end_ms: int) -> int:
        found = self._duck.execute(
            f"SELECT series, t, v FROM sample WHERE series IN ({self.numbers(series)}) "
            f"AND t BETWEEN {start_ms} AND {end_ms} ORDER BY series, t"
        ).fetchnumpy()
        return len(found["t"])
