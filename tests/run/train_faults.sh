#!/bin/sh
# train_faults.sh: more groups for train.sh: calls that fail in every program, power cuts,
# signals, odd paths, old files.
#
#     . "$tests/train_faults.sh"    in train.sh, before its list of groups, with $fault_groups
#
# Needs train.sh's functions, its $tiny, $tests and $shakespeare, and the runs ref and half.
# shellcheck disable=SC2034,SC2154

# ---------------------------------------------------------------- calls that fail

# A program frees and closes everything, whatever failed: according to the last run with
# FAULT_COUNT=left.
balanced() {
    held=
    while read -r kind number; do
        case $kind in blocks | files) held="$held $number" ;; esac
    done <left
    [ "$held" = ' 0 0' ]
}

# One line on standard error, which begins with "$1: ".
one_line() {
    exec 4<stderr
    read -r first <&4 && ! read -r second <&4
    one=$?
    exec 4<&-
    case $first in "$1: "?*) return $one ;; esac
    return 1
}

# survives PROGRAM FAULT COMMAND...: the command prints the same as without the fault (want.out), or
# ends with status 1 and one line. A second checkpoint that eval cannot read at first counts as a
# text, and an ill-formed one. The input is the file input.
survives() {
    program=$1 fault=$2
    shift 2
    : >left
    FAULT=$fault FAULT_COUNT=left "$@" >stdout 2>stderr <input
    got=$?
    balanced || return 1
    case $got in
    0) cmp -s stdout want.out ;;
    1) one_line "$program" ;;
    3) [ "$program" = eval ] && one_line eval ;;
    *) false ;;
    esac
}

# failing_reader PROGRAM OPTION...: each malloc, open, read and close of it fails once,
# and from then on.
failing_reader() {
    program=$1
    shift
    : >left
    env FAULT_COUNT=left "./faulty_$program" "$@" >want.out 2>stderr <input
    verdict $? "$program $*: without a fault"
    check "$program $*: nothing is held at its end" balanced
    cp left counts
    for op in malloc open read close; do
        count=$(sed -n "s/^$op //p" counts)
        n=1
        while [ $n -le "$count" ]; do
            for mode in once persist; do
                survives "$program" $op:$n:$mode "./faulty_$program" "$@"
                verdict $? "$program $*, $op:$n:$mode of $count: status $got"
            done
            n=$((n + 1))
        done
    done
}

failing_readers() {
    : >input
    few='--quiet --threads 1'
    head -c 120 t.txt >part.txt
    failing_reader inspect ref.last.bin --tensors --vocab --history --verify
    failing_reader sample ref.bin --length 20 --prompt 'I am' --samples 2 --top-p 0.9 $few
    failing_reader sample ref.bin half.bin --prompt-file part.txt --stop you --length 3 \
        --samples 3 --json --show-probs $few
    failing_reader eval ref.bin part.txt $few
    failing_reader eval ref.bin half.bin part.txt --per-line --json $few
    printf 'I am\nand you\n' >input
    failing_reader sample ref.bin --interactive --length 3 $few
    run 0 'a file that is read in pieces' env FAULT=read:2:short ./faulty_eval ref.bin part.txt $few
}

# failing_start NAME FAULTS OPTION...: a start allocates and reads more than a resumed run. Each
# call of the FAULTS, op:mode, fails: the remaining files are sound, or there are none.
failing_start() {
    began=$1 faults=$2
    shift 2
    remove f
    : >left
    run 0 "$began" env FAULT_COUNT=left ./faulty_train t.txt "$@" --out f.bin
    check "$began: nothing is held at its end" balanced
    copy_files f want
    cp left counts
    for fault in $faults; do
        count=$(sed -n "s/^${fault%:*} //p" counts)
        n=1
        while [ $n -le "$count" ]; do
            absent f.bin f.last.bin || remove f
            : >left
            FAULT=${fault%:*}:$n:${fault#*:} FAULT_COUNT=left ./faulty_train t.txt "$@" \
                --out f.bin --quiet >stdout 2>stderr
            got=$?
            balanced && absent f.tmp f.lock && case $got in
            0) same_files f want ;;
            1) grep -q '^train: ' stderr && sound f.bin f.last.bin ;;
            *) false ;;
            esac
            verdict $? "$began, ${fault%:*}:$n:${fault#*:} of $count: status $got"
            n=$((n + 1))
        done
    done
}

failing_starts() {
    modern_run
    few="$tiny --steps 2 --warmup 1 --eval-every 2"
    failing_start 'a start' 'malloc:once malloc:persist open:once read:once' $few --sample-every 2 \
        --json
    failing_start 'a modern start from weights' 'malloc:once' $few --init-from modern.bin \
        --family qwen3 --optimizer muon --ema 0.9 --sampling epoch
}

# ---------------------------------------------------------------- power cuts and signals

# A power cut before each file operation: everything that was not flushed is lost, renames included.
power_cuts() {
    n=1
    while [ $n -lt 1000 ]; do
        remove k
        {
            env FAULT=any:$n:cut ./faulty_train t.txt $tiny --out k.bin --quiet --save-every 7 \
                >stdout 2>stderr
            [ $? -eq 137 ]
        } 2>/dev/null || break
        sound k.bin k.last.bin
        verdict $? "power cut before operation $n: the files are sound"
        ./train t.txt $tiny --resume --out k.bin >stdout 2>stderr && same_files k ref &&
            absent k.lock k.tmp
        verdict $? "power cut before operation $n: resumed"
        n=$((n + 3))
    done
    check "power cuts before $n operations" [ $n -gt 50 ]
    rm -f k.*.old*
}

# SIGTERM before each file operation, those of the saves included.
terminated_at_every_operation() {
    n=1
    while [ $n -lt 1000 ]; do
        remove k
        {
            env FAULT=any:$n:term ./faulty_train t.txt $tiny --out k.bin --quiet --save-every 7 \
                --log k.log >stdout 2>stderr
            [ $? -eq 143 ]
        } 2>/dev/null || break
        ./train t.txt $tiny --resume --out k.bin --log k.log >stdout 2>stderr &&
            same_files k ref && same_logs k.log ref.log
        verdict $? "SIGTERM before operation $n: resumed"
        n=$((n + 5))
    done
    check "SIGTERM before $n operations" [ $n -gt 50 ]
}

# ---------------------------------------------------------------- files that change during a run

# Readers see the old file or the new one, and a text that changes after the start has no effect.
changes_meanwhile() {
    whole_long_run
    cp t.txt moving.txt
    ./train moving.txt $long --out busy.bin --log busy.log --overwrite --save-every 4 >/dev/null \
        2>busy.err &
    running=$!
    wait_for busy.log 101
    printf 'another text' >moving.txt
    printf 'First' >first.txt
    bad=0 reads=0
    while [ $reads -lt 60 ]; do
        ./sample busy.bin --length 1 --quiet >/dev/null 2>stderr || bad=$((bad + 1))
        ./eval busy.last.bin first.txt --quiet >/dev/null 2>stderr || bad=$((bad + 1))
        reads=$((reads + 2))
    done
    check "files replaced while they are read: $bad of $reads failed" [ $bad -eq 0 ]
    kill -TERM $running 2>/dev/null
    end_long
    run 0 'a text that changes while it is trained on: resumed with the old one' ./train t.txt \
        --resume --out busy.bin
    check 'a text that changes while it is trained on: same files' same_files busy long
    run 2 'resumed with the changed text' ./train moving.txt --resume --out busy.bin
}

# ---------------------------------------------------------------- places and processes

# well_formed FILE: it is UTF-8.
well_formed() { ./train "$1" $short --steps 1 --val-fraction 0 --quiet --overwrite --out utf8.bin; }

odd_paths() {
    for odd in 'a b' "$(printf 'two\nlines')" "$(printf 'not\377utf8')" \
               "it's \$x \`y\` \\ \"z\"" -x '*' 漢字; do
        cp t.txt "./$odd.txt" 2>/dev/null || continue       # a file system may know Unicode only
        shown=$(printf '%s' "$odd" | tr -dc 'a-z0-9 -')
        run 0 "path $shown" ./train $tiny --steps 2 --json --quiet --out "$odd.bin" \
            --log "$odd.log" -- "$odd.txt"
        check "path $shown: one line of JSON" [ "$(wc -l <stdout | tr -d ' ')" = 1 ]
        check "path $shown: JSON is UTF-8" well_formed stdout
        check "path $shown: so is the log" well_formed "./$odd.log"
        check "path $shown: lines of the log" [ "$(wc -l <"./$odd.log" | tr -d ' ')" = 4 ]
        run 0 "path $shown: sampled" ./sample --length 3 -- "$odd.bin"
        run 0 "path $shown: evaluated" ./eval --json -- "$odd.bin" "$odd.txt"
        check "path $shown: evaluated: JSON is UTF-8" well_formed stdout
        run 0 "path $shown: inspected" ./inspect --json -- "$odd.bin"
        check "path $shown: inspected: JSON is UTF-8" well_formed stdout
        run 0 "path $shown: resumed" ./train --resume --steps 3 --out "$odd.bin" \
            --log "$odd.log" -- "$odd.txt"
    done
    long_path=$(printf '%05000d' 0)
    run 1 'a text with a path of 5,000 bytes' ./train "$long_path" $tiny --out y.bin
    says 'a text with a path of 5,000 bytes' 'File name too long'
    check 'a text with a path of 5,000 bytes: no lock stays' absent y.lock y.tmp
    for program in sample inspect; do
        run 1 "a checkpoint with a path of 5,000 bytes: $program" ./$program "$long_path"
        says "a checkpoint with a path of 5,000 bytes: $program" \
            '000: cannot be opened: File name too long'
    done
    run 1 'a checkpoint with a path of 5,000 bytes: eval' ./eval "$long_path" t.txt
    run 1 'a text with a path of 5,000 bytes: eval' ./eval ref.bin "$long_path"
}

# The same files in a process with few resources: 64 KB of stack, or an input that is a pipe.
poor_processes() {
    if ! sanitized; then
        remove x
        run 0 'a stack of 64 KB' sh -c \
            "ulimit -s 64 && exec ./train t.txt $(echo $tiny) --threads 2 --out x.bin"
        check 'a stack of 64 KB: same files' same_files x ref
        for command in './sample ref.bin --samples 40' './eval ref.bin t.txt' \
                       './inspect ref.last.bin --tensors --verify'; do
            run 0 "a stack of 64 KB: $command" sh -c "ulimit -s 64 && exec $command"
        done
        # 5 GB without a block on the disk, where memory can be limited.
        if truncate -s 5G huge.txt && sh -c 'ulimit -v 1000000'; then
            run 1 'a text larger than memory' sh -c \
                "ulimit -v 1000000 && exec ./train huge.txt $(echo $tiny) --out y.bin"
            says 'a text larger than memory' 'huge.txt: this text needs at least'
            check 'a text larger than memory: nothing is left behind' absent y.bin y.lock y.tmp
            run 1 'eval: a text larger than memory' sh -c \
                'ulimit -v 1000000 && exec ./eval ref.bin huge.txt'
            run 4 'a checkpoint larger than memory' sh -c \
                'ulimit -v 1000000 && exec ./sample huge.txt'
            check 'a text without end' sh -c 'ulimit -v 1000000
                ./sample ref.bin --length 1e9 --quiet | head -c 100 | wc -c | grep -q 100'
            check 'texts without end' sh -c 'ulimit -v 1000000
                ./sample ref.bin --samples 1e9 --length 2 --quiet |
                    head -n 99 | wc -l | grep -q 99'
        fi 2>/dev/null
    fi
    if truncate -s 1T huge.txt 2>/dev/null; then
        run 1 'a text of 1 TB' ./train huge.txt $tiny --out y.bin
        says 'a text of 1 TB' 'huge.txt: this text needs at least 2199023 MB of memory'
        run 1 'eval: a text of 1 TB' ./eval ref.bin huge.txt --per-line
        says 'eval: a text of 1 TB' 'huge.txt: a line of more than 268435456 bytes is too long'
        rm huge.txt
    fi
    remove x
    cat t.txt | ./train - $tiny --out x.bin >stdout 2>stderr
    verdict $? 'a text from a pipe'
    check 'a text from a pipe: same files' same_files x ref
    run 0 'the clock and the time zone' env TZ=Pacific/Apia ./train t.txt $tiny --out x.bin \
        --overwrite
    check 'the clock and the time zone: same files' same_files x ref
    { head -c 20000000 /dev/zero | tr '\0' a; echo; } >line.txt
    run 0 'a line of 20 MB' ./train line.txt $short --out x.bin --overwrite
}

# ---------------------------------------------------------------- memory

sanitized() { nm "$programs/train" 2>/dev/null | grep -q __asan; }

# measured OPTIONS...: starts a run that evaluates, samples and saves; prints the memory that its
# heading states and what it took at most once it had done each of these, in MB.
measured() {
    remove m
    ./train "$@" --eval-every 3 --eval-batches 1 --sample-every 3 --save-every 3 --steps 100000 \
        --out m.bin --log m.log --threads 2 2>m.err &
    running=$!
    wait_for m.log 4
    awk '
    / MB of memory$/ { stated = $(NF - 3) }
    /^VmHWM:/ { peak = $2 * 1024 / 1e6 }
    END { print stated, peak }' m.err /proc/$running/status
    kill -9 $running
    wait $running 2>/dev/null
    running=
}

# What the heading states is what a run takes, but for the program itself: about 0 MB are stated for
# the smallest model there is.
stated_memory() {
    if [ ! -r /proc/self/status ] || sanitized; then return; fi
    head -c 300000 "$shakespeare" >long.txt
    measured t.txt --bytes --layers 0 --heads 1 --channels 2 --context 2 --batch 1 >least
    for options in '--layers 4 --heads 4 --channels 128 --context 64 --batch 8' \
                   '--layers 2 --heads 8 --channels 256 --context 64 --batch 8 --ema 0.9' \
                   '--family qwen3 --layers 8 --heads 4 --channels 32 --context 800 --batch 1' \
                   '--family qwen3 --layers 3 --heads 2 --channels 256 --batch 4 --optimizer muon'
    do
        measured long.txt $options >stdout
        check "the memory that is stated: $options" sh -c "cat least stdout | awk '
            NR == 1 { program = \$2 - \$1 }
            END { exit !(\$1 >= 0.9 * (\$2 - program) && \$1 <= 1.3 * \$2) }'"
    done
}

# What a decoder or a slice would take is looked at before it is asked for.
unlooked_memory() {
    remove x
    run 2 'a slice of 2^31 characters' ./train t.txt --layers 1 --heads 1 --channels 8 \
        --context 3000 --batch 1000000 --slice 800000 --steps 1 --out x.bin
    says 'a slice of 2^31 characters' 'try at most --slice 357913'
    sanitized && return
    sh -c 'ulimit -v 1000000' 2>/dev/null || return
    ./train t.txt --family qwen3 --layers 10 --heads 1 --head-size 64 --channels 8 \
        --context 512 --batch 1 --steps 1 --out deep.bin --overwrite --quiet
    run 1 'many texts of a deep model' sh -c 'ulimit -v 60000
        exec ./sample deep.bin --samples 32 --length 1 --threads 1'
    says 'many texts of a deep model' 'sample: this needs 9'
    run 1 'samples of a deep model while it is trained' sh -c 'ulimit -v 60000
        exec ./train t.txt --family qwen3 --layers 300 --heads 1 --channels 2 --head-size 8 \
            --context 1200 --batch 1 --steps 1 --sample-every 1 --out x.bin --threads 1'
    says 'samples of a deep model while it is trained' 'train: this needs'
}

# ---------------------------------------------------------------- files of every released version

# Every program still reads in the two runs of each directory of tests/files what is recorded there.
old_files() {
    check 'there are files of version 1' [ -d "$tests/../files/1" ]
    for folder in "$tests"/../files/*/; do
        version=$(basename "$folder")
        for family in gpt2 qwen3; do
            old="version $version, $family"
            cp "$folder$family.bin" "$folder$family.last.bin" . || return
            for file in $family.bin $family.last.bin; do
                run 0 "$old: $file verified" ./inspect $file --verify
                run 0 "$old: $file as JSON" ./inspect $file --json
                check "$old: $file: nothing unknown in it" not grep -i unknown stderr
                ./eval $file "$folder/text.txt" --json --quiet >stdout 2>stderr
                verdict $? "$old: $file evaluated"
                near "$old: $file" "$(sed 's/.*"nats_per_char":\([0-9.]*\).*/\1/' stdout)" \
                    "$(cat "$folder$file.nats")" 2e-6
            done
            run 0 "$old: sampled" ./sample $family.last.bin --prompt 'First Ci' --temperature 0 \
                --length 59 --quiet
            check "$old: the text" cmp stdout "$folder$family.sample"
            run 0 "$old: resumed" ./train "$folder/text.txt" --resume --out $family.bin --threads 1
            check "$old: resumed: to the end" grep '^step *600/600' stderr
            run 0 "$old: weights to start from" ./train "$folder/text.txt" --init-from $family.bin \
                --steps 2 --out i.bin --overwrite
        done
    done
}

fault_groups='failing_readers failing_starts power_cuts terminated_at_every_operation
    changes_meanwhile odd_paths poor_processes stated_memory unlooked_memory old_files'
