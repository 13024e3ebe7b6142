/* display.c: what a person sees of a run. */
#include "display.h"

enum {
    SMALL_TEXT = 10000,         /* characters below which a model learns a text by heart */
    SMALL_MODEL = 100000,       /* parameters below which they are printed to the last one */
    LINE_SECONDS_TENTHS = 2     /* between two states of the live line */
};

static const double deadline_tolerance = 0.03;              /* of the time that --minutes gives */

void display_open(Display *d, bool quiet, const char *program, const Operands *texts)
{
    *d = (Display){ .quiet = quiet, .moving = terminal_moves(STDERR_FILENO), .program = program,
                    .texts = texts };
}

static void clear_line(const Display *d)
{
    if (d->moving && d->shown > 0) fprintf(stderr, "\r\033[K");
}

void display_note(Display *d, const char *format, ...)
{
    if (d->quiet) return;
    va_list args;
    clear_line(d);
    va_start(args, format);
    program_say_list(format, args);
    va_end(args);
    fputc('\n', stderr);
}

void display_complaint(Display *d, const char *what)
{
    clear_line(d);
    program_say("train: %s\n", what);
}

static const char *s_of(size_t count) { return count == 1 ? "" : "s"; }

/* ---------------------------------------------------------------- the heading */

/* Where the validation part lies. */
static void show_held_out(Display *d, const Settings *s, const Heading *h)
{
    const Corpus *c = h->text;
    bool end = s->hold_out == HOLD_OUT_END, several = d->texts->count > 1;
    if (!h->has_val) return;
    if (corpus_split(s->split_documents) != NULL)
        display_note(d, "         held out: %zu of %zu documents, %s", c->held_out, c->pieces,
                     end ? "the last ones" : "chosen by their content");
    else
        display_note(d, "         held out: %s",
                     several && end ? "the end of the last texts" : several ? "the end of each text"
                     : end ? "the end of the text" : "the ends of even stretches of the text");
}

static void document_notes(Display *d, const Trainer *t, const Heading *h)
{
    const Corpus *c = h->text;
    size_t context = (size_t)t->model.context;
    bool windows = t->how.family->fit == NULL;      /* are what is learnt */
    char name[24];
    if (c->spelled > 0)
        display_note(d, "note: the text spells " SEPARATOR_NAME " in %zu place%s; these are "
                     "characters, no separators; --split-documents '" SEPARATOR_NAME "' parts "
                     "texts at such lines", c->spelled, s_of(c->spelled));
    if (windows && t->how.sampling == SAMPLING_DOCUMENT && c->longest_size > context)
        display_note(d, "note: the longest document has %zu characters; of those longer than the "
                     "context, %zu, only the beginning is learnt", c->longest_size, context);
    else if (windows && c->usual_size > context)
        display_note(d, "note: half of the documents have %zu characters or more, and the context "
                     "is %zu; their ends are learnt without their beginnings", c->usual_size,
                     context);
    if (c->held_start >= 0) {
        tokenizer_name(h->tokenizer, c->held_start, name, sizeof name);
        display_note(d, "note: most of the documents held out begin with %s, but hardly any of the "
                     "others; --hold-out spread chooses them evenly", name);
    }
}

static void heading_notes(Display *d, const Settings *s, const Heading *h)
{
    const Corpus *c = h->text;
    bool by_heart = c->characters < SMALL_TEXT && settings_family(s)->fit == NULL;
    if (by_heart && !h->has_val)
        display_note(d, "note: a text of %zu characters will be learnt by heart", c->characters);
    else if (by_heart)
        display_note(d, "note: a text of %zu characters will be learnt by heart; sample %s to see "
                     "that, %s is best on the validation part", c->characters, h->paths->last,
                     h->paths->best);
    if (!h->has_val)
        display_note(d, "note: no validation part; %s will hold the last weights, not the best",
                     h->paths->best);
    if (c->val_only > 0)
        display_note(d, "note: the validation part has %zu symbol%s that the training part lacks: "
                     "nothing can be learnt about %s", c->val_only, s_of(c->val_only),
                     c->val_only == 1 ? "it" : "them");
    if (corpus_split(s->split_documents) != NULL && s->sampling != SAMPLING_DOCUMENT
        && c->train_separators < SEPARATORS_ENOUGH)
        display_note(d, "note: the training part has %zu separators; samples start from one and "
                     "end at one from %d on", c->train_separators, SEPARATORS_ENOUGH);
    if (!settings_steps_open(s) && s->plan.warmup >= s->plan.steps)
        display_note(d, "note: the warm-up (%lld steps) lasts for the whole run",
                     (long long)s->plan.warmup);
}

void display_heading(Display *d, const Settings *s, const Trainer *t, const Heading *h)
{
    const Family *f = t->how.family;
    const Corpus *c = h->text;
    char sizes[200], parameters[32], length[60];
    size_t trained = corpus_train_characters(c), count = family_parameters(f, t->how.config);
    display_note(d, "text     %s", c->read);
    const Numbers *numbers = &h->tokenizer->numbers;
    if (tokenizer_has_numbers(h->tokenizer))
        display_note(d, "         %zu numbers, %.4g +- %.4g; training %zu, validation %zu",
                     c->characters, numbers->center, numbers->scale, trained,
                     c->characters - trained);
    else
        display_note(d, "         %zu characters, %d symbols; training %zu, validation %zu",
                     c->characters, h->tokenizer->count, trained, c->characters - trained);
    show_held_out(d, s, h);
    if (count < SMALL_MODEL) snprintf(parameters, sizeof parameters, "%zu", count);
    else snprintf(parameters, sizeof parameters, "%.2fM", (double)count / 1e6);
    f->describe(t->how.config, sizes, sizeof sizes);
    display_note(d, "model    %s: %s, %s parameters", f->name, sizes, parameters);
    if (settings_steps_open(s))
        snprintf(length, sizeof length, "%.3g minute%s, in steps", h->minutes,
                 fabs(h->minutes - 1) < 1e-6 ? "" : "s");
    else
        snprintf(length, sizeof length, "%lld steps", (long long)s->plan.steps);
    if (f->fit != NULL)
        display_note(d, "training everything in one step; %.0f MB of memory", h->memory / 1e6);
    else
        display_note(d, "training %s of %d x %d characters, %.2f MFLOP each; %.0f MB of memory",
                     length, t->how.batch, t->model.context,
                     f->flops(t->how.config, t->model.context) / 1e6, h->memory / 1e6);
    display_note(d, "machine  %s, %d thread%s, %d sequence%s at once", t->how.kernels->name,
                 t->model.gemm.threads, s_of((size_t)t->model.gemm.threads), t->model.slice,
                 s_of((size_t)t->model.slice));
    heading_notes(d, s, h);
    document_notes(d, t, h);
}

void display_new_characters(Display *d, const Tokenizer *now, const Tokenizer *before,
                            const char *path)
{
    enum { SHOWN = 8 };
    char list[400] = "", name[24];
    size_t count = 0;
    for (int id = 0; id < now->count; id++) {
        bool separator = id == SEPARATOR_ID && now->separator;
        if (separator ? before->separator : before->ids[now->values[id]] >= 0) continue;
        tokenizer_name(now, id, name, sizeof name);
        size_t used = strlen(list);
        if (count++ < SHOWN) snprintf(list + used, sizeof list - used, " %s", name);
    }
    if (count > 0)
        display_note(d, "note: %zu character%s new to %s and start%s at random:%s%s", count,
                     count == 1 ? " is" : "s are", path, count == 1 ? "s" : "", list,
                     count > SHOWN ? " ..." : "");
}

/* ---------------------------------------------------------------- progress */

static void format_left(char *out, size_t room, double seconds)
{
    int s = seconds < 359999 ? (int)(seconds + 0.5) : 359999;
    if (s >= 3600) snprintf(out, room, "%d:%02d:%02d", s / 3600, s / 60 % 60, s % 60);
    else snprintf(out, room, "%d:%02d", s / 60, s % 60);
}

/* Step, losses, speed and time left, for both the live line and the lines that stay. */
static void show_progress(const Display *d, const Settings *s, const Trainer *t, const Timing *time,
                          const char *loss)
{
    char left[24], step[48];
    bool open = settings_steps_open(s);
    if (open) snprintf(step, sizeof step, "%lld", (long long)t->step);
    else snprintf(step, sizeof step, "%lld/%lld", (long long)t->step, (long long)s->plan.steps);
    clear_line(d);
    fprintf(stderr, "step %11s  %-26s", step, loss);
    if (t->pace <= 0) return;                               /* no step made yet */
    double speed = trainer_tokens_per_step(t) / t->pace;
    double steps = (double)(s->plan.steps - t->step);
    format_left(left, sizeof left, open ? time->deadline - clock_seconds() : steps * t->pace);
    fprintf(stderr, "%7.0f chars/s%5.0f GFLOP/s %s", speed,
            speed * t->how.family->flops(t->how.config, t->model.context) / 1e9, left);
}

void display_live(Display *d, const Settings *s, const Trainer *t, const Timing *time)
{
    double now = clock_seconds();
    if (!d->moving || d->quiet || now - d->shown < LINE_SECONDS_TENTHS / 10.0) return;
    if (t->step_seconds <= 0) return;                       /* no step made yet */
    char loss[40];
    snprintf(loss, sizeof loss, "train %.4f", t->state.train_loss);
    show_progress(d, s, t, time, loss);
    fflush(stderr);
    d->shown = now;
}

void display_evaluation(Display *d, const Settings *s, const Trainer *t, const Timing *time,
                        double val_loss, bool best)
{
    char loss[60];
    if (d->quiet) return;
    if (t->step == 0) snprintf(loss, sizeof loss, "              val %.4f", val_loss);
    else
        snprintf(loss, sizeof loss, "train %.4f  val %.4f%s", t->state.train_loss, val_loss,
                 best ? " *" : "");
    show_progress(d, s, t, time, loss);
    fputc('\n', stderr);
    d->shown = 0;
}

void display_sample(Display *d, const char *bytes, size_t size)
{
    clear_line(d);
    d->shown = 0;
    Output out = { stderr, 0 };
    if (isatty(STDERR_FILENO)) output_visible_bytes(&out, bytes, size);
    else output_bytes(&out, bytes, size);
    output_print(&out, "\n");
}

void display_profile(Display *d, const Profile *p)
{
    double sum = 0;
    for (int i = 0; i < PHASES; i++) sum += p->seconds[i];
    display_note(d, "where %.1f seconds went:", sum);
    for (int i = 0; i < PHASES; i++)
        display_note(d, "  %-44s %10.3f s %7.4f", phase_names[i], p->seconds[i],
                     p->seconds[i] / sum);
}

/* ---------------------------------------------------------------- the last words */

/* The beginning of a command: this program and the texts. */
static void print_command(const Display *d, Output *out, const char *what)
{
    clear_line(d);
    output_print(out, "%s: ", what);
    settings_print_word(out, d->program);
    for (int i = 0; i < d->texts->count; i++) {
        const char *text = d->texts->items[i];
        output_print(out, " %s", text[0] == '-' && text[1] != '\0' ? "./" : "");
        settings_print_word(out, text);
    }
}

void display_resume_command(Display *d, const Settings *s, double minutes, bool patience)
{
    Output out = { stderr, 0 };
    if (d->quiet) return;
    print_command(d, &out, "continue with");
    output_print(&out, " --resume");
    if (settings_steps_open(s)) output_print(&out, " --minutes %.2f", fmax(0.01, minutes));
    settings_print_resumed(&out, s, patience);
    output_print(&out, "\n");
}

void display_more_command(Display *d, const Settings *s, bool timed)
{
    Output out = { stderr, 0 };
    if (d->quiet || settings_family(s)->fit != NULL) return;
    print_command(d, &out, "train longer with");
    if (timed) output_print(&out, " --resume --minutes %g", s->minutes);
    else output_print(&out, " --resume --steps %lld", 2 * (long long)s->plan.steps);
    settings_print_resumed(&out, s, false);
    output_print(&out, "\n");
}

void display_timed_end(Display *d, const Timing *time, double pace)
{
    double given = time->deadline - time->begun, late = clock_seconds() - time->deadline;
    if (fabs(late) <= deadline_tolerance * given)
        display_note(d, "done in %.1f of %.1f seconds", given + late, given);
    else
        display_note(d, "done in %.1f of %.1f seconds, %.0f%% %s: a step took %.1f ms before the "
                     "rate fell and %.1f ms at the end", given + late, given,
                     fabs(late) / given * 100, late > 0 ? "late" : "early",
                     time->planned_step * 1e3, pace * 1e3);
}

int display_repeat_command(Display *d, const Settings *s, const RunPaths *paths,
                           const char *why_not, Err *err)
{
    if (why_not != NULL) display_note(d, "no command gives these bytes again: %s", why_not);
    if (d->quiet || why_not != NULL) return 0;
    char name[sizeof paths->best + 8];
    int stem = (int)(strlen(paths->temp) - strlen(".tmp"));
    snprintf(name, sizeof name, "%.*s.again%s", stem, paths->best, paths->best + stem);
    Output out = { stderr, 0 };
    print_command(d, &out, "repeat with");
    if (settings_print_repeated(&out, s, err)) return -1;
    output_print(&out, " --out ");
    settings_print_word(&out, name);
    output_print(&out, "\n");
    return 0;
}
