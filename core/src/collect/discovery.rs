//! The host list as Envoy's admin gives it: `GET /clusters?format=json`.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

use serde::Deserialize;

use crate::host::{Address, State};

#[derive(Deserialize)]
struct Clusters {
    #[serde(default)]
    cluster_statuses: Vec<Cluster>,
}

#[derive(Deserialize)]
struct Cluster {
    #[serde(default)]
    name: String,
    #[serde(default)]
    host_statuses: Vec<HostStatus>,
}

#[derive(Deserialize)]
struct HostStatus {
    address: Option<AddressStatus>,
    #[serde(default)]
    health_status: Health,
    weight: Option<u32>,
}

#[derive(Deserialize)]
struct AddressStatus {
    socket_address: Option<SocketAddress>,
}

#[derive(Deserialize)]
struct SocketAddress {
    address: String,
    port_value: u16,
}

#[derive(Deserialize, Default)]
struct Health {
    #[serde(default)]
    eds_health_status: String,
    #[serde(default)]
    failed_active_health_check: bool,
    #[serde(default)]
    failed_outlier_check: bool,
    #[serde(default)]
    pending_active_hc: bool,
}

/// A host of the list.
pub(super) struct Found {
    pub(super) address: Address,
    pub(super) weight: u32,
    pub(super) state: State,
}

/// The hosts of `cluster`, or `None` when the answer does not name it.
pub(super) fn read(body: &[u8], cluster: &str) -> Option<Vec<Found>> {
    let clusters: Clusters = serde_json::from_slice(body).ok()?;
    let cluster = clusters
        .cluster_statuses
        .into_iter()
        .find(|status| status.name == cluster)?;
    let hosts = cluster.host_statuses.into_iter().filter_map(|host| {
        let socket = host.address?.socket_address?;
        let ip: IpAddr = socket.address.parse().ok()?;
        let state = match host.health_status {
            Health {
                eds_health_status, ..
            } if eds_health_status == "DRAINING" => State::Draining,
            Health {
                eds_health_status, ..
            } if eds_health_status == "UNHEALTHY" || eds_health_status == "TIMEOUT" => State::Down,
            // Envoy fails a host until its first check has passed; our polls will tell sooner.
            Health {
                failed_active_health_check: true,
                pending_active_hc: false,
                ..
            } => State::Down,
            Health {
                failed_outlier_check: true,
                ..
            } => State::Down,
            _ => State::Ready,
        };
        (socket.port_value != 0).then(|| Found {
            address: Address::new(ip, socket.port_value),
            weight: host.weight.unwrap_or(1).max(1),
            state,
        })
    });
    Some(hosts.collect())
}
