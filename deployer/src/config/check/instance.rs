//! `instance`: the hosts, and the script that tells them.

use crate::config::{
    Instance,
    duration::spell,
    group::Beginning,
    leaf::Optional,
    problem::Code,
    raw::{self, RawInstance},
    reader::{Reader, if_given, or_default},
    text::InvalidValue,
};

impl Reader<'_> {
    pub(super) fn instance(&mut self, raw: &Beginning<RawInstance>) -> Option<Instance> {
        let ids = match (&raw.id, &raw.ids) {
            (Optional::Given(id), Optional::Missing) => self.parsed("instance.id", id).map(|id| vec![id]),
            (Optional::Missing, Optional::Given(ids)) => self.list("instance.ids", ids, raw::MAX_INSTANCES, str::parse),
            (Optional::Given(_), Optional::Given(ids)) => {
                let hint = "remove one of the two: `ids` takes several instances";
                self.conflict(ids.at, "`instance` has both `id` and `ids`", hint)
            }
            (Optional::Missing, Optional::Missing) => {
                let hint = "add `id: i-0123456789abcdef0`, or remove `instance` if no host needs to be told";
                self.refuse_as(Code::MissingKey, raw.at, "`instance` has neither `id` nor `ids`", hint);
                None
            }
            _ => None,
        };
        let script = or_default(&raw.script, raw::DEFAULT_SCRIPT.to_owned(), |leaf| {
            let script = self.text("instance.script", leaf)?;
            self.accept(leaf.at, check_script(script)).map(|()| script.to_owned())
        });
        let timeout = self.duration_or("instance.timeout", &raw.timeout, raw::DEFAULT_INSTANCE_TIMEOUT);
        let timeout = timeout.and_then(|timeout| match raw.timeout.get() {
            Some(leaf) if timeout < raw::SHORTEST_SCRIPT => {
                let message = format!("`instance.timeout` cannot be {}", spell(timeout));
                let hint = "write 5s or more: for a shorter limit, Systems Manager's agent silently takes an hour";
                self.refuse(leaf.at, message, hint)
            }
            _ => Some(timeout),
        });
        let role = if_given(&raw.role, |leaf| self.parsed("instance.role", leaf));
        let document = if_given(&raw.document, |leaf| self.parsed("instance.document", leaf));
        Some(Instance { ids: ids?, script: script?, timeout: timeout?, role: role?, document: document? })
    }
}

fn check_script(text: &str) -> Result<(), InvalidValue> {
    let is_segment = |segment: &str| {
        !segment.is_empty()
            && !segment.starts_with('.')
            && segment.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
    };
    if text.len() <= 256 && text.strip_prefix('/').is_some_and(|path| path.split('/').all(is_segment)) {
        return Ok(());
    }
    let hint = if text.starts_with('/') {
        "write a path such as /usr/local/bin/rotate_smtp.sh, without arguments; each part has only letters, digits, `.`, \
         `_` and `-`, and begins with another character than `.`"
    } else {
        "write the absolute path on the host: /usr/local/bin/rotate_smtp.sh"
    };
    Err(InvalidValue::new(format!("`{text}` is not a plain absolute path"), hint))
}
