//! Progress: a small panel on a terminal, plain lines in a pipe, nothing when quiet.

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::record::{Snapshot, Totals};
use crate::report;
use crate::scenario::Scenario;
use crate::unit::Tick;

use super::print;

/// Seconds between two lines in a pipe.
const EVERY: u64 = 5;

/// Where progress goes: standard error, so that standard output holds the verdict alone.
pub(super) struct Screen {
    kind: Kind,
    scenario: Arc<Scenario>,
    totals: Totals,
}

enum Kind {
    Quiet,
    Lines,
    Panel(ProgressBar),
}

impl Screen {
    pub(super) fn new(quiet: bool, scenario: &Arc<Scenario>) -> Self {
        let kind = if quiet {
            Kind::Quiet
        } else if std::io::stderr().is_terminal() {
            let bar = ProgressBar::new_spinner();
            // The template is a constant without fields to get wrong; the default style is what is left if it were not.
            bar.set_style(
                ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_spinner()),
            );
            Kind::Panel(bar)
        } else {
            Kind::Lines
        };
        Self { kind, scenario: Arc::clone(scenario), totals: Totals::default() }
    }

    /// Says something once.
    pub(super) fn note(&self, text: &str) {
        match &self.kind {
            Kind::Quiet => {}
            Kind::Lines => print::note(text),
            Kind::Panel(bar) => bar.println(text),
        }
    }

    /// Shows the second that has just been closed.
    pub(super) fn show(&mut self, second: &Snapshot) {
        self.totals.add(second);
        let moment = self.moment(second.second);
        match &self.kind {
            Kind::Quiet => {}
            Kind::Lines if second.second.is_multiple_of(EVERY) => {
                if second.second == 0 {
                    print::note(report::legend());
                }
                print::note(&report::line(second, &self.totals, &moment))
            }
            Kind::Lines => {}
            Kind::Panel(bar) => bar.set_message(report::panel(second, &self.totals, &moment)),
        }
    }

    fn moment(&self, second: u64) -> report::Moment {
        let cut = &self.scenario.cut;
        let scenario = cut.scenario_at(Tick(second * 1_000_000_000)).min(cut.until);
        let signals = self.scenario.signals.iter().flat_map(|signal| signal.moments());
        let last = signals.filter(|(_, at)| *at <= scenario).max_by_key(|(_, at)| *at);
        let phase = if Duration::from_secs(second) >= cut.length() {
            "draining".to_owned()
        } else {
            last.map_or_else(|| "before the first signal".to_owned(), |(name, _)| format!("after {name}"))
        };
        report::Moment { length: cut.length(), scenario, phase }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if let Kind::Panel(bar) = &self.kind {
            bar.finish_and_clear();
        }
    }
}
