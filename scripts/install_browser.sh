#!/bin/sh
# Installs what the browser tests need on Debian or Ubuntu: Chromium and one base font set.
# Without a font family Chromium draws empty boxes, so screenshots and text widths would mean nothing.
# The set is Latin, Greek and Cyrillic only: CJK fonts are large and nothing here needs them.
set -eu

# On a developer's machine the browser tests then skip, and say so; CI must run them.
give_up() {
    echo "install_browser.sh: no /usr/bin/chromium, and $1: the browser tests will be skipped" >&2
    [ "${CI:-}" = true ] && exit 1
    exit 0
}

if [ -x /usr/bin/chromium ]; then
    exit 0
fi
if ! command -v apt-get >/dev/null 2>&1; then
    give_up "there is no apt-get here"
fi
if [ "$(id -u)" -ne 0 ]; then
    give_up "installing needs root (sudo $0)"
fi

export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core fonts-liberation
/usr/bin/chromium --version
