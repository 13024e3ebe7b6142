# shellcheck shell=sh disable=SC2034,SC2154
# train_memory.sh: more groups for train.sh: a memory beside the network, in the same checkpoint.
#
#     . "$tests/train_memory.sh"      in train.sh, before its list of groups, which ends with
#                                     $memory_groups
#
# Needs train.sh's functions and t.txt.

memory_groups='memories memory_refusals memory_resumed teachers'
remember="$tiny --memory 5 --ema 0.9"

# figure NAME: what --json of the last run gave for it.
figure() { sed -n "s/.*\"$1\":\([^,}]*\).*/\1/p" stdout; }

# The same files for any threads and slices; programs that say which figure is which.
memories() {
    run 0 'memory' ./train t.txt $remember --out mem.bin --log mem.log --json
    says 'memory' 'memory   order 5, 3420 characters; 180 kept back to weigh it; val: network alone'
    says 'memory' 'step 20 with its memory: val'
    figure val_loss_with_memory >with
    check 'memory: the log holds the network' \
        grep -q "\"val_loss\":$(figure val_loss | cut -c 1-7)" mem.log
    run 0 'memory, other threads' ./train t.txt $remember --out again.bin --threads 3 --slice 1
    check 'memory, other threads: same files' same_files mem again
    run 0 'memory left out' ./train t.txt $tiny --ema 0.9 --out again.bin --overwrite --json
    check 'memory left out: no figure' not grep val_loss_with_memory stdout
    ./inspect again.bin --tensors >tensors
    check 'memory left out: no tensors' not grep -F 'memory.' tensors
    run 0 'memory, eval' ./eval mem.bin t.txt
    says 'memory, eval' 'mem.bin, step 20 with its memory'
    check 'memory, eval: says so' grep -q 'part val with memory$' stdout
    run 0 'memory, eval, JSON' ./eval mem.last.bin t.txt --json
    check 'memory, eval: the figure of the run' \
        awk -v a="$(cat with)" -v b="$(figure nats_per_char)" \
        'BEGIN { exit !(a - b < 1e-6 && b - a < 1e-6) }'
    check 'memory, eval, JSON: says so' grep -q '"memory":true}' stdout
    figure nats_per_char >better
    run 0 'memory off' ./eval mem.bin t.txt --memory off
    says 'memory off' 'mem.bin, step 20 without its memory'
    check 'memory off: says so' grep -q 'part val without memory$' stdout
    run 0 'memory off, JSON' ./eval mem.bin t.txt --memory off --json
    check 'memory off, JSON: says so' grep -q '"memory":false}' stdout
    check 'memory: better than without' \
        awk -v a="$(cat better)" -v b="$(figure nats_per_char)" 'BEGIN { exit !(a < b - 0.2) }'
    run 0 'no memory' ./eval again.bin t.txt
    check 'no memory: no word about it' grep -q 'part val$' stdout
    run 0 'no memory, JSON' ./eval again.bin t.txt --json
    check 'no memory, JSON: no word about it' grep -q '"part":"val"}' stdout

    run 0 'memory, sampled' ./sample mem.bin --length 100
    says 'memory, sampled' 'with its memory'
    cp stdout want
    run 0 'memory off, sampled' ./sample mem.bin --length 100 --memory off
    check 'memory off, sampled: other text' not cmp -s stdout want
    run 0 'memory, two models' ./eval mem.bin again.bin t.txt
    says 'memory, two models' 'mem.bin, step 20 with its memory, averaged with again.bin, step 20,'
    run 0 'memory, lines' ./eval mem.bin t.txt --per-line
    run 0 'memory, inspected' ./inspect mem.bin --verify --tensors
    check 'memory, inspected' grep -q '^memory  *n-grams of order 5 of 3420 characters$' stdout
    check 'memory, inspected: its text' grep -q '^memory.ids  *3420 ' stdout
    run 0 'memory, inspected, JSON' ./inspect mem.bin --json
    check 'memory, inspected, JSON' grep -q '"memory":{"order":5,"characters":3420,"exp' stdout
    remove mem
    remove again

    # The weights that are kept are weighed: an average that has hardly moved, as if at rate 0.
    for how in '--lr 0' '--lr 1e-2 --ema 0.9999' '--lr 1e-2'; do
        ./train t.txt $tiny $how --memory 5 --steps 100 --quiet --out mem.bin --overwrite
        ./inspect mem.bin --json | sed 's/.*"exponents":\[\[\([^,]*\).*/\1/'
    done >exponents
    check 'memory, averaged weights' awk '{ e[NR] = $1 }
        END { d = e[2] - e[1]; far = e[3] - e[1]; exit !(NR == 3 && 9 * d * d < far * far) }' \
        exponents
    remove mem

    # Documents are kept back whole; a network of positions may have a memory, too.
    for i in 1 2 3 4 5 6 7 8 9; do printf 'one\ntwo\nthree\n'; done >lines.txt
    for family in gpt2 nade; do
        run 0 "memory, lines, $family" ./train lines.txt --split-documents LINE --memory 3 \
            --family $family --steps 3 --threads 1 --out mem.bin --overwrite
        run 0 "memory, lines, $family: eval" ./eval mem.bin lines.txt
    done
    remove mem
    # More symbols than a byte holds; a text too short to keep anything back.
    awk 'BEGIN { for (i = 0; i < 700; i++) printf "%c%c", 208 + i % 8, 128 + i % 63 }' >wide.txt
    for text in wide.txt short.txt; do
        echo abcabc >short.txt
        run 0 "memory, $text" ./train $text $remember --context 2 --out mem.bin --overwrite
        run 0 "memory, $text: sampled" ./sample mem.bin --length 5
    done
    run 0 'memory of many symbols' ./train wide.txt $remember --out mem.bin --overwrite
    run 0 'memory of many symbols, inspected' ./inspect mem.bin --json
    check 'memory of many symbols: two bytes an id' grep -q 'memory.ids","dtype":"U16"' stdout
    remove mem
    rm -f lines.txt wide.txt short.txt with better tensors exponents
}

memory_refusals() {
    run 2 'memory of n-grams' ./train t.txt --family ngram --memory 3 --out mem.bin
    says 'memory of n-grams' '--memory: the ngram family is one itself'
    run 2 'memory of numbers' ./train "$tests/../../data/heights.txt" --values --memory 3 \
        --out mem.bin
    says 'memory of numbers' '--memory counts symbols, and numbers are none'
    run 2 'memory of order 65' ./train t.txt --memory 65 --out mem.bin
    check 'memories refused: nothing is written' absent mem.bin mem.last.bin
}

# A run that is stopped or killed goes on to the same files; files of before have no memory.
memory_resumed() {
    run 0 'memory, whole' ./train t.txt $remember --out mem.bin
    run 0 'memory, half' ./train t.txt $remember --out half2.bin --stop-at 7
    run 2 'memory, resumed with another' ./train t.txt --resume --out half2.bin --memory 4
    says 'memory, resumed with another' '--memory 4: the run in half2.last.bin has 5'
    run 0 'memory, resumed' ./train t.txt --resume --out half2.bin --threads 2
    check 'memory, resumed: same files' same_files mem half2
    run 0 'memory, finished' ./train t.txt --resume --out half2.bin
    check 'memory, finished: same files' same_files mem half2
    for n in 15 40 60; do
        { env FAULT=any:$n:kill ./faulty_train t.txt $remember --out k.bin --quiet; } \
            >/dev/null 2>&1
        check "memory, killed before operation $n: sound" sound k.bin k.last.bin
        options=$remember
        [ ! -e k.last.bin ] || options=
        run 0 "memory, killed before operation $n" ./train t.txt $options --out k.bin --resume
        check "memory, killed before operation $n: same files" same_files mem k
        remove k
    done
    run 2 'a memory for a run without' ./train t.txt --resume --out half.bin --memory 5
    says 'a memory for a run without' '--memory 5: the run in half.last.bin has 0'
    run 0 'a memory to start from' ./train t.txt --init-from mem.bin --steps 2 --out from.bin
    says 'a memory to start from' 'the memory of mem.bin is of its own text'
    run 0 'a memory to start from, and another' ./train t.txt --init-from mem.bin --steps 2 \
        --memory 3 --out from.bin --overwrite
    says 'a memory to start from, and another' 'memory   order 3'
    remove mem
    remove half2
    remove from
}

# Counts as a teacher: the same files for any threads, slices and stops; the checkpoint is an
# ordinary one; the losses that are shown are those of the text.
teachers() {
    taught="$tiny --teacher 4 --teacher-share 0.4"
    run 0 'teacher' ./train t.txt $taught --out tea.bin --log tea.log --json
    says 'teacher' 'teacher  order 4, 0.4 of the targets; loss: the text alone'
    run 0 'teacher, other threads' ./train t.txt $taught --out again.bin --threads 3 --slice 1
    check 'teacher, other threads: same files' same_files tea again
    run 0 'teacher, stopped' ./train t.txt $taught --out half2.bin --stop-at 7
    run 2 'teacher, resumed with another' ./train t.txt --resume --out half2.bin --teacher 3
    says 'teacher, resumed with another' '--teacher 3: the run in half2.last.bin has 4'
    run 0 'teacher, resumed' ./train t.txt --resume --out half2.bin
    check 'teacher, resumed: same files' same_files tea half2
    run 0 'no teacher' ./train t.txt $tiny --teacher 4 --teacher-share 0 --out again.bin \
        --overwrite
    ./eval again.bin t.txt --json --quiet >want
    ./eval ref.bin t.txt --json --quiet >got
    check 'teacher with no share: the same weights' cmp got want
    run 0 'teacher, first loss' ./train t.txt $taught --steps 1 --out again.bin --overwrite \
        --log again.log
    run 0 'no teacher, first loss' ./train t.txt $tiny --steps 1 --out half2.bin --overwrite \
        --log half2.log
    sed -n 's/.*"step":1,.*"loss":\([^,]*\),.*/\1/p' again.log >got
    sed -n 's/.*"step":1,.*"loss":\([^,]*\),.*/\1/p' half2.log >want
    check 'teacher: the loss is of the text' cmp got want
    # A share that falls as the rate: none of it where the rate is 0, all of it where it stays.
    for how in '--schedule constant --warmup 0' '--schedule wsd'; do
        for fade in off on; do
            ./train t.txt $taught $how --teacher-fade $fade --quiet --out half2.bin --overwrite
            ./eval half2.bin t.txt --json --quiet >got.$fade
        done
        [ "$how" = '--schedule wsd' ] || check 'teacher, no fall: the same' cmp got.off got.on
    done
    check 'teacher that fades: other weights' not cmp got.off got.on
    # A timed run without a memory has one, unless it is told not to.
    run 0 'timed, no memory' ./train t.txt --minutes 0.01 --threads 1 --memory 0 --out tea.bin \
        --overwrite
    says 'timed, no memory' 'teacher  order 6, 0.5 of the targets'
    run 0 'timed, no teacher' ./train t.txt --minutes 0.01 --threads 1 --memory 0 --teacher 0 \
        --out tea.bin --overwrite
    check 'timed, no teacher' not grep -q '^teacher' stderr
    run 0 'timed, memory' ./train t.txt --minutes 0.01 --threads 1 --out tea.bin --overwrite
    check 'timed, memory: no teacher' not grep -q '^teacher' stderr
    run 2 'fading without a teacher' ./train t.txt $tiny --teacher-fade on --out x.bin
    says 'fading without a teacher' '--teacher-fade is an option of --teacher'
    run 2 'teacher of n-grams' ./train t.txt --family ngram --teacher 3 --out x.bin
    run 2 'teacher of numbers' ./train "$tests/../../data/heights.txt" --values --teacher 3 \
        --out x.bin
    run 2 'share without a teacher' ./train t.txt $tiny --teacher-share 0.3 --out x.bin
    says 'share without a teacher' '--teacher-share is an option of --teacher'
    remove tea
    remove again
    remove half2
    rm -f got want got.off got.on
}
