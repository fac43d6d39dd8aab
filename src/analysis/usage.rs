//! What processes used.

use std::collections::{BTreeMap, BTreeSet};

use crate::profile::{Layer, Reading};
use crate::record::{Metrics, Resources};

use super::flow::WINDOW;
use super::summary::{MetricsSummary, ResourceSummary};

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
    let cpu_cores = (!cores.is_empty()).then(|| cores.iter().sum::<f64>() / cores.len() as f64);
    let of = |reading| {
        samples.iter().filter_map(move |sample| Some((sample.pid, *sample.readings.get(&reading)?)))
    };
    let highest = |what: fn(&Resources) -> u64| {
        let mut sums: BTreeMap<u64, u64> = BTreeMap::new();
        samples.iter().for_each(|sample| *sums.entry(sample.second).or_default() += what(sample));
        sums.into_values().max().unwrap_or(0)
    };
    ResourceSummary {
        layer,
        processes: samples.iter().map(|sample| sample.pid).collect::<BTreeSet<_>>().len(),
        cpu_cores,
        peak_cpu_cores: highest_mean(&cores),
        peak_rss_bytes: highest(|sample| sample.rss_bytes),
        peak_descriptors: highest(|sample| sample.descriptors),
        peak_thread_cores: match layer {
            None => peak_worker_cores(samples),
            Some(_) => peak_thread_cores(samples),
        },
        cpu_limit_cores: of(Reading::CpuLimitCores)
            .max_by(|(_, one), (_, other)| one.total_cmp(other))
            .map(|(_, most)| most),
        udp_drops: udp_drops(of(Reading::UdpReceiveDrops)),
    }
}

/// Cores of the busiest worker in its busiest 5 s.
fn peak_worker_cores(samples: &[&Resources]) -> Option<f64> {
    let workers = samples.iter().map(|sample| sample.worker_cpu_seconds.len()).max().unwrap_or(0);
    let peak = |worker: usize| {
        let used = samples.iter().filter_map(|sample| {
            let used = *sample.worker_cpu_seconds.get(worker)?;
            Some((sample.pid, sample.at_seconds.unwrap_or(sample.second as f64), used))
        });
        let used: Vec<(u32, f64, f64)> = used.collect();
        let pairs = used.windows(2).filter(|pair| pair[0].0 == pair[1].0 && pair[1].1 > pair[0].1);
        let cores: Vec<f64> =
            pairs.map(|pair| ((pair[1].2 - pair[0].2) / (pair[1].1 - pair[0].1)).max(0.0)).collect();
        highest_mean(&cores)
    };
    (0..workers).filter_map(peak).max_by(f64::total_cmp)
}

/// Cores of the busiest thread of a process in its busiest 5 s.
fn peak_thread_cores(samples: &[&Resources]) -> Option<f64> {
    let mut processes: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
    for sample in samples {
        let cores = sample.readings.get(&Reading::ThreadCores);
        processes.entry(sample.pid).or_default().extend(cores);
    }
    processes.into_values().filter_map(|cores| highest_mean(&cores)).max_by(f64::total_cmp)
}

/// The highest mean of 5 s; of all of them where they are fewer.
fn highest_mean(cores: &[f64]) -> Option<f64> {
    let mean = |cores: &[f64]| cores.iter().sum::<f64>() / cores.len() as f64;
    let all = (!cores.is_empty()).then(|| mean(cores))?;
    Some(cores.windows(WINDOW).map(mean).fold(all, f64::max))
}

/// By how much the drops of processes grew; each had some before. A counter that falls is another socket's.
fn udp_drops(samples: impl Iterator<Item = (u32, f64)>) -> Option<u64> {
    let mut last: BTreeMap<u32, f64> = BTreeMap::new();
    let mut sum = None;
    for (pid, now) in samples {
        let before = last.insert(pid, now).unwrap_or(now);
        *sum.get_or_insert(0.0) += (now - before).max(0.0);
    }
    sum.map(|sum: f64| sum as u64)
}

/// What came of reading metrics of the target, place by place.
pub(super) fn metrics(read: &[Metrics]) -> Vec<MetricsSummary> {
    let mut places: BTreeMap<(Option<Layer>, &str), MetricsSummary> = BTreeMap::new();
    for read in read.iter().filter(|read| read.source != Metrics::MACHINE) {
        let (layer, source) = (read.layer, read.source.clone());
        let place = places.entry((layer, &read.source)).or_insert_with(|| MetricsSummary {
            layer,
            source,
            read: 0,
            troubled: 0,
            trouble: None,
        });
        place.read += u64::from(!read.readings.is_empty());
        if let Some(trouble) = &read.trouble {
            place.troubled += 1;
            place.trouble = Some(trouble.clone());
        }
    }
    places.into_values().collect()
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
            ..Resources::default()
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
