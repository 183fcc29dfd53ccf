//! The text of each refusal.

mod begin;
mod keys;
mod parts;
mod tell;

use contract::{Refusal, printable};

use super::Error;
use crate::date::date;
use parts::Parts;

impl Error {
    /// What was found, what was not done, and what to do next.
    #[must_use]
    pub(crate) fn refusal(&self) -> Refusal {
        let Parts { found, not_done, next } = self.parts();
        // Text of AWS, of scripts and of SES is in it, and the log, the mails and the screen show it.
        let [found, not_done] = [found, not_done].map(|text| printable(&text).into_owned());
        let (until, exit_codes) = (self.until().map(date), self.exit_codes());
        Refusal { next, until, exit_codes, ..Refusal::new(self.kind(), found, not_done) }
    }

    fn parts(&self) -> Parts {
        match self {
            Self::Settings(error) => begin::settings(error),
            Self::EventFieldMissing { field } => begin::event_field_missing(field),
            Self::EventMalformed { problem } => begin::event_malformed(problem),
            Self::UnknownStep { step } => begin::unknown_step(step),
            Self::WrongSecret { found, expected } => begin::wrong_secret(found, expected),
            Self::RotationDisabled { secret } => begin::rotation_disabled(secret),
            Self::UnknownToken { version } => begin::unknown_token(version),
            Self::NotPending { version, labels } => begin::not_pending(version, labels),
            Self::NotMarkedDeploying { secret, version, deploying } => {
                begin::not_marked_deploying(secret, version, deploying.as_deref())
            }
            Self::HostsNotTold { version, told } => begin::hosts_not_told(version, told.as_deref()),
            Self::EndpointUnresolved { host, cause } => begin::endpoint_unresolved(host, cause),
            Self::EndpointUnreachable { endpoint, cause } => begin::endpoint_unreachable(endpoint, cause),
            Self::TlsUnusable { cause } => begin::tls_unusable(cause),
            Self::UserMissing { user } => begin::user_missing(user),
            Self::UserServesAnother { user, found, expected } => {
                begin::user_serves_another(user, found.as_deref(), expected)
            }
            Self::NoCurrentValue { secret } => begin::no_current_value(secret),
            Self::TooManyLabels { secret, has, adds, others } => begin::too_many_labels(secret, *has, *adds, others),
            Self::ValueTooLong { bytes, longest } => begin::value_too_long(*bytes, longest.as_ref()),
            Self::MalformedSecret { version, labels, problem } => begin::malformed_secret(version, labels, problem),
            Self::SecretOfAnotherUser { field, found, expected } => {
                begin::secret_of_another_user(field, found, expected)
            }
            Self::HostsOffline { hosts } => begin::hosts_offline(hosts),
            Self::DocumentChanged { document, version } => begin::document_changed(document, version),
            Self::PendingEmpty { secret, version } => begin::pending_empty(secret, version),
            Self::NotEnoughTime { purpose, needed, remaining } => {
                begin::not_enough_time(purpose, needed.as_secs(), remaining.as_secs())
            }
            Self::DeadlineReached => begin::deadline_reached(),

            Self::PendingKeyGone { user, key, state, secret, version } => {
                keys::pending_key_gone(user, key, *state, secret, version)
            }
            Self::RolledBack(labels) => keys::rolled_back(labels),
            Self::WasComplete { version, is_closed } => keys::was_complete(version, *is_closed),
            Self::CurrentIsNewer(labels) => keys::current_is_newer(labels),
            Self::KeyStateUnclear { key, version, state, ses } => keys::key_state_unclear(key, version, *state, ses),
            Self::NoSafeSlot { user, keys } => keys::no_safe_slot(user, keys),
            Self::LabelsMoved { key, reason } => keys::labels_moved(key, reason),
            Self::Unsettled { key, secret, found } => keys::unsettled(key, secret, found),
            Self::LeakedInUse { key } => keys::leaked_in_use(key),
            Self::KeyLeftInactive { user, key, found, problem } => keys::key_left_inactive(user, key, found, problem),
            Self::KeyNotDeleted { key, cause } => keys::key_not_deleted(key, cause),
            Self::KeyLimitReached { user, cause } => keys::key_limit_reached(user, cause),
            Self::KeyCreationUnclear { user, cause } => keys::key_creation_unclear(user, cause),
            Self::StoreRefused { key, cause, fate } => keys::store_refused(key, cause, fate),
            Self::StoreUnclear { key, cause } => keys::store_unclear(key, cause),
            Self::TokenTaken { key, fate } => keys::token_taken(key, fate),
            Self::Aws { action, cause } => keys::aws(action, cause),

            Self::LoginRefused { endpoint, key, in_a_row, attempts } => {
                tell::login_refused(endpoint, key, *in_a_row, attempts)
            }
            Self::HostsFailed { command, results } => tell::hosts_failed(command, results),
            Self::HostDidNotConfirm { command, key, hosts, cut } => {
                tell::host_did_not_confirm(command, key, hosts, cut)
            }
            Self::TestMailMalformed { address, cause } => tell::test_mail_malformed(address, cause),
            Self::TestMailRefused { endpoint, key, attempts, hosts_told } => {
                tell::test_mail_refused(endpoint, key, attempts, *hosts_told)
            }
            Self::LabelElsewhere { label, version, expected, found } => {
                tell::label_elsewhere(label, version, expected.as_deref(), found.as_deref())
            }
            Self::OvertakenBeforeStore { key, reason, fate } => keys::overtaken_before_store(key, reason, fate),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use contract::{AWSCURRENT, Command, SmtpEndpoint};

    use super::*;
    use crate::{
        decide::keys::{AccessKey, KeptKey, MustStay, UsedKey},
        error::{Attempts, Cause, CrossedLabels, KeyFate, KeyState, SmtpRefusal},
    };

    fn cause(code: &str) -> Cause {
        Cause { code: Some(code.into()), message: "no.".into(), request_id: Some("r-1".into()), refused: true }
    }

    fn crossed() -> CrossedLabels {
        CrossedLabels { secret: "arn".into(), current: "v1".into(), deploying: "v2".into(), is_pending: false }
    }

    fn commands(error: &Error) -> Vec<Command> {
        error.refusal().next.iter().flat_map(|step| step.commands().cloned().collect::<Vec<_>>()).collect()
    }

    fn kept(id: &str, active: bool, reason: MustStay) -> KeptKey {
        let key = UsedKey { key: AccessKey { id: id.into(), active, created: None }, last_used: None };
        KeptKey { key, reason, until: None, now: SystemTime::UNIX_EPOCH }
    }

    fn clear() -> Command {
        Command::move_label("arn", "AWSPENDING", Some("v2"), None)
    }

    #[test]
    fn while_the_current_key_cannot_be_used_nobody_is_told_to_delete_the_other_one() {
        let refused = |active| {
            let current = kept("AKIACURRENT", active, MustStay::Protected { label: AWSCURRENT });
            let previous = kept("AKIAPREVIOUS", true, MustStay::InGrace { ends: None });
            commands(&Error::NoSafeSlot { user: "u".into(), keys: vec![current, previous] })
        };
        let deletes_the_other = Command::rotate_leaked("AKIAPREVIOUS");
        assert!(refused(true).contains(&deletes_the_other));
        assert!(!refused(false).contains(&deletes_the_other));
        assert!(refused(false).contains(&Command::reactivate("AKIACURRENT")));
        // `rotate --leaked` would meet the same refusal.
        assert!(!refused(false).contains(&Command::rotate_leaked("AKIACURRENT")));
        assert!(refused(false).contains(&Command::delete_key("u", "AKIACURRENT")));
    }

    #[test]
    fn without_a_safe_slot_each_key_that_may_go_is_named_and_the_one_in_use_never_is() {
        let last = |keys| {
            let refusal = Error::NoSafeSlot { user: "u".into(), keys }.refusal();
            refusal.next.last().unwrap().to_string()
        };
        let current = |active| kept("AKIACURRENT", active, MustStay::Protected { label: AWSCURRENT });
        let other = || kept("AKIAOTHER", true, MustStay::OnlyActiveKey);
        assert!(last(vec![current(true), other()]).contains("as soon as AKIAOTHER is deleted"));
        assert!(last(vec![current(false), other()]).contains("as soon as AKIACURRENT is deleted"));

        let inactive = kept("AKIAINACTIVE", false, MustStay::NobodyTold);
        let named = commands(&Error::NoSafeSlot { user: "u".into(), keys: vec![other(), inactive] });
        assert!(named.contains(&Command::activate_key("u", "AKIAINACTIVE")), "{named:?}");
    }

    #[test]
    fn every_way_out_over_labels_is_a_complete_command() {
        let (secret, version) = ("arn".to_owned(), "v2".to_owned());
        let gone = |state| {
            let (user, key, secret, version) = ("u".into(), "AKIA".into(), secret.clone(), version.clone());
            Error::PendingKeyGone { user, key, state, secret, version }
        };
        let not_marked = |deploying: Option<&str>| {
            let (secret, version, deploying) = (secret.clone(), version.clone(), deploying.map(str::to_owned));
            Error::NotMarkedDeploying { secret, version, deploying }
        };
        for deploying in [Some("v1"), None] {
            let mark = Command::move_label("arn", "DEPLOYING", deploying, Some("v2"));
            assert!(commands(&not_marked(deploying)).contains(&mark));
        }
        for error in [
            Error::PendingEmpty { secret: secret.clone(), version: version.clone() },
            not_marked(Some("v1")),
            gone(KeyState::Deleted),
            gone(KeyState::Inactive),
        ] {
            assert!(commands(&error).contains(&clear()), "{error}");
        }
        for command in [Command::activate_key("u", "AKIA"), Command::delete_key("u", "AKIA")] {
            assert!(commands(&gone(KeyState::Inactive)).contains(&command));
            assert!(!commands(&gone(KeyState::Deleted)).contains(&command));
        }
        for error in [Error::RolledBack(crossed()), Error::CurrentIsNewer(crossed())] {
            let expected = [
                Command::move_label("arn", "AWSCURRENT", Some("v1"), Some("v2")),
                Command::move_label("arn", "DEPLOYING", Some("v2"), Some("v1")),
            ];
            assert_eq!(commands(&error), expected, "{error}");
        }
    }

    #[test]
    fn a_rollback_with_awspending_left_behind_says_to_clear_it_too() {
        let error = |is_pending| Error::RolledBack(CrossedLabels { is_pending, ..crossed() });
        assert!(commands(&error(true)).contains(&clear()) && !commands(&error(false)).contains(&clear()));
    }

    #[test]
    fn a_token_that_is_taken_says_whether_a_key_is_left() {
        let error = |fate| Error::TokenTaken { key: "AKIA".into(), fate }.to_string();
        assert!(error(KeyFate::Deleted).contains("the key was deleted again"));
        assert!(error(KeyFate::NotMade).contains("no key was made or deleted"));
    }

    #[test]
    fn the_kind_is_the_variants_name() {
        let errors = [
            Error::PendingEmpty { secret: "s".into(), version: "v".into() },
            Error::CurrentIsNewer(crossed()),
            Error::DeadlineReached,
            Error::UnknownToken { version: "v".into() },
            Error::aws_answer("iam:GetUser", "garbage"),
        ];
        for error in errors {
            let debug = format!("{error:?}");
            assert_eq!(debug.split(|c: char| !c.is_alphanumeric()).next().unwrap(), error.kind().name());
        }
    }

    #[test]
    fn a_denied_call_is_told_with_awss_words_once_and_what_to_do() {
        let error = Error::Aws { action: "iam:GetUser", cause: cause("AccessDenied") };
        assert_eq!(
            error.to_string(),
            "iam:GetUser failed: AccessDenied: no (request r-1); nothing further was done; run `deployer apply \
             --during-rotation` to give the function's role its policy again; if that does not help, look for another policy \
             that denies the call"
        );
    }

    #[test]
    fn a_refused_value_says_whether_the_key_is_gone() {
        let refused =
            |fate| Error::StoreRefused { key: "AKIA".into(), cause: Box::new(cause("LimitExceededException")), fate };
        assert!(refused(KeyFate::Deleted).to_string().contains("the key was deleted again"));
        let problem = Box::new(Error::Aws { action: "iam:DeleteAccessKey", cause: cause("ServiceFailure") });
        let still_there = refused(KeyFate::NotDeleted { user: "u".into(), problem });
        assert_eq!(commands(&still_there), [Command::delete_key("u", "AKIA")]);
    }

    #[test]
    fn a_user_without_the_tag_and_a_user_of_another_secret_are_told_apart() {
        let error = |found: Option<&str>| {
            let (user, found, expected) = ("u".into(), found.map(Into::into), "r/s".into());
            Error::UserServesAnother { user, found, expected }.to_string()
        };
        assert!(error(None).starts_with("the IAM user u has no tag deployer:secret, which has to be r/s;"));
        assert!(
            error(Some("r/t")).starts_with("the IAM user u serves r/t (tag deployer:secret), but this secret is r/s")
        );
    }

    #[test]
    fn a_login_that_was_not_accepted_quotes_the_last_refusal() {
        let last = Some(SmtpRefusal { code: Some(535), text: "permanent error (535): no".into() });
        let attempts = Attempts { made: 40, accepted: 2, lasted: Duration::from_secs(119), last };
        let endpoint = SmtpEndpoint::of_region("eu-west-1");
        let error = Error::LoginRefused { endpoint, key: "AKIA".into(), in_a_row: 3, attempts };
        let words = "2 of 40 attempts in 119 s were accepted, the last refusal: permanent error (535): no";
        assert!(error.to_string().contains(words), "{error}");
    }
}
