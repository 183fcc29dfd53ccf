#!/usr/bin/env bash
#
# Gives Postfix the SMTP credential, and proves that Postfix delivers with it.
#
#   rotate_smtp.sh ARN             the new credential of the rotation that is under way (AWSPENDING)
#   rotate_smtp.sh --current ARN   the credential in use (AWSCURRENT), for a host that boots
#
# Everything about Postfix is read from its own configuration: relayhost, which has to be [HOST] or [HOST]:PORT, and
# smtp_sasl_password_maps, one table of type texthash (which every Postfix has), hash, btree, lmdb or cdb. In the table
# only the relay host's line is replaced. Another instance than the system's: set Postfix's own variable, MAIL_CONFIG.
#
# The proof is a mail of its own, which Postfix's log has to call sent by the relay host. Where it is not in time, the
# map before is restored and the exit code is 1. It may be run again: with the same credential only the proof is made.
# (With smtp_tls_connection_reuse, which is off by default, the mail may leave by a connection made earlier.)
#
# Needs: root, Postfix 2.10 or newer with its SASL plug-ins, bash, util-linux, the AWS CLI with
# secretsmanager:GetSecretValue on the secret, python3.

set -euo pipefail
umask 077
PATH=$PATH:/usr/local/bin:/usr/sbin:/sbin

fail() {
  echo "rotate_smtp: $*" >&2
  exit 1
}
command -v postconf >/dev/null || fail "Postfix is not installed"

# Settings. The sender has to be one that the IAM user may send as (ses.from of the deployment).
sender=${PROBE_SENDER:-no-reply@$(postconf -xh mydomain)}
recipient=${PROBE_RECIPIENT:-success@simulator.amazonses.com}
# A new key may be answered with 535 for a while: not every server of SES knows it yet.
proof_seconds=${PROOF_SECONDS:-60}
# The file that Postfix's log goes to; "journal" where that is systemd's.
log=${MAIL_LOG:-$(postconf -xh maillog_file 2>/dev/null || true)}

# Checks, before anything changes

label=AWSPENDING
if [[ ${1-} == --current ]]; then
  label=AWSCURRENT
  shift
fi
arn_pattern='^arn:aws[a-z-]*:secretsmanager:([a-z0-9-]+):[0-9]{12}:secret:[A-Za-z0-9/_+=.@-]+$'
[[ $# -eq 1 && $1 =~ $arn_pattern ]] || fail "usage: ${0##*/} [--current] ARN-OF-A-SECRET"
arn=$1
region=${BASH_REMATCH[1]}

((EUID == 0)) || fail "must be root: Postfix's passwords are"
relay=$(postconf -xh relayhost)
[[ $relay =~ ^\[([^][]+)\](:[0-9]+)?$ ]] || fail "relayhost is '$relay', not [HOST] or [HOST]:PORT"
relay_name=${BASH_REMATCH[1]}
maps=$(postconf -xh smtp_sasl_password_maps)
[[ $maps =~ ^(texthash|hash|btree|lmdb|cdb):(/[^ ,]+)$ ]] ||
  fail "smtp_sasl_password_maps is '$maps', not one of texthash:, hash:, btree:, lmdb: or cdb: with an absolute path"
type=${BASH_REMATCH[1]} map=${BASH_REMATCH[2]}
[[ $(postconf -h smtp_sasl_auth_soft_bounce) == yes ]] ||
  fail "smtp_sasl_auth_soft_bounce is not yes: mail would bounce while SES does not know a new key everywhere"
if [[ -z $log ]]; then
  for log in /var/log/mail.log /var/log/maillog journal; do
    [[ ! -e $log ]] || break
  done
fi
[[ -e $log || ($log == journal && -d /run/systemd/journal) ]] || fail "cannot find Postfix's log, which the proof reads; set MAIL_LOG"

# The credential. It comes by standard input: arguments are visible to every user of the host.

fetch() { # LABEL: the map's line for that version; 2 where no version has that label
  local secret
  if ! secret=$(aws secretsmanager get-secret-value --region "$region" --secret-id "$arn" --version-stage "$1" \
    --cli-connect-timeout 5 --cli-read-timeout 10 --query SecretString --output text 2>"$errors"); then
    cat "$errors" >&2
    [[ $(<"$errors") == *ResourceNotFoundException* ]] && return 2
    return 1
  fi
  printf '%s' "$secret" | python3 -c 'import json, sys
secret = json.load(sys.stdin)
print(sys.argv[1], secret["AccessKeyId"] + ":" + secret["SMTPPassword"])' "$relay" 2>/dev/null
}

exec 9>"$map.lock"
flock --wait 30 9 || fail "another run has held $map.lock for 30 seconds"
# The lock is ours, so what is here was left by a run that was killed.
rm -f "$map".new* "$map".errors
errors=$map.errors
trap 'rm -f "$errors"' EXIT
line=$(fetch "$label") || fail "cannot read $label of $arn, or it is not the JSON of an SMTP credential"
[[ ${line#"$relay "} =~ ^([A-Z0-9]{16,128}):[A-Za-z0-9+/=]{20,}$ ]] || fail "$label of $arn is not an SMTP credential"
key=${BASH_REMATCH[1]}

# The map. $map.before is the last one that was proven: it is there only until its successor is proven too, so a run
# that was killed in between leaves the next one its way back.

lines_of_relay() { # == or !=: the map's lines that are the relay host's, or those that are not
  [[ ! -e $map ]] || awk -v relay="$relay" "\$1 $1 relay" "$map"
}

take_into_use() { # FILE: renames it and its index to the map
  local suffix=.$type
  [[ $type != hash && $type != btree ]] || suffix=.db
  if [[ $type != texthash ]]; then
    postmap "$type:$1"
    sync "$1$suffix"
    # First what Postfix reads: killed between the two, the next run finds the old text and does both again.
    mv -f "$1$suffix" "$map$suffix"
  fi
  sync "$1"
  mv -f "$1" "$map"
}

# The proof

began=$(date +%s)
message_id=rotate-smtp.$began.$$@${sender#*@}
queue_id='' status='' was_deferred='' answer="its log does not mention the mail"

log_since_began() {
  if [[ $log == journal ]]; then
    journalctl --quiet --no-pager --output cat --since "@$began"
  else
    # A log that was rotated meanwhile is read from its start.
    (($(stat -c %s "$log") >= log_size)) || log_size=0
    tail -c "+$((log_size + 1))" "$log"
  fi
}

fate() { # QUEUE-ID STATUS (ANSWER), once the log has it. Sent elsewhere, to a content filter say, is not sent.
  log_since_began | awk -v id="message-id=<$message_id>" -v relay="relay=${relay_name}[" '
    index($0, id) { queue = $0; sub(/: message-id=.*/, "", queue); sub(/.* /, "", queue) }
    queue && index($0, queue ": to=<") && (index($0, relay) || !/status=sent/) { last = $0 }
    END { if (!last) exit 1; sub(/.*status=/, "", last); print queue, last }'
}

prove() {
  local deadline=$((SECONDS + proof_seconds))
  [[ $log == journal ]] || log_size=$(stat -c %s "$log")
  # A bounce of it would go to nobody.
  "$(postconf -xh sendmail_path)" -i -N never -f "$sender" -- "$recipient" <<MAIL || return
From: <$sender>
To: <$recipient>
Subject: Proof of a new SMTP credential
Message-ID: <$message_id>

Postfix on $(uname -n) sent this with access key $key.
MAIL
  while ((SECONDS < deadline)); do
    sleep 0.3
    read -r queue_id status answer < <(fate) || continue
    case $status in
    sent) return 0 ;;
    deferred) was_deferred=yes && sleep 2 && postqueue -i "$queue_id" ;;
    *) return 1 ;;
    esac
  done
  return 1
}

take_back() {
  local outcome="no proven map is there to go back to"
  rm -f "$map".new* "$errors"
  if [[ $label == AWSCURRENT ]]; then
    # Every host should have it, while the one before may be that of a key which was deleted long ago.
    outcome="the map stays as it is, since that is the credential in use"
  elif [[ -e $map.before ]]; then
    take_into_use "$map.before"
    outcome="the map before is back"
  fi
  # What waits because of the refused credential leaves at once with the old one, not after minutes.
  if ! { postfix reload && postqueue -f; } >/dev/null 2>&1; then
    outcome+=", and Postfix does not reload it"
  fi
  [[ -z $queue_id ]] || postsuper -d "$queue_id" >/dev/null 2>&1 || true
  echo "rotate_smtp: Postfix does not deliver with access key $key: ${answer:0:400}; $outcome" >&2
}

state=unchanged
trap 'exit 1' HUP INT TERM
if [[ $(lines_of_relay '==') != "$line" ]]; then
  # A host that boots in the middle of a rotation keeps what it was told. The way back to AWSCURRENT's would be undone by
  # nobody: the rotation counts this host as told.
  if [[ $label == AWSCURRENT ]]; then
    status_of_fetch=0
    deploying=$(fetch DEPLOYING 2>/dev/null) || status_of_fetch=$?
    ((status_of_fetch != 1)) || fail "cannot read DEPLOYING of $arn: $(<"$errors")"
    if [[ -n $deploying && $(lines_of_relay '==') == "$deploying" ]]; then
      echo "unchanged: $map keeps the credential that a rotation has brought (DEPLOYING)"
      exit 0
    fi
  fi
  state=installed
  if [[ -e $map && ! -e $map.before ]]; then
    cp -p "$map" "$map.new.before"
    sync "$map.new.before"
    mv -f "$map.new.before" "$map.before"
  fi
  trap take_back EXIT
  { lines_of_relay '!=' && printf '%s\n' "$line"; } >"$map.new"
  take_into_use "$map.new"
fi
if [[ $label == AWSCURRENT ]] && ! postfix status >/dev/null 2>&1; then
  trap - EXIT
  rm -f "$map.before" "$errors"
  echo "$state: $map has $label, access key $key; Postfix does not run, so there is no proof"
  exit 0
fi

trap take_back EXIT
if ! postfix reload >/dev/null 2>&1; then
  answer="it does not reload; does it run?"
  exit 1
fi
prove || exit 1
trap - EXIT
rm -f "$errors"
[[ ! -e $map.before ]] || mv -f "$map.before" "$map.previous"
# While some servers of SES did not know the key, other mail may have been deferred.
[[ -z $was_deferred ]] || postqueue -f
echo "$state: $map has $label, access key $key; Postfix delivered with it: $answer"
