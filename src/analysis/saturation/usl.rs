//! The Universal Scalability Law: X(N) = γN / (1 + α(N−1) + βN(N−1)).
//!
//! Gunther, "Guerrilla Capacity Planning" (2007): throughput X at concurrency N, γ per unit of it, α lost to contention, β to coherency.
//! It is fitted by least squares on X (Levenberg-Marquardt, α and β not below 0), begun at the fit of N/X, in which it is linear. The
//! crate `usl` is no longer kept and gives no intervals; three parameters need no linear algebra library.

/// Least points of a fit.
const POINTS: usize = 6;

/// A fit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Usl {
    /// Throughput of one.
    pub(super) gamma: f64,
    /// Contention.
    pub(super) alpha: f64,
    /// Coherency.
    pub(super) beta: f64,
    /// Half the width of the 95 % interval of each.
    pub(super) margins: [f64; 3],
}

impl Usl {
    /// Fits points of (concurrency, throughput); `None` where they are too few or do not determine it.
    pub(super) fn fit(points: &[(f64, f64)]) -> Option<Self> {
        if points.len() < POINTS || points.iter().any(|(n, x)| *n <= 0.0 || *x <= 0.0) {
            return None;
        }
        let mut at = linear_start(points)?;
        let mut damping = 1e-3;
        for _ in 0..200 {
            let (normal, gradient) = normal_equations(points, at);
            let mut damped = normal;
            (0..3).for_each(|i| damped[i][i] *= 1.0 + damping);
            let Some(step) = solve(damped, gradient) else { break };
            let tried = [at[0] + step[0], (at[1] + step[1]).max(0.0), (at[2] + step[2]).max(0.0)];
            let (before, after) = (squares(points, at), squares(points, tried));
            if tried[0] > 0.0 && after <= before {
                let done = before - after <= 1e-14 * before;
                (at, damping) = (tried, (damping / 10.0).max(1e-12));
                if done {
                    break;
                }
            } else if damping > 1e12 {
                break;
            } else {
                damping *= 10.0;
            }
        }
        let margins = margins(points, at)?;
        Some(Self { gamma: at[0], alpha: at[1], beta: at[2], margins })
    }

    /// The concurrency of the highest throughput, 1 at least; `None` where the interval of β holds 0: no peak was observed.
    pub(super) fn peak(&self) -> Option<f64> {
        (self.beta > self.margins[2]).then(|| ((1.0 - self.alpha).max(0.0) / self.beta).sqrt().max(1.0))
    }

    /// What throughput comes to at most: that of the peak; without one, where contention leads (Amdahl's asymptote), if there is
    /// contention.
    pub(super) fn ceiling(&self) -> Option<f64> {
        match self.peak() {
            Some(peak) => Some(throughput([self.gamma, self.alpha, self.beta], peak)),
            None => (self.alpha > self.margins[1]).then(|| self.gamma / self.alpha),
        }
    }
}

fn throughput([gamma, alpha, beta]: [f64; 3], n: f64) -> f64 {
    gamma * n / (1.0 + alpha * (n - 1.0) + beta * n * (n - 1.0))
}

fn squares(points: &[(f64, f64)], at: [f64; 3]) -> f64 {
    points.iter().map(|&(n, x)| (x - throughput(at, n)).powi(2)).sum()
}

/// JᵀJ and Jᵀr of the residuals at some parameters.
fn normal_equations(points: &[(f64, f64)], at: [f64; 3]) -> ([[f64; 3]; 3], [f64; 3]) {
    let (mut normal, mut gradient) = ([[0.0; 3]; 3], [0.0; 3]);
    for &(n, x) in points {
        let expected = throughput(at, n);
        let below = 1.0 + at[1] * (n - 1.0) + at[2] * n * (n - 1.0);
        let slope = [expected / at[0], -expected * (n - 1.0) / below, -expected * n * (n - 1.0) / below];
        for i in 0..3 {
            gradient[i] += slope[i] * (x - expected);
            (0..3).for_each(|j| normal[i][j] += slope[i] * slope[j]);
        }
    }
    (normal, gradient)
}

/// N/X = 1/γ + (α/γ)(N−1) + (β/γ)N(N−1), by linear least squares.
fn linear_start(points: &[(f64, f64)]) -> Option<[f64; 3]> {
    let (mut normal, mut right) = ([[0.0; 3]; 3], [0.0; 3]);
    for &(n, x) in points {
        let row = [1.0, n - 1.0, n * (n - 1.0)];
        for i in 0..3 {
            right[i] += row[i] * n / x;
            (0..3).for_each(|j| normal[i][j] += row[i] * row[j]);
        }
    }
    let [one, contention, coherency] = solve(normal, right)?;
    let highest = points.iter().map(|(n, x)| x / n).fold(0.0, f64::max);
    let gamma = if one > 0.0 { 1.0 / one } else { highest };
    Some([gamma, (contention * gamma).clamp(0.0, 1.0), (coherency * gamma).max(0.0)])
}

/// Half the width of the 95 % interval of each parameter, from the residuals.
fn margins(points: &[(f64, f64)], at: [f64; 3]) -> Option<[f64; 3]> {
    let freedom = (points.len() - 3) as f64;
    let variance = squares(points, at) / freedom;
    let (normal, _) = normal_equations(points, at);
    let mut margins = [0.0; 3];
    for (i, margin) in margins.iter_mut().enumerate() {
        let mut unit = [0.0; 3];
        unit[i] = 1.0;
        *margin = student_97_5(freedom) * (solve(normal, unit)?[i].max(0.0) * variance).sqrt();
    }
    Some(margins)
}

/// The 97.5 % quantile of Student's t, by its expansion about the normal's (Abramowitz and Stegun 26.7.5): to a percent from 3 degrees on.
fn student_97_5(freedom: f64) -> f64 {
    const Z: f64 = 1.959_964;
    let terms = [
        (Z.powi(3) + Z) / 4.0,
        (5.0 * Z.powi(5) + 16.0 * Z.powi(3) + 3.0 * Z) / 96.0,
        (3.0 * Z.powi(7) + 19.0 * Z.powi(5) + 17.0 * Z.powi(3) - 15.0 * Z) / 384.0,
    ];
    terms.iter().zip(1..).fold(Z, |sum, (term, power)| sum + term / freedom.powi(power))
}

/// Three linear equations, by elimination with pivots on scaled rows; `None` where they do not determine the unknowns.
fn solve(mut matrix: [[f64; 3]; 3], mut right: [f64; 3]) -> Option<[f64; 3]> {
    // Unknowns differ by many orders of magnitude: each is scaled by its own diagonal.
    let scale: [f64; 3] = std::array::from_fn(|i| matrix[i][i].sqrt());
    if scale.iter().any(|scale| !scale.is_finite() || *scale <= 0.0) {
        return None;
    }
    for i in 0..3 {
        right[i] /= scale[i];
        (0..3).for_each(|j| matrix[i][j] /= scale[i] * scale[j]);
    }
    for column in 0..3 {
        let pivot =
            (column..3).max_by(|&a, &b| matrix[a][column].abs().total_cmp(&matrix[b][column].abs()))?;
        if matrix[pivot][column].abs() < 1e-13 {
            return None;
        }
        matrix.swap(column, pivot);
        right.swap(column, pivot);
        for row in column + 1..3 {
            let factor = matrix[row][column] / matrix[column][column];
            (column..3).for_each(|j| matrix[row][j] -= factor * matrix[column][j]);
            right[row] -= factor * right[column];
        }
    }
    let mut found = [0.0; 3];
    for row in (0..3).rev() {
        let known: f64 = (row + 1..3).map(|j| matrix[row][j] * found[j]).sum();
        found[row] = (right[row] - known) / matrix[row][row];
    }
    Some(std::array::from_fn(|i| found[i] / scale[i]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `domain.md` section 3: exact points of α = β = 0.02, γ = 1.
    #[test]
    fn exact_points_give_their_law() {
        let points = [(1.0, 1.0), (2.0, 1.8868), (4.0, 3.0769), (6.0, 3.5294), (8.0, 3.5398), (10.0, 3.3557)];
        let fit = Usl::fit(&points).unwrap();
        assert!((fit.gamma - 1.0).abs() < 1e-3 && (fit.alpha - 0.02).abs() < 1e-4, "{fit:?}");
        assert!((fit.beta - 0.02).abs() < 1e-4 && (fit.peak().unwrap() - 7.0).abs() < 0.01, "{fit:?}");
    }

    /// SPEC SDM91, as in the documentation of the R package `usl`.
    #[test]
    fn the_benchmark_of_spec_sdm91() {
        let points = [
            (1.0, 64.9),
            (18.0, 995.9),
            (36.0, 1652.4),
            (72.0, 1853.2),
            (108.0, 1828.9),
            (144.0, 1775.0),
            (216.0, 1702.2),
        ];
        let fit = Usl::fit(&points).unwrap();
        assert!((fit.gamma - 89.995).abs() < 0.01 && (fit.alpha - 0.02773).abs() < 1e-5, "{fit:?}");
        assert!((fit.beta - 1.0437e-4).abs() < 1e-8 && (fit.peak().unwrap() - 96.52).abs() < 0.01, "{fit:?}");
    }

    /// aquatic's published run of opentracker on 1 to 16 cores (`domain.md` section 3, which has α .0285 and β .0016 of it): seven
    /// points that scatter. The fit is closer to them, and does not claim a peak.
    #[test]
    fn opentracker_on_many_cores() {
        let x = [190_540.0, 379_623.0, 748_401.0, 901_600.0, 1_170_928.0, 1_675_059.0, 1_645_828.0];
        let points: Vec<_> = [1.0, 2.0, 4.0, 6.0, 8.0, 12.0, 16.0].into_iter().zip(x).collect();
        let fit = Usl::fit(&points).unwrap();
        let published = squares(&points, [190_540.0, 0.0285, 0.0016]);
        assert!(squares(&points, [fit.gamma, fit.alpha, fit.beta]) <= published, "{fit:?}");
        assert!(
            (fit.alpha - 0.0285).abs() < fit.margins[1] && (fit.beta - 0.0016).abs() < fit.margins[2],
            "{fit:?}"
        );
        assert_eq!(fit.peak(), None);
    }

    /// Throughput that only falls: less than one at a time is nothing that a layer could be held to.
    #[test]
    fn the_peak_of_what_only_falls_is_at_one() {
        let points: Vec<_> = (1..=10).map(f64::from).map(|n| (n, throughput([100.0, 0.9, 0.5], n))).collect();
        let fit = Usl::fit(&points).unwrap();
        assert!(fit.peak() == Some(1.0) && (fit.ceiling().unwrap() - 100.0).abs() < 1e-6, "{fit:?}");
    }

    #[test]
    fn a_line_has_no_peak_and_few_points_no_fit() {
        let line: Vec<_> = (1..=10).map(|n| (f64::from(n), 5.0 * f64::from(n))).collect();
        let fit = Usl::fit(&line).unwrap();
        assert_eq!((fit.peak(), fit.ceiling()), (None, None), "{fit:?}");
        assert_eq!(Usl::fit(&line[..5]), None);
        assert_eq!(Usl::fit(&[(3.0, 5.0); 8]), None);
    }

    #[test]
    fn the_quantile_of_student() {
        for (freedom, expected) in [(3.0, 3.182), (4.0, 2.776), (10.0, 2.228), (30.0, 2.042)] {
            assert!((student_97_5(freedom) / expected - 1.0).abs() < 0.01, "{freedom}");
        }
    }
}
