/* display.h: what a person sees of a run, on standard error: header, notes, the live line, the last
 * words.
 *
 * Owns: the one voice of a run. It reads the other rooms and changes none.
 *
 *     Display d;
 *     display_open(&d, quiet, argv[0], &texts);
 *     display_note(&d, "resumed after step %lld", step);              nothing with --quiet
 *     display_complaint(&d, err.msg);                                 always
 */
#ifndef DISPLAY_H
#define DISPLAY_H

#include "../system/files.h"
#include "settings.h"
#include "timing.h"
#include "trainer.h"

typedef struct {
    bool quiet;
    bool moving;            /* standard error is a terminal */
    double shown;           /* clock: of the live line; 0: there is none */
    const char *program;    /* as it was called, for the commands that it shows */
    const Operands *texts;
} Display;

/* What the header says beside the settings. */
typedef struct {
    const Corpus *text;
    const Tokenizer *tokenizer;
    bool has_val;
    double minutes;         /* of a timed run */
    double memory;          /* bytes */
    const RunPaths *paths;
} Heading;

void display_open(Display *d, bool quiet, const char *program, const Operands *texts);

/* One line. */
#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
void display_note(Display *d, const char *format, ...);
/* A complaint that does not end the run. */
void display_complaint(Display *d, const char *what);

void display_heading(Display *d, const Settings *s, const Trainer *t, const Heading *h);
/* The characters of an --init-from's text that are new: those of `now` that `before` lacks. */
void display_new_characters(Display *d, const Tokenizer *now, const Tokenizer *before,
                            const char *path);

/* A line that stays, of an evaluation; `best`: it is the best so far. */
void display_evaluation(Display *d, const Settings *s, const Trainer *t, const Timing *time,
                        double val_loss, bool best);
/* The line that moves, if it is due. */
void display_live(Display *d, const Settings *s, const Trainer *t, const Timing *time);
/* Bytes of a sample, where the live line was. */
void display_sample(Display *d, const char *bytes, size_t size);
/* Seconds and share of every phase since training began. */
void display_profile(Display *d, const Profile *p);

/* The command that continues the run; `minutes`: what is left of a timed one. */
void display_resume_command(Display *d, const Settings *s, double minutes, bool patience);
/* The command that gives a finished run as much again. */
void display_more_command(Display *d, const Settings *s, bool timed);
/* How well a timed run kept its time and, where it did not, why. */
void display_timed_end(Display *d, const Timing *time, double pace);
/* The command that repeats a timed run byte for byte. `why_not`: why there is none, or NULL. */
int display_repeat_command(Display *d, const Settings *s, const RunPaths *paths,
                           const char *why_not, Err *err);

#endif
