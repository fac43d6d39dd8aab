//! The text formats of Prometheus (0.0.4) and OpenMetrics (1.0), as far as both go: lines of `name{label="value"} number`.
//!
//! By hand: `prometheus-parse` 0.2.5 splits labels at commas inside of values, knows no escapes and no names with colons;
//! `openmetrics-parser` 0.5.1 is under the LGPL; `prometheus-scraper` 0.2.0 brings a protobuf runtime for the format that is not asked for.

use std::borrow::Cow;

/// One value of a series.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sample<'a> {
    pub(super) name: &'a str,
    labels: Vec<(&'a str, Cow<'a, str>)>,
    pub(super) value: f64,
}

impl Sample<'_> {
    /// What a label of it holds.
    pub(super) fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(label, _)| *label == name).map(|(_, value)| value.as_ref())
    }
}

/// The samples of a page. Lines that are not well-formed are left out, as are time stamps and exemplars.
pub(super) fn samples(page: &str) -> impl Iterator<Item = Sample<'_>> {
    page.lines().filter_map(sample)
}

fn sample(line: &str) -> Option<Sample<'_>> {
    let (name, rest) = split(line.trim(), b":")?;
    let (labels, rest) = match rest.trim_start().strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Vec::new(), rest.strip_prefix([' ', '\t'])?),
    };
    let value = rest.split_ascii_whitespace().next()?;
    Some(Sample { name, labels, value: value.parse().ok()? })
}

/// A name at the beginning of a text, and what follows.
fn split<'a>(text: &'a str, more: &[u8]) -> Option<(&'a str, &'a str)> {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || more.contains(&byte);
    let end = text.bytes().position(|byte| !letter(byte)).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit()).then_some((name, rest))
}

type Labels<'a> = Vec<(&'a str, Cow<'a, str>)>;

/// Labels up to the closing brace, and what follows it.
fn labels(mut rest: &str) -> Option<(Labels<'_>, &str)> {
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start();
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, after) = split(rest, b"")?;
        let quoted = after.trim_start().strip_prefix('=')?.trim_start().strip_prefix('"')?;
        let end = closing(quoted)?;
        labels.push((name, unescaped(&quoted[..end])));
        rest = quoted[end + 1..].trim_start();
        rest = match rest.strip_prefix(',') {
            Some(rest) => rest,
            None if rest.starts_with('}') => rest,
            None => return None,
        };
    }
}

/// Where the quote stands that ends a value.
fn closing(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })
}

/// `\\`, `\"` and `\n` are what they stand for; any other escape is left as it is.
fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (letter, letters.as_str().chars().next()) {
            ('\\', Some(next @ ('\\' | '"' | 'n'))) => {
                letters.next();
                plain.push(if next == 'n' { '\n' } else { next });
            }
            _ => plain.push(letter),
        }
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The examples of the format's own description, <https://prometheus.io/docs/instrumenting/exposition_formats/>.
    #[test]
    fn the_examples_of_the_format_are_read() {
        let page = r#"
# HELP http_requests_total The total number of HTTP requests.
# TYPE http_requests_total counter
http_requests_total{method="post",code="200"} 1027 1395066363000
http_requests_total{method="post",code="400"}    3 1395066363000
# Escaping in label values:
msdos_file_access_time_seconds{path="C:\\DIR\\FILE.TXT",error="Cannot find file:\n\"FILE.TXT\""} 1.458255915e9
# Minimalistic line:
metric_without_timestamp_and_labels 12.47
# A weird metric from before the epoch:
something_weird{problem="division by zero"} +Inf -3982045
http_request_duration_seconds_bucket{le="0.05"} 24054
rpc_duration_seconds{quantile="0.01"} 3102
job:cpu:rate5m { a = "b" , } 1.5 # {trace_id="x"} 0.67
# EOF
"#;
        let found: Vec<_> = samples(page).collect();
        let values: Vec<_> = found.iter().map(|sample| (sample.name, sample.value)).collect();
        let expected = [
            ("http_requests_total", 1027.0),
            ("http_requests_total", 3.0),
            ("msdos_file_access_time_seconds", 1.458255915e9),
            ("metric_without_timestamp_and_labels", 12.47),
            ("something_weird", f64::INFINITY),
            ("http_request_duration_seconds_bucket", 24054.0),
            ("rpc_duration_seconds", 3102.0),
            ("job:cpu:rate5m", 1.5),
        ];
        assert_eq!(values, expected);
        assert_eq!(found[2].label("path"), Some(r"C:\DIR\FILE.TXT"));
        assert_eq!(found[2].label("error"), Some("Cannot find file:\n\"FILE.TXT\""));
        assert_eq!(found[0].label("code"), Some("200"));
        assert_eq!((found[0].label("cod"), found[7].label("a")), (None, Some("b")));
    }

    #[test]
    fn what_is_no_sample_is_left_out() {
        for line in [
            "a",
            "a{",
            "a{b}",
            "a{b=}",
            "a{b=\"c}",
            "a{b=\"c\"d=\"e\"} 1",
            "9a 1",
            "a one",
            "{} 1",
            "a{b=\"\\\"} 1",
            "a-b 1",
        ] {
            assert_eq!(samples(line).count(), 0, "{line}");
        }
    }

    proptest! {
        /// Whatever labels hold, and in whatever manner numbers are written.
        #[test]
        fn what_is_written_is_read(name in "[a-z_:][a-z0-9_:]{0,9}", values in prop::collection::vec(".{0,12}", 0..5), value: f64) {
            let written = |value: &String| value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
            let labels: Vec<String> =
                values.iter().enumerate().map(|(n, value)| format!("l{n}=\"{}\"", written(value))).collect();
            let line = format!("{name}{{{}}} {value}", labels.join(","));
            let read: Vec<_> = samples(&line).collect();
            prop_assume!(!values.iter().any(|value| value.contains('\r')));
            prop_assert_eq!(read.len(), 1, "{}", line);
            prop_assert_eq!(read[0].name, &name);
            prop_assert!(read[0].value == value || value.is_nan() && read[0].value.is_nan());
            for (n, value) in values.iter().enumerate() {
                prop_assert_eq!(read[0].label(&format!("l{n}")), Some(value.as_str()));
            }
        }

        #[test]
        fn any_text_is_harmless(text: String) {
            let _ = samples(&text).count();
        }
    }
}
