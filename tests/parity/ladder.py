#!/usr/bin/env python3
"""Trains an LSTM and a MADE on the same batches with PyTorch and with Folio, and compares.

    make && build/venv/bin/python tests/parity/ladder.py

The initial weights come from Folio's checkpoint of step 0; batches and recipe are parity.py's.
PyTorch has its own torch.nn.LSTM and, for MADE, masks made here from the definition in
networks/made.c. Compared are the losses during training, and at the end what both say of the same
weights. One line per comparison; the exit status is the verdict.
"""
import argparse
import json
import pathlib
import sys
import tempfile

import parity
from parity import F, safe_open, torch

STEPS, BATCH, SEED = 300, 12, 1


# ---------------------------------------------------------------- the networks

def lstm_logits(w, o, x):
    """x (B,T) -> logits (B,T,V). torch.nn.LSTM has the gates in our order i, f, g, o, and a
    second bias, which is zero here."""
    a = w["embedding.weight"][x]
    zero = torch.zeros(1, x.shape[0], o.channels)
    for i in range(o.layers):
        layer = f"layers.{i}."
        bias = torch.cat([w[layer + "bias." + gates] for gates in ("i", "f", "go")])
        weights = [w[layer + "input.weight"], w[layer + "recurrent.weight"], bias,
                   torch.zeros_like(bias)]
        a = torch.lstm(a, (zero, zero), weights, True, 1, 0.0, False, False, True)[0]
    return F.linear(a, w["head.weight"], w["head.bias"])


def made_logits(w, o, x):
    """x (B,T) -> logits (B,T,V). Unit k of each layer may know positions up to its degree
    k d / H; pairs of positions u <= t are connected directly, too."""
    (B, T), d, H, V = x.shape, o.context, o.hidden, o.vocab
    degree = torch.arange(H) * d // H
    seen = (torch.arange(d)[:, None] <= degree).float()            # (d,H)
    rows = w["input.weight"].view(d, V, H) * seen[:, None, :]
    h = torch.relu(w["input.bias"] + rows[torch.arange(T), x].sum(1))
    for i in range(1, o.layers):
        mask = (degree <= degree[:, None]).float()
        h = torch.relu(F.linear(h, w[f"hidden.{i}.weight"] * mask, w[f"hidden.{i}.bias"]))
    known = (degree <= torch.arange(d)[:, None]).float()
    outputs = w["output.weight"].view(d, V, H) * known[:, None, :]
    logits = torch.einsum("bh,tvh->btv", h, outputs[:T]) + w["output.bias"][:T]
    first = 0
    for u in range(T):
        block = w["direct.weight"][first:first + V * (d - u)].view(V, d - u, V)
        logits = logits + F.pad(block[x[:, u], :T - u], (0, 0, u, 0))
        first += V * (d - u)
    return logits


NETWORKS = {
    "lstm": (lstm_logits, {"layers": 2, "channels": 64, "context": 64}),
    "made": (made_logits, {"layers": 2, "hidden": 96, "context": 16}),
}


# ---------------------------------------------------------------- both sides

def folio(o, name, *more):
    """Trains into <name>.bin and <name>.last.bin of the working folder; the log by step."""
    out, log = o.work / f"{name}.bin", o.work / f"{name}.log"
    sizes = [word for size in o.sizes.items() for word in (f"--{size[0]}", size[1])]
    parity.run(o.programs / "train", o.text, "--family", o.family, *sizes, "--batch", BATCH,
               "--steps", STEPS, "--seed", SEED, "--lr", parity.LR, "--min-lr", parity.MIN_LR,
               "--warmup", parity.WARMUP, "--beta2", parity.BETAS[1], "--sampling", "random",
               "--weight-decay", parity.WEIGHT_DECAY, "--clip", parity.CLIP, "--separator", "off",
               "--eval-every", STEPS, "--threads", 1, "--overwrite", "--quiet", "--out", out,
               "--log", log, *more)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    return {line["step"]: line for line in lines if "step" in line}


def weights_of(path):
    """The weights of a checkpoint by name, without moments and scalars."""
    with safe_open(str(path), "pt") as f:
        names = [n for n in f.keys() if not n.startswith(("optim.", "train.", "history."))]
        return {name: f.get_tensor(name) for name in names}


def train_torch(o, w, train):
    """Runs the recipe from the weights w, which it changes; the loss of each step."""
    matrices = [t for name, t in w.items() if t.dim() == 2 and name.endswith("weight")]
    others = [t for name, t in w.items() if not (t.dim() == 2 and name.endswith("weight"))]
    adamw = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": parity.WEIGHT_DECAY},
         {"params": others, "weight_decay": 0.0}], lr=parity.LR, betas=parity.BETAS, eps=1e-8)
    losses = {}
    for step in range(STEPS):
        x, y = parity.batch_of(train, o, step)
        loss = F.cross_entropy(o.logits(w, o, x).flatten(0, 1), y.flatten())
        adamw.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(w.values(), parity.CLIP)
        for group in adamw.param_groups:
            group["lr"] = parity.learning_rate(o, step)
        adamw.step()
        losses[step + 1] = loss.item()
    return losses


def compare_family(table, o, train, val):
    """The losses of training from the same weights, and of the same weights in the end."""
    folio(o, "zero", "--stop-at", 1, "--lr", 0, "--min-lr", 0)
    log = folio(o, "run")
    w = {name: t.requires_grad_() for name, t in weights_of(o.work / "zero.last.bin").items()}
    losses = train_torch(o, w, train)
    for first, last in ((1, 100), (101, STEPS)):
        apart = [abs(losses[s] - log[s]["loss"]) for s in range(first, last + 1)]
        table.row(f"{o.family}: training loss, {first} to {last}", sum(apart) / len(apart), 1e-3)
    nats = parity.nats_per_character(lambda x: o.logits(w, o, x), val, o.context)
    trained = o.work / "run.last.bin"
    scored = json.loads(parity.run(o.programs / "eval", trained, o.text, "--json", "--quiet",
                                   "--protocol", "full"))["nats_per_char"]
    table.row(f"{o.family}: validation loss, step {STEPS}", abs(nats - scored), 5e-3, nats, scored)
    own = weights_of(trained)
    nats = parity.nats_per_character(lambda x: o.logits(own, o, x), val, o.context)
    table.row(f"{o.family}: ./eval, same weights", abs(nats - scored), 1e-4, nats, scored)


def main():
    """Both networks; the exit status."""
    p = argparse.ArgumentParser(description="Compares Folio's lstm and made with PyTorch's.")
    p.add_argument("--programs", type=pathlib.Path, default=parity.ROOT, metavar="DIR",
                   help="where train and eval are")
    o = p.parse_args()
    o.text = parity.ROOT / "data" / "shakespeare.txt"
    o.batch, o.steps, o.seed = BATCH, STEPS, SEED
    torch.set_num_threads(1)
    train, val = parity.read_text(o)
    table = parity.Table()
    with tempfile.TemporaryDirectory() as folder:
        o.work = pathlib.Path(folder)
        for o.family, (o.logits, o.sizes) in NETWORKS.items():
            vars(o).update(o.sizes)
            compare_family(table, o, train, val)
    print(f"ladder: {table.passed} passed, {table.failed} failed")
    return table.failed != 0


if __name__ == "__main__":
    sys.exit(main())
