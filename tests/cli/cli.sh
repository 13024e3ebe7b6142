#!/bin/sh
# cli.sh: runs the cases of tests/cli/cli.test against the built programs.
#
#     sh tests/cli/cli.sh FOLDER [CASES]        FOLDER holds train, sample, eval and inspect
#
# Works in a temporary folder with tiny models that it trains itself. A failed case is
# shown with what it printed. The last line is "cli: N passed, N failed"; the exit
# status is 0 if every case passed.

programs=$(cd "${1:?folder of the programs}" && pwd) || exit 1
cases=${2:-$(dirname "$0")/cli.test}
case $cases in /*) ;; *) cases=$PWD/$cases ;; esac
shakespeare=$(cd "$(dirname "$0")/../../data" && pwd)/shakespeare.txt || exit 1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
unset FOLIO_ISA OMP_NUM_THREADS NO_COLOR
export TERM=dumb LC_ALL=C
passed=0
failed=0

for program in train sample eval inspect ladder; do
    ln -s "$programs/$program" "$program" || exit 1
done

# ---------------------------------------------------- the texts and models that cases may use

tiny='--steps 5 --layers 1 --heads 2 --channels 8 --context 8 --batch 2 --quiet'

# tiny.txt: several lines and two characters beyond ASCII.      ab.txt: only a and b, no newline.
# doc.txt: one short document, given 150 times over.            bad.txt: not UTF-8 (byte 3).
i=0
while [ $i -lt 40 ]; do
    echo "Line $i: the quick brown fox, a caf\303\251 and 5 \342\202\254."
    i=$((i + 1))
done | while read -r line; do printf "$line\n"; done >tiny.txt
i=0
while [ $i -lt 60 ]; do
    printf 'abaababbabaa'
    i=$((i + 1))
done >ab.txt
printf 'one\n' >doc.txt
printf 'abc\377def\n' >bad.txt
documents=
i=0
while [ $i -lt 150 ]; do
    documents="$documents doc.txt"
    i=$((i + 1))
done

# Needs splitting: options and file names without spaces.
if ! { ./train tiny.txt $tiny --out tiny.bin && ./train tiny.txt $tiny --bytes --out bytes.bin &&
        ./train ab.txt $tiny --out ab.bin && ./train $documents $tiny --steps 60 --out docs.bin &&
        ./train tiny.txt $tiny --layers 2 --channels 12 --context 5 --seed 2 --out pair.bin &&
        ./train "$shakespeare" $tiny --steps 100 --channels 32 --context 16 --batch 32 --lr 1e-2 \
            --warmup 10 --eval-batches 1 --out bard.bin
     } >setup.log 2>&1
then
    cat setup.log
    echo "the tiny models cannot be trained"
    echo "cli: 0 passed, 1 failed"
    exit 1
fi

# ---------------------------------------------------------------- one case

# Sets ok to false, and says why, unless file $1 agrees with expectation $3 of kind $2.
expect() {
    case $2 in
    contains) grep -F -e "$3" "$1" >/dev/null ;;
    matches) grep -E -e "$3" "$1" >/dev/null ;;
    lacks) ! grep -F -e "$3" "$1" >/dev/null ;;
    is) printf '%b' "$3" | cmp -s - "$1" ;;
    esac && return
    ok=false
    printf '%s\n' "    $1 should be so: $2 \"$3\""
}

# Runs the command of the case that has been read, if there is one.
finish() {
    [ -n "$run" ] || return
    (eval "$run") >stdout 2>stderr </dev/null
    status=$?
    ok=true
    [ "$status" = "$exit" ] || ok=false
    # In a pipe the loop would be another process: ok would be lost.
    while IFS=' ' read -r file kind text; do
        [ -n "$file" ] && expect "$file" "$kind" "$text"
    done <expected
    if $ok; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf '%s\n' "FAILED: $name" "    run: $run" "    exit status $status, expected $exit"
        sed 's/^/    stdout: /' stdout | head -n 10
        sed 's/^/    stderr: /' stderr | head -n 10
    fi
    start
}

start() {
    name=
    run=
    exit=0
    : >expected
}

# ---------------------------------------------------------------- all cases

start
while IFS= read -r line || [ -n "$line" ]; do
    text=${line#*: }
    case $line in
    '' ) finish ;;
    '#'*) ;;
    'name: '*) name=$text ;;
    'run: '*) run="$run$text
" ;;
    'exit: '*) exit=$text ;;
    'out: '*) printf '%s\n' "stdout contains $text" >>expected ;;
    'out~ '*) printf '%s\n' "stdout matches ${line#*~ }" >>expected ;;
    'out! '*) printf '%s\n' "stdout lacks ${line#*! }" >>expected ;;
    'out= '*) printf '%s\n' "stdout is ${line#*= }" >>expected ;;
    'out=') printf '%s\n' "stdout is " >>expected ;;
    'err: '*) printf '%s\n' "stderr contains $text" >>expected ;;
    'err~ '*) printf '%s\n' "stderr matches ${line#*~ }" >>expected ;;
    'err! '*) printf '%s\n' "stderr lacks ${line#*! }" >>expected ;;
    'err= '*) printf '%s\n' "stderr is ${line#*= }" >>expected ;;
    'err=') printf '%s\n' "stderr is " >>expected ;;
    *)
        printf '%s\n' "FAILED: not a line of a case: $line"
        failed=$((failed + 1)) ;;
    esac
done <"$cases"
finish

echo "cli: $passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
