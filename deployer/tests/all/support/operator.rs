//! What an operator does to a deployment by hand.

use std::time::Duration;

use aws_sdk_iam::types::StatusType;
use contract::SecretValue;

use super::{
    controls::{Answer, Instance, Smtp, Time},
    deployed::{Deployed, GRACE},
    example::{SECRET, USER},
};

/// Labels and versions.
impl Deployed {
    /// Ends a rotation that is open.
    pub(crate) async fn clear_pending(&self) {
        self.move_label("AWSPENDING", None).await;
    }

    /// Moves AWSCURRENT back to where it was before the last rotation. AWSPENDING stays where that rotation left it.
    pub(crate) async fn roll_back(&self) {
        let previous = self.labelled("AWSPREVIOUS").await.unwrap();
        self.move_label("AWSCURRENT", Some(&previous)).await;
    }

    /// Takes AWSPENDING off the version of a completed rotation. If another version is current, Secrets Manager takes such a
    /// rotation for one that is open.
    pub(crate) async fn clear_what_looks_open(&self) {
        let (pending, current) = (self.labelled("AWSPENDING").await, self.labelled("AWSCURRENT").await);
        if pending.is_some() && pending != current {
            self.clear_pending().await;
        }
    }

    /// Moves a label to a version, or takes it away.
    pub(crate) async fn move_label(&self, label: &str, to: Option<&str>) {
        let from = self.labelled(label).await;
        let request = self.aws.secrets.update_secret_version_stage().secret_id(SECRET).version_stage(label);
        request.set_move_to_version_id(to.map(str::to_owned)).set_remove_from_version_id(from).send().await.unwrap();
    }

    /// Stores a value as AWSCURRENT. Returns its version.
    pub(crate) async fn put(&self, value: &str) -> String {
        let request = self.aws.secrets.put_secret_value().secret_id(SECRET).secret_string(value);
        let version = request.send().await.unwrap().version_id.unwrap();
        self.clear_what_looks_open().await;
        version
    }
}

/// Access keys.
impl Deployed {
    pub(crate) async fn set_active(&self, key: &str, active: bool) {
        let status = if active { StatusType::Active } else { StatusType::Inactive };
        self.aws.iam.update_access_key().user_name(USER).access_key_id(key).status(status).send().await.unwrap();
    }

    pub(crate) async fn delete_key(&self, key: &str) {
        self.aws.iam.delete_access_key().user_name(USER).access_key_id(key).send().await.unwrap();
    }

    /// Somebody else's key of the same user, made by hand and in use for something else.
    pub(crate) async fn somebodys_key_in_use(&self) -> String {
        // After the grace of the rotation before, and in another second than any other key: what is shown depends on both.
        tokio::time::sleep(GRACE + Duration::from_millis(1200)).await;
        let key = self.sandbox.make_key_by_hand().await;
        let sdk = self.sandbox.sdk(&key.access_key_id, &key.secret_access_key).await;
        aws_sdk_sts::Client::new(&sdk).get_caller_identity().send().await.unwrap();
        key.access_key_id
    }

    /// A credential of the same user that somebody makes by hand.
    pub(crate) async fn credential_by_hand(&self) -> SecretValue {
        let key = self.sandbox.make_key_by_hand().await;
        let mut value = SecretValue::placeholder(USER);
        value.smtp_password = self.sandbox.smtp_password(&key.secret_access_key);
        value.access_key_id = key.access_key_id;
        value
    }
}

/// Hosts.
impl Deployed {
    /// Systems Manager reaches an instance, or all of them; or it does not.
    pub(crate) fn set_online(&self, instance: Option<&str>, online: bool) {
        self.sandbox.control(&Instance { id: instance, online });
    }
}

/// What happens to a deployment that nobody does.
impl Deployed {
    /// As if so many seconds had passed.
    pub(crate) fn let_pass(&self, seconds: u64) {
        self.sandbox.control(&Time { pass: seconds });
    }

    /// SES takes the next mail, which is that of setSecret, and refuses the one of testSecret with a code that means that trying
    /// again is no use: the hosts have been told then.
    pub(crate) fn refuse_the_mail_of_test_secret(&self) {
        self.answer(&[Answer::to("DATA", 552, "too much").after(1)]);
    }

    /// From now on SES's endpoint gives these answers in place of its own.
    pub(crate) fn answer(&self, answers: &[Answer]) {
        self.sandbox.control(&Smtp { answers: Some(answers), ..Smtp::default() });
    }
}
