//! Reading profile files.

mod capacity;
mod content;
mod dht;
mod dns;
mod metrics;
mod tracker;
mod visitors;
mod web;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use crate::problem::{
    Description, FileKind, Moment, Name, Names, OneOf, PositiveDuration, PositiveRate, Problem, Report,
    Reported, SourceFile, Table, Text, describe, read,
};
use crate::unit::{Quantity, Rate, Share};

use super::mix::normalised;
use super::values::{
    AWhile, Address, Bandwidth, Header, Network, Numwant, PeerIdPrefix, Pid, Port, Quantile,
};
use super::{
    AbortOn, Access, Authorization, Client, Encryption, Envelope, Layer, LayerEnvelope, Mix, Process, Slo,
    Target, Transport,
};

use web::{endpoint, index, speaks};

impl Target {
    /// Reads a target profile.
    ///
    /// # Errors
    /// The file cannot be read, or everything that is wrong with it.
    pub fn load(path: &Path) -> Result<Self, Report> {
        let file = SourceFile::load(path)?;
        Self::of(file)
    }

    /// Reads a target profile that is not a file; `origin` stands for its path in problems.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(text: &str, origin: &str) -> Result<Self, Report> {
        Self::of(SourceFile { path: origin.into(), text: text.to_owned() })
    }

    /// Reads a target profile from a file that is already open.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn of(file: SourceFile) -> Result<Self, Report> {
        // Files that the profile names lie beside it.
        let beside = file.path.parent().unwrap_or(Path::new("")).to_owned();
        read(&file.text, FileKind::Target, |table| target(table, &beside))
            .map_err(|problems| Report::of(file, problems))
    }
}

/// Reads a client mix.
///
/// # Errors
/// Everything that is wrong with the text.
pub fn parse_clients(text: &str) -> Result<Mix<Client>, Vec<Problem>> {
    read(text, FileKind::Clients, clients)
}

/// Reads an access mix.
///
/// # Errors
/// Everything that is wrong with the text.
pub fn parse_access(text: &str) -> Result<Mix<Access>, Vec<Problem>> {
    read(text, FileKind::Access, access)
}

/// Reads an envelope that is a file of its own.
///
/// # Errors
/// Everything that is wrong with the text.
pub fn parse_envelope(text: &str) -> Result<Envelope, Vec<Problem>> {
    read(text, FileKind::Envelope, envelope_file)
}

/// Every key of an envelope that is a file of its own.
#[must_use]
pub fn envelope_keys() -> Vec<Description> {
    describe(FileKind::Envelope, envelope_file)
}

/// Every key of a client mix.
#[must_use]
pub fn clients_keys() -> Vec<Description> {
    describe(FileKind::Clients, clients)
}

/// Every key of an access mix.
#[must_use]
pub fn access_keys() -> Vec<Description> {
    describe(FileKind::Access, access)
}

/// Every key of a target profile.
#[must_use]
pub fn target_keys() -> Vec<Description> {
    describe(FileKind::Target, |table| target(table, Path::new("")))
}

fn clients(table: &mut Table<'_>) -> Result<Mix<Client>, Reported> {
    let mut names = Names::default();
    let members = table.filled_tables("client", "A BitTorrent client.", |table| {
        let name = table.required::<Name>("name", "Name in reports.");
        let share = table.required::<Share>("share", "Share of the visitors; shares add up to 100%.");
        let peer_id = table.required::<PeerIdPrefix>("peer_id", "Start of its peer ids.");
        let user_agent = table.required::<Header>("user_agent", "Its `User-Agent`.");
        let numwant = table.or("numwant", "Peers that it asks a tracker for.", Numwant(-1));
        let speaks = speaks(table);
        let utp = table.or(
            "utp",
            "Share of its visitors that speak uTP, and try it before TCP where the target's peers speak it.",
            Share(0.0),
        );
        let encryption = table.or(
            "encryption",
            "Whether it encrypts its connections to peers (MSE), and takes in encrypted ones.",
            OneOf(Encryption::Disabled),
        );
        let tracker = tracker::habits(table);
        let dht = table.or("dht", "Whether it uses the DHT beside trackers.", true);
        let lookup =
            table.table_of_defaults("lookup", "How its DHT node searches; libtorrent's ways.", dht::habits);
        let name = name?.0.0;
        names.claim(table, "name", &name)?;
        let (http2, http3) = speaks?;
        let client = Client {
            name,
            peer_id_prefix: peer_id?.0,
            user_agent: user_agent?.0.0,
            http2,
            http3,
            numwant: numwant?.0,
            utp: utp?.0,
            encryption: encryption?.0,
            tracker: tracker?,
            dht: dht?,
            lookup: lookup?,
        };
        Ok((client, share?.0))
    });
    Ok(Mix { members: normalised(table, "client", members?)? })
}

fn access(table: &mut Table<'_>) -> Result<Mix<Access>, Reported> {
    let mut names = Names::default();
    let members = table.filled_tables("access", "A kind of access line.", |table| {
        let name = table.required::<Name>("name", "Name in reports.");
        let share = table.required::<Share>("share", "Share of the visitors; shares add up to 100%.");
        let down = table.required::<Bandwidth>("down", "Towards the visitor.");
        let up = table.required::<Bandwidth>("up", "From the visitor.");
        let unreachable = table.or(
            "unreachable",
            "Visitors behind a NAT or firewall that lets no peer in (Halkes & Pouwelse 2010: 64% of all).",
            Share(0.64),
        );
        let name = name?.0.0;
        names.claim(table, "name", &name)?;
        Ok((Access { name, down: down?.0.0, up: up?.0.0, unreachable: unreachable?.0 }, share?.0))
    });
    Ok(Mix { members: normalised(table, "access", members?)? })
}

/// `beside` is where the files lie that the profile names.
fn target(table: &mut Table<'_>, beside: &Path) -> Result<Target, Reported> {
    let name = table.required::<Name>("name", "Name in reports.");
    let index = table.table("index", "Web pages.", |table| index(table, beside));
    let metadata =
        table.table("metadata", "The server of the `.torrent` files.", |table| endpoint(table, beside));
    let gateway = table.optional_table("gateway", "A trustless gateway of IPFS or BTFS.", |table| {
        web::gateway(table, beside)
    });
    let web = web::servers(table, beside);
    let trackers = table.filled_tables("tracker", "A tracker.", |table| tracker::tracker(table, beside));
    let dht = table.table("dht", "The DHT.", dht::nodes);
    let dns =
        table.optional_table("dns", "The visitors' resolvers; without it no name is resolved.", dns::dns);
    let swarm =
        table.table_of_defaults("swarm", "Who else is in the swarms, and how peers are reached.", swarm);
    let visitors = table.optional_table("visitors", "Where visitors connect from.", visitors::networks);
    let mut unique = content::Unique::default();
    let content = table.filled_tables(
        "content",
        "A torrent, or a file that the gateway has; the most popular first.",
        |table| content::content(table, &mut unique),
    );
    let processes =
        table.tables("process", "A local process whose CPU, memory and descriptors are sampled.", |table| {
            let layer = table.required::<OneOf<Layer>>("layer", "The layer that it serves.");
            let pid = table.required::<Pid>("pid", "Its process id.");
            Ok(Process { layer: layer?.0, pid: pid?.0 })
        });
    let capacity = capacity::capacities(table);
    let shapers = capacity::shapers(table);
    let metrics = metrics::endpoints(table);
    let envelope = Envelope::read(table);
    let authorization =
        table.optional_table("authorization", "Leave to load addresses outside loopback.", authorization);
    let (stand_in_port, own_peers, transports) = swarm?;
    let (index, metadata, gateway, dns, content) = (index?, metadata?, gateway?, dns?, content?);
    if dns.is_some() {
        dns::names(
            table,
            [&index.server, &metadata].into_iter().chain(gateway.iter().map(|gateway| &gateway.server)),
        )?;
    }
    if gateway.is_none() && content.iter().any(|item| item.cid.is_some()) {
        let message = "there is a `cid`, but no gateway to read it through".to_owned();
        return Err(table.wrong("gateway", message, Some("add a `[gateway]`".to_owned())));
    }
    let (dht, dht_nodes) = dht?;
    let target = Target {
        name: name?.0.0,
        index,
        metadata,
        gateway,
        web: web?,
        trackers: trackers?,
        dht,
        dht_nodes,
        dns,
        stand_in_port,
        own_peers,
        transports,
        visitor_networks: visitors?.unwrap_or_default(),
        content,
        envelope: envelope?,
        capacity: capacity?,
        shapers: shapers?,
        processes: processes?,
        metrics: metrics?,
        authorization: authorization?,
    };
    visitors::apart(table, &target)?;
    Ok(target)
}

/// The port of those who answer in the visitors' stead, the target's own peers, and what peers speak.
type Swarm = (Option<u16>, Vec<SocketAddr>, Vec<Transport>);

fn swarm(table: &mut Table<'_>) -> Result<Swarm, Reported> {
    let port = table.optional::<Port>(
        "stand_in_port",
        "Port that visitors announce who only announce, where others answer in their stead; those who fetch listen themselves.",
    );
    let peers = table.list::<Address>(
        "peers",
        "The target's own peers, where nobody but they and the visitors is in its swarms: other peers are wrong then.",
    );
    let transports = table.list::<OneOf<Transport>>(
        "transports",
        "What its peers speak; left out, \"tcp\". With \"utp\", visitors whose client speaks it try it first.",
    );
    let mut transports: Vec<_> = transports?.into_iter().map(|transport| transport.into_inner().0).collect();
    if transports.is_empty() {
        transports.push(Transport::Tcp);
    }
    let peers = peers?.into_iter().map(|peer| peer.into_inner().0).collect();
    Ok((port?.map(|port| port.0), peers, transports))
}

impl Envelope {
    /// Reads the table `envelope`, which any file with a target in it may have.
    ///
    /// # Errors
    /// Something in it is wrong.
    pub fn read(table: &mut Table<'_>) -> Result<Self, Reported> {
        table.table_of_defaults("envelope", "What the layers promise.", envelope)
    }
}

fn envelope_file(table: &mut Table<'_>) -> Result<Envelope, Reported> {
    let name = table.required::<Name>("name", "Name, for people.");
    let envelope = Envelope::read(table);
    let (_, envelope) = (name?, envelope?);
    if envelope.layers.is_empty() {
        let hint = "add an `[envelope.LAYER]`, such as `[envelope.tracker]`";
        return Err(table.wrong_here("it promises nothing".to_owned(), Some(hint.to_owned())));
    }
    Ok(envelope)
}

fn envelope(table: &mut Table<'_>) -> Result<Envelope, Reported> {
    // Every layer is read before the first that is wrong ends the reading.
    let layers = Layer::ALL.map(|layer| {
        let promise = table.optional_table(layer.name(), "What this layer promises.", layer_envelope);
        promise.map(|promise| promise.map(|promise| (layer, promise)))
    });
    let promises: Result<Vec<_>, Reported> = layers.into_iter().collect();
    Ok(Envelope { layers: promises?.into_iter().flatten().collect() })
}

fn layer_envelope(table: &mut Table<'_>) -> Result<LayerEnvelope, Reported> {
    let base = table.required::<PositiveRate>("base", "Operations that are kept for ever.");
    let burst = table.required::<PositiveRate>("burst", "Operations that are kept for `burst_for`.");
    let burst_for =
        table.required::<PositiveDuration>("burst_for", "How long a burst may last, in run time.");
    let reserve = table
        .required::<PositiveRate>("reserve", "Operations that are survived with everything switched on.");
    let headroom = table.or(
        "headroom",
        "Share of the reserve that is to stay unused at the peak; less is a warning, not a failure.",
        Share(0.2),
    );
    let recovery = table.optional::<PositiveDuration>(
        "recovery",
        "How long the layer may take to keep its SLO again once demand beyond the reserve is over, in run time.",
    );
    let slo = table.table("slo", "What \"kept\" means.", slo);
    let abort_on = table.optional_table("abort_on", "What ends a run early, as a failure.", abort_on);
    let (base, burst, reserve) = (base?.0.0, burst?.0.0, reserve?.0.0);
    ascending(table, ("base", base), ("burst", burst))?;
    ascending(table, ("burst", burst), ("reserve", reserve))?;
    let (slo, abort_on) = (slo?, abort_on?);
    if let Some(abort_on) = &abort_on {
        no_less_than_a_breach(table, abort_on, &slo)?;
    }
    Ok(LayerEnvelope {
        base,
        burst,
        burst_for: burst_for?.0,
        reserve,
        recovery: recovery?.map(|recovery| recovery.0),
        slo,
        headroom: headroom?.0,
        abort_on,
    })
}

/// A run that keeps its promise is not ended.
fn no_less_than_a_breach(table: &Table<'_>, abort_on: &AbortOn, slo: &Slo) -> Result<(), Reported> {
    let says = |key: &str, value: String| {
        let message = format!("`abort_on.{key}` must be at least `slo.{key}`");
        Err(table.wrong("abort_on", message, Some(format!("`slo.{key}` is {value}"))))
    };
    match abort_on {
        AbortOn { errors: Some(errors), .. } if *errors < slo.errors => {
            says("errors", Share(slo.errors).to_string())
        }
        AbortOn { limit: Some(limit), .. } if *limit < slo.limit => says("limit", slo.limit.write()),
        _ => Ok(()),
    }
}

fn abort_on(table: &mut Table<'_>) -> Result<AbortOn, Reported> {
    let errors = table
        .optional::<Share>("errors", "Share of operations that fail or do not come back; more end the run.");
    let limit = table.optional::<PositiveDuration>(
        "limit",
        "Latency from the intended moment, at the quantile of the SLO; a longer one ends the run.",
    );
    let over = table.or(
        "for",
        "The time over which they are taken, whole seconds of the run.",
        AWhile(Duration::from_secs(10)),
    );
    let (errors, limit, over) = (errors?.map(|share| share.0), limit?.map(|limit| limit.0), over?.0);
    if errors.is_none() && limit.is_none() {
        let hint = "for example `abort_on = { errors = \"20%\", for = \"10s\" }`".to_owned();
        return Err(table.wrong_here("`abort_on` needs `errors`, `limit` or both".to_owned(), Some(hint)));
    }
    Ok(AbortOn { errors, limit, over })
}

fn ascending(
    table: &Table<'_>,
    (low, least): (&str, f64),
    (high, rate): (&str, f64),
) -> Result<(), Reported> {
    if rate >= least {
        return Ok(());
    }
    let hint = format!("`{low}` is {}", Rate(least));
    Err(table.wrong(high, format!("`{high}` must be at least `{low}`"), Some(hint)))
}

fn slo(table: &mut Table<'_>) -> Result<Slo, Reported> {
    let quantile = table.or("quantile", "Quantile that the limit holds for.", Quantile(0.99));
    let limit = table.required::<PositiveDuration>("limit", "Longest latency, from the intended moment.");
    let errors = table.or("errors", "Share of operations that may fail.", Share(0.01));
    Ok(Slo { quantile: quantile?.0, limit: limit?.0, errors: errors?.0 })
}

fn authorization(table: &mut Table<'_>) -> Result<Authorization, Reported> {
    let networks = table.filled_list::<Network>("networks", "Networks that may be contacted.");
    let ceiling = table.required::<PositiveRate>("ceiling", "Operations over all stages, never exceeded.");
    let from = table.required::<Moment>("from", "First moment of the window.");
    let until = table.required::<Moment>("until", "Last moment of the window.");
    let contact = table.required::<Text>("contact", "Whom to call.");
    let token =
        table.required::<Header>("token", "What the target's `/.well-known/squall-authorization` must hold.");
    let (from, until) = (from?.0, until?.0);
    if until <= from {
        return Err(table.wrong("until", "`until` must be later than `from`".to_owned(), None));
    }
    Ok(Authorization {
        networks: networks?.into_iter().map(|network| network.into_inner().0).collect(),
        ceiling: ceiling?.0.0,
        from,
        until,
        contact: contact?.0,
        token: token?.0.0,
    })
}

#[cfg(test)]
mod tests;
