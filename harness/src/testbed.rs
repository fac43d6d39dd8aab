//! Starting and stopping the whole fleet.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::content::{self, Content};
use crate::dag::Dag;
use crate::error::TestbedError;
use crate::front::{self, Front};
use crate::layer::Layer;
use crate::layers::{DhtAssignment, IndexAssignment, IndexItem, MetadataAssignment, SeedboxAssignment};
use crate::process::Process;
use crate::profile::{self, Fleet, Offer};
use crate::torrent::Torrent;

/// How long the whole fleet may take to be ready. On an idle machine it takes about a second.
const START: Duration = Duration::from_secs(30);
/// How long the layers may take to end by themselves.
const STOP: Duration = Duration::from_secs(2);
/// Nodes of the DHT: more than one bucket (K = 8) and more than one step of a lookup, few enough to be threads of one process.
const DHT_NODES: usize = 24;

/// What kind of fleet to start.
#[derive(Clone, Debug)]
pub struct Options {
    /// The program that calls [`layer_main`](crate::layer_main) on [`SUBCOMMAND`](crate::SUBCOMMAND): as a rule this very one.
    pub program: PathBuf,
    /// What the fleet offers. All of it is hashed twice at the start, so some GB take some seconds.
    pub content: Vec<Content>,
    /// Decides the bytes of the content, and with them the info-hashes.
    pub seed: u64,
}

/// A running fleet. It ends when this is stopped or dropped, and when the process that holds it ends in any way.
#[derive(Debug)]
pub struct Testbed {
    profile: String,
    processes: Vec<(String, u32)>,
    stop: Option<Sender<()>>,
    keeper: Option<JoinHandle<()>>,
}

impl Testbed {
    /// Starts every layer and returns when all of them answer: content checked, announced to tracker and DHT.
    ///
    /// # Errors
    /// The content cannot be offered; a layer cannot be started, ends, or is not ready within 30 s. Whatever was started has ended then.
    pub fn start(options: &Options) -> Result<Self, TestbedError> {
        content::check(&options.content)?;
        let options = options.clone();
        let (report, reported) = channel();
        let (stop, stopped) = channel();
        // A layer asks the kernel to die with its parent, and that means: with the thread that started it. Hence one that stays.
        let keeper = thread::spawn(move || keep(&options, &report, &stopped));
        match reported.recv() {
            Ok(Ok(fleet)) => Ok(Self {
                profile: profile::toml(&fleet)?,
                processes: fleet
                    .processes
                    .iter()
                    .map(|(layer, pid)| (layer.name().to_owned(), *pid))
                    .collect(),
                stop: Some(stop),
                keeper: Some(keeper),
            }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(TestbedError::Keeper),
        }
    }

    /// The target profile, as TOML.
    #[must_use]
    pub fn profile(&self) -> String {
        self.profile.clone()
    }

    /// Every layer's name and process id.
    #[must_use]
    pub fn processes(&self) -> Vec<(String, u32)> {
        self.processes.clone()
    }

    /// Ends every layer, within about two seconds even if some of them hang.
    pub fn stop(self) {}
}

impl Drop for Testbed {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(keeper) = self.keeper.take() {
            let _ = keeper.join();
        }
    }
}

fn keep(options: &Options, report: &Sender<Result<Fleet, TestbedError>>, stopped: &Receiver<()>) {
    match start(options) {
        Ok((fleet, processes)) => {
            if report.send(Ok(fleet)).is_ok() {
                // Ends with an error when the testbed lets go, which is the signal.
                let _ = stopped.recv();
            }
            end(processes);
        }
        Err(error) => {
            // Nobody to tell means nobody to mind.
            let _ = report.send(Err(error));
        }
    }
}

/// Starts the layers in two waves: the second has to know where the first and the relays answer. On an error, dropping the processes ends them.
fn start(options: &Options) -> Result<(Fleet, [Process; 6]), TestbedError> {
    let deadline = Instant::now() + START;
    let mut tracker = Process::start(&options.program, Layer::Tracker, &())?;
    let mut dht = Process::start(&options.program, Layer::Dht, &DhtAssignment { nodes: DHT_NODES })?;
    let mut shape = Process::start(&options.program, Layer::Shape, &front::assignment(options.seed))?;
    let torrents = torrents(options)?;
    let tracker_address = tracker.address(deadline)?;
    let dht_addresses = dht.addresses(deadline)?;
    let front = Front::new(&shape.addresses(deadline)?)?;
    let public_tracker = front.address(Layer::Tracker, tracker_address);

    let index = IndexAssignment { items: items(options, &torrents), tracker: public_tracker };
    let seed = content_seed(options);
    let dags: Vec<Option<Dag>> =
        options.content.iter().map(|item| item.gateway.then(|| Dag::new(seed, item))).collect();
    let metadata = MetadataAssignment {
        torrents: torrents.clone(),
        tracker: public_tracker,
        seed,
        dags: dags.iter().flatten().cloned().collect(),
    };
    let seedbox = SeedboxAssignment {
        seed: content_seed(options),
        torrents: torrents.clone(),
        tracker: tracker_address,
        dht: dht_addresses.clone(),
        port: front.seedbox_port(),
    };
    let mut index = Process::start(&options.program, Layer::Index, &index)?;
    let mut metadata = Process::start(&options.program, Layer::Metadata, &metadata)?;
    let mut seedbox = Process::start(&options.program, Layer::Seedbox, &seedbox)?;

    let (index_address, metadata_address, seedbox_address) =
        (index.address(deadline)?, metadata.address(deadline)?, seedbox.address(deadline)?);
    front.lead_to([
        (Layer::Index, index_address),
        (Layer::Metadata, metadata_address),
        (Layer::Tracker, tracker_address),
        (Layer::Seedbox, seedbox_address),
    ])?;
    let processes = [index, metadata, tracker, dht, seedbox, shape];
    let fleet = Fleet {
        front,
        index: index_address,
        metadata: metadata_address,
        tracker: tracker_address,
        dht: dht_addresses,
        seedbox: seedbox_address,
        content: torrents.iter().zip(&dags).map(offer).collect(),
        seed: content_seed(options),
        processes: processes.iter().map(|process| (process.layer(), process.pid())).collect(),
    };
    Ok((fleet, processes))
}

fn offer((torrent, dag): (&Torrent, &Option<Dag>)) -> Offer {
    let cid = dag.as_ref().map(Dag::root);
    Offer { name: torrent.name.clone(), info_hash: torrent.hex(), cid }
}

/// All layers are told to end before the first is waited for; those that have not ended in time are killed as they are dropped.
fn end(mut processes: [Process; 6]) {
    processes.iter_mut().for_each(Process::release);
    let deadline = Instant::now() + STOP;
    processes.iter_mut().for_each(|process| process.wait_until(deadline));
}

/// What the content is computed from: a number that a profile can name.
const fn content_seed(options: &Options) -> u64 {
    options.seed & u32::MAX as u64
}

fn torrents(options: &Options) -> Result<Vec<Torrent>, TestbedError> {
    let failed = |name: &str, error| TestbedError::Content { reason: format!("`{name}`: {error:#}") };
    options
        .content
        .iter()
        .map(|item| Torrent::new(content_seed(options), item).map_err(|error| failed(&item.name, error)))
        .collect()
}

fn items(options: &Options, torrents: &[Torrent]) -> Vec<IndexItem> {
    let item = |(item, torrent): (&Content, &Torrent)| IndexItem {
        name: item.name.clone(),
        info_hash: torrent.hex(),
        size: item.size,
    };
    options.content.iter().zip(torrents).map(item).collect()
}
