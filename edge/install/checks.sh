# shellcheck shell=bash
# Looks before anything is changed: all that is wrong is said at once, then nothing is done.

OLDEST_PYTHON=3.10
NEED_MB=2000       # two releases with their environments, and room to work
SCARCE_MEMORY_MB=1500
LEAST_MEMORY_MB=500
wrong=0

is_wrong() {
    echo "  WRONG  $*" >&2
    wrong=$((wrong + 1))
}

mind() { echo "  mind   $*" >&2; }

fine() { echo "  ok     $*" >&2; }

now_s() { date +%s; }

checks() {
    say "looking at this board; nothing is changed yet"
    check_root
    check_machine
    check_jetson
    check_python
    check_disk
    check_memory
    check_clock
    check_systemd
    check_settings
    check_ports
    check_packages
    if ((wrong)) && [[ -z $dry_run ]]; then
        fail "$wrong of these must be put right first; nothing was changed"
    fi
}

check_root() {
    if [[ $(id -u) != 0 && -z $root && -z $dry_run ]]; then
        is_wrong "this is user $(id -un), expected root: sudo ./deploy.sh install …"
    fi
}

check_machine() {
    local machine bits
    machine=$(uname -m) bits=$(getconf LONG_BIT)
    case $machine-$bits in
        aarch64-64 | x86_64-64) fine "$machine, 64 bits" ;;
        *) is_wrong "$machine with $bits bits, expected aarch64 or x86_64 with a 64 bit system:" \
            "there is no LiteRT for others" ;;
    esac
}

check_jetson() {
    local file line release
    file=$(where /etc/nv_tegra_release)
    if [[ ! -e $file ]]; then
        mind "no Jetson (/etc/nv_tegra_release is not there); taken as a Linux board," \
            "models run on the CPU"
        return
    fi
    line=$(head -n 1 "$file")
    release=$(sed -n 's/^# R\([0-9]*\).*/\1/p' <<<"$line")
    case $release in
        36) fine "Jetson with JetPack 6 (${line#\# })" ;;
        38 | 39) fine "Jetson with JetPack 7 (${line#\# })" ;;
        [1-9] | [12][0-9] | 3[0-5])
            is_wrong "Jetson Linux $release, expected 36 or later (JetPack 6): older ones come" \
                "with Python 3.8" ;;
        *) mind "Jetson Linux ${release:-of an unknown release}, which nobody has tried yet" ;;
    esac
}

board_python() { # a Python that services may read: not one of somebody's home
    local candidate path
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11 python3.10}; do
        path=$(PATH=$board_path command -v "$candidate") || continue
        "$path" -c "import sys; sys.exit(sys.version_info < (${OLDEST_PYTHON/./, }))" || continue
        echo "$path"
        return
    done
    return 1
}

check_python() {
    local path about=()
    if ! path=$(board_python); then
        if PATH=$board_path command -v "${PYTHON:-python3}" >/dev/null; then
            is_wrong "$(PATH=$board_path "${PYTHON:-python3}" --version 2>&1)," \
                "expected Python $OLDEST_PYTHON or later; PYTHON=/path/to/python3 chooses another"
        elif command -v apt-get >/dev/null && [[ -z $root ]]; then
            mind "no Python yet; it will be installed"
        else
            is_wrong "no Python, expected $OLDEST_PYTHON or later"
        fi
        return
    fi
    mapfile -t about < <("$path" -c 'import sqlite3, sys
print(sys.version.split()[0], sys.base_prefix, sqlite3.sqlite_version_info >= (3, 37), sep="\n")')
    if [[ -z $root && ${about[1]} =~ ^/(root|home)/ ]]; then
        is_wrong "$path belongs to ${about[1]}, expected one that services may read, as" \
            "/usr/bin/python3"
    fi
    if [[ ${about[2]} != True ]]; then is_wrong "$path has an SQLite older than 3.37"; fi
    fine "Python ${about[0]}, $path"
}

check_disk() { # of the place where the log will lie
    local place=$var device free_mb
    while [[ ! -e $place ]]; do place=$(dirname "$place"); done
    device=$(df --output=source "$place" | tail -n 1)
    free_mb=$(df -BM --output=avail "$place" | tail -n 1 | tr -dc 0-9)
    case $device in
        *mmcblk*) mind "$device is an SD card or eMMC, which writing wears out; an NVMe disk for" \
            "/var/lib/solosense lasts longer" ;;
        *nvme*) fine "disk $device (NVMe)" ;;
        *) fine "disk $device" ;;
    esac
    if ((free_mb < NEED_MB)); then
        is_wrong "$free_mb MB are free on $device, expected $NEED_MB or more"
    else
        fine "$free_mb MB free"
    fi
}

check_memory() {
    local mb
    mb=$(($(awk '/^MemTotal:/ {print $2}' "$(where /proc/meminfo)") / 1024))
    if ((mb < LEAST_MEMORY_MB)); then
        is_wrong "$mb MB of memory, expected $LEAST_MEMORY_MB or more"
    elif ((mb < SCARCE_MEMORY_MB)); then
        mind "$mb MB of memory: enough for a few stations and no camera"
    else
        fine "$mb MB of memory"
    fi
}

check_clock() { # certificates and pip fail under a wrong clock, and rows get wrong times
    local now made
    now=$(now_s) made=$(stat -c %Y "$ROOT/constraints.txt")
    if ((now < made - 86400)); then
        is_wrong "the clock says $(date -u -d "@$now" +%F), before this release was made" \
            "($(date -u -d "@$made" +%F)); set it: timedatectl set-time 'YYYY-MM-DD hh:mm:ss'," \
            "and look after the battery of its clock"
    elif [[ -e $(where /run/systemd/timesync/synchronized) ||
        $(timedatectl show -p NTPSynchronized --value 2>/dev/null) == yes ]]; then
        fine "the clock is synchronised"
    else
        mind "the clock ($(date -u -d "@$now" '+%F %T') UTC) is not synchronised; rows are only as" \
            "right as it is. Without internet, name a time server of the site in" \
            "/etc/systemd/timesyncd.conf"
    fi
}

check_systemd() {
    if [[ -n $no_start || -n $root ]]; then return; fi
    if [[ -d /run/systemd/system ]]; then
        fine "systemd $(systemctl --version | awk 'NR == 1 {print $2}')"
    else
        is_wrong "systemd does not run here; --no-start only places the files"
    fi
}

kept() { # settings that are there, others that were given
    mind "$1 is kept, it is never overwritten; $2 says something else." \
        "Compare them (diff), and change the one in ${etc#"$root"} by hand"
}

check_settings() {
    local kind file seen='' twice
    for kind in site bridge adapters; do
        file=${given[$kind]:-}
        if [[ -n $file && ! -f $file ]]; then
            is_wrong "--$kind $file is not there, expected a configuration"
        elif [[ -n $file && -e ${!kind} ]] && ! cmp -s "$file" "${!kind}"; then
            kept "${!kind}" "$file"
        fi
    done
    while read -r file; do
        if [[ -z $file ]]; then continue; fi
        if [[ ! ${file##*/} =~ ^camera-[a-z0-9_-]+\.toml$ ]]; then
            is_wrong "--camera $file, expected a file named as camera-door.toml: a-z 0-9 _ -"
        elif [[ ! -f $file ]]; then
            is_wrong "--camera $file is not there, expected a configuration"
        elif [[ " $seen " == *" ${file##*/} "* ]]; then
            is_wrong "--camera ${file##*/} was given twice, expected a name of its own for each"
        elif [[ -e $etc/${file##*/} ]] && ! cmp -s "$file" "$etc/${file##*/}"; then
            kept "$etc/${file##*/}" "$file"
        fi
        seen+=" ${file##*/}"
    done <<<"${given[camera]:-}"
    while read -r file; do
        if [[ -n $file && ! ${file##*/} =~ ^camera-[a-z0-9_-]+\.toml$ ]]; then
            mind "$file is left alone: a camera's file is named as camera-door.toml"
        fi
    done < <(camera_files)
    if [[ -z ${given[site]:-} && ! -e $site ]]; then
        is_wrong "no configuration of the site, expected --site FILE; an example to begin with" \
            "is edge/install/site.toml"
    fi
    for kind in bundles wheelhouse; do
        if [[ -n ${given[$kind]:-} && ! -d ${given[$kind]} ]]; then
            is_wrong "--$kind ${given[$kind]} is not there, expected a folder"
        fi
    done
    file=${given[packages]:-none}
    if [[ $file != none ]] && ! compgen -G "$file/*.whl" >/dev/null; then
        is_wrong "--packages $file holds no wheel (*.whl), expected a folder with those of your" \
            "adapters, or the word none"
    elif [[ $file != none ]]; then
        twice=$(find "$file" -maxdepth 1 -name '*.whl' -printf '%f\n' | cut -d- -f1 | sort | uniq -d | tr '\n' ' ')
        if [[ -n $twice ]]; then
            is_wrong "--packages $file holds several wheels of ${twice% }, expected one of each"
        fi
    fi
    file=${given[onnx]:-none}
    if [[ $file != lock && $file != none && ! (-f $file && $file == *.whl) ]]; then
        is_wrong "--onnx $file is no wheel, expected one, or the word lock or none"
    fi
}

listeners() { # port: the programs that listen on it, one a line; "?" where that can not be seen
    local wanted inode process
    wanted=$(printf ':%04X' "$1")
    awk -v port="$wanted" '$4 == "0A" && $2 ~ port "$" {print $10}' \
        /proc/net/tcp /proc/net/tcp6 2>/dev/null | sort -u | while read -r inode; do
        process=$(find /proc/[0-9]*/fd -lname "socket:\[$inode\]" 2>/dev/null | head -n 1 |
            cut -d/ -f3) || true
        if [[ -n $process ]]; then cat "/proc/$process/comm"; else echo "?"; fi
    done
}

check_ports() {
    local port name
    if [[ -n $root ]] || ! broker_is_here; then return; fi
    for port in 1883 8883; do
        while read -r name; do
            [[ $name == mosquitto ]] && continue # Debian's own, or ours
            is_wrong "port $port is taken by $name, expected it free for mosquitto. End that" \
                "program, or name that broker in the site's file"
        done < <(listeners "$port")
    done
    if [[ ! -e $broker ]] && compgen -G "/etc/mosquitto/conf.d/*.conf" >/dev/null; then
        is_wrong "mosquitto has settings of somebody else in /etc/mosquitto/conf.d, which would no" \
            "longer hold. Name that broker in the site's file by another host, or remove them"
    fi
}

missing_packages() { # of the system, one a line
    local python
    if [[ -n $root ]]; then return; fi
    if python=$(board_python); then
        if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
            "$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])'
        fi
    else
        printf '%s\n' python3 python3-venv
    fi
    if broker_is_here; then
        [[ -x /usr/sbin/mosquitto ]] || echo mosquitto
        command -v openssl >/dev/null || echo openssl
    fi
}

check_packages() {
    local names
    mapfile -t names < <(missing_packages)
    if ((${#names[@]} == 0)); then
        fine "all packages of the system are there"
    elif ! command -v apt-get >/dev/null; then
        is_wrong "not installed: ${names[*]}; expected them, or apt-get to install them"
    elif [[ -n $dry_run ]]; then
        mind "apt-get will install: ${names[*]}"
    elif apt-get -qq update >/dev/null 2>&1 &&
        apt-get -qq install --simulate --no-install-recommends "${names[@]}" >/dev/null 2>&1; then
        fine "apt-get can install ${names[*]}"
    else
        is_wrong "not installed: ${names[*]}, and apt-get does not get them. Without internet," \
            "install their .deb files first (INSTALL.md says how)"
    fi
}
