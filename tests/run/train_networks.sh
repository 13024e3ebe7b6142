# shellcheck shell=sh disable=SC2034,SC2154
# train_networks.sh: more groups for train.sh: a network that lives in tests/ in the real programs,
# and one that learns without gradients.
#
#     . "$tests/train_networks.sh"    in train.sh, before its list of groups, which ends with
#                                     $network_groups
#
# Needs train.sh's functions, its $faulty and t.txt.

# bigram PROGRAM ARGUMENT...: a program of the build that has tests/networks/bigram.c.
bigram() {
    program=$1
    shift
    "$faulty/../bigram/$program" "$@"
}

pairs='--family bigram --context 16 --batch 4 --steps 60 --lr 0.1 --warmup 5 --eval-every 10
       --threads 1'

# Trained, stopped, resumed, with other threads and slices: the same bytes.
own_network() {
    run 0 'bigram' bigram train t.txt $pairs --out p.bin --log p.log
    says 'bigram' 'bigram: pairs of characters, windows of 16, 2809 parameters'
    run 0 'bigram, stopped' bigram train t.txt $pairs --out q.bin --log q.log --stop-at 23
    run 0 'bigram, resumed' bigram train t.txt --resume --out q.bin --log q.log --threads 2 \
        --slice 1
    check 'bigram, resumed: same files' same_files p q
    check 'bigram, resumed: same log' same_logs p.log q.log
    run 0 'bigram with an average' bigram train t.txt $pairs --ema 0.9 --sampling epoch \
        --optimizer muon --sample-every 30 --out a.bin --overwrite
    run 2 'bigram resumed as another network' bigram train t.txt --resume --out q.bin --family gpt2
    run 2 'an option that it lacks' bigram train t.txt $pairs --layers 2 --out pairs.bin
    says 'an option that it lacks' '--layers: the bigram family has no such option'
    run 0 'bigram, timed' bigram train t.txt --family bigram --minutes 0.02 --out pairs.bin \
        --threads 1
    says 'bigram, timed' 'repeat with'
    run 0 'bigram, fine-tuned' bigram train t.txt --init-from p.bin --steps 5 --out pairs.bin \
        --overwrite

    printf 'zebra quilt! JUMPS\n%.0s' 1 2 3 4 5 6 7 8 9 >other.txt
    run 2 'bigram, new characters' bigram train other.txt --init-from p.bin --steps 5 \
        --out other.bin
    says 'bigram, new characters' 'weights of the bigram family do not fit a larger vocabulary'

    # The pairs of a text are learnt: better than single characters, which take 3.2 nats here.
    run 0 'bigram, scored' bigram eval p.bin t.txt --part train --json
    check 'bigram, scored' awk -F'[:,]' '{ exit !($2 > 1 && $2 < 2.9) }' stdout
    cp stdout want
    run 0 'bigram, averaged with itself' bigram eval p.bin p.bin t.txt --part train --json
    check 'bigram, averaged with itself: the same' cmp stdout want
    printf 'the\nhhtf\n' >lines.txt
    run 0 'bigram, line by line' bigram eval p.bin lines.txt --per-line
    check 'bigram, line by line: the likelier one first' \
        sh -c 'sort -rn stdout | cmp - stdout && [ "$(wc -l <stdout)" = 2 ]'
    run 0 'bigram, sampled' bigram sample p.bin --length 60 --samples 3 --seed 4
    cp stdout want
    run 0 'bigram, sampled again' bigram sample p.bin --length 60 --samples 3 --seed 4 --threads 2
    check 'bigram, sampled again: the same' cmp stdout want
    run 0 'bigram, inspected' bigram inspect p.bin --verify
    check 'bigram, inspected' grep '^family *bigram' stdout
    check 'bigram, inspected: its sizes' grep '^sizes *context 16, vocab 53$' stdout
    run 4 'a network that this build lacks' ./sample p.bin
    says 'a network that this build lacks' '`family` of its configuration is not possible: bigram'
}

# Every other network: stopped, resumed with other threads and slices, the same bytes; then used.
every_network() {
    few='--context 12 --batch 5 --steps 12 --warmup 2 --eval-every 4 --threads 1'
    for sizes in fvsbn 'nade --hidden 9' 'made --hidden 9 --layers 2 --masks 2 --dropout 0.1' \
                 'cnn --layers 2 --channels 8 --dropout 0.1' 'lstm --layers 2 --channels 8'; do
        network=${sizes%% *}
        run 0 "$network" ./train t.txt --family $sizes $few --out net.bin --overwrite --log net.log
        run 0 "$network, stopped" ./train t.txt --family $sizes $few --out cut.bin --overwrite \
            --log cut.log --stop-at 7
        run 0 "$network, resumed" ./train t.txt --resume --out cut.bin --log cut.log --threads 2 \
            --slice 2
        check "$network, resumed: same files" same_files net cut
        check "$network, resumed: same log" same_logs net.log cut.log
        run 0 "$network, sampled" ./sample net.bin --length 40 --quiet
        run 0 "$network, evaluated" ./eval net.bin t.txt --protocol strided --stride 3 --quiet
        run 0 "$network, inspected" ./inspect net.bin --verify
        run 2 "$network, resumed as another" ./train t.txt --resume --out net.bin --family gpt2
        run 0 "$network, timed" ./train t.txt --family $network --minutes 0.02 --threads 1 \
            --out net.bin --overwrite
        says "$network, timed" 'repeat with'
    done
    remove net
    remove cut
}

# Weights of positions that a short text cannot fill would be others.
shorter_texts() {
    run 0 'a short text' ./train t.txt --family fvsbn --context 12 --steps 2 --threads 1 \
        --out net.bin --overwrite
    head -c 9 t.txt >nine.txt
    run 3 'a short text, other weights' ./train nine.txt --init-from net.bin --steps 2 \
        --val-fraction 0 --threads 1 --out cut.bin
    says 'a short text, other weights' 'so --context can be at most 8, not 12'
    remove net
}

# What cannot be an image, or is longer than a window.
images() {
    for i in 1 2 3 4 5 6 7 8 9 10 11 12; do echo abcd; done >four.txt
    (cat four.txt; echo abc) >odd.txt
    own='--split-documents LINE --steps 2 --threads 1 --out img.bin'
    run 0 'images' ./train four.txt --family cnn --image-width 2 $own
    says 'images' 'context 5, images 2 wide'
    remove img
    run 3 'images of two sizes' ./train odd.txt --family cnn --image-width 2 $own
    says 'images of two sizes' 'one of its images has 4 characters, its line end included'
    run 3 'no rows' ./train four.txt --family cnn --image-width 3 $own
    says 'no rows' 'which are no rows of 3 pixels'
    run 2 'a text is no image' ./train four.txt --family cnn --image-width 2 --steps 2 --out img.bin
    says 'a text is no image' 'say what an image is, with --split-documents LINE'
    run 2 'a network of no images' ./train four.txt --family nade --image-width 2 $own
    says 'a network of no images' 'the nade family has no such option'
    run 2 'documents longer than a window' ./train four.txt --family nade --context 3 $own
    says 'documents longer than a window' 'has a document of 5 characters'
    run 0 'the window that documents need' ./train four.txt --family nade $own
    says 'the window that documents need' 'windows of 5'
    check 'the window that documents need: is a document' sh -c \
        './inspect img.bin | grep sampling=document'
    remove img
}

# No steps but one: counted, whatever is said about time, and finished.
ngrams() {
    run 0 'ngram' ./train t.txt --family ngram --order 5 --out grams.bin --threads 1 --log grams.log
    says 'ngram' 'ngram: order 5, windows of 256, 3600 parameters'
    says 'ngram' 'training everything in one step'
    says 'ngram' 'grams.bin: step 1, the best evaluation'
    check 'ngram: does not advise more steps' not grep -F 'train longer' stderr
    check 'ngram: one line of the log before it, one after' \
        sh -c '[ "$(grep -c \"step\": grams.log)" = 2 ]'
    check 'ngram: no moments are stored' \
        sh -c '[ "$(wc -c <grams.last.bin)" -lt "$(($(wc -c <grams.bin) + 2000))" ]'
    run 0 'ngram, other threads' ./train t.txt --family ngram --order 5 --out again.bin \
        --threads 2 --slice 1 --minutes 3 --log again.log
    check 'ngram, other threads: same files' same_files grams again
    check 'ngram, other threads: same log' same_logs grams.log again.log
    run 0 'ngram, resumed' ./train t.txt --resume --out grams.bin
    says 'ngram, resumed' 'the run is finished'
    check 'ngram, resumed: same files' same_files grams again
    run 2 'ngram in five steps' ./train t.txt --family ngram --steps 5 --out five.bin
    says 'ngram in five steps' '--steps 5: the ngram family learns the text in one step'
    check 'ngram in five steps: nothing is written' absent five.bin five.last.bin
    run 2 'ngram, resumed with steps' ./train t.txt --resume --out grams.bin --steps 2
    run 2 'ngram to start from' ./train t.txt --init-from grams.bin --out from.bin
    says 'ngram to start from' 'there is nothing to go on from'
    run 0 'ngram, with what it cannot use' ./train t.txt --family ngram --order 5 --ema 0.9 \
        --optimizer muon --sample-every 1 --preset quick --context 256 --overwrite --out again.bin
    check 'ngram, with what it cannot use: same weights' \
        sh -c './eval grams.bin t.txt >want && ./eval again.bin t.txt | cmp - want'

    run 0 'ngram, scored' ./eval grams.bin t.txt --part train --json
    check 'ngram, scored: knows its text' awk -F'[:,]' '{ exit !($2 > 0.2 && $2 < 1) }' stdout
    run 0 'ngram, held out' ./eval grams.bin t.txt --json
    check 'ngram, held out' awk -F'[:,]' '{ exit !($2 > 1.5 && $2 < 2.6) }' stdout
    run 0 'ngram, averaged with itself' ./eval grams.bin grams.bin t.txt
    run 0 'ngram, sampled' ./sample grams.bin --length 600 --samples 3 --seed 4
    cp stdout want
    run 0 'ngram, sampled again' ./sample grams.bin --length 600 --samples 3 --seed 4 --threads 2
    check 'ngram, sampled again: the same' cmp stdout want
    run 0 'ngram, inspected' ./inspect grams.bin --verify
    check 'ngram, inspected: its sizes' grep '^sizes *order 5, context 256, vocab 53, ids 3600$' \
        stdout
    # Killed before its step, or while it saves: the next start does what is left.
    counted='--family ngram --order 5 --context 48 --sample-every 1'
    run 0 'ngram in one step' ./train t.txt $counted --steps 1 --out one.bin --overwrite --quiet
    for n in 10 30 35 40 45 50 55 60; do
        { env FAULT=any:$n:kill ./faulty_train t.txt $counted --out k.bin --quiet; } >/dev/null 2>&1
        options=$counted
        [ ! -e k.last.bin ] || options=
        run 0 "ngram, killed before operation $n" ./train t.txt $options --out k.bin --resume
        check "ngram, killed before operation $n: same files" same_files one k
        remove k
    done
    { env FAULT=write:3:term ./faulty_train t.txt $counted --out k.bin --log k.log; } >stdout 2>&1
    check 'ngram, stopped before its step' grep -F 'stopped after step 0' stdout
    run 0 'ngram, stopped before its step: resumed' ./train t.txt --out k.bin --resume --steps 1
    check 'ngram, stopped before its step: same files' same_files one k
    for f in grams again one k; do remove $f; done
}

# Vectors of numbers: the same bytes after a stop, what is printed, and what is refused.
values() {
    awk 'BEGIN { srand(5); for (i = 0; i < 400; i++) { a = rand() + rand() + rand(); b = rand()
                 printf "%.3f %.3f,%.3f\n", a, 2 * a + b, 10 - a } }' >vectors.txt
    run 0 'heights' ./train "${shakespeare%/*}/heights.txt" --values --family fvsbn \
        --steps 300 --out heights.bin --quiet
    run 0 'heights, scored' ./eval heights.bin "${shakespeare%/*}/heights.txt" --part all
    # log(9.1734 sqrt(2 pi e)) is the least that a Gaussian can have.
    check 'heights, scored' grep '^3.63[5-9]. nats/value, rmse 9.1[78]' stdout
    run 0 'heights, drawn' ./sample heights.bin --samples 400
    check 'heights, drawn' awk '{ n++; s += $1; q += $1 * $1 }
        END { m = s / n; d = sqrt(q / n - m * m)
              exit !(n == 400 && m > 170 && m < 174 && d > 8 && d < 10.4) }' stdout
    run 0 'heights, squared error' ./train "${shakespeare%/*}/heights.txt" --values \
        --deviation 1 --family fvsbn --steps 300 --out heights.bin --quiet --overwrite
    run 0 'heights, squared error, scored' ./eval heights.bin \
        "${shakespeare%/*}/heights.txt" --part all --json
    check 'heights, squared error: half of it and a constant' awk -F'[:,]' '
        { off = $2 - $4 * $4 / 2 - log(8 * atan2(1, 1)) / 2
          exit !(off < 1e-3 && off > -1e-3) }' stdout

    for family in gpt2 qwen3 fvsbn nade made cnn lstm; do
        case $family in
        gpt2 | qwen3) sizes='--layers 1 --heads 2 --channels 16' ;;
        nade | made) sizes='--hidden 16' ;;
        cnn | lstm) sizes='--layers 2 --channels 16' ;;
        *) sizes= ;;
        esac
        run 0 "numbers, $family" ./train vectors.txt --values --family $family $sizes --steps 40 \
            --eval-every 20 --out num_n.bin --overwrite --quiet
        run 0 "numbers, $family, stopped" ./train vectors.txt --values --family $family \
            $sizes --steps 40 --eval-every 20 \
            --stop-at 13 --out num_o.bin --overwrite --quiet --threads 1
        run 0 "numbers, $family, resumed" ./train vectors.txt --resume --out num_o.bin --quiet \
            --threads 2 --slice 3
        check "numbers, $family: same files" same_files num_n num_o
        run 0 "numbers, $family, drawn" ./sample num_n.bin --samples 3 --prompt '1.5 3.5'
        check "numbers, $family, drawn: the vectors go on" awk '
            { n += NF == 3 && $1 == 1.5 && $2 == 3.5 } END { exit n != 3 }' stdout
    done
    run 0 'numbers, scored by vector' ./eval num_n.bin vectors.txt --per-line
    check 'numbers, scored by vector: each' awk 'END { exit NR != 400 }' stdout
    awk '{ s -= $1 } END { printf "%.4f\n", s / 400 }' stdout >vectors.mean
    run 0 'numbers, scored' ./eval num_n.bin vectors.txt --part all --json
    check 'numbers, scored: the mean of all vectors' awk -F'[:,]' 'NR == FNR { want = $1; next }
        { off = $6 - want; exit !(off < 1e-3 && off > -1e-3) }' vectors.mean stdout
    run 0 'numbers, inspected' ./inspect num_n.bin --verify
    check 'numbers, inspected' grep 'numbers, .* +- .*, deviation of each learnt' stdout
    run 0 'numbers, fine-tuned' ./train vectors.txt --init-from num_n.bin --steps 3 \
        --out num_p.bin --quiet --overwrite
    run 0 'numbers, a ladder' ./ladder vectors.txt --values --steps 2 --families made,fvsbn
    check 'numbers, a ladder' awk 'NR == 1 { unit = $3 }
        END { exit NR != 3 || unit != "nats/vec" }' stdout

    printf '1 2\n3 x\n' >num_word.txt
    printf '1 2\n3\n' >num_short.txt
    printf '1 2\n3 inf\n' >num_infinite.txt
    refused_values() {
        run "$1" "numbers, $2" ./train $3 --steps 2 --out num_q.bin --quiet --overwrite
        says "numbers, $2" "$4"
    }
    refused_values 3 'a word' 'num_word.txt --values' 'num_word.txt: line 2: x is not a number'
    refused_values 3 'another length' 'num_short.txt --values' \
        'one of its vectors has 1 numbers, and another 2'
    refused_values 3 'infinity' 'num_infinite.txt --values' 'line 2: inf is not a number'
    run 2 'numbers, n-grams' ./train vectors.txt --values --family ngram --out num_q.bin
    says 'numbers, n-grams' 'the ngram family counts symbols'
    refused_values 2 'several masks' 'vectors.txt --values --family made --masks 2' \
        '--masks 2: the mean of several Gaussians'
    refused_values 2 'a deviation of characters' 't.txt --deviation 1' \
        '--deviation is an option of --values'
    refused_values 2 'bytes' 'vectors.txt --values --bytes' \
        '--values and --bytes exclude each other'
    refused_values 2 'another context' 'vectors.txt --values --context 5' 'a --context of 3'
    run 0 'characters' ./train t.txt $tiny --out num_r.bin --quiet --overwrite
    refused_values 2 'a checkpoint of characters' 'vectors.txt --values --init-from num_r.bin' \
        'are of characters'
    rm -f num_r.bin num_r.last.bin
    run 2 'numbers, resumed with a deviation' ./train vectors.txt --resume --out num_n.bin \
        --deviation 2
    says 'numbers, resumed with a deviation' 'numbers whose deviation is learnt'
    run 2 'numbers, too long a prompt' ./sample num_n.bin --prompt '1 2 3 4'
    says 'numbers, too long a prompt' 'has 4 numbers, and a vector of this model 3'
    run 2 'numbers, top-k' ./sample num_n.bin --top-k 3
    says 'numbers, top-k' 'has no symbols to choose among'
    run 2 'numbers, averaged' ./eval num_n.bin num_o.bin vectors.txt
    says 'numbers, averaged' 'is a model of numbers, and these are not averaged'
    run 2 'numbers, another protocol' ./eval num_n.bin vectors.txt --protocol full
    rm -f num_* heights.* vectors.* num_word.txt num_short.txt num_infinite.txt
}

network_groups='own_network ngrams every_network shorter_texts images values'
