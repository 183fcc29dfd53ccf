#!/usr/bin/env bash
#
# Gives Postfix the SMTP credential, and proves that Postfix delivers with it.
#
#   rotate_smtp.sh ARN             the new credential of the rotation that is under way (AWSPENDING)
#   rotate_smtp.sh --current ARN   for a host that boots: the credential that a rotation is giving to the hosts
#                                  (DEPLOYING). If the relay host refuses it, or there is none: AWSCURRENT
#
# The rotation function sets SECRET_VERSION_ID and SECRET_VERSION_STAGE (AWSPENDING or AWSCURRENT). With them, the
# script installs exactly that version: a read by label alone can return an older version for some seconds.
#
# The script reads Postfix's own configuration: relayhost, which must be [HOST] or [HOST]:PORT, and
# smtp_sasl_password_maps, one table of type texthash (which every Postfix has), hash, btree, lmdb or cdb. In the table,
# the script replaces only the relay host's line. For an instance that is not the system's, set Postfix's own variable,
# MAIL_CONFIG.
#
# The proof is a test mail, which Postfix's log must call sent by the relay host. If it does not in time, the script
# restores the map from before and exits with 1. You may run it again: with the same credential, only the proof repeats.
# On success the last line on standard output names the access key that Postfix uses now.
# (With smtp_tls_connection_reuse, which is off by default, the mail may use a connection made earlier.)
#
# Needs: root, Postfix 2.10 or newer with its SASL plug-ins, bash, coreutils, util-linux, the AWS CLI with
# secretsmanager:GetSecretValue on the secret, python3. Python runs with -I, and in /: else anybody's json.py in the
# current folder would run as root.

set -euo pipefail
umask 077
cd /
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
syslog_name=$(postconf -xh syslog_name)
postfix_user=$(id -u "$(postconf -xh mail_owner)")

((EUID == 0)) || fail "must be root: only root may read Postfix's passwords"
relay=$(postconf -xh relayhost)
[[ $relay =~ ^\[([^][]+)\](:([0-9]+))?$ ]] || fail "relayhost is '$relay', not [HOST] or [HOST]:PORT"
relay_name=${BASH_REMATCH[1]} relay_port=${BASH_REMATCH[3]:-25}
# With these, the credential of a mail depends on its sender. The script replaces, and proves, only the relay host's.
[[ $(postconf -h smtp_sender_dependent_authentication) != yes ]] ||
  fail "smtp_sender_dependent_authentication is yes: mail of some senders would keep an old credential"
for parameter in sender_dependent_relayhost_maps sender_dependent_default_transport_maps; do
  [[ -z $(postconf -xh "$parameter") ]] || fail "$parameter is set: mail of some senders would keep an old credential"
done
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
if [[ $log == journal ]]; then
  [[ -n $(journalctl --quiet --no-pager --lines 1 2>/dev/null) ]] || fail "journalctl shows no entry; set MAIL_LOG"
else
  [[ -f $log ]] || fail "cannot find Postfix's log, which the proof reads; set MAIL_LOG"
fi

# The credential. Programs get it on standard input: every user of the host can see arguments.

fetch() { # LABEL [VERSION-ID]: prints the map's line; returns 2 if no version has the label, or that version has not
  local secret
  if ! secret=$(aws secretsmanager get-secret-value --region "$region" --secret-id "$arn" --version-stage "$1" \
    ${2:+--version-id "$2"} --cli-connect-timeout 5 --cli-read-timeout 10 --query SecretString --output text \
    2>"$errors"); then
    [[ $(<"$errors") != *ResourceNotFoundException* ]] || return 2
    # "You provided a VersionStage that is not associated to the provided VersionId."
    [[ -z ${2-} || $(<"$errors") != *InvalidRequestException* ]] || return 2
    return 1
  fi
  echo "its value is not the JSON of an SMTP credential" >"$errors"
  printf '%s' "$secret" | python3 -I -c 'import json, sys
secret = json.load(sys.stdin)
print(sys.argv[1], secret["AccessKeyId"] + ":" + secret["SMTPPassword"])' "$relay" 2>/dev/null || return 1
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

key_of() { # LABEL LINE-OF-THE-MAP: prints the access key's id
  [[ ${2#"$relay "} =~ ^([A-Z0-9]{16,128}):[A-Za-z0-9+/=]{20,}$ ]] || fail "$1 of $arn is not an SMTP credential"
  printf '%s\n' "${BASH_REMATCH[1]}"
}

refuses() { # LINE-OF-THE-MAP: whether the relay host definitely refuses this credential: three answers of 535
  local attempt status implicit cafile capath
  implicit=$(postconf -h smtp_tls_wrappermode) || return 1
  cafile=$(postconf -xh smtp_tls_CAfile) capath=$(postconf -xh smtp_tls_CApath)
  for attempt in 1 2 3; do
    ((attempt == 1)) || sleep 5
    status=0
    # The credential goes only to a host with the right certificate, whatever smtp_tls_security_level is.
    printf '%s\n' "${1#"$relay "}" | timeout 20 python3 -I -c 'import os, smtplib, ssl, sys
host, port, implicit, cafile, capath = sys.argv[1:]
user, _, password = sys.stdin.readline().rstrip("\n").partition(":")
tls = ssl.create_default_context(cafile=cafile or None, capath=capath or None)
options = {"local_hostname": os.uname().nodename, "timeout": 10}
if implicit == "yes":
    session = smtplib.SMTP_SSL(host, int(port), context=tls, **options)
else:
    session = smtplib.SMTP(host, int(port), **options)
    session.starttls(context=tls)
session.ehlo()
# Not login(): it tries a second mechanism after a refusal.
session.user, session.password = user, password
try:
    session.auth("PLAIN", session.auth_plain)
except smtplib.SMTPAuthenticationError as error:
    sys.exit(3 if error.smtp_code == 535 else 1)
' "$relay_name" "$relay_port" "$implicit" "$cafile" "$capath" 2>/dev/null || status=$?
    ((status == 3)) || return 1
  done
}

exec 9>"$map.lock"
flock --wait 60 9 || fail "another run has held $map.lock for a minute"
# This run has the lock, so a killed run left these files.
rm -f "$map".new* "$map".errors
errors=$map.errors
trap 'rm -f "$errors"' EXIT
# Also if somebody made them wider.
for file in "$map.before" "$map.previous"; do
  [[ ! -e $file ]] || chmod 600 "$file"
done
line=$(fetch_told "$label" 30) || fail "cannot read $label of $arn: $(tr '\n' ' ' <"$errors")"
key=$(key_of "$label" "$line")

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

# The proof. Every user of the host can log lines that look like Postfix's, and strangers influence what Postfix logs.
# So nobody can guess the mail's Message-ID, a line counts only as a whole, and the queue has the last word.

began=$(date +%s)
random=$(python3 -I -c 'import secrets; print(secrets.token_hex(16))')
message_id=rotate-smtp.$random@${sender#*@}
queue_id='' status='' was_deferred='' answer="its log does not mention the mail"

log_since_began() {
  if [[ $log == journal ]]; then
    # The journal itself records the user who logs. Anybody can set the name of the program.
    LC_ALL=C journalctl --quiet --no-pager --output short --since "@$began" "_UID=$postfix_user"
  else
    # If the log was rotated meanwhile, read the new one from its start.
    (($(stat -c %s "$log") >= log_size)) || log_size=0
    tail -c "+$((log_size + 1))" "$log"
  fi
}

# Prints QUEUE-ID STATUS ANSWER, once the log has the mail. A mail that a content filter gives back has a new id. The
# Message-ID is in the environment, which only root can read.
fate() {
  log_since_began | MESSAGE_ID=$message_id python3 -I -c 'import os, re, signal, sys
# If the script is stopped meanwhile, nobody reads this any more.
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
relay, name = sys.argv[1:]
sender = r"(?:[A-Z][a-z]{2} [ \d]\d [\d:]{8}|\d{4}-\d\d-\d\dT\S+) \S+ " + re.escape(name) + r"(?:/[\w-]+)*"
# Short ids are hexadecimal; long ids have no vowels.
queue_id = "([0-9A-F]{5,}|[0-9B-DF-HJ-NP-TV-Zb-df-hj-np-tv-z]{10,})"
message_id = re.escape(os.environ["MESSAGE_ID"])
queued = re.compile(sender + r"/cleanup\[\d+\]: " + queue_id + ": message-id=<" + message_id + ">")
tried = re.compile(
    sender + r"/(smtp|error)\[\d+\]: " + queue_id + r": to=<[^>]*>, (?:orig_to=<[^>]*>, )?relay=([^ ,]+), "
    r"(?:[a-z_]+=[^ ,]+, )+status=(\w+) (\(.*\))"
)
fates = {}
for line in sys.stdin.buffer:
    line = line.decode(errors="replace").rstrip("\n")
    in_cleanup, attempt = queued.fullmatch(line), tried.fullmatch(line)
    if in_cleanup:
        fates.setdefault(in_cleanup[1], "queued it is still in the queue")
    elif attempt and fates.get(attempt[2], "final").split()[0] in ("queued", "deferred", "sent"):
        daemon, queue, host, status, answer = attempt.groups()
        if status == "sent" and not (daemon == "smtp" and host.lower().startswith(relay.lower() + "[")):
            status, answer = "elsewhere", "it went to " + host
        fates[queue] = status + " " + answer
# The first id of the mail, unless another host took the mail and gave it back.
for queue, fate in fates.items():
    if not fate.startswith("elsewhere "):
        break
if not fates:
    sys.exit(1)
print(queue, fate)' "$relay_name" "$syslog_name"
}

in_queue() { # Whether this very mail is in the queue, whatever the log says
  [[ $(postcat -hq "$queue_id" 2>/dev/null) == *"<$message_id>"* ]]
}

prove() {
  local gone deadline=$((SECONDS + proof_seconds))
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
    # Before the log is read: Postfix removes a mail from the queue after it has logged what became of it.
    gone=''
    [[ -z $queue_id ]] || in_queue || gone=yes
    read -r queue_id status answer < <(fate) || continue
    case $status in
    sent) [[ -z $gone ]] || return 0 ;;
    queued | elsewhere) ;;
    deferred) was_deferred=yes && sleep 2 && postqueue -i "$queue_id" ;;
    *) return 1 ;;
    esac
  done
  [[ $status != sent ]] || answer="its log says that the mail was sent, but the mail is still in the queue"
  return 1
}

take_back() {
  local outcome="no proven map is there to go back to"
  rm -f "$map".new* "$errors"
  if [[ $label != AWSPENDING ]]; then
    # The credential before may be of a key that was deleted long ago.
    outcome="the map stays as it is, since every host should have $label"
  elif [[ -e $map.before ]]; then
    take_into_use "$map.before"
    outcome="the map before is back"
  fi
  # Mail that waits because of the refused credential leaves at once with the old one, not after minutes.
  if ! { postfix reload && postqueue -f; } >/dev/null 2>&1; then
    outcome+=", and Postfix does not reload it"
  fi
  if [[ -n $queue_id ]] && in_queue; then
    postsuper -d "$queue_id" >/dev/null 2>&1 || true
  fi
  echo "rotate_smtp: Postfix does not deliver with access key $key: ${answer:0:400}; $outcome" >&2
}

state=unchanged
trap 'exit 1' HUP INT TERM
if [[ $label == AWSPENDING && $(lines_of_relay '==') != "$line" ]]; then
  # A rotation puts both labels on its version. Once DEPLOYING is elsewhere, the rotation cannot end, and no label would
  # protect the key that this host takes. The script of the next rotation may already wait for the lock.
  deploying=$(fetch_told DEPLOYING 5) || fail "cannot read DEPLOYING of $arn: $(tr '\n' ' ' <"$errors")"
  [[ $deploying == "$line" ]] || fail "DEPLOYING of $arn names another credential: the rotation was given up"
fi
# During a rotation AWSCURRENT is the old credential until every host has the new one. A host that took the old one then
# would keep it: the rotation has told its hosts already, and deletes the old key later.
if [[ -n $boots || ($label == AWSCURRENT && $(lines_of_relay '==') != "$line") ]]; then
  status_of_fetch=0
  deploying=$(fetch DEPLOYING) || status_of_fetch=$?
  # Only a label that does not exist means that there is no such credential. A read that failed does not.
  ((status_of_fetch != 1)) || fail "cannot read DEPLOYING of $arn: $(tr '\n' ' ' <"$errors")"
  deploying_key=$key
  [[ -z $deploying ]] || deploying_key=$(key_of DEPLOYING "$deploying")
  if [[ $deploying_key == "$key" ]]; then
    : # No rotation is under way, or it is about to end.
  elif [[ -z $boots ]]; then
    [[ $(lines_of_relay '==') != "$deploying" ]] ||
      fail "$map keeps the credential that a rotation has brought (DEPLOYING)"
  elif refuses "$deploying"; then
    echo "rotate_smtp: $relay refuses access key $deploying_key of DEPLOYING; taking AWSCURRENT" >&2
  else
    label=DEPLOYING line=$deploying key=$deploying_key
  fi
fi
if [[ $(lines_of_relay '==') != "$line" ]]; then
  state=installed
  if [[ -e $map && ! -e $map.before ]]; then
    # Not cp: a copy of a map that everybody can read would be readable by everybody, too.
    cat "$map" >"$map.new.before"
    sync "$map.new.before"
    mv -f "$map.new.before" "$map.before"
  fi
  trap take_back EXIT
  { lines_of_relay '!=' && printf '%s\n' "$line"; } >"$map.new"
  take_into_use "$map.new"
fi
if [[ -n $boots ]] && ! postfix status >/dev/null 2>&1; then
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
