#!/usr/bin/env python3
"""Makes digits.txt, digits-bw.txt, dna.txt and dna-test.txt again, byte for byte.

    pip download --no-deps --only-binary :all: scikit-learn
    apt-get download r-cran-mlbench && dpkg-deb -x r-cran-mlbench_*.deb mlbench
    python3 rebuild_ladder.py scikit_learn-*.whl \\
        mlbench/usr/lib/R/site-library/mlbench/data/DNA.rda .

README.md says what they hold and where they come from. A file is written only if its SHA-256 is
the one below.
"""
import gzip
import hashlib
import lzma
import os
import struct
import sys
import zipfile

SHA256 = {
    "digits.txt": "6a81f52eee99df1abe86f416241dc2329f3f25b864dd48069d819a50044712bd",
    "digits-bw.txt": "0ae8c96826bef7b37bf4537be6aed3613883476ec9cfbed0604a37e49460bfca",
    "dna.txt": "6acda35b850fa00eb8ee2dd2a3c9f7cb5ff3cf67d42b1e3b31943aae67b9647c",
    "dna-test.txt": "8b4b9b5275baac2d68b6b177f1fe0f09116f329ab53c1c41e8f5fbb542dd54ee",
}
LEVELS = ".'-,:;~=+icoxO%#@"      # 17, from light to dark
DARK = 8                          # from this level on a pixel is black
ROWS, BITS, TRAINED = 3186, 180, 2000


def digits(wheel):
    """The images as lists of 64 levels."""
    with zipfile.ZipFile(wheel) as package:
        table = gzip.decompress(package.read("sklearn/datasets/data/digits.csv.gz")).decode()
    return [[int(float(x)) for x in line.split(",")[:64]] for line in table.splitlines()]


def dna(path):
    """The rows as strings of bits. In the file each column is a factor: a vector of the integers 1
    and 2, big-endian, after its type and length; the last column, the class, has three."""
    with open(path, "rb") as file:
        data = lzma.decompress(file.read())
    head, columns, at = struct.pack(">ii", 0x30D, ROWS), [], 0
    while (at := data.find(head, at)) >= 0:
        columns.append(struct.unpack_from(f">{ROWS}i", data, at + len(head)))
        at += len(head) + 4 * ROWS
    columns = columns[:BITS]
    if len(columns) < BITS or any(set(c) - {1, 2} for c in columns):
        sys.exit(f"{path}: not the table that is expected; is it DNA.rda of mlbench?")
    return ["".join(str(c[row] - 1) for c in columns) for row in range(ROWS)]


def main(wheel, rda, folder):
    images, rows = digits(wheel), dna(rda)
    lines = {
        "digits.txt": ["".join(LEVELS[x] for x in image) for image in images],
        "digits-bw.txt": ["".join(".#"[x >= DARK] for x in image) for image in images],
        "dna.txt": rows[:TRAINED],
        "dna-test.txt": rows[TRAINED:],
    }
    for name, text in lines.items():
        data = "".join(line + "\n" for line in text).encode()
        digest = hashlib.sha256(data).hexdigest()
        if digest != SHA256[name]:
            sys.exit(f"{name}: not written: the SHA-256 is {digest}, not {SHA256[name]}")
        with open(os.path.join(folder, name), "wb") as file:
            file.write(data)
        print(f"{name}: {len(text)} lines, SHA-256 {digest}, as expected")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
