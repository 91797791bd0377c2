//! The HTTP face of one engine.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;

use super::chunk::Api;
use super::faults::{self, Order};
use super::host::Host;
use super::metrics::{self, HostState};
use super::request;
use super::sink::Answer;

/// Largest request body, in bytes.
const BODY_LIMIT: usize = 64 << 20;
/// Connections that may wait to be accepted.
const BACKLOG: u32 = 4096;

/// The hosts of one process, by position.
pub(super) type Hosts = [Arc<Host>];

/// Binds an address without listening: connections to it are refused.
pub(super) fn reserve(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Starts to listen.
pub(super) fn listen(socket: TcpSocket) -> io::Result<TcpListener> {
    socket.listen(BACKLOG)
}

/// Accepts connections for ever; while the `refuse` fault is in force the address does not listen and the open
/// connections are cut.
pub(super) async fn serve(
    host: Arc<Host>,
    hosts: Weak<Hosts>,
    mut listener: TcpListener,
) -> io::Result<()> {
    let mut faults = host.faults.subscribe();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(Arc::clone(&host), Weak::clone(&hosts), stream));
                }
                // Out of descriptors, or the client has gone: the listener itself is sound.
                Err(_) => tokio::task::yield_now().await,
            },
            Some(_) = connections.join_next() => {}
            changed = faults.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
                if !faults.borrow_and_update().refuse {
                    continue;
                }
                drop(listener);
                connections.shutdown().await;
                let socket = reserve(host.address)?;
                if faults.wait_for(|faults| !faults.refuse).await.is_err() {
                    return Ok(());
                }
                listener = listen(socket)?;
            }
        }
    }
}

async fn connection(host: Arc<Host>, hosts: Weak<Hosts>, stream: TcpStream) {
    // A step's tokens must leave at once; without the option Nagle's algorithm delays them by 40 ms.
    let _ = stream.set_nodelay(true);
    let service = hyper::service::service_fn(move |request| {
        answer(Arc::clone(&host), Weak::clone(&hosts), request)
    });
    // An error here is the client's end of the connection; there is nobody to tell.
    let _ = hyper::server::conn::http1::Builder::new()
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn answer(
    host: Arc<Host>,
    hosts: Weak<Hosts>,
    request: Request<Incoming>,
) -> io::Result<Response<Answer>> {
    let control = matches!(request.uri().path(), "/faults" | "/state");
    let target = request
        .uri()
        .path_and_query()
        .map_or("", |target| target.as_str());
    if !control && host.faults.borrow().hangs(target) {
        let target = target.to_owned();
        // The request is read, as a wedged process's kernel would.
        let _ = request.into_body().collect().await;
        let mut faults = host.faults.subscribe();
        let _ = faults.wait_for(|faults| !faults.hangs(&target)).await;
        return Err(io::ErrorKind::ConnectionReset.into());
    }
    let served_by = HeaderValue::from_str(&host.address.to_string()).map_err(io::Error::other)?;
    let mut response = match (request.method(), request.uri().path()) {
        (&Method::POST, "/v1/chat/completions") => complete(&host, Api::Chat, request).await?,
        (&Method::POST, "/v1/completions") => complete(&host, Api::Completion, request).await?,
        (&Method::POST, "/v1/chat/completions/render") => render(Api::Chat, request).await,
        (&Method::POST, "/v1/completions/render") => render(Api::Completion, request).await,
        (&Method::GET, "/metrics") => whole(
            StatusCode::OK,
            "text/plain; version=0.0.4; charset=utf-8",
            metrics::prometheus(&host).into(),
        ),
        (&Method::GET, "/health") => whole(StatusCode::OK, "text/plain", Bytes::new()),
        (&Method::GET, "/v1/models") => json(&models(&host)),
        (&Method::GET, "/state") => {
            json(&serde_json::to_value(HostState::of(&host)).map_err(io::Error::other)?)
        }
        (&Method::POST, "/faults") => order(&host, &hosts, request).await,
        (&Method::DELETE, "/faults") => {
            host.change_faults(|faults| *faults = faults::Faults::default());
            whole(StatusCode::NO_CONTENT, "text/plain", Bytes::new())
        }
        _ => error(StatusCode::NOT_FOUND, "NotFoundError", "Not Found"),
    };
    response.headers_mut().insert("x-served-by", served_by);
    Ok(response)
}

async fn complete(
    host: &Arc<Host>,
    api: Api,
    request: Request<Incoming>,
) -> io::Result<Response<Answer>> {
    let body = match Limited::new(request.into_body(), BODY_LIMIT)
        .collect()
        .await
    {
        Ok(body) => body.to_bytes(),
        Err(problem) => {
            return Ok(error(
                StatusCode::BAD_REQUEST,
                "BadRequestError",
                &problem.to_string(),
            ));
        }
    };
    let faults = host.faults.borrow().clone();
    if faults.error500 {
        return Ok(error(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalServerError",
            "fault injected",
        ));
    }
    if faults.close == Some(0) {
        return Err(io::ErrorKind::ConnectionReset.into());
    }
    let request = match request::Request::parse(api, &body, host.settings.block_tokens) {
        Ok(request) => request,
        Err(problem) => return Ok(error(StatusCode::BAD_REQUEST, "BadRequestError", &problem)),
    };
    drop(body);
    if let (Some(served), Some(asked)) = (&host.settings.model, &request.model)
        && served != asked
    {
        let message = format!("The model `{asked}` does not exist.");
        return Ok(error(StatusCode::NOT_FOUND, "NotFoundError", &message));
    }
    let stream = request.stream;
    let ticket = match host.submit(api, request) {
        Ok(ticket) => ticket,
        Err(long) => {
            let message = format!(
                "This model's maximum context length is {} tokens; {} were asked for.",
                long.capacity, long.tokens
            );
            return Ok(error(StatusCode::BAD_REQUEST, "BadRequestError", &message));
        }
    };
    if stream {
        let mut response = Response::new(Answer::Stream(ticket));
        response.headers_mut().insert(
            CONTENT_TYPE,
            HeaderValue::from_static("text/event-stream; charset=utf-8"),
        );
        return Ok(response);
    }
    Ok(whole(
        StatusCode::OK,
        "application/json",
        ticket.collect().await?,
    ))
}

async fn render(api: Api, request: Request<Incoming>) -> Response<Answer> {
    let body = Limited::new(request.into_body(), BODY_LIMIT)
        .collect()
        .await;
    let rendered = body
        .map_err(|problem| problem.to_string())
        .and_then(|body| super::render::render(api, &body.to_bytes()));
    match rendered {
        Ok(answer) => whole(StatusCode::OK, "application/json", answer.into()),
        Err(problem) => error(StatusCode::BAD_REQUEST, "BadRequestError", &problem),
    }
}

async fn order(
    host: &Arc<Host>,
    hosts: &Weak<Hosts>,
    request: Request<Incoming>,
) -> Response<Answer> {
    let bad = |message: &str| error(StatusCode::BAD_REQUEST, "BadRequestError", message);
    let Ok(body) = request.into_body().collect().await else {
        return bad("body cut short");
    };
    let order: Order = match serde_json::from_slice(&body.to_bytes()) {
        Ok(order) => order,
        Err(problem) => return bad(&problem.to_string()),
    };
    let target = match &order.host {
        None => Arc::clone(host),
        Some(name) => {
            let hosts = hosts.upgrade();
            let found = hosts
                .iter()
                .flat_map(|hosts| hosts.iter())
                .find(|host| host.address.to_string() == *name);
            match found {
                Some(found) => Arc::clone(found),
                None => return bad("host: not an engine of this process"),
            }
        }
    };
    let refuse = order.kind == faults::Kind::Refuse;
    if !refuse {
        target.change_faults(|faults| order.apply(faults));
    }
    tokio::spawn(async move {
        if refuse {
            // The answer leaves first: a refusing engine cuts its connections, this one among them.
            tokio::task::yield_now().await;
            target.change_faults(|faults| order.apply(faults));
        }
        if let Some(lasts) = order.lasts() {
            tokio::time::sleep(lasts).await;
            target.change_faults(|faults| faults::end(order.kind, faults));
        }
    });
    whole(StatusCode::NO_CONTENT, "text/plain", Bytes::new())
}

fn models(host: &Host) -> serde_json::Value {
    let id = host.settings.model.as_deref().unwrap_or("sim");
    serde_json::json!({"object": "list", "data": [{
        "id": id, "object": "model", "created": host.settings.created, "owned_by": "plimsoll-sim",
        "root": id, "parent": null, "max_model_len": host.settings.kv_tokens.unwrap_or_else(|| host.gpu.kv_tokens()), "permission": [],
    }]})
}

fn whole(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Answer> {
    let mut response = Response::new(Answer::Whole(Some(body).filter(|body| !body.is_empty())));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn json(value: &serde_json::Value) -> Response<Answer> {
    whole(StatusCode::OK, "application/json", value.to_string().into())
}

fn error(status: StatusCode, kind: &str, message: &str) -> Response<Answer> {
    let body = serde_json::json!({
        "error": {"message": message, "type": kind, "param": null, "code": status.as_u16()},
    });
    whole(status, "application/json", body.to_string().into())
}
