//! The three scorecards.

use crate::analysis::{DemandCard, ImpactCard, Intensity, ResponseCard, Scorecards};
use crate::demand::Response;

use super::quantity::{percent, rate, seconds, three_digits};
use super::table::{Align, table};

/// The cards on a terminal.
pub(super) fn text(cards: &Scorecards) -> String {
    let head = ["", "scorecard", "predicted", "tier", "came", "good", "lost", "set off by"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(cards.demand.iter().zip(&cards.impact).map(|(demand, impact)| row(demand, impact)));
    use Align::{Left, Right};
    let intensity = cards.intensity.as_ref().map(intensity).unwrap_or_default();
    table(&[Left, Left, Right, Left, Right, Right, Right, Left], &rows) + &intensity
}

fn row(demand: &DemandCard, impact: &ImpactCard) -> Vec<String> {
    let or_none = |value: Option<f64>| value.map_or("-".to_owned(), rate);
    let set_off = impact
        .after_signal
        .as_ref()
        .map(|after| format!("{}, {} before it", after.signal, seconds(Some(after.lag_seconds))));
    vec![
        String::new(),
        demand.layer.name().to_owned(),
        or_none(demand.predicted_per_second),
        demand.predicted_tier.map_or("-", |tier| tier.name()).to_owned(),
        or_none(demand.required_per_second),
        percent(impact.good_share),
        impact.lost.to_string(),
        set_off.unwrap_or_default(),
    ]
}

fn intensity(card: &Intensity) -> String {
    let mut text = format!(
        "  event intensity: tier {}, {}× a normal day at most\n",
        card.tier.name(),
        three_digits(card.factor)
    );
    let told: Vec<String> = card.responses.iter().filter_map(response).collect();
    if !told.is_empty() {
        text += &format!("  the response matrix would have called to {}\n", told.join("; "));
    }
    text
}

/// When a response was called for; `None` where it never was.
fn response(card: &ResponseCard) -> Option<String> {
    let at = match card.at_seconds? {
        at if at <= 0.0 => "before the run".to_owned(),
        at => format!("at {at:.0} s"),
    };
    let ahead = match card.ahead_seconds {
        None => String::new(),
        Some(ahead) if ahead >= 0.0 => format!(", {ahead:.0} s before the first layer failed"),
        Some(behind) => format!(", {:.0} s after the first layer failed", -behind),
    };
    Some(format!("{} ({}×) {at}{ahead}", name(card.response), card.from_factor))
}

const fn name(response: Response) -> &'static str {
    match response {
        Response::Nothing => "do nothing",
        Response::Monitor => "watch more closely",
        Response::PreWarm => "pre-warm",
        Response::Expand => "expand",
    }
}
