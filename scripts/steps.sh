#!/usr/bin/env bash
# Runs steps one after the other, all of them whatever becomes of each, and says at the end how they went. To be sourced.

steps_table=()
steps_failed=0

# step NAME COMMAND...: runs the command. What it writes to the file named by STEP_NOTE stands in the table.
step() {
    local name="$1" started=$SECONDS status=0 result=ok
    shift
    printf '\n=== %s\n' "$name"
    STEP_NOTE=$(mktemp)
    export STEP_NOTE
    # Not as a condition: there, errexit would be off inside the command too.
    set +e
    ( set -e; "$@" )
    status=$?
    set -e
    if [ "$status" -ne 0 ]; then
        result=FAILED
        steps_failed=$((steps_failed + 1))
    fi
    steps_table+=("$(printf '%-7s %5d s  %-22s %s' "$result" $((SECONDS - started)) "$name" "$(cat "$STEP_NOTE")")")
    rm -f "$STEP_NOTE"
}

# Shows the table; fails if a step failed.
finish() {
    printf '\n=== %s\n' "$1"
    printf '%s\n' "${steps_table[@]}"
    if [ "$steps_failed" -gt 0 ]; then
        printf '%d of %d steps failed; what they said is above.\n' "$steps_failed" "${#steps_table[@]}"
        exit 1
    fi
}
