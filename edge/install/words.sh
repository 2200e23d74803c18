# shellcheck shell=bash
# What every part of the installation shares: how it speaks, how it acts, where things lie.

root=              # --root DIR: everything lands below DIR, nothing of this machine is touched
dry_run=           # --dry-run: each act is said, none is done
no_start=          # --no-start: no service is started or asked
changed=0          # acts done in this run

# shellcheck disable=SC2034 # settings are read by the name of their kind
paths() { # names what the board has, once $root is known
    etc=$root/etc/solosense
    var=$root/var/lib/solosense
    opt=$root/opt/solosense
    site=$etc/site.toml
    bridge=$etc/bridge.toml
    adapters=$etc/adapters.toml
    broker=$etc/broker
    system=$root/etc/systemd/system
    rules=$root/etc/udev/rules.d/60-solosense.rules
    commands=$root/usr/local/bin
    programs=(solosense-edge solosense-bridge solosense-adapters)
}

carriers() { # what stands between devices and the broker here: whose settings are there, or given
    local one
    for one in bridge adapters; do
        if [[ -e ${!one} || -n ${given[$one]:-} ]]; then echo "$one"; fi
    done
    { camera_files && echo "${given[camera]:-}"; } |
        sed -n 's:.*/::; s:^camera-\([a-z0-9_-]*\)\.toml$:camera@\1:p' | sort -u
}

camera_files() { # that are there
    compgen -G "$etc/camera-*.toml" || true
}

has_cameras() { # or had: what they need stays with updates, as what was given does
    [[ -e $opt/current/cameras || $(carriers) == *camera@* ]]
}

file_of() { # carrier: its settings
    case $1 in
        camera@*) echo "$etc/camera-${1#camera@}.toml" ;;
        *) echo "${!1}" ;;
    esac
}

where() { # the file of this machine that a check reads; below --root if there is one
    if [[ -n $root && -e $root$1 ]]; then echo "$root$1"; else echo "$1"; fi
}

before_act() { :; } # the tests pull the plug here

act() { # text, command...: says and does one change
    echo "  $1" >&2
    shift
    changed=$((changed + 1))
    if [[ -z $dry_run ]]; then
        before_act
        "$@"
    fi
}

put() { # source, target, mode: a file whole or not at all; nothing where it is there already
    local source=$1 target=$2 mode=${3:-644}
    if cmp -s "$source" "$target"; then return; fi
    act "write $target" put_now "$source" "$target" "$mode"
}

put_now() {
    install -D -m "$3" "$1" "$2.new"
    sync "$2.new"
    mv -T "$2.new" "$2"
}

link() { # target, link: switched in one move, so that there is always one or the other
    if [[ $(readlink "$2" 2>/dev/null) == "$1" ]]; then return; fi
    act "link ${2#"$root"} to ${1#"$root"}" link_now "$1" "$2"
}

link_now() {
    mkdir -p "$(dirname "$2")"
    ln -sfn "$1" "$2.new"
    mv -T "$2.new" "$2"
}

remove() { # paths...: those that are there
    local one
    for one in "$@"; do
        if [[ -e $one || -L $one ]]; then act "remove $one" rm -rf "$one"; fi
    done
}

current() { readlink "$opt/current" 2>/dev/null | sed 's:.*/::' || true; }

previous() { # the way back: what the current release came after, if that is still here
    local name
    name=$(cat "$opt/current/before" 2>/dev/null) || return 0
    if [[ -n $name && -e $opt/releases/$name/complete ]]; then echo "$name"; fi
}

alone() { # one of us at a time
    if [[ -n $dry_run ]]; then return; fi
    mkdir -p "$root/run/lock"
    exec 9>"$root/run/lock/solosense-deploy"
    flock -n 9 || fail "another deploy.sh is at work on this board; wait until it has ended"
}

broker_host() { # of the site's file; what a TOML reader would say, for the usual ways to write it
    local file=$site
    if [[ ! -e $file && -n ${given[site]:-} ]]; then file=${given[site]}; fi
    [[ -e $file ]] || return 0
    awk -F= '/^\[/ {inside = /^\[broker\]/} inside && $1 ~ /^[ \t]*host[ \t]*$/ {
        gsub(/#.*|[ \t"\047]/, "", $2); print $2; exit}' "$file"
}

broker_is_here() {
    local host
    host=$(broker_host)
    case $host in
        "" | localhost | 127.* | ::1 | "$(hostname 2>/dev/null)") true ;;
        *) hostname -I 2>/dev/null | grep -qwF -- "$host" ;;
    esac
}
