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
# the script replaces the relay host's credential wherever it stands: transport_maps may name the same host with another
# port, or in another spelling. Other lines stay as they are. For an instance that is not the system's, set Postfix's own
# variable, MAIL_CONFIG.
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
PATH=$PATH:/usr/local/bin:/usr/sbin:/sbin:/snap/bin

fail() {
  echo "rotate_smtp: $*" >&2
  exit 1
}
command -v postconf >/dev/null || fail "Postfix is not installed"
for program in aws python3; do
  command -v "$program" >/dev/null || fail "$program is not installed"
done

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
[[ -z $(postconf -xh smtp_sasl_auth_cache_name) ]] ||
  fail "smtp_sasl_auth_cache_name is set: Postfix would remember one refusal of a new key long after SES knows the key"
maps=$(postconf -xh smtp_sasl_password_maps)
[[ $maps =~ ^(texthash|hash|btree|lmdb|cdb):(/[^ ,]+)$ ]] ||
  fail "smtp_sasl_password_maps is '$maps', not one of texthash:, hash:, btree:, lmdb: or cdb: with an absolute path"
# postconf -P needs Postfix 2.11.
services=$(postconf -P '*/*/smtp_sasl_password_maps' 2>/dev/null || postconf -M)
while read -r table; do
  [[ -z $table || $table == "$maps" ]] ||
    fail "master.cf gives a service another smtp_sasl_password_maps, $table: its mail would keep an old credential"
done < <(sed -n 's/.*smtp_sasl_password_maps *= *\([^ }]*\).*/\1/p' <<<"$services")
[[ $maps =~ ^(texthash|hash|btree|lmdb|cdb):(/[^ ,]+)$ ]]
type=${BASH_REMATCH[1]} map=${BASH_REMATCH[2]} index=.${BASH_REMATCH[1]}
[[ $type != hash && $type != btree ]] || index=.db
[[ $(postconf -h smtp_sasl_auth_soft_bounce) == yes ]] ||
  fail "smtp_sasl_auth_soft_bounce is not yes: mail would bounce while SES does not know a new key everywhere"
if [[ -z $log ]]; then
  # Postfix logs when it starts. A file that is older than that is left from before the host logged to the journal.
  for log in /var/log/mail.log /var/log/maillog journal; do
    [[ ! -e $log || $log -ot $(postconf -xh queue_directory)/pid/master.pid ]] || break
  done
fi
if [[ $log == journal ]]; then
  [[ -n $(journalctl --quiet --no-pager --lines 1 2>/dev/null) ]] || fail "journalctl shows no entry; set MAIL_LOG"
else
  [[ -f $log ]] || fail "cannot find Postfix's log, which the proof reads; set MAIL_LOG"
fi

# The credential. No program gets it as an argument, which every user of the host can see.

fetch() { # LABEL [VERSION-ID]: prints KEY-ID:PASSWORD; returns 2 if no version has the label, or that version has not
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
print(secret["AccessKeyId"] + ":" + secret["SMTPPassword"])' 2>/dev/null || return 1
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

key_of() { # LABEL CREDENTIAL: prints the access key's id
  [[ $2 =~ ^([A-Z0-9]{16,128}):[A-Za-z0-9+/=]{20,}$ ]] || fail "$1 of $arn is not an SMTP credential"
  printf '%s\n' "${BASH_REMATCH[1]}"
}

refuses() { # CREDENTIAL: whether the relay host definitely refuses this credential: three answers of 535
  local attempt status implicit cafile capath
  implicit=$(postconf -h smtp_tls_wrappermode) || return 1
  cafile=$(postconf -xh smtp_tls_CAfile) capath=$(postconf -xh smtp_tls_CApath)
  for attempt in 1 2 3; do
    ((attempt == 1)) || sleep 5
    status=0
    # The credential goes only to a host with the right certificate, whatever smtp_tls_security_level is.
    printf '%s\n' "$1" | timeout 20 python3 -I -c 'import os, smtplib, ssl, sys
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
# What the script keeps beside the map has names of its own: nobody else's copy is touched.
own=$map.rotate_smtp
# This run has the lock, so a killed run left these files.
rm -f "$own".new* "$own.errors"
errors=$own.errors
trap 'rm -f "$errors" "$own".new*' EXIT
# Also if somebody made them wider.
for file in "$own.before" "$own.previous"; do
  [[ ! -e $file ]] || chmod 600 "$file"
done
credential=$(fetch_told "$label" 30) || fail "cannot read $label of $arn: $(tr '\n' ' ' <"$errors")"
key=$(key_of "$label" "$credential")

# The map. $own.before is the last proven map. It exists only until its successor is proven too. So if a run is killed
# before that, the next run can still restore it. $own.unproven has the digests of such successors: somebody who has
# changed the map since wants that one, and no older one back.
if [[ -e $own.before ]] && ! cmp -s "$own.before" "$map" &&
  ! { [[ -e $map ]] && grep -qxF "$(sha256sum <"$map")" "$own.unproven" 2>/dev/null; }; then
  rm -f "$own.before"
fi
[[ -e $own.before ]] || rm -f "$own.unproven"

# Prints the relay host's credential, or the map with the new one. It reads the text as postmap does.
map_program='import os, re, sys
action, relay, text_file, index_file = sys.argv[1:]
host = relay[1 : relay.index("]")].lower()
new = os.environ.get("CREDENTIAL", "")
# Of old versions of Python too; every byte is a character.
out = open(1, "w", encoding="latin-1", newline="", closefd=False)
space = " \t\r\n\v\f"
form = re.compile(r"((?:\\.|\"(?:\\.|[^\"\\])*\"|[^\s\"\\])+)\s*(.*)", re.ASCII | re.DOTALL)

def read(file):
    with open(file, encoding="latin-1", newline="") as lines:
        return re.findall(r"[^\n]*\n|[^\n]+", lines.read())

def split(line):
    found = form.match(line.strip(space))
    return found.groups() if found else (line.strip(space), "")

class Entry:
    def __init__(self, raw):
        self.raw, self.text = raw, raw.rstrip("\r\n")

# A line that begins with white space continues the entry before it. Comments and empty lines may come between.
parts, entries = [], []
for raw in read(text_file):
    is_nothing = not raw.strip(space) or raw.lstrip(space).startswith("#")
    if not is_nothing and raw[0] in space and entries:
        entries[-1].raw += raw
        entries[-1].text += raw.rstrip("\r\n")
    elif is_nothing or raw[0] in space:
        parts.append(raw)
    else:
        entries.append(Entry(raw))
        parts.append(entries[-1])
for entry in entries:
    entry.key, entry.value = split(entry.text)
    # Postfix looks keys up in small letters.
    entry.folded = entry.key.lower()
# The line of the relay host may be in the index alone, if a run was killed.
known = {entry.folded for entry in entries} | {host, relay.lower()}
lost = [key for key, _ in map(split, read(index_file)) if key.lower() not in known]
if lost:
    sys.exit("the index of the map has " + ", ".join(lost) + ", and its text has not: add it, or run postmap")

# Postfix looks for the host before it looks for the relay host as it is written.
of_relay = [entry for name in (host, relay.lower()) for entry in entries if entry.folded == name]
now = {entry.value for entry in of_relay}
if len(now) > 1 and new not in now:
    sys.exit("the map has one credential for " + host + " and another for " + relay + ": remove one of the two lines")
current = of_relay[0].value if now else ""
if action == "current":
    out.write(current + "\n")
    out.flush()
    sys.exit()
key = current.partition(":")[0]
same_host = re.compile(r"(\[" + re.escape(host) + r"\]|" + re.escape(host) + r")(:\w+)?$")
for entry in entries:
    if entry in of_relay or entry.value and entry.value in now:
        if entry.value != new:
            entry.raw = entry.key + " " + new + "\n"
    elif key and entry.value.partition(":")[0] == key:
        sys.exit("the line of " + entry.key + " has access key " + key + " with another password, and would keep it")
    elif same_host.match(entry.folded) and entry.value != new:
        print("rotate_smtp: the line of " + entry.key + " has another credential, and keeps it", file=sys.stderr)
text = "".join(part if isinstance(part, str) else part.raw for part in parts)
if not now:
    text += ("" if not text or text.endswith("\n") else "\n") + relay + " " + new + "\n"
out.write(text)
out.flush()'

# The text of a password map is often deleted once it is indexed. Then the index has what Postfix uses.
text=$map indexed=/dev/null
if [[ $type != texthash && -e $map$index ]]; then
  indexed=$own.new.indexed
  # cdb cannot list what it has.
  postmap -s "$type:$map" >"$indexed" 2>/dev/null || [[ $type == cdb ]] || fail "postmap cannot read the index of $map"
  if [[ ! -e $map ]]; then
    [[ -s $indexed ]] || fail "$map is gone, and postmap cannot list its index: write the map again, with all of its lines"
    text=$indexed
  fi
elif [[ ! -e $map ]]; then
  text=/dev/null
fi

# The credential is in the environment, which only root can read.
read_map() { # current: prints the relay host's credential; edit: prints the map with $credential
  CREDENTIAL=$credential python3 -I -c "$map_program" "$1" "$relay" "$text" "$indexed" 2>"$errors" ||
    fail "$map stays as it is: $(tail -n 1 "$errors")"
}

looked_up() { # FILE: prints the credential that Postfix would find in it
  postmap -q "$relay_name" "$type:$1" || postmap -q "$relay" "$type:$1"
}

take_into_use() { # FILE: renames the file and its index to the map
  if [[ $type != texthash ]]; then
    postmap "$type:$1"
    sync "$1$index"
    # First the index, which Postfix reads. If the run is killed here, text and index differ, and the next run repeats both.
    mv -f "$1$index" "$map$index"
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
  local gone found deadline=$((SECONDS + proof_seconds))
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
    found=$(fate) || continue
    read -r queue_id status answer <<<"$found"
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
  # Nothing cuts this short.
  trap '' HUP INT TERM
  local outcome="no proven map is there to go back to"
  rm -f "$own".new* "$errors"
  if [[ $label != AWSPENDING ]]; then
    # The credential before may be of a key that was deleted long ago.
    rm -f "$own.before" "$own.unproven"
    outcome="the map stays as it is, since every host should have $label"
  elif [[ -e $own.before ]]; then
    take_into_use "$own.before"
    rm -f "$own.unproven"
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
current=$(read_map current)
if [[ $label == AWSPENDING && $current != "$credential" ]]; then
  # A rotation puts both labels on its version. Once DEPLOYING is elsewhere, the rotation cannot end, and no label would
  # protect the key that this host takes. The script of the next rotation may already wait for the lock.
  deploying=$(fetch_told DEPLOYING 5) || fail "cannot read DEPLOYING of $arn: $(tr '\n' ' ' <"$errors")"
  [[ $deploying == "$credential" ]] || fail "DEPLOYING of $arn names another credential: the rotation was given up"
fi
# During a rotation AWSCURRENT is the old credential until every host has the new one. A host that took the old one then
# would keep it: the rotation has told its hosts already, and deletes the old key later.
if [[ -n $boots || ($label == AWSCURRENT && $current != "$credential") ]]; then
  status_of_fetch=0
  deploying=$(fetch DEPLOYING) || status_of_fetch=$?
  # Only a label that does not exist means that there is no such credential. A read that failed does not.
  ((status_of_fetch != 1)) || fail "cannot read DEPLOYING of $arn: $(tr '\n' ' ' <"$errors")"
  deploying_key=$key
  [[ -z $deploying ]] || deploying_key=$(key_of DEPLOYING "$deploying")
  if [[ $deploying_key == "$key" ]]; then
    : # No rotation is under way, or it is about to end.
  elif [[ -z $boots ]]; then
    [[ $current != "$deploying" ]] ||
      fail "$map keeps the credential that a rotation has brought (DEPLOYING)"
  elif refuses "$deploying"; then
    echo "rotate_smtp: $relay refuses access key $deploying_key of DEPLOYING; taking AWSCURRENT" >&2
  else
    label=DEPLOYING credential=$deploying key=$deploying_key
  fi
fi
read_map edit >"$own.new"
cat "$errors" >&2
if [[ $text != "$map" || $(looked_up "$map" 2>/dev/null) != "$credential" ]] || ! cmp -s "$own.new" "$map"; then
  # Before anything changes: Postfix has to find the new credential in the new map.
  [[ $type == texthash ]] || postmap "$type:$own.new"
  [[ $(looked_up "$own.new") == "$credential" ]] ||
    fail "$map stays as it is: Postfix would find another line than that of $relay"
  state=installed
  if [[ $label != AWSPENDING ]]; then
    # There is no way back to it. A person may want to see it.
    rm -f "$own.before" "$own.unproven"
    cat "$text" >"$own.new.previous"
    mv -f "$own.new.previous" "$own.previous"
  elif [[ $text != /dev/null && ! -e $own.before ]]; then
    # Not cp: a copy of a map that everybody can read would be readable by everybody, too.
    cat "$text" >"$own.new.before"
    sync "$own.new.before"
    mv -f "$own.new.before" "$own.before"
  fi
  sha256sum <"$own.new" >>"$own.unproven"
  sync "$own.unproven"
  trap take_back EXIT
  take_into_use "$own.new"
fi
rm -f "$own".new*
if [[ -n $boots ]] && ! postfix status >/dev/null 2>&1; then
  trap - EXIT
  rm -f "$own.before" "$own.unproven" "$errors"
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
[[ ! -e $own.before ]] || mv -f "$own.before" "$own.previous"
rm -f "$own.unproven"
# Other mail may have been deferred while some servers of SES did not know the key.
[[ -z $was_deferred ]] || postqueue -f
echo "$state: $map has $label, access key $key; Postfix delivered with it: $answer"
