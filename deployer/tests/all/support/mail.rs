//! SES as a client of its SMTP endpoint sees it.

use std::{
    fs,
    io::Write as _,
    process::{Command, Stdio},
};

use contract::{SecretValue, SmtpEndpoint};
use lettre::{
    SmtpTransport,
    transport::smtp::{
        authentication::Credentials,
        client::{Certificate, Tls, TlsParameters},
    },
};

use super::{
    example::{REGION, root},
    sandbox::Sandbox,
};

impl Sandbox {
    /// Whether SES's SMTP endpoint accepts the credential.
    pub(crate) fn logs_in(&self, value: &SecretValue) -> bool {
        let endpoint: SmtpEndpoint = self.variable("SANDBOX_SMTP_ENDPOINT").parse().unwrap();
        let authority = Certificate::from_pem(&fs::read(self.variable("SANDBOX_CA_FILE")).unwrap()).unwrap();
        let tls = TlsParameters::builder(endpoint.host.clone()).add_root_certificate(authority).build_rustls();
        SmtpTransport::builder_dangerous(&endpoint.host)
            .port(endpoint.port)
            .tls(Tls::Wrapper(tls.unwrap()))
            .credentials(Credentials::new(value.access_key_id.clone(), value.smtp_password.clone()))
            .build()
            .test_connection()
            .is_ok()
    }

    /// The SMTP password of a secret access key, derived as AWS's own guide does it.
    pub(super) fn smtp_password(&self, secret_access_key: &str) -> String {
        const PROGRAM: &str =
            "import sys; from sandbox.smtp import smtp_password; print(smtp_password(sys.stdin.read(), sys.argv[1]))";
        let mut python = Command::new(self.variable("SANDBOX_PYTHON"));
        python.args(["-c", PROGRAM, REGION]).current_dir(root().join("examples/sandbox"));
        let mut child = python.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(secret_access_key.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}
