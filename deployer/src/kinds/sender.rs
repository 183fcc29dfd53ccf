//! The SES identity of the test mail's sender. It is referenced and never changed: it must be verified.

use aws_sdk_sesv2::types::VerificationStatus;
use contract::{Command, Text, text};

use crate::{
    aws::Aws,
    config::Config,
    deployment::names::identities_of,
    engine::{
        kind::{Aim, Context, Kind, Stake},
        op::{Address, Op, ResourceKind},
    },
    error::{Error, FailedTo as _, absent_is_none},
    read_once,
    sending::{Refused, SesAccount},
};

pub(crate) struct Sender {
    pub(crate) address: String,
    pub(crate) region: String,
}

/// There is nothing to call: a sender is only ever read.
pub(crate) enum Call {}

pub(crate) struct Observed {
    /// The identities that would let the sender send, each with whether it is verified. Absent ones are left out.
    pub(super) identities: Vec<(String, bool)>,
    /// The account's standing here.
    pub(crate) account: SesAccount,
}

impl Sender {
    /// That of the file's test mail; none if it has none.
    pub(crate) fn of(config: &Config) -> Option<Self> {
        let mail = config.ses.test_mail.as_ref()?;
        Some(Self { address: mail.sender.clone(), region: config.region.to_string() })
    }
}

impl Kind for Sender {
    type Goal = ();
    type Observed = Observed;
    type Call = Call;

    const CONFLICTS: &'static [&'static str] = &[];
    const STAKE: Stake = Stake::Nothing;

    fn address(&self) -> Address {
        Address::new(ResourceKind::Sender, &self.address)
    }

    async fn observe(&self, aws: &Aws) -> Result<Self::Observed, Error> {
        let read = |identity: String| async move {
            let answer = aws.sesv2.get_email_identity().email_identity(&identity).send().await;
            let answer = answer.failed_to(|| format!("read SES identity {identity}"));
            let found = absent_is_none(answer, &["NotFoundException"])?;
            Ok::<_, Error>(found.map(|found| {
                let verified =
                    found.verified_for_sending_status || found.verification_status == Some(VerificationStatus::Success);
                (identity, verified)
            }))
        };
        let identities = futures_util::future::try_join_all(identities_of(&self.address).into_iter().map(read));
        let (found, account) = tokio::join!(identities, read_once::ses_account(aws));
        Ok(Observed { identities: found?.into_iter().flatten().collect(), account: account?.into() })
    }

    fn decide(&self, aim: Aim<'_, ()>, observed: &Self::Observed) -> Result<Vec<(Op, Call)>, Error> {
        if matches!(aim, Aim::Absent(_)) || observed.identities.iter().any(|(_, verified)| *verified) {
            return Ok(Vec::new());
        }
        let cause = match observed.identities.first() {
            Some((identity, _)) => format!("identity {identity} exists and is not verified yet"),
            None => {
                format!("neither {} is an SES identity in {}", identities_of(&self.address).join(" nor "), self.region)
            }
        };
        let create = ["sesv2", "create-email-identity", "--email-identity", &self.address];
        Err(Error::new(format!("SES does not accept mail from {}", self.address)).cause(cause).hint(text![
            "verify the address or its domain in SES (",
            Command::aws_in(&self.region, &create),
            "), or correct ses.sender"
        ]))
    }

    fn note(&self, _: Option<&()>, observed: &Observed) -> Option<Text> {
        let SesAccount { production, .. } = &observed.account;
        if let Some(Refused { found, ways }) = observed.account.stopped() {
            return Some(Text::join([found].into_iter().chain(ways), ": "));
        }
        (!production).then(|| {
            format!(
                "this account is in SES's sandbox in {}: SES sends only to verified addresses, and 200 mails a day; request \
                 production access in SES's console before your programs send",
                self.region
            )
            .into()
        })
    }

    async fn run(&self, _: &Context, call: Call) -> Result<(), Error> {
        match call {}
    }
}
