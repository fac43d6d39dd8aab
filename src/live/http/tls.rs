//! TLS towards one server, and the sessions that visitors take up again.

use std::io;
use std::sync::Arc;

use quinn::crypto::rustls::{NoInitialCipherSuite, QuicClientConfig};
use rustls_pki_types::ServerName;
use tokio_rustls::rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, Resumption, Tls12ClientSessionValue,
    Tls13ClientSessionValue,
};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, KeyLogFile, NamedGroup, RootCertStore};

use crate::profile::Tls;

/// What one server's visitors need for TLS.
#[derive(Debug)]
pub(super) struct Sessions {
    pub(super) server_name: ServerName<'static>,
    base: ClientConfig,
    /// Servers give tickets for one transport only.
    tcp: Arc<ClientSessionMemoryCache>,
    quic: Arc<ClientSessionMemoryCache>,
}

impl Sessions {
    /// # Errors
    /// The roots cannot be used.
    pub(super) fn new(tls: &Tls) -> io::Result<Self> {
        let mut roots = RootCertStore::empty();
        // A bundle may hold some that are too odd to be read; it is of no use only when all are.
        roots.add_parsable_certificates(tls.roots.iter().cloned());
        if roots.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "no usable certificate among the roots"));
        }
        let mut base = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        // For whoever looks at a capture: it writes only where the environment variable SSLKEYLOGFILE says so.
        base.key_log = Arc::new(KeyLogFile::new());
        // One server: as many tickets as the cache keeps for it.
        let tickets = || Arc::new(ClientSessionMemoryCache::new(1));
        Ok(Self { server_name: tls.server_name.clone(), base, tcp: tickets(), quic: tickets() })
    }

    /// For a connection over TCP that offers these protocols (ALPN, RFC 7301).
    pub(super) fn tcp(&self, protocols: &[&[u8]], returning: bool) -> Arc<ClientConfig> {
        Arc::new(self.config(protocols, &self.tcp, returning))
    }

    /// For a QUIC connection that offers this protocol.
    ///
    /// # Errors
    /// The cryptography has no cipher for QUIC's first packets.
    pub(super) fn quic(
        &self,
        protocol: &[u8],
        returning: bool,
    ) -> Result<quinn::ClientConfig, NoInitialCipherSuite> {
        let crypto = QuicClientConfig::try_from(self.config(&[protocol], &self.quic, returning))?;
        Ok(quinn::ClientConfig::new(Arc::new(crypto)))
    }

    fn config(
        &self,
        protocols: &[&[u8]],
        tickets: &Arc<ClientSessionMemoryCache>,
        returning: bool,
    ) -> ClientConfig {
        let mut config = self.base.clone();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        config.resumption = Resumption::store(Arc::new(Visit { tickets: Arc::clone(tickets), returning }));
        config
    }
}

/// The sessions of one visitor's connection. Who comes for the first time has none to resume, and leaves its own for those who come back.
/// A worker does not know which of its visitors a returning one is; any earlier visitor's ticket costs the server the same.
#[derive(Debug)]
struct Visit {
    tickets: Arc<ClientSessionMemoryCache>,
    returning: bool,
}

impl Visit {
    /// What `of` finds, for those who come back.
    fn earlier<T>(&self, of: impl FnOnce(&ClientSessionMemoryCache) -> Option<T>) -> Option<T> {
        if self.returning { of(&self.tickets) } else { None }
    }
}

impl ClientSessionStore for Visit {
    fn set_kx_hint(&self, server: ServerName<'static>, group: NamedGroup) {
        self.tickets.set_kx_hint(server, group);
    }

    fn kx_hint(&self, server: &ServerName<'_>) -> Option<NamedGroup> {
        self.earlier(|tickets| tickets.kx_hint(server))
    }

    fn set_tls12_session(&self, server: ServerName<'static>, session: Tls12ClientSessionValue) {
        self.tickets.set_tls12_session(server, session);
    }

    fn tls12_session(&self, server: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.earlier(|tickets| tickets.tls12_session(server))
    }

    fn remove_tls12_session(&self, server: &ServerName<'static>) {
        self.tickets.remove_tls12_session(server);
    }

    fn insert_tls13_ticket(&self, server: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        self.tickets.insert_tls13_ticket(server, ticket);
    }

    fn take_tls13_ticket(&self, server: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.earlier(|tickets| tickets.take_tls13_ticket(server))
    }
}
