#!/bin/sh
# peers.sh: whole training steps of Folio and of PyTorch on this machine, in turn, and their ratios.
#
#     sh bench/peers.sh                     or: --quick --rounds 3; --help lists all options
#
# Installs PyTorch below build/venv unless it is there already (see tests/parity/install.sh), and
# builds Folio.
set -eu
cd "$(dirname "$0")/.."
python=build/venv/bin/python
"$python" -c 'import torch' 2> /dev/null || sh tests/parity/install.sh >&2
make -s all build/o/bench >&2
exec "$python" bench/peers.py "$@"
