# shellcheck shell=bash
# What an installation consists of, in order. Each step looks first and does what is missing, so
# that all can be run again, and a step cut off anywhere is mended by the next run.

STEPS=(packages user folders environment settings bundles access permissions broker proof units copy switch
    start gate tidy)

step_packages() {
    local names
    mapfile -t names < <(missing_packages)
    if ((${#names[@]})); then
        act "apt-get install ${names[*]}" apt_install "${names[@]}"
    fi
}

apt_install() {
    local log
    log=$(mktemp)
    if ! DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" \
        >"$log" 2>&1 </dev/null; then
        tail -n 20 "$log" >&2
        fail "apt-get could not install $*"
    fi
    rm -f "$log"
}

step_user() {
    local group
    if [[ -n $root ]]; then return; fi
    for group in dialout input video render; do # of devices: a unit that names one needs it to be there
        if ! getent group "$group" >/dev/null; then
            act "add the system's group $group" groupadd --system "$group"
        fi
    done
    if id -u solosense >/dev/null 2>&1; then return; fi
    act "add the user solosense, which can not log in" useradd --system --user-group \
        --home-dir /var/lib/solosense --no-create-home --shell /usr/sbin/nologin solosense
}

step_folders() {
    folder "$opt/releases" root 755
    folder "$etc" root 755
    folder "$var" solosense:solosense 750
    folder "$var/bundles" root:solosense 750
    folder "$var/backups" solosense:solosense 750
    folder "$var/models" root:solosense 750
    link ../../var/lib/solosense/bundles "$etc/bundles"
}

folder() { # path, owner, mode
    if [[ ! -d $1 ]]; then act "make the folder $1" make_folder "$@"; fi
}

make_folder() {
    mkdir -p "$1"
    owner "$2" "$1"
    chmod "$3" "$1"
}

owner() { # who, paths...: below --root there are no users
    if [[ -n $root ]]; then return; fi
    chown -R "$@"
}

step_environment() {
    if [[ -e $new/complete ]] && "$new/venv/bin/python" -c 'import msgspec' 2>/dev/null; then
        return # its Python may have gone with an update of the system
    fi
    act "make the environment of $release (some minutes)" make_release
}

make_release() { # the folder counts only once `complete` is in it
    local made=$new.made # aside: what it is made of may lie in the folder that it replaces
    rm -rf "$made"
    mkdir -p "$made/source"
    (cd "$ROOT" && release_files | tar c --no-recursion --null -T -) |
        tar x --no-same-owner -C "$made/source"
    case ${given[onnx]:-none} in
        none) ;;
        lock) mkdir "$made/onnx" && touch "$made/onnx/lock" ;;
        *) mkdir "$made/onnx" && cp "${given[onnx]}" "$made/onnx/" ;;
    esac
    if has_packages; then mkdir "$made/packages" && cp "${given[packages]}"/*.whl "$made/packages/"; fi
    if has_cameras; then touch "$made/cameras"; fi
    rm -rf "$new.old"
    if [[ -e $new ]]; then mv -T "$new" "$new.old"; fi
    mv -T "$made" "$new"
    rm -rf "$new.old"
    make_environment
    if has_packages; then add_packages; fi
    chmod -R u=rwX,go=rX "$new"
    sync -f "$new"
    date -u +%FT%TZ >"$new/complete"
}

has_packages() { [[ ${given[packages]:-none} != none ]]; }

make_environment() {
    local python extras=edge,bridge,signed,sparkplug
    python=$(board_python) || fail "found no Python $OLDEST_PYTHON or later"
    local onnx=${given[onnx]:-none}
    if [[ $onnx == lock ]]; then extras+=,onnx; fi
    if has_cameras; then extras+=,camera; fi
    "$python" -m venv "$new/venv"
    # What builds the package is held to the lock too; new and old pips ask for it by other names.
    export PIP_CONSTRAINT=$new/source/constraints.txt PIP_BUILD_CONSTRAINT=$new/source/constraints.txt
    pip_install "$new/source[$extras]"
    if [[ $onnx == *.whl ]]; then
        if has_cameras; then # which brought the CPU's, by the same name
            "$new/venv/bin/python" -m pip uninstall -y onnxruntime >>"$new/install.log" 2>&1
        fi
        pip_install "$new/onnx/${onnx##*/}"
    fi
}

add_packages() { # the adapters of the site; what they need besides comes by the same way
    pip_install --find-links "$new/packages" "$new"/packages/*.whl
}

pip_install() {
    local from=()
    if [[ -n ${given[wheelhouse]:-} ]]; then
        from=(--no-index --find-links "${given[wheelhouse]}")
    fi
    if ! "$new/venv/bin/python" -m pip install --disable-pip-version-check --no-input "${from[@]}" \
        -c "$new/source/constraints.txt" "$@" >>"$new/install.log" 2>&1 </dev/null; then
        tail -n 20 "$new/install.log" >&2
        fail "could not install the program; nothing that runs was touched. All that pip said is in" \
            "$new/install.log"
    fi
}

step_settings() {
    local kind
    for kind in site bridge adapters; do
        if [[ -n ${given[$kind]:-} && ! -e ${!kind} ]]; then
            put "${given[$kind]}" "${!kind}" 640
        fi
    done
    while read -r kind; do
        if [[ -n $kind && ! -e $etc/${kind##*/} ]]; then put "$kind" "$etc/${kind##*/}" 640; fi
    done <<<"${given[camera]:-}"
}

step_bundles() { # those of a site stay, whatever a release brings
    local one name
    for one in "$ROOT"/bundles/*/ ${given[bundles]:+"${given[bundles]}"/*/}; do
        name=$(basename "$one")
        if [[ ! -e $var/bundles/$name ]]; then
            act "copy the bundle $name" copy_whole "$one" "$var/bundles/$name"
        elif ! diff -rq "$one" "$var/bundles/$name" >/dev/null; then
            mind "the bundle $name in ${var#"$root"}/bundles is kept; this release brings another." \
                "To take that one, remove the old folder and install again"
        fi
    done
}

copy_whole() {
    rm -rf "$2.new"
    cp -r "$1" "$2.new"
    chmod -R u=rwX,g=rX,o= "$2.new"
    sync -f "$2.new"
    mv -T "$2.new" "$2"
}

step_permissions() { # settings and secrets: root writes, the service reads what it needs
    if [[ -n $root || -n $dry_run ]]; then return; fi
    find "$etc" -maxdepth 1 -type f -exec chown root:solosense {} + -exec chmod 640 {} +
    chown solosense:solosense "$var" # whoever made it
    chown -R root:solosense "$var/bundles" "$var/models"
    chmod -R u=rwX,g=rX,o= "$var/models"
    broker_permissions
}

step_proof() { # the new release judges settings, bundles and log before anything is switched to it
    act_quietly "check ${site#"$root"} with the new release" || return 0
    local found one program package kept_at taken=()
    found=$(judged edge "$site" --json)
    engines=$("$new/venv/bin/python" -c 'import json, sys
for one in json.load(sys.stdin)["bundles"]: print(one["bundle"], "runs on", one["engine"])' <<<"$found")
    keeps_to_its_folder "$site" edge log.path
    log_file=$kept_at
    for one in $(carriers); do
        case $one in
            bridge) program=bridge package=firmware_bridge ;;
            adapters) program=adapters package=sensor_adapters.gateway ;;
            camera@*) program=adapters package=sensor_adapters.cameras ;;
        esac
        judged "$program" "$(file_of "$one")" >/dev/null
        keeps_to_its_folder "$(file_of "$one")" "$package" outbox.path
        if [[ " ${taken[*]} " == *" $kept_at "* ]]; then
            fail "$(file_of "$one"): outbox.path is $kept_at, expected another: it is that of another" \
                "of these files. What ran goes on"
        fi
        taken+=("$kept_at")
    done
}

act_quietly() { # text: said in a dry run only; whether to go on
    if [[ -z $dry_run ]]; then return 0; fi
    echo "  $1" >&2
    return 1
}

judged() { # program, file, more...: what its check prints
    local log
    log=$(mktemp)
    if ! as_service "$new/venv/bin/solosense-$1" check "${@:2}" 2>"$log"; then
        cat "$log" >&2
        rm -f "$log"
        fail "the new release does not take ${2#"$root"}; what ran goes on. Change what it names," \
            "and install again"
    fi
    rm -f "$log" # where a library told of its doings
}

as_service() { # command...: as the user that will run it, who must be able to read everything
    if [[ -n $root ]]; then "$@"; else (cd / && runuser -u solosense -- "$@"); fi
}

keeps_to_its_folder() { # file, package, key
    local path
    path=$("$new/venv/bin/python" -c '
import importlib, operator, pathlib, sys
config = importlib.import_module(sys.argv[2] + ".config").load(pathlib.Path(sys.argv[1]))
print(operator.attrgetter(sys.argv[3])(config))' "$@")
    if [[ $(realpath -ms "$path") != "$var"/* ]]; then
        fail "${1#"$root"}: $3 is $path, expected a file below ${var#"$root"}: the service may" \
            "write nowhere else. What ran goes on"
    fi
    kept_at=$path
}

step_units() { # linked through `current`: the switch changes program and units in one move
    local one units=../../../opt/solosense/current/source/edge/install/units
    for one in edge bridge adapters camera@; do
        link "$units/solosense-$one.service" "$system/solosense-$one.service"
    done
    for one in edge $(carriers); do # each is a word: see `carriers`
        link "../solosense-${one/@*/@}.service" "$(wanted "solosense-$one")"
    done
    for one in $(services); do
        case " edge $(carriers | tr '\n' ' ')" in
            *" ${one#solosense-} "*) ;;
            *) switch_off "$one" ;; # its settings are gone
        esac
    done
    if uses_gpu; then
        put "$ROOT/edge/install/units/gpu.conf" "$system/solosense-edge.service.d/gpu.conf"
    fi
    put "$ROOT/edge/install/units/60-solosense.rules" "$rules"
    for one in "${programs[@]}"; do
        link "../../../opt/solosense/current/venv/bin/$one" "$commands/$one"
    done
    link ../../../opt/solosense/current/source/deploy.sh "$root/usr/local/sbin/solosense-deploy"
}

uses_gpu() { [[ ${engines:-} =~ onnx\ \((Tensorrt|CUDA)\) ]]; }

step_tidy() { # keeps the release that runs and the one before it
    local one name
    for one in "$opt"/releases/*/; do
        name=$(basename "$one")
        if [[ -n $dry_run || $name == "$(current)" || $name == "$(previous)" ]]; then continue; fi
        remove "${one%/}"
    done
    for one in "$var"/backups/before-*.db; do
        if [[ -e $one && $one != "$var/backups/before-$(current).db" && -z $dry_run ]]; then
            remove "$one"
        fi
    done
}
