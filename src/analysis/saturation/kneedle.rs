//! The point of greatest curvature of a curve, by Kneedle.
//!
//! Satopää, Albrecht, Irwin and Raghavan, "Finding a Kneedle in a Haystack" (ICDCSW 2011), for concave, rising curves. The crate `kneed`
//! is a port of the Python package with its polynomial smoothing, which takes a linear algebra library; here points are means already.

/// The knee of a concave, rising curve through points of strictly ascending x, with sensitivity `s` (1 in the paper); `None` where there is
/// none: a straight line has none, whatever it leads to.
pub(super) fn knee(points: &[(f64, f64)], s: f64) -> Option<(f64, f64)> {
    let (first, last) = (points.first()?, points.last()?);
    let lowest = points.iter().map(|point| point.1).fold(f64::INFINITY, f64::min);
    let highest = points.iter().map(|point| point.1).fold(f64::NEG_INFINITY, f64::max);
    let (width, height) = (last.0 - first.0, highest - lowest);
    if points.len() < 5 || width <= 0.0 || height <= 0.0 {
        return None;
    }
    // How far the curve, scaled to the unit square, is above its diagonal.
    let above: Vec<f64> = points.iter().map(|(x, y)| (y - lowest) / height - (x - first.0) / width).collect();
    let spacing = 1.0 / (points.len() - 1) as f64;
    let is_peak = |i: usize| above[i] > 0.0 && above[i - 1] <= above[i] && above[i] >= above[i + 1];
    let mut candidate: Option<(usize, f64)> = None;
    for (i, &height) in above.iter().enumerate().skip(1) {
        if let Some((peak, threshold)) = candidate
            && height < threshold
        {
            return Some(points[peak]);
        }
        if i + 1 < points.len() && is_peak(i) {
            candidate = Some((i, height - s * spacing));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(points: usize, y: impl Fn(f64) -> f64) -> Vec<(f64, f64)> {
        (0..points).map(|i| i as f64 / (points - 1) as f64).map(|x| (x, y(x))).collect()
    }

    /// Figure 2 of the paper, as the package `kneed` has it in its tests.
    #[test]
    fn figure_2_of_the_paper() {
        let (x, y) = knee(&curve(10, |x| -1.0 / (x + 0.1) + 5.0), 1.0).unwrap();
        assert!((x - 0.2222).abs() < 1e-3 && (y - 1.8966).abs() < 1e-3, "{x} {y}");
    }

    #[test]
    fn a_line_has_no_knee() {
        assert_eq!(knee(&curve(20, |x| 3.0 * x + 1.0), 1.0), None);
        assert_eq!(knee(&[], 1.0), None);
        assert_eq!(knee(&curve(20, |_| 1.0), 1.0), None);
    }

    #[test]
    fn where_a_ramp_meets_its_ceiling() {
        let (x, _) = knee(&curve(41, |x| x.min(0.6)), 1.0).unwrap();
        assert!((x - 0.6).abs() < 1e-9, "{x}");
    }
}
