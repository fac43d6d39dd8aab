//! What the testbed promises: rates that it keeps on two shared cores with the generator beside it.

use serde::Serialize;

use crate::layer::Layer;

/// The promise of one layer, in the words of a target profile.
#[derive(Serialize)]
pub(crate) struct LayerEnvelope {
    base: String,
    burst: String,
    burst_for: &'static str,
    reserve: String,
    headroom: &'static str,
    slo: Slo,
}

#[derive(Serialize)]
struct Slo {
    quantile: f64,
    limit: &'static str,
    errors: &'static str,
}

/// The envelope of `layer`, in its own operations: HTTP requests, `.torrent` requests, announces, lookups and
/// the `announce_peer` that follow them, pieces and handshakes.
///
/// The reserve is below the layer's stated capacity (see [`crate::front`]), the burst two thirds of the reserve, the base a sixth. Latency
/// limits leave room for neighbours on the machine.
pub(crate) fn of(layer: Layer) -> Option<LayerEnvelope> {
    let (reserve, limit) = match layer {
        Layer::Index => (1200, "250ms"),
        Layer::Metadata => (300, "250ms"),
        Layer::Tracker => (1200, "250ms"),
        Layer::Dht => (120, "1s"),
        Layer::Seedbox => (1500, "1s"),
        Layer::Shape => return None,
    };
    Some(LayerEnvelope {
        base: rate(reserve / 6),
        burst: rate(reserve * 2 / 3),
        burst_for: "5m",
        reserve: rate(reserve),
        headroom: "20%",
        slo: Slo { quantile: 0.99, limit, errors: "1%" },
    })
}

fn rate(per_second: u32) -> String {
    format!("{per_second}/s")
}
