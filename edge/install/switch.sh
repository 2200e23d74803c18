# shellcheck shell=bash
# From one release to another and back. The only state is the link `current`, switched in one move;
# `before` in a release's folder says what it came after, `healthy` that it once did its work. The old
# program runs from its own folder until it is restarted.

STEADY_S=5

healthy_mark() { echo "$opt/releases/$1/healthy"; }

step_copy() { # a copy of what the old release wrote, for a way back
    local from
    from=$(current)
    if [[ -z $from || $from == "$release" || -n $dry_run || ! -e $log_file ]]; then return; fi
    act "copy the log to ${var#"$root"}/backups" copy_log "$var/backups/before-$release.db"
}

copy_log() { # to: whole and checked, while the program writes
    local half=$1.new
    rm -f "$half"
    as_service "$new/venv/bin/solosense-edge" db backup "$site" "$half" >/dev/null ||
        fail "the log could not be copied, so there would be no way back; what ran goes on"
    sync "$half"
    mv -T "$half" "$1"
}

step_switch() {
    local from
    from=$(current)
    if [[ $from == "$release" ]]; then return; fi
    forget_wishes
    # What was never healthy is no way back; then what it came after still is.
    if [[ -n $from && ! -e $(healthy_mark "$from") ]]; then from=$(previous); fi
    if [[ -z $dry_run ]]; then
        echo "$from" >"$new/before"
        sync "$new/before"
    fi
    link "releases/$release" "$opt/current"
}

wanted() { echo "$system/multi-user.target.wants/$1.service"; } # service: it is switched on

services() { # of ours that are switched on, the board's own first
    local one
    for one in edge bridge adapters; do
        if [[ -L $(wanted "solosense-$one") ]]; then echo "solosense-$one"; fi
    done
    { compgen -G "$(wanted 'solosense-camera@*')" || true; } | sed 's:.*/::; s:\.service$::'
}

due() { # services that are to run
    if [[ -z $dry_run ]]; then services; else { echo edge && carriers; } | sed 's:^:solosense-:'; fi
}

switch_off() { # service
    if [[ -z $no_start ]]; then act "stop $1" stop_now "$1"; fi
    remove "$(wanted "$1")"
}

stop_now() { systemctl stop "$1" 9>&- || true; } # one whose unit is gone can not be asked

runs_current() { # service: it runs, and from the release that `current` names
    local pid
    pid=$(main_pid "$1")
    [[ $pid != 0 ]] &&
        tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF "$opt/releases/$(current)/"
}

step_start() {
    local one
    if [[ -n $no_start ]]; then return; fi
    if ((changed)) && [[ -z $dry_run ]]; then systemctl daemon-reload 9>&-; fi
    for one in $(due); do
        if [[ -n $dry_run ]] || ! runs_current "$one"; then start_one "$one"; fi
    done
}

start_one() { # what follows decides by its health, not by this
    act "start $1" restart "$1"
}

restart() {
    systemctl daemon-reload 9>&-
    systemctl reset-failed "$1" 2>/dev/null || true
    systemctl restart --no-block "$1" 9>&- || true
}

ask_health() { # more arguments...: what the program that runs says of itself
    "$opt/current/venv/bin/solosense-edge" health "$site" "$@"
}

is_up() { systemctl -q is-active "$1" && runs_current "$1"; }

answers() { # the board runs, and answers through its broker
    is_up solosense-edge || return 1
    # What is wrong with sensors, disk or heat does not speak against a release; it is said later.
    said_health=$(ask_health --json 2>/dev/null) || [[ $(in_json answered <<<"$said_health" 2>/dev/null) == True ]]
}

main_pid() { systemctl show -p MainPID --value "$1" 2>/dev/null || echo 0; }

wait_healthy() { # it answers, and a while later the same process still does
    local end=$((SECONDS + patience_s)) pid
    while true; do
        if answers; then
            if ((changed == 0)); then return; fi
            pid=$(main_pid solosense-edge)
            sleep "$STEADY_S"
            if answers && [[ $(main_pid solosense-edge) == "$pid" ]]; then return; fi
        fi
        if ((SECONDS >= end)) || systemctl -q is-failed solosense-edge; then return 1; fi
        sleep 1
    done
}

step_gate() {
    if [[ -n $no_start ]]; then return; fi
    act_quietly "wait until it is healthy, at most $patience_s s; else go back" || return 0
    if wait_healthy; then
        if [[ ! -e $(healthy_mark "$release") ]]; then touch "$(healthy_mark "$release")"; fi
        mind_carriers
        mind_problems
        return
    fi
    say "$release is not healthy after $patience_s s:"
    ask_health >&2 || true
    journalctl -q -u solosense-edge -n 15 --no-pager >&2 2>/dev/null || true
    if [[ -z $(previous) || $(previous) == "$release" ]]; then
        fail "there is no earlier release to go back to. It stays as it is; put right what is said" \
            "above, and install again"
    fi
    say "going back to $(previous)"
    go_back if-needed
    fail "$release was not healthy; $(current) runs again. What to look at: journalctl -u" \
        "solosense-edge, and INSTALL.md"
}

mind_carriers() { # one that does not run stops no update: the board works without it
    local one
    for one in $(services); do
        is_up "$one" || mind "$one does not run; journalctl -u $one says why"
    done
}

mind_problems() { # of sensors, mostly: they do not stop an update
    local one
    while read -r one; do
        if [[ -n $one ]]; then mind "$one"; fi
    done < <("$new/venv/bin/python" -S -c '
import json, sys
print(*json.load(sys.stdin)["problems"], sep="\n")' <<<"$said_health")
}

switch_off_unknown() { # services of which the release that is current knows nothing
    local one
    for one in $(services); do
        if [[ ! -e $system/${one/@*/@}.service ]]; then switch_off "$one"; fi
    done
    for one in "$system"/solosense-{adapters,camera@}.service; do
        if [[ -L $one && ! -e $one ]]; then remove "$one"; fi
    done
}

go_back() { # keep | copy | if-needed: what becomes of the log
    local left log copy
    left=$(current)
    log=$(log_path) copy=$var/backups/before-$left.db
    if [[ $1 == if-needed ]] && ! takes_log "$opt/releases/$(previous)" "$log" 2>/dev/null; then set -- copy; fi
    forget_wishes
    if [[ $1 == copy && -e $copy ]]; then
        act "have the copy of the log put back at the start" \
            wish_for_copy "$copy" "$log.restore-$(previous)"
    fi
    link "releases/$(previous)" "$opt/current"
    if [[ -z $dry_run ]]; then switch_off_unknown; fi
    start_current
    remove "$(healthy_mark "$left")"
}

start_current() { # after a way back
    local one
    if [[ -z $no_start ]]; then
        for one in $(services); do start_one "$one"; done
        if [[ -z $dry_run ]] && ! wait_healthy; then
            ask_health >&2 || true
            fail "$(current) is not healthy either; look at journalctl -u solosense-edge"
        fi
        if [[ -z $dry_run ]]; then mind_carriers; fi
    fi
}

log_path() {
    "$opt/current/venv/bin/python" -c '
import pathlib, sys
from edge import config
print(config.load(pathlib.Path(sys.argv[1])).log.path)' "$site" 2>/dev/null ||
        echo "$var/solosense.db"
}

takes_log() { # release folder, log: whether that release can write to it
    as_service "$1/venv/bin/python" -c '
import pathlib, sys
from edge.sqlite_log import LogError, refuse_unfit
try:
    refuse_unfit(pathlib.Path(sys.argv[1]))
except LogError as error:
    sys.exit(f"  {error}")' "$2"
}

wish_for_copy() { # copy, wish: restore.sh of the release it names fulfils it, before its program
    as_service cp "$1" "$2.new"
    sync "$2.new"
    as_service mv -T "$2.new" "$2"
}

forget_wishes() { # of a rollback that was cut off
    local one
    for one in "$(log_path)".restore-*; do
        if [[ -e $one ]]; then remove "$one"; fi
    done
}

rollback() {
    local log=keep
    if [[ -n ${given[database]:-} ]]; then log=copy; fi
    if [[ -z $(current) ]]; then fail "nothing is installed here"; fi
    if [[ -z $no_start && -z $dry_run && $(main_pid solosense-edge) != 0 ]] &&
        ! runs_current solosense-edge; then
        say "another release than $(current) runs still: a rollback was cut off; ending it"
        start_current
        return
    fi
    if [[ -z $(previous) ]]; then
        fail "no earlier release is kept; $(current) is the only one"
    fi
    if [[ $log == copy && ! -e $var/backups/before-$(current).db ]]; then
        fail "there is no copy of the log from before $(current)"
    fi
    say "from $(current) back to $(previous)"
    if [[ $log == keep && -z $dry_run ]] && ! takes_log "$opt/releases/$(previous)" "$(log_path)"; then
        fail "$(previous) can not go on with the log as it is now; rollback --database puts back" \
            "the log of before the update, and sets the newer one aside"
    fi
    go_back "$log"
    say "$(current) runs again"
}
