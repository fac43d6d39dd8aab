//! Ways out.

/// The candidate that was probably meant, if one is near enough.
pub(super) fn nearest<'c>(written: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    // 0.6: "volum" for "volume" (0.83) and "peek_hr" for "peak_hour" (0.67) are near, "colour" for "volume" (0.5) is not.
    const NEAR: f64 = 0.6;
    candidates
        .into_iter()
        .map(|candidate| (strsim::normalized_damerau_levenshtein(written, candidate), candidate))
        .filter(|(likeness, _)| *likeness >= NEAR)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, candidate)| candidate)
}

/// "did you mean `volume`?", or what there is to choose from.
pub(super) fn did_you_mean<'c>(
    written: &str,
    candidates: impl IntoIterator<Item = &'c str> + Clone,
) -> Option<String> {
    let near = nearest(written, candidates.clone()).map(|candidate| format!("did you mean `{candidate}`?"));
    let all = || {
        let names: Vec<String> = candidates.into_iter().map(|name| format!("`{name}`")).collect();
        (!names.is_empty()).then(|| format!("known here: {}", names.join(", ")))
    };
    near.or_else(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 3] = ["volume", "peak_hour", "price"];

    #[test]
    fn near_keys_are_guessed_and_far_ones_listed() {
        assert_eq!(nearest("volum", KEYS), Some("volume"));
        assert_eq!(nearest("peak_hr", KEYS), Some("peak_hour"));
        assert_eq!(nearest("peak-hour", KEYS), Some("peak_hour"));
        assert_eq!(nearest("colour", KEYS), None);
        assert_eq!(did_you_mean("prise", KEYS).as_deref(), Some("did you mean `price`?"));
        assert_eq!(did_you_mean("x", KEYS).as_deref(), Some("known here: `volume`, `peak_hour`, `price`"));
        assert_eq!(did_you_mean("x", []), None);
    }
}
