//! What processes use and what they may use: the target's local ones, and the generator itself; and what the machine drops.

mod machine;
mod sockets;

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::time::Instant;

use procfs::process::{LimitValue, Process};
use procfs::{Current, Meminfo};

use crate::profile::{Layer, Reading, Readings, Target};

use super::groups::Groups;
use sockets::Sockets;

/// What one process had used up when it was looked at.
#[derive(Clone, Debug, PartialEq)]
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
    /// CPU time of each worker thread of the generator, in seconds; empty for other processes.
    pub worker_cpu_seconds: Vec<f64>,
    /// What else is known of it.
    pub readings: Readings,
}

/// Looks at the processes of a target and at the generator.
#[derive(Debug)]
pub struct Sampler {
    processes: Vec<Watched>,
}

/// Threads of a process that are looked at.
const MOST_THREADS: usize = 256;
/// Samples after which it is looked anew what a process may use, and which sockets it has.
const LOOK_ANEW: u32 = 5;

impl Sampler {
    /// A sampler for the target's local processes and for this one.
    #[must_use]
    pub fn new(target: &Target) -> Self {
        let own = (None, std::process::id());
        let theirs = target.processes.iter().map(|process| (Some(process.layer), process.pid));
        Self { processes: std::iter::once(own).chain(theirs).map(Watched::new).collect() }
    }

    /// One sample for each process that is still there; the generator first.
    #[must_use]
    pub fn sample(&mut self) -> Vec<ResourceSample> {
        // By network namespace: most often all are in one.
        let mut sockets: HashMap<PathBuf, Sockets> = HashMap::new();
        let available = Meminfo::current().ok().and_then(|memory| memory.mem_available);
        self.processes.iter_mut().filter_map(|process| process.sample(available, &mut sockets)).collect()
    }

    /// What the network stack counted so far, in the generator's network namespace.
    #[must_use]
    pub fn machine(&self) -> Readings {
        machine::readings()
    }
}

/// A process, and what was seen of it before.
#[derive(Debug)]
struct Watched {
    layer: Option<Layer>,
    pid: u32,
    threads: HashMap<i32, Thread>,
    /// When these were looked at.
    looked: Option<Instant>,
    standing: Standing,
    samples: u32,
}

/// What seldom changes of a process.
#[derive(Debug, Default)]
struct Standing {
    groups: Groups,
    /// Of its sockets.
    inodes: BTreeSet<u64>,
    /// What it may use.
    limits: Readings,
}

impl Standing {
    fn of(process: &Process, pid: u32) -> Self {
        let groups = Groups::of(process);
        let cores = process.status().ok().and_then(|status| status.cpus_allowed);
        let cores = cores.map(|mask| mask.iter().map(|word| f64::from(word.count_ones())).sum::<f64>());
        let files = process.limits().ok().map(|limits| limits.max_open_files.soft_limit);
        let files = files.and_then(|limit| match limit {
            LimitValue::Value(limit) => Some(limit as f64),
            LimitValue::Unlimited => None,
        });
        let cores = cores.into_iter().chain(groups.quota()).min_by(f64::total_cmp);
        let limits = [(Reading::CpuLimitCores, cores), (Reading::DescriptorLimit, files)];
        let limits = limits.into_iter().filter_map(|(reading, value)| Some((reading, value?))).collect();
        Self { groups, inodes: sockets::inodes(pid), limits }
    }

    /// What else may be used of, and was used. `available` is the machine's memory.
    fn readings(&self, process: &Process, rss_bytes: u64, available: Option<u64>) -> Readings {
        let io = process.io().ok();
        let left = available.into_iter().chain(self.groups.memory()).min();
        let read = [
            (Reading::ThrottledSeconds, self.groups.throttled()),
            // What it has, and what it could have beside that.
            (Reading::MemoryLimitBytes, left.map(|left| (rss_bytes + left) as f64)),
            (Reading::DiskReadBytes, io.map(|io| io.read_bytes as f64)),
            (Reading::DiskWrittenBytes, io.map(|io| io.write_bytes as f64)),
        ];
        let read = read.into_iter().filter_map(|(reading, value)| Some((reading, value?)));
        self.limits.clone().into_iter().chain(read).collect()
    }
}

/// Time of a thread, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Thread {
    ran: f64,
    /// Ready to run while others did.
    waited: f64,
}

impl Watched {
    fn new((layer, pid): (Option<Layer>, u32)) -> Self {
        let (threads, standing) = (HashMap::new(), Standing::default());
        Self { layer, pid, threads, looked: None, standing, samples: 0 }
    }

    fn sample(
        &mut self,
        available: Option<u64>,
        sockets: &mut HashMap<PathBuf, Sockets>,
    ) -> Option<ResourceSample> {
        let process = Process::new(i32::try_from(self.pid).ok()?).ok()?;
        let stat = process.stat().ok()?;
        let rss_bytes = stat.rss.saturating_mul(procfs::page_size());
        if self.samples.is_multiple_of(LOOK_ANEW) {
            self.standing = Standing::of(&process, self.pid);
        }
        self.samples += 1;
        let mut readings = self.standing.readings(&process, rss_bytes, available);
        readings.insert(Reading::Threads, stat.num_threads as f64);
        let descriptors = process.fd_count().ok();
        if descriptors.is_none() {
            // How many there are of them is not known, and that is not none.
            readings.remove(&Reading::DescriptorLimit);
        }
        let worker_cpu_seconds = self.look_at_threads(&process, &mut readings);
        if let Ok(namespace) = std::fs::read_link(format!("/proc/{}/ns/net", self.pid)) {
            let sockets = sockets.entry(namespace).or_insert_with(|| Sockets::of(self.pid));
            sockets.note(&self.standing.inodes, &mut readings);
        }
        Some(ResourceSample {
            layer: self.layer,
            pid: self.pid,
            cpu_seconds: (stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64,
            rss_bytes,
            descriptors: descriptors.unwrap_or(0) as u64,
            worker_cpu_seconds,
            readings,
        })
    }

    /// Notes what the busiest thread did since the sample before; gives the CPU time of each worker of the generator.
    fn look_at_threads(&mut self, process: &Process, readings: &mut Readings) -> Vec<f64> {
        let now = Instant::now();
        let elapsed = self.looked.replace(now).map(|before| (now - before).as_secs_f64());
        let mut threads = HashMap::new();
        let mut workers = Vec::new();
        for task in process.tasks().into_iter().flatten().take(MOST_THREADS).filter_map(Result::ok) {
            // Absent where the kernel was built without it.
            let Ok(times) = task.schedstat() else { continue };
            let [ran, waited] = [times.sum_exec_runtime, times.run_delay].map(|time| time as f64 / 1e9);
            threads.insert(task.tid, Thread { ran, waited });
            if self.layer.is_none()
                && let Some(number) = task.stat().ok().and_then(|stat| worker(&stat.comm))
            {
                workers.push((number, ran));
            }
        }
        let known = threads.iter().filter_map(|(tid, now)| Some((self.threads.get(tid)?, now)));
        let spans = known.map(|(before, now)| (now.ran - before.ran, now.waited - before.waited));
        let busiest = spans.max_by(|(ran, waited), other| (ran + waited).total_cmp(&(other.0 + other.1)));
        if let (Some((ran, waited)), Some(elapsed)) = (busiest, elapsed.filter(|&elapsed| elapsed > 0.0)) {
            readings.insert(Reading::ThreadCores, (ran / elapsed).clamp(0.0, 1.0));
            readings.insert(Reading::ThreadBusy, ((ran + waited) / elapsed).clamp(0.0, 1.0));
        }
        self.threads = threads;
        workers.sort_by_key(|&(number, _)| number);
        workers.into_iter().map(|(_, ran)| ran).collect()
    }
}

/// The number of a worker, by the name that `commands` gives its thread.
fn worker(name: &str) -> Option<u32> {
    name.strip_prefix("worker-")?.parse().ok()
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
        let mut sampler = Sampler::new(&target);
        let before = sampler.sample();
        assert_eq!(before.iter().map(|it| it.layer).collect::<Vec<_>>(), [None, Some(Layer::Seedbox)]);
        assert!(before[0].rss_bytes > 1 << 20 && before[0].descriptors >= 3);
        let held: Vec<_> = (0..50).map(|_| std::fs::File::open("/proc/self/stat").unwrap()).collect();
        let mut sum = 0_u64;
        while sampler.sample()[0].cpu_seconds <= before[0].cpu_seconds {
            sum = (0..1_000_000_u64).fold(sum, |sum, n| sum ^ n.wrapping_mul(sum | 1));
        }
        let after = sampler.sample();
        assert!(after[0].descriptors >= held.len() as u64, "{sum}");
        let readings = &after[1].readings;
        let [cores, files, busy, threads] =
            [Reading::CpuLimitCores, Reading::DescriptorLimit, Reading::ThreadBusy, Reading::Threads]
                .map(|reading| readings[&reading]);
        assert!(cores > 0.0 && files > 50.0 && threads >= 1.0 && (0.0..=1.0).contains(&busy), "{readings:?}");
        assert!(readings[&Reading::MemoryLimitBytes] > after[1].rss_bytes as f64);
        assert!(readings[&Reading::ThreadCores] <= busy);
    }

    #[test]
    fn a_busy_worker_is_told_from_an_idle_one() {
        let mut sampler = Sampler::new(&target("127.0.0.1:1".parse().unwrap()));
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let busy = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
        let spin = std::sync::Arc::clone(&busy);
        let spawn = |name: &str, body: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new().name(name.to_owned()).spawn(body).unwrap()
        };
        let idle = spawn(
            "worker-900",
            Box::new(move || {
                let _ = stopped.recv();
            }),
        );
        let busy_one =
            spawn("worker-901", Box::new(move || while spin.load(std::sync::atomic::Ordering::Relaxed) {}));
        // Other tests of this process may have workers too; these come last.
        let cpu = |sampler: &mut Sampler| match sampler.sample()[0].worker_cpu_seconds[..] {
            [.., idle, busy] => Some([idle, busy]),
            _ => None,
        };
        let begin = Instant::now();
        let seen = loop {
            match cpu(&mut sampler) {
                Some([idle, busy]) if busy > idle + 0.1 => break [idle, busy],
                seen => assert!(begin.elapsed().as_secs() < 20, "{seen:?}"),
            }
        };
        busy.store(false, std::sync::atomic::Ordering::Relaxed);
        drop(stop);
        idle.join().unwrap();
        busy_one.join().unwrap();
        assert!(seen[0] < 0.05, "{seen:?}");
        assert_eq!(["worker-12", "worker-", "sampler", "worker-x"].map(worker), [Some(12), None, None, None]);
    }
}
