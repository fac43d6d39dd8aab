//! Stated capacities of the modelled target.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::journey::{Names, Service};
use crate::problem::{
    Description, FileKind, Name, PositiveDuration, Report, Reported, SourceFile, Table, bounded, describe,
    read,
};
use crate::profile::{Envelope, Layer};
use crate::unit::{BitRate, Quantity, Share};

/// A target as the model sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelTarget {
    /// Name in reports.
    pub name: String,
    /// Network time from a layer's answer to the visitor and of the request there, together.
    pub round_trip: Duration,
    /// The queue of each layer.
    pub layers: BTreeMap<Layer, Capacity>,
    /// What each layer promises.
    pub envelope: Envelope,
}

/// An M/M/c/K queue, and behind it the line that answers go out on. What limits a layer is the lesser of `servers / service` operations
/// per second and of `bandwidth`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Capacity {
    /// Operations served at a time (c), at least 1.
    pub servers: u32,
    /// Mean time of service, exponentially distributed.
    pub service: Duration,
    /// Operations that may wait (K - c). With 0, what exceeds `servers` is turned away, as beyond a limit of connections (Erlang's loss
    /// system).
    pub waiting: u32,
    /// Bytes per second of all answers together: streams share it evenly (M/G/1-PS), datagrams leave in turn; `None` is never the limit.
    pub bandwidth: Option<f64>,
    /// Share of operations that are lost on the way, before they are served; 0..1.
    pub loss: f64,
}

impl ModelTarget {
    /// Reads a model file.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn of(file: SourceFile) -> Result<Self, Report> {
        read(&file.text, FileKind::Model, model).map_err(|problems| Report::of(file, problems))
    }

    /// Every key of a model file.
    #[must_use]
    pub fn keys() -> Vec<Description> {
        describe(FileKind::Model, model)
    }

    /// What is resolved before it is used: everything, and by everybody, where the model has a queue for it.
    #[must_use]
    pub fn names(&self) -> Names {
        let services = if self.layers.contains_key(&Layer::Dns) { Service::ALL.to_vec() } else { Vec::new() };
        Names { services, cached: 0.0 }
    }

    /// The queue of a layer; one without a stated capacity is never the limit.
    #[must_use]
    pub fn layer(&self, layer: Layer) -> Capacity {
        let free = Capacity {
            servers: u32::MAX,
            service: Duration::from_micros(100),
            waiting: 0,
            bandwidth: None,
            loss: 0.0,
        };
        self.layers.get(&layer).copied().unwrap_or(free)
    }
}

bounded! {
    /// Operations served at a time.
    Servers(u32): "a number of servers above 0", "8", |it| *it > 0;
    /// A line that lets something through.
    Line(BitRate): "a bandwidth above 0", BitRate::FORMS, |it| it.0 > 0.0;
}

fn model(table: &mut Table<'_>) -> Result<ModelTarget, Reported> {
    let name = table.required::<Name>("name", "Name in reports.");
    let round_trip =
        table.or("round_trip", "Network time of a request and its answer together.", Duration::ZERO);
    let layers =
        table.table_of_defaults("layer", "The queues; a layer without one is never the limit.", |table| {
            // Every layer is read before the first that is wrong ends the reading.
            let layers = Layer::ALL.map(|layer| {
                let queue = table.optional_table(layer.name(), "The queue of this layer.", capacity);
                queue.map(|queue| queue.map(|queue| (layer, queue)))
            });
            layers.into_iter().collect::<Result<Vec<_>, Reported>>()
        });
    let envelope = Envelope::read(table);
    Ok(ModelTarget {
        name: name?.0.0,
        round_trip: round_trip?,
        layers: layers?.into_iter().flatten().collect(),
        envelope: envelope?,
    })
}

fn capacity(table: &mut Table<'_>) -> Result<Capacity, Reported> {
    let servers = table.required::<Servers>("servers", "Operations served at a time.");
    let service = table.required::<PositiveDuration>("service", "Mean time of service.");
    let waiting = table.required::<u32>("waiting", "Operations that may wait; one more is turned away.");
    let bandwidth =
        table.optional::<Line>(
            "bandwidth",
            "Of all answers together, of which streams share it and datagrams (names, announces, queries) leave in turn; without it never the limit.",
        );
    let loss = table.or("loss", "Share of operations that are lost on the way, unanswered.", Share(0.0));
    Ok(Capacity {
        servers: servers?.0,
        service: service?.0,
        waiting: waiting?,
        bandwidth: bandwidth?.map(|line| line.0.0),
        loss: loss?.0,
    })
}
