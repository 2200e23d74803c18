#!/usr/bin/env bash
# Every check, in order; stops at the first that fails. Arguments go to pytest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

if [[ -x .venv-dev/bin/python ]]; then
    bin=$PWD/.venv-dev/bin
else
    bin=$(python3 -c 'import os, sys; print(os.path.dirname(sys.executable))')
fi
if ! "$bin/python" -c 'import ruff, mypy, importlinter, pytest' 2>/dev/null; then
    echo "check.sh: $bin/python has no ruff, mypy, import-linter or pytest;" \
        "expected .venv-dev (made by ./deploy.sh test) or an active environment with all extras" >&2
    exit 1
fi

run() {
    echo "== $*"
    "$bin/python" -m "$@"
}

run ruff format --check .
run ruff check .
run mypy
echo "== lint-imports"
"$bin/lint-imports" --config pyproject.toml
run pytest "$@"
