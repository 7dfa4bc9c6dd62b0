#!/usr/bin/env bash
# Everything that make test and make demo need on a fresh machine: C compilers, and a virtual environment with this checkout in it.
#
#     scripts/setup.sh [VENV]        default .venv; PYTHON=... chooses the interpreter
#
# A missing tool is installed where that is possible (root, and apt-get). Elsewhere the script says what to install and goes
# on: the tests that need the tool skip with the reason, and fail where CI is set.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${1:-.venv}

can_install() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }

install() { # install PACKAGE...
    if [ -z "${refreshed:-}" ]; then
        apt-get update -qq && refreshed=yes
    fi
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

need() { # need COMMAND WHY PACKAGE...
    local command=$1 why=$2
    shift 2
    command -v "$command" >/dev/null && return
    if can_install; then
        echo "installing $* ($why)"
        install "$@" && return
    fi
    echo "$command is missing ($why): apt-get install $*, or your system's equivalent" >&2
}

suitable() { # is this a Python that the compiler runs on?
    command -v "$1" >/dev/null && "$1" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null
}

find_python() {
    local candidate
    for candidate in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11 python3.10; do
        suitable "$candidate" && echo "$candidate" && return
    done
    return 1
}

need gcc "compiles and runs the generated C" gcc libc6-dev
need g++ "checks that C++ can include the generated C" g++
need clang "the generated C is checked with two compilers" clang libclang-rt-dev
need arm-none-eabi-gcc "compiles for Cortex-M" gcc-arm-none-eabi libnewlib-arm-none-eabi
need qemu-system-arm "runs what is compiled for Cortex-M" qemu-system-arm
need cmake "builds the projects that are written for it" cmake
need aarch64-linux-gnu-gcc "checks that the generated C is right on AArch64" gcc-aarch64-linux-gnu libc6-dev-arm64-cross
need arm-linux-gnueabihf-gcc "checks that the generated C is right on ARMv7" gcc-arm-linux-gnueabihf libc6-dev-armhf-cross
need riscv64-linux-gnu-gcc "checks that the generated C is right on RISC-V" gcc-riscv64-linux-gnu
need powerpc-linux-gnu-gcc "checks that the generated C is right where the highest byte comes first" \
    gcc-powerpc-linux-gnu libc6-dev-powerpc-cross
for emulator in qemu-aarch64 qemu-arm qemu-riscv32 qemu-ppc; do
    need $emulator "runs what is compiled for other machines" qemu-user
done
need bochs "runs what is compiled for AVX-512" bochs bochs-term
[ "$(uname -m)" = x86_64 ] || need x86_64-linux-gnu-gcc "compiles for AVX-512" gcc-x86-64-linux-gnu
need avr-gcc "compiles for AVR, where int has 16 bits" gcc-avr avr-libc
if command -v avr-gcc >/dev/null && ! echo '#include <simavr/sim_avr.h>' | ${CC:-cc} -E - >/dev/null 2>&1; then
    if can_install; then
        echo "installing libsimavr-dev libelf-dev (runs what is compiled for AVR)"
        install simavr libsimavr-dev libelf-dev || true
    else
        echo "libsimavr is missing (runs what is compiled for AVR): apt-get install libsimavr-dev libelf-dev, or your system's equivalent" >&2
    fi
fi

if ! python=$(find_python) && can_install; then
    echo "installing python3"
    install python3 python3-venv
    python=$(find_python) || true
fi
if [ -z "${python:-}" ]; then
    echo "Python 3.10 or newer is needed; PYTHON=/path/to/python3 make ... chooses one" >&2
    exit 1
fi

if ! [ -x "$venv/bin/python" ] || ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    if ! "$python" -m venv --clear "$venv" >/dev/null 2>&1; then
        can_install && install python3-venv
        "$python" -m venv --clear "$venv" || {
            echo "$python cannot make a virtual environment: install the package 'python3-venv'" >&2
            exit 1
        }
    fi
fi
echo "installing bnncompiler and its tools into $venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --editable ".[dev]"
