#!/bin/sh
# run.sh: runs every test of `make test` and adds up. The last line is "N passed, N failed".
#
#     sh tests/run.sh OBJ BIN TEST...
#
# OBJ is the folder of the test programs, BIN that of train, sample, eval and inspect. A TEST is a
# program OBJ/TEST or, if there is tests/TEST.sh (cli/cli, run/train, cli/pages), a script. Each
# ends with a line "NAME: N passed, N failed". Of a test that fails, everything it printed is
# shown; one that crashes or has no such line counts as one failure.
set -u

obj=${1:?folder of the test programs} bin=${2:?folder of the programs}
shift 2
here=$(dirname "$0")
log=$obj/log
rm -rf "$log"
mkdir -p "$log" || exit 1
# Waiting threads must not keep busy the core that the other test needs.
export OMP_WAIT_POLICY=passive
unset OMP_NUM_THREADS

run_test() {
    case $1 in
    test_text) "$obj/$1" "$here/../data" ;;
    test_fuzz) "$obj/$1" "$here/fuzz" ;;
    test_*) "$obj/$1" ;;
    cli/cli) sh "$here/$1.sh" "$bin" ;;
    *) sh "$here/$1.sh" "$bin" "$obj/faulty" ;;
    esac
}

# Runs one test and prints its last line, or all it said; its counts go to log/NAME.counts.
judge() {
    file=$(basename "$1")
    run_test "$1" > "$log/$file" 2>&1 < /dev/null
    status=$?
    last=$(tail -n 1 "$log/$file")
    counts=$(printf '%s\n' "$last" |
        sed -n 's/^[a-z_]*: \([0-9]\{1,9\}\) passed, \([0-9]\{1,9\}\) failed$/\1 \2/p')
    case "$status,$counts" in
    *,) last="$1: no verdict, exit status $status" counts='0 1' ;;
    0,'0 0') last="$1: checked nothing" counts='0 1' ;;
    0,*) ;;
    *,*' 0') last="$last, but exit status $status" counts="${counts% *} 1" ;;
    esac
    echo "$counts" > "$log/$file.counts"
    [ "${counts#* }" = 0 ] || sed "s/^/    /" "$log/$file"
    echo "$last"
}

# Two at once: the programs in the background, the scripts here, where the interrupt signal is not
# ignored.
programs='' scripts=''
for name in "$@"; do
    if [ -f "$here/$name.sh" ]; then scripts="$scripts $name"; else programs="$programs $name"; fi
done
for name in $programs; do judge "$name"; done &
lane=$!
trap 'kill "$lane" 2>/dev/null; exit 130' HUP INT TERM
for name in $scripts; do judge "$name"; done
wait "$lane"

passed=0 failed=0
for name in "$@"; do
    file=$log/$(basename "$name").counts
    [ -s "$file" ] || echo '0 1' > "$file"
    read -r p f < "$file"
    passed=$((passed + p)) failed=$((failed + f))
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
