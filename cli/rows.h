/* rows.h: how a table of options is written, one row per option.
 *
 * Owns: a macro for each kind of row. AT(field), the offset of a field in Options, is the
 * program's. Names lack their dashes; `value` is the default as text, or NULL; flags may follow the
 * help.
 *
 *     typedef struct { int64_t steps; int part; bool bytes, given[CLI_ROWS]; } Options;
 *     #define AT(field) offsetof(Options, field)
 *     static const Option options[] = {
 *         HEADING("Text"),
 *         INT("steps", steps, "500", 0, 1e9, "updates in all", STORED),
 *         WORD("part", part, NULL, "train|val|all", "part of the text"),
 *         SWITCH("bytes", bytes, "symbols are bytes", STORED),
 *         { 0 }
 *     };
 */
#ifndef ROWS_H
#define ROWS_H

#include "options.h"

#define HEADING(title) { .kind = OPT_GROUP, .help = title }

/* After .help the next member is .flags. */
#define CLI_ROW(kind_, name_, field, ...) \
    { .name = "--" name_, .kind = kind_, .offset = AT(field), __VA_ARGS__ }

#define INT(name, field, value, least, most, ...) \
    CLI_ROW(OPT_INT, name, field, .arg = "N", .text = value, .low = least, .high = most, \
            .help = __VA_ARGS__)
#define REAL(name, field, value, least, most, ...) \
    CLI_ROW(OPT_REAL, name, field, .arg = "X", .text = value, .low = least, .high = most, \
            .help = __VA_ARGS__)
#define WORD(name, field, value, words_, ...) \
    CLI_ROW(OPT_WORD, name, field, .text = value, .words = words_, .help = __VA_ARGS__)

/* called: what --help calls the value. Shells complete FILE and ISA. */
#define STRING(name, called, field, value, ...) \
    CLI_ROW(OPT_STRING, name, field, .arg = called, .text = value, .help = __VA_ARGS__)
#define PRESET(name, field, value, ...) \
    CLI_ROW(OPT_PRESET, name, field, .arg = "NAME", .text = value, .help = __VA_ARGS__)

#define SWITCH(name, field, ...) CLI_ROW(OPT_SWITCH, name, field, .help = __VA_ARGS__)
#define ACTION(name, field, ...) CLI_ROW(OPT_ACTION, name, field, .help = __VA_ARGS__)

#endif
