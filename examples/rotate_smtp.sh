#!/usr/bin/env bash
#
# Gives Postfix the SMTP credential, and proves that Postfix delivers with it.
#
#   rotate_smtp.sh ARN             the new credential of the rotation that is under way (AWSPENDING)
#   rotate_smtp.sh --current ARN   the credential in use (AWSCURRENT), for a host that boots
#
# The script reads Postfix's own configuration: relayhost, which must be [HOST] or [HOST]:PORT, and
# smtp_sasl_password_maps, one table of type texthash (which every Postfix has), hash, btree, lmdb or cdb. In the table,
# the script replaces only the relay host's line. For an instance that is not the system's, set Postfix's own variable,
# MAIL_CONFIG.
#
# The proof is a test mail, which Postfix's log must call sent by the relay host. If it does not in time, the script
# restores the map from before and exits with 1. You may run it again: with the same credential, only the proof repeats.
# (With smtp_tls_connection_reuse, which is off by default, the mail may use a connection made earlier.)
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

# Settings. The sender must be one that the IAM user may send as (ses.from of the deployment).
sender=${PROBE_SENDER:-no-reply@$(postconf -xh mydomain)}
recipient=${PROBE_RECIPIENT:-success@simulator.amazonses.com}
# SES may answer a new key with 535 for a while: not all of its servers know the key yet.
proof_seconds=${PROOF_SECONDS:-60}
# The file of Postfix's log, or "journal" for systemd's.
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

((EUID == 0)) || fail "must be root: only root may read Postfix's passwords"
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

# The credential. Programs get it on standard input: every user of the host can see arguments.

fetch() { # LABEL: prints the map's line for that version; returns 2 if no version has the label
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
# This run has the lock, so a killed run left these files.
rm -f "$map".new* "$map".errors
errors=$map.errors
trap 'rm -f "$errors"' EXIT
line=$(fetch "$label") || fail "cannot read $label of $arn, or it is not the JSON of an SMTP credential"
[[ ${line#"$relay "} =~ ^([A-Z0-9]{16,128}):[A-Za-z0-9+/=]{20,}$ ]] || fail "$label of $arn is not an SMTP credential"
key=${BASH_REMATCH[1]}

# The map. $map.before is the last proven map. It exists only until its successor is proven too. So if a run is killed
# before that, the next run can still restore it.

lines_of_relay() { # == or !=: prints the relay host's lines of the map, or all others
  [[ ! -e $map ]] || awk -v relay="$relay" "\$1 $1 relay" "$map"
}

take_into_use() { # FILE: renames the file and its index to the map
  local suffix=.$type
  [[ $type != hash && $type != btree ]] || suffix=.db
  if [[ $type != texthash ]]; then
    postmap "$type:$1"
    sync "$1$suffix"
    # First the index, which Postfix reads. If the run is killed here, the next finds the old text and repeats both.
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
    # If the log was rotated meanwhile, read the new one from its start.
    (($(stat -c %s "$log") >= log_size)) || log_size=0
    tail -c "+$((log_size + 1))" "$log"
  fi
}

fate() { # Prints QUEUE-ID STATUS (ANSWER), once the log has it. Sent elsewhere, as to a content filter, is not sent.
  log_since_began | awk -v id="message-id=<$message_id>" -v relay="relay=${relay_name}[" '
    index($0, id) { queue = $0; sub(/: message-id=.*/, "", queue); sub(/.* /, "", queue) }
    queue && index($0, queue ": to=<") && (index($0, relay) || !/status=sent/) { last = $0 }
    END { if (!last) exit 1; sub(/.*status=/, "", last); print queue, last }'
}

prove() {
  local deadline=$((SECONDS + proof_seconds))
  [[ $log == journal ]] || log_size=$(stat -c %s "$log")
  # -N never: a bounce of this mail would reach nobody.
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
    # Every host should have this credential. The one before may be of a key that was deleted long ago.
    outcome="the map stays as it is, since that is the credential in use"
  elif [[ -e $map.before ]]; then
    take_into_use "$map.before"
    outcome="the map before is back"
  fi
  # Mail that waits because of the refused credential leaves at once with the old one, not after minutes.
  if ! { postfix reload && postqueue -f; } >/dev/null 2>&1; then
    outcome+=", and Postfix does not reload it"
  fi
  [[ -z $queue_id ]] || postsuper -d "$queue_id" >/dev/null 2>&1 || true
  echo "rotate_smtp: Postfix does not deliver with access key $key: ${answer:0:400}; $outcome" >&2
}

state=unchanged
trap 'exit 1' HUP INT TERM
if [[ $(lines_of_relay '==') != "$line" ]]; then
  # A host that boots during a rotation keeps the credential that it was told of. If it went back to AWSCURRENT's,
  # nobody would tell it again: the rotation counts this host as told.
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
# Other mail may have been deferred while some servers of SES did not know the key.
[[ -z $was_deferred ]] || postqueue -f
echo "$state: $map has $label, access key $key; Postfix delivered with it: $answer"
