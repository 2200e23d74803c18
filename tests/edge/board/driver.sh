#!/usr/bin/env bash
# deploy.sh on a make-believe board: everything is real but the packages of the system, the users,
# systemd (see systemctl beside this) and pip: the environment borrows the tests' packages.
# KILL_AFTER=n: killed when it is about to do act n + 1.  RELEASE: what it calls itself, or `real`.
# PROGRAM=stub: a program that starts at once instead of the real one; MARKS: see program.py.
set -euo pipefail
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
# shellcheck source=deploy.sh
source "$here/../../../deploy.sh" help >/dev/null
# shellcheck source=edge/install/main.sh
source "$ROOT/edge/install/main.sh"
export PATH=$here:$PATH

eval "real_$(declare -f paths)"
paths() {
    real_paths
    if [[ -z ${NO_START:-} ]]; then no_start=; fi
}

acts=0
before_act() {
    acts=$((acts + 1))
    if [[ -n ${KILL_AFTER:-} ]] && ((acts > KILL_AFTER)); then kill -9 $$; fi
}

now_s() { echo "${NOW_S:-$(date +%s)}"; }

eval "real_$(declare -f release_name)"
release_name() {
    if [[ ${RELEASE:-1.0} == real ]]; then real_release_name; else echo "${RELEASE:-1.0}"; fi
}

eval "real_$(declare -f release_files)"
release_files() { # the program itself is the tests' own
    real_release_files | grep -z '^deploy.sh$\|^edge/install/\|^constraints.txt$\|^pyproject.toml$'
}

give_access() { # there is no broker here
    if [[ -e $broker/mosquitto.conf ]]; then return 1; fi
    echo "listener 1883 127.0.0.1" >"$broker/mosquitto.conf"
}

STEADY_S=0

make_environment() {
    local one module
    mkdir -p "$new/venv/bin"
    "$PYTHON" -m venv --without-pip "$new/venv"
    "$PYTHON" -c 'import sys; print(*sys.path[1:], sep="\n")' \
        >"$(echo "$new"/venv/lib/python*/site-packages)/borrowed.pth"
    echo "$ROOT" >>"$(echo "$new"/venv/lib/python*/site-packages)/borrowed.pth"
    for one in ${MARKS:-}; do touch "$new/$one"; done
    for one in edge bridge adapters; do
        case $one in edge) module=edge ;; bridge) module=firmware_bridge ;; *) module=sensor_adapters ;; esac
        if [[ ${PROGRAM:-real} == stub ]]; then
            { echo "#!$new/venv/bin/python -S" && cat "$here/program.py"; } >"$new/venv/bin/solosense-$one"
        else
            printf '#!%s/venv/bin/python\nimport runpy\nif __name__ == "__main__": runpy.run_module("%s", run_name="__main__")\n' \
                "$new" "$module" >"$new/venv/bin/solosense-$one"
        fi
        chmod +x "$new/venv/bin/solosense-$one"
    done
}

eval "real_$(declare -f add_packages)"
add_packages() { PIP_NO_INDEX=1 real_add_packages; }

if [[ ${PROGRAM:-real} == stub ]]; then # nobody there to ask
    keeps_to_its_folder() {
        if [[ $2 == edge ]]; then kept_at=$var/solosense.db; else kept_at=$var/${1##*/}.db; fi
    }
    log_path() { echo "$var/solosense.db"; }
fi

board "$@"
