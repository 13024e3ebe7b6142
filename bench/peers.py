#!/usr/bin/env python3
"""Whole training steps of Folio and of PyTorch, measured in turn, and their ratios.

    sh bench/peers.sh                           (installs and builds first, then runs this file)
    build/venv/bin/python bench/peers.py --only nanogpt-cpu --rounds 3

A step draws the batch, goes forward and backward with dropout, clips the gradient and updates
the weights: the same shapes and settings as in bench.c. Each measurement is a separate process,
and a round makes one of each, so that a disturbance affects all of them. "tuned": glibc keeps
freed memory; by default it returns every large tensor to the kernel, and each step has the page
faults again.
"""
import argparse
import dataclasses
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

ROOT = pathlib.Path(__file__).resolve().parent.parent
TUNED = {"MALLOC_MMAP_THRESHOLD_": "100000000000", "MALLOC_TRIM_THRESHOLD_": "100000000000",
         "MALLOC_TOP_PAD_": "1000000000"}
VARIANTS = ("eager fp32", "compiled fp32", "eager fp32 tuned", "compiled fp32 tuned",
            "eager bf16 tuned", "compiled bf16 tuned")
LEAST_SECONDS = 1.0         # of a measurement
MUON_MOMENTUM, NEWTON_SCHULZ = 0.95, (3.4445, -4.7750, 2.0315)
ADAMW_SHARE = 0.25          # of Muon's learning rate


@dataclasses.dataclass
class Shape:
    """What bench.c calls a workload."""
    layers: int
    heads: int
    channels: int
    hidden: int
    context: int
    batch: int
    lr: float
    dropout: float = 0.0
    decay: float = 0.1
    modern: bool = False        # qwen3 with Muon instead of gpt2 with AdamW
    untimed: int = 5            # steps before the clock starts
    rounds: int = 99            # at most


SHAPES = {
    "nanogpt-cpu": Shape(4, 4, 128, 512, 64, 12, 1e-3),
    "qwen3-muon": Shape(4, 4, 128, 384, 128, 16, 0.02, modern=True, decay=0.0),
    "nanogpt": Shape(6, 6, 384, 1536, 256, 64, 1e-3, dropout=0.2, untimed=1, rounds=2),
}

# ---------------------------------------------------------------- the model


def rotary_angles(shape):
    half = shape.channels // shape.heads // 2
    angles = torch.outer(torch.arange(shape.context), 10000.0 ** (-torch.arange(half) / half))
    return torch.cat((angles, angles), -1).cos(), torch.cat((angles, angles), -1).sin()


def rotate(x, cosine, sine):
    a, b = x.chunk(2, -1)
    return x * cosine + torch.cat((-b, a), -1) * sine


class Block(nn.Module):
    def __init__(self, shape):
        super().__init__()
        C, D = shape.channels, shape.channels // shape.heads
        norm = nn.RMSNorm if shape.modern else lambda size, eps: nn.LayerNorm(size, eps, bias=False)
        eps = 1e-6 if shape.modern else 1e-5
        self.shape, self.size = shape, D
        self.norm1, self.norm2 = norm(C, eps=eps), norm(C, eps=eps)
        self.qkv = nn.Linear(C, 3 * C, bias=False)
        self.project = nn.Linear(C, C, bias=False)
        ups = 2 if shape.modern else 1                      # modern: gate and up
        self.up = nn.Linear(C, shape.hidden * ups, bias=False)
        self.down = nn.Linear(shape.hidden, C, bias=False)
        if shape.modern:
            self.norm_q, self.norm_k = nn.RMSNorm(D, eps=eps), nn.RMSNorm(D, eps=eps)

    def attention(self, x, angles):
        B, T, C = x.shape
        q, k, v = (part.view(B, T, -1, self.size).transpose(1, 2)
                   for part in self.qkv(x).split(C, -1))
        if self.shape.modern:
            q, k = rotate(self.norm_q(q.float()), *angles), rotate(self.norm_k(k.float()), *angles)
        drop = self.shape.dropout if self.training and not self.shape.modern else 0.0
        mixed = F.scaled_dot_product_attention(q, k, v, dropout_p=drop, is_causal=True)
        return self.project(mixed.transpose(1, 2).reshape(B, T, C))

    def mlp(self, x):
        x = self.up(x)
        if self.shape.modern:
            gate, x = x.chunk(2, -1)
            return self.down(F.silu(gate) * x)
        return self.down(F.gelu(x))

    def forward(self, x, angles):
        x = x + F.dropout(self.attention(self.norm1(x), angles), self.shape.dropout, self.training)
        return x + F.dropout(self.mlp(self.norm2(x)), self.shape.dropout, self.training)


class Decoder(nn.Module):
    """A gpt2 or a qwen3 with a tied head; forward gives the mean loss in nats."""

    def __init__(self, shape, vocab):
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(vocab, shape.channels)
        self.positions = None if shape.modern else nn.Embedding(shape.context, shape.channels)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.norm = (nn.RMSNorm(shape.channels, eps=1e-6) if shape.modern
                     else nn.LayerNorm(shape.channels, bias=False))
        for i, angle in enumerate(rotary_angles(shape)):
            self.register_buffer(f"angles{i}", angle, persistent=False)
        for p in self.parameters():
            if p.dim() == 2:
                nn.init.normal_(p, std=0.02)

    def forward(self, x, y):
        h = self.embedding(x)
        if self.positions is not None:
            h = F.dropout(h + self.positions.weight, self.shape.dropout, self.training)
        for block in self.blocks:
            h = block(h, (self.angles0, self.angles1))
        logits = F.linear(self.norm(h), self.embedding.weight)
        return F.cross_entropy(logits.flatten(0, 1), y.flatten())

# ---------------------------------------------------------------- the optimizer


def orthogonalise(x):
    """Five Newton-Schulz steps on a stack (n, rows, cols), rows <= cols."""
    a, b, c = NEWTON_SCHULZ
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(5):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x


class Muon:
    """Muon for groups of matrices of one shape, each group in one stack. q, k, v and gate, up are
    separate matrices."""

    def __init__(self, blocks, shape, compiled):
        self.lr, self.decay = shape.lr, shape.decay
        self.orthogonalise = (torch.compile(orthogonalise, dynamic=False) if compiled
                              else orthogonalise)
        square = [(b.qkv.weight, 3) for b in blocks] + [(b.project.weight, 1) for b in blocks]
        tall = [(b.up.weight, 2) for b in blocks]
        wide = [(b.down.weight, 1) for b in blocks]
        self.groups = [[group, None] for group in (square, tall, wide)]

    @torch.no_grad()
    def step(self):
        for group in self.groups:
            weights = [w for p, parts in group[0] for w in p.chunk(parts)]
            grads = torch.stack([g for p, parts in group[0] for g in p.grad.chunk(parts)])
            rows, cols = weights[0].shape
            if group[1] is None:
                group[1] = torch.zeros_like(grads)
            group[1].mul_(MUON_MOMENTUM).add_(grads)
            update = grads.add_(group[1], alpha=MUON_MOMENTUM)
            update = (self.orthogonalise(update.mT.contiguous()).mT if rows > cols
                      else self.orthogonalise(update))
            rate = self.lr * max(1, rows / cols) ** 0.5
            for w, direction in zip(weights, update):
                w.mul_(1 - self.lr * self.decay).sub_(direction, alpha=rate)


def optimizers(model, shape, compiled):
    hidden = {id(p) for p in model.blocks.parameters() if p.dim() == 2} if shape.modern else set()
    rest = [p for p in model.parameters() if id(p) not in hidden]
    groups = [{"params": [p for p in rest if p.dim() == 2], "weight_decay": shape.decay},
              {"params": [p for p in rest if p.dim() == 1], "weight_decay": 0.0}]
    adamw = torch.optim.AdamW(groups, lr=shape.lr * (ADAMW_SHARE if shape.modern else 1),
                              betas=(0.9, 0.99), fused=True)
    return [adamw, Muon(model.blocks, shape, compiled)] if shape.modern else [adamw]

# ---------------------------------------------------- one measurement, in a separate process


def measure(name, variant, threads):
    """Prints {"ms": milliseconds of a step, "loss": the last one}."""
    shape, compiled = SHAPES[name], "compiled" in variant
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    text = (ROOT / "data" / "shakespeare.txt").read_text(encoding="utf-8")
    symbols = {c: i for i, c in enumerate(sorted(set(text)))}
    train = torch.tensor([symbols[c] for c in text[:len(text) * 9 // 10]])
    windows = train.unfold(0, shape.context + 1, 1)
    model = Decoder(shape, len(symbols)).train()
    updates = optimizers(model, shape, compiled)
    forward = torch.compile(model, dynamic=False) if compiled else model

    def step():
        batch = windows[torch.randint(len(windows), (shape.batch,))]
        with torch.autocast("cpu", torch.bfloat16, enabled="bf16" in variant):
            loss = forward(batch[:, :-1], batch[:, 1:])
        model.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for update in updates:
            update.step()
        return loss.item()

    for _ in range(shape.untimed):
        step()
    start, steps, seconds = time.perf_counter(), 0, 0.0
    while seconds < LEAST_SECONDS:
        loss = step()
        steps += 1
        seconds = time.perf_counter() - start
    print(json.dumps({"ms": 1e3 * seconds / steps, "loss": loss}))

# ---------------------------------------------------------------- rounds


def output_of(command, environment=None):
    """The JSON that a command prints; its error message, as text, if it fails."""
    done = subprocess.run([str(word) for word in command], cwd=ROOT, capture_output=True, text=True,
                          env={**os.environ, **(environment or {})}, check=False)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        return lines[-1]
    return json.loads(done.stdout.splitlines()[-1])


def measure_folio(name, o):
    """bench's description of this machine, and its row for all threads of the fastest instruction
    set."""
    limit = ["--threads", o.threads] if o.threads else []
    bench = output_of([ROOT / "build" / "o" / "bench", "--json", "--rounds", 1, "--only", name,
                       *limit])
    if isinstance(bench, str):
        sys.exit(f"peers: {bench}")
    return bench, next(row for row in bench[name] if row["threads"] == bench["threads"])


def measure_torch(name, variant, threads):
    cache = {"TORCHINDUCTOR_CACHE_DIR": str(ROOT / "build" / "inductor")}
    command = [sys.executable, __file__, "--measure", variant, "--only", name, "--threads", threads]
    return output_of(command, {**cache, **(TUNED if "tuned" in variant else {})})


def run_rounds(o, names):
    """rows[name, program, variant] = [ms of each round], or the error message; and bench's
    description of this machine."""
    rows = {}
    for number in range(o.rounds):
        for name in (n for n in names if number < SHAPES[n].rounds):
            bench, row = measure_folio(name, o)
            rows.setdefault((name, "folio", row["isa"]), []).append(row["ms_per_step"])
            for variant in (v for v in VARIANTS if o.variant in v):
                key = (name, "pytorch", variant)
                if isinstance(rows.get(key), str):
                    continue
                if sys.stderr.isatty():
                    print(f"\r\033[Kround {number + 1} of {o.rounds}: {name}, {variant}", end="",
                          file=sys.stderr)
                result = measure_torch(name, variant, bench["threads"])
                if isinstance(result, str):
                    rows[key] = result
                else:
                    rows.setdefault(key, []).append(result["ms"])
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    return rows, bench


def print_table(rows, bench, o):
    isa = next(variant for _, program, variant in rows if program == "folio")
    print(f"{bench['processor']}, {isa}, threads: {bench['threads']}\n"
          f"folio {bench['version']}, {bench['compiler']}; PyTorch {torch.__version__}, "
          f"{torch.backends.cpu.get_cpu_capability()},\nPython {platform.python_version()}; "
          f"rounds: {o.rounds}, of nanogpt {SHAPES['nanogpt'].rounds} at most; "
          "ms/step is their median\n")
    print(f"{'steps of':12}{'program':9}{'variant':21}"
          f"{'ms/step':>10}{'min':>10}{'max':>10}{'ratio':>7}")
    ordered = sorted(rows.items(), key=lambda row: list(SHAPES).index(row[0][0]))
    for (name, program, variant), ms in ordered:
        if program == "folio":
            folio = statistics.median(ms)
        start = f"{name:12}{program:9}{variant:21}"
        if isinstance(ms, str):
            print(f"{start}  {ms:.36}")
        else:
            median = statistics.median(ms)
            print(f"{start}{median:10.1f}{min(ms):10.1f}{max(ms):10.1f}{median / folio:7.2f}")
    print("\nratio: of the medians, PyTorch's time to Folio's; above 1 Folio is faster.\n"
          "tuned: glibc keeps freed memory. bf16: autocast; Folio computes in fp32.")


def parse():
    p = argparse.ArgumentParser(
        description="Whole training steps of Folio and of PyTorch, in turn, and their ratios.")
    p.add_argument("--rounds", type=int, default=5, metavar="N",
                   help="measurements of everything (of nanogpt: 2 at most)")
    p.add_argument("--quick", action="store_true", help="leave out nanogpt")
    p.add_argument("--only", choices=SHAPES, help="only these steps")
    p.add_argument("--variant", default="", metavar="WORD",
                   help="only PyTorch's variants with this in their name; "
                        f"there are: {', '.join(VARIANTS)}")
    p.add_argument("--threads", type=int, metavar="N",
                   help="default: what the machine or container has")
    p.add_argument("--json", action="store_true", help="print the result as JSON")
    p.add_argument("--measure", choices=VARIANTS, metavar="VARIANT",
                   help="one measurement of --only; used by the rounds")
    o = p.parse_args()
    if o.rounds < 1:
        p.error("--rounds: at least 1")
    return o


def main():
    o = parse()
    if o.measure:
        return measure(o.only, o.measure, o.threads)
    names = [o.only] if o.only else [n for n in SHAPES if n != "nanogpt" or not o.quick]
    rows, bench = run_rounds(o, names)
    if o.json:
        keys = ("processor", "version", "compiler", "threads")
        steps = [dict(zip(("of", "program", "variant", "ms"), (*key, ms)))
                 for key, ms in rows.items()]
        print(json.dumps({**{k: bench[k] for k in keys}, "torch": torch.__version__,
                          "steps": steps}))
    else:
        print_table(rows, bench, o)
    return any(isinstance(ms, str) for ms in rows.values())


if __name__ == "__main__":
    sys.exit(main())
