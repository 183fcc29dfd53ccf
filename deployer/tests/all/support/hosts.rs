//! What the hosts have: their scripts, and the credentials that those installed.

use std::{fs, path::PathBuf};

use contract::SecretValue;

use super::{
    deployed::Deployed,
    example::{INSTANCES, USER},
    sandbox::Sandbox,
};

/// The file into which `rotate_smtp_file.sh` writes the credential. The credential before is beside it, as `.previous`.
const CREDENTIALS: &str = "etc/mail/smtp-credentials";

impl Sandbox {
    fn host_file(&self, instance: &str, file: &str) -> PathBuf {
        let folder = if instance == INSTANCES[0] { "host".to_owned() } else { format!("host-{instance}") };
        self.path(&folder).join(file)
    }

    /// What a host's script installed.
    pub(crate) fn credential_on(&self, instance: &str) -> Option<SecretValue> {
        let text = fs::read_to_string(self.host_file(instance, CREDENTIALS)).ok()?;
        let field =
            |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).unwrap().to_owned();
        let mut value = SecretValue::placeholder(USER);
        (value.access_key_id, value.smtp_password) = (field("AccessKeyId"), field("SMTPPassword"));
        Some(value)
    }

    /// The key of the credential that a host's script installed.
    pub(crate) fn key_on(&self, instance: &str) -> Option<String> {
        self.credential_on(instance).map(|credential| credential.access_key_id)
    }
}

impl Deployed {
    pub(crate) fn key_on(&self, instance: &str) -> Option<String> {
        self.sandbox.key_on(instance)
    }

    /// Gives a host the credential that it had before, without a rotation.
    pub(crate) fn host_goes_back(&self, instance: &str) {
        let file = self.sandbox.host_file(instance, CREDENTIALS);
        fs::copy(file.with_extension("previous"), &file).unwrap();
    }

    /// Gives a host the credential of another one, without a rotation.
    pub(crate) fn copy_credential(&self, from: &str, to: &str) {
        fs::copy(self.sandbox.host_file(from, CREDENTIALS), self.sandbox.host_file(to, CREDENTIALS)).unwrap();
    }

    /// Replaces a host's script. Its first line names the shell.
    pub(crate) fn script(&self, instance: &str, text: &str) {
        fs::write(self.sandbox.host_file(instance, "usr/local/bin/rotate_smtp.sh"), text).unwrap();
    }
}
