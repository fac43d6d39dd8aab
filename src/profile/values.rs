//! What single keys of profiles hold.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;
use rustls_pki_types::ServerName;
use toml::de::DeValue;

use super::{Encryption, HttpVersion, Layer, Transport};
use crate::problem::{Choice, Form, Text, Value, bounded, shown};
use crate::unit::{BitRate, Quantity};

impl Choice for Layer {
    const NAMES: &'static [(&'static str, Self)] = &[
        (Self::Dns.name(), Self::Dns),
        (Self::Index.name(), Self::Index),
        (Self::Metadata.name(), Self::Metadata),
        (Self::Tracker.name(), Self::Tracker),
        (Self::Dht.name(), Self::Dht),
        (Self::Seedbox.name(), Self::Seedbox),
    ];
}

impl Choice for HttpVersion {
    const NAMES: &'static [(&'static str, Self)] =
        &[(Self::One.name(), Self::One), (Self::Two.name(), Self::Two), (Self::Three.name(), Self::Three)];
}

impl Choice for Encryption {
    const NAMES: &'static [(&'static str, Self)] =
        &[("disabled", Self::Disabled), ("prefer", Self::Prefer), ("require", Self::Require)];
}

impl Choice for Transport {
    const NAMES: &'static [(&'static str, Self)] = &[("tcp", Self::Tcp), ("utp", Self::Utp)];
}

bounded! {
    /// A `Host` or `User-Agent` header.
    pub(super) Header(Text): "visible ASCII characters", "\"index.testbed\"", |it| is_printable(&it.0);
    /// A port to connect to.
    pub(super) Port(u16): "a port from 1 to 65535", "40006", |it| *it > 0;
    /// A process other than those of the kernel.
    pub(super) Pid(u32): "the id of a process", "1234", |it| *it > 1 && i32::try_from(*it).is_ok();
    /// Nodes, or queries.
    pub(super) Nodes(u32): "a whole number from 1 to 100", "8", |it| (1..=100).contains(it);
    /// Peers to ask for.
    pub(super) Numwant(i32): "a number of peers from -1 to 1000, -1 for the tracker's own choice", "200", |it| (-1..=1000).contains(it);
    /// Connections, at least one.
    pub(super) Connections(u32): "a number of connections above 0", "4000", |it| *it > 0;
    /// A bandwidth that lets something through.
    pub(super) Bandwidth(BitRate): "a bandwidth above 0", BitRate::FORMS, |it| it.0 > 0.0;
    /// A time that seconds can be counted in.
    pub(super) AWhile(Duration): "a duration from 1 second to 1 hour", "\"10s\"", |it| (1..=3600).contains(&it.as_secs());
    /// A quantile that can be exceeded.
    pub(super) Quantile(f64): "a quantile between 0 and 1", "0.99", |it| *it > 0.0 && *it < 1.0;
}

shown!(AWhile => |it| format!("\"{}\"", it.0.write()), Quantile => |it| it.0, Numwant => |it| it.0, Nodes => |it| it.0);

fn is_visible(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn is_printable(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ')
}

/// Where something listens.
pub(super) struct Address(pub(super) SocketAddr);

impl Value for Address {
    fn noun() -> String {
        "an IP address with a port".to_owned()
    }

    fn forms() -> String {
        // Why no names: resolving one would send a DNS packet before the guard has spoken.
        "\"127.0.0.1:40001\" or \"[::1]:40001\"; names are not resolved, as that would send packets before the target is authorised"
            .to_owned()
    }

    fn form() -> Form {
        Form::TEXT
    }

    fn from_toml(value: &DeValue<'_>) -> Option<Self> {
        let address: SocketAddr = value.as_str()?.parse().ok()?;
        (address.port() > 0).then_some(Self(address))
    }
}

/// What a certificate is for.
pub(super) struct CertificateName(pub(super) ServerName<'static>);

impl Value for CertificateName {
    fn noun() -> String {
        "a host name or an IP address".to_owned()
    }

    fn forms() -> String {
        "\"index.testbed\"".to_owned()
    }

    fn form() -> Form {
        Form::TEXT
    }

    fn from_toml(value: &DeValue<'_>) -> Option<Self> {
        Some(Self(ServerName::try_from(value.as_str()?).ok()?.to_owned()))
    }
}

/// The first eight bytes of a peer id (BEP 20).
pub(super) struct PeerIdPrefix(pub(super) [u8; 8]);

impl Value for PeerIdPrefix {
    fn noun() -> String {
        "the first 8 characters of a peer id (BEP 20)".to_owned()
    }

    fn forms() -> String {
        "\"-qB4520-\"".to_owned()
    }

    fn form() -> Form {
        Form::Text { pattern: Some("^[!-~]{8}$"), or_number: false }
    }

    fn from_toml(value: &DeValue<'_>) -> Option<Self> {
        let text = value.as_str().filter(|text| is_visible(text))?;
        text.as_bytes().try_into().ok().map(Self)
    }
}

/// A network that may be loaded.
pub(super) struct Network(pub(super) IpNet);

impl Value for Network {
    fn noun() -> String {
        "a network no wider than /8 (IPv4) or /32 (IPv6)".to_owned()
    }

    fn forms() -> String {
        "\"10.77.0.0/16\" or \"203.0.113.7/32\"".to_owned()
    }

    fn form() -> Form {
        Form::TEXT
    }

    fn from_toml(value: &DeValue<'_>) -> Option<Self> {
        let network: IpNet = value.as_str()?.parse().ok()?;
        // Nobody can give leave for more than that, and a slip such as 0.0.0.0/0 would be leave for the whole internet.
        let widest = if network.addr().is_ipv4() { 8 } else { 32 };
        (network.prefix_len() >= widest).then_some(Self(network))
    }
}
