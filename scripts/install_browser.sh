#!/bin/sh
# Installs what the browser tests need on Debian or Ubuntu: Chromium and one base font set.
# Without a font family Chromium draws empty boxes, so screenshots and text widths would mean nothing.
# The set is Latin, Greek and Cyrillic only: CJK fonts are large and nothing here needs them.
set -eu

if [ -x /usr/bin/chromium ]; then
    exit 0
fi
if ! command -v apt-get >/dev/null 2>&1; then
    echo "install_browser.sh: no apt-get here; install Chromium yourself so that /usr/bin/chromium exists" >&2
    exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
    echo "install_browser.sh: installing Chromium needs root; run: sudo $0" >&2
    exit 1
fi

export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core fonts-liberation
/usr/bin/chromium --version
