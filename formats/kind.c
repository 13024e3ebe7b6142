/* kind.c: owns the starts of files of other kinds; see kind.h.
 *
 * A start that is made of letters alone could begin a text, too: such a kind is only seen in a file
 * that is none. UTF-16 and UTF-32 without a mark are known by where their zeros are.
 */
#include "../base.h"
#include "kind.h"
#include "../tokenizer.h"

enum {
    SHORTEST = 8,           /* bytes of a text that is known for one, or of UTF-16 */
    TAR_MARK = 257          /* where a tar archive says what it is */
};

#define NO_TAGS "| sed 's/<[^>]*>/ /g' "
#define SAVE "save it as plain text (.txt, UTF-8) in the program that opens it"
#define NO_LETTERS "no letters are in it that could be learnt"

static const Kind plain_text = { KIND_TEXT, "a text", NULL, NULL, NULL, NULL };

/* ---------------------------------------------------------------- starts of files */

#define START(bytes) bytes, sizeof bytes - 1

static const struct {
    const char *start;
    size_t size;
    bool letters;           /* a text may begin so, too */
    Kind kind;
} starts[] = {
    { START("\x1f\x8b"), false,
      { KIND_PACKED, "a gzip archive", "zcat", "", NULL, "; unpack it first" } },
    { START("\x1f\x9d"), false,
      { KIND_PACKED, "a compressed file (.Z)", "zcat", "", NULL, "; unpack it first" } },
    { START("\xfd" "7zXZ\0"), false,
      { KIND_PACKED, "an xz archive", "xzcat", "", NULL, "; unpack it first" } },
    { START("\x28\xb5\x2f\xfd"), false,
      { KIND_PACKED, "a zstd archive", "zstdcat", "", NULL, "; unpack it first" } },
    { START("BZh91AY&SY"), true,
      { KIND_PACKED, "a bzip2 archive", "bzcat", "", NULL, "; unpack it first" } },
    { START("\x04\x22\x4d\x18"), false,
      { KIND_PACKED, "an lz4 archive", "lz4 -dc", "", NULL, "; unpack it first" } },
    { START("7z\xbc\xaf\x27\x1c"), false,
      { KIND_PACKED, "a 7z archive", "7z e -so", "", NULL, "; unpack it first" } },
    { START("Rar!\x1a\x07"), false,
      { KIND_PACKED, "a rar archive", "unrar p -inul", "", NULL, "; unpack it first" } },
    { START("%PDF-"), true, { KIND_PACKED, "a PDF file", "pdftotext", "- ", NULL, NULL } },
    { START("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), false,
      { KIND_DATA, "an old office file (.doc, .xls)", NULL, NULL, SAVE, NULL } },
    { START("\x89PNG\r\n\x1a\n"), false,
      { KIND_PACKED, "a PNG image", NULL, NULL, NO_LETTERS, NULL } },
    { START("\xff\xd8\xff"), false,
      { KIND_PACKED, "a JPEG image", NULL, NULL, NO_LETTERS, NULL } },
    { START("GIF87a"), true, { KIND_PACKED, "a GIF image", NULL, NULL, NO_LETTERS, NULL } },
    { START("GIF89a"), true, { KIND_PACKED, "a GIF image", NULL, NULL, NO_LETTERS, NULL } },
    { START("RIFF"), true,
      { KIND_PACKED, "a sound or an image (RIFF)", NULL, NULL, NO_LETTERS, NULL } },
    { START("PAR1"), true,
      { KIND_PACKED, "a Parquet file", NULL, NULL, "write the column with the text to a file",
        NULL } },
    { START("SQLite format 3\0"), false,
      { KIND_DATA, "a SQLite database", NULL, NULL, "write the column with the text to a file",
        NULL } },
    { START("\x7f" "ELF"), false, { KIND_DATA, "a program", NULL, NULL, NO_LETTERS, NULL } },
    { START("GGUF"), true, { KIND_DATA, "a GGUF file", NULL, NULL, "give a text", NULL } },
    { START("\xff\xfe\0\0"), false,
      { KIND_CODED, "UTF-32", "iconv -f utf-32 -t utf-8", "", NULL, NULL } },
    { START("\0\0\xfe\xff"), false,
      { KIND_CODED, "UTF-32", "iconv -f utf-32 -t utf-8", "", NULL, NULL } },
    { START("\xff\xfe"), false,
      { KIND_CODED, "UTF-16", "iconv -f utf-16 -t utf-8", "", NULL, NULL } },
    { START("\xfe\xff"), false,
      { KIND_CODED, "UTF-16", "iconv -f utf-16 -t utf-8", "", NULL, NULL } },
};

/* In any case of letters, after white space; a text may begin so. */
static const struct { const char *start; Kind kind; } words[] = {
    { "version https://git-lfs",
      { KIND_TEXT, "a Git LFS pointer", NULL, NULL, NULL,
        "; fetch the file itself with `git lfs pull`" } },
    { "<!doctype", { KIND_TEXT, "an HTML page", NULL, NULL, NULL, "; the download went wrong" } },
    { "<html", { KIND_TEXT, "an HTML page", NULL, NULL, NULL, "; the download went wrong" } },
};

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

static bool starts_with_word(const char *bytes, size_t size, const char *word)
{
    size_t length = strlen(word);
    if (size < length) return false;
    for (size_t i = 0; i < length; i++) {
        char c = bytes[i] >= 'A' && bytes[i] <= 'Z' ? (char)(bytes[i] - 'A' + 'a') : bytes[i];
        if (c != word[i]) return false;
    }
    return true;
}

static bool contains(const char *bytes, size_t size, const char *part)
{
    size_t length = strlen(part);
    for (size_t at = 0; at + length <= size; at++)
        if (memcmp(bytes + at, part, length) == 0) return true;
    return false;
}

/* ---------------------------------------------------------------- what is inside */

static const Kind *kind_of_zip(const char *bytes, size_t size)
{
    static const struct { const char *part; Kind kind; } rows[] = {
        { "word/",
          { KIND_PACKED, "a Word document (docx)", "unzip -p", "word/document.xml " NO_TAGS, SAVE,
            NULL } },
        { "application/vnd.oasis.opendocument",
          { KIND_PACKED, "an OpenDocument file (odt)", "unzip -p", "content.xml " NO_TAGS, SAVE,
            NULL } },
        { "application/epub+zip",
          { KIND_PACKED, "a book (EPUB)", "unzip -p", "'*html' " NO_TAGS, NULL, NULL } },
        { "[Content_Types].xml", { KIND_PACKED, "an office file", NULL, NULL, SAVE, NULL } },
        { "data.pkl",
          { KIND_PACKED, "a file of PyTorch (.pt)", NULL, NULL, "give a text",
            ", a zip archive, which Folio never opens" } },
        { "",
          { KIND_PACKED, "a zip archive", "unzip -p", "", NULL,
            ", which PyTorch's .pt files are; Folio never opens those" } },
    };
    size_t row = 0;
    while (!contains(bytes, size, rows[row].part)) row++;
    return &rows[row].kind;
}

/* A safetensors file: the size of its header, eight bytes, at most 10^8; then JSON. */
static const Kind *kind_of_tensors(const char *bytes, size_t size)
{
    static const Kind folio = { KIND_FOLIO, "a Folio checkpoint", NULL, NULL,
        "give a text; train takes a checkpoint with --resume --out, or with --init-from", NULL };
    static const Kind other = { KIND_SAFETENSORS, "a safetensors file", NULL, NULL, "give a text",
                                NULL };
    static const char zeros[4];
    if (size < 10 || memcmp(bytes + 4, zeros, sizeof zeros) != 0 || bytes[8] != '{') return NULL;
    if ((unsigned char)bytes[3] > 5 || (bytes[9] != '"' && !is_blank(bytes[9]))) return NULL;
    return contains(bytes, size, "\"folio.version\"") ? &folio : &other;
}

/* UTF-16 whose high bytes are those at the odd places (1) or at the even ones (0). In a script with
 * an alphabet nearly all of them are below 0x20 and some are 0, as blanks and line ends have it;
 * the low bytes are hardly ever 0. Where a text is ill-formed anyway, four zeros on one side
 * and none on the other are enough: such a file has Chinese, say. */
static bool is_utf16(const char *bytes, size_t size, size_t high, bool text)
{
    size_t units = size / 2, small = 0, zeros = 0, low_zeros = 0;
    for (size_t i = 0; i < units; i++) {
        small += (unsigned char)bytes[2 * i + high] < 0x20;
        zeros += bytes[2 * i + high] == 0;
        low_zeros += bytes[2 * i + 1 - high] == 0;
    }
    if (size < SHORTEST) return false;
    if (!text && zeros >= 4 && low_zeros == 0) return true;
    return 8 * small >= 7 * units && 32 * zeros >= units && 32 * low_zeros <= units;
}

/* Characters of four bytes: none is above 10FFFF, and few are 0. */
static bool is_utf32(const char *bytes, size_t size, bool big)
{
    size_t units = size / 4, zeros = 0;
    for (size_t i = 0; i < units; i++) {
        const unsigned char *u = (const unsigned char *)bytes + 4 * i;
        if (u[big ? 0 : 3] != 0 || u[big ? 1 : 2] > 0x10) return false;
        zeros += u[0] == 0 && u[1] == 0 && u[2] == 0 && u[3] == 0;
    }
    return size >= 2 * SHORTEST && 32 * zeros <= units;
}

static const Kind *kind_of_zeros(const char *bytes, size_t size, bool text)
{
    static const Kind kinds[] = {
        { KIND_CODED, "UTF-32 without a mark", "iconv -f utf-32le -t utf-8", "", NULL, NULL },
        { KIND_CODED, "UTF-32 without a mark", "iconv -f utf-32be -t utf-8", "", NULL, NULL },
        { KIND_CODED, "UTF-16 without a mark", "iconv -f utf-16le -t utf-8", "", NULL, NULL },
        { KIND_CODED, "UTF-16 without a mark", "iconv -f utf-16be -t utf-8", "", NULL, NULL },
    };
    if (memchr(bytes, 0, size) == NULL) return NULL;
    for (int big = 0; big < 2; big++)
        if (is_utf32(bytes, size, big)) return &kinds[big];
    for (int big = 0; big < 2; big++)
        if (is_utf16(bytes, size, big ? 0 : 1, text)) return &kinds[2 + big];
    return NULL;
}

/* *well_formed: UTF-8, the last character of which may be cut. Returns whether control characters
 * other than white space are lacking, too. */
static bool looks_written(const char *bytes, size_t size, bool *well_formed)
{
    bool plain = true;
    size_t at = 0;
    uint32_t value = ' ';
    for (int length; at < size; at += (size_t)length) {
        length = utf8_decode(bytes + at, size - at, &value);
        if (length == 0) break;
        plain = plain && (value >= 0x20 || is_blank((char)value));
    }
    *well_formed = at == size
                || (size - at < UTF8_MAX && (unsigned char)bytes[at] >= 0xc2);
    return plain && *well_formed;
}

const Kind *kind_of(const char *bytes, size_t size)
{
    static const Kind tar = { KIND_DATA, "a tar archive", "tar -xOf", "", NULL,
                              "; unpack it first" };
    static const Kind pickle = { KIND_DATA, "a Python pickle", NULL, NULL, "give a text",
                                 ", which old .pt files are; Folio never opens those" };
    if (size > KIND_BYTES) size = KIND_BYTES;
    bool well_formed, plain = looks_written(bytes, size, &well_formed);
    size_t blank = 0;
    for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++) {
        bool same = size >= starts[i].size && memcmp(bytes, starts[i].start, starts[i].size) == 0;
        if (same && !(starts[i].letters && plain)) return &starts[i].kind;
    }
    if (size >= 4 && bytes[0] == 'P' && bytes[1] == 'K' && bytes[2] > 2 && bytes[2] < 8
        && bytes[3] == bytes[2] + 1) return kind_of_zip(bytes, size);
    if (size >= 2 && bytes[0] == '\x80' && bytes[1] >= 2 && bytes[1] <= 5) return &pickle;
    if (size > TAR_MARK + 5 && !plain && memcmp(bytes + TAR_MARK, "ustar", 5) == 0) return &tar;
    while (blank < size && is_blank(bytes[blank])) blank++;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (starts_with_word(bytes + blank, size - blank, words[i].start)) return &words[i].kind;
    if (plain) return size >= SHORTEST ? &plain_text : NULL;
    const Kind *tensors = kind_of_tensors(bytes, size);
    return tensors != NULL ? tensors : kind_of_zeros(bytes, size, well_formed);
}

/* ---------------------------------------------------------------- where a text is wanted */

bool kind_is_no_text(const Kind *kind) { return kind != NULL && kind->group != KIND_TEXT; }

/* A path as a shell reads it, with quotes where it needs them; FILE if it has no simple form. */
static void shell_name(const char *name, char *out, size_t room)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "_./+,:@%=-";
    bool simple = name[0] != '\0' && name[0] != '-' && name[strspn(name, plain)] == '\0';
    bool awkward = name[0] == '\0' || name[0] == '-' || strchr(name, '\'') != NULL
                || strcmp(name, "standard input") == 0;
    for (const char *c = name; *c != '\0'; c++)
        awkward = awkward || (unsigned char)*c < 0x20 || *c == 0x7f;
    if (awkward) snprintf(out, room, "FILE");
    else snprintf(out, room, simple ? "%s" : "'%s'", name);
}

int kind_refuse(const Kind *kind, const char *name, const char *reader, Err *err)
{
    char command[500] = "", file[200];
    shell_name(strlen(name) < sizeof file - 2 ? name : "", file, sizeof file);
    if (kind->command != NULL)
        snprintf(command, sizeof command, "%s`%s %s %s| %s` reads it",
                 kind->advice != NULL ? ", or " : "", kind->command, file, kind->rest, reader);
    return fail(err, EXIT_TEXT, "%.200s: looks like %s, not %s; %s%s", name, kind->what,
                kind->group == KIND_CODED ? "UTF-8" : "a text",
                kind->advice != NULL ? kind->advice : "", command);
}
