//! When a signal shows.

use std::time::Duration;

use super::Signal;

impl Signal {
    /// The moments at which it acts, named after it: its own, and the start of trading of a listing.
    pub fn moments(&self) -> impl Iterator<Item = (String, Duration)> + '_ {
        let go_live = self.go_live.map(|at| (format!("{} goes live", self.name), at));
        std::iter::once((self.name.clone(), self.at)).chain(go_live)
    }
}
