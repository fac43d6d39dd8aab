//! Squall rehearses the storm before the market sends it.
//!
//! A scenario file describes an attention cascade. Squall turns it into the load that such a day puts on a BitTorrent or BTFS fleet,
//! stage by stage of the funnel, aims it at a target, records what every layer did, and says whether the fleet keeps the capacity
//! envelope that it promised. This page is the map of the code; `tests/tidy.rs` holds it against the code.
//!
//! # One direction
//!
//! A module uses what stands above it in this table, never what stands below. Two things flow back: what the target answers (inside a
//! world) and one stop signal ([`drive::Stop`]).
//!
//! | layer | module | what it is |
//! |---|---|---|
//! | 0 | [`unit`] | quantities with units, and the run clock's [`unit::Tick`] |
//! | 1 | [`problem`] | everything that is wrong with a file, at once, with line and hint |
//! | 2 | [`profile`] | shared parts: client and access mixes, targets, envelopes |
//! | 3 | [`scenario`] | what a scenario file means, valid by construction |
//! | 4 | [`demand`] | signals → attention → rates of visits, starts, population; their feed and its tiers |
//! | 5 | [`plan`] | a lazy, seeded, shardable stream of arrivals, drawn or replayed from a log |
//! | 6 | [`journey`] | one visitor as a pure state machine |
//! | 7 | [`drive`] | the worker loop, open loop, generic over the world |
//! | 8 | [`live`] | sockets and the clock |
//! | 8 | [`model`] | queues and virtual time |
//! | 9 | [`record`] | what happened, second by second, on disk as it happens |
//! | 10 | [`fit`] | a measured series becomes a scenario; an event against the weeks before it |
//! | 10 | [`analysis`] | is the run valid, does the envelope hold, which trial finds a capacity |
//! | 11 | [`report`] | formats what analysis found |
//! | 12 | [`commands`] | the verbs: sees both ends, wires, prints |
//!
//! `run` and `simulate` are the same plan, journeys, worker loop, recording, analysis and report: only the world differs.
//!
//! # Three clocks
//!
//! *Scenario time* is a `Duration` since the scenario's start. *Run time* is a [`unit::Tick`] since the run began; [`scenario::Cut`] maps
//! one to the other. *Wall time* exists only in [`live`] and in `commands`, where a recording gets its date. Under compression the rates
//! per second of run time at scenario time t stay what they are in real time; lags between stages shrink with the scenario's clock, what
//! happens inside a stage does not: how long a DHT node is good, a token taken or a name kept is run time, as the target counts it. Only
//! what visitors' own nodes keep of visitors who have left goes by the scenario's clock. Re-announces come from the modelled population
//! ([`plan::Origin::Population`]), not from the visitors that the run happens to drive.
//!
//! # When an operation is due
//!
//! Arrivals are due when the plan says so: nothing the target does moves them. Inside a journey a step is due at its planned moment, when
//! the step it depends on ended, or when the one before it in its own stage did, whichever is latest: nobody can fetch a torrent from a page
//! that has not loaded, and counting that wait twice would blame the torrent for the page. `--isolated` drops the dependency between stages:
//! every stage keeps its planned moments. Latency is measured from due; service time from the first byte, or from the first attempt to get a
//! connection, and send lag between the two, stand beside it. A download is due when its transfer is: its times to the first and to the last
//! piece hold the handshake, every retry and the pauses between.
//!
//! # Before a run
//!
//! `squall doctor` measures what this machine carries ([`live::doctor`]); `run` holds the plan against it ([`analysis::foresight`]) and
//! writes limits, rates and what was foreseen to lack into the manifest. A forecast is a warning and never a verdict: it counts bare sockets
//! and lines at full speed, so that a plan it objects to is too large, and one that it does not object to may be as well.
//!
//! # Finding a capacity
//!
//! `squall search` is many small runs and one pure decision: [`analysis::search::Search`] says which trial comes next, `commands` drives it
//! as `run` or `simulate` would (isolated, one kind of operation as `[[abuse]]` at an even rate), and [`analysis::search::measure`] reads its
//! recording. A trial has warm-up seconds that are not judged and a drain after it. What ends a run early ([`profile::AbortOn`]) is watched
//! by the recorder, where the seconds of all workers meet; `simulate` therefore records on the worker's own thread, so that the same
//! seed ends in the same second.
//!
//! # What an operation costs
//!
//! A worker is one thread with one event loop, and shares nothing. An operation is a task on it, and a future is as large as the largest
//! thing that it may do: each kind has one of its own (`live::perform`). Those that may hold a descriptor are bound by the descriptors that
//! there are ([`drive::Limits`]), the others by memory alone: a second of UDP announces to a server that stands still is all under way.
//! Datagrams of one turn leave together (`live::udp`), HTTP/1.1 is driven by who waits for it and holds nothing meanwhile (`live::http`),
//! patience is looked through now and then instead of timed (`live::patience`), and journeys that wait stand in a calendar ([`drive`]). A
//! worker sleeps at least 50 µs, so that what becomes due meanwhile shares one waking. `benches/RESULTS.md` says what that comes to beside
//! other tools, row by row and with what is missing; `harness/instructions` holds the hot paths to their counts.
//!
//! # Which layer breaks first
//!
//! `analysis::saturation` looks for the second in which a layer fell behind: a cumulative sum of what failed and of what piled up beyond what
//! its rate explains, against what chance allows. What it carried while it was behind is its capacity. Four other definitions stand beside it,
//! since a smooth curve has no knee; where they differ it is said. What fails alike at every rate, is lost and sent again, or stops at no
//! higher rate than it carried before, is no matter of load and is called otherwise, nor is what only takes longer; what failures upstream
//! kept from a layer was not tested, and what only other visitors refuse is not the seedbox's. `tests/blind.rs` holds this against targets
//! whose limits it is not told. [`analysis::search`] asks each layer alone instead, trial by trial.
//!
//! # Whose limit
//!
//! Beside the load, once a second: every worker's CPU, what local processes use of what they may use (`live::proc`), what the network stack
//! dropped, and metrics of the target (`live::metrics`), a page or a Prometheus server, through the guard as everything else.
//! [`analysis::Samples`] says how full each resource was in a window, and which one explains that a layer saturated in it: full then, and
//! not before. A resource without a known limit explains nothing. The guard's ceiling does not count metrics: they are no operations.
//!
//! # Invariants
//!
//! * Per kind of operation and for journeys: planned = released + shed; released = ok + failed + cut. Downloads that were begun = whole +
//!   part + given up + cut. Checked when a recording closes and again when it is read.
//! * Cascades take the path that the seed draws at full audience, whatever the cut; given that path, arrivals are Poisson.
//! * Who reads through a gateway ([`scenario::Via::Gateway`]) is in no swarm: no announce, no lookup, no peer, nobody of the population.
//! * Arrival k draws only from its own stream (seed, k): the union of any number of shards is the unsharded plan, event for event.
//! * Where a web seed's URL leads is looked up in the profile, never in the DNS; one that leads elsewhere is counted as foreign peers are.
//! * Every socket is opened in `live::guard`, which refuses any address outside loopback and the authorised networks.
//! * A log that is replayed ([`plan::replay`]) is driven line for line: arrival k is its k-th announce in order of time, whichever shard
//!   drives it, and what is left out is counted by line and reason.
//! * A journey has at most one operation under way per stage.
//! * What a scenario's faults do to a target is done by relays before it (`live::steering`), which take them back when the run ends in any way.
//! * Ranges that are asked of web seeds are under the ceiling of an authorization as operations are.
//! * The memory of a run does not grow with its length while it is driven. Judging it afterwards holds all its seconds, about 40 KB each.
//! * A worker holds what trackers answer against what it knows of its own visitors; it calls wrong only what no correct tracker could
//!   answer, whatever the other workers did meanwhile.
//!
//! # Absences
//!
//! * No clock outside [`live`] (and the date of a recording in `commands`); no printing outside [`commands`].
//! * No lock and no shared counter between workers on the hot path, but for one where it is owed: operations against an authorised target
//!   are counted over all workers, so that its ceiling holds however they are split.
//! * No protocol code shared with the testbed (`harness/`): a codec that is wrong on both sides would pass.
//! * Visitors open 8 connections to peers that have something of use, 16 at most, and hold 24, where real clients
//!   hold hundreds: descriptors are the bound. Where visitors share the machine's address nobody can connect to them, since a port could not
//!   say for whom; they give only on connections that they opened. Visitors have addresses of their own (picked by
//!   [`plan::Arrival::source`]) on IPv4 loopback and where the target's profile names networks.
//! * A connection carries one exchange at a time, also one that the traffic beside the funnel shares: nothing is multiplexed over HTTP/2
//!   and 3, as a journey has one operation of a stage under way. No 0-RTT, no `Alt-Svc` (who speaks HTTP/3 uses it at once where the
//!   profile says that it is there), no cookies.
//! * Visitors' uTP paces itself by CUBIC (librqbit-utp's), not by LEDBAT: it competes with TCP as TCP does. Visitors at one address share its
//!   UDP socket. A first packet that is lost is not sent again: after 3 s TCP is tried, as in libtorrent.
//! * A web seed is asked for one part of one file at a time, where libtorrent has five requests under way: parts are large instead. Who comes
//!   by magnet link knows only the web seeds of the profile. No FTP, no BEP 17.
//! * Whoever reads through a gateway fetches one block or CAR at a time, as it is one exchange at a time; it keeps no blocks, and offers none.
//! * HTTP/3 visitors of a worker share 16 UDP sockets, each with one address; the server tells them apart by connection id.
//! * The addresses of a target are literal: resolving one would send a packet before the guard has spoken. Where its profile names resolvers,
//!   visitors resolve the names of its servers as part of their visit, and connect to the literal address whatever the answer was.
//! * Visitors announce a hybrid torrent by its SHA-1 alone; clients that know v2 announce both hashes (BEP 52).
//! * Visitors' DHT nodes answer what they are asked, and ask nobody on their own: they ping nobody, refresh no bucket, and learn only from
//!   lookups. Visitors at one address are one node, which answers until the run ends (the latest 4,096 of a worker); where none of them can be
//!   reached it answers nothing and says so (BEP 43). libtorrent names those that announced all the same.
//!
//! # Where this differs from the first sketch
//!
//! * A journey has several stages under way at a time (a client announces and searches the DHT together), so operations are named by
//!   journey *and* stage, and the trait of the sketch's stages is a private machine per step ([`journey`]).
//! * An announce of the modelled population is an arrival of its own, so that a slice of a day begins with the population that it
//!   would have, and shards need not know each other's visitors.

pub mod analysis;
pub mod commands;
pub mod demand;
pub mod drive;
pub mod fit;
pub mod journey;
pub mod live;
pub mod model;
pub mod plan;
pub mod problem;
pub mod profile;
pub mod record;
pub mod report;
pub mod scenario;
pub mod unit;
