#!/usr/bin/env python3
"""Trains rungs of the ladder with PyTorch and with Folio, and compares; see parity.py.

    make && build/venv/bin/python tests/parity/ladder.py lstm
    build/venv/bin/python tests/parity/ladder.py made --masks 4

lstm is torch.nn.LSTM between an embedding and a linear layer, on Shakespeare. made is a masked
network over one-hot symbols, on rows of DNA. Initial weights, batches and masks are derived again
from base.h, text/windows.c and networks/, so both sides see the same text and only rounding
differs. The first seed is compared step by step, the others by where they end.
"""
import argparse
import json
import math
import pathlib
import statistics
import sys

import parity
from parity import F, np, torch

RNG_DROPOUT = 4
LINES = 200                     # scored one by one


# ---------------------------------------------------------------- windows (text/windows.c)

def permute(keys, index, n):
    """rng_permute of base.h, of each index with its key."""
    half = 1
    while 1 << 2 * half < n:
        half += 1
    mask, index = np.uint64((1 << half) - 1), parity.words(index)
    outside = np.full(index.shape, True)
    while outside.any():
        left, right = index >> np.uint64(half), index & mask
        for turn in range(8):
            key = parity.rng_bits(keys, turn)
            left, right = right, left ^ (parity.rng_bits(key, right) & mask)
        index = np.where(outside, left << np.uint64(half) | right, index)
        outside = index >= n
    return [int(i) for i in index]


def epoch_of(o, step, size):
    """Of each window of a step: the key of its epoch of `size` windows, and which one it is."""
    run = parity.rng_key(o.seed, 0, 0, parity.RNG_BATCH)
    numbers = np.arange(step * o.batch, (step + 1) * o.batch)
    keys = parity.rng_bits(run, numbers // size)
    return keys, permute(keys, numbers % size, size)


def initial_weights(o, table):
    """As model_init of networks/network.c: deviation x draw + start."""
    key, at, weights = parity.rng_key(o.seed, 0, 0, parity.RNG_INIT), 0, {}
    for name, shape, deviation, start in table:
        size = math.prod(shape)
        draws = parity.rng_normal(key, np.arange(at, at + size, dtype=np.uint64))
        values = (deviation * draws + start).astype(np.float32).reshape(shape)
        weights[name] = torch.nn.Parameter(torch.from_numpy(values))
        at += (size + 15) // 16 * 16
    return weights


def learning_rate(o, step):
    """Schedule wsd: the second half of the steps goes down along a line."""
    if step < o.warmup:
        return o.lr * (step + 1) / (o.warmup + 1)
    start = max(o.steps - o.steps // 2, o.warmup)
    return o.lr * (1 if step < start else 1 - (step - start) / (o.steps - start))


# ---------------------------------------------------------------- lstm

class Lstm:
    """Windows of a plain text, each once an epoch; protocol full."""

    def __init__(self, o):
        o.sampling, o.separator, o.split_documents = "epoch", "off", "off"
        o.settings += ["layers", "channels"]
        self.o, (self.train, self.val) = o, parity.read_text(o)
        self.ids = {symbol: i for i, symbol in enumerate(o.symbols)}
        self.start, self.end = "\n", ""                 # of a line that is scored by itself
        self.lines = self.val_text().splitlines()
        self.unit = "nats_per_char"

    def val_text(self):
        return "".join(self.o.symbols[i] for i in self.val.tolist())

    def table(self):
        C, V, table = self.o.channels, self.o.vocab, []
        table.append(("embedding.weight", (V, C), 0.5, 0))
        for l in range(self.o.layers):
            table.append((f"layers.{l}.input.weight", (4 * C, C), C**-0.5, 0))
            table.append((f"layers.{l}.recurrent.weight", (4 * C, C), C**-0.5, 0))
            table.append((f"layers.{l}.bias", (4 * C,), 0, np.repeat([0, 1, 0, 0], C)))
        return table + [("head.weight", (V, C), 0.5 * C**-0.5, 0), ("head.bias", (V,), 0, 0)]

    def network(self, w):
        """A function of x (B,T). Both have the gates i, f, g, o in this order; torch has a second
        bias, which stays 0."""
        C, L = self.o.channels, self.o.layers
        lstm = torch.nn.LSTM(C, C, L, batch_first=True)
        for l in range(L):
            setattr(lstm, f"weight_ih_l{l}", w[f"layers.{l}.input.weight"])
            setattr(lstm, f"weight_hh_l{l}", w[f"layers.{l}.recurrent.weight"])
            setattr(lstm, f"bias_ih_l{l}", w[f"layers.{l}.bias"])
            setattr(lstm, f"bias_hh_l{l}",
                    torch.nn.Parameter(torch.zeros(4 * C), requires_grad=False))
        return lambda x: F.linear(lstm(F.embedding(x, w["embedding.weight"]))[0],
                                  w["head.weight"], w["head.bias"])

    def batch(self, step):
        T, ring = self.o.context, len(self.train)
        keys, windows = epoch_of(self.o, step, ring // T)
        phases = [int(bits) * ring >> 64 for bits in parity.rng_bits(keys, 0)]
        at = torch.tensor([phase + window * T for phase, window in zip(phases, windows)])
        both = self.train[(at[:, None] + torch.arange(T + 1)) % ring]
        return both[:, :-1], both[:, 1:]

    def training_network(self, w):
        network = self.network(w)
        return lambda x, step: network(x)

    def validation(self, network):
        return parity.nats_per_character(network, self.val, self.o.context)


# ---------------------------------------------------------------- made

class Made:
    """Rows of a text, each a window and once an epoch; protocol documents."""

    def __init__(self, o):
        o.sampling, o.separator, o.split_documents = "document", "on", "LINE"
        o.settings += ["layers", "hidden", "masks"]
        rows = o.text.read_text().splitlines(keepends=True)
        o.symbols = ["-"] + sorted(set("".join(rows)))  # in a vocabulary "-" is the separator
        o.vocab, o.context = len(o.symbols), len(rows[0])
        self.o, self.ids = o, {symbol: i for i, symbol in enumerate(o.symbols)}
        windows = torch.tensor([[0] + [self.ids[s] for s in row] for row in rows])
        held_out = math.ceil(len(rows) / 10)
        self.train, self.val = windows[:-held_out], windows[-held_out:]
        self.start, self.end = "-", "\n"
        self.lines = [row.rstrip("\n") for row in rows[-held_out:]]
        self.unit = "nats_per_document"
        self.masks = [self.masks_of(k) for k in range(o.masks)]
        self.pairs = self.places_of_pairs()

    def table(self):
        d, V, H = self.o.context, self.o.vocab, self.o.hidden
        table = [("input.weight", (d * V, H), d**-0.5, 0), ("input.bias", (H,), 0, 0)]
        for l in range(1, self.o.layers):
            table.append((f"hidden.{l}.weight", (H, H), (2 / H)**0.5, 0))
            table.append((f"hidden.{l}.bias", (H,), 0, 0))
        return table + [("output.weight", (d * V, H), 0.1 * H**-0.5, 0),
                        ("output.bias", (d, V), 0, 0),
                        ("direct.weight", (d * (d + 1) // 2 * V, V), 0, 0)]

    def degrees(self, k):
        """Of set k, layer by layer: the last position that each unit may know."""
        d, H, least, degrees = self.o.context, self.o.hidden, 0, []
        for l in range(self.o.layers):
            key = parity.rng_key(0, k, l, parity.RNG_INIT)
            drawn = [least + i for i in parity.rng_below(key, H, d - least)]
            degree = [i * d // H for i in range(H)] if self.o.masks == 1 else drawn
            degrees.append(torch.tensor(degree))
            least = min(degree)
        return degrees

    def masks_of(self, k):
        """Input, hidden and output masks of set k: 1 where a weight counts."""
        degrees = self.degrees(k)
        position = torch.arange(self.o.context).repeat_interleave(self.o.vocab)
        masks = [position[:, None] <= degrees[0]]
        masks += [below <= above[:, None] for below, above in zip(degrees, degrees[1:])]
        return [m.float() for m in masks + [degrees[-1] <= position[:, None]]]

    def places_of_pairs(self):
        """Where in (d,V,d) the rows of direct.weight belong: in it u, symbol, t >= u."""
        d, V = self.o.context, self.o.vocab
        return torch.tensor([(u * V + v) * d + t
                             for u in range(d) for v in range(V) for t in range(u, d)])

    def logits(self, w, k, x):
        """x (B,d) -> logits (B,d,V) by set k."""
        d, V, masks = self.o.context, self.o.vocab, self.masks[k]
        seen = F.one_hot(x, V).float().flatten(1)
        h = F.relu(seen @ (w["input.weight"] * masks[0]) + w["input.bias"])
        for l in range(1, self.o.layers):
            name = f"hidden.{l}"
            h = F.relu(F.linear(h, w[name + ".weight"] * masks[l], w[name + ".bias"]))
        out = F.linear(h, w["output.weight"] * masks[-1], w["output.bias"].flatten())
        direct = torch.zeros(d * V * d, V).index_copy(0, self.pairs, w["direct.weight"])
        return (out + seen @ direct.view(d * V, d * V)).view(-1, d, V)

    def network(self, w):
        """A function of x: the log of the mean of all sets' probabilities."""
        def log_mean(x):
            sets = [F.log_softmax(self.logits(w, k, x), 2) for k in range(self.o.masks)]
            return torch.logsumexp(torch.stack(sets), 0) - math.log(self.o.masks)
        return log_mean

    def batch(self, step):
        rows = self.train[epoch_of(self.o, step, len(self.train))[1]]
        return rows[:, :-1], rows[:, 1:]

    def training_network(self, w):
        """Each step trains one set."""
        def logits(x, step):
            key = parity.rng_key(self.o.seed, 0, step, RNG_DROPOUT)
            draw = int(parity.rng_bits(key, self.o.layers)[0])
            return self.logits(w, draw * self.o.masks >> 64, x)
        return logits

    @torch.no_grad()
    def validation(self, network):
        x, y = self.val[:, :-1], self.val[:, 1:]
        losses = F.cross_entropy(network(x).flatten(0, 1), y.flatten(), reduction="none")
        return losses.double().mean().item()


# ---------------------------------------------------------------- comparing

def train_torch(o, family):
    w = initial_weights(o, family.table())
    network, training = family.network(w), family.training_network(w)

    def loss_at(step):
        x, y = family.batch(step)
        return F.cross_entropy(training(x, step).flatten(0, 1), y.flatten())

    return parity.train_torch(o, w, lambda step: learning_rate(o, step), loss_at,
                              lambda: family.validation(network))


def line_nats(o, family, network):
    """Nats of each of the first lines that are not blank, and a file with these lines."""
    lines = [line for line in family.lines if line.strip()][:LINES]
    path, nats = o.work / "lines.txt", []
    path.write_text("".join(line + "\n" for line in lines))
    for line in lines:
        ids = torch.tensor([family.ids[s] for s in [family.start, *line, *family.end]])
        nats.append(parity.nats_per_character(network, ids, o.context) * (len(ids) - 1))
    return path, nats


def compare_checkpoint(table, o, family, names):
    """PyTorch's losses at the weights of the checkpoint, and those of ./eval."""
    path, options = o.work / "run.bin", ["--json", "--quiet", "--threads", o.threads]
    w = {name: torch.nn.Parameter(t) for name, t in parity.load(path, names).items()}
    network = family.network(w)
    folio = json.loads(parity.run(o.programs / "eval", path, o.text, *options))
    nats = family.validation(network)
    table.row("./eval, same weights, nats a character", abs(nats - folio["nats_per_char"]), 1e-4,
              nats, folio["nats_per_char"])
    if family.unit == "nats_per_document":
        table.row("  the same, nats a document", abs(nats * o.context - folio[family.unit]), 1e-4,
                  nats * o.context, folio[family.unit])
    lines, nats = line_nats(o, family, network)
    folio = json.loads(parity.run(o.programs / "eval", path, lines, "--per-line", *options))
    folio = [-line["log_likelihood"] for line in folio["lines"]]
    worst = max(range(len(nats)), key=lambda i: abs(nats[i] - folio[i]))
    table.row(f"  of {len(nats)} lines, nats of the worst", abs(nats[worst] - folio[worst]), 1e-4,
              nats[worst], folio[worst])


def compare_ends(table, o, ends):
    """Where the seeds end: mean and deviation of both; apart by less than the seeds are."""
    ours, folio = zip(*ends)
    if len(ends) < 2:
        return
    noise = [statistics.stdev(side) for side in (ours, folio)]
    means = [statistics.mean(side) for side in (ours, folio)]
    table.row(f"mean of {len(ends)} seeds", abs(means[0] - means[1]), max(noise), *means)
    print(f"{'  deviation':38} {noise[0]:8.4f} {noise[1]:8.4f}")


def compare(o):
    torch.set_num_threads(o.threads)
    family = {"lstm": Lstm, "made": Made}[o.family](o)
    names = [row[0] for row in family.table()]
    print(f"{o.family}: " + ", ".join(f"{name} {getattr(o, name)}" for name in o.settings
                                      if name in ("layers", "channels", "hidden", "masks",
                                                  "context", "batch", "steps")))
    table, ends = parity.Table(), []
    for o.seed in range(1, o.seeds + 1):
        val_losses, records, weights, moments = train_torch(o, family)
        if o.seed == 1:
            parity.compare_start(table, o, weights, moments)
        log = parity.train_folio(o, "run")
        if o.seed == 1:
            parity.compare_run(table, o, val_losses, records, log)
            compare_checkpoint(table, o, family, names)
        else:
            end, folio = val_losses[o.steps], log[o.steps]["val_loss"]
            table.row(f"validation loss at the end, seed {o.seed}", abs(end - folio), o.limit, end,
                      folio)
        ends.append((val_losses[o.steps], log[o.steps]["val_loss"]))
    compare_ends(table, o, ends)
    print(f"ladder: {table.passed} passed, {table.failed} failed")
    return table.failed != 0


def parse():
    p = argparse.ArgumentParser(
        description="Compares Folio's training with PyTorch's, on the same batches.")
    p.add_argument("family", choices=("lstm", "made"))
    for option, value, what in (
            ("layers", 2, ""), ("channels", 64, "of lstm; "), ("hidden", 64, "of made; "),
            ("masks", 1, "sets of made; "), ("context", 64, "of lstm; "), ("batch", 16, ""),
            ("steps", 200, ""), ("warmup", 20, ""), ("seeds", 3, ""), ("threads", 1, "")):
        p.add_argument(f"--{option}", type=int, default=value, metavar="N",
                       help=f"{what}default {value}")
    p.add_argument("--lr", type=float, default=4e-3, metavar="X", help="default 0.004")
    p.add_argument("--limit", type=float, default=0.02, metavar="X",
                   help="how far losses may be apart while training (default 0.02)")
    p.add_argument("--programs", type=pathlib.Path, default=parity.ROOT, metavar="DIR",
                   help="where train and eval are")
    p.add_argument("--work", type=pathlib.Path, metavar="DIR",
                   help="keep checkpoints and logs here")
    o = p.parse_args()
    if o.steps < max(parity.FIRST_STEPS):
        p.error(f"--steps: at least {max(parity.FIRST_STEPS)}")
    o.text = parity.ROOT / "data" / ("shakespeare.txt" if o.family == "lstm" else "dna.txt")
    o.eval_every = max(o.steps // 4, 1)
    o.settings = ["family", "context", "batch", "steps", "lr", "min-lr", "warmup", "schedule",
                  "sampling", "separator", "split-documents", "hold-out", "seed", "threads"]
    o.min_lr, o.schedule, o.hold_out = 0, "wsd", "end"
    return o


if __name__ == "__main__":
    sys.exit(parity.in_folder(parse(), compare))
