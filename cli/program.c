/* program.c: the way from argv to the exit status, the same in every program. */
#include "program.h"
#include "../system/machine.h"

void program_say_list(const char *format, va_list args)
{
    char text[8192];                            /* two paths, and what is said of them */
    Output out = { stderr, 0 };
    vsnprintf(text, sizeof text, format, args);
    output_visible(&out, text);
}

void program_say(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    program_say_list(format, args);
    va_end(args);
}

/* EXIT_USAGE unless there are as many operands as the program accepts. */
static int check_operands(const Cli *cli, const Operands *operands, Err *err)
{
    const char *next = cli->operands;
    if (operands->count < cli->least) {
        for (int i = 0; i < operands->count && strchr(next, ' ') != NULL; i++)
            next = strchr(next, ' ') + 1;
        return fail(err, EXIT_USAGE, "missing %.*s; try --help", (int)strcspn(next, ". "), next);
    }
    if (operands->count <= cli->most) return 0;
    return fail(err, EXIT_USAGE, "%s %s is expected, %d %s given; try --help",
                cli->most == 0 ? "no" : "one", cli->most == 0 ? "argument" : cli->operands,
                operands->count, operands->count == 1 ? "was" : "were");
}

static void note_twice(const Cli *cli, const Operands *operands)
{
    for (const Option *row = cli->options; row->kind != OPT_END; row++)
        if (operands->twice[row - cli->options])
            fprintf(stderr, "%s: note: %s is given twice; the last one counts\n", cli->program,
                    row->name);
}

static int run_body(Call *call, Body *body, Output *out, Err *err)
{
    const Common *common = call->options;
    if (check_operands(call->cli, call->operands, err)) return -1;
    if (cli_find_at(call->cli, offsetof(Common, isa)) >= 0) {
        call->kernels = kernels_pick(common->isa, err);
        if (call->kernels == NULL) return -1;
    }
    call->threads = common->threads > 0 ? (int)common->threads : default_threads();
    /* What is said is what runs: OMP_THREAD_LIMIT and OMP_DYNAMIC would take some away silently. */
    int most = omp_get_thread_limit();
    if (call->threads > most) call->threads = most;
    if (call->threads > 1) threads_wait_briefly(call->argv);
    omp_set_dynamic(0);
    omp_set_num_threads(call->threads);
    return body(call, out, err);
}

int program_main(const Cli *cli, void *options, Body *body, int argc, char **argv)
{
    Operands operands = { 0 };
    Call call = { .cli = cli, .options = options, .operands = &operands, .argc = argc, .argv = argv,
                  .begun = clock_seconds() };
    const Common *common = options;
    Output out = { stdout, 0 };
    Err err = { 0 }, closing = { 0 };
    char built[80];

    cli_streams();
    kernels_built(built, sizeof built);
    int failed = cli_parse(cli, argc, argv, options, &operands, &err);
    bool answered = !failed
        && (pages_answer(cli, options, &common->about, &operands, built, &out)
            || kernels_list(common->isa, out.file));
    if (!failed && !answered && !common->quiet) note_twice(cli, &operands);
    if (!failed && !answered) failed = run_body(&call, body, &out, &err);
    operands_close(&operands);
    if (output_close(&out, failed ? &closing : &err) || failed)
        program_say("%s: %s\n", cli->program, err.msg);
    return err.status;
}
