//! Whose limit, by resource: how full each resource of a layer or of the generator was, second by second, and which one explains that a
//! layer saturated.
//!
//! A resource is at its limit where nine tenths of it were used over a window (19 of 20 where what is left is of no use: descriptors,
//! memory, tracked connections), or where a counter of what was dropped for want of it grew. CPU is used up in three ways: a process
//! has all the cores that its affinity and control groups let it have; a control group held it back; or its busiest thread ran, or
//! waited for somebody else to leave the core, all the time. The last is what ends a server of one thread on a machine of many cores.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::profile::{Layer, Reading, Readings};
use crate::record::{Metrics, Recording, Resources};

use super::flow::WINDOW;

/// Something that a layer or the generator can run out of. First the one that, at its limit, brings those after it to theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Resource {
    /// Open descriptors.
    Descriptors,
    /// Connections that the firewall keeps track of.
    ConnectionsTracked,
    /// Memory, in bytes.
    Memory,
    /// CPU, in cores.
    Cpu,
    /// CPU withheld by a quota, in seconds a second.
    Throttled,
    /// Time of the busiest disk, as a share.
    Disk,
    /// Speed of the fullest network interface, as a share.
    Network,
    /// Receive buffers of UDP sockets: only their overflow is known.
    UdpReceiveBuffer,
    /// Queues of connections to be accepted: only their overflow is known.
    AcceptQueue,
}

impl Resource {
    /// The name used in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Descriptors => "descriptors",
            Self::ConnectionsTracked => "tracked connections",
            Self::Memory => "memory",
            Self::Cpu => "CPU",
            Self::Throttled => "CPU quota",
            Self::Disk => "disk",
            Self::Network => "network",
            Self::UdpReceiveBuffer => "UDP receive buffer",
            Self::AcceptQueue => "accept queue",
        }
    }

    /// Share of it from which on it is used up: it is looked at once a second, and peaks lie between.
    const fn full(self) -> f64 {
        match self {
            Self::Descriptors | Self::ConnectionsTracked | Self::Memory => 0.95,
            _ => 0.9,
        }
    }
}

/// How full a resource was over a window.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Pressure {
    /// Which.
    pub resource: Resource,
    /// Whose: a layer's, or the generator's.
    pub layer: Option<Layer>,
    /// Of what it was read: `process 123`, or the URL of metrics.
    pub source: String,
    /// First second of the window.
    pub from_second: u64,
    /// The second after its last.
    pub until_second: u64,
    /// Used of what there is; 0..1. Of a buffer or queue 1 where it overflowed.
    pub utilisation: f64,
    /// How much was used, in the resource's unit: the mean of what flows, the most of what is held.
    pub used: f64,
    /// How much there is.
    pub limit: f64,
    /// What was dropped in the window for want of it.
    pub drops: f64,
}

impl Pressure {
    /// Whether there was no more of it.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.utilisation >= self.resource.full()
    }

    /// What is full before what is not, the cause before what it causes, the fuller before the other.
    fn is_more_telling_than(&self, other: &Self) -> bool {
        match (self.is_full(), other.is_full()) {
            (true, true) if self.resource != other.resource => self.resource < other.resource,
            (true, false) | (false, true) => self.is_full(),
            _ => self.utilisation > other.utilisation,
        }
    }
}

/// Everything that was read in a run, by what it was read of.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    tracks: Vec<Track>,
    /// What the generator's network namespace counted.
    machine: Track,
}

/// One process or one endpoint over time.
#[derive(Clone, Debug, Default)]
struct Track {
    layer: Option<Layer>,
    source: String,
    /// Seconds of the run, and what was read then, in order of time.
    series: BTreeMap<Reading, Vec<(f64, f64)>>,
}

impl Samples {
    /// All of a recording.
    #[must_use]
    pub fn of(recording: &Recording) -> Self {
        Self::new(&recording.resources, &recording.metrics)
    }

    /// What was read of processes and elsewhere.
    #[must_use]
    pub fn new(resources: &[Resources], metrics: &[Metrics]) -> Self {
        let mut processes: BTreeMap<(Option<Layer>, u32), Track> = BTreeMap::new();
        for sample in resources {
            let (layer, source) = (sample.layer, format!("process {}", sample.pid));
            let track = processes.entry((layer, sample.pid)).or_insert_with(|| Track::new(layer, source));
            let at = sample.at_seconds.unwrap_or(sample.second as f64);
            let always = [
                (Reading::CpuSeconds, sample.cpu_seconds),
                (Reading::MemoryBytes, sample.rss_bytes as f64),
                (Reading::Descriptors, sample.descriptors as f64),
            ];
            track.read(at, always);
            track.read(at, sample.readings.clone());
        }
        let mut endpoints: BTreeMap<(Option<Layer>, &str), Track> = BTreeMap::new();
        for read in metrics.iter().filter(|read| !read.readings.is_empty()) {
            let (layer, source) = (read.layer, read.source.clone());
            let track = endpoints.entry((layer, &read.source)).or_insert_with(|| Track::new(layer, source));
            track.read(read.at_seconds, read.readings.clone());
        }
        let machine = endpoints.remove(&(None, Metrics::MACHINE)).unwrap_or_default();
        let mut samples =
            Self { tracks: processes.into_values().chain(endpoints.into_values()).collect(), machine };
        samples.tracks.iter_mut().chain([&mut samples.machine]).for_each(Track::sort);
        samples
    }

    /// How full the resources of a layer (`None`: of the generator) were from one second until before another; the fullest first. What
    /// has no known limit is not among them.
    #[must_use]
    pub fn pressure(&self, layer: Option<Layer>, from_second: u64, until_second: u64) -> Vec<Pressure> {
        let window = Window { from: from_second as f64, until: until_second as f64 };
        let tracks = self.tracks.iter().filter(|track| track.layer == layer);
        let mut found: Vec<Pressure> = tracks
            .flat_map(|track| {
                let local = track.source.starts_with("process ");
                let machine = local.then_some(&self.machine);
                track
                    .shares(machine, window)
                    .into_iter()
                    .map(|share| share.of(track, from_second, until_second))
            })
            .collect();
        found.sort_by(|one, other| {
            other.utilisation.total_cmp(&one.utilisation).then(one.resource.cmp(&other.resource))
        });
        found
    }

    /// The fullest resource of the generator and of each layer, over the window of 5 s in which it was, in a recording of so many
    /// seconds; of several that were at their limit the one that brings the others to theirs.
    #[must_use]
    pub fn fullest(&self, seconds: u64) -> Vec<Pressure> {
        let windows = || (0..seconds).step_by(WINDOW).map(|from| (from, (from + WINDOW as u64).min(seconds)));
        let of = |layer| {
            let all = windows().flat_map(|(from, until)| self.pressure(layer, from, until));
            // The first of those that are as telling.
            all.reduce(|most, it| if it.is_more_telling_than(&most) { it } else { most })
        };
        std::iter::once(None).chain(Layer::ALL.map(Some)).filter_map(of).collect()
    }

    /// By how much the counters of the generator's network namespace grew in a recording of so many seconds.
    #[must_use]
    pub fn machine_growth(&self, seconds: u64) -> Readings {
        let window = Window { from: 0.0, until: seconds as f64 };
        let counters =
            Reading::ALL.into_iter().map(|(reading, ..)| reading).filter(|reading| reading.is_counter());
        counters
            .filter_map(|reading| Some((reading, self.machine.growth(reading, window)?.round())))
            .collect()
    }

    /// The resource that was at its limit in the window in which a layer saturated, and was not before; of several the one that brings the
    /// others to theirs. Before is the first half of the span of the same length that ends as the window begins: a resource comes to its
    /// end somewhat earlier than the layer shows it.
    #[must_use]
    pub fn explains(&self, layer: Option<Layer>, from_second: u64, until_second: u64) -> Option<Pressure> {
        let before = from_second.saturating_sub(until_second.saturating_sub(from_second));
        let middle = before.midpoint(from_second);
        // Of what was before the run nothing is known: what it finds full it brought to its end.
        let earlier = if before < middle { self.pressure(layer, before, middle) } else { Vec::new() };
        let was_full = |now: &Pressure| {
            earlier.iter().any(|it| it.resource == now.resource && it.source == now.source && it.is_full())
        };
        let full = self.pressure(layer, from_second, until_second).into_iter().filter(Pressure::is_full);
        full.filter(|now| !was_full(now)).min_by_key(|now| now.resource)
    }
}

/// A span of the run, in seconds.
#[derive(Clone, Copy, Debug)]
struct Window {
    from: f64,
    until: f64,
}

/// What a track says of a resource.
struct Share {
    resource: Resource,
    used: f64,
    limit: f64,
    drops: f64,
}

impl Share {
    fn of(self, track: &Track, from_second: u64, until_second: u64) -> Pressure {
        let Self { resource, used, limit, drops } = self;
        let share = if limit > 0.0 { (used / limit).clamp(0.0, 1.0) } else { 0.0 };
        Pressure {
            resource,
            layer: track.layer,
            source: track.source.clone(),
            from_second,
            until_second,
            utilisation: if drops > 0.0 { 1.0 } else { share },
            used,
            limit,
            drops,
        }
    }
}

impl Track {
    const fn new(layer: Option<Layer>, source: String) -> Self {
        Self { layer, source, series: BTreeMap::new() }
    }

    fn read(&mut self, at: f64, readings: impl IntoIterator<Item = (Reading, f64)>) {
        for (reading, value) in readings {
            self.series.entry(reading).or_default().push((at, value));
        }
    }

    fn sort(&mut self) {
        self.series.values_mut().for_each(|points| points.sort_by(|one, other| one.0.total_cmp(&other.0)));
    }

    fn points(&self, reading: Reading) -> &[(f64, f64)] {
        self.series.get(&reading).map_or(&[], Vec::as_slice)
    }

    /// Each resource of which something is known in this window. A process that listens also suffers what its `machine` drops there.
    fn shares(&self, machine: Option<&Self>, window: Window) -> Vec<Share> {
        let held = |resource, used, limit| {
            let (used, limit) = (self.most(used, window)?, self.most(limit, window)?);
            Some(Share { resource, used, limit, drops: 0.0 })
        };
        let part =
            |resource, used: Option<f64>| Some(Share { resource, used: used?, limit: 1.0, drops: 0.0 });
        let overflow =
            |resource, drops: Option<f64>| Some(Share { resource, used: 0.0, limit: 0.0, drops: drops? });
        // Whose queue overflowed the machine does not say: one of those who had any to overflow.
        let machine =
            machine.filter(|_| self.most(Reading::AcceptQueue, window).is_some_and(|most| most > 0.0));
        let accept = self.growth(Reading::AcceptDrops, window);
        let accept = accept.or_else(|| machine?.growth(Reading::AcceptDrops, window));
        let found = [
            self.cpu(window),
            part(Resource::Throttled, self.slope(Reading::ThrottledSeconds, window)),
            held(Resource::Memory, Reading::MemoryBytes, Reading::MemoryLimitBytes),
            held(Resource::Descriptors, Reading::Descriptors, Reading::DescriptorLimit),
            part(Resource::Disk, self.mean(Reading::DiskBusy, window)),
            part(Resource::Network, self.mean(Reading::NetworkBusy, window)),
            held(Resource::ConnectionsTracked, Reading::TrackedConnections, Reading::TrackedConnectionLimit),
            overflow(Resource::UdpReceiveBuffer, self.growth(Reading::UdpReceiveDrops, window)),
            overflow(Resource::AcceptQueue, accept),
        ];
        found.into_iter().flatten().collect()
    }

    /// The fuller of all its cores and of its busiest thread's one.
    fn cpu(&self, window: Window) -> Option<Share> {
        let share = |used, limit| Share { resource: Resource::Cpu, used, limit, drops: 0.0 };
        let used = self.mean(Reading::CpuCores, window).or_else(|| self.slope(Reading::CpuSeconds, window));
        let limit = self.mean(Reading::CpuLimitCores, window).filter(|limit| *limit > 0.0);
        let whole = used.zip(limit).map(|(used, limit)| share(used, limit));
        let thread = self.mean(Reading::ThreadCores, window).zip(self.mean(Reading::ThreadBusy, window));
        // What it waited for others it could not have had: that it got `ran` of `ran + waited` makes its core as much smaller.
        let thread = thread.filter(|&(ran, busy)| ran > 0.0 && busy > 0.0);
        let thread = thread.map(|(ran, busy)| share(ran, ran / busy));
        let fuller =
            |one: &Share, other: &Share| (one.used / one.limit).total_cmp(&(other.used / other.limit));
        thread.into_iter().chain(whole).max_by(fuller)
    }

    /// What was read within the window; where that is nothing, the next within a second after it.
    fn values(&self, reading: Reading, window: Window) -> impl Iterator<Item = f64> {
        let points = self.points(reading);
        // A reading tells of the second before it.
        let points = &points[points.partition_point(|(at, _)| *at <= window.from)..];
        let within = points.partition_point(|(at, _)| *at <= window.until).max(1);
        points.iter().take(within).filter(move |(at, _)| *at <= window.until + 1.0).map(|(_, value)| *value)
    }

    fn mean(&self, reading: Reading, window: Window) -> Option<f64> {
        let values: Vec<f64> = self.values(reading, window).collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    }

    fn most(&self, reading: Reading, window: Window) -> Option<f64> {
        self.values(reading, window).max_by(f64::total_cmp)
    }

    /// By how much a counter grew within the window, and over how many of its seconds that is known. Between two samples it grows evenly;
    /// one that falls was started anew.
    fn grown(&self, reading: Reading, window: Window) -> Option<(f64, f64)> {
        let points = self.points(reading);
        // From the last before the window to the first after it.
        let from = points.partition_point(|(at, _)| *at <= window.from).saturating_sub(1);
        let until = points.partition_point(|(at, _)| *at < window.until) + 1;
        let (mut sum, mut covered) = (0.0, 0.0);
        for pair in points[from..until.clamp(from, points.len())].windows(2) {
            let [(begin, before), (end, after)] = [pair[0], pair[1]];
            let overlap = end.min(window.until) - begin.max(window.from);
            if overlap > 0.0 {
                sum += (after - before).max(0.0) * overlap / (end - begin);
                covered += overlap;
            }
        }
        (covered > 0.0).then_some((sum, covered))
    }

    fn growth(&self, reading: Reading, window: Window) -> Option<f64> {
        self.grown(reading, window).map(|(sum, _)| sum)
    }

    fn slope(&self, reading: Reading, window: Window) -> Option<f64> {
        self.grown(reading, window).map(|(sum, covered)| sum / covered)
    }
}

#[cfg(test)]
mod tests;
