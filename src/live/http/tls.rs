//! TLS towards one server, and the sessions that visitors take up again.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, Resumption, Tls12ClientSessionValue,
    Tls13ClientSessionValue, WebPkiServerVerifier,
};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{
    ClientConfig, DigitallySignedStruct, Error, NamedGroup, RootCertStore, SignatureScheme,
};

use crate::profile::Tls;

/// What one server's visitors need for TLS.
#[derive(Debug)]
pub(super) struct Sessions {
    pub(super) server_name: ServerName<'static>,
    verifier: Arc<WebPkiServerVerifier>,
    base: ClientConfig,
    /// Servers give tickets for one transport only.
    tcp: Arc<ClientSessionMemoryCache>,
    quic: Arc<ClientSessionMemoryCache>,
}

impl Sessions {
    /// # Errors
    /// The roots cannot be used.
    pub(super) fn new(tls: &Tls) -> io::Result<Self> {
        let unusable =
            |error: &dyn std::error::Error| io::Error::new(io::ErrorKind::InvalidData, error.to_string());
        let mut roots = RootCertStore::empty();
        // A bundle may hold some that are too odd to be read; it is of no use only when all are.
        roots.add_parsable_certificates(tls.roots.iter().cloned());
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .map_err(|error| unusable(&error))?;
        let base = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| unusable(&error))?
            .with_webpki_verifier(Arc::clone(&verifier))
            .with_no_client_auth();
        // One server: as many tickets as the cache keeps for it.
        let tickets = || Arc::new(ClientSessionMemoryCache::new(1));
        Ok(Self { server_name: tls.server_name.clone(), verifier, base, tcp: tickets(), quic: tickets() })
    }

    /// For a connection over TCP that offers these protocols (ALPN, RFC 7301).
    pub(super) fn tcp(&self, protocols: &[&[u8]], returning: bool) -> Arc<ClientConfig> {
        Arc::new(self.config(protocols, &self.tcp, returning))
    }

    /// For a QUIC connection; the witness tells afterwards whether the server had to show its certificate.
    ///
    /// # Errors
    /// The cryptography has no cipher for QUIC's first packets.
    pub(super) fn quic(
        &self,
        protocol: &[u8],
        returning: bool,
    ) -> Result<(quinn::ClientConfig, Arc<Witness>), quinn::crypto::rustls::NoInitialCipherSuite> {
        let mut config = self.config(&[protocol], &self.quic, returning);
        let witness =
            Arc::new(Witness { verifier: Arc::clone(&self.verifier), called: AtomicBool::new(false) });
        config.dangerous().set_certificate_verifier(Arc::clone(&witness) as Arc<dyn ServerCertVerifier>);
        let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(config)?;
        Ok((quinn::ClientConfig::new(Arc::new(crypto)), witness))
    }

    fn config(
        &self,
        protocols: &[&[u8]],
        tickets: &Arc<ClientSessionMemoryCache>,
        returning: bool,
    ) -> ClientConfig {
        let mut config = self.base.clone();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        config.resumption = if returning {
            Resumption::store(Arc::clone(tickets) as Arc<dyn ClientSessionStore>)
        } else {
            Resumption::store(Arc::new(FirstVisit(Arc::clone(tickets))))
        };
        config
    }
}

/// Sessions of those who come for the first time: they have none to resume, and leave theirs for those who come back. A worker does not
/// know which of its visitors a returning one is; any earlier visitor's ticket costs the server the same.
#[derive(Debug)]
struct FirstVisit(Arc<ClientSessionMemoryCache>);

impl ClientSessionStore for FirstVisit {
    fn set_kx_hint(&self, server: ServerName<'static>, group: NamedGroup) {
        self.0.set_kx_hint(server, group);
    }

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, server: ServerName<'static>, session: Tls12ClientSessionValue) {
        self.0.set_tls12_session(server, session);
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, server: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        self.0.insert_tls13_ticket(server, ticket);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        None
    }
}

/// Verifies as usual and notes that it had to: quinn does not tell whether a handshake was a resumption, but in one the server shows no
/// certificate (RFC 8446 section 2.2).
#[derive(Debug)]
pub(super) struct Witness {
    verifier: Arc<WebPkiServerVerifier>,
    called: AtomicBool,
}

impl Witness {
    /// Whether the handshake, which must be over, was a resumption.
    pub(super) fn resumed(&self) -> bool {
        !self.called.load(Ordering::Relaxed)
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.called.store(true, Ordering::Relaxed);
        self.verifier.verify_server_cert(certificate, intermediates, server, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}
