//! The rules that concern more than one section of the file: what has to fit together, and what has no effect beside something else.

use std::time::Duration;

use contract::{INVOCATION_MARGIN_SECONDS, Instances, LOGIN_GATE_SECONDS, Partition, SmtpEndpoint};

use crate::config::{
    AccountId, PolicyArn, Region,
    duration::{self, MINUTE, SECOND, spell},
    leaf::{Leaf, Optional},
    node::{Found, Node},
    problem::Code,
    raw::{self, RawConfig},
    reader::{Reader, group, if_given, or_default},
};

impl Reader<'_> {
    /// A boundary is a policy of AWS or of the same account.
    pub(super) fn boundaries(&mut self, raw: &RawConfig, region: Option<&Region>, account_id: Option<&AccountId>) {
        let of_user = raw.iam_user.get().and_then(|user| user.permissions_boundary.get());
        let of_role = raw.function.get().and_then(|function| function.role_permissions_boundary.get());
        for leaf in of_user.into_iter().chain(of_role) {
            let Some(text) = leaf.text().filter(|text| text.parse::<PolicyArn>().is_ok()) else { continue };
            if self.partition_fits(leaf, region).is_none() {
                continue;
            }
            let of_policy = text.split(':').nth(4).filter(|account| *account != "aws");
            if let (Some(of_policy), Some(own)) = (of_policy, account_id)
                && of_policy != &**own
            {
                let message = format!("this policy is in account {of_policy}, but `account_id` is {own}");
                let hint = format!("name a policy of account {own}, or one of AWS: IAM attaches no others");
                self.refuse_as(Code::Conflict, leaf.at, message, hint);
            }
        }
    }

    /// Refuses an ARN of another partition than the region's. Partitions share nothing.
    pub(super) fn partition_fits(&mut self, leaf: &Node, region: Option<&Region>) -> Option<()> {
        let of_arn = leaf.text().and_then(|text| text.strip_prefix("arn:")?.split(':').next());
        match (of_arn, region.map(|region| (region, Partition::of_region(region).id))) {
            (Some(of_arn), Some((region, own))) if of_arn != own => {
                let message = format!("this ARN is of the partition {of_arn}, but {region} is in the partition {own}");
                self.conflict(leaf.at, message, format!("write an ARN that begins with arn:{own}:"))
            }
            _ => Some(()),
        }
    }

    /// One invocation may have to wait for all of these, one after the other.
    pub(super) fn time_limits(&mut self, raw: &RawConfig) {
        let script = if_given(&raw.instance, |raw| valid(&raw.timeout, raw::DEFAULT_INSTANCE_TIMEOUT));
        let limit = group(&raw.function, |raw| valid(&raw.timeout, raw::DEFAULT_FUNCTION_TIMEOUT));
        let (Some(script), Some(limit)) = (script, limit) else { return };
        let fixed = SECOND * u32::try_from(LOGIN_GATE_SECONDS + INVOCATION_MARGIN_SECONDS).unwrap_or(u32::MAX);
        let mut parts = vec![
            format!("{} for the new key to be accepted", spell(Duration::from_secs(LOGIN_GATE_SECONDS))),
            format!("{} margin", spell(Duration::from_secs(INVOCATION_MARGIN_SECONDS))),
        ];
        let mut needed = fixed;
        if let Some(script) = script {
            let tell = Instances::time_needed(script);
            needed += tell;
            parts.insert(0, format!("{} `instance.timeout`", spell(script)));
            parts
                .insert(0, format!("{} to deliver the command and to see its end", spell(tell.saturating_sub(script))));
        }
        let function_at = raw.function.get().and_then(|function| function.timeout.get()).map(|leaf| leaf.at);
        let script_at = raw.instance.get().and_then(|instance| instance.timeout.get()).map(|leaf| leaf.at);
        // The defaults fit. If the sum does not, the file sets at least one of the two.
        let Some(at) = function_at.or(script_at).filter(|_| needed > limit) else { return };

        let message = format!(
            "a rotation may need more time than `function.timeout` allows: {} = {}, more than {}",
            parts.join(" + "),
            spell(needed),
            spell(limit),
        );
        let mut ways = Vec::new();
        let enough = MINUTE * u32::try_from(needed.as_secs().div_ceil(60)).unwrap_or(u32::MAX);
        if enough <= raw::LONGEST_INVOCATION {
            ways.push(format!("set `function.timeout` to {}", spell(enough)));
        }
        if let Some(script) = script
            && let Some(rest) = (limit + script).checked_sub(needed).filter(|rest| !rest.is_zero())
        {
            ways.push(format!("set `instance.timeout` to {} or less", spell(rest)));
        }
        // Neither is enough alone.
        if let Some(script) = script.filter(|_| ways.is_empty()) {
            let rest = (raw::LONGEST_INVOCATION + script).saturating_sub(needed);
            let longest = spell(raw::LONGEST_INVOCATION);
            ways.push(format!(
                "set `function.timeout` to {longest}, and `instance.timeout` to {} or less",
                spell(rest)
            ));
        }
        self.refuse_as(Code::Conflict, at, message, ways.join(", or "));
    }

    /// The function alone logs in at the endpoint: the hosts have their own.
    pub(super) fn private_endpoint(&mut self, raw: &RawConfig) {
        let Some(leaf) = raw.ses.get().and_then(|ses| ses.endpoint.get()) else { return };
        let endpoint = leaf.text().and_then(|text| text.parse::<SmtpEndpoint>().ok());
        let is_private = endpoint.is_some_and(|endpoint| endpoint.host.split('.').any(|label| label == "vpce"));
        let is_in_no_vpc = group(&raw.function, |function| Some(matches!(function.vpc, Optional::Missing)));
        if is_private && is_in_no_vpc == Some(true) {
            let message = "this endpoint is private to a VPC, and the function is in no VPC";
            let hint = "put the function into that VPC with `function.vpc`, or remove `endpoint` to use the region's public one";
            self.refuse_as(Code::Conflict, leaf.at, message, hint);
        }
    }

    pub(super) fn senders_of_an_existing_user(&mut self, raw: &RawConfig) {
        let from = raw.ses.get().and_then(|ses| ses.from.get());
        let existing = raw.iam_user.get().and_then(|user| user.existing.get());
        if let Some(leaf) = from.filter(|_| existing.is_some_and(|leaf| matches!(leaf.found, Found::Flag(true)))) {
            let hint = "remove `from`: the user's own policies decide what it may send from";
            self.no_effect(leaf.at, "ses.from", "on a user with `existing: true`", hint);
        }
    }

    pub(super) fn name_of_an_existing_role(&mut self, raw: &RawConfig) {
        let existing = raw.function.get().and_then(|function| function.role.get()?.text());
        let given = raw.names.get().and_then(|names| names.role.get());
        if let (Some(role), Some(leaf)) = (existing, given) {
            let hint = "remove one of the two: function.role names a role that exists already";
            self.no_effect(leaf.at, "names.role", &format!("beside `function.role: {role}`"), hint);
        }
    }
}

/// A duration, without its problem if it has one: that was recorded where it was read.
fn valid(key: &Optional<Leaf<duration::DurationText>>, default: &str) -> Option<Duration> {
    or_default(key, duration::parse(default).ok()?, |leaf| duration::parse(leaf.text()?).ok())
}
