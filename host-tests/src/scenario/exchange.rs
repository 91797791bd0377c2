//! Other proxies: what this one hears at their addresses, and what it tells them.

use super::{Fleet, MAIN, Request};

/// What stands at the address of another proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// It answers with this status and body.
    Answers(u16, Vec<u8>),
    /// It takes connections and never answers.
    Silent,
}

impl Fleet {
    /// Puts another proxy at `address`; `None` takes it away, and connections to it fail.
    pub fn set_peer(&mut self, address: &str, peer: Option<Peer>) {
        match peer {
            Some(peer) => self.peers.insert(address.to_owned(), peer),
            None => self.peers.remove(address),
        };
    }

    /// Asks this proxy's exchange listener, on a worker, as another proxy does. The listener's own routes answer 404.
    pub fn ask(&mut self, worker: usize) -> Peer {
        let vm = worker - 1 + MAIN + usize::from(self.profile().singleton);
        let request = Request::get("/plimsoll/exchange");
        let id = self.open_under(vm, &request, |thread| thread.exchange);
        self.opened.retain(|opened| *opened != id);
        self.abort(id);
        let stream = self.over.remove(&id);
        stream.map_or(Peer::Silent, |stream| match stream.local {
            Some(local) => Peer::Answers(local.status as u16, local.body),
            None => Peer::Answers(404, Vec::new()),
        })
    }
}
