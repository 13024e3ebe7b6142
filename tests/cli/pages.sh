#!/bin/sh
# pages.sh: make install and uninstall; manual pages and completions, against --help and
# what the programs accept.
#
#     sh tests/cli/pages.sh FOLDER                FOLDER holds train, sample, eval and inspect
#
# Installs into a temporary folder. The files are checked with bash, zsh, mandoc and groff where
# they exist. A failed check says what was expected. The last line is "pages: N passed, N failed";
# the exit status is 0 if all passed.
set -u

programs=$(cd "${1:?folder of the programs}" && pwd) || exit 1
house=$(cd "$(dirname "$0")/../.." && pwd) || exit 1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
unset MAKEFLAGS MFLAGS MAKELEVEL FOLIO_ISA
export LC_ALL=C TERM=dumb
root=$work/tree/prefix
names='train sample eval inspect ladder'
passed=0
failed=0

# check WHAT COMMAND...: the command succeeds.
check() {
    what=$1
    shift
    if "$@" > "$work/said" 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED: $what"
        sed 's/^/    /' "$work/said" | head -n 40
    fi
}
silent() { "$@" 2>&1 | awk '{ print } END { exit NR > 0 }'; }
exits() {
    expected=$1
    shift
    "$@" < /dev/null
    status=$?
    [ $status = "$expected" ] || { echo "exit status $status: $*"; return 1; }
}

# Nothing is built: the programs are here, and may have been built with other flags.
folio_make() {
    make -s -C "$house" -o all BIN="$programs/" OBJ="$work/o" DESTDIR="$work/tree" PREFIX=/prefix \
        "$@"
}

# ---------------------------------------------------------------- what is installed

mkdir -p "$root/bin"
echo other > "$root/bin/folio-other"
(umask 077; folio_make install) > "$work/install" 2>&1 || {
    cat "$work/install"
    echo "pages: 0 passed, 1 failed"
    exit 1
}
check 'make install says nothing' test ! -s "$work/install"
for p in $names; do
    printf '%s\n' "-rwxr-xr-x bin/folio-$p" \
        "-rw-r--r-- share/bash-completion/completions/folio-$p" \
        "-rw-r--r-- share/man/man1/folio-$p.1" "-rw-r--r-- share/zsh/site-functions/_folio-$p"
done | sort > "$work/expected"
(cd "$root" && find . -type f ! -name folio-other -exec ls -l {} +) |
    awk '{ sub(/^\.\//, "", $NF); print substr($1, 1, 10), $NF }' |
    sort > "$work/found"
check 'the files and their modes' diff "$work/expected" "$work/found"
check 'folders are open to all' silent find "$root/share" -type d ! -perm 755
for p in $names; do
    check "folio-$p is the program" cmp "$programs/$p" "$root/bin/folio-$p"
    check "usage of folio-$p" sh -c \
        "'$root/bin/folio-$p' --help | grep '^Usage: folio-$p [A-Z. ]*\[options\]$'"
done

# ---------------------------------------------------------------- the same options everywhere

# From --help: one line per option, "--name ARG;default"; no ARG and no default where there is none.
help_rows() {
    awk '
    function flush() {
        if (tag == "") return
        value = ""
        gsub(/ +/, " ", text)
        if (match(text, /\(default [^ :)]*\)/)) value = substr(text, RSTART + 9, RLENGTH - 10)
        print tag ";" value
        tag = ""
    }
    /^Presets/ { exit }
    /^  -/ {
        flush()
        line = substr($0, 3)
        at = match(line, /  +/)
        tag = at ? substr(line, 1, at - 1) : line
        text = at ? substr(line, at) : ""
        next
    }
    /^   / { text = text " " $0; next }
    { flush() }
    END { flush() }' | sed 's/   *\([^ ]\)/ \1/g; s/^-h, \(.*\)/\1\
-h;/' | sort
}

# From the manual page, unescaped; ranges become a third field where needed.
plain_roff() {
    sed 's/\\f[BIR]//g; s/\\-/-/g; s/\\&//g; s/\\(ha/^/g; s/\\(ti/~/g; s/\\(ga/`/g; s/\\e/\\/g'
}
man_rows() {
    plain_roff < "$1" | awk '
    function flush() {
        if (tag == "") return
        value = range = ""
        if (match(text, /\(default [^ :;)]*[;)]/)) value = substr(text, RSTART + 9, RLENGTH - 10)
        if (match(text, /; from [^ ]* to [^ ]*$/)) {
            range = substr(text, RSTART + 2)
            sub(/\)$/, "", range)
        }
        print tag ";" value ";" range
        tag = ""
    }
    /^\.S[HS]/ { flush(); inside = /OPTIONS/ || (inside && /^\.SS/); next }
    !inside { next }
    /^\.TP/ { flush(); getline tag; text = ""; next }
    { text = text " " $0 }
    END { flush() }' | sed 's/^-h, \(.*\)/\1\
-h;;/' | sort
}

# The presets, from either: "name --option=value --option=value ...".
help_presets() {
    awk '/^Presets/ { inside = 1; next } !inside { next }
    /^  [a-z]/ { if (line) print line; line = $1; next }
    { for (i = 1; i <= NF; i++) line = line " " $i }
    END { if (line) print line }'
}
man_presets() {
    plain_roff < "$1" | awk '/^\.SH/ { inside = /PRESETS/; next } !inside { next }
    /^\.TP/ { if (line) print line; getline line; next }
    /^--/ { line = line " " $1 }
    END { if (line) print line }'
}

# Ranges: the end is accepted; one more digit, or a value below the start, is refused.
ranges() {
    ends=''
    bad=0
    while IFS=';' read -r tag _ range; do
        [ -n "$range" ] || continue
        option=${tag% *} high=${range##* } low=${range#from } low=${low%% *}
        ends="$ends $option=$low $option=$high"
        case $low in 0) below=-1 ;; *) below=0 ;; esac
        exits 2 "$1" "$option=${high}1" --help || bad=1
        exits 2 "$1" "$option=$below" --help || bad=1
    done < "$2"
    # Needs splitting: options and numbers.
    [ -z "$ends" ] || exits 0 "$1" $ends --help > "$work/ends" || bad=1
    return $bad
}

for p in $names; do
    "$programs/$p" --help > "$work/$p.help"
    help_rows < "$work/$p.help" > "$work/$p.options"
    man_rows "$root/share/man/man1/folio-$p.1" > "$work/$p.man"
    sed 's/;[^;]*$//' "$work/$p.man" > "$work/$p.both"
    check "$p: rows of --help are found" grep -q '^--json;$' "$work/$p.options"
    check "$p: options, words and defaults of the manual page" diff "$work/$p.options" \
        "$work/$p.both"
    check "$p: ranges of the manual page" ranges "$programs/$p" "$work/$p.man"
    numbers=$(grep -c '^--[a-z0-9-]* [NX];' "$work/$p.man")
    ranges=$(grep -c '^--[a-z0-9-]* [NX];.*;from .* to ' "$work/$p.man")
    check "$p: every number has a range" test "$ranges" = "$numbers"
    help_presets < "$work/$p.help" > "$work/$p.presets"
    man_presets "$root/share/man/man1/folio-$p.1" > "$work/found"
    check "$p: presets of the manual page" diff "$work/$p.presets" "$work/found"
    # What a value of each option may be: "--name: word word", "--name: FILE"; nothing
    # where it is free.
    isa=$("$programs/$p" --version | sed -n 's/^instruction sets: //p')
    presets=$(cut -d' ' -f1 "$work/$p.presets" | tr '\n' ' ')
    # Lines without an argument are not printed: a switch has no value.
    sed -n 's/^\([^ ;]*\) \([^;]*\);.*/\1 \2/p' "$work/$p.options" |
        awk -v isa="$isa list" -v presets="${presets% }" '{
        words = $2 == "FILE" || $2 ~ /\|/ ? $2 : ""
        if ($1 == "--preset") words = presets
        if ($2 == "ISA") words = isa
        gsub(/\|/, " ", words)
        print $1 ": " words
    }' | sort > "$work/$p.values"
    sed 's/[ ;].*//' "$work/$p.options" | sort > "$work/$p.names"
done
check 'rows with every feature' grep -q '^--gelu erf|tanh;erf$' \
    "$work/train.options"
check 'presets are found' grep -q '^nanogpt .*--layers=6 .* --seed=1337$' "$work/train.presets"

# ---------------------------------------------------------------- the rest of the manual page

sections='NAME SYNOPSIS DESCRIPTION OPTIONS PRESETS EXIT STATUS SEE ALSO'
for p in $names; do
    page=$root/share/man/man1/folio-$p.1
    expected=$sections
    [ -s "$work/$p.presets" ] || expected=$(echo "$sections" | sed 's/PRESETS //')
    check "$p: sections" test "$(sed -n 's/^\.SH //p' "$page" | tr '\n' ' ')" = "$expected "
    plain_roff < "$page" > "$work/$p.plain"
    check "$p: its other half is in SEE ALSO" test \
        "$(sed -n '/SEE ALSO/,$p' "$work/$p.plain" |
            sed -n 's/^\(folio-[a-z]*\)(1),*$/\1/p' | tr '\n' ' ')" = \
        "$(for q in $names; do [ $q = $p ] || printf 'folio-%s ' $q; done)"
    # The README has the statuses in prose.
    statuses=$(sed -n '/EXIT STATUS/,/SEE ALSO/p' "$work/$p.plain" | grep '^[0-9]*$' | tr '\n' ' ')
    readme=$(sed -n '/^Exit status of every program/,/^$/p' "$house/README.md" |
        grep -oE '[0-9]+' | tr '\n' ' ')
    check "$p: exit statuses as in the README" test "$statuses" = "$readme"
    if command -v mandoc > /dev/null; then
        check "$p: mandoc" silent sh -c 'mandoc -T lint "$1" | grep -v "missing date"' sh "$page"
    fi
    if command -v groff > /dev/null; then
        check "$p: groff" silent groff -ww -man -T ascii -rLL=80n -z "$page"
    fi
done

# ---------------------------------------------------------------- bash

# Asks the completion as bash would: answers LINE-IN-WORDS... prints what it offers for
# the last word.
cat > "$work/ask.bash" <<'END'
source "$1" || exit 1
program=$2
ask() { COMP_WORDS=("folio-$program" "$@"); COMP_CWORD=$#; COMPREPLY=(); "_folio_$program"; }
offers() { ask "$@"; echo "${COMPREPLY[*]}"; }
case $3 in
names) ask -; printf '%s\n' "${COMPREPLY[@]}" | sort ;;
values)
    while read -r name; do
        echo "$name: $(offers "$name" '')"
    done ;;
*) shift 2; offers "$@" ;;
esac
END
bash_offers() {
    (cd "$work/files" &&
        bash "$work/ask.bash" "$root/share/bash-completion/completions/folio-$1" "$@")
}
offered() {
    expected=$1
    shift
    found=$(bash_offers "$@" 2>&1)
    [ "$found" = "$expected" ] || { echo "offered: $found"; echo "expected: $expected"; return 1; }
}
mkdir "$work/files"
: > "$work/files/FILE"
if command -v bash > /dev/null; then
    for p in $names; do
        page=$root/share/bash-completion/completions/folio-$p
        check "$p: bash reads its completion" silent bash -n "$page"
        check "$p: bash knows it" sh -c \
            "bash -c 'source \"\$1\" && complete -p folio-$p' bash '$page' |
                grep ' _folio_$p folio-$p\$'"
        bash_offers "$p" names > "$work/found" 2>&1
        check "$p: bash offers the options" diff "$work/$p.names" "$work/found"
        sed 's/:.*//' "$work/$p.values" | bash_offers "$p" values 2>&1 | sort > "$work/found"
        check "$p: bash offers the values" diff "$work/$p.values" "$work/found"
    done
    check 'bash: --sch' offered '--schedule' train --sch
    check 'bash: --schedule c' offered 'cosine constant' train --schedule c
    check 'bash: --schedule=' offered 'cosine linear constant wsd' train --schedule =
    check 'bash: --schedule=li' offered 'linear' train FILE --schedule = li
    check 'bash: --preset' offered 'quick nanogpt-cpu nanogpt' train --preset ''
    check 'bash: --layers' offered '' train --layers ''
    check 'bash: an operand' offered 'FILE' train --quiet FI
    check 'bash: after --' offered '' train -- --sch
else
    echo 'pages: bash skipped, there is none'
fi

# ---------------------------------------------------------------- zsh

# The specifications that _arguments is given, in the terms of the tables above.
cat > "$work/ask.zsh" <<'END'
_arguments() { shift; print -rl -- "$@" }
source "$1"
END
zsh_specs() { zsh -f "$work/ask.zsh" "$1" | sed 's/^([^)]*)//; s/^\*-/-/'; }
if command -v zsh > /dev/null; then
    for p in $names; do
        page=$root/share/zsh/site-functions/_folio-$p
        check "$p: zsh reads its completion" silent zsh -n "$page"
        check "$p: zsh knows whose it is" test "$(head -n 1 "$page")" = "#compdef folio-$p"
        zsh_specs "$page" > "$work/specs"
        check "$p: zsh can read the specifications" silent \
            grep -vE '^(-[a-z0-9-]*=?\[([^]\\[]|\\.)+\](:[A-Za-z]+:[^:]*)?|\*:.*)$' "$work/specs"
        check "$p: zsh completes operands" grep '^\*:[A-Z. ]*:_files$' "$work/specs"
        sed -n 's/^\(-[a-z0-9-]*\).*/\1/p' "$work/specs" | sort > "$work/found"
        check "$p: zsh offers the options" diff "$work/$p.names" "$work/found"
        sed -n 's/^\(-[a-z0-9-]*\)=\[.*\]:[A-Za-z]*:\(.*\)$/\1: \2/p' "$work/specs" |
            sed 's/: _files$/: FILE/; s/: (\(.*\))$/: \1/' | sort > "$work/found"
        check "$p: zsh offers the values" diff "$work/$p.values" "$work/found"
    done
else
    echo 'pages: zsh skipped, there is none'
fi
command -v mandoc > /dev/null || echo 'pages: mandoc skipped, there is none'
command -v groff > /dev/null || echo 'pages: groff skipped, there is none'

# ---------------------------------------------------------------- uninstalling

check 'make uninstall' folio_make uninstall
check 'make uninstall leaves only files of others' test \
    "$(find "$work/tree" ! -type d)" = "$root/bin/folio-other"

echo "pages: $passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
