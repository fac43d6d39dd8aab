//! What a page of metrics says of a machine or a process: by names that are known, and by those that the profile gives.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::profile::{Reading, Readings, Series};

use super::exposition::{Sample, samples};

/// Series of node_exporter that are read as they are, summed over devices.
const NODE: [(&str, Reading); 15] = [
    ("node_memory_MemTotal_bytes", Reading::MemoryLimitBytes),
    ("node_filefd_allocated", Reading::Descriptors),
    ("node_filefd_maximum", Reading::DescriptorLimit),
    ("node_disk_read_bytes_total", Reading::DiskReadBytes),
    ("node_disk_written_bytes_total", Reading::DiskWrittenBytes),
    ("node_network_receive_drop_total", Reading::NetworkDrops),
    ("node_network_transmit_drop_total", Reading::NetworkDrops),
    ("node_netstat_Udp_RcvbufErrors", Reading::UdpReceiveDrops),
    ("node_netstat_Udp6_RcvbufErrors", Reading::UdpReceiveDrops),
    ("node_netstat_Udp_SndbufErrors", Reading::UdpSendErrors),
    ("node_netstat_Tcp_RetransSegs", Reading::Retransmits),
    ("node_netstat_TcpExt_TCPTimeouts", Reading::TcpTimeouts),
    ("node_netstat_TcpExt_ListenOverflows", Reading::AcceptDrops),
    ("node_nf_conntrack_entries", Reading::TrackedConnections),
    ("node_nf_conntrack_entries_limit", Reading::TrackedConnectionLimit),
];

/// Series that the client libraries of Prometheus give of the process that they are in.
const PROCESS: [(&str, Reading); 5] = [
    ("process_cpu_seconds_total", Reading::CpuSeconds),
    ("go_sched_gomaxprocs_threads", Reading::CpuLimitCores),
    ("process_resident_memory_bytes", Reading::MemoryBytes),
    ("process_open_fds", Reading::Descriptors),
    ("process_max_fds", Reading::DescriptorLimit),
];

/// Counters of single devices, whose fullest one matters.
const DISK_TIME: &str = "node_disk_io_time_seconds_total";
const RECEIVED: &str = "node_network_receive_bytes_total";
const SENT: &str = "node_network_transmit_bytes_total";
const SPEED: &str = "node_network_speed_bytes";

/// Reads one endpoint's pages, one after the other.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// Counters of devices, as of the page before.
    before: Option<(f64, Devices)>,
}

/// By series and device.
type Devices = HashMap<(&'static str, String), f64>;

/// What one page came to.
#[derive(Debug, Default)]
struct Sums {
    node: Readings,
    process: Readings,
    cores: BTreeSet<String>,
    available: Option<f64>,
    devices: Devices,
    named: Readings,
}

impl Reader {
    /// What a page says that came at this second; `series` are those that the profile names. With it, what is missing.
    pub(super) fn read(
        &mut self,
        page: &str,
        at_seconds: f64,
        series: &BTreeMap<Reading, Series>,
    ) -> (Readings, Option<String>) {
        let mut sums = Sums::default();
        for sample in samples(page).filter(|sample| sample.value.is_finite()) {
            sums.add(&sample);
            sums.add_named(&sample, series);
        }
        let busy = self.busy(at_seconds, sums.devices);
        // An exporter tells of itself too, which is not what it stands there for.
        let mut readings = if sums.node.is_empty() { sums.process } else { sums.node };
        if !sums.cores.is_empty() {
            readings.insert(Reading::CpuLimitCores, sums.cores.len() as f64);
        }
        let total = readings.get(&Reading::MemoryLimitBytes).copied();
        if let (Some(total), Some(available)) = (total, sums.available) {
            readings.insert(Reading::MemoryBytes, total - available);
        }
        readings.extend(busy);
        readings.extend(sums.named);
        // -1 and 0 say that there is none, or that it is not known.
        let limits = [Reading::DescriptorLimit, Reading::MemoryLimitBytes, Reading::TrackedConnectionLimit];
        readings.retain(|reading, value| value.is_finite() && (!limits.contains(reading) || *value > 0.0));
        let lacking = series.keys().find(|reading| !readings.contains_key(reading));
        let trouble = match lacking {
            _ if readings.is_empty() => Some("none of its series is known".to_owned()),
            Some(lacking) => Some(format!("no series for {}", lacking.name())),
            None => None,
        };
        (readings, trouble)
    }

    /// How busy the busiest devices were since the page before.
    fn busy(&mut self, at_seconds: f64, devices: Devices) -> Readings {
        let mut readings = Readings::new();
        if let Some((before_seconds, before)) = &self.before
            && at_seconds > *before_seconds
        {
            for ((series, device), now) in &devices {
                let key = (*series, device.clone());
                let Some(grown) = before.get(&key).map(|before| now - before) else { continue };
                let rate = grown / (at_seconds - before_seconds);
                let speed = || devices.get(&(SPEED, device.clone())).filter(|speed| **speed > 0.0);
                let (reading, share) = match *series {
                    DISK_TIME => (Reading::DiskBusy, Some(rate)),
                    RECEIVED | SENT => (Reading::NetworkBusy, speed().map(|speed| rate / speed)),
                    _ => continue,
                };
                if let Some(share) = share {
                    let busiest = readings.entry(reading).or_insert(0.0);
                    *busiest = busiest.max(share.clamp(0.0, 1.0));
                }
            }
        }
        self.before = Some((at_seconds, devices));
        readings
    }
}

impl Sums {
    fn add(&mut self, sample: &Sample<'_>) {
        let find = |table: &[(&str, Reading)]| {
            table.iter().find(|(name, _)| *name == sample.name).map(|&(_, reading)| reading)
        };
        if let Some(reading) = find(&PROCESS) {
            *self.process.entry(reading).or_default() += sample.value;
        } else if let Some(reading) = find(&NODE) {
            *self.node.entry(reading).or_default() += sample.value;
        } else if sample.name == "node_memory_MemAvailable_bytes" {
            self.available = Some(sample.value);
        } else if sample.name == "node_cpu_seconds_total" {
            let idle = matches!(sample.label("mode"), Some("idle" | "iowait"));
            *self.node.entry(Reading::CpuSeconds).or_default() += if idle { 0.0 } else { sample.value };
            self.cores.extend(sample.label("cpu").map(str::to_owned));
        } else if let Some(series) =
            [DISK_TIME, RECEIVED, SENT, SPEED].into_iter().find(|it| *it == sample.name)
            && let Some(device) = sample.label("device")
        {
            self.devices.insert((series, device.to_owned()), sample.value);
        }
    }

    fn add_named(&mut self, sample: &Sample<'_>, series: &BTreeMap<Reading, Series>) {
        for (reading, series) in series {
            let value = match series {
                Series::Constant(value) => {
                    self.named.insert(*reading, *value);
                    continue;
                }
                Series::Named { name, labels } if name == sample.name => {
                    let fits = |(label, value): &(String, String)| sample.label(label) == Some(value);
                    labels.iter().all(fits).then_some(sample.value)
                }
                Series::Named { .. } | Series::Query(_) => None,
            };
            if let Some(value) = value {
                *self.named.entry(*reading).or_default() += value;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE_PAGE: &str = r#"
process_cpu_seconds_total 99
node_cpu_seconds_total{cpu="0",mode="idle"} 100
node_cpu_seconds_total{cpu="0",mode="user"} 10
node_cpu_seconds_total{cpu="0",mode="iowait"} 7
node_cpu_seconds_total{cpu="1",mode="system"} 5.5
node_memory_MemTotal_bytes 1000
node_memory_MemAvailable_bytes 400
node_filefd_allocated 60
node_filefd_maximum 9.2e+18
node_disk_io_time_seconds_total{device="sda"} 10
node_disk_io_time_seconds_total{device="sdb"} 20
node_network_receive_bytes_total{device="eth0"} 1000
node_network_transmit_bytes_total{device="eth0"} 0
node_network_receive_bytes_total{device="lo"} 0
node_network_speed_bytes{device="eth0"} 1000
node_netstat_Udp_RcvbufErrors 3
node_netstat_Udp6_RcvbufErrors 4
node_netstat_TcpExt_ListenOverflows 2
node_nf_conntrack_entries 5
node_nf_conntrack_entries_limit 10
"#;

    #[test]
    fn node_exporter_is_known_by_its_names() {
        let mut reader = Reader::default();
        let (first, trouble) = reader.read(NODE_PAGE, 1.0, &BTreeMap::new());
        assert_eq!(trouble, None);
        let expected = [
            (Reading::CpuSeconds, 15.5),
            (Reading::CpuLimitCores, 2.0),
            (Reading::MemoryBytes, 600.0),
            (Reading::MemoryLimitBytes, 1000.0),
            (Reading::Descriptors, 60.0),
            (Reading::DescriptorLimit, 9.2e18),
            (Reading::UdpReceiveDrops, 7.0),
            (Reading::AcceptDrops, 2.0),
            (Reading::TrackedConnections, 5.0),
            (Reading::TrackedConnectionLimit, 10.0),
        ];
        assert_eq!(first, expected.into());
        let later = NODE_PAGE
            .replace("{device=\"sdb\"} 20", "{device=\"sdb\"} 21.5")
            .replace("{device=\"eth0\"} 0", "{device=\"eth0\"} 500")
            .replace("{device=\"lo\"} 0", "{device=\"lo\"} 9e9");
        let (second, _) = reader.read(&later, 3.0, &BTreeMap::new());
        assert_eq!(second[&Reading::DiskBusy], 0.75);
        assert_eq!(second[&Reading::NetworkBusy], 0.25, "lo has no speed");
    }

    #[test]
    fn process_metrics_and_named_series_are_read() {
        let page = "process_cpu_seconds_total 4\nprocess_open_fds 9\nprocess_max_fds -1\ngo_sched_gomaxprocs_threads 2\n\
            busy{job=\"a\",x=\"1\"} 1\nbusy{job=\"a\",x=\"2\"} 2\nbusy{job=\"b\"} 4\nbusy NaN\n";
        let named =
            Series::Named { name: "busy".to_owned(), labels: vec![("job".to_owned(), "a".to_owned())] };
        let absent = Series::Named { name: "absent".to_owned(), labels: Vec::new() };
        let mut series = BTreeMap::from([
            (Reading::CpuSeconds, named),
            (Reading::MemoryLimitBytes, Series::Constant(8.0)),
        ]);
        let expected = [
            (Reading::CpuSeconds, 3.0),
            (Reading::CpuLimitCores, 2.0),
            (Reading::Descriptors, 9.0),
            (Reading::MemoryLimitBytes, 8.0),
        ];
        assert_eq!(Reader::default().read(page, 0.0, &series), (expected.into(), None));
        series.insert(Reading::Threads, absent);
        let (readings, trouble) = Reader::default().read(page, 0.0, &series);
        assert_eq!((readings, trouble.as_deref()), (expected.into(), Some("no series for threads")));
        let (readings, trouble) = Reader::default().read("<html>", 0.0, &BTreeMap::new());
        assert_eq!((readings.len(), trouble.as_deref()), (0, Some("none of its series is known")));
    }
}
