#!/bin/sh
# train_files.sh: more groups for train.sh: files that are not the run's own, and what a run that
# is refused leaves as it was.
#
#     . "$tests/train_files.sh"     in train.sh, before its list of groups, with $file_groups
#
# Needs train.sh's functions, its $tiny, and the runs ref and half.
# shellcheck disable=SC2034,SC2154

# Every file of the folder own/ and what is in it.
listing() { (cd own && for f in * .[!.]*; do [ ! -f "$f" ] || cksum "$f"; done); }

# keeps STATUS NAME WORD COMMAND...: the command, in own/, ends so and says WORD; nothing there
# changes.
keeps() {
    want=$1 kept=$2 word=$3
    shift 3
    listing >before
    (cd own && exec "$@") >stdout 2>stderr </dev/null
    got=$?
    [ $got -eq "$want" ]
    verdict $? "$kept: exit status $got, expected $want"
    says "$kept" "$word"
    listing >after
    check "$kept: every file is as it was" cmp before after
    check "$kept: nothing was trained" not grep '^step' stderr
}

fresh_folder() {
    rm -rf own
    mkdir own
    cp t.txt own/
}

# ---------------------------------------------------------------- one file, two uses

one_file_twice() {
    fresh_folder
    few="$tiny --steps 2"
    for ending in tmp lock last.bin; do
        cp t.txt own/z.$ending
        keeps 2 "the text z.$ending" "z.$ending" ../train z.$ending $few --out z.bin --overwrite
        says "the text z.$ending" 'another --out'
        keeps 2 "the second text z.$ending" "z.$ending" ../train t.txt z.$ending $few --out z.bin \
            --overwrite
        rm own/z.$ending
        keeps 2 "the log z.$ending" "z.$ending" ../train t.txt $few --out z.bin --log z.$ending
        says "the log z.$ending" 'another --log'
        keeps 2 "the log ./z.$ending" "z.$ending" ../train t.txt $few --out z.bin --log ./z.$ending
    done
    keeps 2 'the log z.bin' 'z.bin' ../train t.txt $few --out z.bin --log z.bin
    cp t.txt own/corpus.txt
    keeps 2 'the text as --out' 'corpus.txt' ../train corpus.txt $few --out corpus.txt --overwrite
    keeps 2 'the text as --out, otherwise written' 'corpus.txt' ../train ./corpus.txt $few \
        --out ../own/corpus.txt --overwrite
    ln own/corpus.txt own/x.bin
    keeps 2 'a hard link to the text' 'x.bin' ../train corpus.txt $few --out x.bin --overwrite
    says 'a hard link to the text' 'corpus.txt'
    ln -s corpus.txt own/y.bin
    keeps 2 'a link to the text' 'y.bin' ../train corpus.txt $few --out y.bin --overwrite
    keeps 2 'the text on standard input' 'corpus.txt' sh -c \
        "exec ../train - $(echo $few) --out corpus.txt --overwrite <corpus.txt"
    mkdir own/data
    cp t.txt own/data/far.txt
    keeps 2 'a text in data/' 'far.txt' ../train far.txt $few --out data/far.txt --overwrite
    cp ref.log own/corpus.log
    ln -s z.tmp own/link.log
    keeps 2 'a log that leads to z.tmp' 'z.tmp' ../train t.txt $few --out z.bin --log link.log
    keeps 2 'the text as a log' 't.txt' ../train t.txt $few --out z.bin --log t.txt --overwrite
    cp ref.bin own/i.bin
    cp ref.last.bin own/i.last.bin
    for init in i.bin i.last.bin; do
        keeps 2 "--init-from $init" "$init" ../train t.txt $few --init-from $init --out i.bin \
            --overwrite
        says "--init-from $init" 'another --out'
    done
    keeps 2 '--init-from as the log' 'i.bin' ../train t.txt $few --init-from i.bin --log i.bin \
        --out z.bin --overwrite
    run 0 'texts may be the same' ./train t.txt t.txt $few --out own/twice.bin
    run 0 'a device is no file' ./train t.txt $few --out own/twice.bin --log /dev/null --overwrite
}

# ---------------------------------------------------------------- names of other runs

names_with_last() {
    fresh_folder
    copy_files half own/k
    for out in k.last.bin k.last ./k.last.bin x.last.safetensors .last; do
        keeps 2 "--out $out" '.last' ../train t.txt $tiny --out $out --overwrite
    done
}

# ---------------------------------------------------------------- files that are not ours

foreign_locks() {
    fresh_folder
    printf '# This file is generated.\n[[package]]\n' >own/Cargo.lock
    keeps 2 'Cargo.lock' 'Cargo.lock' ../train t.txt $tiny --out Cargo.bin
    keeps 2 'Cargo.lock, --overwrite' 'Cargo.lock' ../train t.txt $tiny --out Cargo.bin --overwrite
    keeps 2 'Cargo.lock, no text' 'Cargo.lock' ../train nowhere.txt $tiny --out Cargo.bin
    for content in '12 34' 'pid 12' '12\n34\n' '12' '\n' '-5\n' '123456789012345678901234\n'; do
        printf '%b' "$content" >own/q.lock
        keeps 2 "a lock with $content" 'q.lock' ../train t.txt $tiny --out q.bin
    done
    echo 4242 >own/q.lock
    ln own/q.lock own/other
    keeps 2 'a lock with two names' 'q.lock' ../train t.txt $tiny --out q.bin
    rm own/other
    keeps 1 'a stale lock, no text' 'nowhere.txt' ../train nowhere.txt $tiny --out q.bin
    keeps 2 'a stale lock, a log in the way' 't.txt' ../train t.txt $tiny --out q.bin --log t.txt
    run 0 'a stale lock' ./train t.txt $tiny --out own/q.bin
    check 'a stale lock: it is gone' absent own/q.lock
    : >own/q.lock
    run 0 'an empty lock' ./train t.txt $tiny --out own/q.bin --overwrite
    check 'an empty lock: it is gone' absent own/q.lock
}

foreign_files() {
    fresh_folder
    echo 'my notes' >own/q.tmp
    keeps 2 'notes in q.tmp' 'q.tmp' ../train t.txt $tiny --out q.bin
    keeps 2 'notes in q.tmp, --overwrite' 'q.tmp' ../train t.txt $tiny --out q.bin --overwrite
    keeps 1 'notes in q.tmp, no text' 'nowhere.txt' ../train nowhere.txt $tiny --out q.bin
    check 'notes in q.tmp: no lock stays' absent own/q.lock
    cp ref.bin own/q.tmp
    keeps 1 'a checkpoint in q.tmp, no text' 'nowhere.txt' ../train nowhere.txt $tiny --out q.bin
    keeps 2 'a checkpoint in q.tmp, a log in the way' 't.txt' ../train t.txt $tiny --out q.bin \
        --log t.txt
    run 0 'a checkpoint in q.tmp' ./train t.txt $tiny --out own/q.bin
    check 'a checkpoint in q.tmp: it is gone' absent own/q.tmp

    echo 'my notes' >own/n.bin
    keeps 2 'notes in n.bin' 'n.bin' ../train t.txt $tiny --out n.bin
    says 'notes in n.bin' 'not a checkpoint'
    check 'notes in n.bin: nothing to resume' not grep -e '--resume' stderr
    cp half.last.bin own/n.last.bin
    keeps 2 'notes in n.bin, resumed' 'n.bin' ../train t.txt --resume --out n.bin
    says 'notes in n.bin, resumed' 'not a checkpoint'
    run 0 'notes in n.bin, resumed with --overwrite' ./train t.txt --resume --overwrite \
        --out own/n.bin
    check 'notes in n.bin, resumed with --overwrite: sound' ./inspect own/n.bin --verify
    : >own/e.bin
    keeps 2 'an empty e.bin' 'e.bin' ../train t.txt $tiny --out e.bin
}

# A lock that is deleted during a run is taken again at the next save, if nobody else has it. While
# the script looks at it the run stands still, so that it can neither save meanwhile nor end.
deleted_locks() {
    whole_long_run
    remove gone
    start_long gone --save-every 20
    wait_for gone.log 21
    rm gone.lock
    wait_for gone.log 60
    kill -STOP $running
    check 'a deleted lock is there again' [ "$(cat gone.lock)" = "$running" ]
    run 1 'a deleted lock: a second trainer' ./train t.txt $tiny --out gone.bin --overwrite
    says 'a deleted lock: a second trainer' "process $running"
    echo 'my notes' >notes
    mv notes gone.lock
    kill -CONT $running
    end_long
    check 'a lock of somebody else: exit 1' [ $ended -eq 1 ]
    check 'a deleted lock: one line' [ "$(grep -c 'gone.lock was deleted' gone.err)" = 1 ]
    check 'a lock of somebody else: it is named' grep -q '^train: gone.lock' gone.err
    check 'a lock of somebody else: it trains to the end' grep -q '^{"step":600,' gone.log
    check 'a lock of somebody else: it stays' grep -q 'my notes' gone.lock
    check 'a lock of somebody else: sound files' sound gone.bin gone.last.bin
    check 'a lock of somebody else: no new file' absent gone.tmp
    rm -f gone.lock
    run 0 'a lock of somebody else: resumed' ./train t.txt --resume --out gone.bin --log gone.log
    check 'a lock of somebody else: same files' same_files gone long
}

file_groups='one_file_twice names_with_last foreign_locks foreign_files deleted_locks'
