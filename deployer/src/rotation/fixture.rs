//! For tests: what the function reports of a deployment two days after its second rotation.

use contract::{HostReport, KeyReport, KeyVerdict, Next, Report, VersionReport};

/// A report in which nothing is in the way of a rotation.
pub(crate) fn report(versions: Vec<VersionReport>, keys: Vec<KeyReport>) -> Report {
    Report {
        secret: "arn".into(),
        user: "mail".into(),
        rotation_enabled: true,
        open: None,
        last_rotated: Some("2026-01-01T00:00:00Z".into()),
        next_rotation: Some("2026-02-01T00:00:00Z".into()),
        grace_ends: Some("2026-01-02T00:00:00Z".into()),
        overdue: None,
        notes: vec![],
        versions,
        keys,
        hosts: vec![HostReport { instance: "i-1".into(), status: "Online".into(), online: true }],
        next: Next::MakeKey { frees: vec![] },
        denied: Some(vec![]),
        keep_inactive_seconds: None,
    }
}

/// An Active key that was never used.
pub(crate) fn key(id: &str, verdict: KeyVerdict) -> KeyReport {
    KeyReport {
        key: id.into(),
        active: true,
        created: Some("2026-01-01T00:00:00Z".into()),
        last_used: None,
        last_use_is_unknown: false,
        inactive_since: None,
        verdict,
    }
}
