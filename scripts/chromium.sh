#!/usr/bin/env bash
# Print the path of a Chromium for the browser tests; install Debian's where there is none and we may.
#
#   scripts/chromium.sh        MSM_CHROMIUM, else chromium on PATH, else apt-get install
set -euo pipefail

if [ -n "${MSM_CHROMIUM:-}" ]; then echo "$MSM_CHROMIUM"; exit 0; fi
for name in chromium chromium-browser google-chrome; do
    if command -v "$name"; then exit 0; fi
done
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    printf 'error: no Chromium for the browser tests\nhint: sudo apt-get install chromium, or set MSM_CHROMIUM\n' >&2
    exit 1
fi
install=(apt-get install -y -qq --no-install-recommends chromium)
{ DEBIAN_FRONTEND=noninteractive "${install[@]}" ||
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive "${install[@]}"; }; } >&2
command -v chromium
