//! Reading where metrics of the target are.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use toml::de::DeValue;
use url::{Host, Url};

use crate::problem::{Form, OneOf, Reported, Table, Value};
use crate::profile::{Layer, MetricsEndpoint, Reading, Series};

/// Endpoints of a target: each is asked once a second.
const MOST: usize = 64;

/// Where a page is served over plain HTTP.
struct MetricsUrl(SocketAddr, String);

impl Value for MetricsUrl {
    fn noun() -> String {
        "the URL of metrics: plain HTTP at an IP address".to_owned()
    }

    fn forms() -> String {
        "\"http://10.77.0.2:9100/metrics\"; names are not resolved".to_owned()
    }

    fn form() -> Form {
        Form::TEXT
    }

    fn from_toml(value: &DeValue<'_>) -> Option<Self> {
        let url = Url::parse(value.as_str()?).ok().filter(|url| url.scheme() == "http")?;
        let plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
        let ip = match url.host()? {
            Host::Ipv4(ip) => ip.into(),
            Host::Ipv6(ip) => ip.into(),
            Host::Domain(_) => return None,
        };
        let address = SocketAddr::new(ip, url.port_or_known_default().filter(|port| *port > 0)?);
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        plain.then(|| Self(address, format!("{}{query}", url.path())))
    }
}

/// What a reading is taken from, before it is known what answers.
struct Source(String);

impl Value for Source {
    fn noun() -> String {
        "a number, or the name of series with labels; of a Prometheus server a query".to_owned()
    }

    fn forms() -> String {
        "\"nginx_cpu_seconds_total{job='index'}\" or \"2\"".to_owned()
    }

    fn form() -> Form {
        Form::TEXT
    }

    fn from_toml(value: &DeValue<'_>) -> Option<Self> {
        let text = value.as_str()?.trim();
        (!text.is_empty() && !text.contains(char::is_control)).then(|| Self(text.to_owned()))
    }
}

/// The array `metrics` of a target.
pub(super) fn endpoints(table: &mut Table<'_>) -> Result<Vec<MetricsEndpoint>, Reported> {
    let endpoints = table.tables(
        "metrics",
        "Metrics of a layer, read once a second: node_exporter, process metrics, or what `series` names.",
        endpoint,
    )?;
    if endpoints.len() > MOST {
        let message = format!("there are more than {MOST} `[[metrics]]`");
        return Err(table.wrong("metrics", message, None));
    }
    Ok(endpoints)
}

fn endpoint(table: &mut Table<'_>) -> Result<MetricsEndpoint, Reported> {
    let layer = table.required::<OneOf<Layer>>("layer", "The layer that they tell of.");
    let url = table.required::<MetricsUrl>(
        "url",
        "The page, in the text format of Prometheus or OpenMetrics; of a Prometheus server its root.",
    );
    let prometheus =
        table.or("prometheus", "Whether it is a Prometheus server: `series` are queries.", false);
    // Where that is wrong nothing in `series` is: everything can be a query.
    let queries = *prometheus.as_ref().unwrap_or(&true);
    let series = table.table_of_defaults(
        "series",
        "What is read where the names are not those of node_exporter or of process metrics.",
        |table| series(table, queries),
    );
    let (layer, MetricsUrl(address, path), prometheus, series) = (layer?.0, url?, prometheus?, series?);
    if prometheus && series.is_empty() {
        let hint =
            Some("add `series = { cpu_cores = 'sum(rate(process_cpu_seconds_total[5s]))' }`".to_owned());
        return Err(table.wrong("series", "a Prometheus server is asked nothing".to_owned(), hint));
    }
    Ok(MetricsEndpoint { layer, address, path, prometheus, series })
}

fn series(table: &mut Table<'_>, prometheus: bool) -> Result<BTreeMap<Reading, Series>, Reported> {
    // Every key is read before the first that is wrong ends the reading.
    let read = Reading::ALL.map(|(reading, name, doc)| {
        let source = table.optional::<Source>(name, doc);
        source.and_then(|source| match source {
            None => Ok(None),
            Some(Source(text)) => match parse(&text, prometheus) {
                Some(series) => Ok(Some((reading, series))),
                None => {
                    let message = format!("`{name}` is no name of series");
                    Err(table.wrong(name, message, Some(format!("for example {}", Source::forms()))))
                }
            },
        })
    });
    read.into_iter().filter_map(Result::transpose).collect()
}

/// A number, a query, or `name{label="value", ...}` with either kind of quotes; values have no quotes and no commas in them.
fn parse(text: &str, prometheus: bool) -> Option<Series> {
    if let Ok(number) = text.parse::<f64>() {
        return number.is_finite().then_some(Series::Constant(number));
    }
    if prometheus {
        return Some(Series::Query(text.to_owned()));
    }
    let (name, labels) = match text.split_once('{') {
        Some((name, labels)) => (name.trim(), labels.strip_suffix('}')?),
        None => (text, ""),
    };
    let is_name = |text: &str, more: &[u8]| {
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || more.contains(&byte);
        text.bytes().all(letter) && text.bytes().next().is_some_and(|byte| !byte.is_ascii_digit())
    };
    let label = |text: &str| {
        let (label, value) = text.split_once('=')?;
        let value = value.trim();
        let bare = value.strip_prefix(['"', '\''])?.strip_suffix(['"', '\''])?;
        let fine = is_name(label.trim(), b"") && !bare.contains(['"', '\'', '\\']);
        fine.then(|| (label.trim().to_owned(), bare.to_owned()))
    };
    let labels =
        labels.split(',').filter(|label| !label.trim().is_empty()).map(label).collect::<Option<_>>()?;
    is_name(name, b":").then(|| Series::Named { name: name.to_owned(), labels })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_a_number_a_name_with_labels_or_a_query() {
        let named = |name: &str, labels: &[(&str, &str)]| {
            let labels = labels.iter().map(|&(label, value)| (label.to_owned(), value.to_owned())).collect();
            Some(Series::Named { name: name.to_owned(), labels })
        };
        assert_eq!(parse("1.5", false), Some(Series::Constant(1.5)));
        assert_eq!(parse("job:cpu", false), named("job:cpu", &[]));
        assert_eq!(parse("a{b=\"c\", d='e,'}", false), None, "no comma in a value");
        assert_eq!(parse("a{b=\"c\", d='e'}", false), named("a", &[("b", "c"), ("d", "e")]));
        assert_eq!(parse("sum(rate(a[5s]))", false), None);
        assert_eq!(parse("sum(rate(a[5s]))", true), Some(Series::Query("sum(rate(a[5s]))".to_owned())));
        for wrong in ["inf", "nan", "9a", "a{b}", "a{b=c}", "a{b=\"c\"", "{}", "a b"] {
            assert_eq!(parse(wrong, false), None, "{wrong}");
        }
    }
}
