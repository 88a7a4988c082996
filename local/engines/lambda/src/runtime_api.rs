//! The Runtime API: how one process receives invocations and answers them.
//!
//! One listener per process, on an ephemeral port of the loopback interface, as in AWS where every
//! execution environment has its own. What the process does becomes a [`Signal`] for its environment.

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::ListenerExt as _;
use bytes::Bytes;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::{Mutex as AsyncMutex, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Lambda's limit of a buffered response, in bytes.
pub(crate) const RESPONSE_LIMIT: usize = 6_291_556;

/// One invocation on its way to the process.
pub(crate) struct Job {
    pub(crate) request_id: String,
    pub(crate) deadline_ms: i64,
    pub(crate) invoked_arn: String,
    pub(crate) trace_id: String,
    /// JSON, as `X-Amz-Client-Context` carried it.
    pub(crate) client_context: Option<String>,
    pub(crate) payload: Bytes,
}

/// What the process did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// It asked for the next invocation: it is idle.
    Ready,
    Response(Bytes),
    Error(Bytes),
    TooLarge,
    InitError(Bytes),
}

struct Exchange {
    jobs: AsyncMutex<mpsc::Receiver<Job>>,
    signals: mpsc::UnboundedSender<Signal>,
    /// The invocation that has not been answered yet.
    open: Mutex<Option<String>>,
}

/// The environment's end of a process's Runtime API.
pub(crate) struct RuntimeApi {
    /// `127.0.0.1:<port>`, the value of `AWS_LAMBDA_RUNTIME_API`.
    pub(crate) address: String,
    pub(crate) jobs: mpsc::Sender<Job>,
    pub(crate) signals: mpsc::UnboundedReceiver<Signal>,
}

/// Opens a listener; it closes with `closed`.
pub(crate) async fn open(tasks: &TaskTracker, closed: CancellationToken) -> std::io::Result<RuntimeApi> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?.to_string();
    let (jobs, received) = mpsc::channel(1);
    let (signals, observed) = mpsc::unbounded_channel();
    let exchange = Arc::new(Exchange {
        jobs: AsyncMutex::new(received),
        signals,
        open: Mutex::new(None),
    });
    let router = Router::new()
        .route("/2018-06-01/runtime/invocation/next", get(next))
        .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
        .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
        .route("/2018-06-01/runtime/init/error", post(init_error))
        .with_state(exchange);
    let listener = listener.tap_io(|stream| {
        // Answers are small: waiting to fill a packet would cost each invocation 40 ms.
        let _ = stream.set_nodelay(true);
    });
    tasks.spawn(async move {
        tokio::select! {
            () = closed.cancelled() => {}
            ended = async { axum::serve(listener, router).await } => {
                if let Err(error) = ended {
                    tracing::warn!(%error, "a function's Runtime API ended");
                }
            }
        }
    });
    Ok(RuntimeApi {
        address,
        jobs,
        signals: observed,
    })
}

impl Exchange {
    fn opened(&self, id: Option<String>) {
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = id;
    }

    /// Takes the open invocation if it is that one: each is answered once.
    fn close(&self, id: &str) -> bool {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.as_deref() == Some(id) {
            *open = None;
            return true;
        }
        false
    }

    /// A signal nobody awaits any more belongs to an environment that is being ended.
    fn signal(&self, signal: Signal) {
        let _ = self.signals.send(signal);
    }
}

fn refused(status: StatusCode, kind: &str, message: &str) -> Response {
    (
        status,
        axum::Json(json!({ "errorType": kind, "errorMessage": message })),
    )
        .into_response()
}

fn accepted() -> Response {
    (StatusCode::ACCEPTED, axum::Json(json!({ "status": "OK" }))).into_response()
}

async fn next(State(exchange): State<Arc<Exchange>>) -> Response {
    exchange.signal(Signal::Ready);
    let Some(job) = exchange.jobs.lock().await.recv().await else {
        return refused(
            StatusCode::GONE,
            "Runtime.Shutdown",
            "the environment is being ended",
        );
    };
    exchange.opened(Some(job.request_id.clone()));
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("lambda-runtime-aws-request-id", Some(job.request_id)),
        ("lambda-runtime-deadline-ms", Some(job.deadline_ms.to_string())),
        ("lambda-runtime-invoked-function-arn", Some(job.invoked_arn)),
        ("lambda-runtime-trace-id", Some(job.trace_id)),
        ("lambda-runtime-client-context", job.client_context),
        ("content-type", Some("application/json".to_owned())),
    ] {
        if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
            headers.insert(name, value);
        }
    }
    (StatusCode::OK, headers, Body::from(job.payload)).into_response()
}

async fn response(State(exchange): State<Arc<Exchange>>, Path(id): Path<String>, body: Body) -> Response {
    // The body is read first: the invocation lasts until its last byte is here.
    let body = to_bytes(body, RESPONSE_LIMIT).await;
    if !exchange.close(&id) {
        return refused(StatusCode::BAD_REQUEST, "InvalidRequestID", "Invalid request ID");
    }
    match body {
        Ok(bytes) => {
            exchange.signal(Signal::Response(bytes));
            accepted()
        }
        Err(_) => {
            exchange.signal(Signal::TooLarge);
            let message = format!("Exceeded maximum allowed payload size ({RESPONSE_LIMIT} bytes).");
            refused(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", &message)
        }
    }
}

async fn error(State(exchange): State<Arc<Exchange>>, Path(id): Path<String>, body: Body) -> Response {
    let body = to_bytes(body, RESPONSE_LIMIT).await;
    if !exchange.close(&id) {
        return refused(StatusCode::BAD_REQUEST, "InvalidRequestID", "Invalid request ID");
    }
    exchange.signal(body.map_or(Signal::TooLarge, Signal::Error));
    accepted()
}

async fn init_error(State(exchange): State<Arc<Exchange>>, body: Body) -> Response {
    let body = to_bytes(body, RESPONSE_LIMIT).await.unwrap_or_default();
    exchange.signal(Signal::InitError(body));
    accepted()
}
