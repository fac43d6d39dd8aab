//! Progress: a small panel on a terminal, plain lines in a pipe, nothing when quiet.

use std::io::IsTerminal;
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressStyle};

use crate::record::Snapshot;
use crate::report;
use crate::scenario::{Cut, Scenario};
use crate::unit::Tick;

use super::Colors;
use super::cli::OutArgs;

/// Seconds between two lines in a pipe.
const EVERY: u64 = 5;

/// Where progress goes: standard error, so that standard output holds the verdict alone.
pub(super) struct Screen {
    kind: Kind,
    scenario: Arc<Scenario>,
    color: bool,
}

enum Kind {
    Quiet,
    Lines,
    Panel(ProgressBar),
}

impl Screen {
    pub(super) fn new(args: &OutArgs, scenario: &Arc<Scenario>, colors: Colors) -> Self {
        let kind = if args.quiet {
            Kind::Quiet
        } else if std::io::stderr().is_terminal() {
            let bar = ProgressBar::new_spinner();
            // The template is a constant without fields to get wrong; the default style is what is left if it were not.
            bar.set_style(ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_spinner()));
            Kind::Panel(bar)
        } else {
            Kind::Lines
        };
        Self { kind, scenario: Arc::clone(scenario), color: colors.err }
    }

    /// Says something once.
    pub(super) fn note(&self, text: &str) {
        match &self.kind {
            Kind::Quiet => {}
            Kind::Lines => eprintln!("{text}"),
            Kind::Panel(bar) => bar.println(text),
        }
    }

    /// Shows the second that has just been closed.
    pub(super) fn show(&mut self, second: &Snapshot) {
        let progress = self.progress(second.second);
        match &self.kind {
            Kind::Quiet => {}
            Kind::Lines if second.second % EVERY == 0 => eprintln!("{}", report::progress_line(&progress, second)),
            Kind::Lines => {}
            Kind::Panel(bar) => bar.set_message(report::panel(&progress, second, self.color)),
        }
    }

    fn progress(&self, second: u64) -> report::Progress {
        let cut: &Cut = &self.scenario.cut;
        let scenario_time = cut.scenario_at(Tick(second * 1_000_000_000)).min(cut.until);
        let passed = |signal: &&crate::scenario::Signal| signal.go_live.unwrap_or(signal.at) <= scenario_time;
        report::Progress {
            second,
            length: cut.length(),
            scenario_time,
            phase: self.scenario.signals.iter().rev().find(passed).map_or_else(
                || "before the first signal".to_owned(),
                |signal| format!("after {}", signal.name),
            ),
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if let Kind::Panel(bar) = &self.kind {
            bar.finish_and_clear();
        }
    }
}
