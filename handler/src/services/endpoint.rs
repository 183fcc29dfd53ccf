//! Whether SES's SMTP endpoint is there, asked before a key exists.

use std::time::Duration;

use contract::SmtpEndpoint;
use tokio::{
    net::{TcpStream, lookup_host},
    time::timeout,
};

use crate::{
    error::Error,
    services::{ses::Ses, smtp::Smtp},
};

const LIMIT: Duration = Duration::from_secs(5);

/// Resolves the endpoint's name, connects to it, and lets it greet over TLS. Not every region has an endpoint, a function in a
/// private network may have no way to it, and something in between may answer in SES's place.
pub(crate) async fn reach(ses: &Ses, smtp: &Smtp<'_>) -> Result<(), Error> {
    let endpoint = smtp.endpoint();
    let unreachable = |cause: String| Error::EndpointUnreachable { endpoint: endpoint.clone(), cause };
    if ses.is_the_network() {
        connect(endpoint, unreachable).await?;
    }
    smtp.greet().await.map_err(|refusal| unreachable(format!("it does not greet over TLS: {}", refusal.text)))
}

/// Resolves and connects. The two have errors of their own, because what mends them is not the same.
async fn connect(endpoint: &SmtpEndpoint, unreachable: impl Fn(String) -> Error) -> Result<(), Error> {
    let target = (endpoint.host.as_str(), endpoint.port);
    let unresolved = |cause: String| Error::EndpointUnresolved { host: endpoint.host.clone(), cause };
    let addresses: Vec<_> = match timeout(LIMIT, lookup_host(target)).await {
        Ok(Ok(addresses)) => addresses.collect(),
        Ok(Err(error)) => return Err(unresolved(error.to_string())),
        Err(_) => return Err(unresolved(format!("no answer in {} s", LIMIT.as_secs()))),
    };
    match timeout(LIMIT, TcpStream::connect(addresses.as_slice())).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(unreachable(error.to_string())),
        Err(_) => Err(unreachable(format!("no connection in {} s", LIMIT.as_secs()))),
    }
}

#[cfg(test)]
mod tests {
    use tokio::{io::AsyncWriteExt as _, net::TcpListener};

    use contract::RefusalKind;

    use super::*;

    async fn reach_it(endpoint: &str) -> Error {
        let endpoint = endpoint.parse().unwrap();
        let smtp = Smtp::new(&Ses::Network, &endpoint).unwrap();
        reach(&Ses::Network, &smtp).await.unwrap_err()
    }

    #[tokio::test]
    async fn an_endpoint_at_which_nothing_listens_is_refused() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("smtps://{}", listener.local_addr().unwrap());
        drop(listener);
        assert_eq!(reach_it(&endpoint).await.kind(), RefusalKind::EndpointUnreachable);
    }

    #[tokio::test]
    async fn what_listens_and_does_not_speak_tls_is_refused_before_a_key_is_made() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("smtps://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.write_all(b"220 not the one that was meant\r\n").await;
            }
        });
        let error = reach_it(&endpoint).await;
        assert_eq!(error.kind(), RefusalKind::EndpointUnreachable);
        assert!(error.to_string().contains("does not greet over TLS"), "{error}");
        server.abort();
    }

    #[tokio::test]
    async fn a_name_that_does_not_resolve_is_refused() {
        let error = reach_it("smtps://email-smtp.nowhere.invalid:465").await;
        assert_eq!(error.kind(), RefusalKind::EndpointUnresolved);
    }
}
