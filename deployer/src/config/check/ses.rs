//! `ses`: who may send, the test mail, and the SMTP endpoint.

use contract::{SmtpEndpoint, SmtpEndpointError, TestMail, Tls};

use crate::config::{
    Region, Ses,
    leaf::{Leaf, Optional},
    mail,
    problem::Code,
    raw::RawSes,
    reader::{Reader, if_given},
    text::InvalidValue,
};

impl Reader<'_> {
    pub(super) fn ses(&mut self, raw: &RawSes, region: Option<&Region>) -> Option<Ses> {
        let from = if_given(&raw.from, |leaf| self.senders(leaf));
        let sender = if_given(&raw.sender, |leaf| self.address("ses.sender", leaf));
        let recipient = if_given(&raw.recipient, |leaf| self.address("ses.recipient", leaf));
        let endpoint = if_given(&raw.endpoint, |leaf| self.endpoint(leaf, region));

        let from = from.map(|from| from.unwrap_or_else(|| domain_of(sender.as_ref().and_then(Option::as_deref))));
        if let (Some(from), Some(Some(sender)), Some(leaf)) = (&from, &sender, raw.sender.get())
            && !from.is_empty()
            && !from
                .iter()
                .flat_map(|pattern| mail::spellings(pattern))
                .any(|pattern| mail::covers_sender(&pattern, sender))
        {
            let message = format!("`ses.from` does not allow the sender {sender}");
            let hint = format!("add \"{sender}\" to `ses.from`, or choose a sender that it allows");
            self.refuse_as(Code::Conflict, leaf.at, message, hint);
        }
        self.half_a_test_mail(raw);
        let test_mail = sender?.zip(recipient?).map(|(sender, recipient)| TestMail { sender, recipient });
        let endpoint = endpoint?.unwrap_or(SmtpEndpoint::of_region(region?));
        Some(Ses { from: from?, test_mail, endpoint })
    }

    fn half_a_test_mail(&mut self, raw: &RawSes) {
        match (&raw.sender, &raw.recipient) {
            (Optional::Given(sender), Optional::Missing) => {
                let hint = "add `recipient: success@simulator.amazonses.com`, which always accepts";
                self.refuse_as(Code::MissingKey, sender.at, "`ses` has `sender` but no `recipient`", hint);
            }
            (Optional::Missing, Optional::Given(recipient)) => {
                let hint = "add `sender: no-reply@example.com`, or remove `recipient` to test by a login only";
                self.refuse_as(Code::MissingKey, recipient.at, "`ses` has `recipient` but no `sender`", hint);
            }
            _ => {}
        }
    }

    fn senders(&mut self, leaf: &Leaf<Vec<String>>) -> Option<Vec<String>> {
        let checked = |text: &str| mail::check_pattern(text).map(|()| text.to_owned());
        let from = self.list("ses.from", leaf, usize::MAX, checked)?;
        match from.iter().any(|text| text == mail::ANY) {
            true if from.len() > 1 => {
                let hint = "write [\"*\"] alone, or remove \"*\"";
                self.conflict(leaf.at, "`ses.from` allows any verified identity, and names others beside", hint)
            }
            // An empty list is any verified identity.
            true => Some(Vec::new()),
            false => Some(from),
        }
    }

    pub(super) fn address(&mut self, key: &str, leaf: &Leaf<String>) -> Option<String> {
        let text = self.text(key, leaf)?;
        self.accept(leaf.at, mail::check_address(text)).map(|()| text.to_owned())
    }

    fn endpoint(&mut self, leaf: &Leaf<String>, region: Option<&Region>) -> Option<SmtpEndpoint> {
        let parsed = self.text("ses.endpoint", leaf)?.parse::<SmtpEndpoint>();
        let endpoint = self.accept(leaf.at, parsed.map_err(|error| not_an_endpoint(&error)))?;
        let usual = SmtpEndpoint { port: usual_port(endpoint.tls), ..endpoint.clone() };
        if endpoint.port == 25 {
            let message = "a Lambda function cannot connect to port 25: AWS blocks it";
            return self.refuse(leaf.at, message, format!("write {usual}: SES listens there too"));
        }
        if let Some(tls) = tls_of_ses(&endpoint).filter(|tls| *tls != endpoint.tls) {
            let message = format!("SES does not listen on port {} with {}", endpoint.port, in_words(endpoint.tls));
            let same_port = SmtpEndpoint { tls, ..endpoint };
            let hint = format!("write {same_port} ({}) or {usual} ({})", in_words(tls), in_words(usual.tls));
            return self.refuse(leaf.at, message, hint);
        }
        match (region_of_host(&endpoint.host), region) {
            (Some(of_host), Some(region)) if of_host != &**region => {
                let message = format!("this endpoint is in {of_host}, but the deployment is in {region}");
                let hint = "remove `endpoint` to use the region's own: an SMTP password works in one region only";
                self.conflict(leaf.at, message, hint)
            }
            _ => Some(endpoint),
        }
    }
}

fn not_an_endpoint(error: &SmtpEndpointError) -> InvalidValue {
    InvalidValue::new(
        format!("`{}` is not an SMTP endpoint", error.text),
        "write smtps://HOST:465 (TLS) or smtp://HOST:587 (STARTTLS)",
    )
}

/// How SES encrypts on the endpoint's port; none if the host is not SES's, or SES does not listen there.
///
/// Source: SES guide, "Connecting to an Amazon SES SMTP endpoint". It is not part of what an endpoint is: the function has to read
/// every endpoint that an older deployer wrote.
fn tls_of_ses(SmtpEndpoint { host, port, .. }: &SmtpEndpoint) -> Option<Tls> {
    region_of_host(host)?;
    match port {
        465 | 2465 => Some(Tls::Implicit),
        587 | 2587 => Some(Tls::StartTls),
        _ => None,
    }
}

/// The port that every mail server has for this encryption.
fn usual_port(tls: Tls) -> u16 {
    match tls {
        Tls::Implicit => 465,
        Tls::StartTls => 587,
    }
}

fn in_words(tls: Tls) -> &'static str {
    match tls {
        Tls::Implicit => "TLS from the first byte",
        Tls::StartTls => "STARTTLS",
    }
}

/// The pattern of all addresses of the sender's domain; none without a sender: then any verified identity may send.
fn domain_of(sender: Option<&str>) -> Vec<String> {
    let domain = sender.and_then(|sender| sender.rsplit_once('@')).map(|(_, domain)| format!("*@{domain}"));
    domain.into_iter().collect()
}

/// The region in the name of an SES endpoint, private ones included (`….email-smtp.REGION.vpce.amazonaws.com`).
fn region_of_host(host: &str) -> Option<&str> {
    let mut labels = host.split('.');
    labels.find(|label| ["email-smtp", "email-smtp-fips"].contains(label))?;
    labels.next().filter(|label| label.parse::<Region>().is_ok())
}
