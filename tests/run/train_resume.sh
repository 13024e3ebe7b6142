#!/bin/sh
# train_resume.sh: more groups for train.sh: what --resume and --init-from let a person do next, and
# the commands that say so.
#
#     . "$tests/train_resume.sh"    in train.sh, before its list of groups, with $resume_groups
#
# Needs train.sh's functions, its $tiny, the runs ref and half, and near of train_modern.sh.
# shellcheck disable=SC2034,SC2154

# ---------------------------------------------------------------- --init-from

# The characters that the new text lacks keep their rows.
joined_vocabularies() {
    tr 'a-z' 'A-Z' <t.txt >upper.txt
    { cat upper.txt; printf '~\303\251'; } >other.txt
    remove j
    run 0 'joined' ./train upper.txt $tiny --init-from ref.bin --out j.bin
    says 'joined' '3600, validation 400'
    run 0 'joined: an old prompt' ./sample j.bin --prompt 'all the people' --length 5
    run 0 'joined: the old text' ./eval j.bin t.txt
    tr 'e' 'a' <t.txt >lower.txt
    run 0 'joined: still' ./train lower.txt $tiny --lr 0 --min-lr 0 --init-from ref.bin \
        --out j.bin --overwrite --log j.log
    says 'joined: still' '53 symbols'
    near 'joined: still: the text is encoded with it' "$(logged j.log 0)" \
        "$(loss_of ref.bin lower.txt)"
    near 'joined: still: the loss it had' "$(loss_of j.bin)" "$(loss_of ref.bin)"

    run 0 'joined: new ones' ./train other.txt $tiny --val-fraction 0 --init-from ref.bin \
        --out j.bin --overwrite --log k.log
    check 'joined: new ones: named' grep -E 'new to ref.bin and start at random:.* U\+00E9' stderr
    run 0 'joined: new ones: an old prompt' ./sample j.bin --prompt 'all the people ~' --length 5
    remove a
    run 0 'joined, stopped' ./train other.txt $tiny --val-fraction 0 --init-from ref.bin \
        --out a.bin --log a.log --stop-at 7
    run 0 'joined, resumed' ./train other.txt --resume --out a.bin --log a.log --threads 2
    check 'joined, resumed: same files' same_files a j
    check 'joined, resumed: same log' same_logs a.log k.log
    run 0 'joined twice' ./train t.txt $tiny --init-from j.bin --out a.bin --overwrite
    check 'joined twice: nothing is new' not grep 'new to' stderr
    run 0 'joined twice: a prompt' ./sample a.bin --prompt 'é ~' --length 5

    printf 'abcabc\377abc%.0s' 1 2 3 4 5 6 7 8 9 >bytes1.txt
    printf 'xyzxyz\200xyz%.0s' 1 2 3 4 5 6 7 8 9 >bytes2.txt
    run 0 'bytes' ./train bytes1.txt $tiny --bytes --out a.bin --overwrite
    run 0 'bytes, joined' ./train bytes2.txt $tiny --init-from a.bin --out j.bin --overwrite
    run 0 'bytes, joined: an old text' ./eval j.bin bytes1.txt --part all
    remove j
}

# ---------------------------------------------------------------- --resume

# The refusal names the way that there is.
ways_to_go_on() {
    copy_files half a
    for other in '--lr 0.004' '--dropout 0.3' '--batch 5' '--seed 2' '--optimizer muon'; do
        run 2 "resumed with $other" ./train t.txt --resume --out a.bin $other
        says "resumed with $other" "--init-from a.bin $other --out OTHER"
        check "resumed with $other: no --overwrite" not grep -e '--overwrite' stderr
        check "resumed with $other: short numbers" not grep -E '[0-9]{8}' stderr
    done
    says 'resumed with another optimizer' 'a.last.bin has adamw'
    run 2 'resumed with a rate of 0.02' ./train t.txt --resume --out a.bin --lr 2e-2
    says 'resumed with a rate of 0.02' '--lr 0.02: the run in a.last.bin has 0.01;'
    for other in '--layers 2' '--steps 15' '--bytes' '--family qwen3'; do
        run 2 "resumed with $other" ./train t.txt --resume --out a.bin $other
        check "resumed with $other: no way" not grep -e '--init-from' -e '--overwrite' stderr
        says "resumed with $other" 'another --out'
    done
    check 'refused: the files stay' same_files a half
    run 2 'in the way of a run' ./train t.txt $tiny --out a.bin

    run 0 'the way' ./train t.txt $tiny --init-from a.bin --lr 0.004 --out OTHER --overwrite
    rm -f OTHER OTHER.last
}

# What changes nothing of the weights may change.
other_evaluations() {
    copy_files half a
    run 0 'other evaluations' ./train t.txt --resume --out a.bin --eval-every 3 --sample-every 9 \
        --save-every 4 --patience 50 --log evals.log --stop-at 14
    check 'other evaluations: when' [ "$(grep -c '"step":1[0-9],.*val_loss' evals.log)" = 1 ]
    check 'other evaluations: at 12' grep -q '"step":12,.*val_loss' evals.log
    # A log that begins with a resumed run is one, too.
    run 0 'other evaluations: stored' ./train t.txt --resume --out a.bin --log evals.log
    sed -n 's/^{"step":\([0-9]*\),.*val_loss.*/\1/p' evals.log >evaluated
    check 'other evaluations: stored' [ "$(xargs <evaluated)" = '12 15 18 20' ]
    for file in a ref; do ./inspect $file.last.bin --tensors | grep attn >$file.attn; done
    check 'other evaluations: the same weights' cmp a.attn ref.attn
    run 0 'other evaluations: a preset has no say' ./train t.txt --preset quick --layers 1 \
        --heads 2 --channels 16 --context 16 --batch 4 --steps 20 --warmup 5 --lr 1e-2 --resume \
        --out a.bin
    copy_files half a
    run 0 'other evaluations: the command' ./train t.txt --resume --out a.bin --eval-every 4 \
        --stop-at 11
    check 'other evaluations: the command needs none' not grep -e 'continue with.*--eval' stderr
}

# commanded NAME BEGIN: runs the command of the last run's line that begins so.
commanded() {
    sed -n "s/^$2: //p" stderr >command.sh
    check "$1: there is a command" test -s command.sh
    run 0 "$1: the command" sh command.sh
}

# A finished run says how it can be given more.
more_of_it() {
    remove m
    run 0 'more' ./train t.txt $tiny --out m.bin --log m.log
    says 'more' 'train longer with: ./train t.txt --resume --steps 40 --out m.bin --log m.log'
    run 0 'more: finished' ./train t.txt --resume --out m.bin --threads 1
    says 'more: finished' \
        'train longer with: ./train t.txt --resume --steps 40 --out m.bin --threads 1'
    commanded 'more' 'train longer with'
    check 'more: 40 steps' grep -q '^step *40/40' stderr
    says 'more' '--steps 80'
    remove m
    run 0 'more, timed' ./train t.txt --minutes 0.01 --threads 1 --out m.bin
    says 'more, timed' 'train longer with: ./train t.txt --resume --minutes 0.01 --out m.bin'
    commanded 'more, timed' 'train longer with'
    remove m
    run 0 'more: stopped early' ./train t.txt $tiny --stop-at 5 --out m.bin
    check 'more: stopped early: not yet' not grep 'train longer' stderr
    remove m
}

# ---------------------------------------------------------------- a checkpoint in place of the text

checkpoint_as_text() {
    copy_files half c
    run 2 'a checkpoint as the text' ./train c.bin --resume
    says 'a checkpoint as the text' \
        'c.bin is a checkpoint; give the text: ./train TEXT --resume --out c.bin'
    run 2 'a state as the text' ./train c.last.bin --resume
    says 'a state as the text' \
        'c.last.bin is a checkpoint; give the text: ./train TEXT --resume --out c.bin'
    run 2 'a checkpoint as the text, twice' ./train c.bin --resume --out c.bin
    says 'a checkpoint as the text, twice' 'give the text: ./train TEXT --resume --out c.bin'
    run 2 'a checkpoint beside the text' ./train t.txt c.bin --resume --out half.bin
    says 'a checkpoint beside the text' 'c.bin is a checkpoint'
    run 2 'no text' ./train --resume --out c.bin
    says 'no text' 'give the text: ./train TEXT --resume --out c.bin'
    run 2 'no text, no file' ./train --resume --out nothing.bin
    says 'no text, no file' 'which text?'
    run 2 'nothing' ./train
    says 'nothing' 'which text? for example: ./train mytext.txt'
    check 'a checkpoint as the text: the files stay' same_files c half
    remove c
}

resume_groups='joined_vocabularies ways_to_go_on other_evaluations more_of_it checkpoint_as_text'
