#!/bin/sh
# install.sh: makes build/venv, a Python environment with what parity.py needs.
# Arguments go to pip install.
#
#     sh tests/parity/install.sh
#
# On Linux the usual torch wheel brings its GPU libraries along: about 5 GB. They are not used.
set -eu
cd "$(dirname "$0")/../.."
"${PYTHON:-python3}" -m venv build/venv
build/venv/bin/python -m pip install torch numpy safetensors transformers "$@"
echo "now: build/venv/bin/python tests/parity/parity.py"
