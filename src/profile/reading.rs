//! What is measured of a process, a machine or a server beside its answers, and where it is asked for.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::Layer;

/// One thing that is measured of a process or a machine.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Reading {
    /// CPU time used.
    CpuSeconds,
    /// CPU in use.
    CpuCores,
    /// CPU that may be used: by affinity, control groups or number of cores.
    CpuLimitCores,
    /// CPU of the busiest thread since the reading before.
    ThreadCores,
    /// Share of the time since the reading before in which the busiest thread ran or waited for a core.
    ThreadBusy,
    /// Time for which a control group's quota kept all of it from the CPU.
    ThrottledSeconds,
    /// Threads.
    Threads,
    /// Memory in use.
    MemoryBytes,
    /// Memory that may be used.
    MemoryLimitBytes,
    /// Open descriptors.
    Descriptors,
    /// Descriptors that may be open.
    DescriptorLimit,
    /// Bytes read from disks.
    DiskReadBytes,
    /// Bytes written to disks.
    DiskWrittenBytes,
    /// Share of the time since the reading before in which the busiest disk had work.
    DiskBusy,
    /// Share of its speed that the fullest network interface carried since the reading before, in one direction.
    NetworkBusy,
    /// Packets that network interfaces dropped.
    NetworkDrops,
    /// UDP datagrams that were dropped because a receive buffer was full.
    UdpReceiveDrops,
    /// UDP datagrams that could not be sent for want of buffers.
    UdpSendErrors,
    /// TCP segments that were sent again.
    Retransmits,
    /// Retransmission timers of TCP that ran out.
    TcpTimeouts,
    /// Connections that wait to be accepted.
    AcceptQueue,
    /// Connections that were dropped because an accept queue was full.
    AcceptDrops,
    /// Connections that the firewall keeps track of.
    TrackedConnections,
    /// Connections that it can keep track of.
    TrackedConnectionLimit,
}

impl Reading {
    /// Every reading, with its name in files and what it means there.
    pub const ALL: [(Self, &'static str, &'static str); 24] = [
        (Self::CpuSeconds, "cpu_seconds", "CPU time used; a counter."),
        (Self::CpuCores, "cpu_cores", "CPU in use, in cores."),
        (Self::CpuLimitCores, "cpu_limit_cores", "CPU that may be used, in cores."),
        (Self::ThreadCores, "thread_cores", "CPU of the busiest thread, in cores."),
        (
            Self::ThreadBusy,
            "thread_busy",
            "Share of time in which the busiest thread ran or waited for a core.",
        ),
        (Self::ThrottledSeconds, "throttled_seconds", "Time for which a CPU quota held it back; a counter."),
        (Self::Threads, "threads", "Threads."),
        (Self::MemoryBytes, "memory_bytes", "Memory in use."),
        (Self::MemoryLimitBytes, "memory_limit_bytes", "Memory that may be used."),
        (Self::Descriptors, "descriptors", "Open descriptors."),
        (Self::DescriptorLimit, "descriptor_limit", "Descriptors that may be open."),
        (Self::DiskReadBytes, "disk_read_bytes", "Bytes read from disks; a counter."),
        (Self::DiskWrittenBytes, "disk_written_bytes", "Bytes written to disks; a counter."),
        (Self::DiskBusy, "disk_busy", "Share of time in which the busiest disk had work."),
        (Self::NetworkBusy, "network_busy", "Share of its speed that the fullest network interface carries."),
        (Self::NetworkDrops, "network_drops", "Packets that network interfaces dropped; a counter."),
        (
            Self::UdpReceiveDrops,
            "udp_receive_drops",
            "UDP datagrams dropped for full receive buffers; a counter.",
        ),
        (Self::UdpSendErrors, "udp_send_errors", "UDP datagrams not sent for want of buffers; a counter."),
        (Self::Retransmits, "retransmits", "TCP segments sent again; a counter."),
        (Self::TcpTimeouts, "tcp_timeouts", "Retransmission timers of TCP that ran out; a counter."),
        (Self::AcceptQueue, "accept_queue", "Connections that wait to be accepted."),
        (Self::AcceptDrops, "accept_drops", "Connections dropped for full accept queues; a counter."),
        (Self::TrackedConnections, "tracked_connections", "Connections that the firewall keeps track of."),
        (Self::TrackedConnectionLimit, "tracked_connection_limit", "Connections that it can keep track of."),
    ];

    /// Its name in files.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.into_iter().find(|(reading, ..)| *reading == self).map_or("", |(_, name, _)| name)
    }

    /// Whether it only grows, so that its slope is what matters.
    #[must_use]
    pub const fn is_counter(self) -> bool {
        matches!(
            self,
            Self::CpuSeconds
                | Self::ThrottledSeconds
                | Self::DiskReadBytes
                | Self::DiskWrittenBytes
                | Self::NetworkDrops
                | Self::UdpReceiveDrops
                | Self::UdpSendErrors
                | Self::Retransmits
                | Self::TcpTimeouts
                | Self::AcceptDrops
        )
    }
}

/// Values of readings.
pub type Readings = BTreeMap<Reading, f64>;

/// Where metrics of a layer are read while it is under load.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricsEndpoint {
    /// The layer that they tell of.
    pub layer: Layer,
    /// Where it listens; plain HTTP.
    pub address: SocketAddr,
    /// Path of the page of metrics; of a Prometheus server what its API stands under.
    pub path: String,
    /// Whether it is a Prometheus server, which is asked queries, and no page of metrics.
    pub prometheus: bool,
    /// What is read beyond the names that are known.
    pub series: BTreeMap<Reading, Series>,
}

impl MetricsEndpoint {
    /// How reports call it.
    #[must_use]
    pub fn name(&self) -> String {
        format!("http://{}{}", self.address, self.path)
    }
}

/// Where the value of a reading comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum Series {
    /// It never changes.
    Constant(f64),
    /// The sum of the series of this name that have all of these labels.
    Named {
        /// The metric.
        name: String,
        /// Labels, and what they hold.
        labels: Vec<(String, String)>,
    },
    /// What this query of a Prometheus server gives.
    Query(String),
}
