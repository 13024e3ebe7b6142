/* runlog.c: the log of a run: one JSON object a line. */
#include "runlog.h"
#include "../cli/options.h"
#include "../cli/output.h"

/* ---------------------------------------------------------------- what an earlier start left */

double runlog_seconds(const char *text, size_t size, int64_t step)
{
    double seconds = 0;
    for (const char *line = text, *end = text + size, *next; line < end; line = next) {
        char start[80];
        long long at = 0;
        double s = 0;
        next = memchr(line, '\n', (size_t)(end - line));
        if (next == NULL) break;
        next++;
        snprintf(start, sizeof start, "%.*s", (int)(next - line < 80 ? next - line : 79), line);
        if (sscanf(start, "{\"step\":%lld,\"seconds\":%lf", &at, &s) == 2 && at <= step)
            seconds = s;
    }
    return seconds;
}

/* Whether a file begins as a log does, that of a resumed run included: nothing else is replaced or
 * continued. */
static bool is_log(const char *path)
{
    static const char fresh[] = "{\"folio\":", resumed[] = "{\"resumed\":";
    char seen[sizeof resumed] = "";
    int fd = open(path, O_RDONLY);
    if (fd < 0) return false;
    ssize_t n = read(fd, seen, sizeof resumed - 1);
    close(fd);
    return n == (ssize_t)sizeof resumed - 1
        && (memcmp(seen, fresh, sizeof fresh - 1) == 0 || strcmp(seen, resumed) == 0);
}

/* ---------------------------------------------------------------- writing */

static int log_write(RunLog *l, const char *text, size_t size, Err *err)
{
    while (l->fd >= 0 && size > 0) {
        ssize_t n = write(l->fd, text, size);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            fail(err, EXIT_RUNTIME, "the log cannot be written (%s); training continues without it",
                 strerror(errno));
            close(l->fd);
            l->fd = -1;
            l->failed = true;
            return -1;
        }
        text += n;
        size -= (size_t)n;
    }
    return 0;
}

/* Takes the seconds of the log that continues from `step`, and whether a power cut left its last
 * line without an end. */
static int read_log(RunLog *l, const char *path, int64_t step, Err *err)
{
    char *text = NULL;
    size_t size = 0;
    if (read_file(path, &text, &size, err)) return -1;
    l->seconds_before = runlog_seconds(text, size, step);
    l->cut = size > 0 && text[size - 1] != '\n';
    free(text);
    return 0;
}

int runlog_open(RunLog *l, const char *path, RunLogStart start, int64_t step, Err *err)
{
    struct stat info;
    *l = (RunLog){ .fd = -1 };
    if (path == NULL) return 0;
    bool exists = stat(path, &info) == 0 && S_ISREG(info.st_mode) && info.st_size > 0;
    if (exists && start == RUNLOG_NEW)
        return fail(err, EXIT_USAGE,
                    "%s: the log exists; --resume continues it, --overwrite replaces it", path);
    if (exists && !is_log(path))
        return fail(err, EXIT_USAGE, "%s: is not a log that train wrote; choose another --log",
                    path);
    if (exists && start == RUNLOG_CONTINUE && read_log(l, path, step, err)) return -1;
    int flags = O_WRONLY | O_CREAT | O_APPEND | (start == RUNLOG_CONTINUE ? 0 : O_TRUNC);
    l->fd = open(path, flags, 0666);
    if (l->fd < 0)
        return fail(err, EXIT_RUNTIME, "%s: the log cannot be opened: %s", path, strerror(errno));
    return 0;
}

int runlog_surroundings(RunLog *l, const Surroundings *s, Err *err)
{
    if (l->fd < 0) return 0;
    char *text = NULL;
    size_t size = 0;
    Output out = { open_memstream(&text, &size), 0 };
    if (out.file == NULL) return fail(err, EXIT_RUNTIME, "not enough memory for the log");
    output_print(&out, "{\"folio\":\"%s\",\"commit\":\"%s\",\"machine\":", FOLIO_VERSION,
                 s->commit);
    output_json_text(&out, s->machine);
    output_print(&out, ",\"isa\":\"%s\",\"threads\":%d,\"slice\":%d,\"parameters\":%zu,", s->isa,
                 s->threads, s->slice, s->parameters);
    output_print(&out, "\"from_step\":%lld,\"command\":[", (long long)s->from_step);
    for (int i = 0; i < s->argc; i++) {
        output_print(&out, "%s", i > 0 ? "," : "");
        output_json_text(&out, s->argv[i]);
    }
    output_print(&out, "]}\n");
    int failed = output_close(&out, err);
    if (!failed) failed = log_write(l, text, size, err);
    free(text);
    return failed;
}

int runlog_step(RunLog *l, const LogLine *line, Err *err)
{
    const struct { const char *name; double value; int decimals; } columns[] = {
        { "seconds", line->seconds, 3 }, { "tokens", line->tokens, 0 }, { "loss", line->loss, -1 },
        { "lr", line->lr, -1 }, { "grad_norm", line->grad_norm, -1 },
        { "tokens_per_second", line->tokens_per_second, 1 }, { "val_loss", line->val_loss, -1 },
    };
    enum { COLUMNS = sizeof columns / sizeof columns[0], LAST = COLUMNS - 1 };
    char text[400];
    size_t used = (size_t)snprintf(text, sizeof text, "{\"step\":%lld", (long long)line->step);
    for (size_t i = line->step > 0 ? 0 : LAST; i < COLUMNS; i++) {
        if (!isfinite(columns[i].value)) continue;
        used += (size_t)snprintf(text + used, sizeof text - used, ",\"%s\":", columns[i].name);
        if (columns[i].decimals < 0)
            used += (size_t)snprintf(text + used, sizeof text - used, "%.9g", columns[i].value);
        else
            used += (size_t)snprintf(text + used, sizeof text - used, "%.*f", columns[i].decimals,
                                     columns[i].value);
    }
    used += (size_t)snprintf(text + used, sizeof text - used, "}\n");
    return log_write(l, text, used, err);
}

int runlog_resumed(RunLog *l, int64_t step, Err *err)
{
    char text[40];
    int size = snprintf(text, sizeof text, "%s{\"resumed\":%lld}\n", l->cut ? "\n" : "",
                        (long long)step);
    l->cut = false;
    return log_write(l, text, (size_t)size, err);
}

int runlog_close(RunLog *l, Err *err)
{
    int fd = l->fd;
    l->fd = -1;
    if (fd < 0 || close(fd) == 0 || errno == EINTR) return 0;
    l->failed = true;
    return fail(err, EXIT_RUNTIME, "the log cannot be closed: its end may be missing");
}
