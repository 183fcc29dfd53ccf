//! The SES identity of the test mail's sender. Referenced, never changed: it must be verified.

use std::sync::Arc;

use aws_sdk_sesv2::types::VerificationStatus;

use crate::{
    aws::Aws,
    deployment::Deployment,
    deployment::facts::Facts,
    engine::kind::{Address, Context, Kind, Op, Toward},
    error::{Error, FailedTo as _, absent_is_none},
};

pub(crate) struct Sender(pub(crate) Arc<Deployment>);

/// The identities that would let the sender send, each with whether it is verified; absent ones are left out.
pub(crate) type Observed = Vec<(String, bool)>;

/// There is nothing to call: a sender is only ever looked at.
pub(crate) enum Call {}

impl Sender {
    fn address_of_sender(&self) -> &str {
        self.0.config.ses.test_mail.as_ref().map_or("", |mail| &mail.sender)
    }

    /// The address itself, its domain, and the domain's parents: SES accepts a verified parent domain too
    /// (SES guide, "Verified identities").
    fn identities(&self) -> Vec<String> {
        let address = self.address_of_sender();
        let mut identities = vec![address.to_owned()];
        let mut domain = address.rsplit('@').next().unwrap_or_default();
        while domain.contains('.') {
            identities.push(domain.to_owned());
            domain = domain.split_once('.').map_or("", |(_, parent)| parent);
        }
        identities
    }
}

impl Kind for Sender {
    type Observed = Observed;
    type Call = Call;

    fn address(&self) -> Address {
        Address { kind: "sender", name: self.address_of_sender().to_owned() }
    }

    async fn observe(&self, aws: &Aws) -> Result<Observed, Error> {
        let look = |identity: String| async move {
            let answer = aws.sesv2.get_email_identity().email_identity(&identity).send().await;
            let answer = answer.failed_to(|| format!("read SES identity {identity}"));
            let found = absent_is_none(answer, &["NotFoundException"])?;
            Ok::<_, Error>(found.map(|found| {
                let verified =
                    found.verified_for_sending_status || found.verification_status == Some(VerificationStatus::Success);
                (identity, verified)
            }))
        };
        let found = futures_util::future::try_join_all(self.identities().into_iter().map(look)).await?;
        Ok(found.into_iter().flatten().collect())
    }

    fn decide(&self, toward: Toward, _: &Facts, observed: &Observed) -> Result<Vec<(Op, Call)>, Error> {
        if toward != Toward::Present || observed.iter().any(|(_, verified)| *verified) {
            return Ok(Vec::new());
        }
        let sender = self.address_of_sender();
        let cause = match observed.first() {
            Some((identity, _)) => format!("identity {identity} exists and is not verified yet"),
            None => format!("neither {} is an SES identity here", self.identities().join(" nor ")),
        };
        Err(Error::new(format!("SES does not accept mail from {sender}")).cause(cause).hint(format!(
            "verify it in SES in {} (aws sesv2 create-email-identity --email-identity …), or correct ses.sender",
            self.0.config.region
        )))
    }

    async fn run(&self, _: &Context, call: Call) -> Result<(), Error> {
        match call {}
    }
}
