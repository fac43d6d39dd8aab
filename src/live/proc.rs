//! What processes use: the target's local ones, and the generator itself.

use procfs::process::Process;

use crate::profile::{Layer, Target};

/// What one process had used up when it was looked at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ResourceSample {
    /// The layer that the process serves; `None` for the generator.
    pub layer: Option<Layer>,
    /// Process id.
    pub pid: u32,
    /// CPU time since it began, user and system, in seconds; waited-for children are not in it.
    pub cpu_seconds: f64,
    /// Resident memory, in bytes.
    pub rss_bytes: u64,
    /// Open descriptors; 0 where the process is another user's.
    pub descriptors: u64,
}

/// Looks at the processes of a target and at the generator.
#[derive(Clone, Debug)]
pub struct Sampler {
    processes: Vec<(Option<Layer>, u32)>,
}

impl Sampler {
    /// A sampler for the target's local processes and for this one.
    #[must_use]
    pub fn new(target: &Target) -> Self {
        let own = (None, std::process::id());
        let theirs = target.processes.iter().map(|process| (Some(process.layer), process.pid));
        Self { processes: std::iter::once(own).chain(theirs).collect() }
    }

    /// One sample for each process that is still there; the generator first.
    #[must_use]
    pub fn sample(&self) -> Vec<ResourceSample> {
        self.processes.iter().filter_map(|&(layer, pid)| sample(layer, pid)).collect()
    }
}

fn sample(layer: Option<Layer>, pid: u32) -> Option<ResourceSample> {
    let process = Process::new(i32::try_from(pid).ok()?).ok()?;
    let stat = process.stat().ok()?;
    let ticks = procfs::ticks_per_second() as f64;
    Some(ResourceSample {
        layer,
        pid,
        cpu_seconds: (stat.utime + stat.stime) as f64 / ticks,
        rss_bytes: stat.rss.saturating_mul(procfs::page_size()),
        descriptors: process.fd_count().unwrap_or(0) as u64,
    })
}

#[cfg(test)]
mod tests {
    use super::super::fixture::target;
    use super::*;

    #[test]
    fn the_generator_is_seen_and_a_missing_process_is_left_out() {
        let mut target = target("127.0.0.1:1".parse().unwrap());
        let gone = crate::profile::Process { layer: Layer::Tracker, pid: u32::MAX };
        let own = crate::profile::Process { layer: Layer::Seedbox, pid: std::process::id() };
        target.processes = vec![gone, own];
        let sampler = Sampler::new(&target);
        let before = sampler.sample();
        assert_eq!(before.iter().map(|it| it.layer).collect::<Vec<_>>(), [None, Some(Layer::Seedbox)]);
        assert!(before[0].rss_bytes > 1 << 20 && before[0].descriptors >= 3);
        let held: Vec<_> = (0..50).map(|_| std::fs::File::open("/proc/self/stat").unwrap()).collect();
        let mut sum = 0_u64;
        while sampler.sample()[0].cpu_seconds <= before[0].cpu_seconds {
            sum = (0..1_000_000_u64).fold(sum, |sum, n| sum ^ n.wrapping_mul(sum | 1));
        }
        assert!(sampler.sample()[0].descriptors >= held.len() as u64, "{sum}");
    }
}
