# shellcheck shell=bash
# The commands for boards: their options, and the way to a board over ssh.
# deploy.sh sources this; ROOT, say and fail are its.

declare -A given=()
patience_s=90
board_path=/usr/local/bin:/usr/bin:/bin

# shellcheck source=edge/install/words.sh
source "$ROOT/edge/install/words.sh"
# shellcheck source=edge/install/checks.sh
source "$ROOT/edge/install/checks.sh"
# shellcheck source=edge/install/steps.sh
source "$ROOT/edge/install/steps.sh"
# shellcheck source=edge/install/broker.sh
source "$ROOT/edge/install/broker.sh"
# shellcheck source=edge/install/switch.sh
source "$ROOT/edge/install/switch.sh"
# shellcheck source=edge/install/commands.sh
source "$ROOT/edge/install/commands.sh"

board_help() {
    cat <<'TEXT'
usage: ./deploy.sh install [OPTIONS] [USER@HOST]
       ./deploy.sh status | rollback | uninstall [OPTIONS] [USER@HOST]

On the board as root, or from a laptop over ssh (SSH='ssh -p 2222' chooses how). All that is wrong
is said before anything is changed. Every command can be run again; cut off anywhere, the old
release runs or the new one, and another install puts the rest right.

install
  --site FILE         configuration of the site, for the first time; one that is there is kept
  --bridge FILE       configuration of the bridge for serial ports, likewise
  --adapters FILE     configuration of the gateway for devices that speak in their own way, likewise
  --camera FILE       configuration of a camera, camera-NAME.toml, likewise; repeat it for several
  --bundles DIR       model bundles of your own, each a folder in DIR
  --packages DIR      adapters of your own: DIR holds their wheels. Remembered; `none` for no longer
  --listen ADDRESS    where the broker listens (127.0.0.1); 0.0.0.0: everywhere, for devices of
                      the network. Remembered
  --wheelhouse DIR    take Python packages from here alone: a site without internet
  --onnx WHEEL        also ONNX Runtime: a wheel (NVIDIA's for the GPU), `lock` for the CPU's, `none`
                      for no longer. Remembered
  --patience SECONDS  how long a new release may take to be healthy (90); then it goes back
  --no-start          place everything, start nothing
rollback              to the release before this one
  --database          and to the log as it was before the update; the newer log is set aside.
                      Without it the log stays as it is, with all rows since
uninstall             settings and log are kept
  --purge             remove them too
all
  --dry-run           say what would be done, and do nothing
  --root DIR          below DIR instead of /, for tests: no packages, no user, no services

./deploy.sh wheelhouse DIR    fill DIR with the packages that a site without internet needs, for
                              this Python (PYTHON=…) and this machine (or MACHINE=aarch64)
TEXT
}

board() { # command, arguments...
    local command=$1 target='' rest=("${@:2}")
    umask 022
    options "$@"
    if [[ -n $target ]]; then
        on_board "$command" "$target" "${rest[@]}"
        return
    fi
    paths
    case $command in
        install) install_board ;; # which says all that is wrong at once
        wheelhouse) wheelhouse ;;
        *)
            if [[ $(id -u) != 0 && -z $root ]]; then fail "this is $(id -un), expected root: sudo"; fi
            if [[ $command != status ]]; then alone; fi
            "$command"
            ;;
    esac
}

wrong_use() {
    say "$*; ./deploy.sh install --help lists what there is"
    exit 2
}

options() {
    local command=$1 name
    shift
    while (($#)); do
        name=${1#--}
        case $command:$1 in
            *:-h | *:--help) board_help && exit ;;
            *:--dry-run) dry_run=yes ;;
            install:--no-start | uninstall:--no-start | rollback:--no-start) no_start=yes ;;
            rollback:--database | uninstall:--purge) given[$name]=yes ;;
            *:--root | install:--site | install:--bridge | install:--adapters | install:--bundles | \
                install:--camera | install:--packages | install:--wheelhouse | install:--onnx | install:--listen | \
                install:--patience)
                if (($# < 2)); then wrong_use "$1 needs a value"; fi
                case $name in
                    root) root=$(realpath -m "$2") no_start=yes ;;
                    patience)
                        [[ $2 =~ ^[0-9]+$ ]] || wrong_use "--patience is $2, expected seconds"
                        patience_s=$2
                        ;;
                    camera) given[camera]+=${given[camera]:+$'\n'}$2 ;;
                    packages | onnx | wheelhouse | bundles)
                        given[$name]=$2
                        if [[ $2 != none && $2 != lock && -e $2 ]]; then given[$name]=$(realpath "$2"); fi
                        ;;
                    *) given[$name]=$2 ;;
                esac
                shift
                ;;
            wheelhouse:[!-]*) given[wheelhouse]=$1 ;;
            *:-*) wrong_use "$command does not know $1" ;;
            *)
                if [[ -n $target ]]; then wrong_use "found $target and $1, expected one board"; fi
                target=$1
                ;;
        esac
        shift
    done
}

on_board() { # command, USER@HOST, arguments...: copies this release there and does the same there
    local command=$1 target=$2 arguments=() one value folder control ssh quoted
    shift 2
    control=$(mktemp -d /tmp/solosense-ssh.XXXXXX) # short: a socket's path may not be long
    read -ra ssh <<<"${SSH:-ssh}"
    # One connection for all: a password is asked for once.
    ssh+=(-o ControlMaster=auto -o "ControlPath=$control/%C" -o ControlPersist=60)
    folder=$("${ssh[@]}" "$target" 'mktemp -d /tmp/solosense-deploy.XXXXXX') ||
        fail "could not reach $target by ${SSH:-ssh}"
    say "copying this release to $target"
    (cd "$ROOT" && release_files | tar cz --no-recursion --null -T -) |
        "${ssh[@]}" "$target" "tar xz -C '$folder'"
    while (($#)); do
        one=$1 value=${2:-}
        shift
        case $one in
            "$target") continue ;;
            --site | --bridge | --adapters | --camera | --bundles | --packages | --wheelhouse | --onnx)
                shift
                if [[ -e $value ]]; then
                    tar cz -C "$(dirname "$value")" "$(basename "$value")" |
                        "${ssh[@]}" "$target" "mkdir -p '$folder/given$one' && tar xz -C '$folder/given$one'"
                    value=$folder/given$one/$(basename "$value")
                fi
                arguments+=("$one" "$value")
                ;;
            *) arguments+=("$one") ;;
        esac
    done
    printf -v quoted ' %q' "$folder/deploy.sh" "$command" "${arguments[@]}"
    local rc=0 tty=()
    if [[ -t 0 ]]; then tty=(-t); fi # sudo may ask
    "${ssh[@]}" "${tty[@]}" "$target" \
        "if [ \$(id -u) = 0 ]; then$quoted; else sudo$quoted; fi; rc=\$?; rm -rf '$folder'; exit \$rc" ||
        rc=$?
    "${ssh[@]}" -O exit "$target" 2>/dev/null || true
    rm -rf "$control"
    return "$rc"
}
