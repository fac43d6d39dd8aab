//! A log at a glance.

use serde::Serialize;

use crate::plan::{AnnounceEvent, What};

use super::Replay;

/// Events, in the order of [`Survey::events`] and [`SurveyRow::announces_per_second`].
const EVENTS: [AnnounceEvent; 4] =
    [AnnounceEvent::Started, AnnounceEvent::Interval, AnnounceEvent::Completed, AnnounceEvent::Stopped];

/// A log at a glance.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Survey {
    /// The file, as it was named.
    pub log: String,
    /// Its announces.
    pub announces: u64,
    /// Lines that are left out.
    pub unread: u64,
    /// Torrents that it names.
    pub torrents: usize,
    /// Its length on its own clock.
    pub log_seconds: f64,
    /// Its length on the run clock.
    pub run_seconds: f64,
    /// Fingerprint of the plan ([`Replay::digest`]).
    pub digest: String,
    /// Announces that say started, nothing (the regular ones), completed and stopped.
    pub events: [u64; 4],
    /// Announces in the fullest second of the run.
    pub busiest_second: u64,
    /// Run seconds at which that begins.
    pub busiest_at_seconds: u64,
    /// Equal buckets of the log, in order of time.
    pub rows: Vec<SurveyRow>,
}

/// One bucket.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SurveyRow {
    /// Its beginning, log seconds.
    pub log_seconds: f64,
    /// Its beginning, run seconds.
    pub run_seconds: f64,
    /// Announces per second of the run, by event in the order of [`Survey::events`].
    pub announces_per_second: [f64; 4],
}

impl Replay {
    /// The log at a glance, in `buckets` equal parts. Reads all of it; where that fails, [`Replay::trouble`] says why.
    #[must_use]
    pub fn survey(&self, buckets: usize) -> Survey {
        let (length, span) = (self.length().as_secs_f64(), self.span().as_secs_f64());
        let width = length / buckets as f64;
        let row = |i: usize| SurveyRow {
            log_seconds: span * i as f64 / buckets as f64,
            run_seconds: width * i as f64,
            announces_per_second: [0.0; 4],
        };
        let mut survey = Survey {
            log: self.path().display().to_string(),
            announces: self.lines().read,
            unread: self.lines().unread,
            torrents: self.torrents(),
            log_seconds: span,
            run_seconds: length,
            digest: self.digest(),
            events: [0; 4],
            busiest_second: 0,
            busiest_at_seconds: 0,
            rows: (0..buckets).map(row).collect(),
        };
        let (mut second, mut within) = (0, 0);
        for arrival in self.shard(0, 1) {
            let due = arrival.due();
            let said = arrival.steps.first().map(|step| step.what);
            let Some(event) = EVENTS.iter().position(|event| said == Some(What::Announce(*event))) else {
                continue;
            };
            survey.events[event] += 1;
            if let Some(row) = survey.rows.get_mut((due.as_secs_f64() / width) as usize) {
                row.announces_per_second[event] += 1.0 / width;
            }
            if due.second() != second {
                (second, within) = (due.second(), 0);
            }
            within += 1;
            if within > survey.busiest_second {
                (survey.busiest_second, survey.busiest_at_seconds) = (within, second);
            }
        }
        survey
    }
}
