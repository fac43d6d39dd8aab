//! One second while it is still being counted.

use hdrhistogram::Histogram;

use crate::drive::{Observation, Settled};
use crate::journey::{Kind, Swarm};

use super::downloads::DownloadCount;
use super::latency::{self, Distribution, histogram};
use super::row::{Counts, KindRow, Latencies, Row, Traffic};

/// One kind, still being counted.
#[derive(Clone, Debug)]
pub(crate) struct KindSecond {
    pub(crate) counts: Counts,
    pub(crate) traffic: Traffic,
    pub(crate) due: Histogram<u64>,
    pub(crate) service: Histogram<u64>,
    pub(crate) lag: Histogram<u64>,
}

impl KindSecond {
    fn new() -> Self {
        Self {
            counts: Counts::default(),
            traffic: Traffic::default(),
            due: histogram(),
            service: histogram(),
            lag: histogram(),
        }
    }

    /// Counts an operation, or a part of one, that ended.
    pub(crate) fn settle(&mut self, seen: &Observation, part: bool) {
        self.counts.settle(seen.settled);
        self.traffic.bytes_in += seen.bytes_in;
        self.traffic.bytes_out += seen.bytes_out;
        self.traffic.retransmits += u64::from(seen.retransmits);
        self.traffic.foreign += u64::from(seen.foreign);
        self.traffic.web += &seen.web;
        for &(oddity, times) in &seen.oddities {
            *self.traffic.oddities.entry(oddity).or_default() += u64::from(times);
        }
        if seen.settled == Settled::Cut {
            return;
        }
        latency::count(&mut self.service, seen.ended.since(seen.started));
        if !part {
            latency::count(&mut self.due, seen.ended.since(seen.due));
            latency::count(&mut self.lag, seen.started.since(seen.due));
        }
    }

    fn merge(&mut self, other: &Self) {
        self.counts += &other.counts;
        self.traffic += &other.traffic;
        let pairs =
            [(&mut self.due, &other.due), (&mut self.service, &other.service), (&mut self.lag, &other.lag)];
        for (mine, theirs) in pairs {
            Distribution::of(theirs).add_to(mine);
        }
    }

    /// The second as it is kept, but for what earlier ones left in flight.
    fn to_row(&self) -> KindRow {
        KindRow {
            counts: self.counts.clone(),
            traffic: self.traffic.clone(),
            in_flight: 0,
            latencies: Latencies {
                due: Distribution::of(&self.due),
                service: Distribution::of(&self.service),
                lag: Distribution::of(&self.lag),
            },
        }
    }
}

/// One second, still being counted. Kinds come into being when something of them happens.
#[derive(Clone, Debug, Default)]
pub(crate) struct Second {
    pub(crate) journeys: Counts,
    pub(crate) swarm: Swarm,
    pub(crate) downloads: DownloadCount,
    kinds: [Option<Box<KindSecond>>; Kind::ALL.len()],
}

impl Second {
    /// A kind, to be counted.
    #[inline]
    pub(crate) fn kind(&mut self, kind: Kind) -> &mut KindSecond {
        self.kinds[kind as usize].get_or_insert_with(|| Box::new(KindSecond::new()))
    }

    /// A kind, if something of it happened.
    pub(crate) fn get(&self, kind: Kind) -> Option<&KindSecond> {
        self.kinds[kind as usize].as_deref()
    }

    /// The second as it is kept, but for what is in flight.
    pub(crate) fn to_row(&self, second: u64) -> Row {
        let kinds = Kind::ALL.into_iter().filter_map(|kind| Some((kind, self.get(kind)?.to_row())));
        Row {
            second,
            journeys: self.journeys.clone(),
            swarm: self.swarm,
            downloads: self.downloads.counts,
            download_times: self.downloads.times(),
            kinds: kinds.collect(),
        }
    }

    /// Whether nothing happened.
    pub(crate) fn is_empty(&self) -> bool {
        self.journeys == Counts::default()
            && self.swarm.is_empty()
            && self.downloads.counts.is_empty()
            && self.kinds.iter().all(Option::is_none)
    }

    /// Adds what another worker counted.
    pub(crate) fn merge(&mut self, other: Self) {
        self.journeys += &other.journeys;
        self.swarm += &other.swarm;
        self.downloads.merge(other.downloads);
        for (mine, theirs) in self.kinds.iter_mut().zip(other.kinds) {
            match (mine, theirs) {
                (_, None) => {}
                (Some(mine), Some(theirs)) => mine.merge(&theirs),
                (mine, theirs) => *mine = theirs,
            }
        }
    }
}
