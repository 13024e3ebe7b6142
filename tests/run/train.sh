#!/bin/sh
# train.sh: what ./train promises beyond its command line: same bytes, resuming, locks,
# faults, odd texts.
#
#     sh tests/run/train.sh PROGRAMS FAULTY [GROUP...]
#
# PROGRAMS is the folder of train, sample, eval and inspect, FAULTY that of the same with
# tests/faults.c. A GROUP is one of the functions listed at the end; all of them if none is named.
#
# Works in a temporary folder with tiny models; takes about a minute on two cores. A failed
# check is shown with what was printed. The last line is "train: N passed, N failed"; the exit
# status is 0 if every check passed.

programs=$(cd "${1:?folder of the programs}" && pwd) || exit 1
faulty=$(cd "${2:?folder of the fault-injecting programs}" && pwd) || exit 1
tests=$(cd "$(dirname "$0")" && pwd) || exit 1
shakespeare=$tests/../../data/shakespeare.txt
work=$(mktemp -d) || exit 1
running=
trap 'kill -9 $running 2>/dev/null; rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
cd "$work" || exit 1
unset FOLIO_ISA OMP_NUM_THREADS NO_COLOR FAULT FAULT_COUNT
export TERM=dumb LC_ALL=C
passed=0
failed=0
shift 2

for program in train sample eval inspect ladder; do
    ln -s "$programs/$program" "$program" && ln -s "$faulty/$program" "faulty_$program" || exit 1
done

# 20 steps of a model with dropout, five evaluations, in a few milliseconds.
head -c 4000 "$shakespeare" >t.txt || exit 1
tiny='--layers 1 --heads 2 --channels 16 --context 16 --batch 4 --steps 20 --warmup 5 --lr 1e-2
      --dropout 0.1 --eval-every 5 --threads 1'

# ---------------------------------------------------------------- checks

# Counts one check: $1 is its status, $2 its name.
verdict() {
    if [ "$1" -eq 0 ]; then
        passed=$((passed + 1))
        return
    fi
    failed=$((failed + 1))
    printf 'FAILED: %s\n' "$2"
    sed 's/^/    stdout: /' stdout | head -n 4
    sed 's/^/    stderr: /' stderr | tail -n 4
}

# check NAME COMMAND...: the command succeeds.
check() {
    name=$1
    shift
    "$@" >check.out 2>&1
    verdict $? "$name"
}

# run STATUS NAME COMMAND...: the command ends with this status. Its output stays in
# stdout and stderr.
run() {
    want=$1 name=$2
    shift 2
    "$@" >stdout 2>stderr </dev/null
    got=$?
    [ "$got" -eq "$want" ]
    verdict $? "$name: exit status $got, expected $want"
}

# says NAME TEXT: the last run said so on standard error.
says() { check "$1: says \"$2\"" grep -F -e "$2" stderr; }

not() { ! "$@"; }

absent() {
    for path in "$@"; do
        [ ! -e "$path" ] && [ ! -L "$path" ] || return 1
    done
}

present() {
    for path in "$@"; do
        [ -e "$path" ] || return 1
    done
}

silent() { [ ! -s stdout ] && [ ! -s stderr ]; }

# Every file that is there is a sound checkpoint.
sound() {
    for path in "$@"; do
        [ ! -e "$path" ] || ./inspect "$path" --verify >/dev/null 2>&1 || return 1
    done
}

same_files() { cmp -s "$1.bin" "$2.bin" && cmp -s "$1.last.bin" "$2.last.bin"; }

remove() { rm -f "$1.bin" "$1.last.bin" "$1.tmp" "$1.lock" "$1.log"; }

copy_files() { cp "$1.bin" "$2.bin" && cp "$1.last.bin" "$2.last.bin"; }

plain_log() { awk -f "$tests/plain_log.awk" "$1"; }

same_logs() {
    plain_log "$1" >first.log
    plain_log "$2" >second.log
    cmp -s first.log second.log
}

# Waits until the log $1 has reached step $2.
wait_for() {
    tries=0
    until grep -q "^{\"step\":$2," "$1" 2>/dev/null || [ $tries -gt 1000 ]; do
        sleep 0.02
        tries=$((tries + 1))
    done
}

# ---------------------------------------------------------------- same bytes

same_bytes() {
    for k in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        remove a
        run 0 "stopped at $k" ./train t.txt $tiny --out a.bin --log a.log --stop-at $k
        [ $k = 20 ] || says "stopped at $k" \
            'continue with: ./train t.txt --resume --out a.bin --log a.log --threads 1'
        run 0 "stopped at $k, resumed" ./train t.txt $tiny --resume --out a.bin --log a.log
        check "stopped at $k, resumed: same files" same_files a ref
        check "stopped at $k, resumed: same log" same_logs a.log ref.log
    done

    remove a
    for k in 3 8 9 15; do
        ./train t.txt --quiet $tiny --out a.bin --log a.log --resume --stop-at $k
    done
    run 0 'in five pieces' ./train t.txt --resume --out a.bin --log a.log
    check 'in five pieces: same files' same_files a ref
    check 'in five pieces: same log' same_logs a.log ref.log

    for how in '--threads 2' '--threads 3' '--threads 7' '--slice 1' '--slice 2' '--slice 3' \
               '--slice 100' '--threads 3 --slice 1' '--save-every 1' '--sample-every 3'; do
        run 0 "$how" ./train t.txt $tiny $how --out a.bin --overwrite
        check "$how: same files" same_files a ref
    done
    run 0 'OMP_NUM_THREADS' env OMP_NUM_THREADS=1 ./train t.txt ${tiny%--threads 1} --out a.bin \
        --overwrite
    says 'OMP_NUM_THREADS' ', 1 thread,'
    check 'OMP_NUM_THREADS: same files' same_files a ref
    run 0 'OMP_NUM_THREADS=7' env OMP_NUM_THREADS=7 ./train t.txt ${tiny%--threads 1} --out a.bin \
        --overwrite
    check 'OMP_NUM_THREADS=7: same files' same_files a ref
    for limit in OMP_THREAD_LIMIT=1 OMP_DYNAMIC=true; do
        run 0 "$limit" env $limit ./train t.txt ${tiny%--threads 1} --threads 3 --out a.bin \
            --log a.log --overwrite
        check "$limit: same files" same_files a ref
    done
    run 0 'OMP_THREAD_LIMIT' env OMP_THREAD_LIMIT=1 ./train t.txt ${tiny%--threads 1} --threads 3 \
        --out a.bin --log a.log --overwrite
    says 'OMP_THREAD_LIMIT' ', 1 thread,'
    check 'OMP_THREAD_LIMIT: in the log' grep '"threads":1,' a.log
}

# Biases, the other GELU, random evaluation batches, another schedule, no clipping;
# windows of two lengths.
same_bytes_otherwise() {
    other="$tiny --layers 2 --bias on --gelu tanh --eval-batches 2 --schedule linear --clip 0
           --separator off --batch 5"
    run 0 'other settings' ./train t.txt $other --out b.bin --slice 5
    remove a
    run 0 'other settings, stopped' ./train t.txt $other --out a.bin --slice 2 --threads 2 \
        --stop-at 12
    run 0 'other settings, resumed' ./train t.txt --resume --out a.bin --slice 3 --threads 3
    check 'other settings: same files' same_files a b
    run 0 'the default seed' ./train t.txt $tiny --seed 1 --out b.bin --overwrite
    check 'the default seed is 1' same_files b ref
    check 'another seed: other files' not same_files old ref
}

# For each instruction set that runs here: other threads, slices and pieces give the same bytes.
same_bytes_isa() {
    for isa in $(./train --isa list | sed -n 's/ .*usable here.*//p' ); do
        ./train --isa list | grep "^$isa " | grep -v not >/dev/null || continue
        run 0 "--isa $isa" ./train t.txt $tiny --isa $isa --out b.bin --overwrite
        remove a
        run 0 "--isa $isa stopped" ./train t.txt $tiny --isa $isa --out a.bin --stop-at 11 --slice 1
        run 0 "--isa $isa resumed" ./train t.txt --resume --isa $isa --out a.bin --threads 3
        check "--isa $isa: same files" same_files a b
    done
}

# ---------------------------------------------------------------- the log

json_line='^\{"[a-z_]+":([0-9.e+-]+|"[^"]*"|\[[^]]*\])'
json_line=$json_line'(,"[a-z_]+":([0-9.e+-]+|"[^"]*"|\[("([^"\\]|\\.)*",?)*\]))*\}$'
step_line='^\{"step":[0-9]+,"seconds":[0-9.]+,"tokens":[0-9]+,"loss":[0-9.]+,"lr":[0-9.e-]+,'
step_line=$step_line'"grad_norm":[0-9.]+,"tokens_per_second":[0-9.]+(,"val_loss":[0-9.]+)?\}$'

log_lines() {
    check 'log: every line is JSON' not grep -E -v -e "$json_line" ref.log
    check 'log: one line of surroundings' [ "$(grep -c '^{"folio"' ref.log)" = 1 ]
    check 'log: the command' grep -F '"command":["./train","t.txt","--layers","1",' ref.log
    check 'log: machine and commit' grep -E '"commit":"[^"]+","machine":"[^"]+"' ref.log
    check 'log: step 0 has val_loss alone' grep -E '^\{"step":0,"val_loss":[0-9.]+\}$' ref.log
    check 'log: all keys' [ "$(grep -E -c -e "$step_line" ref.log)" = 20 ]
    check 'log: steps 0 to 20 in order' [ \
        "$(sed -n 's/^{"step":\([0-9]*\),.*/\1/p' ref.log | xargs)" \
        = '0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20' ]
    check 'log: val_loss where evaluated' [ \
        "$(sed -n 's/^{"step":\([0-9]*\),.*val_loss.*/\1/p' ref.log | xargs)" = '0 5 10 15 20' ]
    check 'log: 64 tokens a step' [ "$(grep -c '"step":20,.*"tokens":1280,' ref.log)" = 1 ]
    check 'log: seconds do not fall' sh -c \
        "sed -n 's/.*\"seconds\":\([0-9.]*\).*/\1/p' ref.log | sort -c -n"
    check 'log: warm-up' grep -E '^\{"step":1,.*"lr":0.00166666667,' ref.log
    check 'log: the peak' grep -E '^\{"step":6,.*"lr":0.01,' ref.log

    remove a
    ./train t.txt --quiet $tiny --out a.bin --log a.log --stop-at 10
    sed 's/"seconds":[0-9.]*/"seconds":5000/; $d' a.log >b.log
    tail -n 1 a.log | sed 's/"seconds":[0-9.]*/"seconds":7000/' >>b.log
    { cat b.log; tail -n 1 a.log | sed 's/"step":10/"step":11/'; printf '{"step":12,"sec'; } >c.log
    cp c.log a.log
    run 0 'log: resumed' ./train t.txt --resume --out a.bin --log a.log
    check 'log: it is only ever appended to' sh -c 'head -c "$(wc -c <c.log)" a.log | cmp - c.log'
    check 'log: the step that it continues from' grep -Fx '{"resumed":10}' a.log
    check 'log: later steps seen before no longer count' same_logs a.log ref.log
    check 'log: seconds continue' grep -E '^\{"step":11,"seconds":7000\.' a.log
    check 'log: the surroundings of both starts' [ "$(grep -c '^{"folio"' a.log)" = 2 ]
    check 'log: the second start' grep -F '"from_step":10,' a.log

    remove b
    run 2 'a log in the way' ./train t.txt $tiny --out b.bin --log ref.log
    says 'a log in the way' 'ref.log'
    says 'a log in the way' '--overwrite'
    check 'a log in the way: it stays' grep -q '"step":20,' ref.log
    check 'a log in the way: no lock stays' absent b.bin b.last.bin b.lock b.tmp
    cp ref.log b.log
    run 0 'a log replaced' ./train t.txt $tiny --out b.bin --log b.log --overwrite
    check 'a log replaced' [ "$(grep -c '^{"folio"' b.log)" = 1 ]
    remove b
    cp ref.log b.log
    run 0 'a log of a run that starts at step 0' ./train t.txt $tiny --out b.bin --log b.log \
        --resume
    check 'a log of a run that starts at step 0' same_logs b.log ref.log
    run 1 'a log in a folder that is not there' ./train t.txt $tiny --out b.bin --overwrite \
        --log nowhere/b.log
    check 'a log in a folder that is not there: before training' not grep '^step' stderr
    run 1 'a log that is a folder' ./train t.txt $tiny --out b.bin --overwrite --log "$work"
}

# ---------------------------------------------------------------- resuming

resume_rules() {
    copy_files half a
    run 0 'the settings come from the file' ./train t.txt --resume --out a.bin --quiet
    check 'the settings come from the file' same_files a ref

    copy_files half a
    head -c 3999 t.txt >other.txt
    run 2 'another text' ./train other.txt --resume --out a.bin
    says 'another text' '--init-from'
    run 2 'resumed with another rate' ./train t.txt --resume --out a.bin --lr 2e-2
    says 'resumed with another rate' 'the run in a.last.bin has'
    check 'disagreement leaves the files' same_files a half
    run 0 'the same setting, written otherwise' ./train t.txt --resume --out a.bin --lr 0.01 \
        --steps 2e1 --dropout .1
    check 'the same setting, written otherwise' same_files a ref
    for allowed in '--save-every 2' '--sample-every 7' '--stop-at 15' '--overwrite'; do
        copy_files half a
        run 0 "resumed with $allowed" ./train t.txt --resume --out a.bin $allowed
    done

    copy_files half a
    run 0 'more steps' ./train t.txt --resume --out a.bin --steps 30 --log more.log --json
    check 'more steps: 30' grep '^{"steps":30,' stdout
    check 'more steps: the schedule of 30' grep -E '^\{"step":12,.*"lr":0.00865' more.log
    run 2 'fewer steps again' ./train t.txt --resume --out a.bin --steps 20
    copy_files a b
    run 0 'a finished run' ./train t.txt --resume --out a.bin --json
    says 'a finished run' 'finished'
    check 'a finished run: the files stay' same_files a b
    check 'a finished run: the result' grep -E '^\{"steps":30,.*"best_step":[1-9]' stdout
    run 0 'a finished run, stopped earlier' ./train t.txt --resume --out a.bin --stop-at 10
    check 'a finished run, stopped earlier: the files stay' same_files a b
    copy_files half a
    run 0 '--stop-at before the step reached' ./train t.txt --resume --out a.bin --stop-at 5
    check '--stop-at before the step reached: nothing is trained' same_files a half

    mkdir -p sub
    copy_files half sub/x
    run 0 '--out elsewhere' ./train t.txt --resume --out sub/x.bin
    check '--out elsewhere' same_files sub/x ref
    remove a
    run 0 'neither file' ./train t.txt $tiny --resume --out a.bin
    says 'neither file' 'step 0'
    check 'neither file' same_files a ref
    cp ref.bin only.bin
    run 2 'NAME.bin alone' ./train t.txt --resume --out only.bin
    says 'NAME.bin alone' '--init-from'
    cp ref.bin a.last.bin
    run 4 'weights under the name of a training state' ./train t.txt --resume --out a.bin
    head -c 5000 ref.last.bin >a.last.bin
    run 4 'a damaged training state' ./train t.txt --resume --out a.bin
}

# NAME.bin is gone or not this run's: what it should hold is written again, or the loss is admitted.
missing_best() {
    remove a
    cp half.last.bin a.last.bin
    run 0 'NAME.bin is missing, and is the last step' ./train t.txt --resume --out a.bin \
        --stop-at 11
    check 'NAME.bin is missing, and is the last step: written again' cmp half.bin a.bin
    run 0 'NAME.bin is missing: resumed to the end' ./train t.txt --resume --out a.bin
    check 'NAME.bin is missing: same files' same_files a ref
    remove a
    ./train t.txt --quiet $tiny --out a.bin --stop-at 12
    rm a.bin
    run 0 'NAME.bin is missing, and was an earlier step' ./train t.txt --resume --out a.bin \
        --stop-at 13
    says 'NAME.bin is missing, and was an earlier step' 'a.bin'
    check 'NAME.bin is missing, and was an earlier step: sound' ./inspect a.bin --verify
    check 'NAME.bin is missing, and was an earlier step: the next best one' \
        sh -c './train t.txt --resume --out a.bin --quiet && cmp a.bin ref.bin'
    cp ref.last.bin b.last.bin
    rm -f b.bin
    run 0 'a finished run without NAME.bin' ./train t.txt --resume --out b.bin
    check 'a finished run without NAME.bin: both files' same_files b ref
}

in_the_way() {
    for there in bin last.bin 'bin last.bin'; do
        remove a
        for which in $there; do cp half.$which a.$which; done
        run 2 "a.$there in the way" ./train t.txt $tiny --out a.bin
        says "a.$there in the way" '--resume'
        says "a.$there in the way" '--overwrite'
        for which in $there; do
            says "a.$there in the way" "a.$which"
            check "a.$there in the way: it stays" cmp half.$which a.$which
        done
        check "a.$there in the way: no lock stays" absent a.lock a.tmp
    done
    run 2 'no extension' ./train t.txt $tiny --out a.lock
    run 0 'another extension' ./train t.txt --quiet $tiny --out c.safetensors
    check 'another extension' sound c.safetensors c.last.safetensors
    check 'another extension: same bytes' cmp c.last.safetensors ref.last.bin
    run 0 'no extension' ./train t.txt --quiet $tiny --out c
    check 'no extension: same bytes' cmp c.last ref.last.bin
}

# ---------------------------------------------------------------- signals, locks, kills

# A run of some seconds, in the background; $1 is its name, the rest its options.
long='--layers 1 --heads 2 --channels 32 --context 32 --batch 8 --steps 600 --eval-every 100
      --dropout 0.1 --threads 1'
start_long() {
    long_name=$1
    shift
    ./train t.txt $long --out $long_name.bin --log $long_name.log --resume "$@" >/dev/null \
        2>$long_name.err &
    running=$!
}

# Waits for the run in the background; its status is in ended.
end_long() {
    wait "$running" 2>/dev/null
    ended=$?
    running=
}

# The same, undisturbed: long.
whole_long_run() {
    [ -e long.bin ] || run 0 'the long run' ./train t.txt $long --out long.bin --log long.log
}

# Kills the run many times; every piece gets a little further.
killed_runs() {
    whole_long_run
    for k in 40 130 131 350 520; do
        start_long kill --save-every 1
        wait_for kill.log $k
        kill -9 $running
        end_long
        [ $ended -eq 137 ]
        verdict $? "killed at step $k: status $ended"
        check "killed at step $k: the files are sound" sound kill.bin kill.last.bin
    done
    : >kill.tmp
    check 'a killed run leaves its lock' [ -e kill.lock ]
    run 0 'killed runs: resumed' ./train t.txt --resume --out kill.bin --log kill.log
    check 'killed runs: same files' same_files kill long
    check 'killed runs: same log' same_logs kill.log long.log
    check 'a stale lock and a stale NAME.tmp are gone' absent kill.lock kill.tmp
}

# An ignored signal stays ignored in every child; a shell in the background ignores SIGINT.
ignores() { sh -c "kill -$1 \$\$; exit 3" 2>/dev/null; [ $? -eq 3 ]; }

# signalled NAME STATUS STEP: the long run in the foreground, the signal from the background.
signalled() {
    if ignores "$1"; then
        echo "train.sh: SIG$1 is ignored here, so it is not tested"
        return
    fi
    (
        wait_for sig.log "$3"
        kill -"$1" "$(cat sig.pid)"
    ) &
    sh -c 'echo $$ >sig.pid; exec ./train t.txt '"$(echo $long)"' --resume \
        --out sig.bin --log sig.log' 2>stderr
    got=$?
    [ $got -eq "$2" ]
    verdict $? "SIG$1: exit status $got, expected $2"
    says "SIG$1" 'continue with: ./train t.txt --resume --out sig.bin --log sig.log --threads 1'
    check "SIG$1: the files are sound" sound sig.bin sig.last.bin
    check "SIG$1: both files" present sig.bin sig.last.bin
    check "SIG$1: no lock stays" absent sig.lock sig.tmp
}

signals() {
    whole_long_run
    signalled TERM 143 20
    signalled HUP 129 210
    signalled INT 130 420
    run 0 'signals: resumed' ./train t.txt --resume --out sig.bin --log sig.log
    check 'signals: same files' same_files sig long
    check 'signals: every step once' [ "$(grep -c '^{"step":[0-9]*,"seconds"' sig.log)" = 600 ]
    check 'signals: every evaluation' [ "$(grep -c val_loss sig.log)" = 7 ]

    two_signals
    start_nohup
}

# The run is stopped in its first step, so that both signals are pending and neither can be early or
# late. It continues in one handler and, before its slice ends and anything is saved, in the other.
two_signals() {
    if ignores HUP; then
        echo 'train.sh: SIGHUP is ignored here, so two signals are not tested'
        return
    fi
    ./train t.txt --layers 2 --channels 256 --context 256 --batch 64 --slice 64 --threads 1 \
        --val-fraction 0 --out two.bin --log two.log 2>two.err &
    running=$!
    tries=0
    until [ -s two.log ] || [ $tries -gt 500 ]; do
        sleep 0.02
        tries=$((tries + 1))
    done
    kill -STOP $running
    kill -TERM $running
    kill -HUP $running
    kill -CONT $running
    end_long
    [ $ended -eq 129 ] || [ $ended -eq 143 ]
    verdict $? "two signals: exit status $ended, expected that of either"
    check 'two signals: at once' [ -e two.lock ]
    check 'two signals: no files' absent two.bin two.last.bin two.tmp
    run 0 'two signals: the lock is stale' ./train t.txt $tiny --out two.bin
}

# As under nohup.
start_nohup() {
    (trap '' HUP; exec ./train t.txt $long --out hup.bin --log hup.log --quiet) &
    running=$!
    wait_for hup.log 50
    kill -HUP $running
    wait_for hup.log 120
    kill -TERM $running
    end_long
    check 'an ignored SIGHUP stays ignored' [ $ended -eq 143 ]
    check 'an ignored SIGHUP stays ignored' grep -q '^{"step":120,' hup.log
}

locks() {
    start_long busy --save-every 1
    wait_for busy.log 10
    run 1 'a second trainer' ./train t.txt $tiny --out busy.bin --overwrite
    says 'a second trainer' "$running"
    says 'a second trainer' 'busy.lock'
    run 1 'a second trainer resumes' ./train t.txt --resume --out busy.bin
    check 'a second trainer leaves the lock' [ -e busy.lock ]
    bad=0
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25; do
        ./sample busy.bin --length 3 --quiet >/dev/null 2>stderr || bad=$((bad + 1))
        ./inspect busy.last.bin --verify >/dev/null 2>stderr || bad=$((bad + 1))
    done
    check "files replaced while they are read: $bad failures" [ $bad -eq 0 ]
    run 0 'another name beside it' ./train t.txt $tiny --out busy2.bin
    kill -TERM $running
    end_long
    check 'the first trainer was not disturbed' [ $ended -eq 143 ]
    check 'the first trainer leaves no lock' absent busy.lock
}

# killed_before N OPTION...: false if a run to k.bin has fewer than N file operations. The braces
# hide the shell's message about the kill.
killed_before() {
    at=$1
    shift
    {
        env FAULT=any:$at:kill ./faulty_train t.txt $tiny --out k.bin --quiet "$@" >stdout 2>stderr
        [ $? -eq 137 ]
    } 2>/dev/null
}

# SIGKILL before each file operation of a run with several saves; then it is resumed to the end.
kill_at_every_operation() {
    n=1
    while [ $n -lt 1000 ]; do
        remove k
        killed_before $n --save-every 7 --log k.log || break
        sound k.bin k.last.bin
        verdict $? "killed before operation $n: the files are sound"
        ./train t.txt $tiny --resume --out k.bin --log k.log >stdout 2>stderr && same_files k ref
        verdict $? "killed before operation $n: resumed"
        same_logs k.log ref.log
        verdict $? "killed before operation $n: same log"
        n=$((n + 1))
    done
    check 'the run that survives all kills' same_files k ref
    check "$n operations" [ $n -gt 50 ]
}

# The same where an earlier run's files are replaced: either both are still there, or
# both belong to the new run.
kill_while_overwriting() {
    n=1
    kept=0
    while [ $n -lt 1000 ]; do
        remove k
        copy_files old k
        killed_before $n --overwrite --save-every 3 || break
        if same_files k old; then
            kept=$((kept + 1))
        else
            sound k.bin k.last.bin
            verdict $? "killed before operation $n while overwriting: the files are sound"
            ./train t.txt $tiny --resume --out k.bin --stop-at 4 >stdout 2>stderr &&
                ! cmp -s k.bin old.bin
            verdict $? "killed before operation $n while overwriting: both files are new"
            ./train t.txt $tiny --resume --out k.bin >stdout 2>stderr && same_files k ref
            verdict $? "killed before operation $n while overwriting: resumed"
        fi
        n=$((n + 1))
    done
    check 'the run that overwrites' same_files k ref
    check "the old files are kept until the first save: $kept of $n" [ $kept -gt 20 ]
}

# ---------------------------------------------------------------- failing calls

# The number of calls of $1 in the run given after it.
calls() {
    rm -f counts
    op=$1
    shift
    env FAULT_COUNT=counts "$@" >/dev/null 2>&1
    sed -n "s/^$op //p" counts
}

# fault OP N MODE: resumes the half-way run with one fault. Sets got to its status.
fault() {
    remove f
    copy_files half f
    env FAULT=$1:$2:$3 ./faulty_train t.txt --resume --save-every 4 --threads 1 --out f.bin \
        >stdout 2>stderr
    got=$?
}

# What must hold after any fault: status 0 or 1, a reason, sound files, nothing left behind.
after_fault() {
    [ $got -le 1 ] && absent f.tmp f.lock && present f.bin f.last.bin || return 1
    if [ $got -eq 0 ] && same_files f ref; then return; fi
    grep -q '^train: ' stderr && sound f.bin f.last.bin
}

# Steps, evaluations, samples and saves allocate no memory.
no_memory() {
    saving="./faulty_train t.txt $tiny --save-every 2 --sample-every 4
            --log a.log --out a.bin --overwrite"
    few=$(calls malloc $saving --steps 5)
    many=$(calls malloc $saving --steps 60)
    check "memory is asked for $few times" [ "$few" -gt 10 ]
    check "memory is asked for $few times in 5 steps, $many times in 60" [ "$few" = "$many" ]
}

failing_calls() {
    half_run='./faulty_train t.txt --resume --save-every 4 --threads 1 --out f.bin'
    for op in open read write fsync close rename malloc; do
        remove f
        copy_files half f
        count=$(calls $op $half_run)
        check "$op is called $count times" [ "$count" -gt 1 ]
        n=1
        while [ $n -le "$count" ]; do
            for mode in once persist; do
                fault $op $n $mode
                after_fault
                verdict $? "$op:$n:$mode of $count: status $got"
                # The lock is written first, and the last save is the last thing that happens.
                case $op:$mode in
                write:once | rename:once)
                    last=$count
                    want=0
                    [ $n = "$last" ] && want=1
                    [ $op$n = write1 ] && want=1
                    [ $got -eq $want ]
                    verdict $? "$op:$n:$mode of $count: status $got, expected $want" ;;
                write:persist | rename:persist | fsync:persist)
                    [ $got -eq 1 ]
                    verdict $? "$op:$n:$mode of $count: status $got, expected 1" ;;
                esac
            done
            n=$((n + 1))
        done
    done
    for op in read write; do
        n=1
        while [ $n -le 12 ]; do
            fault $op $n short
            [ $got -eq 0 ] && same_files f ref
            verdict $? "$op:$n:short: status $got"
            n=$((n + 1))
        done
    done

    # A save that fails prints one line, and the next one replaces it.
    fault write 2 once
    check 'one save fails: one line' [ "$(grep -c '^train: ' stderr)" = 1 ]
    says 'one save fails' 'f.tmp'
    check 'one save fails: the end is saved' cmp f.last.bin ref.last.bin
}

# The log fails: training continues, the status is 1.
failing_log() {
    remove a
    if [ -c /dev/full ]; then
        run 1 'a log on a full device' ./train t.txt $tiny --out a.bin --log /dev/full
        check 'a log on a full device: one line' [ "$(grep -c 'training continues' stderr)" = 1 ]
        check 'a log on a full device: same files' same_files a ref
    fi
    remove a
    count=$(calls close ./faulty_train t.txt $tiny --out a.bin --log a.log)
    remove a
    run 1 'a log that cannot be closed' env FAULT=close:$((count - 1)) ./faulty_train t.txt $tiny \
        --out a.bin --log a.log
    check 'a log that cannot be closed: same files' same_files a ref
    remove a
    count=$(calls write ./faulty_train t.txt $tiny --out a.bin --log a.log)
    check 'the log is written' [ "$count" -gt 20 ]
    # The second write is the lock's.
    n=3
    while [ $n -le 12 ]; do
        remove a
        run 1 "log: write $n fails" env FAULT=write:$n ./faulty_train t.txt $tiny --out a.bin \
            --log a.log
        check "log: write $n fails: same weights" same_files a ref
        n=$((n + 5))
    done
}

# ---------------------------------------------------------------- places

places() {
    mkdir -p folder.bin
    mkfifo pipe.bin
    ln -s loop.bin loop.bin
    ln -s nowhere.x dangling.bin
    : >file
    for out in folder.bin pipe.bin loop.bin dangling.bin nowhere/x.bin file/x.bin; do
        run 1 "--out $out" ./train t.txt $tiny --out $out
        says "--out $out" "${out%.bin}"
        check "--out $out: before training" not grep '^step' stderr
        run 1 "--out $out --overwrite" ./train t.txt $tiny --out $out --overwrite
    done
    for out in '' . .. folder.bin/ x.tmp x.lock; do
        run 2 "--out '$out'" ./train t.txt $tiny --out "$out"
    done
    mkdir x.lock
    run 1 'a folder where the lock should be' ./train t.txt $tiny --out x.bin
    rmdir x.lock
    run 1 'a name that is too long for a file' ./train t.txt $tiny --out "$(printf '%0300d' 0)"
    run 2 'a name that is too long for a path' ./train t.txt $tiny --out "$(printf '%05000d' 0)"
    ln -s ref.bin link.bin
    run 2 'a link in the way' ./train t.txt $tiny --out link.bin
    cp ref.bin target.bin
    ln -sf target.bin link.bin
    run 0 'a link that is replaced' ./train t.txt $tiny --seed 3 --out link.bin --overwrite
    check 'a link that is replaced: its target stays' cmp target.bin ref.bin
}

# A full disk: each save prints one line, the old files stay, the status is 1.
full_disk() {
    remove a
    copy_files old a
    run 1 'files limited to a few KB' sh -c \
        "ulimit -f 8 && exec ./train t.txt $(echo $tiny) --out a.bin --overwrite"
    check 'files limited to a few KB: the old ones stay' same_files a old
    check 'files limited to a few KB: nothing is left behind' absent a.tmp a.lock
    check 'files limited to a few KB: it trains to the end' grep '^step *20/20' stderr
    says 'files limited to a few KB' 'a.tmp'
    mkdir small
    if [ "$(id -u)" = 0 ] && mount -t tmpfs -o size=64k none small 2>/dev/null; then
        run 1 'a full disk' ./train t.txt $tiny --out small/a.bin
        says 'a full disk' 'No space left'
        check 'a full disk: sound files' sound small/a.bin small/a.last.bin
        check 'a full disk: nothing is left behind' absent small/a.tmp small/a.lock
        umount small
    fi
    if [ "$(id -u)" != 0 ]; then
        mkdir closed && chmod 555 closed
        run 1 'a folder that cannot be written' ./train t.txt $tiny --out closed/a.bin
        check 'a folder that cannot be written: before training' not grep '^step' stderr
        chmod 755 closed
    fi
}

# ---------------------------------------------------------------- texts

# trains NAME TEXT OPTIONS...: status 0, sound files.
trains() {
    name=$1
    shift
    remove x
    run 0 "$name" ./train "$@" --out x.bin
    check "$name: sound files" sound x.bin x.last.bin
    check "$name: both files" present x.bin x.last.bin
}

short='--layers 1 --heads 1 --channels 8 --batch 2 --steps 6 --eval-every 3 --threads 1'

texts() {
    : >empty.txt
    run 3 'an empty text' ./train empty.txt $short --out x.bin
    says 'an empty text' 'empty.txt'
    printf 'a' >one.txt
    run 3 'one character' ./train one.txt $short --out x.bin
    printf 'ab' >two.txt
    run 3 'two characters, one of them held out' ./train two.txt $short --out x.bin
    trains 'two characters' two.txt $short --val-fraction 0
    says 'two characters' 'context 64 reduced to 1'
    says 'two characters' 'no validation part'
    says 'two characters' 'learnt by heart'
    printf 'abcabcabcabcabcabcabcabc' >small.txt
    trains 'shorter than the context' small.txt $short
    says 'shorter than the context' 'context 64 reduced to 20'
    run 0 'shorter than the context: resumed' ./train small.txt $short --resume --steps 9 \
        --out x.bin
    remove x
    run 3 'shorter than a context that was asked for' ./train small.txt $short --context 64 \
        --out x.bin
    says 'shorter than a context that was asked for' '21 characters'
    says 'shorter than a context that was asked for' '20, not 64'
    run 3 'one more than the longest context' ./train small.txt $short --context 21 --out x.bin
    trains 'the longest context' small.txt $short --context 20
    trains 'a validation part of one character' small.txt $short --val-fraction 0.01
    says 'a validation part of one character' 'no validation part'
    run 3 'a training part of one character' ./train small.txt $short --val-fraction 0.95 \
        --out y.bin
    check 'a training part of one character: nothing is left behind' absent y.bin y.last.bin \
        y.lock y.tmp

    tail -c 5000 ref.last.bin >binary.bin
    run 3 'a binary file' ./train binary.bin $short --out y.bin
    says 'a binary file' '--bytes'
    check 'a binary file: the offset' grep -E 'byte [0-9]+|offset [0-9]+' stderr
    trains 'a binary file with --bytes' binary.bin $short --bytes
    awk 'BEGIN { for (i = 0; i < 20000; i++) { c = 19968 + i
        printf "%c%c%c", 224 + int(c / 4096), 128 + int(c / 64) % 64, 128 + c % 64 } }' >many.txt
    trains '20,000 symbols' many.txt $short
    says '20,000 symbols' '20001 symbols'
    check '20,000 symbols: a sample' ./sample x.bin --length 5
    head -c 3000 /dev/zero | tr '\0' a >same.txt
    trains 'one symbol' same.txt $short --steps 100 --warmup 1 --lr 0.1 --json
    check 'one symbol: learnt' grep -E '"val_loss":(0[,.]0?0?|[0-9.]+e-)' stdout
    trains 'one symbol, no separator' same.txt $short --separator off --json
    check 'one symbol, no separator: nothing to learn' grep -E '"val_loss":0,' stdout
    printf '\357\273\277a\r\nb\000c\r\n%.0s' 1 2 3 4 5 6 7 8 >odd.txt
    trains 'BOM, CR and NUL' odd.txt $short
    trains 'no layers' t.txt $short --layers 0
    trains 'a batch of one, a context of one' t.txt $short --batch 1 --context 1
}

# No validation part: NAME.bin holds the last weights.
no_validation() {
    run 0 'no validation part' ./train t.txt $tiny --val-fraction 0 --out v.bin --log v.log --json \
        --save-every 6
    says 'no validation part' 'no validation part'
    check 'no validation part: no loss of it' grep '"val_loss":null,"best_step":0,' stdout
    check 'no validation part: none in the log' not grep val_loss v.log
    remove a
    run 0 'no validation part, stopped' ./train t.txt $tiny --val-fraction 0 --out a.bin \
        --log a.log --stop-at 7
    run 0 'no validation part, resumed' ./train t.txt --resume --out a.bin --log a.log
    check 'no validation part: same files' same_files a v
    check 'no validation part: same log' same_logs a.log v.log
    check 'no validation part: both hold step 20' sh -c \
        'for f in v.bin v.last.bin; do ./inspect $f; done | grep -c "step 20" | grep -q 2'
    run 0 'no validation part, finished' ./train t.txt --resume --out a.bin
    says 'no validation part, finished' 'finished'
}

names_of_texts() {
    ./train - $tiny --out x.bin --overwrite <t.txt >stdout 2>stderr
    verdict $? 'standard input'
    check 'standard input: same files' same_files x ref
    head -c 2000 t.txt >a1.txt
    tail -c 2000 t.txt >a2.txt
    trains 'two texts' a1.txt a2.txt $short --context 8
    says 'two texts' 'a1.txt and 1 more'
    run 2 'two texts in another order' ./train a2.txt a1.txt --resume --steps 9 --out x.bin
    mkdir -p data
    cp t.txt data/far.txt
    trains 'a bare name in data/' far.txt $tiny
    says 'a bare name in data/' 'data/far.txt'
    check 'a bare name in data/: same files' same_files x ref
    run 1 'a text that is not there' ./train nowhere.txt $tiny --out y.bin
    says 'a text that is not there' 'nowhere.txt'
    run 1 'a folder' ./train sub $tiny --out y.bin
    check 'a text that is not there: no lock stays' absent y.lock y.bin

    # The printed command works as it is, whatever the names.
    cp t.txt "it's a b.txt"
    cp t.txt ./-x.txt
    for text in "it's a b.txt" -x.txt; do
        rm -f './a $b'*
        run 0 "$text" ./train $tiny --out './a $b.bin' --stop-at 5 -- "$text"
        eval "$(sed -n 's/^continue with: //p' stderr)" >stdout 2>stderr
        verdict $? "$text: the command that is printed"
        check "$text: the command that is printed: same files" same_files './a $b' ref
    done
}

# ---------------------------------------------------------------- numbers

numbers() {
    for wrong in '--steps 1e9x' '--steps 0' '--lr nan' '--lr -1' '--lr inf' '--temperature nan' \
                 '--batch 0' '--batch 1.5' '--dropout 1' '--dropout -0.1' '--context 65537' \
                 '--heads 0' '--heads 3' '--val-fraction 1' '--seed 9999999999999999999' \
                 '--beta2 1' '--schedule wds' '--preset fast' '--eval-every 0' '--threads 0' \
                 '--isa none'; do
        run 2 "$wrong" ./train t.txt $tiny --out n.bin $wrong
        word=${wrong%% *}
        says "$wrong" "${word#--}"
    done
    run 0 'a rate that float can hardly write' ./train t.txt $tiny --lr 1e-42 --min-lr 1e-44 \
        --warmup 0 --out n.bin
    check 'a rate that float can hardly write: sound files' sound n.bin n.last.bin
    remove n
    run 1 'more memory than there is' ./train t.txt --layers 1000 --heads 1024 --channels 65536 \
        --out n.bin
    says 'more memory than there is' 'MB of memory'
    run 1 'a batch larger than memory' ./train t.txt $tiny --batch 1e6 --context 3000 --slice 3e5 \
        --out n.bin
    check 'nothing is left behind' absent n.bin n.last.bin n.lock n.tmp
}

# Exit 5; what was saved before stays.
divergence() {
    run 5 'a rate of 1e6' ./train t.txt $tiny --lr 1e6 --warmup 0 --clip 0 --layers 4 --steps 400 \
        --save-every 1 --out d.bin --log d.log
    says 'a rate of 1e6' 'no longer a number'
    check 'a rate of 1e6: sound files' sound d.bin d.last.bin
    check 'a rate of 1e6: no lock stays' absent d.lock d.tmp
    # The second update multiplies the weights by 1e12 again, and no loss is computed after it.
    for steps in 2 400; do
        copy_files half a
        run 5 "diverged in $steps steps, nothing saved" ./train t.txt $tiny --lr 1e6 --min-lr 1e6 \
            --warmup 0 --weight-decay 1e6 --steps $steps --val-fraction 0 --out a.bin --overwrite
        check "diverged in $steps steps, nothing saved: the old files stay" same_files a half
    done
}

# ---------------------------------------------------------------- output

# The phases add up to the whole, and those that certainly took time show it.
profile_adds_up() {
    awk '/^where / { whole = $2 }
         / s +[01]\.[0-9]+$/ { seconds += $(NF - 2); share += $NF; some += $NF > 0 }
         END { exit !(some >= 6 && share > 0.999 && share < 1.001 &&
                      seconds > whole - 0.1 && seconds < whole + 0.1) }' stderr
}

output() {
    for how in '' '--family qwen3 --optimizer muon'; do
        run 0 "--profile $how" ./train t.txt $tiny $how --profile --out e.bin --overwrite
        check "--profile $how: phases that add up" profile_adds_up
        says "--profile $how" 'linear layers'
    done
    remove e
    run 0 '--json' ./train t.txt $tiny --out o.bin --json
    check '--json: one line' [ "$(wc -l <stdout | tr -d ' ')" = 1 ]
    keys='"seconds":[0-9.]+,"train_loss":[0-9.]+,"val_loss":[0-9.]+,"best_step":[0-9]+'
    keys=$keys',"best_val_loss":[0-9.]+,"parameters":[0-9]+'
    check '--json: the keys' grep -E '^\{"steps":20,'"$keys"',"checkpoint":"o.bin"\}$' stdout
    check 'no carriage return without a terminal' [ \
        "$(tr -dc '\r\033' <stderr | wc -c | tr -d ' ')" = 0 ]
    check 'one line per evaluation' [ "$(grep -c '^step ' stderr)" = 5 ]
    for word in 't.txt' '4000 characters' '53 symbols' 'training 3600, validation 400' '1 layers' \
                'parameters' 'MFLOP' 'MB of memory' '1 thread'; do
        says 'the header' "$word"
    done
    run 0 'without --json' ./train t.txt $tiny --out o.bin --overwrite
    check 'without --json: nothing on stdout' [ ! -s stdout ]
    run 0 '--quiet' ./train t.txt $tiny --out o.bin --overwrite --quiet --sample-every 5 --warmup 90
    check '--quiet: nothing at all' silent
    run 0 '--quiet --json' ./train t.txt $tiny --out o.bin --overwrite --quiet --json
    check '--quiet --json: the result' [ -s stdout ]
    check '--quiet --json: nothing else' [ ! -s stderr ]
    remove o
    ./train t.txt $tiny --out o.bin --json >&- 2>stderr
    [ $? -eq 1 ]
    verdict $? '--json and a closed stdout'
    check '--json and a closed stdout: trained all the same' same_files o ref
    ./train t.txt $tiny --out o.bin --overwrite >&- 2>stderr
    verdict $? 'a closed stdout without --json'
    if [ -c /dev/full ]; then
        ./train t.txt $tiny --out o.bin --overwrite --json >/dev/full 2>stderr
        [ $? -eq 1 ]
        verdict $? '--json and a full device'
    fi
    remove o
    { ./train t.txt $tiny --out o.bin 2>&1; echo $? >status; } | head -n 1 >/dev/null
    check 'the messages have no reader: trained anyway' [ "$(cat status)" = 0 ]
    check 'the messages have no reader: same files' same_files o ref
    ./train t.txt $tiny --out o.bin --overwrite 2>&-
    verdict $? 'a closed stderr'
    check 'a closed stderr: same files' same_files o ref
    check 'a closed stderr: no other file got its number' not grep -a -l '^step' o.bin o.last.bin
}

# With a rate of 0 the first evaluation after step 0 stays the best.
evaluations() {
    still='--lr 0 --min-lr 0 --eval-every 2 --dropout 0'
    run 0 'no improvement' ./train t.txt $tiny $still --out e.bin --json
    check 'no improvement: one note' [ \
        "$(grep -c 'no improvement for 5 evaluations; e.bin holds step 2$' stderr)" = 1 ]
    check 'no improvement: the best step' grep '"best_step":2,' stdout
    check 'no improvement: NAME.bin holds it' sh -c './inspect e.bin | grep -q "step 2;"'
    check 'no improvement: all steps' grep '"steps":20,' stdout
    run 0 '--patience' ./train t.txt $tiny $still --out e.bin --overwrite --patience 3 --json
    check '--patience: ends after three' grep '"steps":8,' stdout
    says '--patience' '3 evaluations without improvement'
    run 0 '--patience, resumed without it' ./train t.txt --resume --out e.bin --json
    check '--patience, resumed without it: to the end' grep '"steps":20,' stdout
    run 0 'evaluations rarer than steps' ./train t.txt $tiny --eval-every 1000 --save-every 1e6 \
        --out e.bin --overwrite --log e.log
    check 'evaluations rarer than steps: at the ends' [ "$(grep -c val_loss e.log)" = 2 ]
    run 0 '--eval-batches' ./train t.txt $tiny --eval-batches 3 --out e.bin --overwrite --json
    check '--eval-batches: another estimate' [ \
        "$(sed 's/.*"val_loss":\([^,]*\),.*/\1/' stdout)" != \
        "$(./inspect ref.bin --json | sed 's/.*"val_loss":\([0-9.]*\)}\].*/\1/')" ]
    # Three batches of four windows are twelve of one.
    for batches in '3 --batch 4' '12 --batch 1'; do
        run 0 "--eval-batches $batches" ./train t.txt $tiny --eval-batches $batches --out e.bin \
            --overwrite --stop-at 1
        grep '^step *0/20 ' stderr >"e${batches%% *}"
    done
    check '--eval-batches counts batches, not windows' cmp e3 e12
    run 0 '--sample-every' ./train t.txt $tiny --sample-every 10 --out e.bin --overwrite
    check '--sample-every: two samples of 200 characters' sh -c \
        'n=$(grep -v -E "^(text|model|training|machine|note|step|e\.bin|   )" stderr | wc -c)
         [ $n -gt 380 ]'
    run 0 'a long warm-up' ./train t.txt $tiny --warmup 99 --out e.bin --overwrite --log w.log
    says 'a long warm-up' 'lasts for the whole run'
    check 'a long warm-up: the rate of the last step' grep -E '^\{"step":20,.*"lr":0.002,' w.log
    check 'the validation loss is that of ./eval' sh -c './eval ref.bin t.txt --json --quiet |
        sed "s/,.*//; s/.*://" >a; ./inspect ref.bin --json |
            sed "s/.*\"val_loss\":\([0-9.]*\)}\].*/\1/" >b
        xargs <<END | awk "{ exit (\$1 - \$2) ^ 2 > 1e-12 }"
$(cat a b)
END'
}

# waits NAME WANT COMMAND...: the process of the command has WANT in its environment at last.
waits() {
    name=$1 want=$2 found=1
    shift 2
    "$@" >/dev/null 2>&1 &
    for _ in $(seq 100); do
        tr '\0' '\n' <"/proc/$!/environ" | grep -qx "$want" && found=0 && break
        sleep 0.05
    done 2>/dev/null
    verdict "$found" "$name: has $want"
    check "$name: is called train" grep -qx train "/proc/$!/comm"
    kill "$!"
    wait "$!" 2>/dev/null
}

# Threads of libgomp would spin for milliseconds; a process of one thread has nobody to wait for.
threads_waiting() {
    ldd ./train 2>/dev/null | grep -q libgomp && [ -r /proc/self/environ ] || return 0
    endless="t.txt $tiny --steps 1000000 --out w.bin --overwrite"
    plain='env -u OMP_WAIT_POLICY -u GOMP_SPINCOUNT'
    waits 'two threads' 'GOMP_SPINCOUNT=1000' $plain ./train $endless --threads 2
    waits 'as the user says' 'GOMP_SPINCOUNT=77' $plain GOMP_SPINCOUNT=77 ./train $endless \
        --threads 2
    run 0 'one thread' $plain sh -c './train '"$endless"' --threads 1 --quiet & sleep 0.5
        tr "\0" "\n" <"/proc/$!/environ" | grep -c GOMP_SPINCOUNT >count
        kill "$!"; [ "$(cat count)" = 0 ]'
    remove w
}

# ---------------------------------------------------------------- all of it

modern_groups='' minutes_groups='' fault_groups='' text_groups='' network_groups=''
file_groups='' resume_groups='' memory_groups=''
. "$tests/train_modern.sh"
. "$tests/train_minutes.sh"
. "$tests/train_faults.sh"
. "$tests/train_texts.sh"
. "$tests/train_networks.sh"
. "$tests/train_files.sh"
. "$tests/train_resume.sh"
. "$tests/train_memory.sh"
groups='same_bytes same_bytes_otherwise same_bytes_isa log_lines resume_rules missing_best
    in_the_way killed_runs signals locks kill_at_every_operation kill_while_overwriting
    no_memory failing_calls failing_log places full_disk
    texts no_validation names_of_texts numbers divergence output evaluations threads_waiting'
groups="$groups $modern_groups $minutes_groups $fault_groups $text_groups $network_groups"
groups="$groups $file_groups $resume_groups $memory_groups"

# A whole run, the same stopped half way, and a different one; every group compares with these.
run 0 'a plain run' ./train t.txt $tiny --out ref.bin --log ref.log --json
run 0 'half a run' ./train t.txt $tiny --out half.bin --stop-at 10
run 0 'another seed' ./train t.txt $tiny --seed 2 --out old.bin
[ $# -gt 0 ] || set -- $groups
for group in "$@"; do $group; done

echo "train: $passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
