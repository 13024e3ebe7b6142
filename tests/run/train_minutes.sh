#!/bin/sh
# train_minutes.sh: more groups for train.sh: runs that a clock ends, and the commands
# that repeat them.
#
#     . "$tests/train_minutes.sh"   in train.sh, before its list of groups, with $minutes_groups
#
# Needs train.sh's functions and its text t.txt.
# shellcheck disable=SC2034,SC2154

second='--minutes 0.01 --threads 1'

# To 17 digits. A NAME.bin from before the steps were settled records that in its
# settings, so its bytes may differ.
same_losses() { [ "$(./eval "$1" t.txt --json --quiet)" = "$(./eval "$2" t.txt --json --quiet)" ]; }

# repeats NAME RUN: the command that the last run printed makes the files of RUN again.
repeats() {
    sed -n 's/^repeat with: //p' stderr >repeat.sh
    check "$1: it says how to repeat it" test -s repeat.sh
    run 0 "$1: repeated" sh repeat.sh
    check "$1, repeated: the same NAME.last.bin" cmp "$2.again.last.bin" "$2.last.bin"
    check "$1, repeated: the same best weights" same_losses "$2.again.bin" "$2.bin"
    check "$1, repeated: a run without a clock" not grep '^done in' stderr
    remove "$2"
    remove "$2.again"
}

timed_runs() {
    for how in '' '--schedule constant --seed 3' '--decay-steps 5 --ema 0.9' \
               '--preset nanogpt-cpu' '--family gpt2 --optimizer adamw --dropout 0.1' \
               '--eval-every 7 --save-every 5 --channels 40'; do
        run 0 "a timed run $how" ./train t.txt $second $how --out m.bin --overwrite
        says "a timed run $how" 'done in '
        repeats "a timed run $how" m
    done
    run 0 'a timed run takes its time' sh -c 's=$(date +%s%N)
        ./train t.txt --minutes 0.05 --threads 1 --out m.bin
        e=$(date +%s%N); [ $(((e - s) / 1000000)) -gt 2000 ]'
    run 0 'a timed run from other weights' ./train t.txt $second --init-from ref.bin --out n.bin
    repeats 'a timed run from other weights' n
    check 'a timed run without options' sh -c \
        './train t.txt --threads 1 --stop-at 1 --out m.bin --overwrite 2>&1 |
            grep "^training 5 minutes, in steps"'
    run 0 'a number of steps is no timed run' ./train t.txt --steps 3 --threads 1 --out m.bin \
        --overwrite
    says 'a number of steps is no timed run' 'training 3 steps of 16 x 64'
    remove m
}

# Options that the user gives are kept; the rest is chosen.
timed_choices() {
    run 0 'chosen: with a preset' ./train t.txt $second --preset nanogpt-cpu --out m.bin
    says 'chosen: with a preset' 'gpt2: 4 layers, 4 heads, 128 channels, context 64'
    run 0 'chosen: around options' ./train t.txt $second --layers 2 --context 20 --out m.bin \
        --overwrite
    says 'chosen: around options' 'qwen3: 2 layers'
    says 'chosen: around options' 'context 20'
    check 'chosen: heads that divide the channels' sh -c \
        './train t.txt '"$second"' --channels 72 --out m.bin --overwrite 2>&1 |
            grep "2 heads, 72 channels"'
    check 'chosen: channels that the heads divide' sh -c \
        './train t.txt '"$second"' --heads 3 --out m.bin --overwrite 2>&1 |
            grep "3 heads, 66 channels"'
    head -c 300 t.txt >poem.txt
    run 0 'chosen: for 300 bytes' ./train poem.txt $second --out m.bin --overwrite
    says 'chosen: for 300 bytes' 'learnt by heart'
    run 2 'minutes and steps' ./train t.txt $second --steps 5 --out y.bin
    says 'minutes and steps' 'only one of them'
    for s in cosine linear; do
        run 2 "minutes with $s" ./train t.txt $second --schedule $s --out y.bin
        says "minutes with $s" 'needs --schedule wsd or constant'
    done
    run 2 'minutes of a run with cosine' ./train t.txt $second --resume --out half.bin
    says 'minutes of a run with cosine' 'needs --schedule wsd or constant'
    run 2 'no minutes at all' ./train t.txt --minutes 0 --out y.bin
    check 'nothing is left behind' absent y.bin y.last.bin y.lock
    remove m
}

# A timed run that ends before its steps are settled can be resumed with a new time, or with steps.
timed_resumed() {
    run 0 'timed, stopped' ./train t.txt --minutes 1 --threads 1 --stop-at 4 --out m.bin
    says 'timed, stopped' ' --resume --minutes 0.'
    run 2 'timed, resumed without a time' ./train t.txt --resume --out m.bin
    says 'timed, resumed without a time' '--minutes X or --steps N'
    cp m.last.bin keep.last.bin && cp m.bin keep.bin
    run 0 'timed, resumed' ./train t.txt $second --resume --out m.bin
    says 'timed, resumed' 'done in '
    repeats 'timed, resumed' m
    run 0 'timed, resumed with steps' ./train t.txt --resume --steps 9 --threads 1 --out keep.bin \
        --json
    check 'timed, resumed with steps: so many' grep '"steps":9,' stdout
    run 0 'a finished run gets more time' ./train t.txt $second --resume --out keep.bin --json
    check 'a finished run gets more time: more steps' sh -c \
        '[ "$(sed "s/.*\"steps\":\([0-9]*\),.*/\1/" stdout)" -gt 9 ]'
    remove m
    remove keep
}

minutes_groups='timed_runs timed_choices timed_resumed'
