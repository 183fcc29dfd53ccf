//! SES over SMTP: encrypted always, and a new connection for every login.

use std::time::Duration;

use contract::{Login, SecretValue, SmtpEndpoint, Tls as Encryption};
use lettre::{
    AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor,
    transport::smtp::{
        AsyncSmtpTransportBuilder,
        authentication::{Credentials, Mechanism},
        client::{Tls, TlsParameters},
    },
};
use tokio::time::{Instant, timeout};
use tracing::info;

use crate::{
    error::{Attempts, Error, SmtpRefusal},
    sensitive::Sensitive,
    services::ses::Ses,
    time::pause,
};

/// Longest that one connection may take, from its first byte to the last.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(15);

/// Between a refusal and the next attempt.
const PAUSE: Duration = Duration::from_secs(2);

/// Between an accepted login and the next: what spreads to SES's servers is to be seen over some time.
const PAUSE_AFTER_LOGIN: Duration = Duration::from_secs(1);

/// How long a mail that may not be sent is tried again: the policy of a user that was just made reaches SES with a delay.
const NOT_ALLOWED_LIMIT: Duration = Duration::from_mins(1);

/// SES's answer to a credential that is wrong, or that it does not know yet.
const WRONG_OR_NOT_YET: u16 = 535;

/// Refusals as wrong before a credential counts as refused: as many as it takes acceptances before a host is told. SES has
/// many servers, and one that was not told of a key yet proves nothing of the others.
const REFUSALS_IN_A_ROW: u32 = 3;

/// What a host logs in with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Credential {
    /// The access key id.
    pub(crate) user: String,
    /// The SMTP password.
    pub(crate) password: Sensitive,
}

impl Credential {
    /// The credential in a secret's value.
    #[must_use]
    pub(crate) fn of(value: &SecretValue) -> Self {
        Self { user: value.access_key_id.clone(), password: Sensitive::new(&value.smtp_password) }
    }
}

impl SmtpRefusal {
    /// Whether to ask again is useless. 535 is not final: a new key reaches SES's servers with a delay.
    fn is_final(&self) -> bool {
        self.code.is_some_and(|code| code >= 500 && code != WRONG_OR_NOT_YET)
    }

    fn is_final_for_a_mail(&self, lasted: Duration) -> bool {
        self.is_final() && (!self.is_not_allowed() || lasted >= NOT_ALLOWED_LIMIT)
    }
}

impl From<lettre::transport::smtp::Error> for SmtpRefusal {
    fn from(error: lettre::transport::smtp::Error) -> Self {
        let code = error.status().map(u16::from);
        Self { code, text: error.to_string().chars().take(300).collect() }
    }
}

/// SES's endpoint, and how to connect to it.
#[derive(Debug)]
pub(crate) struct Smtp<'a> {
    endpoint: &'a SmtpEndpoint,
    connection: Connection,
}

/// How to connect.
#[derive(Debug)]
enum Connection {
    /// Over the network, encrypted; with whom to trust.
    Network(Tls),
    #[cfg(test)]
    Fake(std::sync::Arc<dyn super::ses::fake::Ses>),
}

impl<'a> Smtp<'a> {
    /// Loads the roots to trust: the platform's, or those in `SSL_CERT_FILE`.
    pub(crate) fn new(ses: &Ses, endpoint: &'a SmtpEndpoint) -> Result<Self, Error> {
        match ses {
            Ses::Network => {}
            #[cfg(test)]
            Ses::Fake(ses) => return Ok(Self { endpoint, connection: Connection::Fake(ses.clone()) }),
        }
        let parameters = TlsParameters::new(endpoint.host.clone())
            .map_err(|error| Error::TlsUnusable { cause: error.to_string() })?;
        let tls = match endpoint.tls {
            Encryption::Implicit => Tls::Wrapper(parameters),
            Encryption::StartTls => Tls::Required(parameters),
        };
        Ok(Self { endpoint, connection: Connection::Network(tls) })
    }

    /// Lets the server greet over an encrypted connection. No login is tried. A server that refuses has answered: `421` passes, and is the
    /// logins' to wait for.
    pub(crate) async fn greet(&self) -> Result<(), SmtpRefusal> {
        let greeting = match &self.connection {
            Connection::Network(tls) => {
                let transport: AsyncSmtpTransport<Tokio1Executor> = transport(self.endpoint, tls).build();
                within(async { transport.test_connection().await.map(drop) }).await
            }
            #[cfg(test)]
            Connection::Fake(ses) => ses.greet().await,
        };
        greeting.or_else(|refusal| if refusal.code.is_some() { Ok(()) } else { Err(refusal) })
    }

    /// Logs in until so many logins in a row were accepted.
    pub(crate) async fn prove(&self, credential: &Credential, in_a_row: u32, limit: Duration) -> Result<(), Error> {
        let login = || self.log_in_once(credential, None);
        let accepted = accepted_in_a_row(in_a_row, limit, |refusal, _| refusal.is_final(), login);
        let logins = accepted.await.map_err(|attempts| Error::LoginRefused {
            endpoint: self.endpoint.clone(),
            key: credential.user.clone(),
            in_a_row,
            attempts,
        })?;
        info!(key = credential.user, logins, in_a_row, "SES accepts the credential");
        Ok(())
    }

    /// Asks what SES says to a credential.
    pub(crate) async fn ask(&self, credential: &Credential) -> Login {
        answer_of(|| self.log_in_once(credential, None)).await
    }

    /// Logs in on a connection of its own, and sends the mail if there is one.
    async fn log_in_once(&self, credential: &Credential, mail: Option<&Message>) -> Result<(), SmtpRefusal> {
        match &self.connection {
            Connection::Network(tls) => {
                let transport: AsyncSmtpTransport<Tokio1Executor> =
                    transport(self.endpoint, tls).credentials(credentials(credential)).build();
                within(async {
                    match mail {
                        Some(mail) => transport.send(mail.clone()).await.map(drop),
                        None => transport.test_connection().await.map(drop),
                    }
                })
                .await
            }
            #[cfg(test)]
            Connection::Fake(ses) => ses.log_in(&credential.user, credential.password.reveal(), mail.is_some()).await,
        }
    }

    /// Sends a mail; a refusal that may pass is met with another attempt, so it can arrive twice.
    pub(crate) async fn send(&self, credential: &Credential, mail: &Message, limit: Duration) -> Result<(), Attempts> {
        let send = || self.log_in_once(credential, Some(mail));
        accepted_in_a_row(1, limit, SmtpRefusal::is_final_for_a_mail, send).await.map(drop)
    }

    /// Where it connects to.
    pub(crate) fn endpoint(&self) -> &SmtpEndpoint {
        self.endpoint
    }
}

/// A transport without a pool: each use of it is a connection of its own.
fn transport(endpoint: &SmtpEndpoint, tls: &Tls) -> AsyncSmtpTransportBuilder {
    // Dangerous is only the builder's default, which is not to encrypt.
    AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&endpoint.host)
        .port(endpoint.port)
        .tls(tls.clone())
        .authentication(vec![Mechanism::Plain, Mechanism::Login])
}

fn credentials(credential: &Credential) -> Credentials {
    Credentials::new(credential.user.clone(), credential.password.reveal().to_owned())
}

async fn within(attempt: impl Future<Output = Result<(), lettre::transport::smtp::Error>>) -> Result<(), SmtpRefusal> {
    let too_slow = || SmtpRefusal { code: None, text: format!("no answer in {} s", ATTEMPT_LIMIT.as_secs()) };
    timeout(ATTEMPT_LIMIT, attempt).await.map_err(|_| too_slow())?.map_err(SmtpRefusal::from)
}

/// Repeats an attempt until it was accepted so many times in a row. Returns how many it took. What is final may depend
/// on how long it has lasted.
async fn accepted_in_a_row(
    needed: u32,
    limit: Duration,
    is_final: impl Fn(&SmtpRefusal, Duration) -> bool,
    mut attempt: impl AsyncFnMut() -> Result<(), SmtpRefusal>,
) -> Result<u32, Attempts> {
    let began = Instant::now();
    let mut attempts = Attempts { made: 0, accepted: 0, lasted: Duration::ZERO, last: None };
    let mut in_a_row = 0;
    loop {
        let left = limit.saturating_sub(began.elapsed());
        // The last attempt is cut off at the limit; what it would have said is not known.
        let Ok(answer) = timeout(left, attempt()).await else {
            return Err(Attempts { lasted: began.elapsed(), ..attempts });
        };
        attempts.made += 1;
        let Err(refusal) = answer else {
            attempts.accepted += 1;
            in_a_row += 1;
            info!(in_a_row, needed, "accepted");
            if in_a_row == needed {
                return Ok(attempts.made);
            }
            pause(PAUSE_AFTER_LOGIN, "one accepted login proves one server").await;
            continue;
        };
        in_a_row = 0;
        let is_final = is_final(&refusal, began.elapsed());
        let reason = format!("not accepted: {refusal}");
        attempts.last = Some(refusal);
        if is_final || began.elapsed() + PAUSE >= limit {
            info!("{reason}");
            return Err(Attempts { lasted: began.elapsed(), ..attempts });
        }
        pause(PAUSE, &reason).await;
    }
}

/// Repeats an attempt until it was refused as wrong often enough, or answered otherwise.
async fn answer_of(mut attempt: impl AsyncFnMut() -> Result<(), SmtpRefusal>) -> Login {
    let mut refusals = 0;
    loop {
        match attempt().await {
            Ok(()) => return Login::Accepted,
            Err(SmtpRefusal { code, text }) if code != Some(WRONG_OR_NOT_YET) => return Login::Unclear(text),
            Err(SmtpRefusal { text, .. }) => {
                refusals += 1;
                if refusals == REFUSALS_IN_A_ROW {
                    return Login::Refused(text);
                }
            }
        }
        pause(PAUSE, "one refused login proves one server").await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::services::ses::fake::{Accepting, Count};

    const LIMIT: Duration = Duration::from_mins(2);

    #[tokio::test(start_paused = true)]
    async fn a_credential_is_proved_without_a_mail_and_tested_with_one() {
        let ses = Accepting::default();
        let endpoint = SmtpEndpoint::of_region("eu-west-1");
        let smtp = Smtp::new(&Ses::Fake(Arc::new(ses.clone())), &endpoint).unwrap();
        let credential = Credential { user: "AKIA".into(), password: Sensitive::new("hunter2") };
        smtp.prove(&credential, 3, LIMIT).await.unwrap();
        assert_eq!(smtp.ask(&credential).await, Login::Accepted);
        let mail = Message::builder().from("a@example.com".parse().unwrap()).to("b@example.com".parse().unwrap());
        smtp.send(&credential, &mail.body(String::new()).unwrap(), LIMIT).await.unwrap();
        assert_eq!(ses.count(), Count { greetings: 0, logins: 4, mails: 1 });
    }

    fn refused(code: u16) -> Result<(), SmtpRefusal> {
        Err(SmtpRefusal { code: Some(code), text: code.to_string() })
    }

    /// Plays the answers in order, the last one for ever.
    async fn play(needed: u32, answers: &[Result<(), SmtpRefusal>]) -> Result<u32, Attempts> {
        let mut next = 0;
        accepted_in_a_row(
            needed,
            LIMIT,
            |refusal, _| refusal.is_final(),
            async || {
                let answer = answers[next.min(answers.len() - 1)].clone();
                next += 1;
                answer
            },
        )
        .await
    }

    #[tokio::test(start_paused = true)]
    async fn three_accepted_logins_in_a_row_are_enough_and_span_some_time() {
        let began = Instant::now();
        assert_eq!(play(3, &[Ok(()), Ok(()), Ok(()), refused(535)]).await, Ok(3));
        assert_eq!(began.elapsed(), 2 * PAUSE_AFTER_LOGIN);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_in_between_starts_the_count_again() {
        let answers = [Ok(()), Ok(()), refused(535), Ok(()), Ok(()), refused(535), Ok(()), Ok(()), Ok(())];
        assert_eq!(play(3, &answers).await, Ok(9));
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_pass_is_met_with_another_login() {
        assert_eq!(play(1, &[refused(535), refused(421), refused(454), refused(451), Ok(())]).await, Ok(5));
        let no_connection = Err(SmtpRefusal { code: None, text: "connection refused".into() });
        assert_eq!(play(1, &[no_connection, Ok(())]).await, Ok(2));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_final_is_not_asked_again() {
        let attempts = play(1, &[refused(554), Ok(())]).await.unwrap_err();
        assert_eq!((attempts.made, attempts.last.unwrap().code), (1, Some(554)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_mail_that_may_not_be_sent_is_tried_for_a_minute() {
        let send = async |allowed_after: u32| {
            let mut made = 0;
            accepted_in_a_row(1, LIMIT, SmtpRefusal::is_final_for_a_mail, async || {
                made += 1;
                if made > allowed_after { Ok(()) } else { refused(554) }
            })
            .await
        };
        assert_eq!(send(20).await, Ok(21));
        let began = Instant::now();
        assert_eq!(send(u32::MAX).await.unwrap_err().last.unwrap().code, Some(554));
        assert_eq!(began.elapsed(), NOT_ALLOWED_LIMIT);
        let other = accepted_in_a_row(1, LIMIT, SmtpRefusal::is_final_for_a_mail, async || refused(550)).await;
        assert_eq!(other.unwrap_err().made, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_is_never_accepted_is_given_up_at_the_limit() {
        let began = Instant::now();
        let attempts = play(3, &[refused(535)]).await.unwrap_err();
        assert!(began.elapsed() <= LIMIT && began.elapsed() + 2 * PAUSE >= LIMIT, "{:?}", began.elapsed());
        assert_eq!((attempts.accepted, attempts.last.unwrap().code), (0, Some(535)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_credential_is_refused_only_if_every_login_is() {
        let asked = async |answers: &[Result<(), SmtpRefusal>]| {
            let mut next = answers.iter();
            let answer = answer_of(async || next.next().unwrap().clone()).await;
            (answer, next.len())
        };
        let unclear = |code: u16| Login::Unclear(code.to_string());
        assert_eq!(asked(&[refused(535), refused(535), refused(535)]).await, (Login::Refused("535".into()), 0));
        assert_eq!(asked(&[Ok(())]).await, (Login::Accepted, 0));
        assert_eq!(asked(&[refused(535), refused(535), Ok(())]).await, (Login::Accepted, 0));
        assert_eq!(asked(&[refused(535), refused(454), refused(535)]).await, (unclear(454), 1));
        assert_eq!(asked(&[refused(550)]).await, (unclear(550), 0));
        let no_connection = SmtpRefusal { code: None, text: "connection refused".into() };
        assert_eq!(asked(&[Err(no_connection)]).await, (Login::Unclear("connection refused".into()), 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_login_that_hangs_is_cut_off_at_the_limit() {
        let began = Instant::now();
        let hangs = async || std::future::pending::<Result<(), SmtpRefusal>>().await;
        let attempts = accepted_in_a_row(3, LIMIT, |_, _| false, hangs).await.unwrap_err();
        assert_eq!((attempts.made, began.elapsed()), (0, LIMIT));
    }
}
