#!/usr/bin/env bash
# Shows the whole product in a minute, on a local AWS: nothing leaves this machine, and you need no account. The script
# needs Rust and Python 3.11 or newer. The first run compiles everything, which takes some minutes.
set -euo pipefail
exec 2>&1 # one stream, so that a pipe or a log keeps the order

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
target=${CARGO_TARGET_DIR:-$root/target}

bold='' dim='' plain=''
if [[ -t 1 && -z ${NO_COLOR:-} ]]; then
    bold=$'\e[1m' dim=$'\e[2m' plain=$'\e[0m'
fi

explain() {
    printf '\n%s# %s%s\n' "$dim" "$*" "$plain"
}

# Quotes words as a person would type them.
quoted() {
    local word
    for word; do
        if [[ $word =~ ^[[:alnum:]_./=-]+$ ]]; then
            printf ' %s' "$word"
        else
            printf " '%s'" "$word"
        fi
    done
}

# Prints a command, runs it, and prints how long it took. If the command fails, the script ends.
show() {
    local TIMEFORMAT="$dim# took %1R s$plain"
    printf '%s$%s%s\n' "$bold" "$(quoted "$@")" "$plain"
    time "$@"
}

prepare() {
    local tool
    for tool in cargo python3; do
        if ! command -v "$tool" >/dev/null; then
            echo "quickstart.sh: $tool is missing: install Rust (https://rustup.rs) and Python 3.11 or newer" >&2
            exit 1
        fi
    done
    explain "Build the deployer."
    show cargo build --quiet --locked --package deployer
    explain "Start a local AWS: an account with a verified domain, an instance, and an SMTP endpoint."
    PATH="$target/debug:$PATH" examples/sandbox/with-sandbox "$root/examples/quickstart.sh" --in-sandbox
    explain "Everything has stopped, and nothing is left. It took $SECONDS s."
}

tour() {
    explain "Deploy what config.example.yaml declares, and rotate the credential for the first time."
    show deployer apply config.example.yaml --auto-approve
    explain "Show what was deployed."
    show deployer status config.example.yaml
    explain "Rotate the credential again, as Secrets Manager will on schedule."
    show deployer rotate config.example.yaml
    explain "Before a new credential becomes current, a mail must go out with it. These arrived:"
    show grep --recursive --no-filename --extended-regexp '^(From|To|Subject): ' "$SANDBOX_DIR/mail"
    explain "Apply again. Nothing changed, so nothing happens; with changes, this would exit with 2."
    show deployer apply config.example.yaml --auto-approve --detailed-exitcode
    explain "Destroy everything, including the user whose key a host may be using."
    show deployer destroy config.example.yaml --auto-approve --stop-mail
}

if [[ ${1:-} == --in-sandbox ]]; then
    tour
else
    prepare
fi
