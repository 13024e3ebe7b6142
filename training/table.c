/* table.c: the options of train and its presets; those of the fields of networks stand between the
 * first and the last rows. */
#include "settings.h"
#include "../cli/rows.h"
#include "trainer.h"

#define AT(field) offsetof(Settings, field)

const Option settings_first_rows[] = {
    HEADING("Files"),
    STRING("out", "FILE", out, "ckpt.bin",
           "NAME.bin: what to use, the best evaluation; NAME.last.bin beside it: what --resume "
           "needs", ON_RESUME),
    SWITCH("resume", resume,
           "continue from NAME.last.bin, with the same text; settings come from the file",
           ON_RESUME),
    SWITCH("overwrite", overwrite, "replace existing files, at the first save",
           ON_RESUME | DESTROYS),
    STRING("init-from", "FILE", init_from, NULL,
           "start from the weights of this checkpoint, perhaps on another text: its sizes are "
           "taken over, characters are matched, new ones start at random"),
    STRING("log", "FILE", log, NULL, "write a line of JSON for every step", ON_RESUME),
    HEADING("Model"),
    PRESET("preset", preset, NULL, "a list of settings, see below; instead of --minutes"),
    { 0 }
};

const Option settings_last_rows[] = {
    HEADING("Training"),
    REAL("minutes", minutes, "5", 0.01, 1e6,
         "train for this long: times this machine, chooses what --preset and other options leave "
         "open, ends on time and prints the command that repeats the run; this is what happens "
         "without --preset and --steps", ON_RESUME),
    INT("steps", plan.steps, "1200", 1, STEPS_MAX,
        "updates in all, instead of --minutes: what is not given is then as in the preset quick; "
        "may grow on --resume, which computes the schedule afresh", STORED),
    INT("batch", batch, "16", 1, 1e6, "windows of the context in a step", STORED),
    WORD("optimizer", plan.optimizer, "adamw", "adamw|muon",
         "muon: for the matrices of the blocks, and AdamW at a quarter of the rate for the rest",
         STORED),
    REAL("lr", plan.lr, "4e-3", 0, 1e6, "peak learning rate", STORED),
    REAL("min-lr", plan.min_lr, "1e-4", 0, 1e6, "learning rate at the end", STORED),
    INT("warmup", plan.warmup, "100", 0, 1e12, "steps of rising rate", STORED),
    WORD("schedule", plan.schedule, "cosine", "cosine|linear|constant|wsd",
         "how the rate goes from --lr to --min-lr; wsd: along a line over the last --decay-steps",
         STORED),
    INT("decay-steps", plan.decay_steps, "0", 0, 1e12, "of wsd; 0: half of the steps", STORED),
    REAL("ema", plan.ema, "0", 0, 0.9999,
         "keep an average of the weights that forgets 1 - X a step, and evaluate and save that; 0: "
         "none. A share of less than 0.0001 a step is lost in rounding", STORED),
    WORD("sampling", sampling, "random", SAMPLING_WORDS,
         "windows anywhere with replacement; each once an epoch; or each document once an epoch, a "
         "window that begins with it and ends with it, as networks with weights for each position "
         "need it", STORED | CHOSEN),
    REAL("beta1", plan.beta1, "0.9", 0, 0.9999999, "AdamW: memory of the gradient", STORED),
    REAL("beta2", plan.beta2, "0.99", 0, 0.9999999, "AdamW: memory of its square", STORED),
    REAL("weight-decay", plan.weight_decay, "0.1", 0, 1e6,
         "weight decay of matrices, per unit of learning rate", STORED),
    REAL("clip", plan.clip, "1", 0, 1e12, "largest norm of the gradient; 0: any", STORED),
    INT("seed", seed, "1", 0, 9e15, "same seed, same bytes", STORED),
    INT("memory", memory, "0", 0, 64,
        "an n-gram memory of order N beside the network, in the same checkpoint: counts of the "
        "training text, mixed with its probabilities in sample and eval; 0: none",
        STORED | ADDED | CHOSEN),
    INT("teacher", teacher, "0", 0, 64,
        "counts of the training text, n-grams of order N, teach: they soften the targets with what "
        "the rest of the text says about each place; the network stays what it is; 0: none",
        STORED | ADDED | CHOSEN),
    REAL("teacher-share", teacher_share, "0.5", 0, 1,
         "of --teacher: share of the counts in the targets", STORED | ADDED | CHOSEN),
    WORD("teacher-fade", teacher_fade, "off", "off|on",
         "of --teacher: the share falls as the learning rate does", STORED | ADDED | CHOSEN),
    HEADING("Text"),
    REAL("val-fraction", val_fraction, "0.1", 0, 0.99, "share of the text that is not trained on",
         STORED),
    SWITCH("bytes", bytes, "symbols are bytes, not characters of UTF-8", STORED),
    SWITCH("values", values,
           "the text is numbers, one vector a line, and each has a Gaussian, whose mean and "
           "deviation the network gives, in place of a choice among symbols"),
    REAL("deviation", deviation, "0", 0, 1e30,
         "of --values: standard deviation of every Gaussian, in units of the text; 1: the loss is "
         "half the squared error and a constant; 0: the network gives it"),
    WORD("separator", separator, "on", "off|on", "a symbol " SEPARATOR_NAME " that separates texts",
         STORED),
    STRING("split-documents", "HOW", split_documents, SPLIT_OFF,
           "what a document is; each begins after the separator, and samples end at it. LINE: "
           "every line that is not blank; BLANK: what blank lines part; another word: what lines "
           "equal to it part", STORED),
    WORD("hold-out", hold_out, "end", HOLD_OUT_WORDS,
         "what is not trained on. end: the end of the text, as for one plain text; spread, as for "
         "others: of documents some, chosen by their content, of several files the end of each, of "
         "one text twenty even stretches", STORED | CHOSEN),
    HEADING("While it runs"),
    INT("eval-every", eval_every, "300", 1, 1e12, "steps between evaluations",
        ON_RESUME | STORED),
    INT("eval-batches", eval_batches, "0", 0, 1e6,
        "evaluate on N random batches; 0: on up to 120000 characters in even windows", STORED),
    INT("sample-every", sample_every, "0", 0, 1e12, "steps between samples; 0: none", ON_RESUME),
    INT("save-every", save_every, "0", 0, 1e12, "steps between saves; 0: at least twice a minute",
        ON_RESUME),
    INT("stop-at", stop_at, "0", 0, 1e12,
        "save and end after step N, with the schedule of --steps; 0: do not", ON_RESUME),
    INT("patience", patience, "0", 0, 1e9,
        "end after N evaluations without improvement; 0: never", ON_RESUME),
    HEADING("Machine and output"),
    THREADS_ROW(ON_RESUME),
    INT("slice", slice, "0", 0, 1e6,
        "sequences worked on at once, which bounds memory; the result does not depend on it; 0: "
        "what suits the cache", ON_RESUME),
    ISA_ROW(ON_RESUME),
    SWITCH("profile", profile, "show at the end where the time went", ON_RESUME),
    JSON_ROW("print the result as JSON", ON_RESUME),
    QUIET_ROW(ON_RESUME),
    ABOUT_ROWS(common.about),
    { 0 }
};

const Preset settings_presets[] = {
    { "quick", "about a minute on two cores",
      { { "--family", "gpt2" }, { "--optimizer", "adamw" }, { "--layers", "4" }, { "--heads", "4" },
        { "--channels", "128" }, { "--context", "64" }, { "--batch", "16" }, { "--steps", "1200" },
        { "--lr", "4e-3" }, { "--min-lr", "1e-4" }, { "--warmup", "100" },
        { "--eval-every", "300" }, { NULL, NULL } } },
    { "nanogpt-cpu", "nanoGPT's shakespeare_char for a CPU",
      { { "--family", "gpt2" }, { "--optimizer", "adamw" }, { "--sampling", "random" },
        { "--layers", "4" }, { "--heads", "4" }, { "--channels", "128" }, { "--context", "64" },
        { "--batch", "12" }, { "--dropout", "0" }, { "--steps", "2000" }, { "--lr", "1e-3" },
        { "--min-lr", "1e-4" }, { "--warmup", "100" }, { "--beta2", "0.99" },
        { "--weight-decay", "0.1" }, { "--clip", "1" }, { "--eval-every", "250" },
        { "--eval-batches", "20" }, { "--separator", "off" }, { "--seed", "1337" },
        { NULL, NULL } } },
    { "nanogpt", "nanoGPT's shakespeare_char",
      { { "--family", "gpt2" }, { "--optimizer", "adamw" }, { "--sampling", "random" },
        { "--layers", "6" }, { "--heads", "6" }, { "--channels", "384" }, { "--context", "256" },
        { "--batch", "64" }, { "--dropout", "0.2" }, { "--steps", "5000" }, { "--lr", "1e-3" },
        { "--min-lr", "1e-4" }, { "--warmup", "100" }, { "--beta2", "0.99" },
        { "--weight-decay", "0.1" }, { "--clip", "1" }, { "--eval-every", "250" },
        { "--separator", "off" }, { "--seed", "1337" }, { NULL, NULL } } },
    { 0 }
};
