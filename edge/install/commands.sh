# shellcheck shell=bash
# install, status, uninstall, wheelhouse: what a person asks for, and what is said in the end.

CERTIFIED_DAYS=60 # less than that is wrong: a run a year renews certificates long before

install_board() {
    local to healthy=" and healthy"
    if [[ -n $no_start ]]; then healthy=; fi
    remember
    release=$(release_name)
    new=$opt/releases/$release
    log_file=$var/solosense.db
    checks
    alone
    to=$(current)
    if [[ -n $dry_run ]]; then
        say "installing $release would do this, in order:"
    elif [[ $to == "$release" ]]; then
        say "$release is the release here; looking whether all is in place"
    else
        say "installing $release${to:+; $to runs until the switch}"
    fi
    local step
    for step in "${STEPS[@]}"; do "step_$step"; done
    if [[ -n $dry_run ]]; then
        say "nothing was done"
    elif ((changed == 0)); then
        say "nothing to do: $release is installed$healthy"
    else
        say "$release is installed$healthy"
        next_step
    fi
}

remember() { # an update brings what the release before it was given
    local one
    if [[ -z ${given[packages]:-} && -d $opt/current/packages ]]; then
        given[packages]=$opt/current/packages
    fi
    if [[ -n ${given[onnx]:-} ]]; then return; fi
    for one in "$opt"/current/onnx/*; do
        case $one in
            */lock) given[onnx]=lock ;;
            *.whl) given[onnx]=$one ;;
        esac
    done
}

release_files() { # null separated, below $ROOT: what makes a release
    find deploy.sh pyproject.toml constraints.txt README.md LICENSE CHANGELOG.md edge sensor_adapters \
        firmware_bridge trainer bundles -type f ! -path '*/__pycache__/*' ! -name '*.db*' -print0 |
        LC_ALL=C sort -z
}

release_name() { # its version and what it is made of
    local version
    version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$ROOT/pyproject.toml")
    echo "$version-$({
        (cd "$ROOT" && release_files | xargs -0 sha256sum)
        case ${given[onnx]:-none} in
            none) ;;
            *.whl) sha256sum <"${given[onnx]}" ;;
            *) echo "${given[onnx]}" ;;
        esac
        if has_cameras; then echo cameras; fi
        if has_packages; then (cd "${given[packages]}" && LC_ALL=C && sha256sum -- *.whl 2>/dev/null); fi
    } | sha256sum | cut -c1-10)"
}

next_step() {
    local address
    address=$(hostname -I 2>/dev/null | cut -d' ' -f1) || true
    if [[ -n ${engines:-} ]]; then
        echo "  ${engines//$'\n'/$'\n'  }" >&2
        if [[ -e $(where /etc/nv_tegra_release) ]] && ! uses_gpu; then
            mind "this board has a graphics processor and no model uses it; for small models LiteRT" \
                "on the CPU is the faster. INSTALL.md says how to use it"
        fi
    fi
    cat >&2 <<TEXT
  the board's address is ${address:-unknown}
  next: send it readings; half a minute later, as root, look at what it makes of them:
    solosense-deploy status
    sqlite3 -box 'file:${log_file#"$root"}?mode=ro' 'SELECT * FROM segments_readable LIMIT 20'
TEXT
    if ! command -v sqlite3 >/dev/null; then echo "  sqlite3 is not here: apt-get install sqlite3" >&2; fi
    if [[ -n $no_start ]]; then
        echo "  not started, as asked; solosense-deploy install starts it" >&2
    fi
}

status() {
    local one state release rc=0
    release=$(current)
    if [[ -z $release ]]; then fail "nothing is installed here"; fi
    echo "release    $release, installed $(cat "$opt/current/complete")"
    echo "before     $(previous || true)"
    for one in mosquitto $(services); do
        state=$(systemctl is-active "$one" 2>/dev/null) || rc=1
        printf '%-10s %s\n' "${one#solosense-}" "${state:-unknown}"
    done
    echo "log        $(log_path), $(du -h "$(log_path)" 2>/dev/null | cut -f1 || true)"
    echo "free       $(df -h --output=avail "$var" | tail -n 1 | tr -d ' ')"
    echo "clock      $(date -u '+%F %T') UTC"
    certified || rc=1
    ask_health || rc=1
    return "$rc"
}

certified() { # until when the broker's certificate holds; whether there is time left
    local file=$broker/server.crt
    if [[ ! -e $file ]] || ! broker_is_here; then return; fi
    echo "certified  until $(openssl x509 -in "$file" -noout -enddate | cut -d= -f2)"
    if ! openssl x509 -in "$file" -noout -checkend $((CERTIFIED_DAYS * 86400)) >/dev/null; then
        say "wrong: that is soon; solosense-deploy install makes the broker's certificates anew"
        return 1
    fi
}

wheelhouse() { # what pip would take here, for a board with this Python and perhaps another machine
    local folder=${given[wheelhouse]:-} python machine temporary pip one like=() extra=
    if [[ ${CAMERAS:-} == yes ]]; then extra=,camera; fi
    if [[ -z $folder ]]; then wrong_use "wheelhouse needs a folder"; fi
    python=$(find_python)
    machine=${MACHINE:-$(uname -m)}
    for one in 2_17 2_26 2_27 2_28; do like+=(--platform "manylinux_${one}_$machine"); done
    temporary=$(mktemp -d)
    "$python" -m venv "$temporary/venv"
    pip=("$temporary/venv/bin/python" -m pip --disable-pip-version-check -q)
    "${pip[@]}" install -c "$ROOT/constraints.txt" pip
    "${pip[@]}" install --dry-run --ignore-installed --report "$temporary/report" \
        -c "$ROOT/constraints.txt" "${ROOT}[edge,bridge,signed,sparkplug$extra]" hatchling pip setuptools
    "$temporary/venv/bin/python" -c 'import json, sys
for one in json.load(open(sys.argv[1]))["install"]:
    about = one["metadata"]
    if about["name"] != "solosense": print(about["name"] + "==" + about["version"])' \
        "$temporary/report" >"$temporary/names"
    mkdir -p "$folder"
    while read -r one; do # where there is no wheel, the source, which pip builds on the board
        "${pip[@]}" download --no-deps -d "$folder" --only-binary=:all: "${like[@]}" "$one" 2>/dev/null ||
            "${pip[@]}" download --no-deps -d "$folder" --no-binary=:all: "$one"
    done <"$temporary/names"
    rm -rf "$temporary"
    say "$(find "$folder" -type f | wc -l) packages for $("$python" --version) on $machine in" \
        "$folder; for the board: ./deploy.sh install --wheelhouse $folder"
}

uninstall() {
    local one
    for one in $(services); do switch_off "$one"; done
    remove "$system"/solosense-{edge,bridge,adapters,camera@}.service \
        "$system/solosense-edge.service.d/gpu.conf" "$rules"
    if [[ -e $system/mosquitto.service.d/solosense.conf ]]; then
        remove "$system/mosquitto.service.d/solosense.conf"
        was_broker=yes
    fi
    for one in "${programs[@]}"; do remove "$commands/$one"; done
    remove "$root/usr/local/sbin/solosense-deploy" "$opt"
    if [[ -z $no_start && -z $dry_run ]]; then
        systemctl daemon-reload 9>&-
        if [[ -n ${was_broker:-} ]]; then systemctl try-restart mosquitto 9>&- || true; fi
    fi
    if [[ -n ${given[purge]:-} ]]; then
        remove "$etc" "$var"
        if [[ -z $root ]] && id -u solosense >/dev/null 2>&1; then
            act "remove the user solosense" userdel solosense
        fi
        say "removed, with settings and log"
    else
        say "removed; ${etc#"$root"} and ${var#"$root"} are kept (--purge removes them too)"
    fi
    echo "  packages of the system stay: apt-get remove mosquitto, if nobody else needs it" >&2
}
