#!/usr/bin/env bash
# From a bare checkout to the first answer: ./bootstrap.sh [--stack dev] [--run-local] [--check]
#
# Finds (or, with permission, installs) a Python of at least 3.11 and hands over to
# toolchain/bootstrap.py, where everything else happens and can be tested. Nothing outside this
# folder and your cache folder is touched, except by the package manager and only if you agree.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
system_packages=yes
for argument in "$@"; do
    case $argument in
        --check | --no-system-packages) system_packages=no ;;
    esac
done

say() { printf '%s\n' "$*" >&2; }

usable() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

# Prints the first usable interpreter: the one of an existing .venv comes last, because it may
# be what has to be replaced.
find_python() {
    for name in ${PYTHON:+"$PYTHON"} python3 python3.14 python3.13 python3.12 python3.11 \
        "$root/.venv/bin/python"; do
        if command -v "$name" >/dev/null 2>&1 && usable "$name"; then
            command -v "$name"
            return 0
        fi
    done
    return 1
}

# Installs Python with the machine's package manager: as root at once, else after one question.
install_python() {
    if command -v apt-get >/dev/null 2>&1; then
        set -- env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
            python3 python3-venv
        refresh='apt-get update'
    elif command -v dnf >/dev/null 2>&1; then
        set -- dnf install -y python3.11
        refresh='dnf makecache'
    elif command -v pacman >/dev/null 2>&1; then
        set -- pacman -S --noconfirm --needed python
        refresh='pacman -Sy'
    else
        return 1
    fi
    as_root=
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null 2>&1 && [ -t 0 ] || return 1
        printf "Python 3.11 or newer is missing. Run 'sudo %s' now? [y/N] " "$*" >&2
        read -r answer
        case $answer in
            y | Y | yes) as_root=sudo ;;
            *) return 1 ;;
        esac
    fi
    say "system packages: installing Python"
    # shellcheck disable=SC2086 # `refresh` and `as_root` are words of our own, split on purpose
    $as_root "$@" || { $as_root $refresh && $as_root "$@"; }
}

if ! python=$(find_python); then
    if [ "$system_packages" = yes ] && install_python; then
        python=$(find_python) || python=
    else
        python=
    fi
    if [ -z "$python" ]; then
        say "Python 3.11 or newer is missing"
        say "  fix: install it (Debian, Ubuntu: apt-get install python3 python3-venv), or name one:"
        say "       PYTHON=/path/to/python3 ./bootstrap.sh"
        exit 1
    fi
fi

cd -- "$root"
# The interpreter of the environment that we are about to look at must not be picked up again.
unset PYTHONHOME PYTHONPATH
exec "$python" -m toolchain.bootstrap "$@"
