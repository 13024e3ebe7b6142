"""memory.py: is the loss of a network with a memory what its definition says?

    python tests/parity/memory.py [CKPT TEXT] [--eval ./eval]       needs numpy and safetensors

Computes -ln p of every character of the validation part (protocol full) in double precision from
the tensors of a checkpoint of the qwen3 family alone: the network from its weights, the n-grams by
counting memory.ids in dictionaries, as the formulas of networks/ngram.c and networks/memory.h have
them, and the mixture from memory.exponents. Compares with ./eval, with the memory and without.
Without CKPT and TEXT it first trains one for 60 steps, on the first 120,000 characters of
data/shakespeare.txt. The exit status is 0 if both agree to 1e-6 nats a character.
"""
import argparse
import collections
import functools
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
from safetensors import safe_open

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOLERANCE = 1e-6


class Network:
    """The dense Qwen3 decoder, with tied or untied head."""

    def __init__(self, tensors, config):
        self.t = {name: t.astype(np.float64) for name, t in tensors.items() if t.dtype.kind == "f"}
        self.layers, self.heads = config["layers"], config["heads"]
        self.size, self.base = config["head-size"], float(config["rope-base"])

    def norm(self, x, name):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-6) * self.t[name + ".weight"]

    def rotate(self, x):                                            # (T, heads, size)
        half = self.size // 2
        angle = np.arange(len(x))[:, None] * self.base ** (-np.arange(half) * 2 / self.size)
        cos, sin = np.cos(angle)[:, None, :], np.sin(angle)[:, None, :]
        a, b = x[..., :half], x[..., half:]
        return np.concatenate([a * cos - b * sin, b * cos + a * sin], -1)

    def logits(self, ids):
        linear = lambda x, name: x @ self.t[name + ".weight"].T
        x = self.t["model.embed_tokens.weight"][ids]
        T, masked = len(ids), np.triu(np.full((len(ids), len(ids)), -np.inf), 1)
        for i in range(self.layers):
            p = f"model.layers.{i}."
            n = self.norm(x, p + "input_layernorm")
            q, k, v = (linear(n, p + f"self_attn.{w}_proj").reshape(T, self.heads, self.size)
                       for w in "qkv")
            q = self.rotate(self.norm(q, p + "self_attn.q_norm"))
            k = self.rotate(self.norm(k, p + "self_attn.k_norm"))
            s = np.einsum("thd,uhd->htu", q, k) / np.sqrt(self.size) + masked
            s = np.exp(s - s.max(-1, keepdims=True))
            s /= s.sum(-1, keepdims=True)
            x = x + linear(np.einsum("htu,uhd->thd", s, v).reshape(T, -1), p + "self_attn.o_proj")
            n = self.norm(x, p + "post_attention_layernorm")
            gate = linear(n, p + "mlp.gate_proj")
            x = x + linear(gate / (1 + np.exp(-gate)) * linear(n, p + "mlp.up_proj"),
                           p + "mlp.down_proj")
        head = "lm_head" if "lm_head.weight" in self.t else "model.embed_tokens"
        return linear(self.norm(x, "model.norm"), head)


class Memory:
    """Interpolated Kneser-Ney, with counts in dictionaries: kind 0 occurrences, 1 predecessors."""

    def __init__(self, ids, order, symbols):
        self.order, self.symbols = order, symbols
        self.counts = [[collections.Counter() for _ in range(order + 1)] for _ in range(2)]
        for k in range(order + 1):
            grams = [tuple(ids[i:i + k]) for i in range(len(ids) - k + 1)]
            self.counts[0][k].update(grams)
            before = {(ids[i - 1] if i else -1,) + g for i, g in enumerate(grams)}
            self.counts[1][k].update(g[1:] for g in before)
        self.next = [[collections.defaultdict(dict) for _ in range(order)] for _ in range(2)]
        for kind in range(2):
            for k in range(order):
                for gram, c in self.counts[kind][k + 1].items():
                    self.next[kind][k][gram[:-1]][gram[-1]] = c
        self.length = len(ids)

    @functools.lru_cache(maxsize=None)
    def discounts(self, kind, k):
        t = collections.Counter(self.counts[kind][k].values())
        out = [0.0]
        for i in (1, 2, 3):
            d = 0.5 * i
            if t[1] > 0 and t[i] > 0:
                d = i - (i + 1) * t[1] / (t[1] + 2 * t[2]) * t[i + 1] / t[i]
            out.append(min(max(d, 0.1), i))
        return out

    def predict(self, context):
        """p (V), and length, count and followers of the longest context that goes on."""
        p, weight, known = np.zeros(self.symbols), 1.0, None
        most = min(len(context), self.order - 1)
        for k in range(most, -1, -1):
            h = tuple(context[len(context) - k:])
            kind = 0 if k == most else 1
            after = self.next[kind][k].get(h)
            if not after:
                continue
            if known is None:
                count = self.counts[0][k][h] if k else self.length
                known = (k, count, len(after))
            d = self.discounts(kind, k + 1)
            total = sum(after.values())
            left = 0.0
            for symbol, c in after.items():
                cut = d[min(c, 3)]
                p[symbol] += weight * (c - cut) / total
                left += cut
            weight *= left / total
        return p + weight / self.symbols, known


def evaluated(program, checkpoint, text, *more):
    out = subprocess.run([program, checkpoint, text, "--json", "--quiet", *more], check=True,
                         capture_output=True, text=True).stdout
    return json.loads(out)["nats_per_char"]


def log_softmax(x):
    x = x - x.max()
    return x - np.log(np.exp(x).sum())


def losses(path, text):
    """Nats a character of the network alone, and with its memory."""
    with safe_open(path, "np") as f:
        meta, tensors = f.metadata(), {name: f.get_tensor(name) for name in f.keys()}
    config = json.loads(meta["folio.config"])
    if config["family"] != "qwen3" or meta["folio.tokenizer"] != "codepoints":
        sys.exit(f"{path}: only checkpoints of the qwen3 family over code points")
    words = meta["folio.vocab"].split()
    ids = {int(w, 16): i for i, w in enumerate(words) if w != "-"}
    network = Network(tensors, config)
    memory = Memory([int(i) for i in tensors["memory.ids"]], config["memory"], len(words))
    exponents = tensors["memory.exponents"].reshape(2, -1)
    whole = [ids[ord(c)] for c in pathlib.Path(text).read_bytes().decode()]
    val = whole[int((1 - config["val-fraction"]) * len(whole)):]
    sums = np.zeros(2)
    for start in range(0, len(val) - 1, config["context"]):
        window = val[start:start + config["context"] + 1]
        logits = network.logits(np.array(window[:-1]))
        for t, y in enumerate(window[1:]):
            p, (k, c, d) = memory.predict(window[:t + 1])
            a, b = exponents @ np.array([1, k, np.log(c), np.log(d)])
            sums -= (log_softmax(logits[t])[y], log_softmax(a * logits[t] + b * np.log(p))[y])
    return sums / (len(val) - 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("files", nargs="*", metavar="CKPT TEXT")
    parser.add_argument("--eval", default=str(ROOT / "eval"))
    parser.add_argument("--train", default=str(ROOT / "train"))
    o = parser.parse_args()
    if len(o.files) not in (0, 2):
        parser.error("give a checkpoint and its text, or neither")
    with tempfile.TemporaryDirectory() as folder:
        if not o.files:
            o.files = [f"{folder}/m.bin", f"{folder}/t.txt"]
            text = (ROOT / "data/shakespeare.txt").read_bytes()[:120000]
            pathlib.Path(o.files[1]).write_bytes(text)
            subprocess.run([o.train, o.files[1], "--family", "qwen3", "--optimizer", "muon", "--lr",
                            "0.02", "--steps", "60", "--layers", "2", "--heads", "3", "--channels",
                            "48", "--memory", "6", "--quiet", "--out", o.files[0]], check=True)
        mine = losses(*o.files)
        theirs = [evaluated(o.eval, *o.files, "--memory", word) for word in ("off", "on")]
    wrong = 0
    for name, a, b in zip(("network alone", "with memory"), mine, theirs):
        wrong += abs(a - b) > TOLERANCE
        print(f"{name:14} eval {b:.9f}  here {a:.9f}  difference {abs(a - b):.1e}")
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
