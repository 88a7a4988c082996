//! The gateway: one port of 127.0.0.1 for every service.
//!
//! A request goes to the engine of its service, or to the emulator where there is none. On the way, a
//! role's session is checked against the role's policies, and what the emulator lacks is added: S3's
//! events on EventBridge, SNS's limits and its delivery to functions and mail boxes. Where a rule of
//! [`crate::faults`] fits, the call fails as the rule says.

mod connection;
mod engines;
mod failing;
mod function_url;
mod pages;
mod policy;
mod proxy;
mod reply;
mod route;
pub(crate) mod s3;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::response::Response;
use axum::routing::{any, get};
use bytes::Bytes;
use http::request::Parts;
use signalbox_local_core::Caller;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use self::connection::{Breakable, Connection};
use self::failing::Failing;
use crate::cloud::LocalCloud;

/// Larger bodies are refused: a function's code, 50 MB zipped, is the largest that any engine takes.
const MAX_BODY: usize = 128 << 20;

/// How long requests in flight may take once the gateway ends.
const GRACE: Duration = Duration::from_secs(2);

/// Why the gateway does not listen.
#[derive(Debug, Error)]
pub enum GatewayError {
    /// Another program has the port.
    #[error(
        "port {port} of 127.0.0.1 is taken: is another local cloud running? End it, or choose another port with \
         `--port <number>` (0: any free one)"
    )]
    PortTaken {
        /// The port that was asked for.
        port: u16,
    },
    /// The system refuses.
    #[error("cannot listen on port {port} of 127.0.0.1: {source}")]
    Listen {
        /// The port that was asked for.
        port: u16,
        /// What the system said.
        source: std::io::Error,
    },
    /// A service's model cannot be loaded.
    #[error("{0}")]
    Model(String),
}

/// A listening gateway. Dropped, it ends at once.
#[derive(Debug)]
pub struct Gateway {
    /// Where it listens.
    pub addr: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    handle: JoinHandle<()>,
}

impl Gateway {
    /// The base URL, for `AWS_ENDPOINT_URL`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Ends it: requests in flight get a moment to finish.
    pub async fn stop(mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        let _ = tokio::time::timeout(GRACE, &mut self.handle).await;
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

/// Whether the port is free now, so that a taken one is said before anything starts.
///
/// # Errors
/// It is taken, or the system refuses it.
pub fn check(port: u16) -> Result<(), GatewayError> {
    std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .map(drop)
        .map_err(|source| refused(port, source))
}

fn refused(port: u16, source: std::io::Error) -> GatewayError {
    if source.kind() == std::io::ErrorKind::AddrInUse {
        GatewayError::PortTaken { port }
    } else {
        GatewayError::Listen { port, source }
    }
}

/// Serves a cloud on a port of 127.0.0.1; 0 is any free one. Engines must be registered before.
///
/// # Errors
/// The port is taken, or an engine's model cannot be loaded.
pub async fn serve(cloud: Arc<LocalCloud>, port: u16) -> Result<Gateway, GatewayError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .await
        .map_err(|source| refused(port, source))?;
    let addr = listener
        .local_addr()
        .map_err(|source| GatewayError::Listen { port, source })?;
    for service in cloud.engine_services() {
        cloud
            .model(service)
            .await
            .map_err(|error| GatewayError::Model(error.message))?;
    }
    cloud.set_endpoint(format!("http://{addr}"));
    let router = Router::new()
        .route("/_signalbox/health", get(pages::health))
        .route("/_signalbox/inbox", get(pages::inbox))
        .route("/_signalbox/inbox.json", get(pages::inbox_json))
        .route("/_signalbox/faults", get(failing::list).delete(failing::clear))
        .route(
            "/_signalbox/faults/{name}",
            get(failing::show).put(failing::set).delete(failing::remove),
        )
        .route("/lambda-url/{function}", any(function_url::handle))
        .route("/lambda-url/{function}/", any(function_url::handle))
        .route("/lambda-url/{function}/{*rest}", any(function_url::handle))
        .fallback(handle)
        .with_state(cloud);
    let (stop, stopped) = oneshot::channel();
    let handle = tokio::spawn(async move {
        let ended = async move {
            let _ = stopped.await;
        };
        let service = router.into_make_service_with_connect_info::<Connection>();
        if let Err(error) = axum::serve(Breakable(listener), service)
            .with_graceful_shutdown(ended)
            .await
        {
            tracing::error!(%error, "the gateway ended");
        }
    });
    Ok(Gateway {
        addr,
        stop: Some(stop),
        handle,
    })
}

async fn handle(State(cloud): State<Arc<LocalCloud>>, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let connection = parts.extensions.get::<ConnectInfo<Connection>>().cloned();
    let connection = connection.as_ref().map(|ConnectInfo(connection)| connection);
    let credential = route::credential(&parts);
    let caller = cloud.caller_of(credential.as_ref().map(|it| it.access_key_id.as_str()));
    let service = route::service(&parts, credential.as_ref());
    if service.as_deref() == Some("s3") {
        let failing = Failing::of_s3(&cloud, &caller, &parts);
        let served = s3::handle(&cloud, &caller, parts, body);
        return match failing {
            Some(failing) => failing.around(connection, served).await,
            None => served.await,
        };
    }
    let Ok(body) = axum::body::to_bytes(body, MAX_BODY).await else {
        return reply::too_large();
    };
    // A form without a signature names its service only by its version.
    let Some(service) = service.or_else(|| route::service_of_form(&parts, &body)) else {
        return reply::no_service(&parts);
    };
    match Failing::of(&cloud, &service, &caller, &parts, &body).await {
        Some(failing) => {
            let served = serve_one(&cloud, &service, &caller, parts, body);
            failing.around(connection, served).await
        }
        None => serve_one(&cloud, &service, &caller, parts, body).await,
    }
}

async fn serve_one(
    cloud: &LocalCloud,
    service: &str,
    caller: &Caller,
    parts: Parts,
    body: Bytes,
) -> Response {
    match cloud.engine(service) {
        Some(engine) => engines::handle(cloud, engine.as_ref(), caller, &parts, &body).await,
        None => proxy::handle(cloud, service, caller, parts, body).await,
    }
}
