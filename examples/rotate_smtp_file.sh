#!/usr/bin/env bash
#
# Installs the SMTP credential for an application that reads it from a file. This is the smallest useful host script.
#
#   rotate_smtp_file.sh ARN             the new credential of the rotation that is under way (AWSPENDING)
#   rotate_smtp_file.sh --current ARN   for a host that boots: the credential that a rotation is giving to the hosts
#                                       (DEPLOYING). If SES refuses it, or there is none: AWSCURRENT
#
# The rotation function sets SECRET_VERSION_ID and SECRET_VERSION_STAGE (AWSPENDING or AWSCURRENT). With them, the
# script installs exactly that version: a read by label alone can return an older version for some seconds.
#
# Writes /etc/mail/smtp-credentials, two lines: AccessKeyId=… and SMTPPassword=…. A new file only its owner can read.
# Give it to the application's user or group once: owner, group, mode and access list stay as they are. A link into a
# folder that only root can change is followed. The file is replaced, so mount its folder into a container, and not the
# file. The script keeps the previous credential beside the file, as .previous. You may run it again: with the same credential it changes nothing. On success the last line
# on standard output names the access key that the file has now.
#
# A host that boots during a rotation logs in to SMTP_ENDPOINT, smtps://HOST[:PORT] or smtp://HOST[:PORT] (STARTTLS), by
# default the region's. Without python3 the script cannot log in, and takes DEPLOYING.
# Needs: bash, util-linux, coreutils, the AWS CLI with secretsmanager:GetSecretValue on the secret, python3 or jq.
# Python runs with -I, and in /: else anybody's json.py in the current folder would run as root.

set -euo pipefail
umask 077
cd /

fail() {
  echo "rotate_smtp_file: $*" >&2
  exit 1
}

# Programs get the secret on standard input: every user of the host can see arguments.
if command -v python3 >/dev/null; then
  parse() {
    python3 -I -c 'import json, sys
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

label=AWSPENDING boots='' version=${SECRET_VERSION_ID:-}
if [[ ${1-} == --current ]]; then
  [[ -z $version ]] || fail "--current takes no SECRET_VERSION_ID"
  label=AWSCURRENT boots=yes
  shift
elif [[ -n $version ]]; then
  [[ $version =~ ^[A-Za-z0-9-]{32,64}$ ]] || fail "SECRET_VERSION_ID is not the id of a version"
  label=${SECRET_VERSION_STAGE:-AWSPENDING}
  [[ $label =~ ^(AWSPENDING|AWSCURRENT)$ ]] || fail "SECRET_VERSION_STAGE is neither AWSPENDING nor AWSCURRENT"
elif [[ -n ${SECRET_VERSION_STAGE:-} ]]; then
  fail "SECRET_VERSION_STAGE is set, and SECRET_VERSION_ID is not"
fi
arn_pattern='^arn:aws[a-z-]*:secretsmanager:([a-z0-9-]+):[0-9]{12}:secret:[A-Za-z0-9/_+=.@-]+$'
[[ $# -eq 1 && $1 =~ $arn_pattern ]] || fail "usage: ${0##*/} [--current] ARN-OF-A-SECRET"
arn=$1
region=${BASH_REMATCH[1]}
endpoint=${SMTP_ENDPOINT:-smtps://email-smtp.$region.amazonaws.com:465}
[[ $endpoint =~ ^smtps?://[A-Za-z0-9.-]+(:[0-9]+)?$ ]] ||
  fail "SMTP_ENDPOINT is not smtps://HOST[:PORT] or smtp://HOST[:PORT]"

file=${HOST_ROOT:-}/etc/mail/smtp-credentials
[[ -d ${file%/*} ]] || install -d -m 755 "${file%/*}"
# Who reads the file by its other name would keep the old credential.
if [[ -L $file ]]; then
  link=$file
  file=$(readlink -f "$link") || fail "$link is a link into a folder that does not exist"
  # Whoever can change the folder could make this script, which is root, change another file.
  [[ $(stat -Lc '%u %A' "${file%/*}") =~ ^$EUID\ d....-..-. ]] ||
    fail "$link is a link into ${file%/*}, which other users can change"
fi
[[ ! -e $file || $(stat -c %h "$file") == 1 ]] || fail "$file has another name, a hard link, which this would not change"
exec 9>"$file.lock"
flock --wait 60 9 || fail "another run has held $file.lock for a minute"

# This run has the lock, so a killed run left these files.
rm -f "$file".rotate_smtp.??????
new=$(mktemp "$file.rotate_smtp.XXXXXX")
old=$(mktemp "$file.rotate_smtp.XXXXXX")
errors=$(mktemp "$file.rotate_smtp.XXXXXX")
trap 'rm -f "$new" "$old" "$errors"' EXIT

credential_pattern=$'^AccessKeyId=[A-Z0-9]{16,128}\nSMTPPassword=[A-Za-z0-9+/=]{20,}$'
fetch() { # LABEL [VERSION-ID]: prints the file's lines; returns 2 if no version has the label, or that version has not
  local secret lines
  if ! secret=$(aws secretsmanager get-secret-value --region "$region" --secret-id "$arn" --version-stage "$1" \
    ${2:+--version-id "$2"} --query SecretString --output text 2>"$errors"); then
    [[ $(<"$errors") != *ResourceNotFoundException* ]] || return 2
    # "You provided a VersionStage that is not associated to the provided VersionId."
    [[ -z ${2-} || $(<"$errors") != *InvalidRequestException* ]] || return 2
    return 1
  fi
  echo "its value is not the JSON of an SMTP credential" >"$errors"
  lines=$(printf '%s' "$secret" | parse 2>/dev/null) || return 1
  [[ $lines =~ $credential_pattern ]] || return 1
  printf '%s\n' "$lines"
}

fetch_told() { # LABEL SECONDS: as fetch, for the version of this run
  local status deadline=$((SECONDS + $2))
  while true; do
    status=0
    fetch "$1" "$version" || status=$?
    # Secrets Manager's reads can be some seconds old: what it does not find may be there.
    [[ -n $version && $status == 2 && $SECONDS -lt $deadline ]] || return "$status"
    sleep 2
  done
}

refuses() { # CREDENTIAL: whether SES definitely refuses it: three answers of 535
  local attempt status
  command -v python3 >/dev/null || return 1
  for attempt in 1 2 3; do
    ((attempt == 1)) || sleep 5
    status=0
    printf '%s\n' "$1" | timeout 20 python3 -I -c 'import os, smtplib, ssl, sys
from urllib.parse import urlsplit
user, password = (line.rstrip("\n").partition("=")[2] for line in sys.stdin)
endpoint, tls = urlsplit(sys.argv[1]), ssl.create_default_context()
options = {"local_hostname": os.uname().nodename, "timeout": 10}
if endpoint.scheme == "smtps":
    session = smtplib.SMTP_SSL(endpoint.hostname, endpoint.port or 465, context=tls, **options)
else:
    session = smtplib.SMTP(endpoint.hostname, endpoint.port or 587, **options)
    session.starttls(context=tls)
session.ehlo()
# Not login(): it tries a second mechanism after a refusal.
session.user, session.password = user, password
try:
    session.auth("PLAIN", session.auth_plain)
except smtplib.SMTPAuthenticationError as error:
    sys.exit(3 if error.smtp_code == 535 else 1)
' "$endpoint" 2>/dev/null || status=$?
    ((status == 3)) || return 1
  done
}

credential=$(fetch_told "$label" 30) || fail "cannot read $label of $arn: $(<"$errors")"
installed=''
[[ ! -e $file ]] || installed=$(<"$file")
if [[ $label == AWSPENDING && $installed != "$credential" ]]; then
  # A rotation puts both labels on its version. Once DEPLOYING is elsewhere, the rotation cannot end, and no label would
  # protect the key that this host takes. The script of the next rotation may already wait for the lock.
  deploying=$(fetch_told DEPLOYING 5) || fail "cannot read DEPLOYING of $arn: $(<"$errors")"
  [[ $deploying == "$credential" ]] || fail "DEPLOYING of $arn names another credential: the rotation was given up"
fi
# During a rotation AWSCURRENT is the old credential until every host has the new one. A host that took the old one then
# would keep it: the rotation has told its hosts already, and deletes the old key later.
if [[ -n $boots || ($label == AWSCURRENT && $installed != "$credential") ]]; then
  status=0
  deploying=$(fetch DEPLOYING) || status=$?
  # Only a label that does not exist means that there is no such credential. A read that failed does not.
  ((status != 1)) || fail "cannot read DEPLOYING of $arn: $(<"$errors")"
  if [[ -z $deploying || ${deploying%%$'\n'*} == "${credential%%$'\n'*}" ]]; then
    : # No rotation is under way, or it is about to end.
  elif [[ -z $boots ]]; then
    [[ $installed != "$deploying" ]] || fail "$file keeps the credential that a rotation has brought (DEPLOYING)"
  elif refuses "$deploying"; then
    echo "rotate_smtp_file: $endpoint refuses the credential of DEPLOYING; taking AWSCURRENT" >&2
  else
    label=DEPLOYING credential=$deploying
  fi
fi

key=${credential%%$'\n'*}
key=${key#*=}
if [[ $installed == "$credential" ]]; then
  echo "unchanged: $file already has $label, access key $key"
  exit 0
fi
if [[ -e $file ]]; then
  chown --reference="$file" "$old"
  # A copy, not a second name: only the owner may read it, whoever may read the file.
  cat "$file" >"$old"
  sync "$old"
  mv -f "$old" "$file.previous"
fi
printf '%s\n' "$credential" >"$new"
if [[ -e $file ]]; then
  # The application may be one that the group or an access list lets in.
  cp --attributes-only --preserve=all "$file" "$new"
  touch "$new"
fi
sync "$new"
mv -f "$new" "$file"
sync "${file%/*}"
[[ ! $(stat -c %A "$file") =~ r..$ ]] || echo "rotate_smtp_file: every user of the host can read $file" >&2
# If the application reads the file only once, tell it here, for example: systemctl reload myapp
echo "installed: $file has $label, access key $key"
