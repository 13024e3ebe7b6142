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

# says_why NAME WORD: no command is printed that would give other bytes, and one line says why.
says_why() {
    check "$1: no command" not grep '^repeat with' stderr
    says "$1" 'no command gives these bytes again: '
    says "$1" "$2"
}

# A run whose bytes a plain command does not give says so.
timed_not_repeatable() {
    remove m
    # The rate has begun to fall by step 12 of 20.
    wsd="$tiny --schedule wsd"
    run 0 'more time: the first part' ./train t.txt $wsd --stop-at 12 --out m.bin
    copy_files m keep
    run 0 'more time' ./train t.txt $second --resume --out m.bin
    says_why 'more time' 'it was given more when its last steps had begun'
    copy_files keep m
    run 0 'more time, stopped' ./train t.txt --minutes 1 --threads 1 --resume --stop-at 14 \
        --out m.bin
    run 0 'more time, resumed' ./train t.txt $second --resume --out m.bin
    says_why 'more time, resumed' 'it was given more when its last steps had begun'
    run 0 'more time, constant' ./train t.txt $tiny --schedule constant --steps 7 --out m.bin \
        --overwrite
    run 0 'more time, constant' ./train t.txt $second --resume --out m.bin
    says_why 'more time, constant' 'it was given more when its last steps had begun'
    run 0 'before the rate falls' ./train t.txt $wsd --stop-at 9 --out m.bin --overwrite
    run 0 'before the rate falls, more time' ./train t.txt $second --resume --out m.bin
    repeats 'before the rate falls, more time' m

    run 0 'other evaluations' ./train t.txt $wsd --stop-at 7 --out m.bin --overwrite
    run 0 'other evaluations' ./train t.txt $second --resume --eval-every 4 --out m.bin
    says_why 'other evaluations' 'its --eval-every was changed'

    # A decay longer than the run: its steps are planned at once. They end long before the clock, on
    # a busy machine too.
    early="--minutes 5 --threads 1 --layers 1 --heads 2 --channels 16 --context 16 --batch 4
           --schedule wsd --decay-steps 1e9 --overwrite --out m.bin"
    run 0 'patience' ./train t.txt $early --lr 0 --min-lr 0 --eval-every 2 --dropout 0 --ema 0 \
        --patience 2
    says_why 'patience' 'the same --patience would be needed'
    run 0 'stopped' ./train t.txt $early --stop-at 3
    says_why 'stopped' 'the same --stop-at would be needed'
    run 0 'stopped with steps' ./train t.txt $tiny --stop-at 3 --out m.bin --overwrite
    check 'stopped with steps: no timed run' not grep 'no command' stderr
    check 'more time: the bytes of a plain run hold no mark' not grep -a -c changed ref.bin
    remove m
    remove keep
}

# The deadline has passed before training begins.
timed_too_late() {
    run 0 'too late' ./train t.txt --minutes 0.01 --val-fraction 0 --threads 1 --quiet --out m.bin
    head -c 30 t.txt >thirty.txt
    run 0 'too late, from a slow pipe' sh -c \
        '(sleep 1; cat thirty.txt) | ./train - --minutes 0.01 --val-fraction 0 --threads 1 \
            --out m.bin --overwrite'
    remove m
}

minutes_groups='timed_runs timed_choices timed_resumed timed_not_repeatable timed_too_late'
