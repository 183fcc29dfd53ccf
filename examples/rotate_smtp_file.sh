#!/usr/bin/env bash
#
# Installs the SMTP credential for an application that reads it from a file. This is the smallest useful host script.
#
#   rotate_smtp_file.sh ARN             the new credential of the rotation that is under way (AWSPENDING)
#   rotate_smtp_file.sh --current ARN   the credential in use (AWSCURRENT), for a host that boots; during a rotation,
#                                       a host that already has the new one (DEPLOYING) keeps it
#
# Writes /etc/mail/smtp-credentials, two lines: AccessKeyId=… and SMTPPassword=…, readable only by its owner. Give
# the file to the application's user once; that user stays the owner. The script keeps the previous credential beside
# the file, as .previous. You may run it again: with the same credential it changes nothing.
# Needs: bash, util-linux, coreutils, the AWS CLI with secretsmanager:GetSecretValue on the secret, python3 or jq.

set -euo pipefail
umask 077

fail() {
  echo "rotate_smtp_file: $*" >&2
  exit 1
}

# Programs get the secret on standard input: every user of the host can see arguments.
if command -v python3 >/dev/null; then
  parse() {
    python3 -c 'import json, sys
secret = json.load(sys.stdin)
print("AccessKeyId=" + secret["AccessKeyId"], "SMTPPassword=" + secret["SMTPPassword"], sep="\n")'
  }
elif command -v jq >/dev/null; then
  parse() {
    jq -r '"AccessKeyId=\(.AccessKeyId)", "SMTPPassword=\(.SMTPPassword)"'
  }
else
  fail "needs python3 or jq to read the secret"
fi

label=AWSPENDING
if [[ ${1-} == --current ]]; then
  label=AWSCURRENT
  shift
fi
arn_pattern='^arn:aws[a-z-]*:secretsmanager:([a-z0-9-]+):[0-9]{12}:secret:[A-Za-z0-9/_+=.@-]+$'
[[ $# -eq 1 && $1 =~ $arn_pattern ]] || fail "usage: ${0##*/} [--current] ARN-OF-A-SECRET"
arn=$1
region=${BASH_REMATCH[1]}

file=${HOST_ROOT:-}/etc/mail/smtp-credentials
[[ -d ${file%/*} ]] || install -d -m 755 "${file%/*}"
exec 9>"$file.lock"
flock --wait 30 9 || fail "another run has held $file.lock for 30 seconds"

# This run has the lock, so a killed run left these files.
rm -f "$file".new.??????
new=$(mktemp "$file.new.XXXXXX")
errors=$(mktemp "$file.new.XXXXXX")
trap 'rm -f "$new" "$errors"' EXIT

get() {
  aws secretsmanager get-secret-value --region "$region" --secret-id "$arn" --version-stage "$1" \
    --query SecretString --output text
}

# Whether a running rotation has told this host of the installed key. If the host went back to AWSCURRENT's, nobody
# would tell it again: the rotation counts this host as told.
is_deploying() {
  local installed secret
  read -r installed <"$file"
  if ! secret=$(get DEPLOYING 2>"$errors"); then
    [[ $(<"$errors") == *ResourceNotFoundException* ]] && return 1
    fail "cannot read DEPLOYING of $arn: $(<"$errors")"
  fi
  [[ $(printf '%s' "$secret" | parse 2>/dev/null) == "$installed"$'\n'* ]]
}

secret=$(get "$label") || fail "cannot read $label of $arn"
printf '%s' "$secret" | parse 2>/dev/null >"$new" || fail "$label of $arn is not the JSON of an SMTP credential"
mapfile -t lines <"$new"
[[ ${#lines[@]} -eq 2 && ${lines[0]} =~ ^AccessKeyId=[A-Z0-9]{16,128}$ &&
  ${lines[1]} =~ ^SMTPPassword=[A-Za-z0-9+/=]{20,}$ ]] || fail "$label of $arn is not an SMTP credential"
key=${lines[0]#*=}

if [[ -e $file ]]; then
  if cmp -s "$new" "$file"; then
    echo "unchanged: $file already has $label, access key $key"
    exit 0
  fi
  if [[ $label == AWSCURRENT ]] && is_deploying; then
    echo "unchanged: $file keeps the credential that a rotation has brought (DEPLOYING)"
    exit 0
  fi
  chown --reference="$file" "$new"
  # Gives the old file a second name: the rename below removes only the first.
  ln -f "$file" "$file.previous"
fi
sync "$new"
mv -f "$new" "$file"
sync "${file%/*}"
# If the application reads the file only once, tell it here, for example: systemctl reload myapp
echo "installed: $file has $label, access key $key"
