#!/bin/sh
# mutate.sh: do the tests notice a fault? Each line of tests/mutations breaks one thing in a copy of
# the tree; the test that the line names is linked anew and must fail. A mutation that changes
# nothing, or that does not compile, fails the script at once, so the table keeps up with the code.
#
#     sh tests/mutate.sh [WORD]          some minutes; only lines with WORD; CC names the compiler
#
# The first column is a test program tests/unit/test_NAME.c; or train:GROUP, a group of
# tests/run/train.sh; or cli:WORD, the cases of tests/cli/cli.test with WORD; then the file,
# the function in which to change something, and a sed command.
set -u

root=$(cd "$(dirname "$0")/.." && pwd) || exit 1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
rooms='kernels networks training inference text formats cli system'
cp -R "$root"/*.[ch] "$root/tests" "$root/data" "$work" || exit 1
for room in $rooms; do cp -R "$root/$room" "$work" || exit 1; done
cd "$work" || exit 1
programs='train sample eval inspect ladder'
mkdir -p bin float double

stop() { echo "mutate.sh: $1" >&2; exit 1; }

# compile KIND FILE.c: to KIND/FILE.o. The gradient test is built in double.
compile() {
    flags=
    [ "$1" = float ] || flags=-DFOLIO_DOUBLE
    mkdir -p "$1/$(dirname "$2")"
    ${CC:-cc} -std=c99 -O2 -ffp-contract=off -I. $flags -c "$2" -o "$1/${2%.c}.o"
}

# link KIND FILE.o TARGET: with all parts of the house.
# shellcheck disable=SC2046,SC2086    # a list of files without blanks
link() { ${CC:-cc} "$1/$2" $(printf "$1/%s.o " $parts) -o "$3" -lm; }

# shellcheck disable=SC2046,SC2086
parts=$(ls *.c $(printf '%s/*.c ' $rooms) | sed 's/\.c$//' |
    grep -vxE 'train|sample|eval|inspect|ladder')
for f in $parts; do
    compile float "$f.c" && compile double "$f.c" || stop "$f.c does not compile"
done
for p in $programs; do
    compile float "$p.c" && link float "$p.o" "bin/$p" || stop "$p does not link"
done
grep -e "${1:-}" tests/mutations > table
tests=$(awk '{ print $1 }' table | grep -v : | sort -u)
for t in $tests; do
    kind=float
    case $t in gradients | networks | memory) kind=double ;; esac
    compile $kind "tests/unit/test_$t.c" && link $kind "tests/unit/test_$t.o" "bin/test_$t" ||
        stop "test_$t does not link"
    "bin/test_$t" > output 2>&1 || stop "test_$t fails before anything is changed"
done

# The object that a changed file is part of.
source_of() {
    case $1 in
    model.h) echo model.c ;;
    kernels/body.h) echo kernels/portable.c ;;
    *) echo "$1" ;;
    esac
}

# rebuild TEST FILE: the test with what FILE is now.
rebuild() {
    kind=float
    case $1 in gradients | networks | memory) kind=double ;; esac
    compile $kind "$(source_of "$2")" || return
    case $1:$2 in
    train:*:sample.c) link $kind sample.o bin/sample ;;
    train:*:*) link $kind train.o bin/train ;;
    cli:*:*) for p in $programs; do link $kind "$p.o" "bin/$p" || return; done ;;
    *) link $kind "tests/unit/test_$1.o" "bin/test_$1" ;;
    esac
}

# Of networks the cases of one family are enough.
run_test() {
    case $1:$2 in
    networks:networks/layers.c) bin/test_networks ;;
    networks:*) bin/test_networks "$(basename "$2" .c)" ;;
    *) run_other "$1" ;;
    esac
}

run_other() {
    case $1 in
    train:*) sh tests/run/train.sh bin bin "${1#train:}" ;;
    cli:*)
        awk -v RS= -v ORS='\n\n' -v word="${1#cli:}" 'index($0, word)' tests/cli/cli.test > cases
        sh tests/cli/cli.sh bin cases ;;
    gradients) bin/test_gradients --stop ;;
    *) "bin/test_$1" ;;
    esac
}

passed=0 failed=0
while read -r test file function command; do
    cp "$file" original
    sed "/^[a-zA-Z].*[ *]$function(/,/^}/ { $command
    }" original > "$file" || stop "sed does not understand: $command"
    cmp -s original "$file" && stop "changes nothing: $file $function $command"
    rebuild "$test" "$file" || stop "does not compile: $file $function $command"
    if run_test "$test" "$file" < /dev/null > output 2>&1; then
        failed=$((failed + 1)) verdict=MISSED
    else
        passed=$((passed + 1)) verdict=caught
    fi
    printf '%s  %-23s %s   [%s]\n' "$verdict" "$function" "$command" "$(tail -n 1 output)"
    cp original "$file"
    rebuild "$test" "$file" || stop "$file does not compile any more"
done < table
echo "mutations: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
