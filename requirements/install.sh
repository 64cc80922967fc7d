#!/usr/bin/env bash
# Makes .venv if it is not there, and puts the pinned packages and the project itself into it.
# Usage: requirements/install.sh PYTHON demo|test
set -euo pipefail
cd "$(dirname "$0")/.."
python=$1 set=$2
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore

say() { printf '%s\n' "$*" >&2; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

may_be_root() {
  [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null
}

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
  say "Python 3.11 or newer is needed, and '$python' is not: name one with  make PYTHON=/path/to/python3.11"
  exit 1
fi

if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
  # Debian keeps the part of Python that makes environments in a package of its own.
  if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    if command -v apt-get >/dev/null && may_be_root; then
      say "installing python3-venv"
      as_root apt-get update -qq
      as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv
    fi
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
      say "'$python' cannot make environments: install its venv module first, on Debian and Ubuntu with"
      say "  sudo apt-get install python3-venv"
      exit 1
    fi
  fi
  say "making .venv"
  rm -rf .venv
  "$python" -m venv .venv
fi

say "installing the packages of requirements/$set.txt into .venv"
.venv/bin/python -m pip install --quiet --require-hashes -r "requirements/$set.txt"
.venv/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
touch ".venv/.$set"
