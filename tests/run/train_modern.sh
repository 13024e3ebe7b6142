#!/bin/sh
# train_modern.sh: more groups for train.sh: Muon, averages and epochs, documents,
# --init-from, returns to the last save.
#
#     . "$tests/train_modern.sh"    in train.sh, before its list of groups, with $modern_groups
#
# Needs train.sh's functions, its $tiny and $json_line, and the runs ref and half.
# shellcheck disable=SC2034,SC2154

# ---------------------------------------------------------------- Muon, wsd, an average, epochs

modern="$tiny --family qwen3 --optimizer muon --schedule wsd --ema 0.9 --sampling epoch"

# The undisturbed run: modern.
modern_run() {
    [ -e modern.bin ] ||
        run 0 'the modern run' ./train t.txt $modern --out modern.bin --log modern.log
}

same_bytes_modern() {
    modern_run
    for k in 1 4 5 7 10 12 19; do
        remove a
        run 0 "modern, stopped at $k" ./train t.txt $modern --out a.bin --log a.log --stop-at $k
        run 0 "modern, stopped at $k, resumed" ./train t.txt --resume --out a.bin --log a.log
        check "modern, stopped at $k, resumed: same files" same_files a modern
        check "modern, stopped at $k, resumed: same log" same_logs a.log modern.log
    done
    for how in '--threads 2' '--threads 3' '--slice 1' '--slice 2' '--threads 2 --slice 1' \
               '--threads 3 --slice 2' '--save-every 1' '--sample-every 3'; do
        run 0 "modern, $how" ./train t.txt $modern $how --out a.bin --overwrite
        check "modern, $how: same files" same_files a modern
    done
    remove a
    run 0 'modern, stopped with 2 threads' ./train t.txt $modern --out a.bin --stop-at 6 \
        --threads 2 --slice 1
    run 0 'modern, stopped with 3 threads' ./train t.txt --resume --out a.bin --stop-at 13 \
        --threads 3 --slice 3
    run 0 'modern, resumed with 1' ./train t.txt --resume --out a.bin --threads 1
    check 'modern, in three pieces: same files' same_files a modern

    for without in '--optimizer adamw' '--schedule cosine' '--ema 0' '--ema 0.8' \
                   '--sampling random' '--decay-steps 5' '--family gpt2' '--head untied' \
                   '--rope-base 500' '--hidden 48' '--head-size 6' '--dropout 0'; do
        run 0 "modern but $without" ./train t.txt $modern $without --out a.bin --overwrite
        check "modern but $without: other weights" not cmp -s a.last.bin modern.last.bin
    done
    for kept in '--decay-steps 10' '--head-size 8' '--head tied' '--hidden 64'; do
        run 0 "modern with $kept" ./train t.txt $modern $kept --out a.bin --overwrite --log a.log
        check "modern with $kept: what it has anyway" same_logs a.log modern.log
    done
    for again in '--optimizer adamw' '--schedule cosine' '--ema 0.8' '--sampling random' \
                 '--decay-steps 5'; do
        run 2 "modern, resumed with $again" ./train t.txt --resume --out modern.bin $again
        says "modern, resumed with $again" 'modern.last.bin has'
    done
}

# SIGKILL before each file operation.
kill_modern() {
    modern_run
    n=1
    while [ $n -lt 1000 ]; do
        remove k
        killed_before $n $modern --save-every 7 --log k.log || break
        ./train t.txt $modern --resume --out k.bin --log k.log >stdout 2>stderr &&
            same_files k modern
        verdict $? "modern, killed before operation $n: resumed"
        same_logs k.log modern.log
        verdict $? "modern, killed before operation $n: same log"
        n=$((n + 5))
    done
    check "modern, $n operations" [ $n -gt 50 ]
}

# The validation loss that ./eval finds in $1, of the text $2.
loss_of() {
    ./eval "$1" "${2:-t.txt}" --part val --json --quiet |
        sed 's/.*"nats_per_char":\([0-9.]*\).*/\1/'
}

# The validation loss of step $2 in the log $1.
logged() { sed -n "s/^{\"step\":$2,.*\"val_loss\":\([0-9.]*\)}/\1/p" "$1"; }

# near NAME A B [BOUND]
near() {
    check "$1: $2 and $3" sh -c \
        "echo $2 $3 | awk '{ d = \$1 - \$2; exit !(NF == 2 && d * d < ${4:-1e-6} ^ 2) }'"
}

# below NAME A B
below() { check "$1: $2 below $3" sh -c "echo $2 $3 | awk '{ exit !(NF == 2 && \$1 < \$2) }'"; }

averages() {
    modern_run
    ./inspect modern.last.bin --tensors >tensors
    check 'an average: the raw weights too' grep -F 'train.raw.model.embed_tokens.weight' tensors
    check 'an average: all of them' [ "$(grep -c 'train\.raw\.' tensors)" = \
        "$(./inspect modern.bin --tensors | grep -c 'model\.')" ]
    check 'an average: weights alone in NAME.bin' sh -c \
        '! ./inspect modern.bin --tensors | grep -E "train\.|optim\."'
    for file in modern.bin modern.last.bin; do
        run 0 "$file: sampled" ./sample $file --length 50
        check "$file: 50 characters" [ "$(wc -c <stdout)" -ge 50 ]
        run 0 "$file: evaluated" ./eval $file t.txt
        run 0 "$file: verified" ./inspect $file --verify
        run 0 "$file: as JSON" ./inspect $file --json
        check "$file: nothing unknown in it" not grep -i unknown stderr
    done
    near 'an average: the last one is evaluated' "$(loss_of modern.last.bin)" \
        "$(logged modern.log 20)"

    # The average follows the weights and does not lead them; without one the same steps are made.
    run 0 'no average' ./train t.txt $modern --ema 0 --out plain.bin --overwrite --log plain.log
    sed 's/,"val_loss.*//; s/}$//' modern.log >modern.steps
    sed 's/,"val_loss.*//; s/}$//' plain.log >plain.steps
    check 'an average: the same steps' same_logs modern.steps plain.steps
    check 'an average: evaluated instead of the weights' [ "$(logged modern.log 10)" != \
        "$(logged plain.log 10)" ]
    check 'no average: no raw weights' sh -c '! ./inspect plain.last.bin --tensors | grep train.raw'
    run 0 'an average that forgets nothing' ./train t.txt $modern --ema 0.9999 --out a.bin \
        --overwrite --log slow.log --val-fraction 0.1
    below 'an average that forgets nothing: near the start' "$(logged slow.log 20 |
        awk -v a="$(logged slow.log 0)" '{ d = a - $1; print d * d }')" 1e-4
    for ema in 0.99991 0.999999 1; do
        run 2 "an average that stands still: $ema" ./train t.txt $modern --ema $ema --out a.bin \
            --overwrite
        says "an average that stands still: $ema" 'from 0 to 0.9999, not'
    done
}

# The sum of the losses of the steps $2 to $3 of the log $1.
losses() {
    sed -n 's/^{"step":\([0-9]*\),.*"loss":\([0-9.]*\),.*/\1 \2/p' "$1" |
        awk -v first="$2" -v last="$3" \
            '$1 >= first && $1 <= last { sum += $2 } END { printf "%.5f", sum }'
}

epochs() {
    # With a context of 1 every place of the ring is a window, the separator at its seam, too: 32
    # windows, which 8 batches of 4 read whole, whatever their order.
    head -c 31 t.txt >short.txt
    still='--context 1 --lr 0 --min-lr 0 --dropout 0 --val-fraction 0 --steps 24 --overwrite'
    run 0 'epochs of 8 steps' ./train short.txt $tiny $still --sampling epoch --out a.bin \
        --log e.log
    near 'epochs of 8 steps: the second' "$(losses e.log 1 8)" "$(losses e.log 9 16)" 1e-4
    near 'epochs of 8 steps: the third' "$(losses e.log 1 8)" "$(losses e.log 17 24)" 1e-4
    check 'epochs of 8 steps: in another order' [ "$(losses e.log 1 1)" != "$(losses e.log 9 9)" ]
    run 0 'no epochs' ./train short.txt $tiny $still --out a.bin --log e.log
    check 'no epochs: not the same windows' [ "$(losses e.log 1 8)" != "$(losses e.log 9 16)" ]

    run 0 'epochs' ./train t.txt $tiny --sampling epoch --steps 120 --eval-every 60 --out a.bin \
        --overwrite
    run 0 'epochs, resumed within the second' ./train t.txt $tiny --sampling epoch --steps 120 \
        --eval-every 60 --stop-at 70 --out b.bin --overwrite
    run 0 'epochs, resumed within the second' ./train t.txt --resume --out b.bin --threads 2
    check 'epochs, resumed within the second: same files' same_files a b
    printf 'abcdefghijklmnopqrst' >short.txt
    for context in 1 2 8 16 17; do
        run 0 "epochs of a text of 18 characters, context $context" ./train short.txt $tiny \
            --sampling epoch --context $context --out a.bin --overwrite
    done
    run 3 'epochs of a text of 18 characters, context 18' ./train short.txt $tiny --sampling epoch \
        --context 18 --out a.bin --overwrite
}

# ---------------------------------------------------------------- --split-documents

documents() {
    # 200 names of three syllables, one a line.
    awk 'BEGIN { split("an el mi ro ka lu to be ni sa", s); for (i = 0; i < 200; i++)
        print s[1 + i % 10] s[1 + int(i / 10) % 10] s[1 + (i * 7 + int(i / 100)) % 10] }' >names.txt
    named="$tiny --dropout 0 --batch 8 --steps 400 --lr 2e-2 --eval-every 100"
    remove n
    run 0 'names' ./train names.txt $named --split-documents LINE --out n.bin --log n.log \
        --sample-every 400
    says 'names' '1400 characters, 15 symbols; training 1239, validation 161'
    says 'names' 'held out: 23 of 200 documents, chosen by their content'
    check 'names: a sample is a list of them' [ "$(grep -c -E '^[a-z]{2,12}$' stderr)" -gt 15 ]
    near 'names: as eval finds' "$(loss_of n.bin names.txt)" "$(logged n.log 400)"
    for part in val:161 train:1239 all:1400; do
        run 0 "names: part $part" ./eval n.bin names.txt --part ${part%:*} --json
        check "names: part $part characters" grep "\"characters\":${part#*:}," stdout
    done
    run 0 'names: samples' ./sample n.bin --samples 50 --length 100 --quiet
    check 'names: each sample is one' [ "$(grep -c -v -E -e '^([a-z]{1,30}|---)$' stdout)" = 0 ]
    check 'names: 50 of them' [ "$(grep -c '[a-z]' stdout)" = 50 ]
    check 'names: most of six letters' [ "$(grep -c '^[a-z]\{6\}$' stdout)" -gt 20 ]
    run 0 'names: not split' ./train names.txt $named --out a.bin --overwrite
    run 0 'names: not split: a sample' ./sample a.bin --length 100 --quiet
    check 'names: not split: it continues' [ "$(wc -c <stdout)" -ge 100 ]

    run 0 'names, stopped' ./train names.txt $named --split-documents LINE --out a.bin --overwrite \
        --stop-at 77
    run 2 'names, resumed with BLANK' ./train names.txt --resume --split-documents BLANK --out a.bin
    says 'names, resumed with BLANK' 'a.last.bin has LINE'
    run 0 'names, resumed' ./train names.txt --resume --out a.bin
    check 'names, resumed: same files' same_files a n
    run 0 'names: other names' ./train names.txt $tiny --init-from n.bin --out b.bin --overwrite
    says 'names: other names' 'note: n.bin was trained with --split-documents LINE, this run is not'
    run 2 'names: models that split differently' ./eval n.bin b.bin names.txt
    says 'names: models that split differently' 'n.bin and b.bin'
    run 0 'names: their lines' ./eval n.bin b.bin names.txt --per-line
    run 0 'names: models that split alike' ./eval n.bin a.last.bin names.txt

    run 2 'documents without a separator' ./train names.txt $named --split-documents LINE \
        --separator off --out b.bin --overwrite
    says 'documents without a separator' '--separator on'
    { cat names.txt; echo ---; tail -n 100 names.txt; } >parts.txt
    run 0 'documents split by a line' ./train parts.txt $tiny --split-documents --- --out b.bin \
        --overwrite
    says 'documents split by a line' 'held out: 1 of 2 documents'
    says 'documents split by a line' 'characters or more, and the context is 16'
    printf 'a\n<|endoftext|>\nb c\n' >spelled.txt
    run 0 'a text with the name of the separator' ./train spelled.txt $tiny --out b.bin --overwrite
    says 'a text with the name of the separator' 'spells <|endoftext|> in 1 place'
    run 3 'no documents' ./train spelled.txt $tiny --split-documents 'b c' --out b.bin --overwrite \
        --context 1000
    { cat names.txt; i=0; while [ $i -lt 25 ]; do echo "zz$i"; i=$((i + 1)); done; } >parts.txt
    run 0 'documents of another kind at the end' ./train parts.txt $tiny --split-documents LINE \
        --hold-out end --val-fraction 0.05 --out b.bin --overwrite
    says 'documents of another kind at the end' "most of the documents held out begin with 'z'"
    says 'documents of another kind at the end' 'of 225 documents, the last ones'
    run 0 'too few documents' ./train t.txt $tiny --split-documents BLANK --bytes --out b.bin \
        --overwrite
    says 'too few documents' 'separators; samples start from one and end at one from 100 on'
    printf 'a' >line.txt
    run 3 'one line of one character' ./train line.txt $tiny --split-documents LINE --out b.bin \
        --overwrite
    says 'one line of one character' 'has 1 characters'
    remove n
}

# ---------------------------------------------------------------- prompts

# drawn_as_scored PROMPT OPTION...: what p.bin draws after the prompt, 2,000 times, is as frequent
# as eval says, within five standard deviations, of a variance that is one more for what is rare.
drawn_as_scored() {
    per_line='--per-line --end off'
    { echo "$1"; for c in a b c d x 0 1 2 3 4; do echo "$1$c"; done; } >lines.txt
    # Needs splitting: options.
    ./eval p.bin lines.txt $per_line --quiet | cut -f 1 | paste lines.txt - >scored.txt
    prompt=$1
    shift
    ./sample p.bin --prompt "$prompt" "$@" --samples 2000 --length 1 --temperature 1 --quiet |
        awk -v n=2000 'NR == FNR { drawn[$1]++; next }
            FNR == 1 { before = $2; next }
            { p = exp($2 - before); sum += p; off = drawn[$1] - n * p
              if (off * off > 25 * (n * p * (1 - p) + 1)) far = 1 }
            END { exit far || !(sum > 0.9 && sum < 1.001) }' - scored.txt
}

# answers NAME TYPED WANTED OPTION...: all that a conversation with p.bin prints, as printf
# writes it.
answers() {
    name=$1 wanted=$3
    printf "$2" >typed.txt
    shift 3
    ./sample p.bin --interactive --length 1 --temperature 0 --quiet "$@" <typed.txt >stdout 2>stderr
    printf "$wanted" | cmp -s - stdout
    verdict $? "a conversation: $name"
}

# A line that begins with ab goes on with c, but twice as often ab stands further back, before d.
prompts() {
    awk 'BEGIN { for (i = 0; i < 300; i++)
        print substr("xx", 1, i % 3) "ab" (i % 3 ? "d" : "c") int(sqrt(i % 25)) }' >list.txt
    run 0 'prompts' ./train list.txt $tiny --dropout 0 --batch 8 --steps 300 --lr 2e-2 \
        --eval-every 100 --split-documents LINE --out p.bin
    for at in start:c middle:d; do
        run 0 "a prompt, ${at%:*}" ./sample p.bin --prompt ab --prompt-at ${at%:*} --length 1 \
            --temperature 0 --quiet
        check "a prompt, ${at%:*}: goes on with ${at#*:}" [ "$(cat stdout)" = "ab${at#*:}" ]
        answers "${at%:*}" ab "${at#*:}\n" --prompt-at ${at%:*}
    done
    for prompt in ab abc x xab; do
        check "drawn after $prompt as scored" drawn_as_scored $prompt
    done
    check 'within a document: not as scored' not drawn_as_scored ab --prompt-at middle
    answers 'a prompt begins the document' b 'a\nc\n' --prompt a
    answers 'the line after it does not' ab 'x\nd\n' --prompt x
    answers 'the line after a document does' 'xabd4\nab' '\nc\n'
    answers 'also without the first beginning' 'xabd4\nab' '\nc\n' --prompt-at middle
    run 0 'a prompt longer than the context' ./sample p.bin --prompt xxabd0abc1xabd2xxab \
        --length 1 --temperature 0 --quiet
    check 'a prompt longer than the context: goes on' [ "$(cat stdout)" = xxabd0abc1xabd2xxabd ]
    remove p
}

# ---------------------------------------------------------------- --init-from

init_from() {
    remove i
    run 0 'init: the same text' ./train t.txt $tiny --init-from ref.bin --out i.bin --log i.log
    near 'init: the loss it had' "$(logged i.log 0)" "$(loss_of ref.bin)"
    below 'init: below a fresh start' "$(logged i.log 5)" "$(logged ref.log 20)"
    check 'init: nothing is new' not grep 'new to' stderr
    check 'init: another history' [ "$(grep -c '^{"step"' i.log)" = 21 ]
    remove a
    run 0 'init, stopped' ./train t.txt $tiny --init-from ref.bin --out a.bin --log a.log \
        --stop-at 9
    run 0 'init, resumed' ./train t.txt --resume --out a.bin --log a.log --threads 2
    check 'init, resumed: same files' same_files a i
    check 'init, resumed: same log' same_logs a.log i.log

    run 0 'init: sizes are taken over' ./train t.txt --init-from ref.bin --steps 2 --eval-every 2 \
        --out i.bin --overwrite
    says 'init: sizes are taken over' '1 layers, 2 heads, 16 channels, context 16,'
    run 0 'init: from a training state' ./train t.txt $tiny --init-from ref.last.bin --out i.bin \
        --overwrite
    run 2 'init: its own file' ./train t.txt $tiny --init-from i.bin --out i.bin --overwrite
    says 'init: its own file' 'another --out'
    run 0 'init: a smaller context' ./train t.txt $tiny --context 9 --init-from ref.bin \
        --out i.bin --overwrite --log i.log
    says 'init: a smaller context' 'context 9,'
    below 'init: a smaller context: below a fresh start' "$(logged i.log 0)" 3.5
    run 2 'init: a larger context' ./train t.txt $tiny --context 17 --init-from ref.bin \
        --out i.bin --overwrite
    says 'init: a larger context' 'ref.bin has 16'
    modern_run
    run 0 'init: an average' ./train t.txt $modern --init-from modern.last.bin --out i.bin \
        --overwrite --log i.log
    near 'init: an average: the loss it had' "$(logged i.log 0)" "$(loss_of modern.last.bin)"
    run 0 'init: a smaller context of qwen3' ./train t.txt $modern --context 5 \
        --init-from modern.bin --out i.bin --overwrite
}

# Another text: characters are matched by value, whatever their ids.
init_from_other_text() {
    { printf '\001\303\251'; tr 'e' '~' <t.txt; printf '\360\237\230\200'; } >other.txt
    remove i
    run 0 'init: other characters' ./train other.txt $tiny --val-fraction 0 --init-from ref.bin \
        --out i.bin --overwrite
    says 'init: other characters' \
        "note: 4 characters are new to ref.bin and start at random: U+0001 '~' U+00E9 U+1F600"
    { printf '\001'; cat t.txt; } >shifted.txt              # every id is another one
    run 0 'init: ids that are shifted' ./train shifted.txt $tiny --init-from ref.bin --out i.bin \
        --overwrite --log i.log
    says 'init: ids that are shifted' '1 character is new to ref.bin and starts at random: U+0001'
    below 'init: ids that are shifted: about the loss it had' "$(logged i.log 0)" 3.4
    awk 'BEGIN { for (i = 161; i < 256; i++)
        printf "%c%c%c", 65 + i % 26, 194 + (i > 191), 128 + i % 64 }' >many.txt
    run 0 'init: many new characters' ./train many.txt $tiny --init-from ref.bin --out i.bin \
        --overwrite
    says 'init: many new characters' "start at random: 'D' 'G' 'J' 'K' 'P' 'Q' 'X' 'Z' ..."
    run 0 'no separator' ./train t.txt $tiny --separator off --out nosep.bin
    run 0 'init: a new separator' ./train t.txt $tiny --init-from nosep.bin --out i.bin --overwrite
    says 'init: a new separator' \
        '1 character is new to nosep.bin and starts at random: <|endoftext|>'
    run 0 'init: no separator any more' ./train t.txt $tiny --separator off --init-from ref.bin \
        --out i.bin --overwrite --log i.log
    below 'init: no separator any more' "$(logged i.log 0)" 3.4

    printf 'caf\351 latin \377 one, and some more of it' >latin.txt
    run 0 'a model of bytes' ./train t.txt latin.txt $tiny --bytes --out bytes.bin
    run 0 'init: bytes without --bytes' ./train latin.txt $tiny --context 16 --init-from bytes.bin \
        --out i.bin --overwrite
    check 'init: bytes without --bytes: bytes' sh -c "./inspect i.bin --vocab | grep 0xE9"
    check 'init: bytes: nothing is new' not grep 'new to' stderr
}

# Weights that cannot be taken over: no files remain.
init_refused() {
    remove i
    for other in '--channels 32' '--layers 2' '--heads 1' '--family qwen3' '--bias on' \
                 '--gelu tanh' '--hidden 63' '--context 64'; do
        run 2 "init with $other" ./train t.txt $tiny $other --init-from ref.bin --out i.bin
        says "init with $other" "${other% *}"
        says "init with $other" 'ref.bin has'
    done
    run 1 'init from a missing file' ./train t.txt $tiny --init-from missing.bin --out i.bin
    says 'init from a missing file' 'missing.bin'
    run 1 'init from a folder' ./train t.txt $tiny --init-from . --out i.bin
    head -c 4000 ref.bin >damaged.bin
    run 4 'init from a damaged file' ./train t.txt $tiny --init-from damaged.bin --out i.bin
    says 'init from a damaged file' 'damaged.bin'
    run 4 'init from a text' ./train t.txt $tiny --init-from t.txt --out i.bin
    check 'init refused: nothing is left' absent i.bin i.last.bin i.lock i.tmp
    copy_files half i
    run 2 'init over files' ./train t.txt $tiny --init-from ref.bin --out i.bin
    run 1 'init over files, from a missing one' ./train t.txt $tiny --init-from missing.bin \
        --out i.bin --overwrite
    check 'init refused: files in the way stay' same_files i half
}

# ---------------------------------------------------------------- returns

# Weights times -1e12 in every step, and still times -3e10 after five returns.
wild="$tiny --lr 1e6 --min-lr 1e6 --warmup 0 --weight-decay 1e6"

# Weights times -2.1 in every step, and times -0.6 after one return; gradients overflow
# from step 17 on.
too_fast="$tiny --lr 1e-2 --warmup 0 --weight-decay 312 --schedule constant --steps 60"

whole_log() {
    check "$1: the log is JSON" not grep -E -v -e "$json_line" "$2"
    check "$1: each step once, in order" [ \
        "$(plain_log "$2" | sed -n 's/^{"step":\([0-9]*\),.*/\1/p' | xargs)" = "$(echo $3)" ]
}

# five_returns NAME STEP: according to the messages of the last run.
five_returns() {
    says "$1" "back to step $2 with --lr 500000 (return 1 of 5)"
    says "$1" "back to step $2 with --lr 31250 (return 5 of 5)"
    says "$1" 'no longer a number'
    check "$1: five of them" [ "$(grep -c '(return [1-5] of 5)' stderr)" = 5 ]
    check "$1: no lock stays" absent d.lock d.tmp
}

returns() {
    for how in '' '--beta1 0' '--optimizer muon' '--optimizer muon --family qwen3 --ema 0.9' \
               '--threads 3'; do
        remove d
        run 5 "wild $how" ./train t.txt $wild $how --out d.bin --log d.log
        five_returns "wild $how" 0
        check "wild $how: nothing was saved" absent d.bin d.last.bin
        check "wild $how: the log is JSON" not grep -E -v -e "$json_line" d.log
    done
    remove d
    run 5 'wild, saved at step 1' ./train t.txt $wild --save-every 1 --val-fraction 0 --out d.bin \
        --log d.log
    five_returns 'wild, saved at step 1' 1
    check 'wild, saved at step 1: files' present d.bin d.last.bin
    check 'wild, saved at step 1: sound files' sound d.bin d.last.bin
    whole_log 'wild, saved at step 1' d.log 1
    run 5 'wild, resumed' ./train t.txt --resume --out d.bin
    check 'wild, resumed: no return is left' not grep 'return' stderr

    remove d
    run 5 'wild, evaluated at step 1' ./train t.txt $wild --eval-every 1 --out d.bin --log d.log
    five_returns 'wild, evaluated at step 1' 1
    check 'wild, evaluated at step 1: NAME.bin holds it' sh -c './inspect d.bin | grep -q "step 1;"'
    whole_log 'wild, evaluated at step 1' d.log '0 1'
    remove d
    run 5 'wild, and no save succeeds' env FAULT=fsync:1:persist ./faulty_train t.txt $wild \
        --save-every 1 --out d.bin
    five_returns 'wild, and no save succeeds' 0
    check 'wild, and no save succeeds: no files' absent d.bin d.last.bin

    remove d
    run 5 'no gradient' ./train t.txt $tiny --lr 1e6 --min-lr 1e6 --warmup 0 --beta1 0 \
        --eval-every 100 --out d.bin --log d.log
    five_returns 'no gradient' 0
    says 'no gradient' 'the gradient of step 2 is not finite; its update is left out'
    says 'no gradient' 'the gradient of step 4 is not finite; its update is left out'
    run 0 '--quiet' ./train t.txt $too_fast --quiet --out d.bin --overwrite
    check '--quiet: silent' silent
    run 0 'a log that is no file' ./train t.txt $too_fast --out d.bin --overwrite --log /dev/null
    says 'a log that is no file' 'return 1 of 5'
    run 5 'wild, from other weights' ./train t.txt $wild --init-from ref.bin --out d.bin --overwrite
    five_returns 'wild, from other weights' 0
    copy_files half d
    run 5 'wild over other files' ./train t.txt $wild --out d.bin --overwrite
    check 'wild over other files: they stay' same_files d half
}

# A run whose first rate is too high ends like any other.
one_return() {
    remove d
    run 0 'too fast' ./train t.txt $too_fast --eval-every 30 --out d.bin --log d.log --json
    says 'too fast' 'back to step 0 with --lr 0.005 (return 1 of 5)'
    check 'too fast: one return' [ "$(grep -c 'return' stderr)" = 1 ]
    check 'too fast: all steps' grep '^{"steps":60,' stdout
    whole_log 'too fast' d.log "$(seq 0 60)"
    check 'too fast: half the rate' [ "$(grep -c '"lr":0.005,' d.log)" = 60 ]
    check 'too fast: sound files' sound d.bin d.last.bin
    run 0 'too fast, resumed' ./train t.txt --resume --out d.bin --log d.log --steps 70
    check 'too fast, resumed: half the rate' [ "$(grep -c '"lr":0.005,' d.log)" = 70 ]
    run 2 'too fast, resumed with the halved rate' ./train t.txt --resume --out d.bin --lr 0.005
    says 'too fast, resumed with the halved rate' 'has 0.01'

    # An evaluation while updates are left out is neither the best nor saved.
    for every in 17 18; do
        remove d
        run 0 "too fast, evaluated at $every" ./train t.txt $too_fast --eval-every $every \
            --out d.bin --log d.log
        says "too fast, evaluated at $every" 'back to step 0 with --lr 0.005 (return 1 of 5)'
        whole_log "too fast, evaluated at $every" d.log "$(seq 0 60)"
    done

    for how in '' '--threads 3 --slice 1' '--sampling epoch --ema 0.9'; do
        remove d
        remove a
        run 0 "too fast, saved $how" ./train t.txt $too_fast $how --save-every 10 --out d.bin \
            --log d.log
        says "too fast, saved $how" 'back to step 10 with --lr 0.005 (return 1 of 5)'
        whole_log "too fast, saved $how" d.log "$(seq 0 60)"
        check "too fast, saved $how: both rates" \
            [ "$(plain_log d.log | grep -c '"lr":0.01,')" = 10 ]
        run 0 "too fast, in pieces $how" ./train t.txt $too_fast $how --save-every 10 --out a.bin \
            --log a.log --stop-at 10
        run 0 "too fast, in pieces $how" ./train t.txt --resume --save-every 10 --out a.bin \
            --log a.log --stop-at 20
        run 0 "too fast, in pieces $how" ./train t.txt --resume --save-every 10 --out a.bin \
            --log a.log
        check "too fast, in pieces $how: same files" same_files a d
        check "too fast, in pieces $how: same log" same_logs a.log d.log
    done
}

# SIGKILL before each file operation of a run that returns.
kill_while_returning() {
    for how in 10 1000; do                          # a return to a save, and one to the start
        remove d
        run 0 "too fast, --save-every $how" ./train t.txt $too_fast --eval-every 30 \
            --save-every $how --out d.bin --log d.log
        n=1
        while [ $n -lt 1000 ]; do
            remove k
            killed_before $n $too_fast --eval-every 30 --save-every $how --log k.log || break
            sound k.bin k.last.bin
            verdict $? "too fast, $how, killed before operation $n: sound files"
            ./train t.txt $too_fast --eval-every 30 --save-every $how --resume --out k.bin \
                --log k.log >stdout 2>stderr &&
                same_files k d
            verdict $? "too fast, $how, killed before operation $n: resumed"
            same_logs k.log d.log
            verdict $? "too fast, $how, killed before operation $n: same log"
            n=$((n + 3))
        done
        check "too fast, $how: $n operations" [ $n -gt 40 ]
    done
}

modern_groups='same_bytes_modern kill_modern averages epochs documents prompts init_from
    init_from_other_text init_refused returns one_return kill_while_returning'
