#!/usr/bin/env python3
"""Makes texts of numbers for --values, the same on every machine.

    python3 data/numbers.py heights > data/heights.txt
    python3 data/numbers.py digits data/digits.txt > digits-values.txt

heights: 2,000 draws from a normal distribution of mean 172 and deviation 9, a line each. digits:
the images of digits.txt as vectors of 64 numbers, each its level from 0 to 16 plus a uniform share
of one, so that a density of numbers can be held against probabilities of levels (Uria et al. 2013).
"""
import math
import random
import sys

LEVELS = ".'-,:;~=+icoxO%#@"      # as in digits.txt


def heights(chance):
    """Box and Muller's normal numbers: their bits do not depend on Python's version."""
    for _ in range(2000):
        u, v = 1 - chance.random(), chance.random()
        yield f"{172 + 9 * math.sqrt(-2 * math.log(u)) * math.cos(2 * math.pi * v):.1f}"


def digits(chance, path):
    """One line for each image."""
    with open(path, encoding="ascii") as file:
        for line in file:
            yield " ".join(f"{LEVELS.index(c) + chance.random():.3f}" for c in line.rstrip("\n"))


def main():
    """What the first argument says."""
    if sys.argv[1:] == ["heights"]:
        lines = heights(random.Random(1))
    elif sys.argv[1:2] == ["digits"] and len(sys.argv) == 3:
        lines = digits(random.Random(1), sys.argv[2])
    else:
        sys.exit(__doc__)
    for line in lines:
        print(line)


if __name__ == "__main__":
    main()
