//! Numbers as people read them: three digits and a unit.

use bytesize::ByteSize;

/// `812 µs`, `20.1 ms`, `1.99 s`; a dash where there is none.
pub(super) fn seconds(seconds: Option<f64>) -> String {
    match seconds {
        None => "-".to_owned(),
        Some(s) if s < 0.000_999_5 => format!("{:.0} µs", s * 1e6),
        Some(s) if s < 0.999_5 => format!("{} ms", three_digits(s * 1e3)),
        Some(s) => format!("{} s", three_digits(s)),
    }
}

/// `0.25`, `12.5`, `1250`.
pub(super) fn three_digits(number: f64) -> String {
    match number.abs() {
        n if n < 9.995 => format!("{number:.2}"),
        n if n < 99.95 => format!("{number:.1}"),
        _ => format!("{number:.0}"),
    }
}

/// `12.5/s`.
pub(super) fn rate(per_second: f64) -> String {
    format!("{}/s", three_digits(per_second))
}

/// `77.5 %`.
pub(super) fn percent(share: f64) -> String {
    let digits = three_digits(share * 100.0);
    let short =
        if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { &digits };
    format!("{short} %")
}

/// `12.5 MiB`.
pub(super) fn bytes(bytes: u64) -> String {
    ByteSize(bytes).display().iec().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_and_a_unit() {
        let seen = [0.0, 0.000_812, 0.0201, 0.25, 0.9996, 1.99, 12.0].map(|s| seconds(Some(s)));
        assert_eq!(seen, ["0 µs", "812 µs", "20.1 ms", "250 ms", "1.00 s", "1.99 s", "12.0 s"]);
        assert_eq!(
            [0.0, 0.775, 1.0, -0.125, 0.0312].map(percent),
            ["0 %", "77.5 %", "100 %", "-12.5 %", "3.12 %"]
        );
        assert_eq!((rate(1234.0), seconds(None)), ("1234/s".to_owned(), "-".to_owned()));
    }
}
