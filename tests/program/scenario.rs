//! The text of a scenario, of which a test says only what it is about.

/// Keys of `funnel` by which nobody goes on from the first page.
pub(crate) const NOBODY_STAYS: &str = r#"
metadata = { conversion = "0%", lag = { median = "1m", p90 = "2m" } }
start = { conversion = "0%", lag = { median = "1m", p90 = "2m" } }
"#;

/// What a test says of its scenario. By default it has an hour in which next to nobody comes, by day or by night.
pub(crate) struct ScenarioText<'a> {
    pub(crate) duration: &'a str,
    /// Visits on a normal day.
    pub(crate) base: &'a str,
    /// Keys of `funnel`.
    pub(crate) funnel: &'a str,
    pub(crate) items: u32,
    pub(crate) size: &'a str,
    /// Tables of its own.
    pub(crate) tables: &'a str,
}

impl Default for ScenarioText<'_> {
    fn default() -> Self {
        Self { duration: "1h", base: "1/h", funnel: NOBODY_STAYS, items: 1, size: "1 MiB", tables: "" }
    }
}

impl ScenarioText<'_> {
    pub(crate) fn text(&self) -> String {
        let Self { duration, base, funnel, items, size, tables } = self;
        let profiles = concat!(env!("CARGO_MANIFEST_DIR"), "/profiles");
        format!(
            r#"squall = 1
kind = "scenario"
name = "test"
title = "What a test is about"
start = 2026-03-02T00:00:00Z
duration = "{duration}"
clients = "{profiles}/clients.toml"
access = "{profiles}/access.toml"

[audience]
base = "{base}"
[[audience.region]]
name = "everywhere"
share = "100%"
utc_offset = "+00:00"
peak_hour = 12
night = "100%"

[funnel]
{funnel}

[[content]]
class = "something"
items = {items}
size = "{size}"

{tables}
"#
        )
    }
}
