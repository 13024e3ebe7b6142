#!/bin/sh
# lint.sh: the rules of the house, as greps. One line for each violation, then
# "lint: N passed, N failed", in rules.
#
#     sh tests/lint.sh                        from any folder; checks what git tracks or would track
set -u
export LC_ALL=C

cd "$(dirname "$0")/.." || exit 1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
passed=0 failed=0

# ---------------------------------------------------------------- what is checked

if [ -e .git ]; then git ls-files -co --exclude-standard
else find . -type f | sed 's|^\./||' | grep -v '^build/'
fi |
    sort -u | while read -r f; do [ ! -f "$f" ] || echo "$f"; done > "$work/files"
# Not binary, no corpus.
xargs grep -Il . /dev/null < "$work/files" |
    grep -vE '^(data/.*\.txt|tests/fuzz/.*/.*)$' > "$work/text"
grep '\.[ch]$' "$work/text" > "$work/c"
grep -E '\.sh$|^\.ci/run$' "$work/text" > "$work/sh"
# The product: programs and what they are made of; the same without the programs.
grep -vE '^(tests|bench)/' "$work/c" > "$work/rooms"
grep -vE '^(train|sample|eval|inspect|ladder)\.c$' "$work/rooms" > "$work/inner"

# C without comments and without what stands in strings, as file:line:code; files on standard input.
code() {
    xargs awk '
    FNR == 1 { inside = 0 }
    {
        s = $0
        gsub(/\047\\?"\047/, "0", s)
        if (s !~ /^#/) gsub(/"([^"\\]|\\.)*"/, "\"\"", s)
        out = ""
        while (s != "") {
            mark = inside ? "*/" : "/*"
            at = index(s, mark)
            if (!inside) out = out (at ? substr(s, 1, at - 1) : s)
            s = at ? substr(s, at + 2) : ""
            if (at) inside = !inside
        }
        sub(/\/\/.*/, "", out)
        sub(/[[:blank:]]+$/, "", out)
        print FILENAME ":" FNR ":" out
    }' /dev/null
}
for list in c rooms inner; do code < "$work/$list" > "$work/$list.code"; done
of() { grep -E "^($1):[0-9]+:" "$work/c.code"; }           # the code of files that match
lines() { xargs grep -nE "$@" /dev/null; }                  # raw lines of the files on stdin

# rule WHAT COMMAND...: whatever the command prints is a violation.
rule() {
    what=$1
    shift
    "$@" > "$work/found" 2>&1
    if [ -s "$work/found" ]; then
        sed "s|^|$what: |" "$work/found"
        failed=$((failed + 1))
    else
        passed=$((passed + 1))
    fi
}

# ---------------------------------------------------------------- who may call whom

# Which of our own headers a file may include, directly; each file that is no program is here.
cat > "$work/may" <<'END'
base.h                  tests/faults.h
config.h                base.h networks/family.h
config.c                config.h
numbers.h               base.h
numbers.c               numbers.h
tokenizer.h             base.h numbers.h
tokenizer.c             base.h formats/accents.h tokenizer.h
corpus.h                base.h tokenizer.h text/windows.h
corpus.c                base.h corpus.h text/documents.h formats/digest.h formats/kind.h
corpus.c                system/machine.h
text/documents.h        ../base.h ../corpus.h
text/documents.c        ../base.h documents.h
text/lines.h            ../base.h ../corpus.h ../tokenizer.h
text/lines.c            ../base.h documents.h ../formats/kind.h lines.h
text/windows.h          ../base.h
text/windows.c          ../base.h ../tokenizer.h windows.h
model.h                 base.h config.h kernels/kernels.h networks/layers.h networks/network.h
model.h                 system/profile.h
model.c                 model.h
kernels/avx2.c          kernels.h body.h
kernels/avx512.c        kernels.h body.h
kernels/body.h
kernels/gemm.c          kernels.h
kernels/kernels.h       ../base.h
kernels/kernels.c       kernels.h
kernels/neon.c          kernels.h body.h
kernels/portable.c      kernels.h body.h
networks/family.h       ../base.h
networks/family.c       family.h list.h
networks/fvsbn.c        layers.h
networks/layers.h       network.h
networks/layers.c       layers.h ngram.h
networks/list.h
networks/made.c         layers.h
networks/lstm.c         layers.h
networks/cnn.c          layers.h
networks/nade.c         layers.h
networks/network.h      ../kernels/kernels.h ../numbers.h ../system/profile.h family.h
networks/network.c      network.h list.h
networks/exponents.h
networks/memory.h       exponents.h network.h
networks/memory.c       memory.h ngram.h
networks/ngram.h        network.h
networks/ngram.c        ngram.h
training/command.c      settings.h
training/display.h      ../system/files.h settings.h timing.h trainer.h
training/display.c      display.h
training/fit.h          settings.h
training/fit.c          fit.h trainer.h
training/optimizer.h    ../base.h ../kernels/kernels.h ../networks/family.h
training/optimizer.c    optimizer.h
training/origin.c       settings.h
training/places.h       ../cli/options.h ../system/files.h
training/places.c       places.h ../formats/checkpoint.h
training/preview.h      ../inference/sampling.h ../networks/network.h
training/preview.c      preview.h
training/runlog.h       ../base.h
training/runlog.c       runlog.h ../cli/options.h ../cli/output.h
training/runmemory.h    ../networks/memory.h settings.h trainer.h
training/runmemory.c    runmemory.h
training/saves.h        ../formats/checkpoint.h ../system/files.h trainer.h
training/saves.c        saves.h
training/settings.h     ../base.h ../cli/options.h ../cli/output.h ../cli/program.h ../corpus.h
training/settings.h     ../formats/checkpoint.h ../networks/family.h optimizer.h
training/settings.c     settings.h trainer.h
training/table.c        settings.h ../cli/rows.h trainer.h
training/timing.h       settings.h trainer.h
training/timing.c       timing.h fit.h ../system/machine.h
training/trainer.h      ../base.h ../corpus.h ../formats/checkpoint.h ../networks/ngram.h
training/trainer.h      optimizer.h
training/trainer.c      trainer.h ../networks/exponents.h ../system/machine.h
inference/ensemble.h    ../base.h ../formats/checkpoint.h ../networks/memory.h
inference/ensemble.h    ../networks/network.h ../tokenizer.h
inference/ensemble.c    ../base.h ../formats/checkpoint.h ../networks/network.h ../system/machine.h
inference/ensemble.c    ../tokenizer.h ensemble.h
inference/evaluate.h    ../base.h ../corpus.h ../networks/network.h
inference/evaluate.c    ../base.h ../corpus.h ../networks/network.h ../tokenizer.h ensemble.h
inference/evaluate.c    evaluate.h
inference/sampling.h    ../base.h ../tokenizer.h
inference/sampling.c    ../base.h ../tokenizer.h sampling.h
inference/stops.h       ../base.h
inference/stops.c       ../base.h stops.h
formats/accents.h       ../base.h
formats/accents.c       accents.h ../tokenizer.h
formats/checkpoint.h    ../base.h ../networks/exponents.h ../networks/family.h ../tokenizer.h
formats/checkpoint.c    ../base.h checkpoint.h digest.h json.h kind.h ../system/files.h
formats/digest.h        ../base.h
formats/digest.c        ../base.h digest.h
formats/json.h          ../base.h
formats/json.c          ../base.h ../tokenizer.h json.h
formats/kind.h          ../base.h
formats/kind.c          ../base.h ../tokenizer.h kind.h
cli/options.h           ../base.h
cli/options.c           options.h
cli/output.h            ../base.h
cli/output.c            output.h ../tokenizer.h
cli/picture.h           output.h
cli/picture.c           picture.h
cli/pages.h             ../base.h options.h output.h
cli/pages.c             pages.h
cli/program.h           ../base.h ../kernels/kernels.h options.h output.h pages.h rows.h
cli/program.c           program.h ../system/machine.h
cli/rows.h              options.h
system/files.h          ../base.h
system/files.c          ../base.h files.h
system/machine.h        ../base.h
system/machine.c        ../base.h machine.h
system/profile.h        ../base.h
system/profile.c        ../base.h profile.h
END

includes() {
    lines < "$work/inner" '^#[[:blank:]]*include[[:blank:]]*"' | awk -F'"' '
    NR == FNR { n = split($0, w, " "); for (i = 2; i <= n; i++) may[w[1], w[i]] = 1; next }
    { split($1, at, ":"); if (!((at[1], $2) in may)) print at[1] ":" at[2] ": may not include " $2 }
    ' FS=' ' "$work/may" FS='"' -
    while read -r f; do
        grep -q "^$f\( \|\$\)" "$work/may" || echo "$f: add it to the table in tests/lint.sh"
    done < "$work/inner"
}

intrinsics() {
    names='_mm[0-9]*_[a-z]|__m(128|256|512|mask)|v(ld|st)1q?_|float32x4'
    grep -E "(include *<[a-z]*(intrin|neon|sve)[a-z0-9_]*\.h>|$names)" \
        "$work/c.code" | grep -vE '^(kernels/(avx2|avx512|neon)\.c|tests/simde/)'
    of 'kernels/(portable|avx2|avx512|neon)\.c' | grep 'include *<' |
        grep -vE '<(immintrin|arm_neon|stdint)\.h>'
}

model_conditions() {
    of 'model\.h' | grep -E ':[0-9]+:#[ ]*(if|el)' |
        grep -vE '#ifndef MODEL_H$|#ifdef MODEL_IMPLEMENTATION$'
}

# A network is known to its own file alone: to the others it is a table of functions.
networks() {
    names='FAMILY_(GPT2|QWEN3)|\<(family|network)_(gpt2|qwen3)\>|\<Config\>'
    grep -vE '^(model|config)\.[ch]:|^networks/' "$work/rooms.code" |
        grep -E "$names|(config|model)\.h\""
}

only_programs() { grep -E "\<$1" "$work/inner.code"; }
stderr_writers() {
    only_programs '(stderr|perror|STDERR_FILENO)' | grep -vE '^(cli/program|training/display)\.c:'
}
tokenizer_alone() { of 'tokenizer\.[ch]' | grep -wiE 'model|config|kernels?|layers?'; }
flags_in_makefile() {
    grep -nE -e '-m(arch|cpu|tune)=|-ffast-math|-Ofast|-flto' Makefile /dev/null
    grep -E 'attribute.*\<target *\(|pragma.*(target|fast-math|fp_contract)' "$work/c.code"
}

rule 'includes' includes
rule 'intrinsics stand in their tables' intrinsics
rule 'model.h has no conditions' model_conditions
rule 'no room knows which network it holds' networks
rule 'the tokenizer knows no models' tokenizer_alone
rule 'only programs have main' only_programs 'main *\('
rule 'only programs end the process' only_programs '(_?exit|_Exit|abort|quick_exit) *\('
rule 'only programs and what they share write to stderr' stderr_writers
rule 'instruction sets come from the Makefile' flags_in_makefile

# ---------------------------------------------------------------- the language

gotos() {
    grep -E '\<goto\>' "$work/c.code" | grep -v 'goto out;'
    grep -E ':[0-9]+: *[a-z_]+:$' "$work/c.code" | grep -vE ': *(out|default):$'
}
vlas() {
    grep -E '\<alloca *\(' "$work/c.code"
    grep -n '^WARN' Makefile /dev/null | grep -v -e -Wvla
}
globals() {
    variable='[a-zA-Z_][a-zA-Z0-9_ *]*[ *][a-z][a-z0-9_]*(\[[^]]*\])*( = .*|,.*)?;$'
    grep -E ":[0-9]+:(static|extern)? ?$variable" "$work/rooms.code" |
        grep -vE '\<(const|typedef|return|sig_atomic_t)\>'
}
unsafe() {
    names='gets|strcpy|strcat|v?sprintf|ato[ilf]|strtok|s?rand|setlocale'
    grep -E "\<($names) *\(" "$work/rooms.code"
}

# Functions: at most 70 lines; at most 8 parameters, but for layers (outputs, saved, inputs,
# parameters, sizes), which model.h and networks/layers.c hold.
functions() {
    awk '
    { split($0, at, ":"); file = at[1]; line = at[2]; s = $0; sub(/^[^:]*:[0-9]+:/, "", s) }
    s ~ /^[a-zA-Z_]/ && s !~ /^(typedef|else|case|default)/ { head = ""; start = line; open = 1 }
    open { head = head s }
    open && s ~ /[;{]|}$/ {
        open = 0
        if (index(head, "(") && file !~ /^(model|networks\/layers)\.[ch]$/) {
            depth = 0; commas = 0
            for (i = index(head, "("); i <= length(head); i++) {
                c = substr(head, i, 1)
                if (c == "(") depth++
                if (c == ")" && --depth == 0) break
                if (c == "," && depth == 1) commas++
            }
            if (commas > 7 && substr(head, 1, i) !~ /=/)
                print file ":" start ": " commas + 1 " parameters"
        }
        if (index(head, "(") == 0) start = 0
    }
    s == "}" && start {
        n = line - start + 1
        if (n > 70) print file ":" start ": a function of " n " lines"
        start = 0
    }
    ' "$work/c.code"
}

rule 'no goto but out' gotos
rule 'no variable-length arrays' vlas
rule 'no globals but const tables' globals
rule 'no unsafe or stateful functions of libc' unsafe
rule 'functions stay small' functions

# ---------------------------------------------------------------- the text of the files

# Characters, not bytes. A table in Markdown may be wider.
long_lines() {
    grep -E '\.([ch]|sh|py|md)$|(^|/)Makefile$|^\.ci/run$' "$work/text" | xargs awk '{
        s = $0
        gsub(/[\200-\277]/, "", s)
        most = FILENAME ~ /\.md$/ && s ~ /^ *\|/ ? 160 : 100
        if (length(s) > most) print FILENAME ":" FNR ": " length(s) " columns"
    }' /dev/null
}
tabs() { grep -vE '(^|/)Makefile$|\.json$' "$work/text" | lines "$(printf '\t')"; }
blanks() { lines '[[:blank:]]+$' < "$work/text"; }
newlines() {
    while read -r f; do
        [ -z "$(tail -c 1 "$f")" ] || echo "$f: no newline at the end"
    done < "$work/text"
}
notes() { xargs grep -nwE 'TO''DO|FIX''ME|XX''X|HA''CK' /dev/null < "$work/text"; }
places() {
    hosts='(pypi|pythonhosted|npmjs|crates|debian)\.(org|com|io)|(index|registry|proxy)-url'
    lines "/(home|root|Users|work|mnt)/[a-z]|$hosts" < "$work/text"
}
headers() {
    while read -r f; do
        head -n 1 "$f" | grep -qF "/* $(basename "$f")" ||
            echo "$f: begins without /* $(basename "$f"): ..."
    done < "$work/c"
    while read -r f; do
        head -n 2 "$f" | tail -n 1 | grep -q "^# .*$(basename "$f")\(:\| \)" ||
            echo "$f: line 2 is not # $(basename "$f"): ..."
    done < "$work/sh"
}
# A name in TESTS or SCRIPTS has its file, and a test program is in TESTS.
listed() {
    sed -e ':a' -e '/\\$/{N;s/\\\n//;ta' -e '}' Makefile > "$work/make"      # one line a variable
    tests=$(sed -n 's/^TESTS *= *//p' "$work/make" | xargs)
    scripts=$(sed -n 's/^SCRIPTS *= *//p' "$work/make")
    for t in $tests; do
        [ -f "tests/unit/$t.c" ] || [ -f "tests/fuzz/$t.c" ] ||
            echo "Makefile: TESTS names $t, and there is no $t.c"
    done
    for t in $scripts; do
        [ -f "tests/$t.sh" ] || echo "Makefile: SCRIPTS names $t, and there is no tests/$t.sh"
    done
    for f in tests/*/test_*.c; do
        case " $tests " in
        *" $(basename "$f" .c) "*) ;;
        *) echo "$f: not in the Makefile's TESTS" ;;
        esac
    done
}
# Each test that docs/faults.md names.
named() {
    grep -oE '`[a-z_]+`' docs/faults.md | tr -d '`' | sort -u | while read -r name; do
        grep -qw "$name" tests/*/*.c tests/*/*.sh tests/cli/cli.test ||
            echo "docs/faults.md: there is no test $name"
    done
}
shells() { xargs shellcheck -S warning -f gcc < "$work/sh"; }

rule 'lines have at most 100 columns' long_lines
rule 'no tabs' tabs
rule 'no blanks at the end of a line' blanks
rule 'a file ends with a newline' newlines
rule 'no notes to oneself' notes
rule 'no names of machines and hosts' places
rule 'a file says what it owns' headers
rule 'tests are listed and exist' listed
rule 'tests that are named exist' named
if command -v shellcheck > /dev/null; then rule 'shellcheck' shells; fi

echo "lint: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
