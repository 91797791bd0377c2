//! What stands behind the proxy: the `override_host` cluster, the poll cluster and the admin interface.

use super::record::PICK;
use super::{Event, Fleet, Peer, StreamId};
use crate::proxy::{Call, CallResponse, HeaderMap, MILLISECOND, Targets, flags};

/// Attempts that Envoy makes for a request: one, and `num_retries: 2`.
const ATTEMPTS: usize = 3;

/// Header that names the endpoint for the `ORIGINAL_DST` poll cluster.
const POLL_TARGET: &str = "x-plimsoll-poll-target";

/// An engine that works for a stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Serving {
    engine: usize,
    started: bool,
}

impl Fleet {
    /// Walks the ranked list, one host an attempt, then the cluster's own policy. False: the proxy answered 503.
    pub(super) fn connect(&mut self, id: StreamId) -> bool {
        let sent = self.with(id, |stream| stream.request.sent_headers.clone());
        let list = sent
            .and_then(|headers| headers.text(PICK))
            .unwrap_or_default();
        let by_name = |name: &str| {
            let name = name.trim();
            self.engines
                .iter()
                .position(|engine| engine.address == name)
        };
        let mut order: Vec<usize> = list.split(',').filter_map(by_name).collect();
        while order.len() < ATTEMPTS && !self.engines.is_empty() {
            order.push(self.fallback % self.engines.len());
            self.fallback += 1;
        }
        let mut attempts = 0;
        let engine = order.into_iter().take(ATTEMPTS).find(|engine| {
            attempts += 1;
            self.engines[*engine].up
        });
        self.with(id, |stream| stream.attempts = attempts);
        let Some(engine) = engine else {
            let flag = if self.engines.is_empty() {
                flags::NO_HEALTHY_UPSTREAM
            } else {
                flags::UPSTREAM_FAILURE
            };
            self.with(id, |stream| stream.flags |= flag);
            self.local_reply(id, 503, HeaderMap::default(), b"no healthy upstream");
            return false;
        };
        let address = self.engines[engine].address.clone();
        self.with(id, |stream| stream.upstream = Some(address));
        self.serving.insert(
            id,
            Serving {
                engine,
                started: false,
            },
        );
        true
    }

    /// The whole request reached the engine: plans its answer.
    pub(super) fn serve(&mut self, id: StreamId) {
        let Some(serving) = self.serving.get_mut(&id).filter(|serving| !serving.started) else {
            return;
        };
        serving.started = true;
        let engine = &mut self.engines[serving.engine];
        engine.active += 1;
        engine.served += 1;
        let script = engine.script.clone();
        engine.queries += u64::from(script.prompt_tokens.unwrap_or(0));
        engine.hits += u64::from(script.cached_tokens.unwrap_or(0));
        let kind = if script.stream {
            "text/event-stream; charset=utf-8"
        } else {
            "application/json"
        };
        let status = script.status.to_string();
        self.with(id, |stream| {
            stream.response.headers =
                HeaderMap::new(&[(":status", status.as_str()), ("content-type", kind)]);
        });
        let now = self.proxy.borrow().clock;
        let pieces = script.pieces();
        let at = |ms: u64| now + ms * MILLISECOND;
        let first = pieces.first().map_or(script.ttft_ms, |(ms, _)| *ms);
        let last = pieces.last().map_or(script.ttft_ms, |(ms, _)| *ms);
        self.agenda.plan(at(first), Event::ResponseHeaders(id));
        for (ms, bytes) in &pieces {
            for chunk in bytes.chunks(script.chunk.max(1)) {
                self.agenda
                    .plan(at(*ms), Event::ResponseBody(id, chunk.to_vec()));
            }
        }
        let end = if script.breaks {
            Event::ResponseBroken(id)
        } else {
            Event::ResponseEnd(id)
        };
        self.agenda.plan(at(last), end);
    }

    pub(super) fn stop_serving(&mut self, id: StreamId) {
        if let Some(serving) = self.serving.remove(&id)
            && serving.started
        {
            self.engines[serving.engine].active -= 1;
        }
    }

    /// Plans the answers of the calls that the module just made.
    pub(super) fn take_up_calls(&mut self) {
        let calls = std::mem::take(&mut self.proxy.borrow_mut().calls);
        for call in calls {
            *self.calls_made.entry(call.vm).or_default() += 1;
            let timeout = u64::from(call.timeout_ms);
            let delay = match (self.polled(&call), self.peer(&call)) {
                (Some(engine), _) => self.engines[engine].scrape_ms,
                (_, Some(Peer::Silent)) => u64::MAX,
                _ => 1,
            };
            // A request that never ends is cut by the proxy and answered 504.
            let fixed =
                (delay > timeout).then(|| CallResponse::new(504, "upstream request timeout"));
            let at = call.at + delay.min(timeout) * MILLISECOND;
            let answered = Event::CallAnswered {
                call,
                response: fixed,
            };
            self.agenda.plan(at, answered);
        }
    }

    /// Where a call goes that names an address.
    fn target(&self, call: &Call) -> Option<String> {
        match self.profile().targets {
            Targets::Cluster if call.target == "plimsoll_poll" => call.headers.text(POLL_TARGET),
            Targets::Cluster => None,
            Targets::Address => Some(call.target.clone()),
        }
    }

    /// Other proxy that a call goes to.
    fn peer(&self, call: &Call) -> Option<&Peer> {
        self.peers.get(&self.target(call)?)
    }

    /// Engine that a call goes to.
    fn polled(&self, call: &Call) -> Option<usize> {
        let address = self.target(call)?;
        self.engines
            .iter()
            .position(|engine| engine.address == address)
    }

    /// Answer to a call, from the state at its arrival.
    pub(super) fn answer_call(&mut self, call: &Call) -> CallResponse {
        if let Some(engine) = self.polled(call) {
            let engine = &mut self.engines[engine];
            return engine
                .answer_scrape()
                .unwrap_or_else(|| CallResponse::new(504, "upstream request timeout"));
        }
        let path = call.headers.text(":path").unwrap_or_default();
        if let Some(peer) = self.peer(call) {
            return match peer {
                Peer::Answers(status, body) if path == "/plimsoll/exchange" => {
                    CallResponse::new(*status, body.clone())
                }
                Peer::Answers(..) => CallResponse::new(404, ""),
                Peer::Silent => CallResponse::new(504, "upstream request timeout"),
            };
        }
        if call.target == "envoy_admin" && path.starts_with("/clusters") {
            let body = self.admin.clone();
            return CallResponse::new(
                200,
                body.unwrap_or_else(|| self.admin_clusters().into_bytes()),
            );
        }
        CallResponse::new(503, "upstream connect error")
    }

    /// `/clusters?format=json` of Envoy's admin interface. Zero values are left out, as protobuf's JSON does.
    pub fn admin_clusters(&self) -> String {
        let hosts: Vec<serde_json::Value> = self.engines.iter().map(admin_host).collect();
        serde_json::json!({"cluster_statuses": [
            {"name": "plimsoll_poll", "observability_name": "plimsoll_poll"},
            {"name": "pool", "added_via_api": false, "host_statuses": hosts, "observability_name": "pool"},
        ]})
        .to_string()
    }
}

fn admin_host(engine: &super::Engine) -> serde_json::Value {
    let (ip, port) = engine
        .address
        .rsplit_once(':')
        .unwrap_or((&engine.address, "0"));
    let eds = if engine.draining {
        "DRAINING"
    } else {
        "HEALTHY"
    };
    let mut health = serde_json::json!({ "eds_health_status": eds });
    if !engine.healthy {
        health["failed_active_health_check"] = true.into();
    }
    let stat = |name: &str, value: u64| match value {
        0 => serde_json::json!({"name": name, "type": "GAUGE"}),
        value => serde_json::json!({"name": name, "type": "GAUGE", "value": value.to_string()}),
    };
    serde_json::json!({
        "address": {"socket_address": {
            "address": ip.trim_matches(['[', ']']),
            "port_value": port.parse::<u16>().unwrap_or(0),
        }},
        "stats": [stat("cx_active", 0), stat("rq_active", engine.active.into())],
        "health_status": health,
        "weight": 1,
        "locality": {},
    })
}
