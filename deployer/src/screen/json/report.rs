//! The function's report on a rotation.
//!
//! The fields are those of [`contract::Report`], with texts as every line has them. They are types of their own: what the function
//! says may change with the function, and these lines only by addition.

use contract::{HostReport, KeyReport, KeyVerdict, Login, Next, Refusal, Report, VersionReport, WayOut};
use schemars::JsonSchema;
use serde::Serialize;

use super::text_line::TextLine;

#[derive(Serialize, JsonSchema)]
pub(in crate::screen) struct VersionLine<'a> {
    version: &'a str,
    labels: &'a [String],
    created: Option<&'a str>,
    /// The access key that its value names.
    key: Option<&'a str>,
    /// What is wrong with its value.
    problem: Option<&'a str>,
    /// What SES says to its credential; null if nobody asked.
    login: Option<LoginLine<'a>>,
}

/// SES's answer to a login.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum LoginLine<'a> {
    Accepted,
    /// SES's words.
    Refused(&'a str),
    /// SES's words, which prove neither.
    Unclear(&'a str),
}

#[derive(Serialize, JsonSchema)]
pub(in crate::screen) struct KeyLine<'a> {
    /// Its id, which is not secret.
    key: &'a str,
    active: bool,
    created: Option<&'a str>,
    /// None if it never was, or if that is not known.
    last_used: Option<&'a str>,
    /// Whether the function could not ask IAM when it was last used.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    last_use_is_unknown: bool,
    /// Since when it is Inactive, if the function made it so in order to delete it later.
    #[serde(skip_serializing_if = "Option::is_none")]
    inactive_since: Option<&'a str>,
    verdict: VerdictLine<'a>,
}

/// Whether a key may be deleted, and why.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum VerdictLine<'a> {
    MayGo(&'a str),
    MustStay {
        reason: &'a str,
        /// From when on the clock alone changes that.
        until: Option<&'a str>,
        way_out: Option<WayOutLine>,
    },
}

/// What somebody who looked at the key may do.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum WayOutLine {
    Leaked,
    RetireOrphan,
}

#[derive(Serialize, JsonSchema)]
pub(in crate::screen) struct HostLine<'a> {
    instance: &'a str,
    /// Systems Manager's word for it, or that it does not know it.
    status: &'a str,
    /// Whether it can be told of a credential.
    online: bool,
}

#[derive(Serialize, JsonSchema)]
pub(in crate::screen) struct ReportLine<'a> {
    /// The secret's ARN.
    secret: &'a str,
    /// The user's name.
    user: &'a str,
    rotation_enabled: bool,
    /// The version of an open rotation.
    open: Option<&'a str>,
    last_rotated: Option<&'a str>,
    next_rotation: Option<&'a str>,
    /// When the grace of the previous key ends.
    grace_ends: Option<&'a str>,
    /// Why a rotation should have happened and did not.
    overdue: Option<TextLine>,
    notes: Vec<TextLine>,
    next: NextLine<'a>,
}

/// What the next rotation would do.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum NextLine<'a> {
    MakeKey {
        /// The keys that are deleted for it.
        frees: &'a [String],
    },
    RollForward {
        version: &'a str,
        key: &'a str,
    },
    Resume {
        key: &'a str,
    },
    Fail {
        refusal: RefusalLine<'a>,
    },
}

/// Why the function would not rotate.
#[derive(Serialize, JsonSchema)]
struct RefusalLine<'a> {
    /// Its name in the table of docs/when-a-rotation-fails.md.
    kind: &'a str,
    found: &'a str,
    not_done: &'a str,
    next: Vec<TextLine>,
    /// From when on the clock alone lets it go on.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<&'a str>,
}

impl<'a> ReportLine<'a> {
    pub(super) fn new(report: &'a Report, config: Option<&str>) -> Self {
        Self {
            secret: &report.secret,
            user: &report.user,
            rotation_enabled: report.rotation_enabled,
            open: report.open.as_deref(),
            last_rotated: report.last_rotated.as_deref(),
            next_rotation: report.next_rotation.as_deref(),
            grace_ends: report.grace_ends.as_deref(),
            overdue: report.overdue.as_ref().map(|overdue| TextLine::new(overdue, config)),
            notes: TextLine::all(&report.notes, config),
            next: NextLine::new(&report.next, config),
        }
    }
}

impl<'a> From<&'a VersionReport> for VersionLine<'a> {
    fn from(VersionReport { version, labels, created, key, problem, login }: &'a VersionReport) -> Self {
        let login = login.as_ref().map(|login| match login {
            Login::Accepted => LoginLine::Accepted,
            Login::Refused(words) => LoginLine::Refused(words),
            Login::Unclear(words) => LoginLine::Unclear(words),
        });
        Self { version, labels, created: created.as_deref(), key: key.as_deref(), problem: problem.as_deref(), login }
    }
}

impl<'a> From<&'a KeyReport> for KeyLine<'a> {
    fn from(report: &'a KeyReport) -> Self {
        let KeyReport { key, active, created, last_used, last_use_is_unknown, inactive_since, verdict } = report;
        let way_out = |way: WayOut| match way {
            WayOut::Leaked => WayOutLine::Leaked,
            WayOut::RetireOrphan => WayOutLine::RetireOrphan,
        };
        let verdict = match verdict {
            KeyVerdict::MayGo(reason) => VerdictLine::MayGo(reason),
            KeyVerdict::MustStay { reason, until, way_out: way } => {
                VerdictLine::MustStay { reason, until: until.as_deref(), way_out: way.map(way_out) }
            }
        };
        Self {
            key,
            active: *active,
            created: created.as_deref(),
            last_used: last_used.as_deref(),
            last_use_is_unknown: *last_use_is_unknown,
            inactive_since: inactive_since.as_deref(),
            verdict,
        }
    }
}

impl<'a> From<&'a HostReport> for HostLine<'a> {
    fn from(HostReport { instance, status, online }: &'a HostReport) -> Self {
        Self { instance, status, online: *online }
    }
}

impl<'a> NextLine<'a> {
    fn new(next: &'a Next, config: Option<&str>) -> Self {
        match next {
            Next::MakeKey { frees } => Self::MakeKey { frees },
            Next::RollForward { version, key } => Self::RollForward { version, key },
            Next::Resume { key } => Self::Resume { key },
            Next::Fail { refusal } => Self::Fail { refusal: RefusalLine::new(refusal, config) },
        }
    }
}

impl<'a> RefusalLine<'a> {
    /// A rotation that has not begun has no exit codes.
    fn new(Refusal { kind, found, not_done, next, until, exit_codes: _ }: &'a Refusal, config: Option<&str>) -> Self {
        Self { kind: kind.name(), found, not_done, next: TextLine::all(next, config), until: until.as_deref() }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// The function's own words for its report are the first version of these lines.
    #[test]
    fn the_lines_have_every_field_of_the_report() {
        let refusal = json!({"kind": "NoSafeSlot", "found": "f", "not_done": "n", "next": []});
        let until = json!("2026-01-02T00:00:00Z");
        let verdicts = [
            json!({"may_go": "superseded"}),
            json!({"must_stay": {"reason": "in its grace", "until": until, "way_out": "leaked"}}),
        ];
        for (next, login, verdict) in [
            (json!({"fail": {"refusal": refusal}}), json!("accepted"), &verdicts[0]),
            (json!({"make_key": {"frees": ["AKIA"]}}), json!({"refused": "535"}), &verdicts[1]),
            (json!({"roll_forward": {"version": "v", "key": "k"}}), json!({"unclear": "454"}), &verdicts[1]),
            (json!({"resume": {"key": "k"}}), Value::Null, &verdicts[0]),
        ] {
            let version = json!({"version": "v", "labels": ["AWSCURRENT"], "created": null, "key": "AKIA", "problem": null,
                                 "login": login});
            let key = json!({"key": "AKIA", "active": true, "created": null, "last_used": null, "verdict": verdict});
            let host = json!({"instance": "i-1", "status": "Online", "online": true});
            let mut report = json!({"secret": "s", "user": "u", "rotation_enabled": true, "open": null,
                "last_rotated": until, "next_rotation": null, "grace_ends": null, "overdue": null,
                "versions": [version], "keys": [key], "hosts": [host], "next": next});
            let parsed: Report = serde_json::from_value(report.clone()).unwrap();

            assert_eq!(json!(VersionLine::from(&parsed.versions[0])), version);
            assert_eq!(json!(KeyLine::from(&parsed.keys[0])), key);
            assert_eq!(json!(HostLine::from(&parsed.hosts[0])), host);
            let rest = report.as_object_mut().unwrap();
            rest.retain(|name, _| !["versions", "keys", "hosts"].contains(&name.as_str()));
            rest.insert("notes".to_owned(), json!([]));
            assert_eq!(json!(ReportLine::new(&parsed, None)), report);
        }
    }
}
