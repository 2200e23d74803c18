#!/usr/bin/env bash
# Makes the environments and runs what they are for; `./deploy.sh help` lists the commands.
# Every command can be run again: what is already there and unchanged is kept.
set -euo pipefail

ROOT=${BASH_SOURCE[0]}
if [[ -L $ROOT ]]; then ROOT=$(readlink -f "$ROOT"); fi # solosense-deploy is a link to this
ROOT=$(cd "$(dirname "$ROOT")" && pwd)

say() { echo "deploy.sh: $*" >&2; }

fail() {
    say "$*"
    exit 1
}

help() {
    cat <<'TEXT'
usage: ./deploy.sh COMMAND [ARGUMENTS]

  demo [ARGUMENTS]   make .venv (what a board needs, and an embedded broker; no torch) and run
                     the demonstration in it; its arguments: ./deploy.sh demo --help
  test [ARGUMENTS]   make .venv and .venv-dev (all extras, torch included), install the broker
                     mosquitto where it is missing and this is root, and run check.sh;
                     the arguments go to pytest
  help               this text

On a board as root, or from a laptop with [USER@HOST] at the end; ./deploy.sh install --help says more:

  install --site FILE   put this release on the board and start it; back to the one before if it is
                        not healthy. Again with a newer release: the update
  status                what runs, and how it is
  rollback              to the release before
  uninstall             settings and log are kept
  wheelhouse DIR        the packages for a site without internet

PYTHON=/path/to/python3 chooses the Python the environments are made with (3.10 or later).
TEXT
}

find_python() { # prints a Python >= 3.10 that can make environments
    local candidate path
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11 python3.10}; do
        path=$(command -v "$candidate") || continue
        "$path" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || continue
        "$path" -c 'import ensurepip, venv' 2>/dev/null || fail \
            "$path has no venv module, expected one; on Debian and Ubuntu: apt-get install python3-venv"
        echo "$path"
        return
    done
    path=$(command -v "${PYTHON:-python3}") ||
        fail "found no ${PYTHON:-python3}, expected Python 3.10 or later"
    fail "$path is $("$path" --version 2>&1 || true), expected Python 3.10 or later;" \
        "PYTHON=/path/to/python3 chooses another"
}

fingerprint() { # of everything that decides what an environment holds
    local folder=$1 extras=$2
    cat "$ROOT/constraints.txt" "$ROOT/pyproject.toml" | "$folder/bin/python" -c '
import hashlib, sys
print(sys.version.split()[0], sys.argv[1], hashlib.sha256(sys.stdin.buffer.read()).hexdigest())
' "$extras"
}

environment() { # folder, extras: makes the environment unless it stands and is current
    local name=$1 extras=$2 folder=$ROOT/$1 python log=$ROOT/$1/install.log start=$SECONDS
    # The home says where it was made: a moved or copied environment is of no use.
    if [[ $(cat "$folder/home" 2>/dev/null) != "$folder" ]] ||
        ! "$folder/bin/python" -m pip --version >/dev/null 2>&1; then
        python=$(find_python)
        "$python" -m venv --clear "$folder"
        echo "$folder" >"$folder/home"
    fi
    if [[ $(cat "$folder/stamp" 2>/dev/null) == "$(fingerprint "$folder" "$extras")" ]]; then
        return
    fi
    rm -f "$folder/stamp"
    echo -n "Preparing $name ($extras) ... " >&2
    if ! "$folder/bin/python" -m pip install --disable-pip-version-check --no-input \
        -c "$ROOT/constraints.txt" -e "${ROOT}[$extras]" >"$log" 2>&1 </dev/null; then
        echo "failed" >&2
        tail -n 20 "$log" >&2
        fail "could not install the dependencies of $name; all that pip said is in $log"
    fi
    fingerprint "$folder" "$extras" >"$folder/stamp"
    echo "$((SECONDS - start)) s" >&2
}

board_environment() { environment .venv edge,demo; }

dev_environment() { environment .venv-dev edge,signed,onnx,demo,bridge,camera,mcap,sparkplug,trainer,export,dev; }

broker() { # mosquitto, for the tests that talk to a real broker
    if [[ -n $(PATH=$PATH:/usr/sbin command -v mosquitto) ]]; then
        return
    fi
    if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
        say "no mosquitto here; the tests that need it will be skipped" \
            "(as root on Debian or Ubuntu: apt-get install mosquitto)"
        return
    fi
    echo "Installing mosquitto" >&2
    if ! { apt-get update -qq &&
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends mosquitto; } \
        >/dev/null </dev/null; then
        say "mosquitto could not be installed; the tests that need it will be skipped"
    fi
}

demo() {
    board_environment
    exec "$ROOT/.venv/bin/python" -m trainer.demo "$@"
}

run_tests() {
    board_environment
    dev_environment
    broker
    exec "$ROOT/check.sh" "$@"
}

on_a_board() { # command, arguments...
    # shellcheck source=edge/install/main.sh
    source "$ROOT/edge/install/main.sh"
    board "$@"
}

command=${1:-help}
shift || true
case $command in
    demo) demo "$@" ;;
    test) run_tests "$@" ;;
    install | rollback | uninstall | status | wheelhouse) on_a_board "$command" "$@" ;;
    help | -h | --help) help ;;
    *)
        say "$command is not a command; expected demo, test, install, rollback, uninstall, status, wheelhouse or help"
        exit 2
        ;;
esac
