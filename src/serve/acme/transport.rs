//! How an authority is called: over the dispatcher's client, through its proxy and with its authorities.
//!
//! Keeps: one deadline over each call. It may stand at any address: the operator has named it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::clock::Clock;
use crate::config::Authority;
use crate::dispatcher::client::{ClientError, Clients, Options};
use crate::dispatcher::outbound::Route;

/// For one call.
const TIMEOUT: Duration = Duration::from_secs(30);

/// See the module.
pub(super) struct Transport {
    clients: Arc<Clients>,
    route: Arc<Route>,
}

impl Transport {
    pub(super) fn new(authority: &Authority, clock: &Clock) -> Result<Self, ClientError> {
        let clients = Clients::new(Options { clock: clock.clone(), ..Options::default() })?;
        let route = Arc::new(Route {
            allow: vec![IpNet::V4(Ipv4Net::default()), IpNet::V6(Ipv6Net::default())],
            roots: authority.roots.clone(),
            proxy: authority.proxy.clone(),
            ..Route::default()
        });
        clients.check(&route)?;
        Ok(Self { clients: Arc::new(clients), route })
    }
}

impl HttpClient for Transport {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let (clients, route) = (Arc::clone(&self.clients), Arc::clone(&self.route));
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let Ok(body) = body.collect().await;
            let request = Request::from_parts(head, body.to_bytes());
            let answer = clients.fetch(request, &route, TIMEOUT).await;
            let answer = answer.map_err(|failed| Error::Other(Box::new(failed)))?;
            Ok(BytesResponse::from(answer.map(Full::new)))
        })
    }
}
