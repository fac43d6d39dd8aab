//! What HTTP exchanges tell beside their answers.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

/// What the HTTP exchanges of an operation, or of many, were like. All of them counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Web {
    /// Exchanges over HTTP/1.1.
    pub http1: u64,
    /// Exchanges over HTTP/2.
    pub http2: u64,
    /// Exchanges over HTTP/3.
    pub http3: u64,
    /// TLS handshakes over TCP.
    pub handshakes: u64,
    /// Of those, resumptions of an earlier session.
    pub resumed: u64,
    /// QUIC handshakes; which of them were resumptions, quinn does not tell.
    pub quic: u64,
    /// Answers that a cache on the way gave (RFC 9211 and what came before it).
    pub cache_hits: u64,
    /// Answers for which a cache on the way had to ask the origin. Answers that say nothing of a cache are in neither.
    pub cache_misses: u64,
    /// Answers that what the visitor has is still good (304).
    pub not_modified: u64,
    /// Redirects that were followed.
    pub redirects: u64,
}

impl Web {
    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Share of the answers that a cache gave, of those that tell; 0..1.
    #[must_use]
    pub fn cache_hit_rate(&self) -> Option<f64> {
        let told = self.cache_hits + self.cache_misses;
        (told > 0).then(|| self.cache_hits as f64 / told as f64)
    }
}

impl AddAssign<&Self> for Web {
    fn add_assign(&mut self, other: &Self) {
        self.http1 += other.http1;
        self.http2 += other.http2;
        self.http3 += other.http3;
        self.handshakes += other.handshakes;
        self.resumed += other.resumed;
        self.quic += other.quic;
        self.cache_hits += other.cache_hits;
        self.cache_misses += other.cache_misses;
        self.not_modified += other.not_modified;
        self.redirects += other.redirects;
    }
}
