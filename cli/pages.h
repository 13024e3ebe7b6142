/* pages.h: what a program says about itself: --help, --version, --page man|bash|zsh.
 *
 * Owns: help, the manual page and the shells' completions. All are read off the option table;
 * nothing about an option is written here. A program is installed as folio-NAME, so that is what
 * the pages call it. `built`: the names of this build's instruction sets, separated by blanks.
 *
 *     typedef struct { About about; bool given[CLI_ROWS]; } Options;
 *     static const Option options[] = { ABOUT_ROWS(about), { 0 } };
 *     if (pages_answer(&cli, &o, &o.about, &operands, built, &out)) return 0;
 */
#ifndef PAGES_H
#define PAGES_H

#include "../base.h"
#include "options.h"
#include "output.h"

typedef struct {
    bool help, version;
    int page;               /* which of PAGE_WORDS, if --page is given */
} About;

#define PAGE_WORDS "man|bash|zsh"
enum { PAGE_MAN, PAGE_BASH, PAGE_ZSH };

/* The rows for a field that is an About. */
#define ABOUT_ROWS(field) \
    WORD("page", field.page, NULL, PAGE_WORDS, \
         "print the manual page, or a shell's completions, and end"), \
    ACTION("help", field.help, "show this and end"), \
    ACTION("version", field.version, "show the version and end")

/* Answers --help, --version and --page; returns whether one of them is given. */
bool pages_answer(const Cli *cli, const void *options, const About *about, const Operands *operands,
                  const char *built, Output *out);

/* The whole table, at most OUTPUT_WIDTH columns wide. called: from Operands. */
void pages_help(const Cli *cli, const char *called, Output *out);

/* "folio-sample 0.1.0", then the instruction sets built in and whether OpenMP is. */
void pages_version(const Cli *cli, const char *built, Output *out);

/* The manual page, in the macros of man(7). */
void pages_man(const Cli *cli, Output *out);

/* The completions for bash 3.2 and later, and for zsh. */
void pages_bash(const Cli *cli, const char *built, Output *out);
void pages_zsh(const Cli *cli, const char *built, Output *out);

#endif
