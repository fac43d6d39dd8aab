//! The parts of a scenario.

use std::time::Duration;

use crate::profile::{Access, Client, Mix};

use super::{Cut, Fault};

/// A day to rehearse.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// Short name, kebab-case.
    pub name: String,
    /// One line for people.
    pub title: String,
    /// Wall-clock time at scenario time zero, UTC: places the diurnal curves.
    pub start: jiff::Timestamp,
    /// How long the day lasts.
    pub duration: Duration,
    /// What the market and the media do, in order of time.
    pub signals: Vec<Signal>,
    /// What is wrong with their feed; moves only what is seen of them.
    pub feed_faults: Vec<FeedFault>,
    /// What moves demand without being a signal.
    pub confounders: Vec<Confounder>,
    /// Load that no visitor makes.
    pub abuse: Vec<Abuse>,
    /// Swarms that start anew.
    pub restarts: Vec<Incident>,
    /// Swarms that lose seeds.
    pub exoduses: Vec<Incident>,
    /// What goes wrong with the target.
    pub faults: Vec<Fault>,
    /// Who may come.
    pub audience: Audience,
    /// How signals move attention.
    pub attention: Attention,
    /// How visitors go from stage to stage.
    pub funnel: Funnel,
    /// What they come for.
    pub content: Catalogue,
    /// Traffic beside the funnel: support, monitoring.
    pub side: Vec<SideTraffic>,
    /// Client mix.
    pub clients: Mix<Client>,
    /// Access mix.
    pub access: Mix<Access>,
    /// The three forecasts.
    pub variants: Variants,
    /// The cut that the file asks for; flags change it.
    pub cut: Cut,
}

/// A market or social observation. What it says is weighed by `confidence` and `quality` together.
#[derive(Clone, Debug, PartialEq)]
pub struct Signal {
    /// Name in charts and reports.
    pub name: String,
    /// Who is behind it.
    pub kind: SignalKind,
    /// Where it was observed; empty where not given.
    pub source: String,
    /// Scenario time at which it shows; for a listing, its announcement.
    pub at: Duration,
    /// Time from its showing to its effect.
    pub lag: Duration,
    /// Time over which its effect builds up before it shows (endogenous); zero for an effect from outside.
    pub ramp: Duration,
    /// Time to the peak of its effect; the attention's where `None`.
    pub rise: Option<Duration>,
    /// Time constant of its relaxation; the attention's where `None`.
    pub relax: Option<Duration>,
    /// Relative price change, +0.18 for +18 %.
    pub price: f64,
    /// Relative change of the whole market.
    pub market: f64,
    /// Trading volume as a multiple of normal; 1 where not given.
    pub volume: f64,
    /// Mentions per hour as a multiple of normal; 1 where not given.
    pub mentions: f64,
    /// What the mentions are.
    pub posts: Engagement,
    /// Mood of the mentions, -1 (worry) ..= 1 (enthusiasm).
    pub sentiment: f64,
    /// Searches as a multiple of normal; 1 where not given. Evidence alone: moves nothing.
    pub searches: f64,
    /// Inflow of wallets as a multiple of normal; 1 where not given. Evidence alone: moves nothing.
    pub wallets: f64,
    /// An exchange cannot be reached. Evidence alone: moves nothing.
    pub outage: bool,
    /// Strength on interest; worked out from what it says where `None`.
    pub strength: Option<f64>,
    /// An exchange listing: scenario time at which trading starts.
    pub go_live: Option<Duration>,
    /// How sure the observation is, 0..=1.
    pub confidence: f64,
    /// How good its source is, 0..=1.
    pub quality: f64,
    /// When its effect comes again.
    pub echoes: Vec<Echo>,
    /// Regions that it reaches (indices into the audience); empty for all.
    pub regions: Vec<usize>,
}

/// Who is behind a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SignalKind {
    /// The project itself promotes.
    Official,
    /// A creator leads a campaign.
    Creator,
    /// People talk.
    Organic,
    /// The market moves.
    Market,
}

/// What somebody does who mentions something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Engagement {
    /// Writes.
    Original,
    /// Passes on.
    Repost,
    /// Answers.
    Comment,
    /// Approves.
    Like,
}

/// What a signal's feed measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Metric {
    /// Relative price change.
    Price,
    /// Relative change of the whole market.
    Market,
    /// Trading volume, as a multiple of normal.
    Volume,
    /// Mentions per hour, as a multiple of normal.
    Mentions,
    /// Mood of the mentions, -1..=1.
    Sentiment,
    /// Searches, as a multiple of normal.
    Searches,
    /// Inflow of wallets, as a multiple of normal.
    Wallets,
    /// An exchange announces a listing: 1.
    Listing,
    /// Trading of a listing starts: 1.
    Trading,
    /// An exchange cannot be reached: 1.
    Outage,
}

/// Something that is wrong with the feed of signals, not with the market.
#[derive(Clone, Debug, PartialEq)]
pub struct FeedFault {
    /// Name in files and reports.
    pub name: String,
    /// Scenario time of its beginning.
    pub from: Duration,
    /// Scenario time of its end, later than `from`.
    pub until: Duration,
    /// What it concerns; everything where empty.
    pub metrics: Vec<Metric>,
    /// How much later what happens is seen.
    pub delay: Duration,
    /// Share of the observations that never arrive, 0..=1.
    pub loss: f64,
    /// Standard deviation of the error that values get, relative to them.
    pub noise: f64,
}

/// The effect of a signal come again: a second listing, a weekly recap, a repost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Echo {
    /// Time after the signal's own effect.
    pub delay: Duration,
    /// Strength against that of the signal.
    pub strength: f64,
}

/// Something that moves demand at the time of the signals and has nothing to do with them.
#[derive(Clone, Debug, PartialEq)]
pub struct Confounder {
    /// Name in charts and reports.
    pub name: String,
    /// What it is.
    pub what: ConfounderKind,
    /// Scenario time of its beginning.
    pub at: Duration,
    /// How long it lasts.
    pub duration: Duration,
    /// Interest as a multiple of what it would be without it.
    pub factor: f64,
    /// Regions that it reaches (indices into the audience); empty for all.
    pub regions: Vec<usize>,
}

/// What a confounder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConfounderKind {
    /// The whole market rises.
    Rally,
    /// An exchange advertises.
    ExchangeCampaign,
    /// Creators work together.
    CreatorCollaboration,
    /// A release that has nothing to do with the signals.
    UnrelatedRelease,
    /// Something local: a holiday, an outage, a law.
    Geography,
    /// A season.
    SeasonalCycle,
}

/// Load that no visitor makes: bots, scrapers, a flood.
#[derive(Clone, Debug, PartialEq)]
pub struct Abuse {
    /// Name in charts and reports.
    pub name: String,
    /// What it asks for.
    pub what: AbuseKind,
    /// Scenario time of its beginning.
    pub from: Duration,
    /// Scenario time of its end, later than `from`.
    pub until: Duration,
    /// Requests per second at full audience, over its regions together.
    pub rate: f64,
    /// Share from address clusters that were seen before, 0..=1.
    pub old_clusters: f64,
    /// Regions that it comes from (indices into the audience); empty for all. Spread as their audience is.
    pub regions: Vec<usize>,
}

/// What abuse asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AbuseKind {
    /// Pages.
    Index,
    /// `.torrent` files.
    Metadata,
    /// Tracker announces.
    Announce,
    /// DHT lookups.
    Dht,
    /// Walks through the DHT that gather info-hashes, as indexers make them (BEP 51).
    DhtCrawl,
    /// The name of the web pages, of a resolver.
    Dns,
    /// Whole downloads from the target's own peers, which are asked directly: no announce, no lookup.
    Pieces,
}

/// Something that happens to a share of the modelled population at once.
#[derive(Clone, Debug, PartialEq)]
pub struct Incident {
    /// Name in charts and reports.
    pub name: String,
    /// Scenario time of its beginning.
    pub at: Duration,
    /// Share of those concerned, 0..=1.
    pub share: f64,
    /// Time over which it happens to them, evenly.
    pub over: Duration,
}

/// Who may come, and from where.
#[derive(Clone, Debug, PartialEq)]
pub struct Audience {
    /// Visits per second on a normal day, over all regions, averaged over 24 h.
    pub base: f64,
    /// Visitors who were there before.
    pub returning: f64,
    /// Visitors from address clusters that were seen before, those who return among them: at least `returning`.
    pub old_clusters: f64,
    /// Where they live.
    pub regions: Vec<Region>,
}

/// A part of the audience that shares a clock.
#[derive(Clone, Debug, PartialEq)]
pub struct Region {
    /// Name in files and reports.
    pub name: String,
    /// Share of the audience; shares add up to 1.
    pub share: f64,
    /// Seconds east of UTC.
    pub utc_offset: i32,
    /// Local hour of most visits, 0..24.
    pub peak_hour: f64,
    /// Visits at the quietest hour against those at the busiest, 0..=1.
    pub night: f64,
    /// Visits on Saturday and Sunday (local time) as a multiple of those on a weekday.
    pub weekend: f64,
}

/// How signals move attention (`domain.md` section 1). Strengths are peak excess over the base: 1.0 doubles it.
#[derive(Clone, Debug, PartialEq)]
pub struct Attention {
    /// Strength of a +100 % price move that nothing confirms.
    pub price: f64,
    /// Strength per tenfold volume (log10), multiplied by (1 + price move / 10 %).
    pub volume: f64,
    /// Strength per tenfold mentions (log10).
    pub mentions: f64,
    /// Strength of a listing's announcement.
    pub listing_announce: f64,
    /// Strength of a listing's start of trading.
    pub listing_go_live: f64,
    /// Part of the base demand that a -100 % price move takes away.
    pub fear: f64,
    /// Strength of concern (support and monitoring traffic) per -100 % price move.
    pub concern: f64,
    /// Time from a signal to the peak of its effect.
    pub rise: Duration,
    /// Time constant c of the relaxation (1 + t/c)^-(1+theta).
    pub relax: Duration,
    /// Exponent theta of the relaxation and of a power-law kernel.
    pub theta: f64,
    /// How a move of the whole market moves all interest: beta times as far.
    pub beta: f64,
    /// Waiting times of self-excitation.
    pub kernel: Kernel,
    /// Branching ratio n of self-excitation, 0..1.
    pub branching: f64,
    /// Mean waiting time of an exponential kernel; time constant c of a power-law kernel.
    pub delay: Duration,
}

/// The distribution of the time from a visit to the visits that it sets off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kernel {
    /// e^(-t/delay).
    Exponential,
    /// (1 + t/delay)^-(1+theta).
    PowerLaw,
}

/// How visitors go from stage to stage. Lags are in scenario time.
#[derive(Clone, Debug, PartialEq)]
pub struct Funnel {
    /// Assets fetched with a page.
    pub assets: u32,
    /// Returning visitors whose browser still has them: they fetch the page alone.
    pub cached: f64,
    /// Visits that ask for metadata.
    pub metadata: Transition,
    /// Metadata requests that are magnet links.
    pub magnet_share: f64,
    /// Metadata requests that end in a client start (announce, lookup, transfer).
    pub start: Transition,
    /// Transfers given up before the end.
    pub abort_share: f64,
    /// How long a finished visitor seeds before it stops.
    pub seeding: Lag,
    /// How long a modelled peer stays in its swarm.
    pub session: Lag,
    /// Time between two announces of a modelled peer.
    pub announce_interval: Duration,
    /// Spread of that time from peer to peer and from announce to announce, 0..=1 of it; 0 is lockstep.
    pub announce_jitter: f64,
    /// Further tries after a failed operation.
    pub retries: u32,
    /// Pause before a retry, in run time; doubled each time.
    pub retry_after: Duration,
    /// How long a visitor waits for one operation, in run time.
    pub patience: Duration,
}

/// Conversion and lag from one stage to the next.
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    /// Share that goes on, 0..=1.
    pub conversion: f64,
    /// Time until it does.
    pub lag: Lag,
}

/// A log-normal delay, written by its median and its 90th percentile.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lag {
    /// Half of all delays are shorter.
    pub median: Duration,
    /// Nine of ten delays are shorter; at least the median.
    pub p90: Duration,
}

/// What can be fetched.
#[derive(Clone, Debug, PartialEq)]
pub struct Catalogue {
    /// The classes, most popular items first; ranks run on from class to class.
    pub classes: Vec<ContentClass>,
    /// Exponent of the Zipf popularity over ranks; 0 is uniform.
    pub zipf: f64,
}

/// How visitors get content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Via {
    /// As BitTorrent peers.
    #[default]
    Swarm,
    /// Over HTTP, through a trustless gateway of IPFS or BTFS.
    Gateway,
}

/// Items of one kind.
#[derive(Clone, Debug, PartialEq)]
pub struct ContentClass {
    /// Name in files and reports.
    pub name: String,
    /// How many.
    pub items: u32,
    /// Bytes of each.
    pub size: u64,
    /// How visitors get them.
    pub via: Via,
    /// Whether their torrents name a web seed.
    pub web_seed: bool,
}

/// HTTP traffic beside the funnel.
#[derive(Clone, Debug, PartialEq)]
pub struct SideTraffic {
    /// Name in files and reports.
    pub name: String,
    /// The target's web server that it goes to, by name; `None` is the index.
    pub server: Option<String>,
    /// Path that is asked for.
    pub path: String,
    /// JSON that is posted there; `None` for a page that is fetched.
    pub body: Option<String>,
    /// Connections that all of it keeps and shares; `None` for one of its own for each request.
    pub connections: Option<u32>,
    /// How often.
    pub rate: SideRate,
}

/// How often side traffic comes.
#[derive(Clone, Debug, PartialEq)]
pub enum SideRate {
    /// With a kind of attention, whoever visits.
    Attention {
        /// What makes it grow.
        follows: Channel,
        /// Requests per second on a normal day.
        base: f64,
        /// Growth per unit of excess of that channel.
        gain: f64,
    },
    /// With what visitors do in the funnel.
    Funnel {
        /// What it comes with.
        follows: Event,
        /// Requests for each of these events.
        each: f64,
        /// Time from the event to the request; zero for together.
        lag: Lag,
    },
}

/// Something that visitors do in the funnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// They visit.
    Visit,
    /// They ask for metadata.
    Metadata,
    /// Their client starts.
    Start,
    /// Their client stops.
    Stop,
}

/// A kind of attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// Wanting the product: moves the funnel.
    Interest,
    /// Worrying about it: moves support and monitoring.
    Concern,
}

/// The three forecasts of one scenario.
#[derive(Clone, Debug, PartialEq)]
pub struct Variants {
    /// The least that is expected.
    pub conservative: Variant,
    /// The forecast.
    pub baseline: Variant,
    /// The most that must be survived.
    pub breakout: Variant,
}

impl Variants {
    /// The variant of that name.
    #[must_use]
    pub const fn get(&self, name: VariantName) -> Variant {
        match name {
            VariantName::Conservative => self.conservative,
            VariantName::Baseline => self.baseline,
            VariantName::Breakout => self.breakout,
        }
    }
}

/// A forecast as multiples of what the file says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Variant {
    /// Multiple of every signal's strength.
    pub attention: f64,
    /// Multiple of every conversion (capped at 1).
    pub conversion: f64,
}

/// Which forecast is driven.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    clap::ValueEnum,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum VariantName {
    /// The least that is expected.
    Conservative,
    /// The forecast.
    #[default]
    Baseline,
    /// The most that must be survived.
    Breakout,
}
