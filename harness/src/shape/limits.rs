//! What a relay limits.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::gate::{Pace, Service};

/// Operations, connections or chunks that wait where nothing else is said.
const WAITING: usize = 1024;

/// What a relay limits, all together or singly. What is left out is not limited.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Operations per second that pass, one after the other and 1/rate apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// Operations, and new connections, that wait at most; one more is turned away. 1024 where left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<usize>,
    /// Seconds that an operation holds a server before it passes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_seconds: Option<f64>,
    /// Whether that time is exponentially distributed, with `service_seconds` as its mean. Not where left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exponential: Option<bool>,
    /// Servers; 1 where left out. Means something only beside `service_seconds`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parallelism: Option<usize>,
    /// New connections per second; those beyond wait before they are read from. TCP alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections_per_second: Option<f64>,
    /// Connections at a time, those that wait included; one more is reset. TCP alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections: Option<usize>,
    /// Bytes per second towards clients, shared by all of them in turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<f64>,
    /// Seconds by which an operation reaches the server later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_seconds: Option<f64>,
    /// By so many seconds more or less, evenly. Never earlier than without latency.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jitter_seconds: Option<f64>,
    /// Share of the operations that are lost: a datagram is dropped, a connection reset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
    /// Connections are taken and datagrams too, and nothing is ever answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub black_hole: Option<bool>,
}

/// Two ticks of the clock that lets items pass.
const EARLY: Duration = Duration::from_millis(2);
/// What a line takes at once: the depth of a common home router's queue. Of each connection only one chunk waits, so that this is also what
/// bridges moments in which a busy machine does not let the relay run.
const LINE: Duration = Duration::from_millis(20);

/// A delay on the way to the server.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Delay {
    pub(super) latency: Duration,
    /// Half the width of what is added or taken away, evenly.
    pub(super) jitter: Duration,
}

impl Limits {
    /// These limits, where they say something, over `base`.
    #[must_use]
    pub fn over(&self, base: &Self) -> Self {
        Self {
            rate: self.rate.or(base.rate),
            waiting: self.waiting.or(base.waiting),
            service_seconds: self.service_seconds.or(base.service_seconds),
            exponential: self.exponential.or(base.exponential),
            parallelism: self.parallelism.or(base.parallelism),
            connections_per_second: self.connections_per_second.or(base.connections_per_second),
            connections: self.connections.or(base.connections),
            bandwidth: self.bandwidth.or(base.bandwidth),
            latency_seconds: self.latency_seconds.or(base.latency_seconds),
            jitter_seconds: self.jitter_seconds.or(base.jitter_seconds),
            loss: self.loss.or(base.loss),
            black_hole: self.black_hole.or(base.black_hole),
        }
    }

    /// What is wrong with these limits, in words, for a relay of connections (TCP) or of datagrams.
    ///
    /// # Errors
    /// The first thing that is.
    pub(super) fn check(&self, has_connections: bool) -> Result<(), String> {
        let above_zero = [
            ("rate", self.rate),
            ("connections_per_second", self.connections_per_second),
            ("bandwidth", self.bandwidth),
            ("service_seconds", self.service_seconds),
        ];
        for (key, value) in above_zero {
            // The bounds keep every moment that is worked out from it within what a clock can say.
            if value.is_some_and(|value| !(1e-6..=1e12).contains(&value)) {
                return Err(format!("`{key}` must be a number from 0.000001 to 1e12"));
            }
        }
        for (key, value) in
            [("latency_seconds", self.latency_seconds), ("jitter_seconds", self.jitter_seconds)]
        {
            if value.is_some_and(|value| !(0.0..=3600.0).contains(&value)) {
                return Err(format!("`{key}` must be a number from 0 to 3600"));
            }
        }
        if self.loss.is_some_and(|loss| !(0.0..=1.0).contains(&loss)) {
            return Err("`loss` must be a share from 0 to 1".to_owned());
        }
        if self.parallelism == Some(0) {
            return Err("`parallelism` must be above 0".to_owned());
        }
        if self.service_seconds.is_none() && (self.parallelism.is_some() || self.exponential.is_some()) {
            return Err("`parallelism` and `exponential` need `service_seconds`".to_owned());
        }
        if !has_connections && (self.connections.is_some() || self.connections_per_second.is_some()) {
            return Err("datagrams have no connections to limit".to_owned());
        }
        Ok(())
    }

    /// The pace of operations.
    pub(super) fn operations(&self) -> Pace {
        let service = self.service_seconds.map(|mean| Service {
            mean: Duration::from_secs_f64(mean),
            exponential: self.exponential.unwrap_or(false),
            parallelism: self.parallelism.unwrap_or(1),
        });
        Pace { rate: self.rate, service, waiting: self.waiting.unwrap_or(WAITING), early: EARLY }
    }

    /// The pace of new connections.
    pub(super) fn entrances(&self) -> Pace {
        Pace {
            rate: self.connections_per_second,
            service: None,
            waiting: self.waiting.unwrap_or(WAITING),
            early: EARLY,
        }
    }

    /// The pace of bytes towards clients, of which at most `waiting` chunks wait.
    pub(super) fn bytes(&self, waiting: usize) -> Pace {
        Pace { rate: self.bandwidth, service: None, waiting, early: LINE }
    }

    pub(super) fn delay(&self) -> Delay {
        let seconds = |value: Option<f64>| Duration::from_secs_f64(value.unwrap_or(0.0));
        Delay { latency: seconds(self.latency_seconds), jitter: seconds(self.jitter_seconds) }
    }

    pub(super) fn is_black_hole(&self) -> bool {
        self.black_hole.unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_fault_says_stands_over_what_was() {
        let base = Limits { rate: Some(100.0), loss: Some(0.1), ..Limits::default() };
        let fault = Limits { rate: Some(5.0), black_hole: Some(true), ..Limits::default() };
        let expected = Limits { loss: Some(0.1), ..fault.clone() };
        assert_eq!(fault.over(&base), expected);
    }

    #[test]
    fn limits_that_mean_nothing_are_named() {
        let wrong = |limits: Limits, tcp: bool| limits.check(tcp).unwrap_err();
        let rate = |rate| Limits { rate: Some(rate), ..Limits::default() };
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(wrong(rate(bad), true).contains("`rate`"));
        }
        assert!(rate(0.5).check(true).is_ok());
        assert!(wrong(Limits { loss: Some(1.5), ..Limits::default() }, true).contains("`loss`"));
        assert!(
            wrong(Limits { parallelism: Some(2), ..Limits::default() }, true).contains("service_seconds")
        );
        assert!(wrong(Limits { connections: Some(2), ..Limits::default() }, false).contains("datagrams"));
    }
}
