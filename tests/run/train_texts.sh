#!/bin/sh
# train_texts.sh: more groups for train.sh: texts that new users may try, through all four programs.
#
#     . "$tests/train_texts.sh"     in train.sh, before its list of groups, with $text_groups
#
# Needs train.sh's functions, its $tests, and well_formed of train_faults.sh.
# shellcheck disable=SC2034,SC2154

small='--layers 1 --heads 2 --channels 16 --batch 4 --steps 30 --warmup 5 --eval-every 10
       --threads 1'

# Two chapters of the Dao De Jing and three poems of the Tang.
chinese_text() {
    cat <<'TEXT'
道可道，非常道；名可名，非常名。
无名，天地之始；有名，万物之母。
故常无欲，以观其妙；常有欲，以观其徼。
此两者同出而异名，同谓之玄，玄之又玄，众妙之门。
天下皆知美之为美，斯恶已；皆知善之为善，斯不善已。
故有无相生，难易相成，长短相形，高下相倾，音声相和，前后相随。
是以圣人处无为之事，行不言之教。
床前明月光，疑是地上霜。举头望明月，低头思故乡。
白日依山尽，黄河入海流。欲穷千里目，更上一层楼。
春眠不觉晓，处处闻啼鸟。夜来风雨声，花落知多少。
TEXT
}

# Verlaine and Apollinaire.
french_text() {
    cat <<'TEXT'
Les sanglots longs
Des violons
De l'automne
Blessent mon cœur
D'une langueur
Monotone.

Tout suffocant
Et blême, quand
Sonne l'heure,
Je me souviens
Des jours anciens
Et je pleure ;

À la fin tu es las de ce monde ancien
Bergère ô tour Eiffel le troupeau des ponts bêle ce matin
TEXT
}

# Blake: 300 bytes.
poem_text() {
    head -c 300 <<'TEXT'
Tyger Tyger, burning bright,
In the forests of the night;
What immortal hand or eye,
Could frame thy fearful symmetry?

In what distant deeps or skies,
Burnt the fire of thine eyes?
On what wings dare he aspire?
What the hand, dare seize the fire?

And what shoulder, & what art,
Could twist the sinews of thy heart?
TEXT
}

# through_all FILE PROMPT: trained, sampled, evaluated and inspected without preparation.
# stderr has the messages of training.
through_all() {
    file=$1 prompt=$2
    remove u
    run 0 "$file: trained" ./train "$file" $small --out u.bin
    cp stderr notes
    symbols=$(sed -n 's/.* characters, \([0-9]*\) symbols.*/\1/p' notes)
    check "$file: better than guessing" sh -c \
        "sed -n 's/^step  *30.30  *train \([0-9.]*\) .*/\1/p' notes |
            awk '{ good = \$1 < log($symbols) } END { exit !good }'"
    run 0 "$file: sampled" ./sample u.bin --length 80
    check "$file: the sample is UTF-8" well_formed stdout
    run 0 "$file: sampled from a prompt" ./sample u.bin --prompt "$prompt" --length 20 --json \
        --show-probs
    check "$file: JSON is UTF-8" well_formed stdout
    check "$file: the prompt is first" grep -F "{\"prompt\":\"$prompt\",\"text\":\"" stdout
    run 0 "$file: in a conversation" sh -c \
        "echo '$prompt' | ./sample u.bin --interactive --length 20"
    check "$file: an answer in UTF-8" well_formed stdout
    run 0 "$file: evaluated" ./eval u.bin "$file"
    check "$file: nats for each character" grep -E '^[0-9.]+ nats/char' stdout
    run 0 "$file: line by line" ./eval u.bin "$file" --per-line
    check "$file: as many lines" [ "$(wc -l <stdout)" -ge "$(wc -l <"$file")" ]
    for how in '' ' --vocab --history --tensors --verify' ' --json'; do
        run 0 "$file: inspected$how" ./inspect u.bin $how
        check "$file: inspected$how: UTF-8" well_formed stdout
    done
    run 0 "$file: a longer run" ./train "$file" --resume --steps 40 --out u.bin
    cp notes stderr
}

fresh_texts() {
    chinese_text >chinese.txt
    french_text >french.txt
    poem_text >poem.txt
    cp "$tests/../../model.h" model.h

    through_all chinese.txt '明月'
    says 'Chinese' '229 characters, 118 symbols; training 206, validation 23'
    says 'Chinese' 'note: a text of 229 characters will be learnt by heart; sample u.last.bin'
    lacks='that the training part lacks: nothing can be learnt about them'
    says 'Chinese' "note: the validation part has 13 symbols $lacks"
    run 2 'Chinese: a character that it lacks' ./sample u.bin --prompt '道可道你'
    says 'Chinese: a character that it lacks' 'U+4F60'
    says 'Chinese: a character that it lacks' '--unknown skip'
    run 0 'Chinese: left out' ./sample u.bin --prompt '道可道你' --unknown skip --length 3

    through_all french.txt 'Les sanglots'
    says 'French' ' characters will be learnt by heart'
    through_all poem.txt 'Tyger Tyger, burning'
    says 'a poem' 'note: a text of 300 characters will be learnt by heart'
    through_all model.h 'static void'
    check 'a source file: nothing to note' not grep '^note' stderr

    head -c 50 poem.txt >verse.txt
    through_all verse.txt 'Tyger'
    says 'two lines' 'note: context 64 reduced to 44, because the training part has 45 characters'
    head -c 10 poem.txt >word.txt
    remove u
    run 0 'two words' ./train word.txt $small --out u.bin
    says 'two words' 'note: no validation part; u.bin will hold the last weights, not the best'
    run 3 'two words: evaluated' ./eval u.bin word.txt
    says 'two words: evaluated' 'try --part all'
    run 0 'two words: evaluated as a whole' ./eval u.bin word.txt --part all
    run 0 'two words: sampled' ./sample u.bin

    # French in ISO 8859-1.
    printf 'Et bl\352me, quand\nSonne l%sheure,\nJe me souviens\n' "'" >latin.txt
    run 3 'French that is not UTF-8' ./train latin.txt $small --out l.bin
    says 'French that is not UTF-8' \
        'latin.txt: ill-formed UTF-8 at byte offset 5 (the bytes there: EA'
    says 'French that is not UTF-8' 'iconv'
    says 'French that is not UTF-8' '--bytes'
    run 0 'French that is not UTF-8: as bytes' ./train latin.txt $small --bytes --out l.bin
    run 0 'French that is not UTF-8: a sample' ./sample l.bin --length 20
}

# refused NAME FILE LOOK COMMAND: not a text, and COMMAND makes one of it.
refused() {
    run 3 "$1" ./train "$2" $small --out k.bin
    says "$1" "$2: looks like $3"
    says "$1" "$4"
    check "$1: nothing is left behind" absent k.bin k.last.bin k.lock k.tmp
}

# Files that are no texts, as far as there are programs that make them.
other_kinds() {
    french_text >french.txt
    remove k
    for packer in gzip xz zstd bzip2; do
        command -v $packer >/dev/null || continue
        case $packer in
        gzip) look='a gzip archive' command=zcat ;;
        xz) look='an xz archive' command=xzcat ;;
        zstd) look='a zstd archive' command=zstdcat ;;
        bzip2) look='a bzip2 archive' command=bzcat ;;
        esac
        $packer -c <french.txt >french.packed 2>check.out || continue
        refused $packer french.packed "$look" "\`$command french.packed | ./train -\` reads it"
        run 0 "$packer: as bytes" ./train french.packed --bytes $small --out k.bin
        says "$packer: as bytes" "note: french.packed looks like $look: its bytes are compressed"
        remove k
    done
    for coding in utf-16 utf-16le utf-16be utf-32 utf-32le utf-32be; do
        iconv -f utf-8 -t $coding french.txt >french.coded 2>check.out || continue
        case $coding in
        *le | *be) advice=$coding ;;
        *) advice="$coding -t utf-8" ;;
        esac
        refused $coding french.coded "$(echo ${coding%[lb]e} | tr utf UTF)" \
            "\`iconv -f $advice"
        iconv -f $coding -t utf-8 french.coded | cmp -s - french.txt
        verdict $? "$coding: the advice gives the text"
        run 0 "$coding: as bytes" ./train french.coded --bytes $small --out k.bin
        check "$coding: as bytes: nothing to note" not grep 'compressed' stderr
        remove k
    done
    run 3 'a checkpoint' ./train ref.bin $small --out k.bin
    says 'a checkpoint' 'ref.bin: looks like a Folio checkpoint, not a text; give a text'
    run 3 'a checkpoint as bytes' ./train ref.last.bin --bytes $small --out k.bin
    says 'a checkpoint as bytes' 'ref.last.bin: looks like a Folio checkpoint'
    run 1 'a folder' ./train . $small --out k.bin
    says 'a folder' '.: is a folder; give the files in it: ./*'
}

# All that cannot be used at once; what is empty is left out.
many_texts() {
    remove m
    french_text >french.txt
    : >empty.txt
    printf '%%PDF-1.7\n%%\342\343\317\323\n' >'a b.pdf'
    printf 'caf\351' >latin.txt
    mkdir -p folder
    run 3 'five bad texts' ./train 'a b.pdf' french.txt latin.txt folder missing.txt empty.txt \
        latin.txt $small --out m.bin
    says 'five bad texts' "5 of 7 texts cannot be used: (1) a b.pdf: looks like a PDF file"
    says 'five bad texts' "\`pdftotext 'a b.pdf' - | ./train -\` reads it; (2) latin.txt: ill-"
    says 'five bad texts' '(3) folder: is a folder; give the files in it: folder/*; and 2 more'
    run 1 'two bad texts' ./train missing.txt latin.txt $small --out m.bin
    says 'two bad texts' '2 of 2 texts cannot be used: (1) missing.txt: cannot be opened'
    run 3 'a bad text among others' ./train french.txt latin.txt $small --out m.bin
    check 'a bad text among others: alone' grep '^train: latin.txt: ill-formed' stderr

    run 0 'an empty text among others' ./train french.txt empty.txt french.txt $small --out m.bin
    says 'an empty text among others' 'note: empty.txt is empty and left out'
    run 0 'an empty text, resumed without it' ./train french.txt french.txt --resume --steps 35 \
        --out m.bin
    run 0 'two empty texts' ./train empty.txt french.txt empty.txt $small --out m.bin --overwrite
    says 'two empty texts' 'note: 2 empty texts are left out, empty.txt first'
    run 3 'only empty texts' ./train empty.txt empty.txt $small --out m.bin --overwrite
    says 'only empty texts' 'empty.txt: the text is empty'

    # A byte order mark is learnt, and a run goes on only with the text as it was.
    { printf '\357\273\277'; cat french.txt; } >mark.txt
    run 0 'a byte order mark' ./train mark.txt $small --out m.bin --overwrite
    check 'a byte order mark: learnt' sh -c './inspect m.bin --vocab | grep FEFF'
    run 2 'a byte order mark that is gone' ./train french.txt --resume --out m.bin
    run 0 'no byte order mark' ./train french.txt $small --out m.bin --overwrite
    run 2 'a byte order mark that is new' ./train mark.txt --resume --out m.bin
}

# Windows that are documents: the same bytes however the run is cut, losses of what counts alone.
document_windows() {
    awk 'BEGIN { for (i = 0; i < 150; i++) print substr("abcdefgh", 1 + i % 5, i % 7 + 1) }' \
        >lines.txt
    own='--split-documents LINE --sampling document --context 12'
    run 0 'document windows' ./train lines.txt $small $own --out own_doc.bin --log own_doc.log
    run 0 'document windows, stopped' ./train lines.txt $small $own --out own_cut.bin \
        --log own_cut.log --stop-at 13
    run 0 'document windows, resumed' ./train lines.txt --resume --out own_cut.bin \
        --log own_cut.log --threads 2 --slice 1
    check 'document windows: same files' same_files own_doc own_cut
    check 'document windows: same log' same_logs own_doc.log own_cut.log
    check 'document windows: eval agrees' sh -c './eval own_doc.last.bin lines.txt --json --quiet |
        grep "\"protocol\":\"documents\"" | sed "s/,.*//; s/.*://" >a
        ./inspect own_doc.bin --json | sed "s/.*\"val_loss\":\([0-9.]*\)}\].*/\1/" >b
        paste a b | awk "{ exit (\$1 - \$2) ^ 2 > 1e-12 }"'
    run 0 'document windows, other protocol' ./eval own_doc.bin lines.txt --protocol full
    check 'document windows: nats of each' grep -E 'nats/document, [0-9]+ documents, ' stdout
    # Three symbols at first cost ln 3 each; targets after the end would count nothing.
    yes a 2>/dev/null | head -n 200 >a.txt
    run 0 'what counts' ./train a.txt $small $own --steps 1 --lr 0 --out own_few.bin \
        --log own_few.log
    sed -n 's/^."step":1,.*"loss":\([^,]*\),.*/\1/p' own_few.log >a
    check 'what counts: the mean is theirs' awk '{ exit ($1 - 1.0986) ^ 2 > 0.01 }' a
    run 0 'long documents' ./train lines.txt $small $own --context 4 --out own_long_doc.bin
    says 'long documents' 'of those longer than the context, 4, only the beginning is learnt'
    run 2 'no documents' ./train lines.txt $small --sampling document --out own_no_doc.bin
    says 'no documents' 'say what a document is, with --split-documents'
    run 2 'no documents to score' ./eval ref.bin t.txt --protocol documents
    says 'no documents to score' 'is one document for this model; try --protocol full'
    for f in own_doc own_cut own_few own_long_doc; do remove $f; done
}

text_groups='fresh_texts other_kinds many_texts document_windows'
