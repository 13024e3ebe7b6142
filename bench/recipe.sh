#!/bin/sh
# recipe.sh: repeats a row of the table in docs/recipe.md: trains on Shakespeare and scores what
# came out, with the memory and without.
#
#     sh bench/recipe.sh ROW [SEED...]        15s, 1min, 5min, 10min, 60min or 200k; seeds 1 2 3
#     sh bench/recipe.sh ROW SEED... -- OPTION...     with more options of ./train
#
# Needs `make`, an idle machine, and ROW's time for each seed. Prints the processor, the row's
# command, then for each seed the seconds that the whole command took and nats per character of
# NAME.last.bin under the three protocols; at the end means and standard deviations, and the copy
# check (bench/copies.py) of 100,000 characters of the last seed. Files stay in build/recipe.
set -eu
cd "$(dirname "$0")/.."
text=data/shakespeare.txt out=build/recipe
row=${1:?which row: 15s, 1min, 5min, 10min, 60min, 200k}
shift
case $row in
15s) options='--minutes 0.25' ;;
1min) options='--minutes 1' ;;
5min) options='--minutes 5' ;;
10min) options='--minutes 10' ;;
60min) options='--minutes 60' ;;
200k) options='--minutes 10 --layers 3 --heads 2 --channels 72 --context 256 --batch 16' ;;
*)
    echo "recipe.sh: there is no row $row" >&2
    exit 2
    ;;
esac
seeds=
while [ $# -gt 0 ] && [ "$1" != -- ]; do
    seeds="$seeds $1"
    shift
done
[ $# -eq 0 ] || shift
mkdir -p $out

# score SEED MEMORY PROTOCOL: nats per character of the last weights.
score() {
    ./eval "$out/$row-$1.last.bin" $text --memory "$2" --protocol "$3" --json --quiet |
        sed 's/.*"nats_per_char":\([0-9.]*\).*/\1/'
}

sed -n 's/^model name[^:]*: /processor: /p' /proc/cpuinfo 2>/dev/null | head -n 1
echo "./train $text $options $* --seed S --out $out/$row-S.bin"
printf '%-6s %8s  %-28s %-28s\n' seed seconds 'network: full random strided' \
    'with memory: the same'
: >"$out/$row.txt"
for seed in ${seeds:-1 2 3}; do
    begun=$(date +%s.%N)
    # shellcheck disable=SC2086    # options are words
    ./train $text $options "$@" --seed "$seed" --out "$out/$row-$seed.bin" --overwrite \
        --log "$out/$row-$seed.log" 2>"$out/$row-$seed.err"
    ended=$(date +%s.%N)
    line="$seed $(awk "BEGIN { printf \"%.1f\", $ended - $begun }")"
    for memory in off on; do
        for protocol in full random strided; do
            line="$line $(score "$seed" $memory $protocol)"
        done
    done
    echo "$line" >>"$out/$row.txt"
    echo "$line" | awk '{ printf "%-6s %8s  %-8.4f %-8.4f %-10.4f %-8.4f %-8.4f %-8.4f\n", $1, $2,
        $3, $4, $5, $6, $7, $8 }'
done
awk '{ n++; for (i = 2; i <= NF; i++) { s[i] += $i; q[i] += $i * $i } }
     END {
         printf "mean  "
         for (i = 2; i <= 8; i++) printf i == 2 ? " %8.1f " : " %.4f  ", s[i] / n
         printf "\n+-    "
         for (i = 2; i <= 8; i++) {
             v = n > 1 ? (q[i] - s[i] * s[i] / n) / (n - 1) : 0
             printf i == 2 ? " %8.1f " : " %.4f  ", sqrt(v > 0 ? v : 0)
         }
         printf "\n"
     }' "$out/$row.txt"
for memory in off on; do
    ./sample "$out/$row-$seed.last.bin" --memory $memory --samples 50 --length 2000 \
        --temperature 0.8 --quiet >"$out/$row-$memory.txt"
done
python3 bench/copies.py $text "$out/$row-off.txt" "$out/$row-on.txt" | sed '/^$/,$d'
grep -h '^machine' "$out/$row-$seed.err" "$out/$row-$seed.log" | head -n 1
