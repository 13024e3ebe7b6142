#!/bin/sh
# kills.sh: a run that is killed at a hundred random moments gives the same bytes as an
# undisturbed run.
#
#     sh tests/run/kills.sh PROGRAMS [KILLS]
#
# PROGRAMS is the folder of train and inspect; KILLS is 100 if it is not given.
#
# Run by `make kills`, which is not part of `make test`: it takes some minutes. Twice, once with
# GPT-2, AdamW and dropout, once with Qwen3, Muon, an average of the weights and epochs: the run
# saves after each step, SIGKILL ends it after a random time, its files must be sound, and --resume
# continues with another number of threads. A run that ends before the signal is compared and
# started again. The last line is "kills: N passed, N failed".
set -u

programs=$(cd "${1:?folder of the programs}" && pwd) || exit 1
wanted=${2:-100}
tests=$(cd "$(dirname "$0")" && pwd) || exit 1
shakespeare=$tests/../../data/shakespeare.txt
work=$(mktemp -d) || exit 1
running=
trap 'kill -9 $running 2>/dev/null; rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
cd "$work" || exit 1
unset FOLIO_ISA OMP_NUM_THREADS NO_COLOR
export TERM=dumb LC_ALL=C
passed=0 failed=0

train="$programs/train" inspect="$programs/inspect"
head -c 20000 "$shakespeare" >t.txt || exit 1
common='t.txt --layers 2 --heads 2 --channels 32 --context 32 --batch 8 --steps 400 --warmup 20
    --lr 1e-2 --eval-every 25 --save-every 1 --quiet'

# verdict STATUS NAME
verdict() {
    if [ "$1" -eq 0 ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED: $2"
        sed 's/^/    /' err | tail -n 4
    fi
}

# A random whole number below $1.
random() { echo $(($(od -An -N4 -tu4 /dev/urandom | tr -d ' ') % $1)); }

# kill_once OPTION...: the run in the background, for a random time below $longest ms, then SIGKILL.
# Sets status to its exit status.
kill_once() {
    $train $common "$@" --out k.bin --log k.log --resume --threads $((1 + kills % 3)) 2>err &
    running=$!
    delay=$(random "$longest")
    sleep "$((delay / 1000)).$(printf '%03d' $((delay % 1000)))"
    kill -9 $running 2>/dev/null
    wait $running 2>/dev/null
    status=$?
    running=
}

sound() {
    for file in k.bin k.last.bin; do
        [ ! -e $file ] || "$inspect" $file --verify >/dev/null 2>err || return 1
    done
}

plain_log() { awk -f "$tests/plain_log.awk" "$1"; }

same() {
    plain_log want.log >want.plain
    plain_log k.log >k.plain
    cmp k.bin want.bin && cmp k.last.bin want.last.bin && cmp k.plain want.plain
} >err 2>&1

# hundred_kills NAME OPTION...
hundred_kills() {
    name=$1
    shift
    rm -f ./*.bin ./*.log k.lock k.tmp
    begun=$(date +%s)
    $train $common "$@" --out want.bin --log want.log 2>err
    verdict $? "$name: the undisturbed run"
    # A start takes time, too: with twice the mean piece few runs end before the signal.
    longest=$((2000 * ($(date +%s) - begun) / wanted + 40))
    kills=0 ended=0
    while [ $kills -lt "$wanted" ]; do
        kill_once "$@"
        if [ $status -eq 137 ]; then
            kills=$((kills + 1))
            sound
            verdict $? "$name: kill $kills, after $delay ms: sound files"
        else
            [ $status -eq 0 ] && same
            verdict $? "$name: ended after $kills kills with status $status: same files"
            ended=$((ended + 1))
            rm -f k.*
        fi
    done
    $train $common "$@" --out k.bin --log k.log --resume 2>err && same
    verdict $? "$name: resumed after the last kill: same files"
    echo "$name: $kills kills within $longest ms, $((ended + 1)) runs"
}

hundred_kills 'gpt2, AdamW, dropout' --dropout 0.1
hundred_kills 'qwen3, Muon, average, epochs' --family qwen3 --optimizer muon --ema 0.9 \
    --sampling epoch --schedule wsd

echo "kills: $passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
