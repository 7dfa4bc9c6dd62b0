#!/usr/bin/env bash
# PyTorch and what else the tests and examples of bnncompiler.torch need, in the virtual environment of setup.sh.
#
#     scripts/setup_torch.sh [VENV]        TORCH=... is what pip is asked for, options and all
#
# A CPU build of 200 MB is all that is needed. Where pip would bring one with CUDA, which is several GB, nothing is
# installed unless TORCH asks for it: the script says what to do, and the tests are skipped with the reason.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${1:-.venv}/bin/python

pip() { "$python" -m pip --disable-pip-version-check "$@"; }

install_torch() {
    if [ -n "${TORCH:-}" ]; then
        # shellcheck disable=SC2086  # options are separate words
        pip install --quiet $TORCH
        return
    fi
    local wanted plan
    for wanted in torch==2.13.0+cpu torch==2.13.0 'torch>=2.6'; do
        plan=$(pip install --quiet --dry-run --report - "$wanted" 2>/dev/null) || continue
        grep -Eq '"name": "(nvidia|cuda)[-_]' <<<"$plan" && continue
        pip install --quiet "$wanted" && return
    done
    echo "pip finds no CPU build of PyTorch for $("$python" --version) here. Install one as pytorch.org says, for example" >&2
    echo "TORCH='torch --index-url URL-OF-CPU-BUILDS' make torch, or TORCH=torch make torch for any (several GB)." >&2
    return 1
}

if ! "$python" -c 'import torch' 2>/dev/null; then
    echo "installing a CPU build of PyTorch into ${1:-.venv}"
    install_torch || { [ -z "${CI:-}" ]; exit; }
fi
pip install --quiet --editable ".[torch,examples]"
touch "${1:-.venv}/.torch"
