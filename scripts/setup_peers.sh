#!/usr/bin/env bash
# Sets up .peers: TensorFlow Lite and Larq Compute Engine, which `make bench` measures where they are. Optional; takes
# 2 GB. Larq Compute Engine has wheels for Python 3.10 and 3.11 alone (PYTHON says which).
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-}
for candidate in python3.11 python3.10; do
    [ -n "$python" ] || { "$candidate" -c "" 2>/dev/null && python=$candidate; } || true
done
[ -n "$python" ] || { echo "setup_peers.sh: needs Python 3.10 or 3.11; set PYTHON to one" >&2; exit 1; }
"$python" -m venv .peers
.peers/bin/pip install -q larq-compute-engine==0.16.0 larq==0.14.0 larq-zoo==2.4.0 tensorflow-cpu==2.16.2 \
    tf_keras==2.16.0 "numpy<2"
