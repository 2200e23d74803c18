#!/bin/sh
# restore.sh FOLDER: before the program starts, puts back the copy of the log that a rollback to this
# release asked for. The log that was in use is set aside, never deleted. A power cut between any two
# lines is mended by the next start, since only the last move ends the wish.
set -eu
release=$(readlink -f "$0")
release=$(basename "${release%/source/edge/install/restore.sh}")
for copy in "$1"/*".restore-$release"; do
    [ -e "$copy" ] || continue
    log=${copy%".restore-$release"}
    aside=$log.set-aside-$(date -u -r "$copy" +%Y%m%dT%H%M%SZ)
    for part in "" -wal -shm; do
        [ ! -e "$log$part" ] || mv "$log$part" "$aside$part"
    done
    mv "$copy" "$log"
    echo "the log of before the update is back; the newer one is $aside" >&2
done
