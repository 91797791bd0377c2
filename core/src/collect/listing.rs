//! Who is watched: the list of hosts, from the configuration or from the proxy.

use super::watched::Watched;
use super::{Collector, discovery};
use crate::host::{Address, State};
use crate::time::Micros;

/// Time from the first list in which the proxy may be answered its first checks of the hosts on it.
const SETTLING: Micros = Micros::from_millis(10_000);

impl Collector {
    /// The admin interface has answered `GET /clusters?format=json`, or has not. A failure keeps the list there is.
    /// Returns whether the answer named the cluster.
    pub fn on_discovered(&mut self, body: Option<&[u8]>) -> bool {
        self.discovering_until = None;
        let cluster = &self.config.discovery.cluster;
        let Some(found) = body.and_then(|body| discovery::read(body, cluster)) else {
            return false;
        };
        self.begin_list();
        for host in &found {
            self.list(host.address, host.weight, host.state, None);
        }
        self.end_list();
        true
    }

    /// A list begins: nobody is on it yet.
    pub(super) fn begin_list(&mut self) {
        for host in &mut self.hosts {
            host.listed = false;
        }
    }

    /// A host is on the list.
    pub(super) fn list(
        &mut self,
        address: Address,
        weight: u32,
        state: State,
        models: Option<&[u64]>,
    ) {
        let room = self.hosts.len() < self.config.limits.hosts;
        let settling = self
            .began
            .is_none_or(|began| self.looked.since(began) < SETTLING);
        match self.hosts.iter_mut().find(|host| host.address == address) {
            Some(host) => {
                self.changed |= host.state != state || host.weight != weight;
                host.on_state(self.looked, state, settling, &self.config);
                host.weight = weight;
                host.listed = true;
            }
            None if room => {
                self.changed = true;
                let mut host = Watched::new(address, weight, state, models);
                if self.began.is_some() {
                    host.begin(self.looked, &self.config);
                }
                self.hosts.push(host);
            }
            None => {}
        }
    }

    /// The list ends: who is not on it is gone.
    pub(super) fn end_list(&mut self) {
        let before = self.hosts.len();
        self.hosts.retain(|host| host.listed);
        self.changed |= self.hosts.len() != before;
        self.begin();
    }

    /// The first list that names somebody is the beginning.
    pub(super) fn begin(&mut self) {
        if !self.hosts.is_empty() {
            self.began.get_or_insert(self.looked);
        }
    }
}
