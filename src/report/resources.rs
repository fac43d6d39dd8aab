//! What was used beside the load, and how near to its end that came.

use crate::analysis::{MetricsSummary, Pressure, Resource, ResourceSummary, Summary};
use crate::profile::{Layer, Reading};

use super::quantity::{bytes, percent, three_digits};
use super::table::{Align, table};

/// From this part of a resource on it is told how full it was.
const TELLING: f64 = 0.5;

/// What the processes of each layer used, and what became scarce.
pub(super) fn text(summary: &Summary) -> String {
    let mut text = used(&summary.resources);
    for pressure in summary.pressures.iter().filter(|pressure| pressure.utilisation >= TELLING) {
        text += &format!("  {}\n", full(pressure));
    }
    let dropped = dropped(summary);
    if !dropped.is_empty() {
        text += &format!("  this machine: {}\n", dropped.join(", "));
    }
    for read in &summary.metrics {
        text += &format!("  {}\n", metrics(read));
    }
    text
}

fn name(layer: Option<Layer>) -> &'static str {
    layer.map_or("generator", Layer::name)
}

/// Columns of which nothing is known are left out.
fn used(resources: &[ResourceSummary]) -> String {
    if resources.is_empty() {
        return String::new();
    }
    let cpu = |cores: Option<f64>| cores.map_or("-".to_owned(), percent);
    let known = resources.iter().any(|used| used.cpu_limit_cores.is_some());
    let mut head = vec!["", "resources", "processes", "CPU", "CPU peak"];
    head.extend(known.then_some(["of", "one thread"]).into_iter().flatten());
    head.extend(["memory peak", "descriptors peak"]);
    head.extend(known.then_some("UDP drops"));
    let mut rows = vec![head.into_iter().map(str::to_owned).collect::<Vec<_>>()];
    for used in resources {
        let mut row = vec![
            String::new(),
            name(used.layer).to_owned(),
            used.processes.to_string(),
            cpu(used.cpu_cores),
            cpu(used.peak_cpu_cores),
        ];
        row.extend(
            known.then(|| [cpu(used.cpu_limit_cores), cpu(used.peak_thread_cores)]).into_iter().flatten(),
        );
        row.extend([bytes(used.peak_rss_bytes), used.peak_descriptors.to_string()]);
        row.extend(known.then(|| used.udp_drops.map_or("-".to_owned(), |drops| drops.to_string())));
        rows.push(row);
    }
    let columns = [&[Align::Left; 2][..], &[Align::Right; 8]].concat();
    table(&columns, &rows)
}

/// `tracker: CPU 99 %, 0.99 of 1.00 cores, from 20 to 25 s (process 123)`.
fn full(pressure: &Pressure) -> String {
    format!(
        "{}: {}, from {} to {} s ({})",
        name(pressure.layer),
        evidence(pressure),
        pressure.from_second,
        pressure.until_second,
        pressure.source
    )
}

/// `CPU 99 %, 0.99 of 1.00 cores`.
pub(super) fn evidence(pressure: &Pressure) -> String {
    let Pressure { resource, used, limit, drops, utilisation, .. } = pressure;
    let evidence = match resource {
        Resource::Cpu => format!("{} of {} cores", three_digits(*used), three_digits(*limit)),
        Resource::Throttled => format!("{} s a second withheld", three_digits(*used)),
        Resource::Memory => format!("{} of {}", bytes(*used as u64), bytes(*limit as u64)),
        Resource::Descriptors | Resource::ConnectionsTracked => format!("{used:.0} of {limit:.0}"),
        Resource::Disk | Resource::Network => "of its time or speed".to_owned(),
        Resource::UdpReceiveBuffer | Resource::AcceptQueue => format!("{drops:.0} dropped"),
    };
    format!("{} {}, {evidence}", resource.name(), percent(*utilisation))
}

/// What the network stack had to drop or to send again.
fn dropped(summary: &Summary) -> Vec<String> {
    let counters = [
        (Reading::UdpReceiveDrops, "UDP datagrams dropped for full buffers"),
        (Reading::UdpSendErrors, "not sent for full buffers"),
        (Reading::Retransmits, "TCP segments sent again"),
        (Reading::TcpTimeouts, "timers ran out"),
        (Reading::AcceptDrops, "connections dropped for full accept queues"),
    ];
    let counted = |(reading, what): (Reading, &str)| {
        let count = summary.machine.get(&reading).filter(|count| **count > 0.0)?;
        Some(format!("{count:.0} {what}"))
    };
    counters.into_iter().filter_map(counted).collect()
}

fn metrics(read: &MetricsSummary) -> String {
    let trouble = match &read.trouble {
        None => String::new(),
        Some(trouble) => format!(", {} missing or late ({trouble})", read.troubled),
    };
    format!("{}: {}: {} readings{trouble}", name(read.layer), read.source, read.read)
}
