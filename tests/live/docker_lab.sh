#!/usr/bin/env bash
# A Docker daemon and a Python base image for the live tests, on a Debian machine without a registry.
# Run as root, as often as you like: what is there already is left alone. Changes nothing but
# packages, the daemon and one image; the daemon started here ends with the machine, or by
# `kill $(cat /var/run/docker.pid)`.
set -euo pipefail

image=${HEARTH_TEST_BASE_IMAGE:-hearth-test-base:1}
suite=${HEARTH_TEST_SUITE:-bookworm}
# Debian's own default unless another is named.
mirror=${HEARTH_TEST_MIRROR:-}
log=${TMPDIR:-/tmp}/hearth-dockerd.log

say() { printf 'docker lab: %s\n' "$*"; }
answers() { timeout 10 docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

[ "$(id -u)" = 0 ] || { say "must run as root"; exit 1; }

missing=()
command -v dockerd >/dev/null || missing+=(docker.io iptables)
command -v debootstrap >/dev/null || missing+=(debootstrap)
if [ "${#missing[@]}" -gt 0 ]; then
  say "installing ${missing[*]}"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

if ! answers; then
  say "starting dockerd, log in $log"
  # Detached with every descriptor closed, so that it outlives this script and its caller.
  setsid dockerd </dev/null >"$log" 2>&1 &
  disown
  for _ in $(seq 120); do
    answers && break
    sleep 0.5
  done
  answers || { say "dockerd does not answer; last lines of $log:"; tail -n 20 "$log"; exit 1; }
fi

if ! docker image inspect "$image" >/dev/null 2>&1; then
  say "making $image from Debian $suite"
  work=$(mktemp -d "${TMPDIR:-/tmp}/hearth-base.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  debootstrap --variant=minbase --include=python3,python3-pip,ca-certificates \
    "$suite" "$work/root" ${mirror:+"$mirror"} >"$work/log" 2>&1 || { tail -n 20 "$work/log"; exit 1; }
  rm -rf "$work"/root/var/cache/apt/* "$work"/root/var/lib/apt/lists/* "$work"/root/usr/share/doc/*
  tar -C "$work/root" -c . | docker import --change 'CMD ["python3"]' - "$image" >/dev/null
fi
say "docker $(docker version --format '{{.Server.Version}}'), $image is there"
