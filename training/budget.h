/* budget.h: the settings that suit a time budget and a text: one measured table behind `train --minutes`.
 *
 * Owns: which model, batch and regularisation a run gets when its user names only the time. Lists of option values, as presets
 * are; a value that the user gives beats them. LAB.md says how they were measured.
 *
 *     const PresetValue *size = budget_size(1.2e13, 1003854);             floating-point operations; characters to train on
 *     const PresetValue *rest = budget_regularisation(8.5);               times that the text will be read
 */
#ifndef BUDGET_H
#define BUDGET_H

#include "../base.h"
#include "../cli/options.h"

/* Of every timed run. */
static const PresetValue budget_common[] = {
    { "--family", "qwen3" }, { "--optimizer", "muon" }, { "--lr", "0.02" }, { "--min-lr", "0" }, { "--warmup", "20" },
    { "--schedule", "wsd" }, { "--sampling", "epoch" }, { NULL, NULL }
};

/* The model and batch from so many operations on; and from so many characters for each of its parameters. */
typedef struct {
    double flops;
    size_t characters;
    PresetValue values[6];
} BudgetSize;

static const BudgetSize budget_sizes[] = {      /* the largest last */
    { 0, 0, { { "--layers", "3" }, { "--heads", "2" }, { "--channels", "64" }, { "--context", "128" }, { "--batch", "8" } } },
    { 3e12, 100000,
      { { "--layers", "4" }, { "--heads", "3" }, { "--channels", "96" }, { "--context", "128" }, { "--batch", "24" } } },
    { 1.2e13, 200000,
      { { "--layers", "4" }, { "--heads", "4" }, { "--channels", "128" }, { "--context", "256" }, { "--batch", "16" } } },
    { 2.5e13, 300000,
      { { "--layers", "5" }, { "--heads", "5" }, { "--channels", "160" }, { "--context", "256" }, { "--batch", "16" } } },
    { 1e14, 500000,
      { { "--layers", "6" }, { "--heads", "6" }, { "--channels", "192" }, { "--context", "256" }, { "--batch", "16" } } },
    { 1e15, 5000000,
      { { "--layers", "6" }, { "--heads", "6" }, { "--channels", "384" }, { "--context", "256" }, { "--batch", "32" } } },
};

/* What keeps a model from learning the text by heart, by how often it reads it. */
typedef struct {
    double epochs;
    PresetValue values[3];
} BudgetRegularisation;

static const BudgetRegularisation budget_regularisations[] = {
    { 0, { { "--dropout", "0" }, { "--weight-decay", "0" } } },
    { 5, { { "--dropout", "0.1" }, { "--weight-decay", "0.1" } } },
    { 30, { { "--dropout", "0.2" }, { "--weight-decay", "0.1" } } },
};

/* The last row whose two thresholds are reached. */
static inline const PresetValue *budget_size(double flops, size_t characters)
{
    const BudgetSize *best = budget_sizes;
    for (size_t i = 0; i < sizeof budget_sizes / sizeof budget_sizes[0]; i++)
        if (flops >= budget_sizes[i].flops && characters >= budget_sizes[i].characters) best = &budget_sizes[i];
    return best->values;
}

static inline const PresetValue *budget_regularisation(double epochs)
{
    const BudgetRegularisation *best = budget_regularisations;
    for (size_t i = 0; i < sizeof budget_regularisations / sizeof budget_regularisations[0]; i++)
        if (epochs >= budget_regularisations[i].epochs) best = &budget_regularisations[i];
    return best->values;
}

#endif
