#!/usr/bin/env bash
# Installs quantsync as services of this machine. A second run changes nothing and says so. It starts, stops
# and restarts nothing. docs/operations.md tells what to do before and after, and how to remove it all.
set -Eeuo pipefail
export LC_ALL=C

SOURCE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PACKAGES=(market ingest storage scheduling admin_tasks pipeline web)

usage() {
    cat <<'TEXT'
Usage: deploy/install.sh [options]

  --dry-run        say what would be done, and do nothing
  --root DIR       install below DIR instead of /, for an image or a look
  --prefix DIR     where the program goes (default: /opt/quantsync)
  --python FILE    Python 3.11 or newer (default: python3)
  --wheels DIR     take all packages from this folder, none from the network
  --without-venv   leave out the Python part
  --help           this

Example: sudo deploy/install.sh --dry-run

Exit code 0: installed, or nothing to do. 1: something failed, and the message says what; run it again.
2: wrong usage.
TEXT
}

fail() {
    echo "install.sh: $1" >&2
    exit "${2:-1}"
}

root='' prefix=/opt/quantsync python=python3 wheels='' dry_run=no with_venv=yes
while [ $# -gt 0 ]; do
    case $1 in
    --dry-run) dry_run=yes ;;
    --without-venv) with_venv=no ;;
    --root | --prefix | --python | --wheels)
        [ $# -ge 2 ] || fail "$1 needs a value; --help lists the options" 2
        printf -v "${1#--}" %s "$2"
        shift
        ;;
    --help | -h)
        usage
        exit 0
        ;;
    *) fail "$1 is no option; --help lists them" 2 ;;
    esac
    shift
done

# --- What is asked for must be possible, before anything is touched -----------------------------------

case $prefix in
/*[!A-Za-z0-9_./-]* | / | *//* | */) fail "--prefix $prefix: give a plain absolute path, without a slash at its end" 2 ;;
/*) ;;
*) fail "--prefix $prefix: give an absolute path" 2 ;;
esac
if [ -n "$root" ]; then
    [ -d "$root" ] || fail "--root $root is no folder: make it first" 2
    root=$(cd "$root" && pwd)
    [ "$root" != / ] || root=''
fi
if [ -n "$wheels" ]; then
    [ -d "$wheels" ] || fail "--wheels $wheels is no folder" 2
    wheels=$(cd "$wheels" && pwd)
fi
is_root=no
[ "$(id -u)" != 0 ] || is_root=yes
if [ -z "$root" ] && [ $is_root = no ] && [ $dry_run = no ]; then
    fail "run it as root (sudo), or look with --dry-run, or stage it with --root DIR" 2
fi
for file in pyproject.toml requirements.lock .env.example docs/operations.md "${PACKAGES[@]}"; do
    [ -e "$SOURCE/$file" ] || fail "$SOURCE is no whole copy of quantsync: $file is missing"
done
for command in systemd-sysusers systemd-tmpfiles; do
    command -v $command > /dev/null || fail "$command is missing: install the package systemd"
done
if [ $with_venv = yes ]; then
    command -v "$python" > /dev/null || fail "$python is missing: install Python 3.11 or newer, or name it with --python"
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
        || fail "$("$python" --version) is too old: install Python 3.11 or newer, or name it with --python"
    "$python" -c 'import ensurepip' 2> /dev/null \
        || fail "$python cannot make virtual environments: install the package python3-venv"
    if [ -z "$root" ] && [ $is_root = yes ]; then
        found=$("$python" -c 'import os, sys; print(os.path.realpath(sys.executable))')
        runuser -u nobody -- "$found" -c '' 2> /dev/null \
            || fail "$found is closed to all but root, so the services could not run it: name another with --python"
    fi
fi

# --- Each step looks first, and changes only what differs ----------------------------------------------

changes=0 scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'echo "install.sh: stopped at line $LINENO; what is done stays, run it again to go on" >&2' ERR

note() { # note WHAT: count a change and say it
    changes=$((changes + 1))
    if [ $dry_run = yes ]; then echo "would $1"; else echo "$1"; fi
}

place() { # place FILE TARGET MODE: install a file, with the prefix written into it
    local file=$1 target=$2 mode=$3
    local written=$scratch/file
    sed "s|/opt/quantsync|$prefix|g" "$file" > "$written"
    if cmp -s "$written" "$root$target" && [ "$(stat -c %a "$root$target")" = "$mode" ]; then return; fi
    note "install $target"
    [ $dry_run = yes ] || install -D -m "$mode" "$written" "$root$target"
}

ensure_user() {
    if [ -n "$root" ]; then
        ! grep -qs '^quantsync:' "$root/etc/passwd" || return 0
    elif id quantsync > /dev/null 2>&1; then
        return
    fi
    if [ $is_root = no ] && [ $dry_run = no ]; then
        echo "leave out the user quantsync: not run as root"
        return
    fi
    note "make the user quantsync"
    [ $dry_run = yes ] || systemd-sysusers ${root:+--root="$root"} quantsync.conf
}

group_number() { # of quantsync, where it is installed
    if [ -n "$root" ]; then awk -F: '$1 == "quantsync" { print $3 }' "$root/etc/group"; else getent group quantsync | cut -d: -f3; fi
}

ensure_settings() {
    local target=/etc/quantsync/quantsync.env
    if [ -e "$root$target" ]; then
        echo "keep $target as it is"
        return
    fi
    note "install $target: look through it before the first start"
    [ $dry_run = no ] || return 0
    sed "s|/opt/quantsync|$prefix|g" "$SOURCE/deploy/quantsync.env" > "$scratch/settings"
    # Never readable by others, not for a moment.
    if [ $is_root = yes ]; then
        install -d -m 0750 -o 0 -g "$(group_number)" "$root/etc/quantsync"
        install -m 0640 -o 0 -g "$(group_number)" "$scratch/settings" "$root$target"
    else
        install -d -m 0750 "$root/etc/quantsync"
        install -m 0640 "$scratch/settings" "$root$target"
    fi
}

ensure_folders() {
    local missing='' folder
    for folder in /var/lib/quantsync /var/lib/quantsync/logs /var/cache/quantsync; do
        # Below a home that is closed to the caller nothing can be seen, and nothing is wrong.
        [ -d "$root$folder" ] || missing="$missing $folder"
    done
    [ -n "$missing" ] || return 0
    note "make the folders$missing"
    [ $dry_run = no ] || return 0
    if [ $is_root = yes ]; then
        systemd-tmpfiles --create ${root:+--root="$root"} quantsync.conf
    else
        for folder in $missing; do install -d -m 0750 "$root$folder"; done
    fi
}

release_name() { # version and what it is made of: other sources, locks or Python are another release
    local version
    version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$SOURCE/pyproject.toml" | head -n 1)
    {
        (cd "$SOURCE" && find "${PACKAGES[@]}" -type f ! -name '*.pyc' -print0 | sort -z | xargs -0 sha256sum)
        (cd "$SOURCE" && sha256sum pyproject.toml requirements.lock .env.example)
        "$python" -c 'import sys; print(sys.version)'
    } | sha256sum | cut -c 1-8 | sed "s/^/$version-/"
}

ensure_release() {
    local name target pip
    name=$(release_name)
    target=$root$prefix/releases/$name
    if [ ! -e "$target/share/complete" ]; then
        note "install release $name into $prefix/releases"
        if [ $dry_run = no ]; then
            rm -rf "$target"
            mkdir -p "$target"
            "$python" -m venv "$target"
            pip=("$target/bin/python" -m pip install -qq --disable-pip-version-check --no-deps)
            [ -z "$wheels" ] || pip+=(--no-index --find-links "$wheels")
            "${pip[@]}" --require-hashes -r "$SOURCE/requirements.lock" \
                || fail "the packages of requirements.lock were not installed: pip says why, above"
            "${pip[@]}" --no-build-isolation "$SOURCE" \
                || fail "quantsync itself was not installed: pip says why, above"
            if [ -n "$root" ]; then # made below DIR, run below /
                grep -rlIF "$root" "$target/bin" "$target/pyvenv.cfg" | xargs -r sed -i "s|$root||g"
            fi
            install -D -m 0644 "$SOURCE/.env.example" "$target/share/env.example"
            install -D -m 0644 "$SOURCE/docs/operations.md" "$target/share/doc/operations.md"
            sync -f "$target"
            touch "$target/share/complete"
        fi
    fi
    if [ "$(readlink "$root$prefix/current" 2> /dev/null)" != "releases/$name" ]; then
        note "make release $name the current one"
        if [ $dry_run = no ]; then
            ln -sfn "releases/$name" "$root$prefix/current.new"
            mv -T "$root$prefix/current.new" "$root$prefix/current"
        fi
    fi
}

place "$SOURCE/deploy/sysusers.d/quantsync.conf" /etc/sysusers.d/quantsync.conf 644
place "$SOURCE/deploy/tmpfiles.d/quantsync.conf" /etc/tmpfiles.d/quantsync.conf 644
ensure_user
ensure_settings
ensure_folders
[ $with_venv = no ] || ensure_release

before_units=$changes
for unit in "$SOURCE"/deploy/systemd/quantsync*; do
    place "$unit" "/etc/systemd/system/${unit##*/}" 644
done
if [ "$changes" != "$before_units" ] && [ -z "$root" ] && [ $dry_run = no ] && [ -d /run/systemd/system ]; then
    systemctl daemon-reload
fi
place "$SOURCE/deploy/logrotate.d/quantsync" /etc/logrotate.d/quantsync 644
place "$SOURCE/deploy/bin/quantsync" /usr/local/bin/quantsync 755

if [ "$changes" = 0 ]; then
    echo "nothing to change: all of it is installed"
elif [ $dry_run = yes ]; then
    echo "$changes changes to make; nothing was done"
else
    echo "done, $changes changes. Nothing was started: systemctl enable --now quantsync.target starts it,"
    echo "systemctl restart quantsync.target takes up a new release"
fi
