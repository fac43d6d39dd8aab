//! The verbs: the only place that sees both ends, prints and wires.
