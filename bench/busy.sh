#!/bin/sh
# busy.sh: how much longer a training step takes beside other programs that never rest.
#
#     sh bench/busy.sh [ROUNDS]           5 rounds take about two minutes
#
# Runs of nanogpt-cpu, two threads, alone and beside one and two busy loops, in turn; prints the
# medians of their seconds, and how many times as long as alone they took.
set -u
cd "$(dirname "$0")/.." || exit 1
work=$(mktemp -d) || exit 1
loops=
stop_loops() { for l in $loops; do kill "$l"; wait "$l"; done 2>/dev/null; loops=; }
trap 'stop_loops; rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

seconds() {
    ./train data/shakespeare.txt --preset nanogpt-cpu --steps 60 --eval-batches 1 --threads 2 \
        --out "$work/b.bin" --overwrite --quiet --json |
        sed 's/.*"seconds":\([0-9.]*\),.*/\1/'
}

for _ in $(seq "${1:-5}"); do
    for beside in 0 1 2; do
        for _ in $(seq "$beside"); do
            while :; do :; done &
            loops="$loops $!"
        done
        seconds >> "$work/$beside" || exit 1
        stop_loops
    done
done
for beside in 0 1 2; do
    sort -n "$work/$beside" | awk -v beside=$beside -v alone="$(sort -n "$work/0" |
        awk '{ s[NR] = $1 } END { print s[int((NR + 1) / 2)] }')" '
        { s[NR] = $1 }
        END { m = s[int((NR + 1) / 2)]; printf "%d busy loops  %.2f s  %.2f times\n", beside, m,
              m / alone }'
done
