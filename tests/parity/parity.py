#!/usr/bin/env python3
"""Trains the same model on the same batches with PyTorch and with Folio, and compares.

    make && build/venv/bin/python tests/parity/parity.py
    build/venv/bin/python tests/parity/parity.py --steps 40 --bias on       (seconds, not minutes)

Initial weights and batches are derived again here from the definitions in base.h, model.h and
corpus.h, so both sides start equal and see the same text; after that only rounding differs.
Compared are the initial weights, the gradient and the weights after the first steps, the losses
during training, and the losses that PyTorch and transformers compute from the weights in Folio's
checkpoint. One line per comparison; the exit status is the verdict.
"""
import argparse
import json
import math
import pathlib
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import torch
    import torch.nn.functional as F
    import transformers
    from safetensors import safe_open
except ImportError as missing:
    sys.exit(f"parity: {missing}; sh tests/parity/install.sh makes build/venv, "
             "which has all that is needed")

ROOT = pathlib.Path(__file__).resolve().parents[2]

# The recipe: the settings of --preset nanogpt-cpu that are not among the options below.
LR, MIN_LR, WARMUP, BETAS, WEIGHT_DECAY, CLIP = 1e-3, 1e-4, 100, (0.9, 0.99), 0.1, 1.0
EVAL_CHARACTERS = 120000        # of the validation part, while training
FIRST_STEPS = (1, 10)           # after which the weights are compared


# ---------------------------------------------------------------- randomness (base.h)

RNG_INIT, RNG_BATCH = 1, 2
GOLDEN = 0x9E3779B97F4A7C15


def mix64(z):
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def words(values):
    return np.atleast_1d(np.asarray(values, dtype=np.uint64))


def rng_bits(key, index):
    return mix64(key + (words(index) + np.uint64(1)) * np.uint64(GOLDEN))


def rng_key(seed, attempt, step, purpose):
    return rng_bits(rng_bits(rng_bits(mix64(words(seed)), attempt), step), purpose)


def rng_uniform(key, index):
    return (rng_bits(key, index) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def rng_below(key, count, n):
    """Draws 0 .. count - 1 of the stream, each in 0 .. n - 1: the high 64 bits of draw x n."""
    return [int(bits) * n >> 64 for bits in rng_bits(key, np.arange(count))]


def rng_normal(key, index):
    u, v = 1.0 - rng_uniform(key, 2 * index), rng_uniform(key, 2 * index + 1)
    return np.sqrt(-2.0 * np.log(u)) * np.cos(2.0 * math.pi * v)


# -------------------------------------------------- the model, in functions over a dictionary

def tensor_table(o):
    """(name, shape, deviation) of every tensor, in Folio's order; deviation None: constant.
    y = x w^T + b."""
    C, table, residual = o.channels, [], 0.02 / math.sqrt(2.0 * o.layers)

    def linear(name, outputs, inputs, deviation):
        table.append((name + ".weight", (outputs, inputs), deviation))
        if o.bias == "on":
            table.append((name + ".bias", (outputs,), None))

    def norm(name):
        table.append((name + ".weight", (C,), None))
        if o.bias == "on":
            table.append((name + ".bias", (C,), None))

    table.append(("transformer.wte.weight", (o.vocab, C), 0.02))
    table.append(("transformer.wpe.weight", (o.context, C), 0.02))
    for i in range(o.layers):
        h = f"transformer.h.{i}"
        norm(h + ".ln_1")
        linear(h + ".attn.c_attn", 3 * C, C, 0.02)
        linear(h + ".attn.c_proj", C, C, residual)
        norm(h + ".ln_2")
        linear(h + ".mlp.c_fc", 4 * C, C, 0.02)
        linear(h + ".mlp.c_proj", C, 4 * C, residual)
    norm("transformer.ln_f")
    return table


def initial_weights(o):
    """Element i of the tensor at offset `at` is draw at + i. Tensors start at multiples of 16
    elements."""
    key, at, weights = rng_key(o.seed, 0, 0, RNG_INIT), 0, {}
    for name, shape, deviation in tensor_table(o):
        size = math.prod(shape)
        if deviation is None:
            values = np.full(size, 1.0 if name.endswith("weight") else 0.0)
        else:
            values = deviation * rng_normal(key, np.arange(at, at + size, dtype=np.uint64))
        weights[name] = torch.from_numpy(values.astype(np.float32).reshape(shape)).requires_grad_()
        at += (size + 15) // 16 * 16
    return weights


def logits_of(w, o, x):
    """x (B,T) -> logits (B,T,V)."""
    def linear(a, name):
        return F.linear(a, w[name + ".weight"], w.get(name + ".bias"))

    def norm(a, name):
        return F.layer_norm(a, (o.channels,), w[name + ".weight"], w.get(name + ".bias"), 1e-5)

    B, T = x.shape
    wte = w["transformer.wte.weight"]
    res = wte[x] + w["transformer.wpe.weight"][:T]
    for i in range(o.layers):
        h = f"transformer.h.{i}"
        qkv = linear(norm(res, h + ".ln_1"), h + ".attn.c_attn")
        q, k, v = (part.view(B, T, o.heads, -1).transpose(1, 2)
                   for part in qkv.split(o.channels, dim=2))
        heads = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        res = res + linear(heads.transpose(1, 2).reshape(B, T, o.channels), h + ".attn.c_proj")
        hidden = linear(norm(res, h + ".ln_2"), h + ".mlp.c_fc")
        hidden = F.gelu(hidden, approximate="tanh" if o.gelu == "tanh" else "none")
        res = res + linear(hidden, h + ".mlp.c_proj")
    return norm(res, "transformer.ln_f") @ wte.T


# ------------------------------------------------------ text and protocol (corpus.h, evaluate.h)

def read_text(o):
    """Ids of the training part and of the validation part; sets the vocabulary."""
    text = o.text.read_bytes().decode("utf-8")
    o.symbols = sorted(set(text))
    o.vocab = len(o.symbols)
    ids = {symbol: i for i, symbol in enumerate(o.symbols)}
    whole = torch.tensor([ids[symbol] for symbol in text])
    cut = len(whole) * 9 // 10
    return whole[:cut], whole[cut:]


def batch_of(train, o, step):
    key = rng_key(o.seed, 0, step, RNG_BATCH)
    starts = rng_below(key, o.batch, len(train) - o.context)
    return (torch.stack([train[s + d:s + d + o.context] for s in starts]) for d in (0, 1))


@torch.no_grad()
def nats_per_character(logits, ids, context, most=math.inf):
    """Protocol full: consecutive windows of the context, the last shorter; of a part with more
    than `most` characters only most / context windows, evenly spaced."""
    targets = len(ids) - 1
    whole, total, count = targets // context, 0.0, 0
    if targets > most and max(most // context, 1) < whole:
        sample = max(most // context, 1)
        windows = [(i * whole // sample * context, context) for i in range(sample)]
    else:
        windows = [(s, min(context, targets - s)) for s in range(0, targets, context)]
    full = [s for s, n in windows if n == context]
    groups = [(full[i:i + 64], context) for i in range(0, len(full), 64)]
    groups += [([s], n) for s, n in windows if n < context]
    for starts, n in groups:
        x, y = (torch.stack([ids[s + d:s + d + n] for s in starts]) for d in (0, 1))
        losses = F.cross_entropy(logits(x).flatten(0, 1), y.flatten(), reduction="none")
        total += losses.double().sum().item()
        count += losses.numel()
    return total / count


# ---------------------------------------------------------------- training with PyTorch

def learning_rate(o, step):
    if step < WARMUP:
        return LR * (step + 1) / (WARMUP + 1)
    done = (step - WARMUP) / (o.steps - WARMUP)
    return MIN_LR + 0.5 * (1 + math.cos(math.pi * done)) * (LR - MIN_LR)


def copy_of(tensors):
    return {name: t.detach().clone() for name, t in tensors.items()}


def adamw_of(w):
    """Matrices decay; biases and gains do not."""
    groups = [{"params": [], "weight_decay": decay} for decay in (0.0, WEIGHT_DECAY)]
    for name, t in w.items():
        groups[t.dim() == 2 and name.endswith(".weight")]["params"].append(t)
    return torch.optim.AdamW(groups, betas=BETAS, eps=1e-8)


def train_torch(o, w, rate, loss_at, validate):
    """Trains the tensors w: rate(step), loss_at(step) of a batch, validate(). Returns val losses
    by step, one record per step, weights after FIRST_STEPS (and at the start, step 0), and the
    first moments after step 1: 0.1 x the clipped gradient."""
    adamw = adamw_of(w)
    val_losses, records, weights, moments = {}, {}, {0: copy_of(w)}, None
    for step in range(o.steps + 1):
        if step % o.eval_every == 0 or step == o.steps:
            loss = validate()
            val_losses[step] = loss
            print(f"parity: torch, step {step}/{o.steps}, val {loss:.4f}", file=sys.stderr,
                  flush=True)
        if step == o.steps:
            break
        loss = loss_at(step)
        adamw.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(w.values(), CLIP)
        for group in adamw.param_groups:
            group["lr"] = rate(step)
        adamw.step()
        records[step + 1] = {"loss": loss.item(), "grad_norm": norm.item(), "lr": rate(step)}
        if step + 1 in FIRST_STEPS:
            weights[step + 1] = copy_of(w)
        if step == 0:
            moments = {name: adamw.state[t]["exp_avg"].clone() for name, t in w.items()}
    return val_losses, records, weights, moments


def train_gpt(o, train, val):
    """The recipe."""
    w = initial_weights(o)

    def loss_at(step):
        x, y = batch_of(train, o, step)
        return F.cross_entropy(logits_of(w, o, x).flatten(0, 1), y.flatten())

    def validate():
        return nats_per_character(lambda x: logits_of(w, o, x), val, o.context, EVAL_CHARACTERS)

    return train_torch(o, w, lambda step: learning_rate(o, step), loss_at, validate)


# ---------------------------------------------------------------- Folio

def run(*command):
    """Standard output of a program; a program that fails ends the comparison."""
    try:
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    except OSError as error:
        sys.exit(f"parity: {command[0]} cannot be run ({error.strerror}); try make first")
    if done.returncode != 0:
        sys.exit(f"parity: {command[0]} ended with status {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def train_folio(o, run_name, *more):
    """Trains into <run_name>.bin and <run_name>.last.bin of the working folder. Returns the log
    by step."""
    out, log = o.work / f"{run_name}.bin", o.work / f"{run_name}.log"
    settings = []
    for name in o.settings:
        settings += [f"--{name}", getattr(o, name.replace("-", "_"))]
    run(o.programs / "train", o.text, "--preset", "nanogpt-cpu", *settings,
        "--eval-every", o.eval_every, "--eval-batches", 0, "--overwrite", "--quiet",
        "--out", out, "--log", log, *more)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    return {line["step"]: line for line in lines if "step" in line}


def load(path, names, prefix=""):
    """Tensors of a checkpoint by name. A block's matrices are stored (in, out) and turned here;
    an LSTM's bias is stored in parts, which are joined."""
    tensors = {}
    with safe_open(str(path), "pt") as f:
        stored = set(f.keys())
        for name in names:
            parts = [prefix + name + part for part in ("", ".i", ".f", ".go")]
            t = torch.cat([f.get_tensor(part) for part in parts if part in stored])
            tensors[name] = t.T.contiguous() if t.dim() == 2 and ".h." in name else t
    return tensors


def transformers_model(path, o):
    """GPT2LMHeadModel with a checkpoint's weights. It has biases: where Folio has none they are
    zero."""
    config = transformers.GPT2Config(
        vocab_size=o.vocab, n_positions=o.context, n_embd=o.channels, n_layer=o.layers,
        n_head=o.heads, activation_function="gelu_new" if o.gelu == "tanh" else "gelu",
        layer_norm_epsilon=1e-5, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
        bos_token_id=None, eos_token_id=None, attn_implementation="eager")
    model = transformers.GPT2LMHeadModel(config).eval()
    with safe_open(str(path), "pt") as f:
        stored = {name: f.get_tensor(name) for name in f.keys() if name.startswith("transformer.")}
    missing, unknown = model.load_state_dict(stored, strict=False)
    may_be_missing = (".bias", "lm_head.weight") if o.bias == "off" else "lm_head.weight"
    absent = [name for name in missing if not name.endswith(may_be_missing)]
    if absent or unknown:
        sys.exit(f"parity: transformers lacks the tensors {absent} and does not know {unknown}")
    with torch.no_grad():
        for name in missing:
            if name.endswith(".bias"):
                model.get_parameter(name).zero_()
    return model


# ---------------------------------------------------------------- comparing

class Table:
    """One line of at most 80 columns per comparison; counts those that passed."""

    def __init__(self):
        self.passed = self.failed = 0
        print(f"{'':38} {'torch':>8} {'folio':>8}  {'apart':>7}  limit")

    def row(self, what, apart, limit, torch_value=None, folio_value=None):
        a, b = ("" if v is None else f"{v:.4f}" for v in (torch_value, folio_value))
        good = apart <= limit                           # false for NaN
        self.passed += good
        self.failed += not good
        print(f"{what:38} {a:>8} {b:>8}  {apart:7.1e}  {limit:.0e}  {'ok' if good else 'FAILED'}",
              flush=True)


def farthest(a, b):
    return max((a[name] - b[name]).abs().max().item() for name in a)


def flat(tensors):
    return torch.cat([t.flatten().double() for t in tensors.values()])


def compare_start(table, o, torch_weights, moments):
    names = list(moments)
    train_folio(o, "zero", "--stop-at", 1, "--lr", 0, "--min-lr", 0)
    start = load(o.work / "zero.last.bin", names)
    table.row("initial weights, largest", farthest(start, torch_weights[0]), 1e-8)
    for step in FIRST_STEPS:
        train_folio(o, f"step{step}", "--stop-at", step)
        path = o.work / f"step{step}.last.bin"
        if step == 1:
            pairs = load(path, names, "optim.m.")
            worst = max(((pairs[n] - moments[n]).norm() / moments[n].norm()).item() for n in names)
            table.row("gradient of step 1, worst tensor", worst, 1e-5)
        weights = load(path, names)
        table.row(f"weights after {step} step{'s' * (step > 1)}, largest",
                  farthest(weights, torch_weights[step]), 1e-5)
        moved = flat(torch_weights[step]) - flat(torch_weights[0])
        table.row("  the same, of the way moved",
                  ((flat(weights) - flat(torch_weights[step])).norm() / moved.norm()).item(), 1e-3)


def compare_run(table, o, val_losses, records, log):
    def mean(first, last, apart):
        return sum(apart(records[s], log[s]) for s in range(first, last + 1)) / (last - first + 1)

    table.row("learning rate, largest",
              max(abs(records[s]["lr"] - log[s]["lr"]) for s in records), 1e-10)
    edges = sorted({0, min(100, o.steps)} | set(val_losses))
    for first, last in zip(edges, edges[1:]):
        table.row(f"training loss, steps {first + 1} to {last}, mean",
                  mean(first + 1, last, lambda a, b: abs(a["loss"] - b["loss"])),
                  1e-3 if last <= 100 else o.limit)
    last = min(100, o.steps)
    table.row(f"gradient norm, steps 1 to {last}, mean",
              mean(1, last, lambda a, b: abs(a["grad_norm"] / b["grad_norm"] - 1)), 1e-3)
    for step, loss in val_losses.items():
        folio = log[step]["val_loss"]
        table.row(f"validation loss, step {step}", abs(loss - folio), o.limit if step else 1e-5,
                  loss, folio)


def compare_checkpoint(table, o, val, names):
    path = o.work / "run.bin"
    with safe_open(str(path), "pt") as f:
        vocabulary = f.metadata()["folio.vocab"].split()
    table.row("vocabulary, ids that differ",
              sum(chr(int(a, 16)) != b for a, b in zip(vocabulary, o.symbols))
              + abs(len(vocabulary) - len(o.symbols)), 0)
    folio = json.loads(run(o.programs / "eval", path, o.text, "--json", "--quiet",
                           "--threads", o.threads))
    own, hugging = load(path, names), transformers_model(path, o)
    x = val[:len(val) // o.context * o.context].view(-1, o.context)[:64]
    with torch.no_grad():
        apart = (logits_of(own, o, x) - hugging(x).logits).abs().max().item()
    table.row("logits, torch and transformers", apart, 1e-4)
    for what, logits in (("torch", lambda x: logits_of(own, o, x)),
                         ("transformers", lambda x: hugging(x).logits)):
        nats = nats_per_character(logits, val, o.context)
        table.row(f"./eval and {what}, same weights", abs(nats - folio["nats_per_char"]), 1e-4,
                  nats, folio["nats_per_char"])


def parse():
    p = argparse.ArgumentParser(
        description="Compares Folio's training with PyTorch's, on the same batches.")
    for option, value in (("layers", 4), ("heads", 4), ("channels", 128), ("context", 64),
                          ("batch", 12), ("steps", 2000), ("seed", 1), ("threads", 2)):
        p.add_argument(f"--{option}", type=int, default=value, metavar="N", help=f"default {value}")
    p.add_argument("--bias", choices=("off", "on"), default="off")
    p.add_argument("--gelu", choices=("erf", "tanh"), default="erf")
    p.add_argument("--limit", type=float, default=0.02, metavar="X",
                   help="how far losses may be apart while training (default 0.02)")
    p.add_argument("--text", default=ROOT / "data" / "shakespeare.txt", type=pathlib.Path,
                   metavar="FILE")
    p.add_argument("--programs", type=pathlib.Path, default=ROOT, metavar="DIR",
                   help="where train and eval are")
    p.add_argument("--work", type=pathlib.Path, metavar="DIR",
                   help="keep checkpoints and logs here")
    o = p.parse_args()
    if o.steps < max(FIRST_STEPS):
        p.error(f"--steps: at least {max(FIRST_STEPS)}")
    o.eval_every = max(o.steps // 4, 1)
    o.settings = "layers heads channels context batch steps bias gelu seed threads".split()
    return o


def compare(o):
    torch.set_num_threads(o.threads)
    train, val = read_text(o)
    val_losses, records, weights, moments = train_gpt(o, train, val)
    print(f"{o.layers} layers, {o.heads} heads, {o.channels} channels, context {o.context}, "
          f"batch {o.batch}, {o.steps} steps")
    table = Table()
    compare_start(table, o, weights, moments)
    compare_run(table, o, val_losses, records, train_folio(o, "run"))
    compare_checkpoint(table, o, val, list(moments))
    print(f"parity: {table.passed} passed, {table.failed} failed")
    return table.failed != 0


def in_folder(o, compare):
    """compare(o) with a working folder, which --work keeps."""
    if o.work is not None:
        o.work.mkdir(parents=True, exist_ok=True)
        return compare(o)
    with tempfile.TemporaryDirectory() as folder:
        o.work = pathlib.Path(folder)
        return compare(o)


if __name__ == "__main__":
    sys.exit(in_folder(parse(), compare))
