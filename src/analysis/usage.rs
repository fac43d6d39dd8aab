//! What processes used.

use std::collections::{BTreeMap, BTreeSet};

use crate::profile::Layer;
use crate::record::Resources;

use super::flow::WINDOW;
use super::summary::ResourceSummary;

/// What the processes of each layer used over a recording of `seconds`; the generator (no layer) first.
pub(super) fn usage(samples: &[Resources], seconds: u64) -> Vec<ResourceSummary> {
    let mut layers: BTreeMap<Option<Layer>, Vec<&Resources>> = BTreeMap::new();
    for sample in samples.iter().filter(|sample| sample.second <= seconds) {
        layers.entry(sample.layer).or_default().push(sample);
    }
    layers.into_iter().map(|(layer, samples)| summarise(layer, &samples)).collect()
}

fn summarise(layer: Option<Layer>, samples: &[&Resources]) -> ResourceSummary {
    let cores = cores_by_second(samples);
    let mean = |cores: &[f64]| cores.iter().sum::<f64>() / cores.len() as f64;
    let cpu_cores = (!cores.is_empty()).then(|| mean(&cores));
    let highest = |what: fn(&Resources) -> u64| {
        let mut sums: BTreeMap<u64, u64> = BTreeMap::new();
        samples.iter().for_each(|sample| *sums.entry(sample.second).or_default() += what(sample));
        sums.into_values().max().unwrap_or(0)
    };
    ResourceSummary {
        layer,
        processes: samples.iter().map(|sample| sample.pid).collect::<BTreeSet<_>>().len(),
        cpu_cores,
        peak_cpu_cores: cpu_cores.map(|all| cores.windows(WINDOW).map(mean).fold(all, f64::max)),
        peak_rss_bytes: highest(|sample| sample.rss_bytes),
        peak_descriptors: highest(|sample| sample.descriptors),
    }
}

/// Cores in use, second by second between the first and the last sample: CPU time is spread evenly between two samples of a process.
fn cores_by_second(samples: &[&Resources]) -> Vec<f64> {
    let mut processes: BTreeMap<u32, Vec<(u64, f64)>> = BTreeMap::new();
    for sample in samples {
        processes.entry(sample.pid).or_default().push((sample.second, sample.cpu_seconds));
    }
    let mut cores: BTreeMap<u64, f64> = BTreeMap::new();
    for used in processes.values() {
        for pair in used.windows(2) {
            let [(from, before), (until, after)] = [pair[0], pair[1]];
            let rate = (after - before).max(0.0) / until.saturating_sub(from).max(1) as f64;
            (from..until).for_each(|second| *cores.entry(second).or_default() += rate);
        }
    }
    cores.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_add_up_over_processes_and_peaks_are_found() {
        let sample = |second, pid, cpu_seconds, rss_bytes| Resources {
            second,
            layer: Some(Layer::Index),
            pid,
            cpu_seconds,
            rss_bytes,
            descriptors: 5,
        };
        // Process 1 uses half a core for 10 s, then a whole one for 10 s; process 2 a quarter throughout, sampled every 2 s.
        let one = (0..=20).map(|s| sample(s, 1, (s.min(10) as f64) * 0.5 + s.saturating_sub(10) as f64, 100));
        let two = (0..=10).map(|s| sample(s * 2, 2, 3.0 + s as f64 * 0.5, 50));
        let samples: Vec<_> = one.chain(two).collect();
        let used = &usage(&samples, 20)[0];
        assert_eq!((used.processes, used.peak_rss_bytes, used.peak_descriptors), (2, 150, 10));
        let [mean, peak] = [used.cpu_cores, used.peak_cpu_cores].map(Option::unwrap);
        assert!((mean - 1.0).abs() < 1e-9 && (peak - 1.25).abs() < 1e-9, "{mean} {peak}");
        let once = &usage(&samples[..1], 20)[0];
        assert_eq!((once.cpu_cores, once.peak_cpu_cores, once.peak_rss_bytes), (None, None, 100));
    }
}
