//! Demand: signals become attention, attention becomes rates.
