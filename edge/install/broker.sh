# shellcheck shell=bash
# The broker of the board: mosquitto with TLS, accounts and rights, made by the program from the
# site's file. Mosquitto's own configuration is left as it is; a drop-in names ours.

restart_due() { echo "$broker/restart-due"; } # from the change to mosquitto's restart, cut off or not

step_access() {
    if ! broker_is_here; then return; fi
    listen=${given[listen]:-$(cat "$broker/listen" 2>/dev/null || echo 127.0.0.1)}
    if [[ -n $dry_run ]]; then
        would_change_broker=yes
        act "make what is missing of certificates, accounts and rights in ${broker#"$root"}" true
        return
    fi
    local was_due=
    if [[ -e $(restart_due) ]]; then was_due=yes; fi
    mkdir -p "$broker"
    touch "$(restart_due)"
    if [[ $(cat "$broker/listen" 2>/dev/null) != "$listen" ]]; then echo "$listen" >"$broker/listen"; fi
    before_act
    if give_access; then
        act "certificates, accounts and rights for the broker in ${broker#"$root"}" true
    elif [[ -z $was_due ]]; then
        rm -f "$(restart_due)"
    fi
}

give_access() { # whether something changed; what is there is kept, and certificates renewed in time
    local said
    said=$("$new/venv/bin/solosense-edge" access "$site" --to "$broker" --tls --listen "$listen" --json) ||
        fail "the broker's access could not be made; what ran goes on"
    [[ $(in_json changed <<<"$said") != "[]" ]]
}

in_json() { # key: its value in the JSON that is read
    "${new:-$opt/current}/venv/bin/python" -S -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"
}

broker_permissions() { # the programs of the board read their own secrets, root alone the others
    local one name ours
    if [[ ! -d $broker/secrets ]]; then return; fi
    chgrp solosense "$broker/secrets" "$broker/clients"
    chmod 750 "$broker/secrets" "$broker/clients"
    ours=" edge bridge gateway $(cameras_are) "
    for one in "$broker"/secrets/* "$broker"/clients/*; do
        name=${one##*/}
        if [[ $ours == *" ${name%.*} "* ]]; then chgrp solosense "$one" && chmod 640 "$one"; fi
    done
}

cameras_are() { # their ids: their accounts
    local files
    mapfile -t files < <(camera_files)
    "$new/venv/bin/python" -c 'import msgspec, pathlib, sys
print(*(msgspec.toml.decode(pathlib.Path(one).read_bytes()).get("device") for one in sys.argv[1:]))' "${files[@]}"
}

step_broker() { # before the proof, which looks whether the broker's certificate is the right one
    local file=$system/mosquitto.service.d/solosense.conf
    if ! broker_is_here; then return; fi
    if ! cmp -s "$ROOT/edge/install/units/broker.conf" "$file"; then
        if [[ -z $dry_run ]]; then touch "$(restart_due)"; fi
        put "$ROOT/edge/install/units/broker.conf" "$file"
    fi
    if [[ -z $no_start && (-e $(restart_due) || -n ${would_change_broker:-}) ]]; then
        act "restart mosquitto" restart_broker_now
    fi
}

restart_broker_now() {
    systemctl daemon-reload 9>&-
    if ! systemctl restart mosquitto 9>&-; then
        journalctl -q -u mosquitto -n 10 --no-pager >&2 2>/dev/null || true
        fail "mosquitto does not start with ${broker#"$root"}/mosquitto.conf; the lines above say why"
    fi
    rm -f "$(restart_due)"
}
