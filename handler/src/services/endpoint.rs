//! Whether SES's SMTP endpoint is there, asked before a key exists.

use std::time::Duration;

use contract::SmtpEndpoint;
use tokio::{
    net::{TcpStream, lookup_host},
    time::timeout,
};

use crate::{error::Error, services::ses::Ses};

const LIMIT: Duration = Duration::from_secs(5);

/// Resolves the endpoint's name and connects to it. Not every region has an endpoint, and a
/// function in a private network may have no way to it.
pub(crate) async fn reach(ses: &Ses, endpoint: &SmtpEndpoint) -> Result<(), Error> {
    let unreachable = |cause: String| Error::EndpointUnreachable { endpoint: endpoint.clone(), cause };
    match ses {
        Ses::Network => {}
        #[cfg(test)]
        Ses::Fake(ses) => return ses.connect().await.map_err(|refusal| unreachable(refusal.text)),
    }
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
    use tokio::net::TcpListener;

    use contract::RefusalKind;

    use super::*;

    #[tokio::test]
    async fn an_endpoint_that_listens_is_reached_and_one_that_does_not_is_refused() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint: SmtpEndpoint = format!("smtps://{}", listener.local_addr().unwrap()).parse().unwrap();
        reach(&Ses::Network, &endpoint).await.unwrap();
        drop(listener);
        assert_eq!(reach(&Ses::Network, &endpoint).await.unwrap_err().kind(), RefusalKind::EndpointUnreachable);
    }

    #[tokio::test]
    async fn a_name_that_does_not_resolve_is_refused() {
        let endpoint: SmtpEndpoint = "smtps://email-smtp.nowhere.invalid:465".parse().unwrap();
        assert_eq!(reach(&Ses::Network, &endpoint).await.unwrap_err().kind(), RefusalKind::EndpointUnresolved);
    }
}
