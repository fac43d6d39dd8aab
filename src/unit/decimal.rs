//! Decimal numbers moved by powers of ten without losing a bit: `"18%"` is exactly the number that `0.18` is.

/// The number that `text` writes, times 10^`exponent`, rounded once. Digits with at most one point: no sign, no exponent, no `inf`, and
/// never infinite.
pub(super) fn parse_scaled(text: &str, exponent: i32) -> Option<f64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if !plain || !text.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    // Left to the float parser as an exponent: a multiplication afterwards would round a second time.
    let value: f64 = format!("{text}e{exponent}").parse().ok()?;
    value.is_finite().then_some(value)
}

/// `value` times 10^`exponent` in plain digits: [`parse_scaled`] with the opposite exponent gives exactly `value` back (shortest digits
/// that do).
pub(super) fn format_scaled(value: f64, exponent: i32) -> String {
    let scientific = format!("{:e}", value.abs());
    let (mantissa, power) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let digits: String = mantissa.chars().filter(|&c| c != '.').collect();
    // Digits left of the point.
    let whole = power.parse::<i32>().unwrap_or(0) + exponent + 1;
    let (whole, length) = (i64::from(whole), digits.len() as i64);
    let zeros = |count: i64| "0".repeat(usize::try_from(count).unwrap_or(0));
    if value == 0.0 {
        "0".to_owned()
    } else if whole <= 0 {
        format!("0.{}{digits}", zeros(-whole))
    } else if whole >= length {
        format!("{digits}{}", zeros(whole - length))
    } else {
        let (left, right) = digits.split_at(usize::try_from(whole).unwrap_or(0));
        format!("{left}.{right}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn moves_the_point() {
        assert_eq!(format_scaled(0.18, 2), "18");
        assert_eq!(format_scaled(0.075, 2), "7.5");
        assert_eq!(format_scaled(0.0001, 2), "0.01");
        assert_eq!(format_scaled(12.0, 2), "1200");
        assert_eq!(format_scaled(0.0, 2), "0");
        assert_eq!(parse_scaled("7.5", -2), Some(0.075));
    }

    #[test]
    fn refuses_what_is_no_plain_number() {
        for text in ["", ".", ".5", "+1", "-1", "1e5", "inf", "NaN", "1_0", "1.2.3", "0x10", "１"] {
            assert_eq!(parse_scaled(text, 0), None, "{text}");
        }
        assert_eq!(parse_scaled(&"9".repeat(400), 0), None, "no number is infinite");
    }

    proptest! {
        #[test]
        fn round_trips(value in any::<f64>().prop_map(f64::abs), exponent in -3..12i32) {
            prop_assume!(value.is_finite());
            prop_assert_eq!(parse_scaled(&format_scaled(value, exponent), -exponent), Some(value));
        }
    }
}
