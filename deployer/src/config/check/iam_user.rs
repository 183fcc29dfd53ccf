//! `iam_user`, and what does not fit a user that exists already.

use contract::KEYS_PER_USER;

use crate::config::{
    IamUser,
    raw::{MAX_KNOWN_POLICIES, RawIamUser},
    reader::{Reader, if_given, or_default, required},
};

impl Reader<'_> {
    pub(super) fn iam_user(&mut self, raw: &RawIamUser) -> Option<IamUser> {
        let name = required(&raw.name, |leaf| self.parsed("iam_user.name", leaf));
        let existing = or_default(&raw.existing, false, |leaf| self.flag("iam_user.existing", leaf));
        let allow_privileged =
            or_default(&raw.allow_privileged, false, |leaf| self.flag("iam_user.allow_privileged", leaf));
        if let (Some(false), Some(true), Some(leaf)) = (existing, allow_privileged, raw.allow_privileged.get()) {
            let hint = "remove it: the user that the deployer creates may only send";
            self.no_effect(leaf.at, "iam_user.allow_privileged", "without `existing: true`", hint);
        }
        let replaces = or_default(&raw.replaces, Vec::new(), |leaf| {
            self.list("iam_user.replaces", leaf, KEYS_PER_USER, str::parse)
        });
        let path = if_given(&raw.path, |leaf| self.parsed("iam_user.path", leaf));
        let permissions_boundary =
            if_given(&raw.permissions_boundary, |leaf| self.parsed("iam_user.permissions_boundary", leaf));
        let known_policies = or_default(&raw.known_policies, Vec::new(), |leaf| {
            self.list("iam_user.known_policies", leaf, MAX_KNOWN_POLICIES, str::parse)
        });
        if existing == Some(true) {
            let given = [("path", &raw.path), ("permissions_boundary", &raw.permissions_boundary)];
            for (key, leaf) in given.into_iter().filter_map(|(key, leaf)| Some((key, leaf.get()?))) {
                let hint = format!("remove `{key}`: the deployer never changes an existing user");
                self.no_effect(leaf.at, &format!("iam_user.{key}"), "on a user with `existing: true`", hint);
            }
        }
        Some(IamUser {
            name: name?,
            existing: existing?,
            allow_privileged: allow_privileged?,
            replaces: replaces?,
            path: path?,
            permissions_boundary: permissions_boundary?,
            known_policies: known_policies?,
        })
    }
}
