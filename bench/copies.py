#!/usr/bin/env python3
"""How much of a text stands word for word in the training text: the copy check.

    ./sample ckpt.bin --samples 50 --length 2000 --temperature 0.8 > drawn.txt
    python3 bench/copies.py data/shakespeare.txt drawn.txt

Prints for each text its characters, the longest stretch that the training part has too, how many
stretches of 50 characters or more there are, and what share of its characters they make up; then
the longest stretches. Stretches that touch or overlap count as one. The training part is the first
90% (--val-fraction). The first 100,000 characters of what follows it, or as many as there are, are
the yardstick: so much does a text repeat that nobody drew from a model. Texts are UTF-8. Needs
Python alone.
"""
import argparse
import pathlib

YARDSTICK = 100_000


def places(known, text, length):
    """Where `text` has `length` characters in a row that `known` has. Compares 64-bit hashes: of a
    million places with a hundred thousand, one is taken for another with a chance of 1e-8.

    >>> places('to be or not to be', 'or to bed', 5)
    [2, 3]
    >>> places('to be', 'to be or', 6)
    []
    """
    hashes = {hash(known[i:i + length]) for i in range(len(known) - length + 1)}
    return [i for i in range(len(text) - length + 1) if hash(text[i:i + length]) in hashes]


def longest(known, text):
    """The longest stretch, by bisection: a stretch contains all shorter ones.

    >>> longest('to be or not to be', 'not to bed')
    'not to be'
    >>> longest('abc', 'xyz')
    ''
    """
    best, low, high = '', 0, min(len(known), len(text)) + 1
    middle = min(32, high - 1)
    while low + 1 < high:
        if found := places(known, text, middle):
            low, best = middle, text[found[0]:found[0] + middle]
            middle = min(2 * low, (low + high) // 2)
        else:
            high, middle = middle, (low + middle) // 2
    return best


def stretches(known, text, length):
    """How many stretches of `length` characters or more there are, and how long all of them.

    >>> stretches('abcdef', 'abcd-bcdef-abxef', 3)
    (2, 9)
    >>> stretches('abcd-bcde', 'abcde', 4)
    (1, 5)
    """
    count, covered, end = 0, 0, -1
    for start in places(known, text, length):
        count += start > end
        covered += start + length - max(start, end)
        end = start + length
    return count, covered


def named_text(path):
    """The operand and what it holds; what cannot be read is the user's mistake."""
    try:
        return path, pathlib.Path(path).read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise argparse.ArgumentTypeError(f'{path}: {error}') from error


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('known', type=named_text, help='the text that was trained on')
    parser.add_argument('texts', type=named_text, nargs='*', help='what was drawn')
    parser.add_argument('--val-fraction', type=float, default=0.1)
    parser.add_argument('--length', type=int, default=50, help='of a stretch that counts (50)')
    o = parser.parse_args()

    whole = o.known[1]
    cut = int((1 - o.val_fraction) * len(whole))
    known = whole[:cut]
    texts = [('held-out part', whole[cut:cut + YARDSTICK]), *o.texts]
    copied = [longest(known, text) for _, text in texts]

    print(f'{"text":32} {"characters":>10} {"longest":>8} {f">= {o.length}":>6} {"share":>8}')
    for (name, text), most in zip(texts, copied):
        count, covered = stretches(known, text, o.length)
        share = covered / max(len(text), 1)
        print(f'{name[-32:]:32} {len(text):10,} {len(most):8} {count:6} {share:8.2%}')
    for (name, _), most in zip(texts, copied):
        print(f'\n{name}: {most!r}')


if __name__ == '__main__':
    main()
