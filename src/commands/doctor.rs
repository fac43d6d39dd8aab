//! `squall doctor`, and what `squall run` makes of it.

use std::env;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::analysis::foresight::{Demand, Means, shortages};
use crate::analysis::{Checkup, DOCTOR_SCHEMA, Grade, Verdict};
use crate::live::doctor::{Limits, Machine, Rates, measure};
use crate::profile::{Target, TrackerKind};
use crate::record::Host;
use crate::report;

use super::cli::{DoctorArgs, ReportFormat};
use super::exit::{Exit, Failure};
use super::rehearsal::Prepared;
use super::run::assets;
use super::threads::block_on;
use super::{Colors, print};

/// How long a run looks at a machine that no doctor has seen: not long enough to be waited for, and longer than any hiccup.
const LOOK: Duration = Duration::from_millis(500);

/// Measures this machine's ceilings, judges them, and saves what was found for later runs.
///
/// # Errors
/// [`Exit::Trouble`] where something cannot be measured, or what was found cannot be saved where it was asked for.
pub(super) fn doctor(args: &DoctorArgs, colors: Colors) -> Result<Exit, Failure> {
    print::note(&format!("measuring on loopback for about {} s", args.seconds));
    // Before: what the measurement itself does to load and counters is none of the machine's.
    let limits = Limits::read();
    let rates = look(Duration::from_secs(args.seconds.into()))?;
    let checkup =
        Checkup::new(env!("CARGO_PKG_VERSION"), jiff::Timestamp::now(), Machine::this(), limits, rates);
    let json = report::doctor::json(&checkup).map_err(|error| Failure::trouble("writing JSON", error))?;
    save(args.save.as_deref(), &json)?;
    match args.output_format {
        ReportFormat::Text => print::out(&report::doctor::text(&checkup, colors.out))?,
        ReportFormat::Json => print::out(&json)?,
    }
    // What hardly any run on this machine would come to.
    Ok(if checkup.grade() == Grade::Bad { Exit::Judged(Verdict::Invalid) } else { Exit::Done })
}

fn look(span: Duration) -> Result<Rates, Failure> {
    block_on(measure(span))?.map_err(|error| Failure::trouble("measuring this machine", error))
}

fn save(path: Option<&Path>, json: &str) -> Result<(), Failure> {
    let Some(to) = path.map(Path::to_owned).or_else(usual_place) else { return Ok(()) };
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty());
    let saved = folder.map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&to, json));
    match (saved, path) {
        (Ok(()), _) => print::note(&format!("saved for later runs: {}", to.display())),
        (Err(error), Some(_)) => return Err(Failure::trouble(format!("saving {}", to.display()), error)),
        // Nobody asked for it there.
        (Err(error), None) => print::note(&format!("warning: {} was not saved: {error}", to.display())),
    }
    Ok(())
}

/// `$XDG_STATE_HOME/squall/doctor.json` (XDG base directory specification: relative paths are none; `~/.local/state` without).
fn usual_place() -> Option<PathBuf> {
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))?;
    Some(state.join("squall/doctor.json"))
}

/// This machine as a run finds it.
pub(super) struct Known {
    limits: Limits,
    /// What the doctor found, if that still holds.
    rates: Option<Rates>,
}

impl Known {
    /// Reads the limits, and what the doctor found: in the file that was named, or in the usual place.
    ///
    /// # Errors
    /// [`Exit::Input`] where the file that was named cannot be read, or speaks of another machine; in the usual place that is as if
    /// nothing had been found.
    pub(super) fn new(named: Option<&Path>) -> Result<Self, Failure> {
        let limits = Limits::read();
        let path = named.map(Path::to_owned).or_else(usual_place);
        let rates = match (path.map(|path| found(&path, &limits)), named) {
            (Some(Ok(rates)), _) => Some(rates),
            (Some(Err(failure)), Some(_)) => return Err(failure),
            (Some(Err(_)), None) | (None, _) => None,
        };
        Ok(Self { limits, rates })
    }

    /// What the recording says of the machine: its limits, what it carries, and what the plan lacks.
    ///
    /// # Errors
    /// The machine cannot be measured.
    pub(super) fn host(
        self,
        demand: &Demand,
        prepared: &Prepared,
        target: &Target,
        workers: usize,
    ) -> Result<Host, Failure> {
        let Self { limits, rates } = self;
        let on_loopback = |address: SocketAddr| address.ip().is_loopback() && address.is_ipv4();
        let means = Means {
            limits: &limits,
            rates: None,
            workers,
            own_addresses: !target.visitor_networks.is_empty() || target.addresses().all(on_loopback),
            udp_trackers: target.trackers.iter().all(|tracker| tracker.kind == TrackerKind::Udp),
            assets: assets(prepared, target),
        };
        let rates = match rates {
            None if !demand.is_small(&means) => Some(look(LOOK)?),
            known => known,
        };
        let foreseen = shortages(demand, &Means { rates: rates.as_ref(), ..means });
        let Machine { hostname, kernel, .. } = Machine::this();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Host { cores, kernel, hostname: Some(hostname), limits: Some(limits), rates, foreseen })
    }
}

fn found(path: &Path, limits: &Limits) -> Result<Rates, Failure> {
    let wrong = |what: &dyn std::fmt::Display| {
        let hint = "let `squall doctor` look at this machine again";
        Failure::new(Exit::Input, format!("error: {}: {what}\n  hint: {hint}", path.display()))
    };
    let text = fs::read_to_string(path).map_err(|error| wrong(&error))?;
    let checkup: Checkup = serde_json::from_str(&text).map_err(|error| wrong(&error))?;
    if checkup.schema != DOCTOR_SCHEMA {
        return Err(wrong(&format!("its form is {}, not {DOCTOR_SCHEMA}", checkup.schema)));
    }
    if !checkup.holds_for(&Machine::this(), limits) {
        return Err(wrong(
            &"found on another machine, or before this one was started again or got other cores",
        ));
    }
    Ok(checkup.rates)
}
