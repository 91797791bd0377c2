//! The exchange role: answers other proxies with what the workers of this one do.
//!
//! It is a `root_id` of its own and answers whatever it is asked, so it belongs on a listener of its own, and on the one that clients
//! reach nothing but this would work.

use alloc::rc::Rc;

use crate::{
    host::{Action, Host},
    names::Keys,
    reply, root,
};

/// Root of the exchange role.
#[derive(Default)]
pub struct ExchangeRoot(Option<Rc<Keys>>);

impl ExchangeRoot {
    /// Reads the configuration; false when it is refused, and the one before stays in force.
    pub fn on_configure<H: Host>(&mut self, host: &H) -> bool {
        let config = root::read_configuration(host);
        if let Some(config) = &config {
            self.0 = Some(Rc::new(Keys::new(&config.pool)));
        }
        config.is_some()
    }

    /// A new HTTP stream; `None` as long as there is no configuration.
    #[must_use]
    pub fn question(&self) -> Option<Question> {
        self.0.clone().map(Question)
    }
}

/// Another proxy's request.
pub struct Question(Rc<Keys>);

impl Question {
    /// The request's headers have come: answers it with what the collector wrote.
    pub fn on_request_headers<H: Host>(&self, host: &H) -> Action {
        let Ok((share, _)) = host.shared_get(&self.0.proxy) else {
            return reply::error(host, 503, "no_share", "no collector has written a share", 0);
        };
        let headers = [("content-type", "application/octet-stream")];
        let _ = host.respond(200, &headers, &share);
        Action::Pause
    }
}
